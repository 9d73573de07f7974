"""Numbers from a noisy machine: samples taken in turns, medians of batches, and how far the batches lie apart.

Other load comes and goes in seconds. What is compared is therefore measured alternately, and the ratio is taken within
each batch; the median of the batches is the result, their extremes are its spread.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

BATCHES = 5


@dataclass(frozen=True, slots=True)
class Value:
    """A result: the median of the batches, and the lowest and the highest of them."""

    middle: float
    low: float
    high: float

    def __truediv__(self, divisor: float) -> "Value":
        return Value(self.middle / divisor, self.low / divisor, self.high / divisor)


def exactly(value: float) -> Value:
    """Return a result that was counted, not measured."""
    return Value(value, value, value)


def of(values: Sequence[float]) -> Value:
    """Return the result of values that were measured one by one: each is a batch of its own."""
    return Value(median(values), min(values), max(values))


def batches(samples: Sequence[float], count: int = BATCHES) -> list[Sequence[float]]:
    """Return the samples in up to `count` batches, in the order they were taken."""
    edges = sorted({len(samples) * number // count for number in range(count + 1)})
    return [samples[start:end] for start, end in pairwise(edges)]


def p50(samples: Sequence[float]) -> Value:
    """Return the median of the batches' medians."""
    return of([median(batch) for batch in batches(samples)])


def quantile(samples: Sequence[float], share: float) -> float:
    """Return the sample that `share` of all samples do not exceed."""
    return sorted(samples)[min(len(samples) - 1, int(len(samples) * share))]


def ratio(samples: Sequence[float], floors: Sequence[float]) -> Value:
    """Return how many times the floor it is; both were sampled in turns."""
    pairs = zip(batches(samples), batches(floors), strict=True)
    return of([median(ours) / median(theirs) for ours, theirs in pairs])


def in_turns(rounds: int, *measures: Callable[[], float]) -> list[list[float]]:
    """Call each measure once a round; return the samples of each.

    Every other round goes backwards, so that what one leaves behind for the next does not always hit the same one.
    """
    samples: list[list[float]] = [[] for _ in measures]
    for number in range(rounds):
        order = range(len(measures))
        for index in order if number % 2 == 0 else reversed(order):
            samples[index].append(measures[index]())
    return samples


def timed(action: Callable[[], object]) -> float:
    """Return how many seconds the action took."""
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def repeat(rounds: int, action: Callable[[], object]) -> Iterator[float]:
    """Yield how many seconds the action took, each time."""
    return (timed(action) for _ in range(rounds))

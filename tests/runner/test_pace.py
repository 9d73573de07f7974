"""When a runner naps to let small writes come together, with a clock of the test's own."""

from types import SimpleNamespace

import pytest

from bgjobd.runner import pace, system

_PIPE = system.PIPE_BYTES
_MICRO = 1000  # nanoseconds


class Clock:
    """What the module knows of `time`. A nap takes as long as it was asked to."""

    def __init__(self) -> None:
        self.now_ns = 1_000_000_000
        self.naps: list[float] = []

    def monotonic_ns(self) -> int:
        return self.now_ns

    def sleep(self, seconds: float) -> None:
        self.naps.append(seconds)
        self.now_ns += int(seconds * 1e9)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(pace, "time", SimpleNamespace(monotonic_ns=made.monotonic_ns, sleep=made.sleep))
    return made


def feed(made: pace.Pace, clock: Clock, count: int, *, every_us: int, rounds: int) -> None:
    """Let `count` bytes come every so often, and move them each time."""
    for _ in range(rounds):
        made.nap()
        clock.now_ns += every_us * _MICRO
        made.moved(count)


def napping(clock: Clock, *, every_us: int = 10) -> pace.Pace:
    """Return the pace of a writer of 60-byte lines that has just been found to be fast."""
    made = pace.Pace()
    while not clock.naps:
        feed(made, clock, 60, every_us=every_us, rounds=1)
        made.nap()
    return made


@pytest.mark.parametrize(
    ("count", "every_us"),
    [
        pytest.param(60, 1000, id="a line each millisecond"),
        pytest.param(60, 250, id="lines just not close to each other"),
        pytest.param(_PIPE, 50, id="whole pipes"),
        pytest.param(4096, 5, id="pages"),
    ],
)
def test_who_is_slow_or_writes_much_at_a_time_is_never_made_to_wait(clock: Clock, count: int, every_us: int) -> None:
    feed(pace.Pace(), clock, count, every_us=every_us, rounds=200)
    assert clock.naps == []


def test_small_writes_in_quick_succession_are_collected(clock: Clock) -> None:
    made = pace.Pace()
    feed(made, clock, 60, every_us=10, rounds=8)
    assert clock.naps == [], "a few quick lines are not a streak"
    feed(made, clock, 60, every_us=10, rounds=4)
    assert clock.naps


def test_a_nap_is_as_long_as_a_third_of_the_pipe_takes_to_fill(clock: Clock) -> None:
    napping(clock, every_us=1)
    asked_s = 0.35 * _PIPE / (60 / 1e-6)
    assert clock.naps[0] == pytest.approx(asked_s)


def test_no_nap_is_longer_than_half_a_millisecond(clock: Clock) -> None:
    napping(clock, every_us=150)
    assert clock.naps == [0.0005]


def test_the_rate_follows_a_writer_that_becomes_faster(clock: Clock) -> None:
    made = napping(clock, every_us=10)
    before_s = clock.naps[0]
    for _ in range(20):
        clock.now_ns += 50 * _MICRO
        made.moved(_PIPE // 2)
        made.nap()
    assert clock.naps[-1] < before_s / 2


@pytest.mark.parametrize(
    ("count", "goes_on"),
    [
        pytest.param(511, False, id="hardly anything: it has become slow"),
        pytest.param(512, True, id="enough"),
        pytest.param(_PIPE // 2, True, id="half a pipe"),
        pytest.param(_PIPE * 7 // 8 - 1, True, id="not yet nearly full"),
        pytest.param(_PIPE * 7 // 8, False, id="nearly full: it may have had to wait"),
        pytest.param(_PIPE, False, id="full"),
    ],
)
def test_naps_end_when_they_bring_too_little_or_nearly_fill_the_pipe(clock: Clock, count: int, goes_on: bool) -> None:
    made = napping(clock)
    made.moved(count)
    clock.naps.clear()
    made.nap()
    assert bool(clock.naps) is goes_on


def test_a_source_is_active_for_fifty_milliseconds_after_it_brought_something(clock: Clock) -> None:
    made = pace.Pace()
    assert not made.is_active()
    made.moved(1)
    clock.now_ns += 49_999_999
    assert made.is_active()
    clock.now_ns += 1
    assert not made.is_active()

"""How fast the programs here go: at a pace that resembles the real ones, or, in tests, as soon as they are let go on.

With ECONOMY_GATES in the environment a program stops once, at the FIFO of its name in that directory, until somebody
opens it for writing: a test then knows that the program has not ended when it is first asked about.
"""

import os
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")


def paced(name: str, items: Iterable[T], seconds: float) -> Iterator[T]:
    """Yield `items` over `seconds`; with gates, stop before the one after the first quarter."""
    items = list(items)
    gates = os.environ.get("ECONOMY_GATES")
    for number, item in enumerate(items):
        if not gates:
            time.sleep(seconds / len(items))
        elif number == max(1, len(items) // 4):
            with open(os.path.join(gates, name), "rb") as gate:
                gate.read()
        yield item


def pause(seconds: float) -> None:
    """Take so long, or no time at all with gates."""
    if not os.environ.get("ECONOMY_GATES"):
        time.sleep(seconds)

"""The behaviour that bgjob promises, where each promise comes from, and the tests that prove it.

`tests/arch/test_behaviours.py` fails when a behaviour names no test, or a test that does not exist. Sources: P1 to
P7 are the promises in docs/explanation/architecture.md; other names are pages below docs/.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Behaviour:
    """One thing that must hold.

    Args:
        text: what an observer sees.
        source: where it is promised.
        tests: `file::test` below tests/, without parameters.
    """

    text: str
    source: str
    tests: tuple[str, ...]


BEHAVIOURS: tuple[Behaviour, ...] = ()

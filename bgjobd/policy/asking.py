"""Whether a job waits for input, from what its runner saw of it. Pure.

The runner's evidence (runner.asking) says who is blocked in reading the input. Where a process reads it and also waits
for other things, an unfinished last line decides: a prompt stands there. Not in raw mode, in which programs draw their
screen and watch the keys all the time. Nothing is guessed: without evidence the answer is None.
"""

from enum import StrEnum
from typing import assert_never

from bgjobd.protocol import InputMode

__all__ = ["Verdict", "waits_for_input"]


class Verdict(StrEnum):
    """What a runner saw; its words, see runner.asking."""

    ONLY = "only"
    ALSO = "also"
    NO = "no"
    UNKNOWN = "unknown"


def waits_for_input(
    verdict: Verdict, *, has_prompt: bool, mode: InputMode | None, sleeps_in_foreground: bool
) -> bool | None:
    """Return whether the job waits for somebody to type; None where that cannot be known.

    Args:
        verdict: of the runner.
        has_prompt: whether the last line of the output is unfinished.
        mode: how its terminal takes input.
        sleeps_in_foreground: whether a process that the runner may not look into (as sudo) sleeps in the foreground of
            the terminal. When the terminal hides what is typed, and a prompt stands there, it asks for a secret.
    """
    match verdict:
        case Verdict.ONLY:
            return True
        case Verdict.NO:
            return False
        case Verdict.ALSO:
            return True if has_prompt and mode is not InputMode.RAW else None
        case Verdict.UNKNOWN:
            return True if sleeps_in_foreground and has_prompt and mode is InputMode.HIDDEN else None
    assert_never(verdict)

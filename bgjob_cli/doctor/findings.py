"""What a check of `bgjob doctor` says: it will do, it will do with something weaker, or it will not do. Pure."""

from dataclasses import dataclass
from enum import StrEnum

__all__ = ["Finding", "Result", "fail", "ok", "warn"]


class Result(StrEnum):
    """How a check went."""

    OK = "ok"
    WARN = "warn"  # it works, but a promise is weaker, or could not be checked
    FAIL = "fail"  # it does not work


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the doctor's report."""

    check: str
    result: Result
    detail: str
    advice: str = ""


def ok(check: str, detail: str) -> Finding:
    """Return that nothing is to be done."""
    return Finding(check, Result.OK, detail)


def warn(check: str, detail: str, advice: str) -> Finding:
    """Return that something is weaker than it could be."""
    return Finding(check, Result.WARN, detail, advice)


def fail(check: str, detail: str, advice: str) -> Finding:
    """Return that something is broken."""
    return Finding(check, Result.FAIL, detail, advice)

"""Regular expressions that a caller gave, matched in bounded time. Pure.

Python's `re` can need longer than the universe for `(a|aa)+$`, and holds the interpreter's lock meanwhile: one pattern
of one client would stop the whole daemon. The `regex` library has the same syntax, and a time limit. The limit costs
3 µs a call, so it is left out where a pattern cannot be slow: no groups and at most one repetition, on a line of
ordinary length.
"""

from bgjobd.errors import BgjobError, ErrorCode

LIMIT_S = 0.5  # for one line
_SHORT_LINE = 4096  # a single repetition tries at most that many ways, from that many places
_REPETITIONS = "*+{"


class Pattern:
    """A compiled pattern, found anywhere in a line.

    Args:
        text: a regular expression in Python's syntax.
        ignore_case: for all of Unicode.

    Raises:
        BgjobError: INVALID_ARGUMENT, saying what is wrong with it and where.
    """

    __slots__ = ("_cheap", "_search", "text")

    def __init__(self, text: str, *, ignore_case: bool = False) -> None:
        import regex  # here: most daemons never search, and it is 10 ms of a start and 2 MiB

        self.text = text
        self._cheap = "(" not in text and sum(text.count(sign) for sign in _REPETITIONS) <= 1
        try:
            self._search = regex.compile(text, regex.IGNORECASE if ignore_case else 0).search
        except (regex.error, RecursionError, OverflowError) as error:
            raise BgjobError(
                ErrorCode.INVALID_ARGUMENT,
                f"cannot search for {text[:200]!r}: {error}",
                "Give a regular expression in Python's syntax; a backslash makes a special character an ordinary one.",
            ) from error

    def find(self, line: str) -> tuple[int, int] | None:
        """Return where the pattern matches first, as (start, end) in characters; None when it does not.

        Raises:
            BgjobError: LIMIT_EXCEEDED when that cannot be said within LIMIT_S.
        """
        try:
            if self._cheap and len(line) <= _SHORT_LINE:
                found = self._search(line)
            else:
                found = self._search(line, timeout=LIMIT_S, concurrent=True)
        except TimeoutError as error:
            raise BgjobError(
                ErrorCode.LIMIT_EXCEEDED,
                f"cannot search for {self.text[:200]!r}: one line takes longer than {LIMIT_S:g} s",
                "Repetitions inside repetitions, such as (a+)+, are slow; write the pattern without them.",
            ) from error
        return None if found is None else found.span()

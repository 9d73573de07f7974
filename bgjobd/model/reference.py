"""How a job is named: its id, its name, and finding the job that a caller's reference means. No I/O.

A reference is tried as, in this order: a whole job id; a job's name (an active job first, then the newest ended one);
a prefix of a job id of at least 4 hexadecimal digits (case and dashes do not matter). A prefix has to be unambiguous.
"""

import difflib
import re
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice, pairwise
from typing import NoReturn, Protocol

from bgjobd.errors import BgjobError, ErrorCode

MAX_NAME_LENGTH = 64
MIN_PREFIX_DIGITS = 4  # fewer would be ambiguous in any history worth having
SHORT_ID_LENGTH = 8  # what people are shown: 32 bits, one dash-free word

_JOB_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_HEX_DIGITS = re.compile(r"[0-9a-f]{1,32}")
_DASH_POSITIONS = (8, 12, 16, 20)  # in the 32 digits
_SUGGESTED_FROM = 200  # newest jobs that are compared with a reference nobody knows
_MAX_CANDIDATES = 10  # listed in an error


@dataclass(frozen=True, slots=True)
class Candidate:
    """A job that a reference may mean."""

    job_id: str
    name: str = ""


class Catalogue(Protocol):
    """Some jobs that can be looked up. The daemon has two: the active ones in memory, and the history."""

    def has_id(self, job_id: str) -> bool:
        """Return whether a job has exactly this id."""

    def newest_named(self, name: str) -> str | None:
        """Return the id of the newest job with exactly this name."""

    def with_prefix(self, prefix: str, limit: int) -> Sequence[Candidate]:
        """Return up to `limit` jobs whose id starts with `prefix`, which has its dashes in place."""

    def newest(self, limit: int) -> Sequence[Candidate]:
        """Return up to `limit` jobs, newest first."""


class ActiveJobs:
    """A catalogue over a live dict of job id to name, in the order the jobs were submitted."""

    __slots__ = ("_names",)

    def __init__(self, names: dict[str, str]) -> None:
        self._names = names

    def has_id(self, job_id: str) -> bool:
        """Return whether a job has exactly this id."""
        return job_id in self._names

    def newest_named(self, name: str) -> str | None:
        """Return the id of the newest job with exactly this name."""
        return next((job_id for job_id, found in reversed(self._names.items()) if found == name), None)

    def with_prefix(self, prefix: str, limit: int) -> list[Candidate]:
        """Return up to `limit` jobs whose id starts with `prefix`, in the order submitted."""
        matching = (Candidate(job_id, name) for job_id, name in self._names.items() if job_id.startswith(prefix))
        return list(islice(matching, limit))

    def newest(self, limit: int) -> list[Candidate]:
        """Return up to `limit` jobs, newest first."""
        return [Candidate(job_id, name) for job_id, name in islice(reversed(self._names.items()), limit)]


def new_job_id() -> str:
    """Return a fresh job id: a random UUID (RFC 9562, version 4) in its canonical form."""
    return str(uuid.uuid4())


def is_job_id(text: str) -> bool:
    """Return whether `text` is a whole job id in its canonical form."""
    return _JOB_ID.fullmatch(text) is not None


def short_id(job_id: str) -> str:
    """Return the part of a job id that people are shown."""
    return job_id[:SHORT_ID_LENGTH]


def check_name(name: str) -> str:
    """Return `name` if a job may have it.

    Raises:
        BgjobError: INVALID_ARGUMENT when it is empty or too long, has white space or unprintable characters, starts
            with a dash (it would read as an option), or is itself a job id.
    """
    reason = _name_fault(name)
    if reason:
        raise BgjobError(
            ErrorCode.INVALID_ARGUMENT,
            f"cannot name a job {_shortened(name)!r}: {reason}",
            f"Use 1 to {MAX_NAME_LENGTH} printable characters without white space, not starting with a dash.",
            {"name": name[: 4 * MAX_NAME_LENGTH]},
        )
    return name


def resolve(reference: str, catalogues: Sequence[Catalogue]) -> str:
    """Return the id of the job that `reference` means.

    Args:
        reference: a job id, a name, or a prefix of an id; white space around it does not matter.
        catalogues: where to look; for names an earlier one goes before a later one, so the active jobs come first.

    Raises:
        BgjobError: NO_SUCH_JOB with the closest names and ids, or AMBIGUOUS_JOB with all that begin so (at most 10);
            both list them as details `candidates`. INVALID_ARGUMENT when the reference is empty.
    """
    reference = reference.strip()
    if not reference:
        raise BgjobError(ErrorCode.INVALID_ARGUMENT, "cannot find a job: the reference is empty", _HOW)
    prefix = id_prefix(reference)
    if is_job_id(prefix) and any(catalogue.has_id(prefix) for catalogue in catalogues):
        return prefix
    for catalogue in catalogues:
        named = catalogue.newest_named(reference)
        if named is not None:
            return named
    if len(prefix.replace("-", "")) < MIN_PREFIX_DIGITS:
        _raise_no_such_job(reference, catalogues)
    found = _unique(job for catalogue in catalogues for job in catalogue.with_prefix(prefix, _MAX_CANDIDATES + 1))
    if not found:
        _raise_no_such_job(reference, catalogues)
    if len(found) > 1:
        _raise_ambiguous(reference, found)
    return found[0].job_id


def id_prefix(text: str) -> str:
    """Return `text` as the beginning of a canonical job id, its dashes in place; "" when it cannot be one."""
    digits = text.replace("-", "").lower()
    if not _HEX_DIGITS.fullmatch(digits):
        return ""
    edges = (0, *(position for position in _DASH_POSITIONS if position < len(digits)), len(digits))
    return "-".join(digits[start:end] for start, end in pairwise(edges))


_HOW = f"Give a job id, at least {MIN_PREFIX_DIGITS} characters of its beginning, or a job's name."


def _name_fault(name: str) -> str:
    """Return why no job may be named `name`, or ""."""
    if not name:
        return "it is empty"
    if len(name) > MAX_NAME_LENGTH:
        return f"it has {len(name)} characters"
    if not name.isprintable() or any(character.isspace() for character in name):
        return "it has white space or unprintable characters"
    if name.startswith("-"):
        return "it starts with a dash"
    if is_job_id(name.lower()):
        return "it is a job id"
    return ""


def _shortened(text: str) -> str:
    """Return `text` as it is told: no name is longer, and nobody wants to read it."""
    return text if len(text) <= MAX_NAME_LENGTH else text[:MAX_NAME_LENGTH] + "…"


def _unique(candidates: Iterable[Candidate]) -> list[Candidate]:
    """Return each job once: one that is ending may be in both catalogues."""
    return list({candidate.job_id: candidate for candidate in candidates}.values())


def _raise_no_such_job(reference: str, catalogues: Sequence[Catalogue]) -> NoReturn:
    known = _unique(job for catalogue in catalogues for job in catalogue.newest(_SUGGESTED_FROM))
    close = _close_to(reference, known)
    hint = f"Did you mean {_listed(close)}? " if close else ""
    raise BgjobError(
        ErrorCode.NO_SUCH_JOB,
        f"cannot find a job {_shortened(reference)!r}: no job has this id, prefix or name",
        hint + (_HOW if known else "There are no jobs yet."),
        {"reference": reference[: 4 * MAX_NAME_LENGTH], "candidates": _details(close)},
    )


def _raise_ambiguous(reference: str, found: Sequence[Candidate]) -> NoReturn:
    count = f"{len(found)}" if len(found) <= _MAX_CANDIDATES else f"more than {_MAX_CANDIDATES}"
    listed = found[:_MAX_CANDIDATES]
    raise BgjobError(
        ErrorCode.AMBIGUOUS_JOB,
        f"cannot tell which job {_shortened(reference)!r} is: {count} job ids begin with it",
        f"Give more characters; they are {_listed(listed, whole=True)}.",
        {"reference": reference[: 4 * MAX_NAME_LENGTH], "candidates": _details(listed)},
    )


def _close_to(reference: str, known: Sequence[Candidate]) -> list[Candidate]:
    """Return the few jobs whose name or id looks like `reference`, best first."""
    by_text: dict[str, Candidate] = {}
    for candidate in known:  # newest first, so the newest job of a name is the one suggested
        by_text.setdefault(candidate.name.lower(), candidate)
        by_text.setdefault(candidate.job_id[: max(len(reference), SHORT_ID_LENGTH)], candidate)
    by_text.pop("", None)
    texts = difflib.get_close_matches(reference.lower(), by_text, n=3, cutoff=0.6)
    return _unique(by_text[text] for text in texts)


def _listed(candidates: Sequence[Candidate], *, whole: bool = False) -> str:
    ids = [(job.job_id if whole else short_id(job.job_id), job.name) for job in candidates]
    return ", ".join(f"{name} ({job_id})" if name else job_id for job_id, name in ids)


def _details(candidates: Sequence[Candidate]) -> list[dict[str, str]]:
    return [{"job_id": job.job_id, "name": job.name} for job in candidates]

"""The MCP_BG_* variables of mcp-background-job, so that its configuration moves over unchanged; and one of our own.

They restrict the jobs that this client submits; the daemon's own configuration is not touched by them. What
mcp-background-job accepts is accepted here with the same meaning. What it silently replaced by its defaults is an error
here, which names the variable, its value and what is accepted.
"""

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from bgjobd.errors import BgjobError, ErrorCode
from bgjobd.protocol import Restrictions

__all__ = ["MAX_WAIT_VARIABLE", "VARIABLES", "Settings", "read_settings"]

T = TypeVar("T")

_KIB, _MIB = 1 << 10, 1 << 20
_UNITS = {"": 1, "B": 1, "KB": _KIB, "MB": _MIB, "GB": 1 << 30, "KIB": _KIB, "MIB": _MIB, "GIB": 1 << 30}
_LEADING_FLAGS = re.compile(r"\(\?([aiLmsux]+)\)")
_SIZE = re.compile(r"\s*([0-9_]+)\s*([A-Za-z]*)\s*")


@dataclass(frozen=True, slots=True)
class Settings:
    """What the environment of one MCP client asks for."""

    restrictions: Restrictions
    working_dir: str  # absolute; where jobs run that name no directory

    # How long one call of this client may last, where its user has raised the client's own limit; None: by its name.
    max_wait_s: float | None = None

    # Accepted so that a configuration moves over, and checked like the others, but without effect: the daemon removes
    # ended jobs by its own retention settings when jobs end, and needs no interval.
    cleanup_interval_s: int | None = None


def read_settings(environment: Mapping[str, str], cwd: str) -> Settings:
    """Return the settings in `environment`; a relative working directory is taken from `cwd`.

    Raises:
        BgjobError: INVALID_ARGUMENT, naming every variable with a bad value, the value, and what is accepted.

    Source: mcp-background-job 0.1.2, README "Environment Variables" and config.py for the ranges.
    """
    problems: list[str] = []

    def read(key: str, convert: Callable[[str], T], default: T) -> T:
        value = environment.get(key, "")
        if not value:  # as in mcp-background-job: an empty variable is one that is not set
            return default
        try:
            return convert(value)
        except ValueError as error:
            problems.append(f"cannot use {key}={value!r}: {error}")
            return default

    settings = Settings(
        restrictions=Restrictions(
            max_jobs=read("MCP_BG_MAX_JOBS", _whole_number(1, 100), None),
            max_output_bytes=read("MCP_BG_MAX_OUTPUT_SIZE", _size, None),
            timeout_s=read("MCP_BG_JOB_TIMEOUT", _whole_number(1, None), None),
            allowed_commands=read("MCP_BG_ALLOWED_COMMANDS", _patterns, []),
        ),
        working_dir=read("MCP_BG_WORKING_DIR", lambda value: _directory(value, cwd), cwd),
        max_wait_s=read(MAX_WAIT_VARIABLE, _whole_number(1, 86_400), None),
        cleanup_interval_s=read("MCP_BG_CLEANUP_INTERVAL", _whole_number(10, 3600), None),
    )
    if problems:
        raise BgjobError(
            ErrorCode.INVALID_ARGUMENT,
            "; ".join(problems),
            "Correct it in the environment of the MCP server (your client's configuration), then restart it.",
        )
    return settings


MAX_WAIT_VARIABLE = "BGJOB_MCP_MAX_WAIT_S"
VARIABLES = (
    "MCP_BG_MAX_JOBS",
    "MCP_BG_MAX_OUTPUT_SIZE",
    "MCP_BG_JOB_TIMEOUT",
    "MCP_BG_CLEANUP_INTERVAL",
    "MCP_BG_WORKING_DIR",
    "MCP_BG_ALLOWED_COMMANDS",
)


def _whole_number(least: int, most: int | None) -> Callable[[str], int | None]:
    accepted = f"a whole number from {least} to {most}" if most is not None else f"a whole number of at least {least}"

    def convert(value: str) -> int | None:
        try:
            number = int(value)
        except ValueError:
            raise ValueError(f"it is not a number; accepted is {accepted}") from None
        if number < least or (most is not None and number > most):
            raise ValueError(f"it is out of range; accepted is {accepted}")
        return number

    return convert


def _size(value: str) -> int | None:
    accepted = "a number of bytes from 1024 to 104857600, or a size such as 20MB (1MB is 1048576 bytes), 100MB at most"
    found = _SIZE.fullmatch(value)
    unit = _UNITS.get(found[2].upper()) if found else None
    if found is None or unit is None:
        raise ValueError(f"it is not a size; accepted is {accepted}")
    size = int(found[1]) * unit
    if not _KIB <= size <= 100 * _MIB:
        raise ValueError(f"it is out of range; accepted is {accepted}")
    return size


def _patterns(value: str) -> list[str]:
    patterns = [pattern.strip() for pattern in value.split(",") if pattern.strip()]
    for pattern in patterns:
        try:
            re.compile(pattern)
        except re.error as error:
            raise ValueError(
                f"{pattern!r} is not a regular expression ({error}); accepted are regular expressions separated by "
                "commas, one of which has to match the command"
            ) from None
    return [_searched(pattern) for pattern in patterns]


def _searched(pattern: str) -> str:
    """Return `pattern` as mcp-background-job means it: found anywhere in the command, without regard to case.

    The daemon wants the start of a command to match.
    """
    if pattern.startswith("^") and "|" not in pattern:
        return f"(?i){pattern}"
    flags = _LEADING_FLAGS.match(pattern)
    given, rest = (flags[1], pattern[flags.end() :]) if flags else ("", pattern)
    return f"(?{''.join(sorted({*given, 'i'}))})(?s:.*?)(?:{rest})"


def _directory(value: str, cwd: str) -> str:
    path = os.path.normpath(os.path.join(cwd, value))
    if not os.path.exists(path):
        reason = "there is no such directory"
    elif not os.path.isdir(path):
        reason = "it is not a directory"
    elif not os.access(path, os.R_OK | os.W_OK):
        reason = "it cannot be read and written"
    else:
        return path
    raise ValueError(f"{reason}; accepted is an existing directory that you can read and write")

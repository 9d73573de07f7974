"""Processes as ps(1) lists them: what there is where there is no /proc. One call takes about ten milliseconds.

Times of start are in whole seconds and serve as identity only: a number that two processes with the same pid do not
share, unless the pid was given away within a second.
"""

import os
import sys

_COLUMNS = ("pid", "ppid", "pgid", "state", "lstart", "comm")
_WORDS = 9  # before the name; lstart has five: Wed Nov 25 22:55:34 2026
_MONTHS = (b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec")
# Everyone, with the environment. BSD and macOS have an option for that, ps of Linux a letter of the old syntax.
_WITH_ENVIRONMENT = "-AEww" if sys.platform == "darwin" else "axeww"


class Process:
    """One process as the kernel lists it. `start` is 0 where the kernel does not tell."""

    __slots__ = ("group", "name", "parent", "pid", "session", "start", "state")

    def __init__(self, pid: int, parent: int, group: int, session: int, start: int, name: bytes, state: str) -> None:
        self.pid = pid
        self.parent = parent
        self.group = group
        self.session = session
        self.start = start
        self.name = name
        self.state = state  # one letter of ps(1): R, S, D, T, Z …


def listed(*selection: str) -> list[Process]:
    """Return the processes that `ps SELECTION` lists, without that ps; none if it cannot be run."""
    columns = [word for column in _COLUMNS for word in ("-o", f"{column}=")]
    own_pid, lines = _run(*selection, *columns)
    found = []
    for line in lines:
        fields = line.split(None, _WORDS)
        if len(fields) == _WORDS + 1 and int(fields[0]) != own_pid:
            pid, parent, group = (int(field) for field in fields[:3])
            name = fields[_WORDS].rpartition(b"/")[2]
            found.append(Process(pid, parent, group, _session(pid), _identity(fields), name, fields[3][:1].decode()))
    return found


def marked(marker: bytes) -> set[int]:
    """Return the pids of those that have `NAME=VALUE` in the environment they were started with.

    macOS does not show it of its own programs.
    """
    own_pid, lines = _run(_WITH_ENVIRONMENT, "-o", "pid=", "-o", "command=")
    found = set()
    for line in lines:
        words = line.split()
        if words and words[0].isdigit() and marker in words[1:]:
            found.add(int(words[0]))
    return found - {own_pid}


def _run(*arguments: str) -> tuple[int, list[bytes]]:
    """Return the pid and the lines of a ps."""
    read_end, write_end = os.pipe()
    try:
        pid = os.posix_spawnp(
            "ps", ["ps", *arguments], {**os.environ, "LC_ALL": "C"},
            file_actions=[(os.POSIX_SPAWN_DUP2, write_end, 1)],
        )  # fmt: skip
    except OSError:
        os.close(read_end)
        return 0, []
    finally:
        os.close(write_end)
    with open(read_end, "rb") as stream:
        lines = stream.read().splitlines()
    os.waitpid(pid, 0)
    return pid, lines


def _session(pid: int) -> int:
    try:
        return os.getsid(pid)
    except OSError:
        return 0


def _identity(fields: list[bytes]) -> int:
    """Return the time of start as a number that reads like a date: 20261125225534."""
    _weekday, month, day, time, year = fields[4:_WORDS]
    number = _MONTHS.index(month) + 1 if month in _MONTHS else 0
    return int(b"%s%02d%02d%s" % (year, number, int(day), time.replace(b":", b"")))

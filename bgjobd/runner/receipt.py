"""The lines of a kill's receipt and of what was left behind, as the exit record and the control protocol carry them.

    killed, survivor:  PID START SIGNALS ENDED|NAME      SIGNALS: SIGTERM,SIGKILL or -
    left_behind:       PID START NAME                    ENDED: "exit N", "SIGTERM", "gone", or nothing: it lives

START is the start time in kernel ticks since boot (0: unknown), NAME the program's name as the kernel knows it. There
are MAX_LISTED lines of each kind at most, whatever a job makes; all are counted.
"""

import os

from bgjobd.runner.signals import signal_name

__all__ = [
    "MAX_LISTED",
    "Signalled",
    "pack_left",
    "pack_signalled",
    "signal_name",
    "unpack_left",
    "unpack_signalled",
    "wait_words",
]

MAX_LISTED = 256


class Signalled:
    """One process that a kill found: what it was sent and how it ended."""

    __slots__ = ("ended", "name", "pid", "signals", "start", "was_killed")

    def __init__(self, pid: int, start: int, name: bytes) -> None:
        self.pid = pid
        self.start = start
        self.name = name
        self.signals: list[str] = []  # names, in the order they were sent
        self.ended = ""
        self.was_killed = False  # by SIGKILL


def wait_words(status: int) -> str:
    """Return a raw wait status in the words of a receipt."""
    code = os.waitstatus_to_exitcode(status)
    return signal_name(-code) if code < 0 else f"exit {code}"


def pack_signalled(entry: Signalled) -> bytes:
    """Return the line of one process."""
    head = f"{entry.pid} {entry.start} {','.join(entry.signals) or '-'} {entry.ended}"
    return head.encode() + b"|" + entry.name


def unpack_signalled(line: bytes) -> Signalled:
    """Return the process of a line.

    Raises:
        ValueError: it is not such a line.
    """
    head, _, name = line.partition(b"|")
    pid, start, signals, ended = head.decode().split(" ", 3)
    entry = Signalled(int(pid), int(start), name)
    entry.signals = [] if signals == "-" else signals.split(",")
    entry.ended = ended
    return entry


def pack_left(pid: int, start: int, name: bytes) -> bytes:
    """Return the line of one process that was left behind."""
    return b"%d %d %s" % (pid, start, name)


def unpack_left(line: bytes) -> tuple[int, int, bytes]:
    """Return (pid, start, name).

    Raises:
        ValueError: it is not such a line.
    """
    pid, start, name = line.split(b" ", 2)
    return int(pid), int(start), name

"""Our standard input on its way into a job: read as it comes, sent in chunks, each answered before the next is read.

So a job that reads slowly slows down whoever writes to us, and nothing piles up in between.
"""

import os
import threading

from bgjob_cli.connection import Daemon
from bgjob_cli.output import Output
from bgjob_cli.quantities import format_count
from bgjob_cli.terminal_text import printable
from bgjobd.errors import BgjobError, ErrorCode
from bgjobd.protocol import Send

__all__ = ["StdinThread", "check_stdin", "feed_stdin", "send_stdin"]

_STDIN = 0
_CHUNK_BYTES = 1 << 16
_NO_MORE_WANTED = frozenset({ErrorCode.STDIN_CLOSED, ErrorCode.NOT_RUNNING})


def check_stdin() -> None:
    """Return if our standard input can be read; nothing of it is read.

    Raises:
        BgjobError: INVALID_ARGUMENT: it is closed, or open for writing only.
    """
    _read(0)


def send_stdin(daemon: Daemon, job: str, *, eof: bool, timeout_s: float | None = None) -> int:
    """Send our standard input to `job` up to its end and return how many bytes the job's pipe took.

    Args:
        daemon: where the job is.
        job: a reference to it.
        eof: close the job's standard input after it.
        timeout_s: how long one chunk may wait for the job to read.

    Raises:
        BgjobError: as `Send` and `check_stdin`; its details say and its message how much was taken in all. It is not
            sent again by itself: what a lost daemon had passed on is not known.
    """
    total = 0
    try:
        while chunk := _read(_CHUNK_BYTES):
            total += daemon.call(Send(job=job, data=chunk, timeout_s=timeout_s), repeat=False).accepted_bytes
        if eof:
            daemon.call(Send(job=job, eof=True), repeat=False)
    except BgjobError as error:
        total += int(error.details.get("accepted_bytes", 0))
        message = f"{error.message}; {format_count(total, 'byte')} were taken before"
        raise BgjobError(error.code, message, error.hint, {**error.details, "accepted_bytes": total}) from error
    return total


def feed_stdin(daemon: Daemon, job_id: str) -> None:
    """Send our standard input to a job, and close its own after it.

    A job that wants none, or no more, ends that silently, as it would end a writer to a pipe. Raises as `send_stdin`.
    """
    try:
        send_stdin(daemon, job_id, eof=True)
    except BgjobError as error:
        if error.code not in _NO_MORE_WANTED:
            raise


class StdinThread(threading.Thread):
    """Sends our standard input to a job beside what the main thread does, over a connection of its own.

    It ends with the process.
    """

    def __init__(self, job_id: str, output: Output) -> None:
        super().__init__(name="stdin", daemon=True)
        self._job_id = job_id
        self._output = output

    def run(self) -> None:
        """Send everything; say at once when that cannot go on, as the job may wait for the rest for ever."""
        try:
            with Daemon(autostart=False) as daemon:
                feed_stdin(daemon, self._job_id)
        except BgjobError as error:
            message = f"bgjob: cannot go on sending standard input: {error.message}"
            self._output.raw_talk(f"{printable(message)}\n".encode())


def _read(most_bytes: int) -> bytes:
    """Return what comes next, b"" at the end. Raises as `check_stdin`."""
    try:
        return os.read(_STDIN, most_bytes)
    except OSError as error:
        raise BgjobError(
            ErrorCode.INVALID_ARGUMENT,
            f"cannot read standard input: {error.strerror}",
            "Give it a file or a pipe, or </dev/null for none.",
        ) from error

"""The resident host as a process: the only one of its instance, with a log, listening once it can serve.

The lock comes before the heavy imports: whoever is started beside a host that runs is gone at once.
"""

import logging
import os
import socket
import stat
import sys

from bgjob_mcp.in_process import importing
from bgjobd.errors import BgjobError, ErrorCode
from bgjobd.paths import Paths
from bgjobd.single import take_lock

__all__ = ["EXIT_ALREADY_RUNNING", "run"]

EXIT_ALREADY_RUNNING = 69  # EX_UNAVAILABLE of sysexits(3), as bgjobd
# Agents come and go all day; between two sessions of a person at work it should still be there.
_IDLE_S = 600.0
_LOG_BYTES = 1 << 20
_BACKLOG = 512


def run(paths: Paths, idle_s: str = "") -> int:
    """Serve sessions until none has been there for `idle_s` seconds, or a newer host takes over; return the status.

    Raises:
        BgjobError: a directory, the lock or the socket cannot be had, or `idle_s` is no number of seconds.
    """
    seconds = _seconds(idle_s) if idle_s else _IDLE_S
    paths.ensure()
    try:
        lock = take_lock(paths.mcp_host_lock, "resident host")
    except BgjobError as error:
        if error.code is not ErrorCode.LIMIT_EXCEEDED:
            raise
        print(f"bgjob-mcp: {error}", file=sys.stderr)
        return EXIT_ALREADY_RUNNING
    os.chdir("/")
    os.umask(0o077)
    _log_to(paths.mcp_host_log)
    with importing():
        import anyio

        from bgjob_mcp.server.host import serve_sessions
    listening = _listen(paths.mcp_host_socket)
    anyio.run(serve_sessions, paths, listening, lock, seconds)
    return 0


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < float("inf"):
        raise BgjobError(ErrorCode.INVALID_ARGUMENT, f"cannot use --idle-s={text!r}: accepted is a number of seconds")
    return seconds


def _listen(path: str) -> socket.socket:
    """Return the listening socket. It gets its name when it takes connections; a stale one is replaced."""
    new = f"{path}.new"
    try:
        if os.path.lexists(new):
            os.unlink(new)
        listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listening.bind(new)  # the umask is 077, and the directory is ours alone
        os.chmod(new, 0o600)
        listening.listen(_BACKLOG)
        listening.setblocking(False)
        os.rename(new, path)
    except OSError as error:
        raise BgjobError(
            ErrorCode.STORAGE, f"cannot listen at {path!r}: {error.strerror}", "Run `bgjob doctor`."
        ) from error
    return listening


def _log_to(path: str) -> None:
    """Send the log, and what Python itself may have to say, to a file, which begins anew when it has grown."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    os.dup2(fd, 1)
    os.dup2(fd, 2)
    os.close(fd)
    logging.basicConfig(
        level=logging.WARNING,
        handlers=[_BoundedHandler(sys.stderr)],
        format="%(asctime)s %(levelname)s %(name)s[%(process)d] %(message)s",
        force=True,
    )
    logging.captureWarnings(True)


class _BoundedHandler(logging.StreamHandler):  # type: ignore[type-arg]  # generic for type checkers only
    """Writes to a file that is opened for appending."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record, to the beginning of the file where it is full."""
        found = os.fstat(self.stream.fileno())
        if stat.S_ISREG(found.st_mode) and found.st_size > _LOG_BYTES:
            os.ftruncate(self.stream.fileno(), 0)
        super().emit(record)

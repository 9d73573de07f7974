"""Connect to the daemon; where there is none, start it. Two clients that race start one.

The daemon says on a descriptor when it accepts connections. Standard library only and few imports: this is on the way
of every command.
"""

import fcntl
import os
import select
import socket
import time

from bgjobd.detached import READY_FD, start_detached
from bgjobd.errors import BgjobError, ErrorCode
from bgjobd.paths import Paths
from bgjobd.single import holder_of

__all__ = ["START_TIMEOUT_S", "environment_for", "open_connection"]

# Python, imports and the adoption of 1,000 jobs take under a second; the rest is for a machine that swaps.
START_TIMEOUT_S = 20.0

# While another client starts the daemon, or an old daemon is still stopping, nothing announces that it is our turn: a
# bounded poll.
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.01, 0.1
_SHOWN_LOG_BYTES = 1000
_READY, _BUSY, _ERROR = b"R", b"B", b"E"  # said by the daemon: ready; another one has the lock; why it cannot start
_LONGEST_ERROR_BYTES = 1 << 16


def open_connection(paths: Paths, *, autostart: bool = True, timeout_s: float = START_TIMEOUT_S) -> socket.socket:
    """Return a connected, blocking socket to the daemon of `paths`.

    Args:
        paths: of which instance.
        autostart: start the daemon when there is none.
        timeout_s: how long starting it may take in all.

    Raises:
        BgjobError: DAEMON_UNREACHABLE when there is no daemon, or it could not be started: then with the end of its
            logs. REFUSED when the directory of its socket is not ours alone. STORAGE when a file cannot be made.
    """
    connection = _connect(paths)
    if connection is not None:
        return connection
    if not autostart:
        raise BgjobError(
            ErrorCode.DAEMON_UNREACHABLE,
            f"cannot reach the daemon: nothing listens at {paths.socket!r}",
            "Run `bgjob daemon start`.",
        )
    deadline = time.monotonic() + timeout_s
    paths.ensure()
    lock = _lock(paths.start_lock, deadline)
    try:
        return _start(paths, deadline)
    finally:
        os.close(lock)


def _connect(paths: Paths) -> socket.socket | None:
    """Return a connected socket; None when no daemon listens, also when only its socket file is left."""
    try:
        owner = os.lstat(paths.runtime_dir).st_uid
        if owner != os.geteuid():  # below /tmp anybody may have made it, to be sent our environment
            raise BgjobError(
                ErrorCode.REFUSED,
                f"cannot use {paths.runtime_dir!r}: it belongs to user {owner}, not to {os.geteuid()}",
                "Remove it, or set BGJOB_HOME to a directory of your own.",
            )
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            connection.connect(paths.socket)
        except BaseException:
            connection.close()
            raise
        return connection
    except (FileNotFoundError, ConnectionRefusedError):
        return None
    except OSError as error:
        raise BgjobError(
            ErrorCode.DAEMON_UNREACHABLE,
            f"cannot connect to {paths.socket!r}: {error.strerror or error}",
            "Run `bgjob doctor`.",
        ) from error


def _lock(path: str, deadline: float) -> int:
    """Wait for our turn to start the daemon; return the descriptor that holds the lock."""
    try:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise BgjobError(ErrorCode.STORAGE, f"cannot open {path!r}: {error.strerror}", "Run `bgjob doctor`.") from error
    pause_s = _FIRST_PAUSE_S
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return fd
        except BlockingIOError:
            if time.monotonic() > deadline:
                os.close(fd)
                raise BgjobError(
                    ErrorCode.DAEMON_UNREACHABLE,
                    "cannot start the daemon: another client has been starting it for too long",
                    f"See who holds {path!r}, and end it.",
                ) from None
        time.sleep(pause_s)  # noqa: TID251  # see above
        pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)


def _start(paths: Paths, deadline: float) -> socket.socket:
    """Start the daemon, unless one was started while we waited, and connect to it. We hold the start lock."""
    pause_s = _FIRST_PAUSE_S
    while True:
        connection = _connect(paths)
        if connection is not None:
            return connection
        said = _spawn_and_wait(paths, deadline)
        if said not in (_READY, _BUSY) or time.monotonic() > deadline:
            raise _not_started(paths, said)
        if said == _BUSY:  # an old daemon is stopping: its socket is gone, but it still holds the daemon's lock
            _ask_to_listen(paths)
            time.sleep(pause_s)  # noqa: TID251  # see above
            pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)


def _ask_to_listen(paths: Paths) -> None:
    """Have a daemon make its socket again, in case that is gone because somebody has removed it.

    SIGCHLD is what it takes for a reason to look, and harms no process that it is not meant for.
    """
    from signal import SIGCHLD  # slow to import, and hardly ever needed

    try:
        os.kill(holder_of(paths.daemon_lock), SIGCHLD)
    except (OSError, ValueError):
        return  # it is just going, or coming


def _spawn_and_wait(paths: Paths, deadline: float) -> bytes | None:
    """Start a daemon; return what it said, b"" when it ended without a word, None when it said nothing in time.

    An error is written at once and is smaller than a pipe, so that one read gets all of it.
    """
    ready = _spawn(paths)
    try:
        poll = select.poll()
        poll.register(ready, select.POLLIN)
        if not poll.poll(max(0.0, deadline - time.monotonic()) * 1000):
            return None
        return os.read(ready, _LONGEST_ERROR_BYTES)
    finally:
        os.close(ready)


def _spawn(paths: Paths) -> int:
    """Start a daemon; return the descriptor on which it says whether it is ready."""
    try:
        ready, said_by_daemon = os.pipe()
        try:
            start_detached(
                "bgjobd", ["--ready-fd", str(READY_FD)], environment_for(paths), _start_log(paths), said_by_daemon
            )
        except BaseException:
            os.close(ready)
            raise
        finally:
            os.close(said_by_daemon)
    except OSError as error:
        raise BgjobError(
            ErrorCode.DAEMON_UNREACHABLE,
            f"cannot start the daemon: {error.strerror or error}",
            "Run `bgjob doctor`.",
        ) from error
    return ready


def environment_for(paths: Paths) -> dict[str, str]:
    """Return our environment, changed where it would lead a program of ours to another instance than `paths`."""
    environment = dict(os.environ)
    try:
        default = Paths.from_environment(environment)
    except BgjobError:
        default = None
    if default is None or (default.state_dir, default.config_file) != (paths.state_dir, paths.config_file):
        environment["BGJOB_HOME"] = paths.state_dir
        environment.pop("BGJOB_CONFIG", None)  # which has to be a file that exists
        if paths.config_file != Paths.from_environment(environment).config_file:
            environment["BGJOB_CONFIG"] = paths.config_file
    return environment


def _not_started(paths: Paths, said: bytes | None) -> BgjobError:
    """Return the error that says why the daemon did not get ready: its own words, or the end of what it wrote."""
    reason = "it was not ready in time" if said is None else "it ended before it was ready"
    if said == _BUSY:
        reason = "another one runs and does not answer"
    tails = {path: _tail(path) for path in (_start_log(paths), paths.daemon_log)}
    if said is not None and said.startswith(_ERROR):
        message, _, hint = said[1:].decode("utf-8", "replace").partition("\n")
        return BgjobError(ErrorCode.DAEMON_UNREACHABLE, f"cannot start the daemon: {message}", hint, {"logs": tails})
    last_words = next((tail.splitlines()[-1] for tail in tails.values() if tail), "")
    return BgjobError(
        ErrorCode.DAEMON_UNREACHABLE,
        f"cannot start the daemon: {reason}" + (f" ({last_words})" if last_words else ""),
        f"Its logs are {' and '.join(tails)}.",
        {"logs": tails},
    )


def _start_log(paths: Paths) -> str:
    """Return where the daemon's standard error goes: what it says before it has a log, and what Python says."""
    return os.path.join(paths.state_dir, "bgjobd.start.log")


def _tail(path: str) -> str:
    try:
        with open(path, "rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - _SHOWN_LOG_BYTES))
            return file.read().decode("utf-8", "replace").strip()
    except OSError:
        return ""  # it did not come so far

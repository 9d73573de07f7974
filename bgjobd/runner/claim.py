"""The right to run one job: its lock, held for the life of the runner, and what is noted in it.

flock(2) is the proof of life that needs no pid: the kernel lets go of it however the holder ends. The file itself says
how far a runner came that was killed before it could write a record, in up to two lines:

    zygote-PID PID       that runner of that zygote is about to start the job: from now on only that zygote may start it
    STATUS UNIX_NS       how and when the main process ended: from before it is reaped until the exit record says it
"""

import fcntl
import os
import time

from bgjobd.runner import system
from bgjobd.runner.records import RecordError, Spec, read_record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    Tell = Callable[[bytes, bytes], None]

_LINE_BYTES = 40


class Claim:
    """A job that this process holds the lock of.

    Args:
        directory: of the job.
        lock_fd: its lock; stays open until this process ends.
    """

    __slots__ = ("_lock_fd", "directory", "spec", "spec_error")

    def __init__(self, directory: str, lock_fd: int) -> None:
        self.directory = directory
        self.spec_error = ""
        self._lock_fd = lock_fd
        try:
            self.spec = read_record(Spec, self.path("spec"))
        except (OSError, RecordError) as error:
            self.spec = Spec(job_id=os.path.basename(directory))
            self.spec_error = f"cannot read what was asked: {error}"

    def path(self, name: str) -> str:
        """Return the path of a file of the job."""
        return f"{self.directory}/{name}"

    def release(self) -> None:
        """Let go of the lock."""
        os.close(self._lock_fd)

    def note_end(self, status: int) -> None:
        """Write down how the main process ended, before it is reaped."""
        _note(self._lock_fd, 1, b"%d %d" % (status, time.time_ns()))

    def noted_end(self) -> tuple[int, int] | None:
        """Return (raw wait status, unix time in ns) that an earlier runner noted, None if it did not see the end."""
        words = os.pread(self._lock_fd, _LINE_BYTES, _LINE_BYTES).split()
        return (int(words[0]), int(words[1])) if len(words) == 2 else None


class Abandoned(Exception):
    """A runner was about to start this job and was killed together with its zygote: nobody knows whether it ran."""


def claim_new(directory: str, zygote: str, tell: "Tell") -> Claim | None:
    """Take a job that nobody has run; None when somebody runs it, has run it or will, or when it is not there.

    Args:
        directory: of the job.
        zygote: path of the lock of the zygote whose fork we are.
        tell: called with `took` and the directory as soon as the job is ours, and with `unnoted` if the lock does not
            say so.

    Raises:
        Abandoned: it is nobody's, and may have run.
    """
    lock_fd = _lock(directory, fcntl.LOCK_EX | fcntl.LOCK_NB)
    if lock_fd is None:
        return None
    try:
        if _was_run(directory):
            return None
        starter = _starter(lock_fd)[0]
        if starter and is_locked(os.path.join(os.path.dirname(zygote), starter + ".lock")):
            return None
        if starter:
            raise Abandoned
        claim, lock_fd = _begin(directory, lock_fd, zygote, tell), -1
    finally:
        if lock_fd >= 0:
            os.close(lock_fd)
    return claim


def claim_again(directory: str, zygote: str, tell: "Tell") -> Claim | None:
    """As `claim_new`, for a job that a killed runner of the same zygote certainly did not start."""
    lock_fd = _lock(directory, fcntl.LOCK_EX)
    if lock_fd is not None and not _was_run(directory):
        return _begin(directory, lock_fd, zygote, tell)
    return None


def claim_unstarted(directory: str) -> Claim | None:
    """Keep runners off a job that none has begun with; None when one has, or may have, or that cannot be seen."""
    lock_fd = _lock(directory, fcntl.LOCK_EX | fcntl.LOCK_NB)
    if lock_fd is None:
        return None
    try:
        is_new = not (_was_run(directory) or _starter(lock_fd)[0])
    except OSError:
        is_new = False
    if is_new:
        return Claim(directory, lock_fd)
    os.close(lock_fd)
    return None


def claim_orphaned(directory: str) -> Claim | None:
    """Take over a job whose runner was killed; waits for whoever is just looking whether the lock is free."""
    lock_fd = _lock(directory, fcntl.LOCK_EX)
    return None if lock_fd is None else Claim(directory, lock_fd)


def noted_runner(directory: str) -> int | None:
    """Return the pid of the runner that was the last to be about to start the job; 0 when no note says so.

    None when the note cannot be read: there are no more descriptors.
    """
    try:
        lock_fd = os.open(f"{directory}/lock", os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return 0
    except OSError:
        return None
    try:
        return _starter(lock_fd)[1]
    finally:
        os.close(lock_fd)


def _begin(directory: str, lock_fd: int, zygote: str, tell: "Tell") -> Claim:
    """First the zygote is told, which looks after a runner's death; then everybody else is kept off.

    From before that on the zygote's death is nothing to us: a note without a runner means that the job may have run.
    """
    system.die_with_parent(0)
    path = system.encode_name(directory)
    tell(b"took", path)
    name = zygote.rpartition("/")[2].removesuffix(".lock")
    if not _note(lock_fd, 0, b"%s %d" % (name.encode(), os.getpid())):
        tell(b"unnoted", path)
    return Claim(directory, lock_fd)


def _starter(lock_fd: int) -> tuple[str, int]:
    """Return the zygote that has the only right to start the job, and its runner that was about to; or "" and 0."""
    note = os.pread(lock_fd, _LINE_BYTES, 0)
    if not note:
        return "", 0  # it is new
    words = note.strip(b"\0\n ").split()
    return (words[0].decode() if words else "", int(words[1]) if len(words) > 1 else 0)


def _was_run(directory: str) -> bool:
    """Whether there are records: the request was sent twice, e.g. by two daemons."""
    # Not os.path.exists: the exceptions inside it would be 80 KiB more of each runner's own.
    return os.access(f"{directory}/run", os.F_OK) or os.access(f"{directory}/exit", os.F_OK)


def _note(lock_fd: int, line: int, text: bytes) -> bool:
    """Write a line of the lock; False on a full disk. The records will say it, unless this runner is killed before."""
    try:
        os.pwrite(lock_fd, text.ljust(_LINE_BYTES - 1) + b"\n", line * _LINE_BYTES)
    except OSError:
        return False
    return True


def _lock(directory: str, how: int) -> int | None:
    try:
        lock_fd = os.open(f"{directory}/lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError:
        return None
    try:
        fcntl.flock(lock_fd, how)
    except OSError:  # EAGAIN: a runner holds it
        os.close(lock_fd)
        return None
    return lock_fd


def is_locked(path: str) -> bool:
    """Say whether somebody holds the lock at `path`."""
    try:
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(fd)
    return False

"""Everything a runner asks of one particular kernel, each thing with a portable twin.

Linux is where every promise holds. Elsewhere, or anywhere with BGJOB_PORTABLE=1 in the environment of the zygote (that
is how the twins are tested on Linux), the twins do what POSIX and `ps` allow; what is weaker is said at each of them.
"""

import ctypes
import errno
import fcntl
import os
import resource
import select
import struct
import sys
import termios

from bgjobd.runner import ps
from bgjobd.runner.ps import Process as Process
from bgjobd.runner.signals import SIGKILL, signal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

LINUX = sys.platform.startswith("linux") and os.environ.get("BGJOB_PORTABLE") != "1"

PIPE_BYTES = 64 << 10  # what a Linux pipe holds unless told otherwise

_PR_SET_PDEATHSIG = 1
_PR_SET_NAME = 15
_PR_SET_CHILD_SUBREAPER = 36
_PF_EXITING = 0x4  # in the flags of /proc/PID/stat (proc(5); include/linux/sched.h)
_CORE_FLAG = 0x80  # in a raw wait status
_F_SETPIPE_SZ = 1031
_SPLICE_FLAGS = 3  # SPLICE_F_MOVE | SPLICE_F_NONBLOCK
_PIDFD_INFO_EXIT = 1 << 3
_PIDFD_INFO_BYTES = 80
_PIDFD_GET_INFO = (3 << 30) | (_PIDFD_INFO_BYTES << 16) | (0xFF << 8) | 11  # _IOWR(0xFF, 11, struct pidfd_info)

_prctl = ctypes.CDLL(None).prctl if LINUX else None
_boot_id = ""  # read once: the zygote does it for all its forks
_ptsname = ctypes.CDLL(None).ptsname
_ptsname.restype = ctypes.c_char_p


# --- being the parent ------------------------------------------------------------------------------------------------


def has_subreaper() -> bool:
    """Return whether a process can become the parent of its orphaned descendants."""
    return LINUX


def become_subreaper() -> bool:
    """Become the parent of orphaned descendants. False where there is no such thing.

    Not inherited by fork, so every runner calls it (prctl(2), PR_SET_CHILD_SUBREAPER).
    """
    return _prctl is not None and _prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0


def reap_child(announce: "Callable[[int, int], None]") -> "tuple[int, int, resource.struct_rusage] | None":
    """Reap one child that has ended and return (pid, raw wait status, usage); None if none has.

    Args:
        announce: called with pid and status while the child is still there to be reaped by somebody else, should this
            process be killed in between. The portable twin calls it a moment too late for that.

    Raises:
        ChildProcessError: there are no children at all.
    """
    if LINUX:
        info = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        if info is None:
            return None
        announce(info.si_pid, _raw_status(info.si_code, info.si_status))
        return os.wait4(info.si_pid, 0)
    pid, status, usage = os.wait4(-1, os.WNOHANG)
    if pid == 0:
        return None
    announce(pid, status)
    return pid, status, usage


def _raw_status(code: int, status: int) -> int:
    """Return what wait(2) would have said instead of waitid(2)."""
    if code == os.CLD_EXITED:
        return status << 8
    return status | (_CORE_FLAG if code == os.CLD_DUMPED else 0)


def set_name(name: bytes) -> None:
    """Say in process lists what this process is; at most 15 bytes. Its argv stays as it was."""
    if _prctl is not None:
        _prctl(_PR_SET_NAME, name, 0, 0, 0)


def die_with_parent(number: int) -> None:
    """Get signal `number` when the parent ends; 0: no more. Not inherited by anybody; nothing elsewhere."""
    if _prctl is not None:
        _prctl(_PR_SET_PDEATHSIG, number, 0, 0, 0)


def children(pid: int, *, threads: bool = False) -> list[int]:
    """Return the pids of the children of `pid`, empty if it is gone.

    Args:
        pid: the parent.
        threads: also those that other threads than the main one made; each thread has its own list (proc(5)).

    May skip some while siblings die: an empty answer proves nothing.
    """
    if not LINUX:
        return [process.pid for process in processes() if process.parent == pid]
    tasks = [str(pid)]
    if threads:
        try:
            tasks = os.listdir(f"/proc/{pid}/task")
        except OSError:
            return []
    found = []
    for task in tasks:
        try:
            found += [int(word) for word in _read(f"/proc/{pid}/task/{task}/children").split()]
        except OSError:
            continue
    return found


# --- knowing a process -----------------------------------------------------------------------------------------------


def process(pid: int) -> Process | None:
    """Return what is known about `pid`, None if there is no such process."""
    if not LINUX:
        return next(iter(ps.listed("-p", str(pid))), None)
    try:
        return _parse_stat(_read(f"/proc/{pid}/stat"))
    except OSError:
        return None


def processes() -> list[Process]:
    """Return every process there is."""
    if not LINUX:
        return ps.listed("-A")
    found = (process(int(name)) for name in os.listdir("/proc") if name.isdigit())
    return [entry for entry in found if entry is not None]


def start_time(pid: int) -> int:
    """Return when `pid` started, in kernel ticks since boot; 0 if it is gone or the kernel does not tell."""
    found = process(pid) if LINUX else None
    return found.start if found else 0


def environment_marker(pid: int, name: bytes) -> bytes | None:
    """Return `NAME=VALUE` from the environment a process was started with; None if it has none, or may not be read."""
    if not LINUX:
        return None
    try:
        entries = _read(f"/proc/{pid}/environ").split(b"\0")
    except OSError:
        return None
    return next((entry for entry in entries if entry.startswith(name + b"=")), None)


def holds(pid: int, fds: list[int]) -> bool | None:
    """Whether a process has the other end of one of our pipes or terminals `fds` open; None: we may not look."""
    pipes = {f"pipe:[{os.fstat(fd).st_ino}]" for fd in fds} | set(filter(None, map(terminal_path, fds)))
    try:
        numbers = os.listdir(f"/proc/{pid}/fd")
    except PermissionError:
        return None  # it runs as somebody else: setuid
    except OSError:
        return False
    return any(_link(f"/proc/{pid}/fd/{number}") in pipes for number in numbers)


def _link(path: str) -> str:
    try:
        return os.readlink(path)
    except OSError:
        return ""


def boot_id() -> str:
    """Return what distinguishes this boot from all others: pids mean nothing in another one. Empty if unknown."""
    global _boot_id
    if not _boot_id and LINUX:
        try:
            _boot_id = _read("/proc/sys/kernel/random/boot_id").decode().strip()
        except OSError:
            return ""
    return _boot_id


def is_ending(pid: int) -> bool:
    """Whether a process is on its way out: its files are closed, and it may not be there to be reaped yet."""
    try:
        flags = int(_read(f"/proc/{pid}/stat").rpartition(b")")[2].split()[6])
    except (OSError, IndexError):
        return False
    return bool(flags & _PF_EXITING)


def open_pidfd(pid: int) -> int | None:
    """Return a descriptor that becomes readable when `pid` ends, None where there is none or the process is gone."""
    if not LINUX:
        return None
    try:
        return os.pidfd_open(pid)
    except OSError:
        return None


def watch_end(pid: int) -> int | None:
    """Return a descriptor that becomes readable when `pid` ends, child or not; None where there is nothing like it."""
    if sys.platform == "darwin":
        queue = select.kqueue()
        event = select.kevent(pid, select.KQ_FILTER_PROC, select.KQ_EV_ADD, select.KQ_NOTE_EXIT)
        try:
            queue.control([event], 0)
            return os.dup(queue.fileno())
        except OSError:  # it is gone
            return None
        finally:
            queue.close()
    return open_pidfd(pid)


def pidfd_status(pidfd: int) -> int | None:
    """Return the raw wait status of an ended process that somebody else reaped (Linux ≥ 6.15), None if unknown."""
    info = bytearray(_PIDFD_INFO_BYTES)
    struct.pack_into("<Q", info, 0, _PIDFD_INFO_EXIT)
    try:
        fcntl.ioctl(pidfd, _PIDFD_GET_INFO, info, True)
    except OSError:
        return None
    (mask,) = struct.unpack_from("<Q", info, 0)
    (status,) = struct.unpack_from("<i", info, 60)
    return int(status) if mask & _PIDFD_INFO_EXIT else None


def signal_process(known: Process, number: int) -> bool:
    """Send a signal to exactly that process, never to another one that got its pid since. False if it is gone."""
    pidfd = open_pidfd(known.pid)
    try:
        now = process(known.pid)
        if now is None or now.start != known.start:
            return False
        if pidfd is None:
            os.kill(known.pid, number)
        else:
            signal.pidfd_send_signal(pidfd, number)
    except OSError:
        return False
    finally:
        if pidfd is not None:
            os.close(pidfd)
    return True


def kill_child_of(pid: int, parents: tuple[int, ...]) -> Process | None:
    """Send SIGKILL to `pid` if it is a child of one of `parents`.

    Returns:
        What it was, None if it is not there any more or may not be signalled.
    """
    pidfd = open_pidfd(pid)  # from here on the number cannot mean anybody else
    try:
        found = process(pid)
        if found is None or found.parent not in parents:
            return None
        if pidfd is None:
            os.kill(pid, SIGKILL)
        else:
            signal.pidfd_send_signal(pidfd, SIGKILL)
    except OSError:
        return None
    finally:
        if pidfd is not None:
            os.close(pidfd)
    return found


def max_rss_kib(ru_maxrss: int) -> int:
    """Return `ru_maxrss` in KiB: macOS counts it in bytes."""
    return ru_maxrss // 1024 if sys.platform == "darwin" else ru_maxrss


def terminal_path(master: int) -> str:
    """Return the path of the job's side of a terminal, empty if the descriptor is no terminal's master (ptsname(3))."""
    name: bytes | None = _ptsname(master)
    return os.fsdecode(name) if name else ""


# --- moving bytes ----------------------------------------------------------------------------------------------------


def splice(source: int, target: int, count: int) -> int:
    """Move up to `count` bytes from a pipe to a file without ever holding them; 0 at the end of the pipe.

    A byte leaves the pipe only once the page cache has it: neither SIGKILL nor a full disk loses one.

    Raises:
        BlockingIOError: there is nothing in the pipe.
        OSError: EINVAL when the file system cannot (or where there is no splice); ENOSPC and others from the file.
    """
    if not LINUX:
        raise OSError(errno.EINVAL, "no splice on this system")
    return os.splice(source, target, count, flags=_SPLICE_FLAGS)


def waiting_bytes(fd: int) -> int:
    """Return how many bytes can be read from a pipe or terminal right now (FIONREAD)."""
    answer = bytearray(4)
    try:
        fcntl.ioctl(fd, termios.FIONREAD, answer, True)
    except OSError:
        return 0
    return int(struct.unpack("i", answer)[0])


def set_pipe_bytes(fd: int, size_bytes: int) -> bool:
    """Resize a pipe. False when the kernel refused: over the user's budget, or too full to shrink."""
    if not LINUX:
        return False
    try:
        fcntl.fcntl(fd, _F_SETPIPE_SZ, size_bytes)
    except OSError:
        return False
    return True


# --- who dies first when memory runs out -----------------------------------------------------------------------------


class OomScore:
    """How likely the OOM killer is to choose this process: open to be changed for the moment of a start (proc(5)).

    Made by the process itself: a descriptor that is inherited is its parent's.
    """

    __slots__ = ("_fd", "_own")

    def __init__(self) -> None:
        self._fd = -1
        self._own = 0
        try:
            if LINUX:
                self._fd = os.open("/proc/self/oom_score_adj", os.O_RDWR | os.O_CLOEXEC)
                self._own = int(os.read(self._fd, 16))
        except (OSError, ValueError):
            self.close()

    def set_raised(self, adjustment: int) -> None:
        """Make this process, and what it starts, likelier to be chosen."""
        self._set(max(self._own, min(1000, adjustment)))

    def restore(self) -> None:
        """Undo that. Allowed without privileges: the value is not below what was inherited."""
        self._set(self._own)

    def close(self) -> None:
        """Leave it as it is from now on."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _set(self, value: int) -> None:
        try:
            if self._fd >= 0:
                os.write(self._fd, b"%d" % value)
        except OSError:
            return  # a runner that stays raised is still a runner


# --- helpers ---------------------------------------------------------------------------------------------------------


def _read(path: str) -> bytes:
    """Return a small file of /proc."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        data = os.read(fd, 4096)
        if len(data) < 4096:
            return data
        parts = [data]
        while data:
            data = os.read(fd, 65536)
            parts.append(data)
        return b"".join(parts)
    finally:
        os.close(fd)


def _parse_stat(line: bytes) -> Process:
    """Return the process in a line of /proc/PID/stat; its name may hold anything, also brackets and blanks."""
    name_start = line.index(b"(") + 1
    name_end = line.rindex(b")")
    fields = line[name_end + 2 :].split()
    parent, group, session, start = int(fields[1]), int(fields[2]), int(fields[3]), int(fields[19])
    name, state = line[name_start:name_end], fields[0].decode()
    return Process(int(line[: name_start - 2]), parent, group, session, start, name, state)


_NAMES = (sys.getfilesystemencoding(), sys.getfilesystemencodeerrors())


def decode_name(raw: bytes) -> str:
    """Return a path as text, as os.fsdecode does, which would be 12 KiB more of each runner's own."""
    return raw.decode(*_NAMES)


def encode_name(name: str) -> bytes:
    """Return a path as the system knows it, as os.fsencode does."""
    return name.encode(*_NAMES)

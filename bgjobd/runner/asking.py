"""Whether a job waits for input, by evidence: what its threads are blocked in, as the kernel tells (proc(5)).

Looked at only when somebody asks. The verdicts:

    ONLY     a process waits for the job's input and for nothing else
    ALSO     a process waits for the input, but other things may happen to it as well: it also waits for a socket, has a
             time limit, or another of its threads is at work. Whether it needs the input is not to be seen from here
    NO       nobody waits for the input
    UNKNOWN  the evidence is out of reach: another system, a process that we may not look into, a call we do not know

What counts as nothing else: descriptors that only the process itself can make readable (eventfd, signalfd, timerfd, a
pipe or socket to itself), and threads that sleep, or wait for each other or for a child.

A runner may look into its descendants also where Yama allows ptrace to ancestors only (ptrace_scope 1); a rescue runner
is no ancestor and may not. See docs/design/0010-waiting-for-input.md.
"""

import os
import struct

from bgjobd.runner import system

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

ONLY, ALSO, NO, UNKNOWN = "only", "also", "no", "unknown"

_MAX_THREADS = 1000  # looked at in all, some 30 µs each; a runner does nothing else meanwhile
_MAX_POLLED = 4096  # descriptors in one poll or select
_MAX_NESTING = 4  # epoll in epoll

# Numbers of system calls: x86-64 has its own (arch/x86/entry/syscalls/syscall_64.tbl), later machines share one list
# (include/uapi/asm-generic/unistd.h). By e_machine of the ELF header (elf(5)): a 32-bit program has others again.
_X86_64 = {
    0: "read", 19: "read", 275: "read", 40: "sendfile", 7: "poll", 271: "ppoll", 23: "select",
    270: "pselect", 232: "epoll", 281: "epoll", 441: "epoll_pwait2", 202: "idle", 449: "idle", 35: "idle", 230: "idle",
    61: "idle", 247: "idle", 34: "idle", 128: "idle", 130: "idle", 219: "restarted", 426: "io_uring",
}  # fmt: skip
_GENERIC = {
    63: "read", 65: "read", 76: "read", 71: "sendfile", 73: "ppoll", 72: "pselect", 22: "epoll",
    441: "epoll_pwait2", 98: "idle", 449: "idle", 101: "idle", 115: "idle", 260: "idle", 95: "idle", 137: "idle",
    133: "idle", 128: "restarted", 426: "io_uring",
}  # fmt: skip
_MACHINES = {62: _X86_64, 183: _GENERIC, 243: _GENERIC}  # EM_X86_64, EM_AARCH64, EM_RISCV
_ELF_64_LITTLE = b"\x7fELF\x02\x01"

_POLLIN_BITS = 0x0001 | 0x0040 | 0x0080  # POLLIN, POLLRDNORM, POLLRDBAND; EPOLLIN and its kin have the same values
_POLLFD = struct.Struct("=ihh")
_FOREVER = 0xFFFF_FFFF  # -1 as an int, as registers show it
_DEV_TTY = os.makedev(5, 0)  # the name of each process's own terminal
_OWN_EVENTS = ("anon_inode:[eventfd]", "anon_inode:[signalfd]", "anon_inode:[timerfd]")


class Asking:
    """What was found: the verdict, and who it is about (pid 0: nobody in particular).

    With UNKNOWN, `process` is one that sleeps in the foreground of the terminal and may not be looked into, as sudo(8).
    """

    __slots__ = ("process", "verdict")

    def __init__(self, verdict: str, process: system.Process | None = None) -> None:
        self.verdict = verdict
        self.process = process


class JobInput:
    """The job's input, as /proc/PID/fd shows it in its processes.

    Args:
        identity: st_dev and st_ino of the pipe, or of the terminal that the job has.
        terminal: st_rdev of the terminal; 0 for a pipe.
        has_time_limit: whether reading it ends by itself after a time (VTIME of termios).
        foreground: the process group in the foreground of the terminal.
    """

    def __init__(
        self, identity: tuple[int, int], terminal: int = 0, *, has_time_limit: bool = False, foreground: int = 0
    ) -> None:
        self._identity = identity
        self._terminal = terminal
        self.has_time_limit = has_time_limit
        self.foreground = foreground

    def is_at(self, path: str, process: system.Process) -> bool:
        """Whether the descriptor at /proc/PID/fd/N is this input.

        Raises:
            OSError: it may not be looked at, or is closed now.
        """
        found = os.stat(path)
        if found.st_rdev == _DEV_TTY and self._terminal:
            return _terminal_of(process.pid) == self._terminal
        return (found.st_dev, found.st_ino) == self._identity


def look(processes: "Iterable[system.Process]", job_input: JobInput) -> Asking:
    """Return whether one of these processes waits for the input."""
    if not system.LINUX:
        return Asking(UNKNOWN)
    found = Asking(NO)
    threads_left = _MAX_THREADS
    for process in processes:
        if process.state != "S":
            continue  # it runs, is stopped, or waits for a disk
        verdict, threads = _look_at(process, job_input, threads_left)
        threads_left -= threads
        if verdict == ONLY:
            return Asking(ONLY, process)
        if verdict == ALSO or (verdict == UNKNOWN and found.verdict == NO):
            in_foreground = process.group == job_input.foreground
            found = Asking(verdict, process if verdict == ALSO or in_foreground else None)
    return found


def _look_at(process: system.Process, job_input: JobInput, most_threads: int) -> tuple[str, int]:
    """Return the verdict on one process, and how many of its threads were looked at."""
    view = _View(process, job_input)
    try:
        threads = os.listdir(f"/proc/{process.pid}/task")
        if len(threads) > most_threads:
            return UNKNOWN, 0
        doings = [view.doing(thread) for thread in threads]
    except FileNotFoundError:
        return NO, 0  # it has ended
    except ProcessLookupError:
        return NO, 0
    except (OSError, ValueError):
        return UNKNOWN, 1
    if "asks" in doings:
        return (ONLY if set(doings) <= {"asks", "idle"} else ALSO), len(threads)
    if "also" in doings:
        return ALSO, len(threads)
    return (UNKNOWN if "unknown" in doings else NO), len(threads)


class _View:
    """One process, looked into through /proc."""

    def __init__(self, process: system.Process, job_input: JobInput) -> None:
        self._process = process
        self._input = job_input
        self._root = f"/proc/{process.pid}"
        self._calls: dict[int, str] | None = None

    def doing(self, thread: str) -> str:
        """Return what a thread does: asks, also (asks for other things, too), idle, busy or unknown.

        Raises:
            OSError: we may not know.
            ValueError: what was read makes no sense, e.g. because the process changed meanwhile.
        """
        words = _read(f"{self._root}/task/{thread}/syscall").split()
        if len(words) < 7:
            return "busy"  # "running", or blocked by something that is no call, such as a page fault
        number, *arguments = (int(word, 0) for word in words[:7])
        match self._names().get(number, "other"):
            case "idle":
                return "idle"
            case "read":
                return self._reads(arguments[0])
            case "sendfile":
                return self._reads(arguments[1])
            case "poll":
                return self._polls(self._polled(arguments[0], arguments[1]), arguments[2] & _FOREVER != _FOREVER)
            case "ppoll":
                return self._polls(self._polled(arguments[0], arguments[1]), bool(arguments[2]))
            case "select" | "pselect":
                return self._polls(self._selected(arguments[0], arguments[1:4]), bool(arguments[4]))
            case "epoll":
                return self._polls(self._registered(arguments[0]), arguments[3] & _FOREVER != _FOREVER)
            case "epoll_pwait2":
                return self._polls(self._registered(arguments[0]), bool(arguments[3]))
            case "restarted" | "io_uring":
                return "unknown" if self._holds_input() else "busy"
        return "busy"

    def _names(self) -> dict[int, str]:
        """Return what the numbers of calls mean in this process.

        Raises:
            ValueError: it is a program of a machine that we do not know.
        """
        if self._calls is None:
            with open(f"{self._root}/exe", "rb", buffering=0) as file:
                header = file.read(20)
            machine = int.from_bytes(header[18:20], "little")
            if not header.startswith(_ELF_64_LITTLE) or machine not in _MACHINES:
                raise ValueError("not a program whose system calls we know")
            self._calls = _MACHINES[machine]
        return self._calls

    def _reads(self, fd: int) -> str:
        if not self._input.is_at(f"{self._root}/fd/{fd}", self._process):
            return "busy"
        return "also" if self._input.has_time_limit else "asks"

    def _polls(self, polled: "Iterable[tuple[int, bool]]", has_time_limit: bool) -> str:
        """Return what waiting for these descriptors means; each comes with whether it is for reading."""
        asks, others = False, False
        for fd, for_reading in polled:
            path = f"{self._root}/fd/{fd}"
            if self._input.is_at(path, self._process):
                asks |= for_reading
            elif not self._is_own(fd, os.readlink(path)):
                others = True
        if not asks:
            return "busy" if others else "idle"
        return "also" if others or has_time_limit else "asks"

    def _polled(self, address: int, count: int) -> "Iterator[tuple[int, bool]]":
        """Yield what poll(2) was given: struct pollfd in the memory of the process."""
        if count > _MAX_POLLED:
            raise ValueError("too many descriptors")
        for fd, events, _ in _POLLFD.iter_unpack(self._memory(address, count * _POLLFD.size)):
            if fd >= 0:
                yield fd, bool(events & _POLLIN_BITS)

    def _selected(self, count: int, sets: list[int]) -> "Iterator[tuple[int, bool]]":
        """Yield what select(2) was given: sets of bits for reading, writing and exceptions."""
        count = min(count, _MAX_POLLED)
        for address in sets:
            bits = int.from_bytes(self._memory(address, (count + 63) // 64 * 8), "little") if address else 0
            for fd in range(count):
                if bits >> fd & 1:
                    yield fd, address == sets[0]

    def _registered(self, epoll_fd: int, depth: int = 0) -> "Iterator[tuple[int, bool]]":
        """Yield what an epoll(7) instance waits for, as its fdinfo tells."""
        if depth > _MAX_NESTING:
            raise ValueError("epoll in epoll in epoll …")
        for line in _read(f"{self._root}/fdinfo/{epoll_fd}").splitlines():
            if not line.startswith(b"tfd:"):
                continue
            words = line.split()
            fd, events, inode = int(words[1]), int(words[3], 16), int(line.partition(b"ino:")[2].split()[0], 16)
            path = f"{self._root}/fd/{fd}"
            if os.stat(path).st_ino != inode:
                raise ValueError("the descriptor means something else now")
            if os.readlink(path) == "anon_inode:[eventpoll]":
                yield from self._registered(fd, depth + 1)
            else:
                yield fd, bool(events & _POLLIN_BITS)

    def _memory(self, address: int, size: int) -> bytes:
        """Return a part of the memory of the process.

        Raises:
            OSError: we may not, or there is none.
            ValueError: there is less.
        """
        fd = os.open(f"{self._root}/mem", os.O_RDONLY | os.O_CLOEXEC)
        try:
            data = os.pread(fd, size, address)
        finally:
            os.close(fd)
        if len(data) < size:
            raise ValueError("it ends there")
        return data

    def _is_own(self, fd: int, link: str) -> bool:
        """Whether only the process itself can make a descriptor readable."""
        if link in _OWN_EVENTS:
            return True
        if link.startswith("pipe:"):
            return any(link == other for number, other in self._links() if number != fd)
        if link.startswith("socket:"):
            return self._is_own_pair(link)
        return False

    def _is_own_pair(self, link: str) -> bool:
        """Whether a socket's other end is in the same process: both were made at once, so their numbers are neighbours.

        Only unnamed Unix sockets come in such pairs.
        """
        inode = int(link[8:-1])
        held = {other for _, other in self._links()}
        for pair in ((inode, inode - 1), (inode, inode + 1)):
            if f"socket:[{pair[1]}]" in held and self._unnamed_sockets() >= set(pair):
                return True
        return False

    def _unnamed_sockets(self) -> set[int]:
        """Return the inodes of the Unix sockets without a name."""
        lines = _read(f"{self._root}/net/unix").splitlines()[1:]
        return {int(words[6]) for words in map(bytes.split, lines) if len(words) == 7}

    def _links(self) -> "Iterator[tuple[int, str]]":
        """Yield every descriptor and what it is."""
        for name in os.listdir(f"{self._root}/fd"):
            try:
                yield int(name), os.readlink(f"{self._root}/fd/{name}")
            except FileNotFoundError:
                continue  # closed meanwhile

    def _holds_input(self) -> bool:
        """Whether the process has the input open at all."""
        return any(self._input.is_at(f"{self._root}/fd/{fd}", self._process) for fd, _ in self._links())


def _read(path: str) -> bytes:
    with open(path, "rb", buffering=0) as file:
        return file.readall()


def _terminal_of(pid: int) -> int:
    """Return the device number of the terminal that controls a process (tty_nr of proc(5))."""
    stat = _read(f"/proc/{pid}/stat")
    number = int(stat[stat.rindex(b")") :].split()[5])
    return os.makedev(number >> 8 & 0xFFF, number & 0xFF | number >> 12 & 0xFFF00)

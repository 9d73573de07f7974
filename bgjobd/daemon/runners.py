"""Links to the zygote and to runners: start a runner, talk to it, see its death. The only user of runner.control.

What arrives here from runners are hints; what is true stands in a job's records on disk.
"""

import asyncio
import contextlib
import logging
import os
import signal
import socket
import sys
import time
from collections import deque
from collections.abc import Callable

from bgjobd.errors import BgjobError, ErrorCode
from bgjobd.runner import control

logger = logging.getLogger("bgjobd.runners")

Fields = dict[str, list[bytes]]

_RUNNER_MAIN = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "runner", "__main__.py")
_MAX_PACKET_BYTES = 4096  # "ended <job id>" and its like
# A zygote that ends this soon after its start, this often in a row, is broken: starting more at once would only burn.
_QUICK_DEATH_S, _QUICK_DEATHS, _LONGEST_PAUSE_S = 2.0, 3, 5.0

# ld.so(8): all symbols are looked up at once, not by each fork for itself in memory of its own.
_ZYGOTE_ENVIRONMENT = {"LD_BIND_NOW": "1"}


def spawn_zygote(state_dir: str) -> tuple[int, socket.socket]:
    """Start a zygote and return its pid and our end of the socket pair.

    Called before anything else is loaded or any thread exists; later only when a zygote died.

    Raises:
        OSError: the process could not be started.
    """
    kind = socket.SOCK_SEQPACKET if sys.platform == "linux" else socket.SOCK_STREAM
    ours, theirs = socket.socketpair(socket.AF_UNIX, kind)
    with theirs:
        # Found by the zygote as descriptor 3, whatever number it has here: -I -S -E leave it nothing else to find.
        argv = [sys.executable, "-I", "-S", "-E", _RUNNER_MAIN, "zygote", "3", state_dir]
        number = theirs.fileno()
        # posix_spawn's dup2 onto the same number would keep close-on-exec: move it away first.
        spare = os.dup(number) if number == 3 else -1
        try:
            pid = os.posix_spawn(
                sys.executable,
                argv,
                os.environ | _ZYGOTE_ENVIRONMENT,
                file_actions=[
                    (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDWR, 0),
                    (os.POSIX_SPAWN_DUP2, 0, 1),
                    (os.POSIX_SPAWN_DUP2, spare if spare >= 0 else number, 3),
                ],
                setsid=True,
            )
        finally:
            if spare >= 0:
                os.close(spare)
    ours.setblocking(False)
    return pid, ours


class ZygoteLink:
    """Asks the zygote for runners. Replaces a zygote that died."""

    def __init__(
        self,
        state_dir: str,
        pid: int,
        link: socket.socket,
        on_hint: Callable[[str, str], None],
        on_replaced: Callable[[], None],
        on_broken: Callable[[], None],
    ) -> None:
        self._state_dir = state_dir
        self.pid = pid
        self._socket = link
        self._on_hint = on_hint
        self._on_replaced = on_replaced
        self._on_broken = on_broken
        self._started = time.monotonic()
        self._quick_deaths = 0
        self._waiting: deque[bytes] = deque()  # packets the socket had no room for
        self._is_full = False  # so that there are some
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(link.fileno(), self._readable)

    def spawn(self, job_dir: str) -> None:
        """Ask for a runner for the job in `job_dir`. Its records say what became of it."""
        self._waiting.append(b"spawn " + os.fsencode(job_dir))
        self._flush()

    def close(self) -> None:
        """Let the zygote know that we are gone; it stays for its runners."""
        if self._socket.fileno() < 0:
            return  # between two zygotes
        self._loop.remove_reader(self._socket.fileno())
        self._loop.remove_writer(self._socket.fileno())
        self._socket.close()

    def _flush(self) -> None:
        if self._socket.fileno() < 0:
            return  # between two zygotes: asked for again by what the records say
        while self._waiting:
            try:
                self._socket.send(self._waiting[0])
            except BlockingIOError:
                self._loop.add_writer(self._socket.fileno(), self._flush)
                self._is_full = True
                return
            except OSError:
                self._replace()
                return
            self._waiting.popleft()
        if self._is_full:
            self._loop.remove_writer(self._socket.fileno())
            self._is_full = False

    def _readable(self) -> None:
        while True:
            try:
                packet = self._socket.recv(_MAX_PACKET_BYTES)
            except BlockingIOError:
                return
            except OSError:
                packet = b""
            if not packet:
                self._replace()
                return
            self._quick_deaths = 0
            kind, _, job_id = packet.decode("ascii", "replace").partition(" ")
            self._on_hint(kind, job_id)

    def _replace(self) -> None:
        """The zygote is gone: start another. Its runners go on by themselves."""
        logger.warning("zygote died: pid=%s", self.pid)
        self.close()
        self._waiting.clear()  # the jobs are asked for again, by what their records say
        self._is_full = False
        if time.monotonic() - self._started < _QUICK_DEATH_S:
            self._quick_deaths += 1
        if self._quick_deaths < _QUICK_DEATHS:
            self._start()
            return
        self._on_broken()
        pause_s = min(_LONGEST_PAUSE_S, 0.1 * 2 ** (self._quick_deaths - _QUICK_DEATHS))
        self._loop.call_later(pause_s, self._start)

    def _start(self) -> None:
        self._started = time.monotonic()
        try:
            self.pid, self._socket = spawn_zygote(self._state_dir)
        except OSError:
            logger.exception("cannot start a zygote")
            self._quick_deaths += 1
            self._on_broken()
            self._loop.call_later(_LONGEST_PAUSE_S, self._start)
            return
        self._loop.add_reader(self._socket.fileno(), self._readable)
        self._on_replaced()


class RunnerLink(asyncio.Protocol):
    """A connection to one runner. Requests are multiplexed; when the runner is gone, all of them fail."""

    def __init__(self) -> None:
        self._frames = control.Frames()
        self._transport: asyncio.Transport | None = None
        self._sequence = 0
        self._pending: dict[int, asyncio.Future[Fields]] = {}
        self.gone = asyncio.Event()  # the runner ended, or hung up

    @classmethod
    async def connect(cls, path: str) -> "RunnerLink":
        """Connect to the runner that listens at `path`.

        Raises:
            OSError: nobody listens there.
        """
        _, link = await asyncio.get_running_loop().create_unix_connection(cls, path)
        return link

    @property
    def closed(self) -> bool:
        """Whether the runner is gone."""
        return self._transport is None

    def send(self, op: int, payload: bytes = b"") -> "tuple[int, asyncio.Future[Fields]]":
        """Send a request; return its sequence number and the future of its reply.

        The future fails with BgjobError NOT_RUNNING when the runner goes away first.
        """
        self._sequence += 1
        future: asyncio.Future[Fields] = asyncio.get_running_loop().create_future()
        if self._transport is None:
            future.set_exception(_gone())
            future.exception()  # retrieved: nobody has to look at it
        else:
            self._pending[self._sequence] = future
            self._transport.write(control.frame(op, self._sequence, payload))
        return self._sequence, future

    async def request(self, op: int, payload: bytes = b"") -> Fields:
        """Send a request and wait for its reply.

        Raises:
            BgjobError: NOT_RUNNING when the runner goes away first.
        """
        sequence, future = self.send(op, payload)
        try:
            return await future
        finally:
            self._pending.pop(sequence, None)

    def close(self) -> None:
        """Hang up."""
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """asyncio.Protocol."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Hand each reply to whoever asked."""
        try:
            for _, sequence, payload in self._frames.feed(data):
                future = self._pending.pop(sequence, None)
                if future is not None and not future.done():
                    future.set_result(control.unpack_fields(payload))
        except control.ControlError:
            logger.exception("a runner sent what is not our protocol")
            if self._transport is not None:
                self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """The runner is gone, or hung up."""
        self._transport = None
        self.gone.set()
        pending, self._pending = self._pending, {}
        for future in pending.values():
            if not future.done():
                future.set_exception(_gone())
                future.exception()


def _gone() -> BgjobError:
    return BgjobError(
        ErrorCode.NOT_RUNNING, "cannot reach the job's runner: it has just ended", "Ask for the job's status."
    )


def text(fields: Fields, name: str, default: str = "") -> str:
    """Return the first value of a field as text."""
    values = fields.get(name)
    return values[0].decode("utf-8", "surrogateescape") if values else default


def number(fields: Fields, name: str, default: int = 0) -> int:
    """Return the first value of a field as a number."""
    values = fields.get(name)
    return int(values[0]) if values else default


class ProcessWatch:
    """Calls back once when a process that is not our child has ended (pidfd, Linux 5.3; `pidfd_open(2)`)."""

    def __init__(self, pidfd: int, callback: Callable[[], None]) -> None:
        self._pidfd = pidfd
        self._callback = callback
        asyncio.get_running_loop().add_reader(pidfd, self._fired)

    def _fired(self) -> None:
        self.close()
        self._callback()

    def signal(self, number: int) -> None:
        """Send it a signal, unless it is gone."""
        with contextlib.suppress(OSError):
            signal.pidfd_send_signal(self._pidfd, number)

    def close(self) -> None:
        """Watch no longer."""
        if self._pidfd >= 0:
            asyncio.get_running_loop().remove_reader(self._pidfd)
            os.close(self._pidfd)
            self._pidfd = -1

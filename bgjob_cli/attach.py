"""Joins a job's terminal: shows it, passes keys and the window's size on, and lets go of it on a sequence of keys.

The main thread reads keys and takes signals; one thread shows output, one sends input, so that neither a window nor a
job that is stuck keeps a person from leaving. Each of the two has its own
connection and outlives the daemon behind it: output goes on at its cursor, and input that was under way when the daemon
died is not sent again, because nobody knows whether it arrived.

The window counts for the size of the terminal as long as the sender's connection lives (see `Resize`), so it is told
again after each loss.
"""

import os
import queue
import select
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from bgjob_cli.connection import Daemon
from bgjob_cli.detach_keys import DetachKeys
from bgjob_cli.job_text import label
from bgjob_cli.output import Output
from bgjob_cli.own_terminal import OwnTerminal, PassedModes
from bgjobd.errors import BgjobError, ErrorCode
from bgjobd.protocol import Follow, FollowReply, JobInfo, Ping, Resize, Screen, ScreenReply, Send, Status

__all__ = ["Detached", "LineSender", "attach"]

_STDIN, _STDOUT = 0, 1
_READ_BYTES = 1 << 16
_UNDECIDED_S = 0.5  # after this a key that could begin the detach sequence was meant for the program
_MAX_UNSENT_BYTES = 1 << 20  # typed ahead of a job that does not read; more is dropped, as a terminal does
_SLOW_WRITE_S = 0.2  # a window that takes so long for one piece of output may be behind
_MOST_BEHIND_BYTES = 1 << 20  # then what it has not shown yet is left out, and the screen painted as it is now
_STUCK_WRITE_S = 1.0  # a window that takes no output does not keep us from leaving
_FLUSH_S = 1.0  # nor does a job that takes no input
_JOB_IS_ENDING = frozenset({ErrorCode.NOT_RUNNING, ErrorCode.STDIN_CLOSED})
_LOST = frozenset({ErrorCode.CONNECTION_LOST, ErrorCode.SHUTTING_DOWN})
_SIGNALS = (signal.SIGWINCH, signal.SIGCONT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)


class Detached(Exception):
    """The person has let go of the job, or was made to; the job goes on."""


def attach(daemon: Daemon, job: JobInfo, keys: DetachKeys) -> JobInfo:
    """Show the terminal of `job` in ours until it ends, and return it as it ended.

    Args:
        daemon: to ask for the screen.
        job: a running job with a terminal.
        keys: what detaches.

    Raises:
        Detached: the keys were pressed, or we were told to end.
        BgjobError: the daemon cannot be reached any more, or the job is gone.
    """
    terminal = OwnTerminal()
    session = _Session(job, keys, terminal)
    with _signals_to(session.wake_fd):
        terminal.enter()
        try:
            return session.run(daemon)
        except OSError as error:  # the window was closed
            raise Detached from error
        finally:
            session.leave_screen()
            terminal.leave()


@contextmanager
def _signals_to(fd: int) -> Iterator[None]:
    """Have the numbers of signals written to `fd` instead of having them end us."""
    before = {number: signal.signal(number, lambda *_: None) for number in _SIGNALS}
    signal.set_wakeup_fd(fd, warn_on_full_buffer=False)
    try:
        yield
    finally:
        signal.set_wakeup_fd(-1)
        for number, handler in before.items():
            signal.signal(number, handler)


class _Session:
    """One attachment, from the first painting to its end."""

    def __init__(self, job: JobInfo, keys: DetachKeys, terminal: OwnTerminal) -> None:
        self._job = job
        self._keys = keys
        self._terminal = terminal
        self._modes = PassedModes()
        self._outcome: queue.SimpleQueue[JobInfo | BaseException] = queue.SimpleQueue()
        self._woken, self.wake_fd = os.pipe()
        os.set_blocking(self.wake_fd, False)
        self._sender = _Sender(job.job_id, self._finish)
        self._showing = threading.Lock()
        self._output: threading.Thread | None = None
        self._is_over = False
        self._without_notice = b""  # what takes our notice off the screen, as long as it is there

    def run(self, daemon: Daemon) -> JobInfo:
        """Paint, then pass on both ways until the job ends. Raises as `attach`."""
        self._sender.start(*self._terminal.size)
        screen = daemon.call(Screen(job=self._job.job_id, paint=True))
        self._output = threading.Thread(target=self._follow, args=(screen,), name="output", daemon=True)
        self._output.start()
        while self._outcome.empty():
            self._wait()
        outcome = self._outcome.get()
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    def leave_screen(self) -> None:
        """Let no more output through, and undo what it did to the terminal."""
        self._is_over = True
        if self._showing.acquire(timeout=_STUCK_WRITE_S):
            self._showing.release()
            writer = None
        else:
            writer = self._output
        self._terminal.show_last(self._modes.undo(), _STUCK_WRITE_S, writer)

    def _finish(self, outcome: JobInfo | BaseException) -> None:
        """Let `run` end. Any thread may call it."""
        self._outcome.put(outcome)
        try:
            os.write(self.wake_fd, b"\0")
        except BlockingIOError:
            return  # it has been woken often enough

    # --- keys and signals --------------------------------------------------------------------------------------------

    def _wait(self) -> None:
        """Wait for whatever comes next, and deal with it."""
        poll = select.poll()
        poll.register(_STDIN, select.POLLIN)
        poll.register(self._woken, select.POLLIN)
        ready = dict(poll.poll(_UNDECIDED_S * 1000 if self._keys.is_undecided else None))
        if not ready:
            self._sender.type(self._keys.give_up())
        if self._woken in ready:
            for number in os.read(self._woken, _READ_BYTES):
                self._take_signal(number)
        if _STDIN in ready:
            self._take_keys(os.read(_STDIN, _READ_BYTES))

    def _take_signal(self, number: int) -> None:
        """Take a signal; 0 only woke us."""
        if number == signal.SIGWINCH:
            self._sender.resize(*self._terminal.size)
        elif number == signal.SIGCONT:
            self._terminal.enter()
        elif number:
            self._finish(Detached())

    def _take_keys(self, typed: bytes) -> None:
        if self._without_notice:
            self._show(b"")
        passed, detach = self._keys.feed(typed)
        self._sender.type(passed)
        if detach or not typed:  # nothing: the window was closed
            self._sender.flush()
            self._finish(Detached())

    # --- output ------------------------------------------------------------------------------------------------------

    def _paint(self, screen: ScreenReply) -> None:
        """Draw the job's screen, and on it how to detach."""
        rows, columns = self._terminal.size
        notice = f" {label(self._job)}: {self._keys.text} detaches "[:columns]
        keep = self._modes.begin()
        # What stands in the window scrolls out of it, and is not lost.
        notice = f"\x1b7\x1b[?6l\x0f\x1b(B\x1b[{rows};1H\x1b[7m{notice}\x1b[0m\x1b8"
        with self._showing:
            if not self._is_over:
                self._modes.feed(screen.paint)
                _write_all(keep + b"\r\n" * rows + screen.paint + notice.encode())
                self._without_notice = screen.paint

    def _follow(self, screen: ScreenReply) -> None:
        """Show the job's screen, and from then on what it writes; at the end say so."""
        try:
            self._paint(screen)
            cursor, job = screen.cursor, None
            while job is None:
                with Daemon(on_connect=self._sender.tell_size_again) as daemon:
                    cursor, job = self._follow_while_fast(daemon, cursor)
            self._finish(job)
        except OSError:
            self._finish(Detached())  # our window is gone
        except Exception as error:  # the top of a thread: the main one raises it, once the window is ordinary again
            self._finish(error)

    def _follow_while_fast(self, daemon: Daemon, cursor: int) -> tuple[int, JobInfo | None]:
        """Show what the job writes from `cursor` on, until it ends, or the window is far behind: then catch up.

        Returns:
            Where to go on, and the job when it has ended.
        """
        request = Follow(job=self._job.job_id, since=cursor, leftovers=False)
        for item in daemon.follow(request):
            if isinstance(item, FollowReply):
                return item.cursor, item.job
            if item.run is None:
                continue
            before = time.monotonic()
            self._show(item.run.data)
            if time.monotonic() - before > _SLOW_WRITE_S:
                caught_up = self._catch_up(item.run.offset + len(item.run.data))
                if caught_up is not None:
                    return caught_up, None
        return cursor, self._job

    def _catch_up(self, shown: int) -> int | None:
        """Where the job has written much more than was shown, paint its screen; return the cursor behind it."""
        with Daemon() as daemon:
            written = daemon.call(Status(jobs=[self._job.job_id])).jobs[0].output_bytes
            if written - shown <= _MOST_BEHIND_BYTES:
                return None
            screen = daemon.call(Screen(job=self._job.job_id, paint=True))
        with self._showing:
            if not self._is_over:
                as_before = self._modes.undo()
                self._modes = PassedModes()
                _write_all(as_before + self._modes.begin() + screen.paint)
                self._modes.feed(screen.paint)
        return screen.cursor

    def _show(self, data: bytes) -> None:
        """Write output; before the first of it, the screen as it was painted, without our notice."""
        with self._showing:
            if not self._is_over:
                notice, self._without_notice = self._without_notice, b""
                self._modes.feed(data)
                _write_all(notice + data)


class _Sender:
    """Sends keys and sizes in the order in which they came, in a thread of its own: a job need not read at once.

    Args:
        job_id: of the job.
        on_failure: called with what makes it impossible to go on.
    """

    def __init__(self, job_id: str, on_failure: Callable[[BaseException], None]) -> None:
        self._job_id = job_id
        self._on_failure = on_failure
        self._news = threading.Condition()
        self._typed = bytearray()
        self._size = (24, 80)
        self._size_is_news = False
        self._is_sending = False
        self._is_sized = threading.Event()

    def start(self, rows: int, columns: int) -> None:
        """Begin to send; return when the job's terminal has the size of the window, or cannot get it."""
        self.resize(rows, columns)
        threading.Thread(target=self._run, name="input", daemon=True).start()
        self._is_sized.wait()

    def type(self, data: bytes) -> None:
        """Queue keys."""
        with self._news:
            if len(self._typed) < _MAX_UNSENT_BYTES:
                self._typed += data
                self._news.notify_all()

    def flush(self) -> None:
        """Wait until everything was sent; not for long, as the job may not read."""
        with self._news:
            self._news.wait_for(lambda: not (self._typed or self._is_sending), timeout=_FLUSH_S)

    def resize(self, rows: int, columns: int) -> None:
        """Queue a new size of the window."""
        with self._news:
            self._size = (rows, columns)
        self.tell_size_again()

    def tell_size_again(self) -> None:
        """Queue the size: whoever knew it may be gone."""
        with self._news:
            self._size_is_news = True
            self._news.notify_all()

    def _run(self) -> None:
        try:
            with Daemon(on_connect=self.tell_size_again) as daemon:
                while True:
                    self._send_unless_it_ends(daemon, self._next())
                    self._is_sized.set()
        except Exception as error:  # the top of a thread, as in `_follow`
            self._on_failure(error)
        finally:
            self._is_sized.set()

    def _next(self) -> bytes:
        """Wait for something to send; return what was typed."""
        with self._news:
            self._is_sending = False
            self._news.notify_all()
            self._news.wait_for(lambda: self._typed or self._size_is_news)
            self._is_sending = True
            typed = bytes(self._typed)
            self._typed.clear()
            return typed

    def _send_unless_it_ends(self, daemon: Daemon, typed: bytes) -> None:
        try:
            self._send(daemon, typed)
        except BgjobError as error:
            if error.code not in _JOB_IS_ENDING:
                raise

    def _send(self, daemon: Daemon, typed: bytes) -> None:
        daemon.call(Ping())  # finds a new daemon where the old one is gone, before keys are lost to it
        with self._news:
            told, self._size_is_news = self._size_is_news, False
            rows, columns = self._size
        if told:
            daemon.call(Resize(job=self._job_id, rows=rows, columns=columns, hold=True))
        if typed:
            self._send_once(daemon, typed)

    def _send_once(self, daemon: Daemon, typed: bytes) -> None:
        """Send keys; never again when the daemon dies over it, because nobody knows whether they arrived."""
        try:
            daemon.call(Send(job=self._job_id, data=typed), repeat=False)
        except BgjobError as error:
            if error.code not in _LOST:
                raise
            daemon.close()


class LineSender(threading.Thread):
    """Sends the lines that a person types to a job without a terminal, and closes its input at their end (Ctrl-D)."""

    def __init__(self, job_id: str, output: Output) -> None:
        super().__init__(name="lines", daemon=True)
        self._job_id = job_id
        self._output = output

    def run(self) -> None:
        """Send until the input ends or the job takes no more."""
        with Daemon() as daemon:
            typed = b"\n"
            while typed and self._send(daemon, typed := os.read(_STDIN, _READ_BYTES)):
                continue

    def _send(self, daemon: Daemon, typed: bytes) -> bool:
        try:
            daemon.call(Ping())
            daemon.call(Send(job=self._job_id, data=typed, eof=not typed), repeat=False)
        except BgjobError as error:
            if error.code is not ErrorCode.NOT_RUNNING:
                self._output.talk(f"bgjob: {error.message}", "warn")
            return error.code in _LOST
        return True


def _write_all(data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(_STDOUT, view) :]

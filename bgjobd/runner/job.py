"""One job from its spec to its exit record: the runner's event loop and the job's states.

Theory of operation. Callbacks only collect facts: a child ended, bytes were moved, a timer fired, a peer asked. After
every round of the loop `_step` looks at the facts and decides; nothing else changes the state.

    RUNNING    the main process lives
    DRAINING   it was reaped. What is in the pipes is moved; what ends right behind it is awaited (_SETTLE_S). If the
               tree is being ended, by a kill or because leftovers are not wanted, that is awaited too
    LEFT       the exit record is written; descendants go on running, and their output goes on into the log
    ENDED      nobody is left, the record says so, the runner ends

RUNNING -> DRAINING -> ENDED, or -> LEFT -> ENDED. A full disk delays each step and loses none of them.
"""

import errno
import os
import time

from bgjobd.runner import asking, control, system
from bgjobd.runner.confined import leaf_of
from bgjobd.runner.control import unpack_fields
from bgjobd.runner.control_server import Connection, ControlServer, Request
from bgjobd.runner.ladder import Ladder
from bgjobd.runner.logfile import LogWriter
from bgjobd.runner.loop import Loop
from bgjobd.runner.pump import Pump, Source
from bgjobd.runner.receipt import MAX_LISTED, Signalled, pack_left, pack_signalled
from bgjobd.runner.records import ExitRecord, RunRecord, write_record
from bgjobd.runner.signals import SIGKILL, signal, signal_name
from bgjobd.runner.stdin import StandardInput
from bgjobd.runner.terminal import Terminal
from bgjobd.runner.tree import Tree

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from bgjobd.runner.claim import Claim
    from bgjobd.runner.start import Links

RUNNING, DRAINING, LEFT, ENDED = "running", "draining", "left", "ended"

# What follows the main process that quickly ended with it: `tee` of a process substitution, a child being reaped.
_SETTLE_S = 0.05
_FIRST_RETRY_S = 0.1
_LONGEST_RETRY_S = 2.0
_CPU_LOOK_S = 1.0  # how often a job's processor time is looked at, at most
_CPU_SLACK_S = 0.1  # a single process that reaches the limit gets SIGXCPU, and it shall be that


class Stop:
    """Who is ending the main process, and why, in the words of the exit record."""

    __slots__ = ("actor", "kill_reason", "reason")

    def __init__(self, reason: str, actor: str | None, kill_reason: str | None) -> None:
        self.reason = reason
        self.actor = actor
        self.kill_reason = kill_reason


class Writer:
    """Puts records on the disk, again and again while it is full. At most one write waits under each name."""

    __slots__ = ("_directory", "_fsync", "_loop", "_retry_s", "blocked")

    def __init__(self, loop: Loop, directory: str, *, fsync: bool) -> None:
        self.blocked = ""
        self._loop = loop
        self._directory = directory
        self._fsync = fsync
        self._retry_s = _FIRST_RETRY_S

    def write(self, record: RunRecord | ExitRecord) -> bool:
        """Write now. False: the disk refused, `blocked` says why, and it is worth trying again after `next_retry_s`."""
        try:
            write_record(record, f"{self._directory}/{record.KIND}", fsync=self._fsync)
        except OSError as error:
            if error.errno == errno.ENOENT and not os.path.isdir(self._directory):
                return True  # somebody removed it all: nobody will ever read it, and waiting would have no end
            full = error.errno in (errno.ENOSPC, errno.EDQUOT)
            self.blocked = "disk full" if full else os.strerror(error.errno or 0)
            return False
        self.blocked = ""
        self._retry_s = _FIRST_RETRY_S
        return True

    def next_retry_s(self) -> float:
        """Return how long to wait before trying again: longer each time."""
        delay_s, self._retry_s = self._retry_s, min(2 * self._retry_s, _LONGEST_RETRY_S)
        return delay_s


class Job:
    """The runner's side of one running job.

    Args:
        claim: the job's lock and what was asked.
        run: the run record, complete; written here.
        tree: the job's processes.
        log: open, or to be opened by `run`.
        links: to the daemon and to the zygote.
    """

    __slots__ = (
        "_awaits_ladder",
        "_ended_ns",
        "_exit",
        "_kills",
        "_ladder",
        "_leaf",
        "_links",
        "_sent",
        "_server",
        "_settled",
        "_state",
        "_stop",
        "_terminal",
        "_watches",
        "_writer",
        "log",
        "loop",
        "pump",
        "run_record",
        "spec",
        "stdin",
        "tree",
    )

    def __init__(
        self,
        claim: "Claim",
        run: RunRecord,
        tree: Tree,
        log: LogWriter,
        links: "Links",
    ) -> None:
        self.spec = spec = claim.spec
        self.run_record = run
        self.tree = tree
        self.log = log
        self.loop = loop = links.loop
        self._links = links
        self._leaf = leaf_of(spec)
        self._writer = Writer(loop, claim.directory, fsync=spec.fsync)
        self._state = RUNNING
        self._exit = ExitRecord(started_ns=run.started_ns)
        self._stop: Stop | None = None
        self._sent: dict[int, Stop] = {}  # single signals that were asked for
        self._ladder: Ladder | None = None
        self._awaits_ladder = False
        self._kills: list[Request] = []
        self._watches: list[tuple[Request, tuple[int, str, str]]] = []  # with what its peer knows
        self._settled = False
        self._ended_ns: int | None = None
        self._server = ControlServer(loop, spec.control, self._handle, self._lost)
        self.pump: Pump
        self.stdin: StandardInput
        self._terminal: Terminal | None = None

    def attach(self, sources: list[Source], stdin_fd: int) -> None:
        """Take over the runner's ends of the standard streams; `stdin_fd` is -1 when the input is a file."""
        self.pump = Pump(self.loop, self.log, sources, self.spec.free_space_floor_bytes)
        self.stdin = StandardInput(self.loop, stdin_fd, self._input_closed)

    def attach_terminal(self, terminal: "Terminal") -> None:
        """Take over the terminal that is all of the job's standard streams, or all but its input."""
        self._terminal = terminal
        self.pump = Pump(self.loop, self.log, [terminal.source()], self.spec.free_space_floor_bytes)
        input_fd = terminal.input_fd() if self.spec.stdin_file is None else -1
        self.stdin = StandardInput(self.loop, input_fd, _nothing, terminal.end_of_file)

    def _input_closed(self) -> None:
        self._links.hub.tell(b"closed")

    def resume(self, record: ExitRecord | None, ended_ns: int | None) -> None:
        """Go on where a runner that was killed stopped; call it before `run`.

        Args:
            record: the exit record, if it was written already: only leftovers are left.
            ended_ns: when the main process ended (unix time), if that is known and there is no record yet.
        """
        self._ended_ns = ended_ns
        if record is not None:
            self._exit, self._state, self._settled = record, LEFT, True

    def run(self) -> None:
        """Supervise until nobody is left and the exit record says so."""
        self.tree.watch(self._links.signals, self.loop, self._child_ended)
        self._links.watch_zygote()
        self._open_control()
        self._write_run()
        self.pump.start()
        if self._state == RUNNING:
            self._set_time_limits()
        self.tree.reap()
        self._step()
        while self._state != ENDED:
            self.loop.run_once()
            self._step()
        self._end()

    # --- facts ---------------------------------------------------------------------------------------------------

    def _child_ended(self) -> None:
        """SIGCHLD came: from a child, or from the daemon because our socket has no name any more."""
        self.tree.reap()
        if self._ladder:
            self._ladder.child_ended()
        self._open_control()

    def _set_time_limits(self) -> None:
        now = time.monotonic()
        if self.spec.timeout_ms is not None:
            used_s = now - self.run_record.started_monotonic_ns / 1e9
            self.loop.set_timer("timeout", max(0.0, self.spec.timeout_ms / 1000 - used_s), self._timed_out)
        if self.spec.idle_timeout_ms is not None:
            self.loop.set_timer("idle", self.spec.idle_timeout_ms / 1000, self._check_idle)
        if self.spec.max_cpu_s is not None and self._leaf is not None:
            self._check_cpu()

    def _timed_out(self) -> None:
        assert self.spec.timeout_ms is not None
        why = f"it ran for longer than {self.spec.timeout_ms / 1000:g} s"
        self._stop_main(Stop("timeout", "bgjob", why))

    def _check_idle(self) -> None:
        """Output moves no timer: it is looked at when the timer fires. A job that a full disk blocks is not idle."""
        assert self.spec.idle_timeout_ms is not None
        limit_s = self.spec.idle_timeout_ms / 1000
        left_s = limit_s if self.pump.blocked else self.pump.last_output + limit_s - time.monotonic()
        if left_s > 0:
            self.loop.set_timer("idle", left_s, self._check_idle)
        else:
            self._stop_main(Stop("idle_timeout", "bgjob", f"it wrote nothing for {limit_s:g} s"))

    def _check_cpu(self) -> None:
        """Look when the job can have used up its processor time at the earliest, all processors working for it."""
        assert self.spec.max_cpu_s is not None
        assert self._leaf is not None
        left_s = self.spec.max_cpu_s + _CPU_SLACK_S - self._leaf.used_s()
        if left_s > 0:
            self.loop.set_timer("cpu", max(_CPU_LOOK_S, left_s / (os.cpu_count() or 1)), self._check_cpu)
        else:
            why = f"its processes used more than {self.spec.max_cpu_s} s of processor time together"
            self._stop_main(Stop("timeout", "bgjob", why))

    def _stop_main(self, stop: Stop) -> None:
        """A limit was reached."""
        if self._state == RUNNING and self._ladder is None:
            self._climb(self.spec.stop_signal, self.spec.grace_ms / 1000, stop)

    def _climb(self, number: int, grace_s: float, stop: Stop | None) -> None:
        """Begin to end the tree."""
        self._stop = stop
        self._awaits_ladder = True
        self._ladder = Ladder(self.loop, self.tree, self._ladder_ended, self._leaf)
        self._ladder.start(number, grace_s)

    def _ladder_ended(self, is_gone: bool) -> None:
        """Note how the kill went; without `is_gone` it goes on, but nobody is left waiting for it."""
        assert self._ladder is not None
        self._awaits_ladder = False
        record = self._exit
        record.kill_us = int((time.monotonic() - self._ladder.started) * 1e6)
        record.kill_note = self.tree.doubt if is_gone else "incomplete: some processes cannot be ended, trying on"
        survivors = 0 if is_gone else len(self.tree.living())
        if survivors > MAX_LISTED:
            record.kill_note += f"; {survivors - MAX_LISTED} more survive"
        if self.tree.unlisted:
            record.kill_note = f"{record.kill_note or 'complete'}; {self.tree.unlisted} more were killed"
        if not self.tree.main_has_ended:
            self._answer_kills()
        elif self._state == LEFT and not is_gone:
            self._write_exit()

    # --- decisions -----------------------------------------------------------------------------------------------

    def _step(self) -> None:
        """Decide what the facts mean. Called after every round of the loop, never from a callback."""
        if self._state == RUNNING and self.tree.main_has_ended:
            self._main_ended()
        if self._state == DRAINING or (self._state == LEFT and self.tree.is_gone):
            self._settle()
        if self._watches:
            self._announce()

    def _main_ended(self) -> None:
        """The main process was reaped: this is when the job ended, whatever is left to do."""
        now_ns = time.time_ns()
        self._exit.ended_ns = self._ended_ns or now_ns
        ago_ns = now_ns - self._exit.ended_ns
        # 0 at least: where nobody knows when it started, a rescue runner counts from its own start.
        self._exit.duration_us = max(0, time.monotonic_ns() - self.run_record.started_monotonic_ns - ago_ns) // 1000
        self._state = DRAINING
        if self._terminal is not None:
            self._terminal.let_go()
        self.loop.stop_timer("timeout")
        self.loop.stop_timer("idle")
        self.loop.stop_timer("cpu")
        self.loop.set_timer("settle", _SETTLE_S, self._settle_over)
        if self._stop is None and self._ladder is None:
            self._stop = self._stop_by_signal()
        self._fill_reason()

    def _stop_by_signal(self) -> Stop | None:
        """Return who asked for the signal that the main process died from."""
        status = self.tree.main_status
        if status is None or not os.WIFSIGNALED(status):
            return None
        return self._sent.get(os.WTERMSIG(status))

    def _settle_over(self) -> None:
        self._settled = True

    def _settle(self) -> None:
        """Write the exit record once all that belongs to the end has happened."""
        gone = self.tree.is_gone
        if self._awaits_ladder or not (gone or self._settled) or self.loop.remaining("record") is not None:
            return
        if not gone and self.spec.kill_leftovers and self._ladder is None:
            self._climb(self.spec.stop_signal, self.spec.grace_ms / 1000, self._stop)
        elif not self.pump.drain() or not self._write_exit():
            self._answer_kills()  # who asked for a kill need not wait for the disk

    def _write_exit(self) -> bool:
        """Write the exit record as things are now, and go on to LEFT or ENDED; False while the disk refuses."""
        self._fill_exit()
        if not self._writer.write(self._exit):
            self.loop.set_timer("record", self._writer.next_retry_s(), _nothing)
            return False
        self._state = ENDED if self.tree.is_gone else LEFT
        self._answer_kills()  # first: who hears of the end may hang up
        self._links.hint(b"ended", self.spec.job_id)
        return True

    def _fill_exit(self) -> None:
        record, tree = self._exit, self.tree
        record.status, record.by = tree.main_status, tree.seen_by
        record.utime_us, record.stime_us = tree.usage.utime_us, tree.usage.stime_us
        record.max_rss_kib = tree.usage.max_rss_kib
        record.out_end = self.log.end
        record.dropped_bytes = self.log.dropped_bytes
        record.streams_open = bool(self.pump.sources)
        living = [] if tree.is_gone else tree.living()
        record.left = len(living)
        record.left_behind = [pack_left(process.pid, process.start, process.name) for process in living[:MAX_LISTED]]
        if self._ladder is not None:
            record.killed, record.survivor = tree.receipt(), tree.survivors()

    def _fill_reason(self) -> None:
        record, status = self._exit, self.tree.main_status
        if status is None:
            record.reason, record.error = "unobserved", "its runner and zygote were killed, and nobody saw its end"
        elif self._stop is not None:
            record.reason = self._stop.reason
            record.actor, record.kill_reason = self._stop.actor, self._stop.kill_reason
        elif self._leaf is not None and self._leaf.ran_out_of_memory(status):
            record.reason = "oom"
            if self.spec.max_memory_bytes is not None:
                limit_mib = self.spec.max_memory_bytes / (1 << 20)
                record.kill_reason = f"its processes needed more than {limit_mib:g} MiB together"
        else:
            record.reason = "signal" if os.WIFSIGNALED(status) else "exit"

    def _end(self) -> None:
        """Leave nothing behind. Peers can still read what they were sent."""
        if self.spec.fsync:
            self.log.sync()
        self.stdin.close()
        self._announce()
        self._server.close()
        self.pump.close()
        if self._terminal is not None:
            self._terminal.close()
        if self._leaf is not None:
            self._leaf.close()
        self.log.close()

    # --- records and the socket, which a full disk may refuse for a while -------------------------------------------

    def _write_run(self) -> None:
        if self._writer.write(self.run_record):
            self._links.hint(b"started", self.spec.job_id)
        else:
            self.loop.set_timer("run", self._writer.next_retry_s(), self._write_run)

    def _open_control(self) -> None:
        try:
            self._server.open()
        except OSError:
            self.loop.set_timer("control", self._writer.next_retry_s(), self._open_control)

    # --- requests ------------------------------------------------------------------------------------------------

    def _handle(self, request: Request) -> None:
        handler = _HANDLERS.get(request.op)
        if handler is None:
            request.fail("unsupported")
        else:
            handler(self, request)

    def _lost(self, connection: Connection) -> None:
        """A peer went away. What it asked for goes on, except its input and its watching."""
        self._watches = [watch for watch in self._watches if watch[0].connection is not connection]
        self._kills = [request for request in self._kills if request.connection is not connection]
        self.stdin.forget(connection)

    @property
    def blocked(self) -> str:
        """Why nothing can be written at the moment; empty when all is well."""
        return self.pump.blocked or self._writer.blocked

    def _situation(self) -> tuple[int, str, str]:
        return self.log.end, self._state, self.blocked

    def _hello(self, request: Request) -> None:
        out_end, state, blocked = self._situation()
        request.reply(
            ("version", control.VERSION),
            ("job_id", self.spec.job_id),
            ("state", state),
            ("out_end", out_end),
            ("blocked", blocked),
            ("stdin_open", int(self.stdin.is_open)),
            *self._terminal_size(),
        )

    def _terminal_size(self) -> list[tuple[str, int]]:
        if self._terminal is None:
            return []
        rows, columns = self._terminal.size()
        return [("rows", rows), ("columns", columns)]

    def _input(self, request: Request) -> None:
        self.stdin.add(request)

    def _cancel_input(self, request: Request) -> None:
        self.stdin.cancel(request.connection, _number(unpack_fields(request.payload), "target", 0))
        request.reply()

    def _close_stdin(self, request: Request) -> None:
        self.stdin.end(request)

    def _resize(self, request: Request) -> None:
        fields = unpack_fields(request.payload)
        if self._terminal is None:
            request.fail("not a terminal")
            return
        try:
            self._terminal.resize(_number(fields, "rows", 24), _number(fields, "columns", 80))
        except OSError as error:
            request.fail(error.strerror or "refused")
            return
        request.reply()

    def _asking(self, request: Request) -> None:
        """Say whether somebody waits for the input: looked up now, and only now."""
        terminal = self._terminal
        found = self._look_who_asks()
        fields: list[tuple[str, bytes | str | int]] = [("verdict", found.verdict)]
        if found.process is not None:
            fields += [("pid", found.process.pid), ("name", found.process.name)]
        request.reply(*fields, ("mode", terminal.mode() if terminal is not None else ""))

    def _look_who_asks(self) -> "asking.Asking":
        if self._terminal is not None:
            job_input = self._terminal.job_input()
        else:
            job_input = asking.JobInput(self.stdin.identity()) if self.stdin.is_open else None
        if job_input is None or (self.stdin.is_open and self.stdin.has_unread):
            return asking.Asking(asking.NO)
        return asking.look(self.tree.living(), job_input)

    def _watch(self, request: Request) -> None:
        """Answer now if the peer's picture is old already, else when something happens."""
        fields = unpack_fields(request.payload)
        out_end, state, blocked = self._situation()
        known = (_text(fields, "state") or state, _text(fields, "blocked") or "")
        if out_end > _number(fields, "offset", out_end) or known != (state, blocked):
            self._answer_watch(request)
        else:
            self._watches.append((request, self._situation()))

    def _announce(self) -> None:
        """Answer those who watch and for whom there is something new."""
        situation = self._situation()
        for request, known in self._watches:
            if known != situation:
                self._answer_watch(request)
        self._watches = [watch for watch in self._watches if watch[1] == situation]

    def _answer_watch(self, request: Request) -> None:
        out_end, state, blocked = self._situation()
        request.reply(("out_end", out_end), ("state", state), ("blocked", blocked))

    def _kill(self, request: Request) -> None:
        """Start the ladder, or join the one that is under way."""
        fields = unpack_fields(request.payload)
        number = _number(fields, "signal", 0) or self.spec.stop_signal
        grace_s = _number(fields, "grace_ms", self.spec.grace_ms) / 1000
        self.tree.reap()
        if self.tree.is_gone:
            request.reply(("status", "already_terminated"))
            return
        self._kills.append(request)
        if self._ladder is None:
            main_lives = not self.tree.main_has_ended
            stop = Stop("user", _text(fields, "actor"), _text(fields, "reason"))
            self._climb(number, grace_s, stop if main_lives else self._stop)
        elif self._awaits_ladder:
            self._ladder.hurry(0.0 if number == SIGKILL else grace_s)
        else:
            self._answer_kills()  # it is at it already, and was not able to

    def _answer_kills(self) -> None:
        """Tell everyone who asked for a kill how it went."""
        kills, self._kills = self._kills, []
        if not kills:
            return
        answer = self._kill_answer()
        for request in kills:
            request.reply(*answer)

    def _kill_answer(self) -> list[tuple[str, bytes | str | int]]:
        record = self._exit
        answer: list[tuple[str, bytes | str | int]] = [
            ("status", "killed" if self.tree.is_gone else "incomplete"),
            ("kill_us", record.kill_us or 0),
            ("kill_note", record.kill_note),
        ]
        answer += [("killed", line) for line in self.tree.receipt()]
        answer += [("survivor", line) for line in self.tree.survivors()]
        return answer

    def _signal(self, request: Request) -> None:
        """Send one signal to the main process's group; to everybody when only leftovers are left."""
        fields = unpack_fields(request.payload)
        number = _number(fields, "signal", 0)
        if number not in _VALID_SIGNALS:
            request.fail(f"there is no signal {number}")
            return
        self.tree.reap()
        if self.tree.is_gone:
            request.reply(("status", "already_terminated"))
            return
        if not self.tree.main_has_ended:
            self._sent[number] = Stop("user", _text(fields, "actor"), _text(fields, "reason"))
            reached = self.tree.signal_main_group(number)
        else:
            reached = self.tree.signal_each(number)
        request.reply(("status", "signalled"), *(("killed", _signalled(process, number)) for process in reached))


_HANDLERS: "dict[int, Callable[[Job, Request], None]]" = {
    control.HELLO: Job._hello,
    control.STATUS: Job._hello,
    control.INPUT: Job._input,
    control.CANCEL_INPUT: Job._cancel_input,
    control.CLOSE_STDIN: Job._close_stdin,
    control.KILL: Job._kill,
    control.SIGNAL: Job._signal,
    control.WATCH: Job._watch,
    control.RESIZE: Job._resize,
    control.ASKING: Job._asking,
}
_VALID_SIGNALS = signal.valid_signals()


def _signalled(process: system.Process, number: int) -> bytes:
    entry = Signalled(process.pid, process.start, process.name)
    entry.signals.append(signal_name(number))
    return pack_signalled(entry)


def _number(fields: dict[str, list[bytes]], name: str, default: int) -> int:
    """Return a field as a number; a ValueError becomes the answer."""
    return int(fields[name][0]) if name in fields else default


def _text(fields: dict[str, list[bytes]], name: str) -> str | None:
    return fields[name][0].decode("utf-8", "surrogateescape") if name in fields else None


def _nothing() -> None:
    """A timer that only wakes the loop."""

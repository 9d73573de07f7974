"""Drives a zygote and its runners alone, as the daemon would: a socketpair, job directories, control sockets."""

import contextlib
import ctypes
import os
import select
import signal
import socket
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from bgjobd.runner import control
from bgjobd.runner.logfile import INDEX_RECORD, list_segments, unpack_index
from bgjobd.runner.records import ExitRecord, RunRecord, Spec, read_record, write_record
from tests.helpers.procs import processes_of
from tests.helpers.waiting import Deadline, wait_exit, wait_gone, wait_readable, wait_until

RUNNER_PROGRAM = os.path.join(os.path.dirname(os.path.abspath(control.__file__)), "__main__.py")
PATH = "/usr/local/bin:/usr/bin:/bin"
_PLENTY = 1000


class Zygote:
    """A zygote process and our end of its channel.

    Args:
        state_dir: a short, private directory.
        environment: added to the zygote's.
        prefix: of its command line.
        room_bytes: for what it has to tell us and we have not read yet (SO_SNDBUF of socket(7)).
    """

    def __init__(
        self,
        state_dir: str,
        environment: dict[str, str] | None = None,
        prefix: Sequence[str] = (),
        room_bytes: int | None = None,
    ) -> None:
        self.state_dir = state_dir
        self._prefix = prefix
        self.jobs: list[Job] = []
        self._waiting: list[tuple[str, str]] = []
        self._at_close: list[Callable[[], None]] = []
        self.channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        if room_bytes is not None:
            theirs.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, room_bytes)
        self._errors = os.open(os.path.join(state_dir, "errors"), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        argv = [*prefix, sys.executable, "-I", "-S", "-E", RUNNER_PROGRAM, "zygote", str(theirs.fileno()), state_dir]
        env = {"PATH": PATH, "BGJOB_HOME": state_dir, **(environment or {})}
        self.process = subprocess.Popen(argv, pass_fds=[theirs.fileno()], env=env, stderr=self._errors)
        theirs.close()

    @property
    def pid(self) -> int:
        return self.process.pid

    @contextlib.contextmanager
    def limited(self, limit: str, value: int) -> Iterator[None]:
        """Let the zygote, and what it forks from now on, have no more than that of something: see prlimit(1)."""
        self._set_limit(limit, f"{value}:")
        try:
            yield
        finally:
            self._set_limit(limit, f"{_PLENTY}:")

    def _set_limit(self, limit: str, value: str) -> None:
        subprocess.run([*self._prefix, "prlimit", f"--pid={self.pid}", f"--{limit}={value}"], check=True)

    def prepare(self, command: str | list[str], **values: Any) -> "Job":
        """Write a job's spec, and do not run it yet."""
        job = Job(self, command, values)
        self.jobs.append(job)
        return job

    def submit(self, command: str | list[str], **values: Any) -> "Job":
        """Send a job to the zygote."""
        job = self.prepare(command, **values)
        job.send()
        return job

    def run(self, command: str | list[str], **values: Any) -> "Job":
        """Run a job to its end, and its runner's."""
        job = self.submit(command, **values)
        job.wait_ended()
        return job

    def expect(self, word: str, job_id: str) -> None:
        """Wait for a packet; others are kept for later."""
        deadline = Deadline(f"{word!r} of {job_id}")
        while (word, job_id) not in self._waiting:
            self._waiting.append(self.next_packet(deadline))
        self._waiting.remove((word, job_id))

    def next_packet(self, deadline: Deadline | None = None) -> tuple[str, str]:
        """Wait for a packet, whichever it is, and return its two words."""
        wait_readable(self.channel.fileno(), f"a packet of the zygote\n{self.errors()}", deadline)
        packet = self.channel.recv(8192)
        assert packet, f"the zygote has ended\n{self.errors()}"
        word, _, job_id = packet.decode().partition(" ")
        return word, job_id

    def wait_exit(self) -> None:
        """Wait until the zygote has ended by itself."""
        assert wait_exit(self.process, "the zygote's end") == 0

    def on_close(self, call: Callable[[], None]) -> None:
        """Call this at the end of the test."""
        self._at_close.append(call)

    @contextlib.contextmanager
    def reaping_orphans(self) -> Iterator[None]:
        """Be the next subreaper, as the daemon is, and reap whoever comes."""
        libc = ctypes.CDLL(None)
        libc.prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER
        before = signal.signal(signal.SIGCHLD, lambda *_: _reap_orphans(self.pid))
        try:
            yield
        finally:
            signal.signal(signal.SIGCHLD, before)
            libc.prctl(36, 0, 0, 0, 0)

    def errors(self) -> str:
        """What the zygote and its runners wrote to their standard error."""
        with open(os.path.join(self.state_dir, "errors")) as file:
            return file.read()

    def take_errors(self) -> str:
        """The same, and forget it: errors that nobody takes fail a test."""
        said = self.errors()
        os.truncate(os.path.join(self.state_dir, "errors"), 0)
        return said

    def kill(self) -> None:
        """SIGKILL the zygote."""
        self.process.kill()
        wait_exit(self.process)

    def close(self) -> None:
        """End everything: the jobs, then, because its daemon is gone, the zygote by itself."""
        for call in self._at_close:
            call()
        for job in self.jobs:
            job.end()
        self.channel.close()
        if self.process.poll() is None:
            wait_exit(self.process, "the zygote's end after its daemon's")
        os.close(self._errors)

    def left_behind(self) -> list[str]:
        """Describe the processes that are still there."""
        return [str(process) for process in processes_of(self.state_dir)]


def _reap_orphans(zygote_pid: int) -> None:
    """Reap every child that has ended but the zygote."""
    while True:
        try:
            ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return
        if ended is None or ended.si_pid == zygote_pid:
            return
        with contextlib.suppress(ChildProcessError):  # this handler was interrupted by itself, which reaped it
            os.waitpid(ended.si_pid, 0)


class Job:
    """One job of a zygote."""

    def __init__(self, zygote: Zygote, command: str | list[str], values: dict[str, Any]) -> None:
        self.zygote = zygote
        self.id = str(uuid.uuid4())
        self.directory = os.path.join(zygote.state_dir, "jobs", self.id[:2], self.id)
        self.log_dir = os.path.join(self.directory, "log")
        os.makedirs(self.directory)
        argv = ["/bin/sh", "-c", command] if isinstance(command, str) else command
        env = {"PATH": PATH, "BGJOB_HOME": zygote.state_dir, **values.pop("env", {})}
        self.spec = Spec(
            job_id=self.id,
            argv=[os.fsencode(word) for word in argv],
            env=[f"{name}={value}".encode() for name, value in env.items()],
            control=values.pop("control", os.path.join(zygote.state_dir, f"{self.id}.sock")),
            **values,
        )
        write_record(self.spec, os.path.join(self.directory, "spec"))

    def send(self) -> None:
        """Send the packet that starts it."""
        self.zygote.channel.send(b"spawn " + os.fsencode(self.directory))

    # --- what happened

    def wait_started(self) -> "Job":
        self.zygote.expect("started", self.id)
        return self

    def wait_ended(self) -> ExitRecord:
        """Wait for the hint and return the record."""
        self.zygote.expect("ended", self.id)
        return self.exit()

    def wait_failed(self) -> ExitRecord:
        """Wait for the hint that it could not be started, and return the record."""
        self.zygote.expect("failed", self.id)
        return self.exit()

    def wait_runner_gone(self) -> None:
        wait_gone(self.run().runner_pid, "the runner's end")

    def run(self) -> RunRecord:
        return read_record(RunRecord, os.path.join(self.directory, "run"))

    def exit(self) -> ExitRecord:
        return read_record(ExitRecord, os.path.join(self.directory, "exit"))

    def has_exit(self) -> bool:
        return os.path.exists(os.path.join(self.directory, "exit"))

    def code(self) -> int:
        """The exit code, negative for a signal."""
        status = self.exit().status
        assert status is not None
        return os.waitstatus_to_exitcode(status)

    # --- its output

    def output(self) -> bytes:
        """All that is kept of the log."""
        parts = []
        for segment in list_segments(self.log_dir):
            with open(os.path.join(self.log_dir, f"{segment.start:016x}.log"), "rb") as file:
                parts.append(file.read())
        return b"".join(parts)

    def text(self) -> str:
        return self.output().decode()

    def wait_output(self, expected: str) -> None:
        """Wait until the log holds a text."""
        wait_until(lambda: expected in self.text(), f"{expected!r} in the log", directory=self.log_dir)

    def runs(self) -> list[tuple[int, int]]:
        """Return (offset, kind) of the index records."""
        found = []
        for segment in list_segments(self.log_dir):
            with open(os.path.join(self.log_dir, f"{segment.start:016x}.idx"), "rb") as file:
                data = file.read()
            for position in range(0, len(data), INDEX_RECORD.size):
                offset, _time_ns, kind = unpack_index(data, position)
                found.append((offset, kind))
        return found

    def stream(self, kind: int) -> bytes:
        """Return the bytes of one stream, of a log without gaps."""
        data, runs = self.output(), self.runs()
        ends = [offset for offset, _ in runs[1:]] + [len(data)]
        return b"".join(data[start:end] for (start, k), end in zip(runs, ends, strict=True) if k == kind)

    # --- steering

    def control(self) -> "Control":
        return Control(self.spec.control)

    def end(self) -> None:
        """End it whatever it is doing, for the end of a test."""
        if not os.path.exists(os.path.join(self.directory, "run")):
            return
        run = self.run()
        try:
            with self.control() as peer:
                peer.kill(signal=9)
        except OSError:
            pass  # it has ended already
        wait_gone(run.runner_pid, "the runner's end after a kill")


class Control:
    """A connection to a runner's control socket."""

    def __init__(self, path: str) -> None:
        self.socket = socket.socket(socket.AF_UNIX)
        try:
            self.socket.connect(path)
        except OSError:
            self.socket.close()
            raise
        self._frames = control.Frames()
        self._answers: dict[int, tuple[int, dict[str, list[bytes]]]] = {}
        self._sequence = 0

    def __enter__(self) -> "Control":
        return self

    def __exit__(self, *_args: object) -> None:
        self.socket.close()

    def ask(self, op: int, payload: bytes = b"", **fields: bytes | str | int) -> int:
        """Send a request and return its number."""
        self._sequence += 1
        self.socket.sendall(control.frame(op, self._sequence, payload or control.pack_fields(*fields.items())))
        return self._sequence

    def answer(self, sequence: int) -> dict[str, list[bytes]]:
        """Wait for the answer to a request."""
        deadline = Deadline("an answer of the runner")
        while sequence not in self._answers:
            wait_readable(self.socket.fileno(), "an answer of the runner", deadline)
            chunk = self.socket.recv(65536)
            if not chunk:
                raise ConnectionResetError("the runner closed the connection")
            for op, number, payload in self._frames.feed(chunk):
                self._answers[number] = (op, control.unpack_fields(payload))
        return self._answers.pop(sequence)[1]

    def has_answer(self) -> bool:
        """Whether something can be read right now."""
        return bool(select.select([self.socket], [], [], 0)[0])

    def call(self, op: int, payload: bytes = b"", **fields: bytes | str | int) -> dict[str, str]:
        """Ask, wait, and return the first value of each field as text."""
        return first(self.answer(self.ask(op, payload, **fields)))

    def status(self) -> dict[str, str]:
        return self.call(control.STATUS)

    def kill(self, **fields: bytes | str | int) -> dict[str, list[bytes]]:
        return self.answer(self.ask(control.KILL, **fields))

    def write(self, data: bytes) -> dict[str, str]:
        return self.call(control.INPUT, data)


def first(fields: dict[str, list[bytes]]) -> dict[str, str]:
    """Return the first value of each field."""
    return {name: values[0].decode() for name, values in fields.items()}

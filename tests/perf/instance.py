"""One bgjob instance for a measurement: a daemon in a temporary home, clients, and what its processes cost."""

import atexit
import contextlib
import os
import select
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bgjobd.client import Client, connect
from bgjobd.protocol import DaemonStatus, JobInfo, JobStatus, Request, Submit, Wait
from bgjobd.store.history import History, JobRow
from tests.helpers.cli import clean_environment
from tests.helpers.daemon import Daemon, end_instance
from tests.helpers.raw import Raw
from tests.helpers.submit import request

MIB = 1 << 20
BETWEEN_JOBS_S = 0.02  # an agent or a person never starts two jobs closer than that
_ROWS_AT_ONCE = 5000
# Retention would otherwise forget most of a large history while it is measured.
_KEEP_ALL = {"BGJOB_KEEP_ENDED_JOBS": "1000000", "BGJOB_KEEP_ENDED_FOR_S": "3650d"}


class Instance:
    """A running daemon and a client of it."""

    def __init__(self, home: str, settings: dict[str, str]) -> None:
        self.home = home
        self.env = clean_environment(home) | _KEEP_ALL | settings
        self.daemon = Daemon(self.env)
        self._client: Client | None = None

    @property
    def client(self) -> Client:
        """A connected client, the same one until the daemon is restarted."""
        if self._client is None:
            self._client = connect(self.daemon.paths, autostart=False)
        return self._client

    def raw(self) -> Raw:
        """Return a connection of its own, for timing what a client does between sending and receiving."""
        return Raw(self.daemon.paths.socket)

    def submit(self, command: str | list[str], **fields: Any) -> Submit:
        """Return a request with a small environment."""
        return request(command, env=self.env, cwd=self.home, **fields)

    def run(self, command: str | list[str], **fields: Any) -> JobInfo:
        """Start a job."""
        return self.client.call(self.submit(command, **fields)).job

    def finish(self, command: str | list[str], **fields: Any) -> JobInfo:
        """Run a job to its end; fail when it does not succeed."""
        job = self.client.call(Wait(jobs=[self.run(command, **fields).job_id])).jobs[0]
        assert job.status is JobStatus.COMPLETED, job
        return job

    def stop(self) -> None:
        """Stop the daemon; its jobs go on."""
        self._drop_client()
        self.daemon.stop()

    def kill(self) -> None:
        """Kill the daemon where it stands; its jobs go on."""
        self._drop_client()
        self.daemon.kill()

    def zygote_pid(self) -> int:
        """Return the pid of the daemon's zygote."""
        return self.client.call(DaemonStatus()).zygote_pid

    def close(self) -> None:
        """End the daemon and all jobs."""
        self._drop_client()
        if self.daemon.is_running:
            self.daemon.stop(kill_jobs=True)
        self.daemon.close()
        end_instance(self.env)

    def _drop_client(self) -> None:
        if self._client is not None:
            self._client.close()
            self._client = None


@contextlib.contextmanager
def instance(**settings: object) -> Iterator[Instance]:
    """Give a running instance; the settings are those of `BGJOB_*`, in lower case. Nothing of it is left behind.

    Its files are deleted when the whole run is over: on ext4 creating a file takes up to ten times as long for minutes
    after thousands were deleted, and the next group would be measured with that.
    """
    home = tempfile.mkdtemp(prefix="bgj-perf-")
    atexit.register(shutil.rmtree, home, ignore_errors=True)
    running = Instance(home, {f"BGJOB_{name.upper()}": str(value) for name, value in settings.items()})
    try:
        running.daemon.start()
        yield running
    finally:
        running.close()
        _empty_large_files(home)


def _empty_large_files(directory: str) -> None:
    """Give back the space; the names stay."""
    for folder, _, names in os.walk(directory):
        for name in names:
            path = os.path.join(folder, name)
            if os.path.isfile(path) and os.path.getsize(path) > MIB:
                os.truncate(path, 0)


def fill_history(path: str, count: int, like: JobInfo) -> None:
    """Write `count` ended jobs into a history that no daemon uses, as if they had run one second after another.

    Only the index gets them, not the disk: that is what lists and look-ups read.
    """
    history = History.open(path)
    with contextlib.closing(history):
        first_ns = 1_600_000_000 * 10**9
        for start in range(0, count, _ROWS_AT_ONCE):
            rows = [
                JobRow(_copy(like, number), first_ns + number * 10**9, first_ns + number * 10**9 + 1)
                for number in range(start, min(start + _ROWS_AT_ONCE, count))
            ]
            history.write(rows, [])


def _copy(job: JobInfo, number: int) -> JobInfo:
    import msgspec

    project = f"/src/project-{number % 50}"
    return msgspec.structs.replace(job, job_id=str(uuid.uuid4()), name=f"job-{number}", cwd=project)


def pause(seconds: float) -> None:
    """Let the instance settle: what follows a job (a new spare, a commit) must not be measured with the next one."""
    select.select([], [], [], seconds)


def cpu_s(*pids: int) -> float:
    """Return the CPU time of processes and of the children they have reaped, as the kernel counts it (proc(5))."""
    ticks = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
        ticks += sum(map(int, fields[11:15]))  # utime, stime, cutime, cstime
    return ticks / os.sysconf("SC_CLK_TCK")


class Probe:
    """The small C program beside this file, compiled for this run."""

    def __init__(self, directory: str) -> None:
        self.path = os.path.join(directory, "probe")
        source = str(Path(__file__).with_name("probe.c"))
        for mode in (["-static"], []):
            if (
                subprocess.run(
                    ["cc", "-O2", *mode, "-o", self.path, source], capture_output=True, check=False
                ).returncode
                == 0
            ):
                return
        raise SystemExit("cannot measure: tests/perf/probe.c does not compile; a C compiler `cc` is needed")


def send(raw: Raw, number: int, call: Request[Any]) -> None:
    """Send a call on a raw connection."""
    raw.call(number, call)

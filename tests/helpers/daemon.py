"""A real daemon in its own process, and the end of everything that belongs to one instance."""

import contextlib
import glob
import os
import signal
import stat
import subprocess
from collections.abc import Mapping

from bgjobd.client import Client, connect
from bgjobd.errors import BgjobError
from bgjobd.paths import Paths
from bgjobd.protocol import Kill, ListJobs, Prune, Shutdown
from tests.helpers.cli import SCRIPTS
from tests.helpers.procs import Process, kill_leftovers, processes_of
from tests.helpers.waiting import Deadline, TooLateError, wait_exit, wait_gone, wait_readable, wait_until

BGJOBD = os.path.join(SCRIPTS, "bgjobd")
# How long processes may take to be gone once the instance was shut down, before they count as left behind.
LEAK_GRACE_S = 10.0
_TAIL_BYTES = 8000


class Daemon:
    """One daemon that a test owns: started, stopped, killed and started again at will.

    Args:
        env: its whole environment; BGJOB_HOME in it says where everything is.
    """

    def __init__(self, env: Mapping[str, str]) -> None:
        self.env = dict(env)
        self.home = self.env["BGJOB_HOME"]
        self.paths = Paths.from_environment(self.env)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The daemon's process id, also after its end."""
        assert self._process, "the daemon was not started"
        return self._process.pid

    @property
    def is_running(self) -> bool:
        """Whether it was started and has not ended."""
        return self._process is not None and self._process.poll() is None

    @property
    def log(self) -> str:
        """What it logged so far."""
        return read_tail(self.paths.daemon_log)

    def start(self) -> None:
        """Start it and return when it says that it is ready."""
        assert not self.is_running, "the daemon runs already"
        ready, said_by_daemon = os.pipe()
        stderr = os.path.join(self.home, "bgjobd.stderr")
        try:
            with open(stderr, "ab") as errors:
                self._process = subprocess.Popen(
                    [BGJOBD, "--ready-fd", str(said_by_daemon)],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=errors,
                    pass_fds=(said_by_daemon,),
                    env=self.env,
                    cwd="/",
                    start_new_session=True,
                )
        finally:
            os.close(said_by_daemon)
        try:
            wait_readable(ready, "the daemon to be ready")
            said = os.read(ready, 4096)
        finally:
            os.close(ready)
        if said != b"R":
            status = self._reap()
            raise AssertionError(
                f"the daemon exited {status} instead of getting ready\n{self.log}\n{read_tail(stderr)}"
            )

    def stop(self, *, kill_jobs: bool = False) -> int:
        """Ask it to stop, wait for its exit and return the status."""
        with connect(self.paths, autostart=False) as client:
            client.call(Shutdown(kill_jobs=kill_jobs))
        return self._reap()

    def signal(self, number: int) -> None:
        """Send it a signal."""
        os.kill(self.pid, number)

    def kill(self) -> None:
        """Kill it where it stands (SIGKILL) and wait until it is gone. Its jobs go on."""
        self.signal(signal.SIGKILL)
        self._reap()

    def wait(self) -> int:
        """Return its exit status."""
        return self._reap()

    def close(self) -> None:
        """Release what belongs to the test; a daemon that still runs is killed."""
        if self._process:
            if self.is_running:
                self._process.kill()
            self._reap()

    def _reap(self) -> int:
        assert self._process
        return wait_exit(self._process, "the daemon's exit")


def end_instance(env: Mapping[str, str]) -> list[str]:
    """End the daemon, the resident MCP host and all jobs of one instance, and say what did not go away by itself.

    Returns:
        One line for each process or socket that was left; leftover processes are killed.
    """
    paths = Paths.from_environment(env)
    said: list[str] = []
    for process in processes_of(env["BGJOB_HOME"]):
        if "--resident-host" in process.argv:  # one that started by itself; it would stay for the next session
            with contextlib.suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGTERM)
    if os.path.exists(paths.socket):
        try:
            with connect(paths, autostart=False) as client:
                client.call(Shutdown(kill_jobs=True))
        except BgjobError as error:
            said.append(f"the daemon did not take the request to shut down: {error}")
    left = _wait_for_all(env["BGJOB_HOME"])
    if left:
        said += [f"process {process}" for process in left]
        kill_leftovers(left)
    elif os.path.isdir(paths.runtime_dir):
        found = set(glob.glob(os.path.join(paths.runtime_dir, "*")))
        found.discard(paths.mcp_host_socket)  # of a host that was killed: the next one replaces it
        said += [f"socket {path}" for path in sorted(found) if _is_socket(path)]
    return said


def forget_all_jobs(daemon: Daemon) -> None:
    """Kill every job of a daemon that goes on, with what it left behind, and forget it.

    Raises:
        AssertionError: a process stays that is neither the daemon nor waits for the next job or session.
    """
    with connect(daemon.paths, autostart=False) as client:
        for job in client.call(ListJobs(limit=1000)).jobs:
            if not job.ended or job.left_behind_count:
                client.call(Kill(job=job.job_id, grace_s=0.0))
        wait_until(lambda: _forget_ended_jobs(client), "all jobs to be forgotten")
    stays = {"zygote", "--resident-host"}
    left = [each for each in processes_of(daemon.home) if each.pid != daemon.pid and stays.isdisjoint(each.argv)]
    kill_leftovers(left)
    assert not left, "\n".join(["the test left behind:", *map(str, left)])


def describe_instance(env: Mapping[str, str]) -> str:
    """Return what helps to understand a failure: processes, the daemon's log, and the records of each job."""
    paths = Paths.from_environment(env)
    parts = [f"process {process}" for process in processes_of(env["BGJOB_HOME"])]
    for log in (paths.daemon_log, os.path.join(env["BGJOB_HOME"], "bgjobd.stderr"), paths.mcp_host_log):
        parts.append(f"--- {log}\n{read_tail(log)}")
    for record in sorted(glob.glob(os.path.join(paths.jobs_dir, "*", "*", "*"))):
        # `spec` holds the whole environment of the job: of no use here.
        if os.path.isfile(record) and os.path.basename(record) in ("run", "exit", "runner.log"):
            parts.append(f"--- {record}\n{read_tail(record)}")
    return "\n".join(parts)


def read_tail(path: str) -> str:
    """Return the last part of a file as text; a file that is not there reads as empty."""
    try:
        with open(path, "rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - _TAIL_BYTES))
            return file.read().decode(errors="replace")
    except FileNotFoundError:
        return ""


def _forget_ended_jobs(client: Client) -> bool:
    """Forget what has ended, and say whether that was everything: a runner may need a moment longer than its job."""
    client.call(Prune(older_than_s=0.0))
    return not client.call(ListJobs()).jobs


def _wait_for_all(home: str) -> list[Process]:
    """Wait until no process of the instance is left; return those that stay."""
    deadline = Deadline("the processes of the instance to end", LEAK_GRACE_S)
    with contextlib.suppress(TooLateError):
        while processes := processes_of(home):
            wait_gone(processes[0].pid, deadline=deadline)
            deadline.left()
    return processes_of(home)


def _is_socket(path: str) -> bool:
    return stat.S_ISSOCK(os.lstat(path).st_mode)

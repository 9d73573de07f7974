"""What one instance's processes are, by their records: for tests that kill them."""

import os
import signal

from bgjobd.paths import Paths
from bgjobd.runner.records import ExitRecord, RunRecord, read_record
from tests.helpers.waiting import wait_gone


def daemon_pid(paths: Paths) -> int:
    """Return the pid of the daemon that holds the lock."""
    with open(paths.daemon_lock) as file:
        return int(file.read())


def run_record(paths: Paths, job_id: str) -> RunRecord:
    """Return who runs a job."""
    return read_record(RunRecord, f"{paths.job_dir(job_id)}/run")


def exit_record(paths: Paths, job_id: str) -> ExitRecord:
    """Return how a job ended."""
    return read_record(ExitRecord, f"{paths.job_dir(job_id)}/exit")


def zygote_pid(paths: Paths, job_id: str) -> int:
    """Return the pid of the zygote of a job's runner."""
    return int(run_record(paths, job_id).zygote.removeprefix("zygote-"))


def kill_and_wait(pid: int) -> None:
    """SIGKILL a process and wait until it is gone."""
    os.kill(pid, signal.SIGKILL)
    wait_gone(pid)


def log_bytes(paths: Paths, job_id: str) -> bytes:
    """Return the log as it is on disk."""
    directory = f"{paths.job_dir(job_id)}/log"
    parts = []
    for name in sorted(os.listdir(directory)):
        if name.endswith(".log"):
            with open(os.path.join(directory, name), "rb") as file:
                parts.append(file.read())
    return b"".join(parts)

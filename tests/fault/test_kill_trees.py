"""Trees of random shape are killed: nobody survives, and the receipt agrees with what was there."""

import fcntl
import os
import sys
from pathlib import Path

import pytest

from bgjobd.protocol import Condition, Kill, Wait
from tests.helpers.submit import Jobs

PROGRAM = str(Path(__file__).parent.parent / "helpers" / "jobs" / "random_tree.py")


@pytest.fixture
def jobs(client, env: dict[str, str]) -> Jobs:
    return Jobs(client, env)


def kill_one_tree(jobs: Jobs, workdir: str, seed: int) -> None:
    lock = f"{workdir}/{seed}.lock"
    job = jobs.run([sys.executable, "-I", "-S", PROGRAM, str(seed), lock])
    ready = jobs.client.call(Wait(jobs=[job.job_id], until=[Condition(pattern="^ready")], since={job.job_id: 0}))
    assert ready.fired[0].condition == "pattern", ready.jobs
    receipt = jobs.client.call(Kill(job=job.job_id, grace_s=0.02)).receipt
    assert (receipt.status, receipt.survivors) == ("killed", []), f"seed {seed}"
    with open(lock) as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # BlockingIOError: somebody lives
    with open(f"{lock}.members") as file:
        members = {int(line) for line in file}
    assert members <= {process.pid for process in receipt.processes}, f"seed {seed}"
    assert not [pid for pid in members if os.path.exists(f"/proc/{pid}")], f"seed {seed}"


@pytest.mark.slow
def test_trees_of_random_shape_leave_no_survivor(jobs: Jobs, workdir: str) -> None:
    for seed in range(20):
        kill_one_tree(jobs, workdir, seed)


@pytest.mark.soak
def test_a_hundred_trees_of_random_shape_leave_no_survivor(jobs: Jobs, workdir: str) -> None:
    for seed in range(1000, 1100):
        kill_one_tree(jobs, workdir, seed)

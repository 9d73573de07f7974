"""A tree that forks without end is put into a cgroup leaf and ended there; nothing is left in the cgroup tree."""

import os
import sys
from pathlib import Path

import pytest

from bgjobd.paths import Paths
from bgjobd.protocol import Condition, Kill, Wait
from bgjobd.runner.leaf import Leaf
from tests.helpers.instance import kill_and_wait, run_record, zygote_pid
from tests.helpers.submit import Jobs
from tests.helpers.waiting import wait_for_file, wait_gone, wait_until

pytestmark = pytest.mark.root

# Held at 40 processes: each forks a successor and goes, so that no list of them is ever true.
HOPPERS = """
import os, signal
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
for _ in range(40):
    if os.fork() == 0:
        os.setsid()
        while True:
            if os.fork():
                os._exit(0)
print("ready", flush=True)
signal.pause()
"""


def test_everything_in_a_leaf_is_ended_with_what_it_forked(parent: str) -> None:
    os.makedirs(parent, exist_ok=True)
    leaf = Leaf(os.path.join(parent, f"test-{os.getpid()}"))
    pid = os.posix_spawn("/bin/sh", ["sh", "-c", "sleep 300 & sleep 300"], {"PATH": os.defpath})
    leaf.gather([pid])
    leaf.kill()
    assert os.WTERMSIG(os.waitpid(pid, 0)[1]) == 9
    directory = os.path.join(parent, f"test-{os.getpid()}")
    wait_until(lambda: "populated 0" in Path(directory, "cgroup.events").read_text(), "the end of its child")
    leaf.close()
    assert not os.path.exists(directory)


def test_a_process_that_is_gone_is_no_error(parent: str) -> None:
    leaf = Leaf(os.path.join(parent, f"gone-{os.getpid()}"))
    pid = os.posix_spawn("/bin/true", ["true"], {})
    os.waitpid(pid, 0)
    leaf.gather([pid])
    leaf.kill()
    leaf.close()
    assert not os.path.exists(os.path.join(parent, f"gone-{os.getpid()}"))


def test_where_no_leaf_can_be_made_nothing_happens() -> None:
    leaf = Leaf("/proc/no/such/place")
    pid = os.posix_spawn("/bin/sleep", ["sleep", "300"], {})
    leaf.gather([pid])
    leaf.kill()
    leaf.close()
    assert os.waitpid(pid, os.WNOHANG) == (0, 0)
    os.kill(pid, 9)
    os.waitpid(pid, 0)


def test_a_tree_that_forks_without_end_is_gone_and_leaves_no_cgroup(parent: str, client, env: dict[str, str]) -> None:
    jobs = Jobs(client, env)
    job = jobs.run([sys.executable, "-I", "-S", "-c", HOPPERS])
    client.call(Wait(jobs=[job.job_id], until=[Condition(pattern="ready")], since={job.job_id: 0}))
    receipt = client.call(Kill(job=job.job_id, signal="KILL")).receipt
    assert (receipt.status, receipt.survivors) == ("killed", [])
    assert job.pid is not None
    wait_gone(job.pid)
    assert not os.path.exists(os.path.join(parent, job.job_id))


def test_what_nobody_was_left_to_remove_is_removed_by_the_daemon(
    parent: str, again: Jobs, paths: Paths, workdir: str
) -> None:
    job = again.run(
        f"cat /proc/self/cgroup > {workdir}/new; mv {workdir}/new {workdir}/where; exec sleep 300", max_cpu_s=600
    )
    wait_for_file(f"{workdir}/where")
    assert f"/{job.job_id}\n" in Path(workdir, "where").read_text()
    runner_pid = run_record(paths, job.job_id).runner_pid
    os.kill(zygote_pid(paths, job.job_id), 9)
    kill_and_wait(runner_pid)
    assert job.pid is not None
    os.kill(job.pid, 9)
    assert again.end(job).reason is not None
    assert not os.path.exists(os.path.join(parent, job.job_id))

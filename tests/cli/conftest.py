"""One daemon for most tests of the command line: starting one takes longer than the tests themselves.

`cli` here belongs to that shared instance; after each test its jobs are killed and forgotten. A module that stops the
daemon, or must see none, defines `cli` anew with `Cli(env, workdir)`: then each test has an instance of its own.
"""

import shutil
import tempfile
from collections.abc import Iterator

import pytest

from bgjobd.client import Client, connect
from bgjobd.protocol import Kill, ListJobs, Prune
from tests.helpers.cli import Cli, clean_environment
from tests.helpers.daemon import Daemon, end_instance
from tests.helpers.waiting import wait_until


@pytest.fixture(scope="session")
def shared_daemon() -> Iterator[Daemon]:
    """The daemon that the tests here share."""
    home = tempfile.mkdtemp(prefix="bgj-", dir="/tmp")
    env = clean_environment(home)
    daemon = Daemon(env)
    try:
        daemon.start()
        yield daemon
        assert daemon.is_running, f"a test ended the daemon that it shares\n{daemon.log}"
        daemon.stop(kill_jobs=True)
        left = end_instance(env)
        assert not left, left
    finally:
        daemon.close()
        shutil.rmtree(home, ignore_errors=True)


@pytest.fixture
def cli(shared_daemon: Daemon) -> Iterator[Cli]:
    """The installed `bgjob` on an instance without jobs, in a directory of its own."""
    cwd = tempfile.mkdtemp(dir=shared_daemon.home)
    yield Cli(shared_daemon.env, cwd)
    shutil.rmtree(cwd)
    forget_all_jobs(shared_daemon)


def forget_all_jobs(daemon: Daemon) -> None:
    """Kill every job, with what it left behind, and forget it."""
    with connect(daemon.paths, autostart=False) as client:
        jobs = client.call(ListJobs(limit=1000)).jobs
        for job in jobs:
            if not job.ended or job.left_behind_count:
                client.call(Kill(job=job.job_id, grace_s=0.0))
        wait_until(lambda: _forget_ended_jobs(client), "all jobs to be forgotten")


def _forget_ended_jobs(client: Client) -> bool:
    """Forget what has ended, and say whether that was everything: a runner may need a moment longer than its job."""
    client.call(Prune(older_than_s=0.0))
    return not client.call(ListJobs()).jobs

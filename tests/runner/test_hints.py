"""The daemon is far behind, or stopped: what it has to be told waits for it, and nothing else does."""

from collections.abc import Iterator

import pytest

from tests.helpers.waiting import wait_until
from tests.runner.harness import Job, Zygote

JOBS = 12


@pytest.fixture
def narrow_zygote(state_dir: str, no_leak: None) -> Iterator[Zygote]:
    """A zygote whose channel has room for a few packets only."""
    zygote = Zygote(state_dir, room_bytes=1)
    yield zygote
    zygote.close()
    assert not zygote.left_behind()


def _wait_recorded(job: Job) -> None:
    wait_until(job.has_exit, "the exit record", directory=job.directory)


def test_no_hint_is_lost_while_the_daemon_does_not_read(narrow_zygote: Zygote) -> None:
    jobs = [narrow_zygote.submit("exit 3") for _ in range(JOBS)]
    left = [narrow_zygote.submit("sleep 300 & exit 4") for _ in range(JOBS)]
    failing = [narrow_zygote.submit(["/nowhere"]) for _ in range(JOBS)]
    for job in jobs + left + failing:
        _wait_recorded(job)
    for job in jobs:
        job.wait_runner_gone()  # although nobody has heard of it
    for job in jobs + left:
        job.wait_started()
        job.wait_ended()
    for job in failing:
        job.wait_failed()
    assert [job.exit().left for job in left] == [1] * JOBS


def test_a_daemon_that_is_gone_takes_the_hints_with_it(narrow_zygote: Zygote) -> None:
    jobs = [narrow_zygote.submit("exit 3") for _ in range(JOBS)]
    for job in jobs:
        _wait_recorded(job)
    narrow_zygote.channel.close()
    narrow_zygote.wait_exit()

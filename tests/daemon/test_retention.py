"""What is forgotten, and what must not be: jobs of which anything still runs."""

import os

import pytest

from bgjobd.client import connect
from bgjobd.errors import BgjobError, ErrorCode
from bgjobd.protocol import Events, EventType, JobInfo, JobStatus, Kill, ListJobs, Prune, Remove
from tests.helpers.daemon import Daemon
from tests.helpers.submit import Jobs
from tests.helpers.waiting import wait_until


def listed(jobs: Jobs) -> set[str]:
    found: list[JobInfo] = jobs.client.call(ListJobs()).jobs
    return {job.job_id for job in found}


def test_a_job_with_leftovers_is_neither_pruned_nor_removed(jobs: Jobs, daemon: Daemon) -> None:
    left = jobs.end(jobs.run("sleep 600 & echo started"))
    assert (left.status, left.left_behind_count) == (JobStatus.COMPLETED, 1)
    ended = jobs.end(jobs.run("true"))
    pruned = jobs.client.call(Prune(keep=0))
    assert [job.job_id for job in pruned.jobs] == [ended.job_id]
    with pytest.raises(BgjobError) as error:
        jobs.client.call(Remove(jobs=[left.job_id]))
    assert error.value.code is ErrorCode.STILL_RUNNING
    assert os.path.isdir(daemon.paths.job_dir(left.job_id)) and not os.path.exists(daemon.paths.job_dir(ended.job_id))
    jobs.client.call(Kill(job=left.job_id))
    wait_until(lambda: jobs.client.call(Prune(keep=0)).jobs, "the job to be over, and pruned")
    assert listed(jobs) == set()


def test_a_removal_that_was_interrupted_is_finished_at_the_next_start(jobs: Jobs, daemon: Daemon) -> None:
    gone, kept = jobs.end(jobs.run("true")), jobs.end(jobs.run("true"))
    jobs.client.call(Prune(keep=100))  # answered when both are in the history, where the first one is to be missed
    daemon.kill()
    directory = daemon.paths.job_dir(gone.job_id)
    os.rename(directory, directory + ".removed")  # as far as a removal comes before it can be cut off
    daemon.start()
    with connect(daemon.paths, autostart=False) as client:
        again = Jobs(client, jobs.env)
        wait_until(lambda: listed(again) == {kept.job_id}, "the removal to be finished")
    assert not os.path.exists(directory + ".removed")


def test_the_configured_limits_are_kept_when_jobs_end_and_at_the_start(env: dict[str, str], daemon: Daemon) -> None:
    def restart(key: str, value: str) -> None:
        daemon.stop()
        daemon.env[key] = value
        daemon.start()

    def wait_for(*kept: JobInfo) -> None:
        wanted = {job.job_id for job in kept}
        with connect(daemon.paths, autostart=False) as client:
            wait_until(lambda: listed(Jobs(client, env)) == wanted, f"only {wanted} to be kept")

    restart("BGJOB_KEEP_ENDED_JOBS", "3")
    with connect(daemon.paths, autostart=False) as client:
        jobs = [Jobs(client, env).finish(f"head -c {size} /dev/zero") for size in (1, 2, 300_000, 300_001, 300_002)]
        wait_for(*jobs[2:])
        assert [os.path.isdir(daemon.paths.job_dir(job.job_id)) for job in jobs] == [False, False, True, True, True]
        removed = [event for event in client.stream(Events(since=0, follow=False)) if event.type is EventType.REMOVED]
        assert [event.job_id for event in removed] == [job.job_id for job in jobs[:2]]
    restart("BGJOB_TOTAL_OUTPUT_BYTES", "700000")
    wait_for(*jobs[3:])
    restart("BGJOB_KEEP_ENDED_FOR_S", "0")
    wait_for()
    assert not any(os.path.exists(daemon.paths.job_dir(job.job_id)) for job in jobs)

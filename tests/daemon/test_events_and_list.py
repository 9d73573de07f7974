"""events, list, remove, prune: what happened, what there is, what is forgotten."""

import os

import pytest

from bgjobd.errors import ErrorCode
from bgjobd.protocol import (
    ClientInfo,
    DaemonStatus,
    Events,
    EventType,
    GetSettings,
    JobInfo,
    JobStatus,
    Kill,
    ListJobs,
    Prune,
    Remove,
    Status,
    Wait,
)  # fmt: skip
from tests.helpers.submit import Jobs
from tests.helpers.waiting import wait_for_file, wait_until

pytestmark = pytest.mark.shared


def test_events_are_numbered_in_order_and_can_be_read_again_from_any_number(jobs: Jobs) -> None:
    job = jobs.finish("exit 3", name="three")
    stream = jobs.client.stream(Events(since=0, job=job.job_id, follow=False))
    seen = list(stream)
    assert [event.type for event in seen] == [EventType.QUEUED, EventType.STARTED, EventType.ENDED]
    assert [event.seq for event in seen] == sorted({event.seq for event in seen})
    assert (seen[2].status, seen[2].exit_code, seen[2].name) == (JobStatus.FAILED, 3, "three")
    assert stream.reply.last_seq >= seen[2].seq
    again = list(jobs.client.stream(Events(since=seen[1].seq, job=job.job_id, follow=False)))
    assert [event.seq for event in again] == [seen[2].seq]
    assert {event.job_id for event in seen} == {job.job_id}


def test_followed_events_of_one_job_are_only_its_own(jobs: Jobs, daemon) -> None:
    from bgjobd.client import connect

    job = jobs.run("cat")
    stream = jobs.client.stream(Events(since=0, job=job.job_id))
    with connect(daemon.paths, autostart=False) as other:
        more = Jobs(other, jobs.env)
        more.finish("true")
        other.call(Kill(job=job.job_id))
        seen = [next(stream) for _ in range(3)]
    assert {event.job_id for event in seen} == {job.job_id}
    assert seen[-1].type is EventType.ENDED
    stream.close()


def test_list_shows_active_jobs_first_then_ended_ones_newest_first(jobs: Jobs) -> None:
    ended = [jobs.finish("true", name=f"e{number}").job_id for number in range(3)]
    running = jobs.run("sleep 300", name="r")
    reply = jobs.client.call(ListJobs())
    assert [job.job_id for job in reply.jobs] == [running.job_id, *reversed(ended)]
    assert reply.total == 4
    limited = jobs.client.call(ListJobs(limit=2))
    assert ([job.job_id for job in limited.jobs], limited.total) == ([running.job_id, ended[2]], 4)
    only = jobs.client.call(ListJobs(status=[JobStatus.RUNNING]))
    assert [job.job_id for job in only.jobs] == [running.job_id]
    assert [job.job_id for job in jobs.client.call(ListJobs(ended=False)).jobs] == [running.job_id]


def test_an_ended_job_with_processes_left_is_counted_once_however_many_ended_after_it(jobs: Jobs) -> None:
    """It is active, as somebody may kill what it left, and in the history."""
    left = jobs.run("sleep 300 & exit 3")
    jobs.client.call(Wait(jobs=[left.job_id]))
    newer = [jobs.finish("true").job_id for _ in range(3)]
    jobs.client.call(Prune(keep=100))  # answered when all of them are in the history
    for limit in (0, 1, 2, 100, 1000):  # more than 200 jobs are read in a thread
        reply = jobs.client.call(ListJobs(limit=limit))
        assert ([job.job_id for job in reply.jobs], reply.total) == ([left.job_id, *reversed(newer)][:limit], 4), limit
    for filters in ({"status": [JobStatus.FAILED]}, {"cwd": left.cwd, "status": [JobStatus.FAILED]}):
        reply = jobs.client.call(ListJobs(limit=0, **filters))
        assert reply.total == 1, filters


def test_a_job_is_found_by_id_prefix_and_name_and_an_unknown_one_lists_candidates(jobs: Jobs, refused) -> None:
    job = jobs.finish("true", name="backend-tests")
    for reference in (job.job_id, job.job_id[:8], job.job_id[:4], "backend-tests"):
        assert jobs.client.call(Status(jobs=[reference])).jobs[0].job_id == job.job_id
    with refused(ErrorCode.NO_SUCH_JOB) as error:
        jobs.client.call(Status(jobs=["backend-test"]))
    assert "backend-tests" in error.value.hint


def test_remove_forgets_ended_jobs_and_their_files_and_refuses_running_ones(jobs: Jobs, daemon, refused) -> None:
    ended, running = jobs.finish("echo bye"), jobs.run("sleep 300")
    with refused(ErrorCode.STILL_RUNNING):
        jobs.client.call(Remove(jobs=[ended.job_id, running.job_id]))
    assert os.path.isdir(daemon.paths.job_dir(ended.job_id))
    reply = jobs.client.call(Remove(jobs=[ended.job_id]))
    assert ([job.job_id for job in reply.jobs], reply.freed_bytes) == ([ended.job_id], 4)
    assert not os.path.exists(daemon.paths.job_dir(ended.job_id))
    with refused(ErrorCode.NO_SUCH_JOB):
        jobs.client.call(Status(jobs=[ended.job_id]))


def test_prune_keeps_the_newest_and_a_dry_run_removes_nothing(jobs: Jobs) -> None:
    ended = [jobs.finish("true").job_id for _ in range(4)]
    running = jobs.run("sleep 300")
    planned = jobs.client.call(Prune(keep=1, dry_run=True))
    assert {job.job_id for job in planned.jobs} == set(ended[:3])
    assert jobs.client.call(ListJobs()).total == 5
    done = jobs.client.call(Prune(keep=1))
    assert {job.job_id for job in done.jobs} == set(ended[:3])
    assert {job.job_id for job in jobs.client.call(ListJobs()).jobs} == {ended[3], running.job_id}


def test_status_details_show_the_tree_and_its_use(jobs: Jobs, workdir: str) -> None:
    job = jobs.run("sleep 300 & echo > ready; wait", cwd=workdir)
    wait_for_file(f"{workdir}/ready")

    def details() -> JobInfo:
        return jobs.client.call(Status(jobs=[job.job_id], details=True)).jobs[0]

    def names() -> set[str]:
        return {process.name for process in details().processes or []}

    wait_until(lambda: names() == {"sh", "sleep"}, "both")  # one is a fork of the shell for a moment
    detailed = details()
    assert detailed.peak_rss_bytes
    assert detailed.ports == []


def test_cpu_and_memory_are_kept_after_the_end(jobs: Jobs) -> None:
    job = jobs.finish(["python3", "-c", "sum(range(2_000_000)); x = bytearray(30_000_000)"])
    assert job.cpu_s
    assert job.peak_rss_bytes > 30_000_000


def test_the_daemon_describes_itself_and_its_settings(jobs: Jobs, daemon) -> None:
    jobs.finish("true")
    jobs.run("sleep 300")
    status = jobs.client.call(DaemonStatus())
    assert (status.pid, status.socket, status.clients) == (daemon.pid, daemon.paths.socket, 1)
    assert status.jobs == {"completed": 1, "running": 1}
    settings = {value.key: value for value in jobs.client.call(GetSettings()).settings}
    assert settings["max_jobs"].value == 64
    assert all(value.description for value in settings.values())


@pytest.mark.parametrize("limit", [-1, 10_000_000])
def test_a_list_limit_out_of_range_is_refused(jobs: Jobs, refused, limit: int) -> None:
    with refused(ErrorCode.INVALID_ARGUMENT):
        jobs.client.call(ListJobs(limit=limit))


def test_jobs_are_tagged_with_client_and_project(env: dict[str, str], daemon) -> None:
    from bgjobd.client import connect

    info = ClientInfo(kind="mcp", name="claude-code", version="2.1", session="s1", project="/p")
    with connect(daemon.paths, autostart=False, client=info) as client:
        jobs = Jobs(client, env)
        mine = jobs.finish("true")
        jobs.finish("true", project="/other")
        assert (mine.client.name, mine.client.session, mine.client.project) == ("claude-code", "s1", "/p")
        assert [job.job_id for job in client.call(ListJobs(project="/p")).jobs] == [mine.job_id]

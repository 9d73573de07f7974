"""task_create, task_get, task_cancel: a wait is collected by another connection, from another daemon, or not at all."""

import os
from collections.abc import Callable
from typing import Any

import pytest

from bgjobd.client import Client, connect
from bgjobd.errors import ErrorCode
from bgjobd.protocol import (
    Condition,
    DaemonStatus,
    JobStatus,
    Remove,
    Send,
    Status,
    TaskCancel,
    TaskCreate,
    TaskGet,
    TaskInfo,
    TaskStatus,
    Wait,
)
from tests.helpers.daemon import Daemon
from tests.helpers.submit import Jobs
from tests.helpers.waiting import wait_until

Refused = Callable[[ErrorCode], Any]


def create(client: Client, *jobs: str, context: bytes = b"", ttl_s: float = 3600.0, **wait: Any) -> TaskInfo:
    task = client.call(TaskCreate(wait=Wait(jobs=list(jobs), **wait), context=context, ttl_s=ttl_s)).task
    assert task is not None
    return task


def get(client: Client, task: TaskInfo) -> TaskInfo:
    found = client.call(TaskGet(task_id=task.task_id)).task
    assert found is not None
    return found


def completed(client: Client, task: TaskInfo) -> TaskInfo:
    """The daemon writes the outcome down in the directory of its tasks."""
    directory = client_directory(client)
    wait_until(lambda: get(client, task).status is not TaskStatus.WORKING, "the task's end", directory=directory)
    return get(client, task)


def client_directory(client: Client) -> str:
    return os.path.join(client.call(DaemonStatus()).state_dir, "tasks")


def test_a_task_is_collected_by_another_connection(jobs: Jobs, daemon: Daemon) -> None:
    job = jobs.run("read x; exit 3")
    task = create(jobs.client, job.job_id[:8], context=b"mine")
    assert (task.status, task.jobs[0].status, task.result) == (TaskStatus.WORKING, JobStatus.RUNNING, None)
    with connect(daemon.paths, autostart=False) as other:
        assert get(other, task).status is TaskStatus.WORKING
        other.call(Send(job=job.job_id, data=b"\n"))
        done = completed(other, task)
    assert done.status is TaskStatus.COMPLETED
    assert done.context == b"mine"
    assert done.created == task.created
    assert done.result is not None
    assert (done.result.fired[0].condition, done.result.jobs[0].exit_code) == ("exit", 3)
    assert get(jobs.client, task) == done


def test_a_task_is_over_when_its_time_is_up(jobs: Jobs) -> None:
    job = jobs.run("cat")
    done = completed(jobs.client, create(jobs.client, job.job_id, timeout_s=0.05))
    assert done.result is not None
    assert (done.result.timed_out, done.result.jobs[0].status) == (True, JobStatus.RUNNING)


def test_cancelling_a_task_ends_the_wait_and_never_the_job(jobs: Jobs) -> None:
    job = jobs.run("cat")
    task = create(jobs.client, job.job_id)
    cancelled = jobs.client.call(TaskCancel(task_id=task.task_id)).task
    assert cancelled is not None
    assert (cancelled.status, cancelled.result) == (TaskStatus.CANCELLED, None)
    assert jobs.client.call(Status(jobs=[job.job_id])).jobs[0].status is JobStatus.RUNNING
    jobs.client.call(Send(job=job.job_id, eof=True))
    jobs.end(job)
    assert get(jobs.client, task) == cancelled


def test_a_task_that_is_over_cannot_be_cancelled(jobs: Jobs) -> None:
    task = create(jobs.client, jobs.finish("true").job_id)
    done = completed(jobs.client, task)
    assert jobs.client.call(TaskCancel(task_id=task.task_id)).task == done


def test_a_task_survives_the_daemons_death_and_sees_what_happened_meanwhile(jobs: Jobs, daemon: Daemon) -> None:
    ends, prints, stays = jobs.run("read x; exit 4"), jobs.run("read x; echo ready; cat"), jobs.run("cat")
    tasks = [
        create(jobs.client, ends.job_id),
        create(jobs.client, prints.job_id, until=[Condition(pattern="ready")]),
        create(jobs.client, stays.job_id),
        create(jobs.client, stays.job_id),
    ]
    jobs.client.call(TaskCancel(task_id=tasks[3].task_id))
    daemon.kill()
    daemon.start()
    with connect(daemon.paths, autostart=False) as client:
        for job in (ends, prints):  # nobody has asked for the tasks yet: nothing waits for this in the new daemon
            client.call(Send(job=job.job_id, data=b"\n"))
        client.call(Wait(jobs=[ends.job_id]))
        done = [completed(client, task) for task in tasks[:2]]
        assert [task.result.fired[0].condition for task in done if task.result] == ["exit", "pattern"]
        assert get(client, tasks[2]).status is TaskStatus.WORKING
        assert get(client, tasks[3]).status is TaskStatus.CANCELLED
        client.call(Send(job=stays.job_id, eof=True))
        assert completed(client, tasks[2]).status is TaskStatus.COMPLETED


def test_a_task_whose_job_was_removed_says_so(jobs: Jobs, daemon: Daemon) -> None:
    job = jobs.run("cat")
    task = create(jobs.client, job.job_id)
    daemon.kill()
    daemon.start()
    with connect(daemon.paths, autostart=False) as client:
        client.call(Send(job=job.job_id, eof=True))
        client.call(Wait(jobs=[job.job_id]))
        client.call(Remove(jobs=[job.job_id]))
        done = completed(client, task)
    assert done.result is None
    assert done.error is not None
    assert done.error.code == ErrorCode.NO_SUCH_JOB


@pytest.mark.parametrize("task_id", ["", "x", "../daemon.lock", "A" * 32])
def test_there_is_no_task_of_an_unknown_id(client: Client, task_id: str) -> None:
    assert client.call(TaskGet(task_id=task_id)).task is None
    assert client.call(TaskCancel(task_id=task_id)).task is None


def test_an_expired_task_is_forgotten(jobs: Jobs) -> None:
    job = jobs.run("cat")
    task = create(jobs.client, job.job_id, ttl_s=0.02)
    wait_until(lambda: jobs.client.call(TaskGet(task_id=task.task_id)).task is None, "the task's end")
    create(jobs.client, job.job_id)
    assert task.task_id not in os.listdir(client_directory(jobs.client))


def test_a_damaged_task_is_none(jobs: Jobs) -> None:
    task = create(jobs.client, jobs.run("cat").job_id)
    with open(os.path.join(client_directory(jobs.client), task.task_id), "wb") as file:
        file.write(b"\xc1 no msgpack")
    assert jobs.client.call(TaskGet(task_id=task.task_id)).task is None


def test_what_cannot_be_waited_for_makes_no_task(jobs: Jobs, refused: Refused) -> None:
    job = jobs.run("cat")
    with refused(ErrorCode.NO_SUCH_JOB):
        create(jobs.client, "nosuchjob")
    with refused(ErrorCode.INVALID_ARGUMENT):
        create(jobs.client)
    with refused(ErrorCode.INVALID_ARGUMENT):
        create(jobs.client, job.job_id, until=[Condition(pattern="(")])
    with refused(ErrorCode.INVALID_ARGUMENT):
        create(jobs.client, job.job_id, ttl_s=0)
    with refused(ErrorCode.INVALID_ARGUMENT):
        create(jobs.client, job.job_id, context=b"x" * 100_000)
    assert not os.path.exists(client_directory(jobs.client))

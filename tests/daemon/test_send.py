"""send: a job's standard input, byte-exact, and what is said when it cannot take it."""

import os
import signal

import msgspec
import pytest

from bgjobd.errors import ErrorCode
from bgjobd.protocol import AnswerKind, ErrorBody, Output, Ping, Send
from tests.helpers.daemon import Daemon
from tests.helpers.instance import run_record
from tests.helpers.procs import stop_process
from tests.helpers.raw import Raw
from tests.helpers.submit import Jobs

pytestmark = pytest.mark.shared


def output(jobs: Jobs, job_id: str) -> bytes:
    return b"".join(run.data for run in jobs.client.call(Output(job=job_id, max_bytes=4 << 20)).runs)


def test_what_is_sent_arrives_and_eof_ends_it(jobs: Jobs) -> None:
    job = jobs.run("cat")
    assert jobs.client.call(Send(job=job.job_id, data=b"one\n")).accepted_bytes == 4
    assert jobs.client.call(Send(job=job.job_id, data=b"\xff\0two", eof=True)).eof
    assert jobs.end(job).exit_code == 0
    assert output(jobs, job.job_id) == b"one\n\xff\0two"


def test_more_than_a_pipe_holds_arrives_whole_while_the_job_reads(jobs: Jobs) -> None:
    payload = bytes(range(256)) * 8192  # 2 MiB
    job = jobs.run("cat")
    reply = jobs.client.call(Send(job=job.job_id, data=payload, eof=True))
    assert reply.accepted_bytes == len(payload)
    jobs.end(job)
    assert output(jobs, job.job_id) == payload


def test_a_job_that_does_not_read_is_reported_with_what_it_took(jobs: Jobs, refused) -> None:
    job = jobs.run("sleep 300")
    with refused(ErrorCode.STDIN_FULL) as error:
        jobs.client.call(Send(job=job.job_id, data=b"x" * (1 << 20), timeout_s=0.2))
    assert 0 < error.value.details["accepted_bytes"] < 1 << 20


def test_a_closed_standard_input_is_reported(jobs: Jobs, refused) -> None:
    job = jobs.run("exec <&-; sleep 300")
    jobs.client.call(Send(job=job.job_id, eof=True))
    with refused(ErrorCode.STDIN_CLOSED):
        jobs.client.call(Send(job=job.job_id, data=b"x"))


def test_sending_to_an_ended_job_is_not_running(jobs: Jobs, refused) -> None:
    job = jobs.finish("true")
    with refused(ErrorCode.NOT_RUNNING):
        jobs.client.call(Send(job=job.job_id, data=b"x"))


def test_a_file_as_standard_input_is_read_by_the_job(jobs: Jobs, workdir: str) -> None:
    path = f"{workdir}/input"
    with open(path, "w") as file:
        file.write("from a file\n")
    job = jobs.finish("cat", stdin_file=path.encode())
    assert output(jobs, job.job_id) == b"from a file\n"


def test_a_request_to_a_runner_that_ends_meanwhile_is_answered(daemon: Daemon, jobs: Jobs) -> None:
    """It was not, and whoever had asked waited for ever."""
    job = jobs.run("sleep 300")
    record = run_record(daemon.paths, job.job_id)
    jobs.client.call(Send(job=job.job_id, data=b"x\n"))  # from then on there is a connection to the runner
    stop_process(record.runner_pid)
    with Raw(daemon.paths.socket) as raw:
        raw.call(1, Send(job=job.job_id, data=b"y\n"))
        for number in range(2, 12):  # ten rounds of the daemon's loop: the first one is under way to the runner
            raw.call(number, Ping())
            assert raw.answer().id == number
        os.kill(record.runner_pid, signal.SIGKILL)
        answer = raw.answer()
    assert (answer.id, answer.kind) == (1, AnswerKind.ERROR)
    assert msgspec.msgpack.decode(answer.body, type=ErrorBody).code == ErrorCode.NOT_RUNNING

"""wait: which condition fired, for one job or many."""

import msgspec
import pytest

from bgjobd.errors import ErrorCode
from bgjobd.protocol import Condition, ErrorBody, JobStatus, Ping, Search, Send, Status, Wait
from tests.helpers.daemon import Daemon
from tests.helpers.raw import Raw
from tests.helpers.submit import Jobs

pytestmark = pytest.mark.shared


def test_wait_without_a_condition_is_the_jobs_end(jobs: Jobs) -> None:
    job = jobs.run("exit 3")
    reply = jobs.client.call(Wait(jobs=[job.job_id]))
    assert [fired.condition for fired in reply.fired] == ["exit"]
    assert (reply.timed_out, reply.jobs[0].exit_code) == (False, 3)


def test_wait_for_a_job_that_is_over_answers_at_once(jobs: Jobs) -> None:
    job = jobs.finish("true")
    assert jobs.client.call(Wait(jobs=[job.job_id])).fired[0].condition == "exit"


def test_a_pattern_fires_on_the_line_also_before_its_newline(jobs: Jobs) -> None:
    job = jobs.run("read x; printf 'noise\\nServer rea'; sleep 0.05; printf 'dy on :80'; sleep 300")
    jobs.client.call(Send(job=job.job_id, data=b"go\n"))
    reply = jobs.client.call(
        Wait(jobs=[job.job_id], until=[Condition(pattern=r"ready on :\d+")], since={job.job_id: 0})
    )
    assert [(fired.condition, fired.cursor, fired.line) for fired in reply.fired] == [
        ("pattern", 6, b"Server ready on :80")
    ]
    assert reply.jobs[0].status is JobStatus.RUNNING


def test_a_pattern_matches_what_is_seen_whatever_colours_it_has(jobs: Jobs) -> None:
    job = jobs.run(r"printf '\033[36mhttp://localhost:\033[1m5173\033[22m/\033[39m\n'; sleep 300")
    reply = jobs.client.call(
        Wait(jobs=[job.job_id], until=[Condition(pattern="localhost:5173/$")], since={job.job_id: 0}, timeout_s=30)
    )
    assert [fired.condition for fired in reply.fired] == ["pattern"]


@pytest.mark.parametrize("any_job", [False, True])
def test_without_any_time_a_wait_for_what_has_happened_is_no_timeout(jobs: Jobs, any_job: bool) -> None:
    over, also = jobs.finish("true"), jobs.finish("true")
    reply = jobs.client.call(Wait(jobs=[over.job_id, also.job_id, over.job_id], any=any_job, timeout_s=0))
    assert (reply.timed_out, len(reply.jobs)) == (False, 3)
    going_on = jobs.run("sleep 300")
    reply = jobs.client.call(Wait(jobs=[over.job_id, going_on.job_id], any=any_job, timeout_s=0))
    assert reply.timed_out is not any_job


def test_a_pattern_in_the_last_output_fires_although_the_job_has_ended(jobs: Jobs) -> None:
    job = jobs.run("echo done: 42; exit 1")
    reply = jobs.client.call(Wait(jobs=[job.job_id], until=[Condition(pattern="done")], since={job.job_id: 0}))
    assert reply.fired[0].condition == "pattern"


def test_a_jobs_end_ends_the_wait_for_a_pattern_that_never_came(jobs: Jobs) -> None:
    job = jobs.run("echo no; exit 1")
    reply = jobs.client.call(Wait(jobs=[job.job_id], until=[Condition(pattern="never")], since={job.job_id: 0}))
    assert (reply.fired[0].condition, reply.jobs[0].exit_code) == ("exit", 1)


def test_a_port_fires_when_a_process_of_the_job_listens(jobs: Jobs) -> None:
    code = (
        "import socket,sys; s=socket.socket(); s.bind(('127.0.0.1',0)); sys.stdin.readline();"
        "s.listen(); print(s.getsockname()[1], flush=True); sys.stdin.read()"
    )
    job = jobs.run(
        [
            "python3",
            "-c",
            code.replace("sys.stdin.readline();", "print(s.getsockname()[1], flush=True); sys.stdin.readline();"),
        ]
    )
    line = (
        jobs.client.call(Wait(jobs=[job.job_id], until=[Condition(pattern=r"\d+")], since={job.job_id: 0}))
        .fired[0]
        .line
    )
    jobs.client.call(Send(job=job.job_id, data=b"listen\n"))
    reply = jobs.client.call(Wait(jobs=[job.job_id], until=[Condition(port=int(line))], timeout_s=30))
    assert reply.fired[0].condition == "port"
    assert int(line) in (jobs.client.call(Status(jobs=[job.job_id], details=True)).jobs[0].ports or [])


def test_quiet_fires_when_nothing_was_written_for_that_long(jobs: Jobs) -> None:
    job = jobs.run("for i in 1 2 3; do echo $i; sleep 0.05; done; sleep 300")
    reply = jobs.client.call(Wait(jobs=[job.job_id], until=[Condition(quiet_s=0.3)]))
    assert reply.fired[0].condition == "quiet"
    assert reply.jobs[0].output_bytes == 6


def test_a_wait_that_times_out_says_so_and_the_job_goes_on(jobs: Jobs) -> None:
    job = jobs.run("sleep 300")
    reply = jobs.client.call(Wait(jobs=[job.job_id], timeout_s=0.05))
    assert (reply.timed_out, reply.fired, reply.jobs[0].status) == (True, [], JobStatus.RUNNING)


def test_all_waits_for_every_job_and_any_for_the_first(jobs: Jobs) -> None:
    long, short, shorter = jobs.run("sleep 300"), jobs.run("exit 1"), jobs.run("exit 2")
    both = jobs.client.call(Wait(jobs=[short.job_id, shorter.job_id]))
    assert [job.exit_code for job in both.jobs] == [1, 2]
    any_reply = jobs.client.call(Wait(jobs=[long.job_id, short.job_id], any=True, timeout_s=30))
    assert [fired.job_id for fired in any_reply.fired] == [short.job_id]
    assert not any_reply.timed_out


@pytest.mark.parametrize(
    "condition", [Condition(pattern="("), Condition(port=0), Condition(quiet_s=0.0), Condition(port=1, quiet_s=1.0)]
)
def test_a_condition_that_makes_no_sense_is_refused(jobs: Jobs, refused, condition: Condition) -> None:
    job = jobs.finish("true")
    with refused(ErrorCode.INVALID_ARGUMENT):
        jobs.client.call(Wait(jobs=[job.job_id], until=[condition]))


def test_waiting_for_an_unknown_job_is_no_such_job(jobs: Jobs, refused) -> None:
    with refused(ErrorCode.NO_SUCH_JOB):
        jobs.client.call(Wait(jobs=["nobody"]))


SLOW = "(a|aa)+$"  # takes longer than anybody waits on a line of a few dozen characters


def test_a_pattern_that_would_take_for_ever_is_refused_and_nobody_else_waits(
    jobs: Jobs, refused, daemon: Daemon
) -> None:
    job = jobs.finish("printf '%060d!' 0 | tr 0 a")
    with Raw(daemon.paths.socket) as slow, Raw(daemon.paths.socket) as quick:
        slow.call(1, Search(job=job.job_id, pattern=SLOW))
        slow.call(2, Wait(jobs=[job.job_id], until=[Condition(pattern=SLOW)], since={job.job_id: 0}))
        quick.call(1, Ping())
        assert quick.answer().id == 1
        for _ in range(2):
            answer = slow.answer()
            assert msgspec.msgpack.decode(answer.body, type=ErrorBody).code == ErrorCode.LIMIT_EXCEEDED

"""submit: what is started, with what, and what is refused."""

import os
import stat
from pathlib import Path

import msgspec
import pytest

from bgjobd.errors import ErrorCode
from bgjobd.protocol import EndReason, JobStatus, Kill, ListJobs, Output, Status
from tests.helpers.submit import Jobs, request
from tests.helpers.waiting import wait_until

pytestmark = pytest.mark.shared


def text(jobs: Jobs, job_id: str) -> str:
    reply = jobs.client.call(Output(job=job_id))
    return b"".join(run.data for run in reply.runs).decode()


def test_a_shell_line_has_pipes_operators_redirections_globs_and_quotes(jobs: Jobs, workdir: str) -> None:
    job = jobs.finish(
        "touch b.txt a.txt && ls *.txt | tr a-z A-Z > out; cat < out; echo 'one  two' \"$((1+2))\" || echo no",
        cwd=workdir,
    )
    assert text(jobs, job.job_id) == "A.TXT\nB.TXT\nOUT\none  two 3\n".replace("OUT\n", "")
    assert job.status is JobStatus.COMPLETED


def test_an_argv_is_executed_exactly(jobs: Jobs) -> None:
    job = jobs.finish(["printf", "%s|", "a b", "$HOME", "*", "", "x'y\"z", "new\nline"])
    assert text(jobs, job.job_id) == "a b|$HOME|*||x'y\"z|new\nline|"
    assert job.argv == ["printf", "%s|", "a b", "$HOME", "*", "", "x'y\"z", "new\nline"]


def test_bytes_that_are_no_utf8_arrive_in_argv_and_environment(jobs: Jobs) -> None:
    wanted = request(["sh", "-c", 'printf "%s %s" "$1" "$V"', "sh", "x"], env=jobs.env)
    argv = [*(wanted.argv or [])[:-1], b"\xff\xfe"]
    raw = msgspec.structs.replace(wanted, argv=argv, env={**wanted.env, b"V": b"\x80"})
    job_id = jobs.client.call(raw).job.job_id
    jobs.end(job_id)
    reply = jobs.client.call(Output(job=job_id))
    assert b"".join(run.data for run in reply.runs) == b"\xff\xfe \x80"


def test_a_job_has_the_callers_environment_directory_and_umask_and_knows_its_id(jobs: Jobs, workdir: str) -> None:
    job = jobs.finish(
        'pwd; umask; echo "$MARK"; echo "$BGJOB_ID"; echo "$BGJOB_NAME"; test -f "$BGJOB_DIR/spec" && echo found',
        cwd=workdir,
        umask=0o027,
        name="marked",
    )
    lines = text(jobs, job.job_id).splitlines()
    assert lines == [workdir, "0027", jobs.env.get("MARK", ""), job.job_id, "marked", "found"]


def test_a_job_does_not_inherit_the_daemons_descriptors_or_ignored_signals(jobs: Jobs) -> None:
    job = jobs.finish("ls /proc/self/fd | wc -l; grep -E '^Sig(Ign|Blk)' /proc/self/status")
    descriptors, blocked, ignored = text(jobs, job.job_id).split("\n")[:3]
    assert int(descriptors) == 4  # 0, 1, 2 and the directory that ls reads
    assert int(blocked.split()[1], 16) == 0
    internal = 1 << 31 | 1 << 32  # glibc's own real-time signals 32 and 33, which its posix_spawn ignores in the child
    assert int(ignored.split()[1], 16) & ~internal == 0


def test_the_reply_says_running_with_the_pid_of_the_command(jobs: Jobs) -> None:
    job = jobs.run("exec sleep 60", name="sleeper")
    assert job.status is JobStatus.RUNNING
    assert job.pid is not None
    # Running means that the shell was executed; that it has replaced itself by then is not promised.
    wait_until(lambda: Path(f"/proc/{job.pid}/comm").read_text() == "sleep\n", "the command in the pid of the reply")


def test_wait_s_answers_early_with_the_end(jobs: Jobs) -> None:
    job = jobs.run("echo quick; exit 3", wait_s=30.0)
    assert (job.status, job.reason, job.exit_code) == (JobStatus.FAILED, EndReason.EXIT, 3)


def test_wait_s_answers_with_running_when_the_time_is_over(jobs: Jobs) -> None:
    assert jobs.run("sleep 60", wait_s=0.05).status is JobStatus.RUNNING


@pytest.mark.parametrize(
    ("argv", "code", "words"),
    [
        (["no-such-program-at-all"], 127, "No such file"),
        (["/etc/passwd"], 126, "Permission denied"),
        (["/"], 126, "Permission denied"),
    ],
)
def test_what_cannot_be_executed_ends_as_spawn_failed_with_the_reason(
    jobs: Jobs, argv: list[str], code: int, words: str
) -> None:
    job = jobs.finish(argv)
    assert (job.status, job.reason, job.exit_code) == (JobStatus.FAILED, EndReason.SPAWN_FAILED, code)
    assert words in job.error
    assert job.pid is None


def test_a_job_that_dies_by_a_signal_of_its_own_failed(jobs: Jobs) -> None:
    job = jobs.finish("kill -SEGV $$")
    assert (job.status, job.reason, job.signal, job.exit_code) == (
        JobStatus.FAILED, EndReason.SIGNAL, "SIGSEGV", None,
    )  # fmt: skip


@pytest.mark.parametrize(
    "fields",
    [
        {"cwd": "/no/such/directory"},
        {"cwd": "/etc/passwd"},
        {"cwd": "relative"},
        {"name": "two words"},
        {"name": "-dash"},
        {"name": "line\nbreak"},
        {"timeout_s": 0.0},
        {"timeout_s": -1.0},
        {"grace_s": -1.0},
        {"stop_signal": "SIGFOO"},
        {"max_output_bytes": 10},
        {"umask": 0o1000},
        {"shell": "bash"},
        {"shell": "/no/such/shell"},
        {"nice": 99},
        {"rows": 0},
        {"stdin_file": b"/no/such/file"},
    ],
)
def test_a_value_that_cannot_be_used_is_refused_and_leaves_no_job(jobs: Jobs, refused, fields: dict) -> None:
    with refused(ErrorCode.INVALID_ARGUMENT) as error:
        jobs.run("true", **fields)
    assert error.value.message.startswith("cannot ")
    assert jobs.client.call(ListJobs()).total == 0


@pytest.mark.parametrize("command", ["", "   ", "\n"])
def test_an_empty_command_is_refused(jobs: Jobs, refused, command: str) -> None:
    with refused(ErrorCode.INVALID_ARGUMENT):
        jobs.run(command)


def test_two_active_jobs_cannot_share_a_name_and_an_ended_one_gives_it_back(jobs: Jobs, refused) -> None:
    first = jobs.run("sleep 60", name="server")
    with refused(ErrorCode.NAME_IN_USE) as error:
        jobs.run("sleep 60", name="server")
    assert error.value.details["job_id"] == first.job_id
    jobs.client.call(Kill(job="server"))
    second = jobs.run("sleep 60", name="server")
    assert jobs.client.call(Status(jobs=["server"])).jobs[0].job_id == second.job_id


def test_the_same_idempotency_key_returns_the_first_job_and_another_request_is_an_error(jobs: Jobs, refused) -> None:
    wanted = request("exit 4", env=jobs.env, idempotency_key="k1")
    first = jobs.client.call(wanted)
    again = jobs.client.call(wanted)
    assert (again.job.job_id, again.replayed, first.replayed) == (first.job.job_id, True, False)
    jobs.end(first.job.job_id)
    ended = jobs.client.call(wanted)
    assert (ended.job.job_id, ended.job.exit_code, ended.replayed) == (first.job.job_id, 4, True)
    with refused(ErrorCode.IDEMPOTENCY_CONFLICT):
        jobs.client.call(request("exit 5", env=jobs.env, idempotency_key="k1"))


def test_the_job_directory_is_private_and_its_log_is_the_output(jobs: Jobs, daemon) -> None:
    job = jobs.finish("printf abc; printf def >&2")
    directory = daemon.paths.job_dir(job.job_id)
    assert stat.S_IMODE(os.stat(directory).st_mode) == 0o700
    for name in ("spec", "run", "exit"):
        assert stat.S_IMODE(os.stat(f"{directory}/{name}").st_mode) == 0o600
    with open(f"{directory}/log/{0:016x}.log", "rb") as log:
        assert sorted(log.read()) == sorted(b"abcdef")


def test_environment_values_are_in_no_reply_and_not_in_the_daemons_log(jobs: Jobs, daemon) -> None:
    jobs.env["API_TOKEN"] = "hunter2-secret"
    job = jobs.finish("true", name="quiet")
    said = repr(jobs.client.call(Status(jobs=[job.job_id], details=True))) + repr(jobs.client.call(ListJobs()))
    assert "hunter2" not in said
    assert "hunter2" not in daemon.log


@pytest.mark.shared(False)
def test_jobs_beyond_max_jobs_are_queued_and_start_in_order(env: dict[str, str], home: str) -> None:
    from bgjobd.client import connect
    from tests.helpers.daemon import Daemon

    daemon = Daemon({**env, "BGJOB_MAX_JOBS": "1"})
    daemon.start()
    try:
        with connect(daemon.paths, autostart=False) as client:
            jobs = Jobs(client, env)
            first = jobs.run("cat", name="first")
            second = jobs.run(f"echo second >> {home}/order", name="second")
            third = jobs.run(f"echo third >> {home}/order", name="third")
            assert [job.status for job in (first, second, third)] == ["running", "queued", "queued"]
            assert (second.queue_position, third.queue_position) == (1, 2)
            cancelled = jobs.run("echo never", name="fourth")
            receipt = client.call(Kill(job="fourth")).receipt
            assert receipt.status == "killed"
            assert client.call(Status(jobs=["fourth"])).jobs[0].reason is EndReason.CANCELLED
            assert cancelled.queue_position == 3
            client.call(Kill(job="first"))
            jobs.end(third)
            with open(f"{home}/order") as file:
                assert file.read() == "second\nthird\n"
        daemon.stop(kill_jobs=True)
    finally:
        daemon.close()

"""What runs when a job has ended: `on_exit` of a job and of the configuration, and notifications."""

import os
from collections.abc import Callable, Iterator

import pytest

from bgjobd.client import connect
from bgjobd.errors import ErrorCode
from bgjobd.protocol import Kill, Status, Tail
from tests.helpers.daemon import Daemon
from tests.helpers.instance import kill_and_wait, run_record, zygote_pid
from tests.helpers.procs import processes_of
from tests.helpers.submit import Jobs
from tests.helpers.waiting import wait_for_file, wait_gone, wait_until

# Written beside and renamed, so that whoever sees the file sees all of it.
TELL = "env | grep ^BGJOB_ > .facts; mv .facts facts"
COUNT = "echo ended >> count; touch counted"


def facts(workdir: str) -> dict[str, str]:
    """Return the variables that a hook saw, once it ran."""
    wait_for_file(f"{workdir}/facts")
    with open(f"{workdir}/facts", encoding="utf-8") as file:
        found = dict(line.rstrip("\n").split("=", 1) for line in file if "=" in line)
    os.unlink(f"{workdir}/facts")
    return found


def logged(daemon: Daemon, text: str) -> None:
    wait_until(lambda: text in daemon.log, f"{text!r} in the daemon's log")


@pytest.fixture
def configured(env: dict[str, str]) -> Iterator[Callable[..., Jobs]]:
    """Starts a daemon with settings, and submits to it."""
    daemons, clients = [], []

    def start(**settings: str) -> Jobs:
        daemon = Daemon(env | {f"BGJOB_{name.upper()}": value for name, value in settings.items()})
        daemons.append(daemon)
        daemon.start()
        clients.append(connect(daemon.paths, autostart=False))
        return Jobs(clients[-1], env)

    yield start
    for client in clients:
        client.close()
    for daemon in daemons:
        daemon.stop(kill_jobs=True)
        daemon.close()


def test_a_hook_knows_which_job_ended_and_how(jobs: Jobs, workdir: str) -> None:
    job = jobs.finish("printf hello; exit 3", name="build", cwd=workdir, on_exit=TELL.encode())
    found = facts(workdir)
    assert found["BGJOB_ID"] == job.job_id
    assert found["BGJOB_NAME"] == "build"
    assert found["BGJOB_STATUS"] == "failed"
    assert found["BGJOB_REASON"] == "exit"
    assert found["BGJOB_EXIT_CODE"] == "3"
    assert found["BGJOB_SIGNAL"] == ""
    assert found["BGJOB_COMMAND"] == "printf hello; exit 3"
    assert found["BGJOB_CWD"] == workdir
    assert found["BGJOB_OUTPUT_BYTES"] == "5"
    assert found["BGJOB_STARTED"] == job.started
    assert found["BGJOB_ENDED"] == job.ended
    assert float(found["BGJOB_DURATION_S"]) == job.duration_s


def test_a_hook_has_the_environment_and_the_directory_of_its_job(jobs: Jobs, workdir: str) -> None:
    jobs.env["COLOUR"] = "green"
    jobs.finish("true", cwd=workdir, on_exit=b'pwd > here; echo "$COLOUR" >> here; mv here told')
    wait_for_file(f"{workdir}/told")
    with open(f"{workdir}/told", encoding="utf-8") as file:
        assert file.read().splitlines() == [workdir, "green"]


def test_a_killed_job_tells_its_hook_who_ended_it(jobs: Jobs, workdir: str) -> None:
    job = jobs.run("sleep 600", cwd=workdir, on_exit=TELL.encode())
    jobs.client.call(Kill(job=job.job_id))
    found = facts(workdir)
    assert (found["BGJOB_STATUS"], found["BGJOB_REASON"], found["BGJOB_SIGNAL"]) == ("killed", "user", "SIGTERM")


def test_a_job_past_its_time_limit_has_its_hook(jobs: Jobs, workdir: str) -> None:
    jobs.run("sleep 600", cwd=workdir, timeout_s=0.1, on_exit=TELL.encode())
    assert facts(workdir)["BGJOB_REASON"] == "timeout"


def test_a_command_that_could_not_be_started_has_its_hook(jobs: Jobs, workdir: str) -> None:
    jobs.run(["/nowhere/program"], cwd=workdir, on_exit=TELL.encode())
    found = facts(workdir)
    assert (found["BGJOB_REASON"], found["BGJOB_EXIT_CODE"]) == ("spawn_failed", "127")


def test_a_job_taken_out_of_the_queue_has_its_hook(configured: Callable[..., Jobs], workdir: str) -> None:
    jobs = configured(max_jobs="1")
    jobs.run("sleep 600")
    waiting = jobs.run("true", cwd=workdir, on_exit=TELL.encode())
    jobs.client.call(Kill(job=waiting.job_id))
    assert facts(workdir)["BGJOB_REASON"] == "cancelled"


def test_a_lost_job_has_its_hook(daemon: Daemon, env: dict[str, str], workdir: str) -> None:
    """Everything that could have seen its end is killed first."""
    with connect(daemon.paths, autostart=False) as client:
        job = Jobs(client, env).run("exec sleep 600", cwd=workdir, on_exit=TELL.encode())
    zygote = zygote_pid(daemon.paths, job.job_id)
    runner = run_record(daemon.paths, job.job_id).runner_pid
    daemon.kill()
    kill_and_wait(zygote)
    kill_and_wait(runner)
    assert job.pid
    kill_and_wait(job.pid)
    daemon.start()
    found = facts(workdir)
    assert (found["BGJOB_STATUS"], found["BGJOB_REASON"]) == ("lost", "unobserved")


def test_a_job_that_ended_while_no_daemon_ran_has_its_hook_when_one_is_back(
    daemon: Daemon, env: dict[str, str], workdir: str
) -> None:
    with connect(daemon.paths, autostart=False) as client:
        job = Jobs(client, env).run("while [ ! -e go ]; do sleep 0.02; done", cwd=workdir, on_exit=TELL.encode())
    daemon.kill()
    open(f"{workdir}/go", "w").close()
    assert job.pid
    wait_gone(job.pid)
    daemon.start()
    assert facts(workdir)["BGJOB_STATUS"] == "completed"


def test_a_hook_runs_once_although_the_daemon_is_restarted_while_leftovers_run(
    daemon: Daemon, env: dict[str, str], workdir: str
) -> None:
    """The job is still active then: its leftovers are."""
    with connect(daemon.paths, autostart=False) as client:
        jobs = Jobs(client, env)
        job = jobs.finish("sleep 600 >/dev/null 2>&1 &", cwd=workdir, on_exit=COUNT.encode())
        assert job.left_behind_count == 1
    wait_for_file(f"{workdir}/counted")
    daemon.stop()
    daemon.start()
    with connect(daemon.paths, autostart=False) as client:
        jobs = Jobs(client, env)
        assert client.call(Status(jobs=[job.job_id])).jobs[0].left_behind_count == 1
        jobs.finish("true", cwd=workdir, on_exit=TELL.encode())  # a later hook: an earlier one has run by now
        facts(workdir)
        client.call(Kill(job=job.job_id))
    with open(f"{workdir}/count", encoding="utf-8") as file:
        assert file.read() == "ended\n"


def test_every_job_has_the_configured_hook_beside_its_own(configured: Callable[..., Jobs], workdir: str) -> None:
    jobs = configured(on_exit="touch configured")
    jobs.run("true", cwd=workdir, on_exit=b"touch own")
    wait_for_file(f"{workdir}/configured")
    wait_for_file(f"{workdir}/own")


def test_a_failing_hook_is_logged_and_harms_nothing(daemon: Daemon, jobs: Jobs, workdir: str) -> None:
    job = jobs.finish("true", cwd=workdir, on_exit=b"exit 5")
    logged(daemon, f"hook failed: job={job.job_id}")
    assert jobs.client.call(Status(jobs=[job.job_id])).jobs[0].status == "completed"
    assert jobs.finish("true").exit_code == 0


def test_a_hook_that_cannot_be_started_is_logged_and_harms_nothing(
    configured: Callable[..., Jobs], env: dict[str, str], workdir: str
) -> None:
    jobs = configured(shell="/nowhere/shell")
    job = jobs.finish(["true"], cwd=workdir, on_exit=b"true")
    assert job.status == "completed"
    logged(Daemon(env), f"cannot start a hook: job={job.job_id}")


def test_a_hook_that_hangs_holds_up_nobody_and_is_no_part_of_its_job(jobs: Jobs, home: str, workdir: str) -> None:
    os.mkfifo(f"{workdir}/hold")
    job = jobs.finish("true", cwd=workdir, on_exit=b"echo $$ > .pid; mv .pid pid; read forever < hold")
    wait_for_file(f"{workdir}/pid")
    with open(f"{workdir}/pid", encoding="utf-8") as file:
        hook = int(file.read())
    info = jobs.client.call(Status(jobs=[job.job_id], details=True)).jobs[0]
    assert (info.left_behind_count, info.processes or []) == (0, [])
    assert jobs.finish("true").exit_code == 0
    kill_and_wait(hook)
    assert hook not in [process.pid for process in processes_of(home)], "the hook is a zombie"


def test_a_notification_is_shown_when_a_job_failed(
    configured: Callable[..., Jobs], env: dict[str, str], workdir: str
) -> None:
    """With a notifier that writes down what it is told."""
    notifier = f"{workdir}/notify-send"
    with open(notifier, "w", encoding="utf-8") as file:
        file.write(f'#!/bin/sh\nprintf "%s\\n" "$@" > {workdir}/.said; mv {workdir}/.said {workdir}/said\n')
    os.chmod(notifier, 0o700)
    env["PATH"] = f"{workdir}:{env['PATH']}"
    jobs = configured(notify="failed")
    jobs.finish("true", name="fine")
    jobs.run("exit 3", name="broken")
    wait_for_file(f"{workdir}/said")
    with open(f"{workdir}/said", encoding="utf-8") as file:
        assert file.read().splitlines() == ["--app-name=bgjob", "--", "bgjob: broken failed", "exit 3"]


def test_a_hook_has_the_signals_and_the_umask_of_a_job(jobs: Jobs, workdir: str) -> None:
    told = "{ grep ^SigIgn /proc/self/status; umask; } > .told; mv .told told"
    jobs.finish("true", cwd=workdir, umask=0o027, on_exit=told.encode())
    wait_for_file(f"{workdir}/told")
    with open(f"{workdir}/told") as file:
        ignored, umask = file.read().split()[1:]
    in_a_job = jobs.client.call(Tail(job=jobs.finish("grep ^SigIgn /proc/self/status").job_id)).runs[0].data.split()[1]
    assert (ignored, umask) == (in_a_job.decode(), "0027")


def test_a_command_too_long_for_a_variable_does_not_keep_the_hook_from_running(jobs: Jobs, workdir: str) -> None:
    jobs.finish(f": {'x' * 120_000}", cwd=workdir, on_exit=TELL.encode())
    assert facts(workdir)["BGJOB_COMMAND"].startswith(": xxx")


@pytest.mark.parametrize("field", ["on_exit", "stdin_file", "shell"])
def test_a_nul_is_refused_before_anything_is_written(jobs: Jobs, refused, field: str) -> None:
    value = "/bin/sh\0" if field == "shell" else b"/dev/null\0"
    with refused(ErrorCode.INVALID_ARGUMENT):
        jobs.run("true", **{field: value})

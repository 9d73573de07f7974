"""Jobs on a terminal: what they find there, and that every byte of theirs is in the log as it was written."""

import os

import pytest

from bgjobd.protocol import Condition, Output, Resize, Send, Status, Wait
from tests.helpers.submit import Jobs
from tests.helpers.waiting import wait_until

pytestmark = pytest.mark.shared


def output(jobs: Jobs, job_id: str) -> bytes:
    return b"".join(run.data for run in jobs.client.call(Output(job=job_id, max_bytes=8 << 20)).runs)


def wait_for(jobs: Jobs, job_id: str, pattern: str) -> None:
    reply = jobs.client.call(Wait(jobs=[job_id], until=[Condition(pattern=pattern)], since={job_id: 0}))
    assert reply.fired[0].condition == "pattern", reply


def test_the_terminal_controls_the_job_and_has_the_size_that_was_asked_for(jobs: Jobs) -> None:
    script = (
        'tty; stty size; test -t 0 && test -t 1 && test -t 2 && echo "all three"; echo to me >/dev/tty; echo controlled'
    )
    job = jobs.finish(script, pty=True, rows=33, columns=99)
    lines = output(jobs, job.job_id).decode().split("\r\n")
    assert lines[0].startswith("/dev/")
    assert lines[1:5] == ["33 99", "all three", "to me", "controlled"]


@pytest.mark.parametrize(("term", "found"), [("", "xterm-256color"), ("dumb", "xterm-256color"), ("vt100", "vt100")])
def test_a_terminal_is_one_that_programs_know(jobs: Jobs, term: str, found: str) -> None:
    jobs.env["TERM"] = term
    job = jobs.finish("echo $TERM", pty=True)
    assert output(jobs, job.job_id) == f"{found}\r\n".encode()


def test_a_new_size_is_told_to_the_program(jobs: Jobs) -> None:
    job = jobs.run("trap 'stty size; exit 0' WINCH; echo ready; while :; do read x; done", pty=True)
    wait_for(jobs, job.job_id, "ready")
    jobs.client.call(Resize(job=job.job_id, rows=50, columns=132))
    assert jobs.end(job).exit_code == 0
    assert b"50 132" in output(jobs, job.job_id)


def test_keys_that_interrupt_reach_only_the_foreground(jobs: Jobs) -> None:
    job = jobs.run("trap : INT; set -m; sleep 300 & sleep 301; echo status $?; kill %1; echo done", pty=True)
    # The shell gives the terminal to the second sleep before that runs.
    wait_for_foreground(jobs, job.job_id)
    jobs.client.call(Send(job=job.job_id, keys="C-c"))
    assert jobs.end(job).exit_code == 0
    assert b"status 130" in output(jobs, job.job_id)
    assert b"done" in output(jobs, job.job_id)


def wait_for_foreground(jobs: Jobs, job_id: str) -> None:
    def has_it() -> bool:
        processes = jobs.client.call(Status(jobs=[job_id], details=True)).jobs[0].processes or []
        for process in processes:
            with open(f"/proc/{process.pid}/stat") as file:
                fields = file.read().rpartition(") ")[2].split()
            with open(f"/proc/{process.pid}/cmdline") as file:
                if "301" in file.read() and fields[2] == fields[5]:  # pgrp and tpgid
                    return True
        return False

    wait_until(has_it, "the command to be in the foreground")


def test_every_byte_is_in_the_log_in_the_order_written(jobs: Jobs, workdir: str) -> None:
    data = os.urandom(1 << 20)
    with open(os.path.join(workdir, "data"), "wb") as file:
        file.write(data)
    job = jobs.finish("stty -opost; cat data", pty=True, cwd=workdir)
    assert output(jobs, job.job_id) == data
    both = jobs.finish("stty -opost; for i in $(seq 300); do echo $i; echo $i >&2; done", pty=True)
    assert output(jobs, both.job_id).decode().split() == [str(number) for number in range(1, 301) for _ in "12"]


@pytest.mark.parametrize(
    ("setup", "typed", "read"),
    [("", b"", 0), ("", b"whole\n", 6), ("", b"part", 4), ("stty eof ^X;", b"part", 4)],
    ids=["nothing", "a line", "in a line", "another character"],
)
def test_the_end_of_input_is_typed(jobs: Jobs, setup: str, typed: bytes, read: int) -> None:
    job = jobs.run(f"{setup} echo ready; cat | wc -c", pty=True)
    wait_for(jobs, job.job_id, "ready")
    jobs.client.call(Send(job=job.job_id, data=typed, eof=True))
    assert jobs.end(job).exit_code == 0
    assert output(jobs, job.job_id).rstrip().endswith(str(read).encode())


def test_standard_input_may_be_a_file(jobs: Jobs, workdir: str) -> None:
    path = os.path.join(workdir, "input")
    with open(path, "w") as file:
        file.write("from a file\n")
    job = jobs.finish("cat; test -t 0 || test -t 1 && echo a terminal", pty=True, stdin_file=path.encode())
    assert output(jobs, job.job_id) == b"from a file\r\na terminal\r\n"

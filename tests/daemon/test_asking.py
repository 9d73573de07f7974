"""Whether a job waits for input: no false yes and no false no, with real programs on real terminals and pipes."""

import os
import shutil
import sys
from collections.abc import Iterable

import pytest

from bgjobd.errors import ErrorCode
from bgjobd.protocol import Condition, Events, EventType, InputMode, JobInfo, Kill, ListJobs, Output, Send, Status, Wait
from tests.helpers.submit import Jobs
from tests.helpers.waiting import TooLateError, wait_until

pytestmark = [
    pytest.mark.shared,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the evidence is in /proc of Linux"),
]

PYTHON = sys.executable
LOOKS_S = 1.5  # a wait looks after 0.2, 0.4 and 0.8 seconds of silence

GETPASS = "import getpass; getpass.getpass('Password for me: ')"
# Its selector also has a socket to itself, which wakes it from other threads.
EVENT_LOOP = """
import asyncio, sys
loop = asyncio.new_event_loop()
loop.add_reader(0, loop.stop)
print("Name? ", end="", flush=True)
loop.run_forever()
"""
# As a watcher that would take a key: it has something else to wait for.
WATCHER = """
import select, socket, sys
server = socket.create_server(("127.0.0.1", 0))
print("press q to quit{end}", end="", flush=True)
select.select([0, server], [], [])
"""
NODE = "require('readline').createInterface({input: process.stdin, output: process.stdout}).question('Name? ', () => 0)"
ONLY_A_SERVER = "import socket; print('ready', flush=True); socket.create_server(('127.0.0.1', 0)).accept()"

# What waits: command, on a terminal, the prompt, how its terminal takes input.
ASKING = {
    "cat": ("cat", False, None, None),
    "cat on a terminal": ("cat", True, None, InputMode.LINE),
    "a question": ("printf 'Overwrite? [y/N] '; read x", True, "Overwrite? [y/N] ", InputMode.LINE),
    "a question through a pipe": ("printf 'Overwrite? [y/N] '; read x", False, "Overwrite? [y/N] ", None),
    "a pipeline whose first member reads": ("cat | tr a-z A-Z | cat >/dev/null", False, None, None),
    "a child in a session of its own": ("setsid cat", False, None, None),
    # That of Python 3.13 asks ten times in a second, unless it is told to be as the earlier ones.
    "python -i": (["env", "PYTHON_BASIC_REPL=1", PYTHON, "-i", "-q"], True, ">>> ", None),
    "python -i through a pipe": ([PYTHON, "-E", "-i", "-q"], False, ">>> ", None),
    "a password, asked on /dev/tty as ssh does": ([PYTHON, "-c", GETPASS], True, "Password for me: ", InputMode.HIDDEN),
    "an event loop": ([PYTHON, "-c", EVENT_LOOP], False, "Name? ", None),
    "a prompt beside something else": ([PYTHON, "-c", WATCHER.format(end=": ")], True, "press q to quit: ", None),
    "bash at its prompt": (["bash", "--norc", "--noprofile"], True, None, InputMode.RAW),
    "read -s": (["bash", "-c", "read -s -p 'Token: ' x"], True, "Token: ", InputMode.HIDDEN),
    "a pager": ("seq 200 | less", True, ":", InputMode.RAW),
    "node": (["node", "-e", NODE], True, "Name? ", InputMode.RAW),
}
NEEDS = {"bash at its prompt": "bash", "read -s": "bash", "a pager": "less", "node": "node"}

# What does not wait, or nobody can know: command, on a terminal, the verdict.
NOT_ASKING = {
    "sleep": ("sleep 300", False, False),
    "sleep on a terminal": ("printf 'Working... '; sleep 300", True, False),
    "a server that reads nothing": ([PYTHON, "-c", ONLY_A_SERVER], False, False),
    "the end of a pipeline": ("sleep 300 | cat", False, False),
    "a reader of another file": ("exec 3<>fifo; cat <&3", False, False),
    "a terminal in the background": ("set -m; cat & sleep 300", True, False),
    "a shell whose command runs": ("set -m; sleep 300; read x", True, False),
    "a watcher that would take a key": ([PYTHON, "-c", WATCHER.format(end="\\n")], False, None),
    "the same on a terminal": ([PYTHON, "-c", WATCHER.format(end="\\n")], True, None),
    "no standard input": ("exec <&-; sleep 300", False, False),
}


def running(jobs: Jobs, started: dict[str, JobInfo]) -> dict[str, JobInfo]:
    """Return how the jobs are now, looked at."""
    found = {job.job_id: job for job in jobs.client.call(ListJobs(sample_input=True)).jobs}
    return {name: found[job.job_id] for name, job in started.items()}


def kill(jobs: Jobs, started: Iterable[JobInfo]) -> None:
    for job in started:
        jobs.client.call(Kill(job=job.job_id, signal="KILL"))


def test_whoever_waits_for_input_is_found_with_the_prompt_and_the_mode(jobs: Jobs) -> None:
    wanted = {name: each for name, each in ASKING.items() if shutil.which(NEEDS.get(name, "sh"))}
    started = {name: jobs.run(command, pty=pty) for name, (command, pty, *_) in wanted.items()}
    found: dict[str, JobInfo] = {}

    def silent() -> list[str]:
        found.update(running(jobs, started))
        return [name for name, job in found.items() if not job.waiting_for_input]

    try:
        wait_until(lambda: not silent(), "all of them to wait")
    except TooLateError:
        assert silent() == []
    for name, (_, pty, prompt, mode) in wanted.items():
        assert (found[name].prompt or "").rstrip().endswith((prompt or "").rstrip()), name
        assert mode is None or found[name].input_mode is mode, name
        assert pty or found[name].input_mode is None, name
    kill(jobs, started.values())


def test_whoever_does_not_wait_is_not_said_to(jobs: Jobs, workdir: str) -> None:
    os.mkfifo(os.path.join(workdir, "fifo"))
    started = {name: jobs.run(command, pty=pty, cwd=workdir) for name, (command, pty, _) in NOT_ASKING.items()}
    ids = [job.job_id for job in started.values()]
    reply = jobs.client.call(Wait(jobs=ids, needs_input=True, timeout_s=LOOKS_S))
    assert reply.timed_out, reply.fired
    found = {job.job_id: job.waiting_for_input for job in reply.jobs}
    assert {name: found[job.job_id] for name, job in started.items()} == {
        name: verdict for name, (*_, verdict) in NOT_ASKING.items()
    }
    kill(jobs, started.values())


def test_subscribers_are_told_once_each_time_a_job_asks(jobs: Jobs) -> None:
    job = jobs.run("printf 'One? '; read x; echo; printf 'Two? '; read x; echo done")
    for _ in range(2):
        assert jobs.client.call(Wait(jobs=[job.job_id], needs_input=True)).fired[0].condition == "needs_input"
        assert jobs.client.call(Status(jobs=[job.job_id], details=True)).jobs[0].waiting_for_input
        jobs.client.call(Send(job=job.job_id, data=b"answer", newline=True))
    assert jobs.end(job).exit_code == 0
    events = list(jobs.client.stream(Events(since=0, job=job.job_id, follow=False)))
    asked = [event.detail for event in events if event.type is EventType.INPUT_NEEDED]
    assert asked == ["One? ", "Two? "]


def test_a_job_that_asks_does_not_hold_up_who_waits_for_something_else(jobs: Jobs) -> None:
    job = jobs.run("read x; echo found; sleep 300")
    jobs.client.call(Send(job=job.job_id, data=b"go\n"))
    reply = jobs.client.call(
        Wait(jobs=[job.job_id], until=[Condition(pattern="found")], since={job.job_id: 0}, needs_input=True)
    )
    assert reply.fired[0].condition == "pattern"
    kill(jobs, [job])


def test_a_secret_is_sent_only_while_the_terminal_hides_it_and_is_nowhere(jobs: Jobs, refused) -> None:
    job = jobs.run("stty -echo; read x; stty echo; read y; echo ${#x}", pty=True)
    assert jobs.client.call(Wait(jobs=[job.job_id], needs_input=True)).jobs[0].input_mode is InputMode.HIDDEN
    jobs.client.call(Send(job=job.job_id, data=b"hunter2", newline=True, hidden=True))
    wait_until(lambda: shows(jobs, job).input_mode is InputMode.LINE, "the terminal to show again")
    with refused(ErrorCode.REFUSED):
        jobs.client.call(Send(job=job.job_id, data=b"hunter3", newline=True, hidden=True))
    jobs.client.call(Send(job=job.job_id, newline=True))
    assert jobs.end(job).exit_code == 0
    written = b"".join(run.data for run in jobs.client.call(Output(job=job.job_id)).runs)
    assert written.strip() == b"7"


def shows(jobs: Jobs, job: JobInfo) -> JobInfo:
    return jobs.client.call(Status(jobs=[job.job_id], details=True)).jobs[0]

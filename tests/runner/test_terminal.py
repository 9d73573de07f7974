"""A job on a terminal whose runner is killed: the terminal goes on, and no byte of it is lost."""

import sys

import pytest

from bgjobd.runner import control
from tests.runner.harness import Zygote
from tests.runner.test_rescue import COUNTER, kill_runner

linux_only = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="elsewhere a chunk may be lost with its runner"
)


@linux_only
def test_a_killed_runner_loses_no_byte_of_a_terminal(zygote: Zygote) -> None:
    lines = 10_000
    writer = f'stty -opost; exec {sys.executable} -I -S -c "{COUNTER}" {lines}'
    job = zygote.submit(writer, pty=True, max_output_bytes=1 << 30).wait_started()
    kills = 0
    while not job.has_exit() and kills < 8:
        kill_runner(job)
        kills += 1
    record = job.wait_ended()
    assert kills >= 3
    assert (job.code(), record.by, record.reason, record.left) == (9, "zygote", "exit", 0)
    assert [int(line[:8]) for line in job.output().splitlines()] == list(range(lines))


def test_the_successor_of_a_runner_serves_the_same_terminal(zygote: Zygote) -> None:
    loop = 'while [ "$x" != end ]; do read x; echo "<$x>"; done'
    job = zygote.submit(f"trap 'stty size' WINCH; echo ready; {loop}; exit 4", pty=True)
    job.wait_started().wait_output("ready")
    kill_runner(job)
    job.wait_started()
    with job.control() as peer:
        assert (peer.status()["rows"], peer.status()["columns"]) == ("24", "80")
        peer.write(b"typed\r")
        job.wait_output("<typed>")
        peer.call(control.RESIZE, rows=33, columns=99)
        job.wait_output("33 99")
        peer.write(b"end\r")
    job.wait_ended()
    assert job.code() == 4


def test_the_end_of_the_main_process_hangs_up_who_is_in_the_foreground(zygote: Zygote) -> None:
    job = zygote.submit("(exec sleep 300) & echo last words", pty=True)
    job.wait_ended()
    job.wait_runner_gone()  # it stays as long as anyone is left
    assert job.output() == b"last words\r\n"

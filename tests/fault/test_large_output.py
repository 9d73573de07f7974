"""Large output comes back byte for byte, through the whole chain: pipe, runner, log, daemon, socket, command line."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.cli import BGJOB, Cli
from tests.helpers.daemon import Daemon
from tests.helpers.jobs.pattern import blocks
from tests.helpers.procs import memory_of
from tests.helpers.waiting import wait_exit

GIB = 1 << 30
# What a few large buffers and their fragments may cost; the output is a hundred times as much.
GROWTH_BYTES = 8 << 20
PATTERN = Path(__file__).parents[1] / "helpers" / "jobs" / "pattern.py"


@pytest.mark.slow
def test_a_gibibyte_of_output_comes_back_byte_for_byte_and_costs_the_daemon_no_memory(daemon: Daemon, cli: Cli) -> None:
    cli.submit("--wait", "echo warm")
    before = memory_of(daemon.pid)
    job = cli.submit("--max-output", "2GiB", "--", sys.executable, str(PATTERN), str(GIB))
    cli("wait", job).ok()
    argv = [BGJOB, "output", job]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, env=cli.env, cwd=cli.cwd, bufsize=1 << 20) as reader:
        assert reader.stdout
        for number, expected in enumerate(blocks(GIB)):
            same = reader.stdout.read(len(expected)) == expected
            assert same, f"block {number} is not what the job wrote"
        assert reader.stdout.read() == b""
        assert wait_exit(reader) == 0
    assert memory_of(daemon.pid) - before <= GROWTH_BYTES

"""Large output comes back byte for byte, through the whole chain: pipe, runner, log, daemon, socket, command line."""

import hashlib
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.cli import BGJOB, Cli
from tests.helpers.jobs.pattern import blocks
from tests.helpers.waiting import wait_exit

GIB = 1 << 30
PATTERN = Path(__file__).parents[1] / "helpers" / "jobs" / "pattern.py"


@pytest.mark.slow
def test_a_gibibyte_of_output_comes_back_byte_for_byte(cli: Cli) -> None:
    job = cli.submit("--max-output", "2GiB", "--", sys.executable, str(PATTERN), str(GIB))
    expected = hashlib.sha256()
    for block in blocks(GIB):
        expected.update(block)
    cli("wait", job).ok()
    found, size = hashlib.sha256(), 0
    with subprocess.Popen([BGJOB, "output", job], stdout=subprocess.PIPE, env=cli.env, cwd=cli.cwd) as reader:
        assert reader.stdout
        while chunk := reader.stdout.read(1 << 20):
            found.update(chunk)
            size += len(chunk)
        assert wait_exit(reader) == 0
    assert size == GIB
    assert found.hexdigest() == expected.hexdigest()

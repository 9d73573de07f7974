"""`bgjob doctor --torture`: passes on this build, repeats by seed, and fails on a build that loses something."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import bgjobd
from tests.helpers.cli import BGJOB

SOURCE = Path(bgjobd.__file__).parent.parent


@pytest.mark.slow
def test_a_short_torture_loses_nothing_and_kills_every_kind_of_process(env: dict[str, str]) -> None:
    """Whatever is set for other jobs: it forgets no job of an earlier round, as retention would after 1,000 jobs."""
    done = subprocess.run(
        [BGJOB, "doctor", "--torture", "6", "--seed", "4711"],
        env={**env, "BGJOB_KEEP_ENDED_JOBS": "3", "BGJOB_TIMEOUT_S": "0.001"},
        capture_output=True,
        text=True,
        timeout=240,  # six rounds of about a second, on a machine that does other things
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == "6 rounds with --seed 4711"
    assert lines[-1] == "nothing was lost"
    killed = {re.search(r"killed (.+) at [\d.]", line)[1] for line in lines[1:-1]}  # type: ignore[index]  # or it fails
    assert len(killed) == 6


BROKEN_BUILDS = {
    "a daemon that does not adopt": (
        "bgjobd/daemon/adoption.py",
        "        jobs = self._live_jobs()\n",
        "        jobs = self._live_jobs()[:0]\n",
    ),
    "a reader that loses a byte of each run": (
        "bgjobd/store/logs.py",
        "            return part\n\n    def read_cached(",
        "            return _broken(part)\n\n    def read_cached(",
    ),
    "a runner that says all went well": (
        "bgjobd/model/outcome.py",
        "    code, name = decode_wait_status(wait_status)\n",
        "    code, name = decode_wait_status(0)\n",
    ),
}

BROKEN_READER = """

def _broken(part):
    part.runs = [Run(offset=run.offset, data=run.data[1:]) for run in part.runs]
    return part
"""


@pytest.mark.soak
@pytest.mark.parametrize("broken", BROKEN_BUILDS)
def test_a_build_that_loses_something_is_found_out(env: dict[str, str], tmp_path: Path, broken: str) -> None:
    """The packages are copied, and one line of the copy is broken on purpose."""
    for package in ("bgjobd", "bgjob_cli"):
        shutil.copytree(SOURCE / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    file, right, wrong = BROKEN_BUILDS[broken]
    text = (tmp_path / file).read_text()
    assert text.count(right) == 1, f"{file} has changed: this test has to be changed with it"
    (tmp_path / file).write_text(text.replace(right, wrong) + BROKEN_READER)
    done = subprocess.run(
        [sys.executable, "-P", "-m", "bgjob_cli", "doctor", "--torture", "1", "--seed", "1"],
        env={**env, "PYTHONPATH": str(tmp_path)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    kept = re.search(r"what is left of the instance is in (\S+)", done.stdout)
    try:
        assert done.returncode == 1, done.stdout + done.stderr
        assert "LOST: " in done.stdout
    finally:
        if kept:
            assert os.path.basename(kept[1]).startswith("bgjob-torture-")
            shutil.rmtree(kept[1])

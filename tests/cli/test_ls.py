"""`bgjob ls`: the table, the ids and the JSON."""

import os
import subprocess
import sys

import pytest

from tests.helpers.cli import BGJOB, Cli
from tests.helpers.pty import Terminal, plain
from tests.helpers.waiting import DEADLINE_S

pytestmark = pytest.mark.shared


@pytest.fixture
def jobs(cli: Cli) -> list[str]:
    """Four jobs: one that failed, one that completed, one killed, one running."""
    failed = cli.submit("-n", "tests", "echo 12345; exit 3")
    completed = cli.submit("echo", "a\nb\x1b[31m")
    killed = cli.submit("-n", "server", "sleep 1000")
    cli("wait", failed, completed)
    cli("kill", killed).ok()
    running = cli.submit("-n", "build", "sleep 1000; : " + "x" * 200)
    return [failed, completed, killed, running]


def test_active_jobs_come_first_and_then_the_newest(cli: Cli, jobs: list[str]) -> None:
    failed, completed, killed, running = jobs
    assert cli("ls", "-q").ok().stdout.split() == [running, killed, completed, failed]
    assert cli("ps", "-q").ok().stdout == cli("ls", "-q").stdout
    assert cli("-q").ok().stdout == cli("ls", "-q").stdout


def test_the_table_names_what_it_shows_and_drops_empty_columns(cli: Cli, jobs: list[str]) -> None:
    lines = cli().ok().stdout.splitlines()
    heading = lines[0].split()
    assert heading[:3] == ["ID", "NAME", "STATUS"]
    assert heading[-1] == "COMMAND"
    by_id = {line.split()[0]: line for line in lines[1:]}
    failed, completed, killed, running = (by_id[job[:8]] for job in jobs)
    assert " failed 3 " in failed
    assert " 6 B " in failed
    assert " killed " in killed
    assert " running " in running
    assert "x" * 200 in running
    assert completed.endswith(r"a\nb\e[31m") or r"\n" in completed
    only_running = cli("ls", "-s", "running").ok().stdout.splitlines()[0].split()
    assert "ENDED" not in only_running
    assert "OUT" not in only_running


def test_json_has_the_newest_job_first(cli: Cli, jobs: list[str]) -> None:
    listed = cli("ls", "--json").ok().json
    assert [job["job_id"] for job in listed["jobs"]] == jobs[::-1]
    assert listed["total"] == 4


def test_a_listing_is_narrowed_by_status_directory_and_number(cli: Cli, jobs: list[str]) -> None:
    failed, _, killed, running = jobs
    assert cli("ls", "-q", "-s", "failed", "-s", "killed").ok().stdout.split() == [killed, failed]
    assert cli("ls", "-q", "--limit", "1").ok().stdout.split() == [running]
    assert len(cli("ls", "-q", "--cwd").ok().stdout.split()) == 4
    assert cli("ls", "-q", "--cwd", cli.env["BGJOB_HOME"]).ok().stdout == ""
    narrowed = cli("ls", "--json", "--limit", "2").ok().json
    assert (len(narrowed["jobs"]), narrowed["total"]) == (2, 4)


def test_no_jobs_are_no_output(cli: Cli) -> None:
    assert cli("ls").ok().stdout == ""
    assert cli("ls", "--json").ok().json == {"jobs": [], "total": 0}


@pytest.mark.parametrize("columns", [40, 80, 200])
def test_the_table_fits_the_terminal(cli: Cli, jobs: list[str], columns: int) -> None:
    with Terminal([BGJOB, "ls"], cli.env, columns=columns) as terminal:
        lines = plain(terminal.rest()).splitlines()
    assert max(map(len, lines)) <= columns
    assert lines[0].split()[0] == "ID"
    assert len(lines) == 5
    assert "…" in lines[1]


def test_colour_is_for_terminals_that_want_it(cli: Cli, jobs: list[str]) -> None:
    def shown(**variables: str) -> str:
        with Terminal([BGJOB, "ls"], cli.env | {"TERM": "xterm"} | variables) as terminal:
            return terminal.rest()

    assert "\x1b[" in shown()
    assert "\x1b[" not in shown(NO_COLOR="1")
    assert "\x1b[" not in shown(TERM="dumb")
    assert "\x1b[" not in cli("ls").stdout
    assert "\x1b[" in cli("ls", "--color", "always").stdout


def test_of_a_directory_that_was_deleted_the_jobs_are_found_by_its_name(cli: Cli) -> None:
    gone = os.path.join(cli.cwd, "gone")
    os.mkdir(gone)
    job = cli("run", "-q", "true", cwd=gone).ok().stdout
    in_it = ["sh", "-c", 'rmdir "$PWD"; bgjob ls -q --cwd']
    done = subprocess.run(in_it, env=cli.env, cwd=gone, capture_output=True, text=True, timeout=DEADLINE_S, check=False)
    assert done.returncode == 2
    assert "was deleted" in done.stderr.splitlines()[0]
    assert cli("ls", "-q", "--cwd", gone).ok().stdout == job


@pytest.mark.skipif(sys.platform == "darwin", reason="its file names are UTF-8")
def test_the_jobs_of_a_directory_whose_name_is_not_utf_8_are_found(cli: Cli) -> None:
    odd = os.path.join(cli.cwd, os.fsdecode(b"caf\xe9"))
    os.mkdir(odd)
    job = cli("run", "-q", "true", cwd=odd).ok().stdout
    assert cli("ls", "-q", "--cwd", cwd=odd).ok().stdout == job
    assert cli("ls", "-q", "--cwd", odd).ok().stdout == job

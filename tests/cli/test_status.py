"""`bgjob status`: everything known about a job."""

import pytest

from bgjobd.protocol import JobInfo
from tests.helpers.cli import Cli

pytestmark = pytest.mark.shared


def test_json_is_an_object_for_one_job_and_an_array_for_several(cli: Cli) -> None:
    first, second = cli.submit("exit 3"), cli.submit("-n", "two", "sleep 1000")
    cli("wait", first)
    one = cli("status", first, "--json").ok().json
    assert set(one) == set(JobInfo.__struct_fields__)
    assert (one["job_id"], one["status"], one["reason"], one["exit_code"]) == (first, "failed", "exit", 3)
    assert one["signal"] is None
    assert one["started"].endswith("Z")
    both = cli("status", "two", first, "--json").ok().json
    assert [job["job_id"] for job in both] == [second, first]


def test_a_running_job_shows_its_processes(cli: Cli) -> None:
    job = cli.submit("echo ready; sleep 1000 & wait")
    cli("wait", job, "--for", "ready").ok()
    info = cli("status", job, "--json").ok().json
    assert {process["name"] for process in info["processes"]} >= {"sh", "sleep"}
    page = cli("status", job).ok().stdout
    assert "sleep 1000" in page
    assert f"  id          {job}" in page


def test_what_could_act_on_a_terminal_is_escaped(cli: Cli) -> None:
    job = cli.submit("printf", "x\x1b]0;owned\x07\n")
    cli("wait", job).ok()
    page = cli("status", job).ok().stdout
    assert "\x1b" not in page
    assert r"\e]0;owned\x07" in page


def test_a_kill_is_explained(cli: Cli) -> None:
    job = cli.submit("sleep 1000")
    cli("kill", job, "--reason", "no longer needed").ok()
    page = cli("status", job).ok().stdout
    assert "killed" in page.splitlines()[0]
    assert "no longer needed" in page


def test_a_job_is_found_by_name_and_by_prefix(cli: Cli) -> None:
    job = cli.submit("-n", "build", "sleep 1000")
    for reference in ("build", job, job[:8], job[:4]):
        assert cli("status", reference, "--json").ok().json["job_id"] == job


def test_an_unknown_job_has_a_status_of_its_own_and_suggestions(cli: Cli) -> None:
    cli.submit("-n", "build", "sleep 1000")
    result = cli("status", "biuld")
    assert result.status == 4
    assert "'biuld'" in result.stderr
    assert "build" in result.stderr
    assert result.stdout == ""


def test_a_reference_that_is_not_text_is_refused(cli: Cli) -> None:
    assert cli("status", b"\xff".decode(errors="surrogateescape")).status == 2

"""`bgjob search`: grep in a job's output."""

import pytest

from tests.helpers.cli import Cli

pytestmark = pytest.mark.shared


@pytest.fixture
def job(cli: Cli) -> str:
    job = cli.submit("seq 20; echo Error here; echo 'caf\\303\\251'; echo error there >&2")
    cli("wait", job).ok()
    return job


def test_matching_lines_have_their_numbers(cli: Cli, job: str) -> None:
    assert cli("search", job, "^1.$").ok().stdout.splitlines()[:2] == ["10:10", "11:11"]


def test_context_is_marked_and_groups_are_separated(cli: Cli, job: str) -> None:
    result = cli("search", job, "^(3|4|9)$", "-C", "1").ok()
    assert result.stdout.splitlines() == ["2-2", "3:3", "4:4", "5-5", "--", "8-8", "9:9", "10-10"]


def test_case_and_stream_can_be_chosen(cli: Cli, job: str) -> None:
    assert len(cli("search", job, "error", "-i").ok().stdout.splitlines()) == 2
    assert cli("search", job, "error", "--stderr").ok().stdout.endswith("error there\n")


def test_nothing_found_is_status_1(cli: Cli, job: str) -> None:
    result = cli("search", job, "nowhere")
    assert (result.status, result.stdout) == (1, "")


def test_what_the_limit_left_out_is_told(cli: Cli, job: str) -> None:
    result = cli("search", job, "^1", "--limit", "3").ok()
    assert len(result.stdout.splitlines()) == 3
    assert "8 more lines" in result.stderr


def test_json_has_the_matches_and_the_total(cli: Cli, job: str) -> None:
    found = cli("search", job, "^1.$", "--limit", "2", "--json").ok().json
    assert [match["line"] for match in found["matches"]] == ["10", "11"]
    assert found["total"] == 10
    assert found["matches"][0]["cursor"] == 18


def test_a_bad_pattern_is_a_usage_error(cli: Cli, job: str) -> None:
    assert cli("search", job, "(").status == 2


def test_that_a_long_line_is_cut_is_told(cli: Cli) -> None:
    job = cli.submit("head -c 50000 /dev/zero | tr '\\0' x; echo needle; echo needle")
    cli("wait", job).ok()
    found = cli("search", job, "needle").ok()
    assert found.stderr == "bgjob: of 1 long line only the part around the match is shown\n"
    lines = found.stdout.splitlines()
    assert (lines[0][:3], lines[0][-6:], lines[1]) == ("1:x", "needle", "2:needle")

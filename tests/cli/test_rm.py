"""`bgjob rm`: an ended job is forgotten, a running one never."""

from tests.helpers.cli import Cli


def test_an_ended_job_is_forgotten(cli: Cli) -> None:
    job = cli.submit("-n", "old", "echo hello")
    cli("wait", job).ok()
    assert cli("rm", "old").ok().stdout == f"removed {job[:8]} old\n"
    assert cli("status", job).status == 4
    assert cli("output", job).status == 4


def test_a_running_job_saves_the_others(cli: Cli) -> None:
    running, ended = cli.submit("sleep 1000"), cli.submit("true")
    cli("wait", ended).ok()
    assert cli("rm", ended, running).status == 5
    assert cli("status", ended, running, "--json").ok().json[0]["job_id"] == ended


def test_json_says_what_was_freed(cli: Cli) -> None:
    job = cli.submit("head -c 100000 /dev/zero")
    cli("wait", job).ok()
    removed = cli("rm", job, "--json").ok().json
    assert [each["job_id"] for each in removed["jobs"]] == [job]
    assert removed["freed_bytes"] >= 100_000

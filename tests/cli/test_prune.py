"""`bgjob prune`: ended jobs go by age and number."""

from tests.helpers.cli import Cli


def test_the_newest_are_kept_and_a_dry_run_removes_nothing(cli: Cli) -> None:
    jobs = [cli.submit(f"echo {number}") for number in range(4)]
    for job in jobs:
        cli("wait", job).ok()
    running = cli.submit("sleep 1000")
    dry = cli("prune", "--keep", "1", "--dry-run").ok().stdout
    assert len(dry.splitlines()) == 3
    assert all(line.startswith("would remove ") for line in dry.splitlines())
    assert len(cli("ls", "-q").stdout.split()) == 5
    pruned = cli("prune", "--keep", "1", "--json").ok().json
    assert {job["job_id"] for job in pruned["jobs"]} == set(jobs[:3])
    assert cli("ls", "-q").stdout.split() == [running, jobs[3]]


def test_young_jobs_stay(cli: Cli) -> None:
    job = cli.submit("true")
    cli("wait", job).ok()
    assert cli("prune", "--older", "1h").ok().stdout == ""
    assert cli("prune", "--older", "0s").ok().stdout.startswith("removed ")
    assert cli("status", job).status == 4

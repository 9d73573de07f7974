"""The command line with 100,000 ended jobs: it answers, and a prune of nearly all of them keeps nobody waiting."""

import json
import threading

import pytest

from bgjobd.client import connect
from bgjobd.protocol import Ping, Status
from tests.helpers.cli import Cli
from tests.helpers.daemon import Daemon
from tests.perf.instance import fill_history

JOBS = 100_000


@pytest.fixture
def cli(daemon: Daemon, workdir: str) -> Cli:
    """An instance with a long history."""
    daemon.stop()
    daemon.env.update(BGJOB_KEEP_ENDED_JOBS=str(2 * JOBS), BGJOB_KEEP_ENDED_FOR_S="3650d")
    daemon.start()
    cli = Cli(daemon.env, workdir)
    like = cli.submit("-n", "real", "true")
    cli("wait", like).ok()
    with connect(daemon.paths, autostart=False) as client:
        [job] = client.call(Status(jobs=[like])).jobs
    daemon.stop()
    fill_history(daemon.paths.history_db, JOBS, job)
    daemon.start()
    return cli


@pytest.mark.soak
def test_everything_answers_with_a_long_history_and_a_prune_keeps_nobody_waiting(cli: Cli, daemon: Daemon) -> None:
    listed = cli("ls", "--json").ok().json
    assert (len(listed["jobs"]), listed["total"]) == (20, JOBS + 1)
    assert len(cli("ls", "-a", "-q").ok().stdout.split()) == 10_000
    some = listed["jobs"][7]["job_id"]
    assert cli("status", some[:8], "--json").ok().json["job_id"] == some
    assert cli("status", "real", "--json").ok().json["name"] == "real"
    assert cli("status", "reall").status == 4
    dry = cli("prune", "--keep", "500", "--dry-run", "--json").ok().json
    assert (len(dry["jobs"]), dry["total"]) == (1000, JOBS + 1 - 500)
    told = cli("prune", "--keep", "100", "--dry-run").ok().stdout
    assert told.endswith(f"would remove {JOBS + 1 - 1100:,} more jobs\n")
    beside = connect(daemon.paths, autostart=False)
    written: list[str] = []
    with cli.start("prune", "--keep", str(JOBS - 4000), "--json") as prune, beside:
        reader = threading.Thread(target=lambda: written.append(prune.stdout.rest()))
        reader.start()
        answers = 0
        while reader.is_alive():
            beside.call(Ping())
            answers += 1
    pruned = json.loads(written[0])
    assert (len(pruned["jobs"]), pruned["total"]) == (1000, 4001)
    assert answers > 100  # a daemon that is busy pruning answers after it, or a few times in between
    assert cli("ls", "--json").ok().json["total"] == JOBS - 4000

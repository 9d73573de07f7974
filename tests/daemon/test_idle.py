"""An idle instance costs nothing: nobody wakes up when nothing happens."""

import glob
import subprocess

import pytest

from tests.helpers.cli import Cli
from tests.helpers.daemon import Daemon
from tests.helpers.procs import processes_of

WINDOW_S = 1.5
# Work that goes on after the last answer, such as a new spare runner, may fall into the first windows.
WINDOWS = 5


@pytest.mark.slow
def test_nobody_wakes_up_while_jobs_are_idle_and_clients_wait(daemon: Daemon, cli: Cli) -> None:
    """With jobs that have time limits, somebody who follows and somebody who waits."""
    jobs = [cli.submit("--timeout", "1h", "--idle-timeout", "1h", "echo ready; exec sleep 600") for _ in range(3)]
    with cli.start("tail", "--follow", jobs[0]) as follower, cli.start("wait", jobs[1]):
        follower.stdout.expect("ready")
        woken: list[dict[str, int]] = []
        while not woken or (woken[-1] and len(woken) < WINDOWS):
            woken.append(switches_in_a_window(daemon.home))
    assert not woken[-1], f"woke up in every window of {WINDOW_S} s: {woken}"


def switches_in_a_window(home: str) -> dict[str, int]:
    """Return which processes of the instance, jobs aside, went to sleep how often while a clock of its own ran."""
    before = switches(home)
    subprocess.run(["sleep", str(WINDOW_S)], check=True)
    after = switches(home)
    return {name: count - before.get(name, 0) for name, count in after.items() if count != before.get(name, 0)}


def switches(home: str) -> dict[str, int]:
    """Return how often each thread went to sleep: once for each time it was awake."""
    counts = {}
    for process in processes_of(home):
        if process.name == "sleep":
            continue
        for status in glob.glob(f"/proc/{process.pid}/task/*/status"):
            with open(status) as file:
                [line] = [line for line in file if line.startswith("voluntary_ctxt_switches")]
            counts[f"{status} {' '.join(process.argv)}"] = int(line.split()[1])
    return counts

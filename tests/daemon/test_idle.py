"""An idle instance costs nothing: nobody wakes up when nothing happens."""

import glob
import subprocess

import pytest

from tests.helpers.attached import attached, pty_job
from tests.helpers.cli import BGJOB, Cli
from tests.helpers.daemon import Daemon
from tests.helpers.mcp_host import McpHost, Session
from tests.helpers.procs import processes_of
from tests.helpers.pty import Terminal

# Work that goes on after the last answer, such as a new spare runner, may fall into the first windows.
WINDOWS = 5


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "window_s"), [(3, 1.5), pytest.param(100, 30.0, marks=pytest.mark.soak)], ids=["3 jobs", "100 jobs"]
)
def test_nobody_wakes_up_while_jobs_are_idle_and_clients_wait(
    daemon: Daemon, cli: Cli, number: int, window_s: float
) -> None:
    """With time limits and terminals, and others who follow, wait, look, are attached, and an idle MCP client."""
    daemon.stop()
    daemon.env["BGJOB_MAX_JOBS"] = str(2 * number)
    daemon.start()
    jobs = [cli.submit("--timeout", "1h", "--idle-timeout", "1h", "echo ready; exec sleep 600") for _ in range(number)]
    asking = [pty_job(cli, "printf 'ready? '; exec cat") for _ in range(number)]
    person = Terminal([BGJOB, "wait", jobs[2]], cli.env | {"TERM": "xterm"})
    with (
        cli.start("tail", "--follow", jobs[0]) as follower,
        cli.start("wait", jobs[1]),
        person,
        McpHost(daemon.env) as host,
        Session(host.paths) as session,
        attached(cli, asking[0]) as window,
    ):
        follower.stdout.expect("ready")
        session.greet(host.env)
        session.initialize()
        assert session.ask("tools/call", name="list", arguments={})["structuredContent"]["total"] == 2 * number
        window.expect("detaches")
        person.expect(r"running for \S+ · .*ready")
        woken: list[dict[str, int]] = []
        while not woken or (woken[-1] and len(woken) < WINDOWS):
            woken.append(switches_in_a_window(daemon.home, window_s, but=person.process.pid))
    assert not woken[-1], f"woke up in every window of {window_s} s: {woken}"


def switches_in_a_window(home: str, window_s: float, but: int) -> dict[str, int]:
    """Return which processes of the instance, jobs aside, went to sleep how often while a clock of its own ran.

    Args:
        home: of which instance.
        window_s: how long.
        but: a process that may: the clock that a person sees ticks.
    """
    before = switches(home, but)
    subprocess.run(["sleep", str(window_s)], check=True)
    after = switches(home, but)
    return {name: count - before.get(name, 0) for name, count in after.items() if count != before.get(name, 0)}


def switches(home: str, but: int) -> dict[str, int]:
    """Return how often each thread went to sleep: once for each time it was awake."""
    counts = {}
    for process in processes_of(home):
        if process.name in ("sleep", "cat") or process.pid == but:
            continue
        for status in glob.glob(f"/proc/{process.pid}/task/*/status"):
            with open(status) as file:
                [line] = [line for line in file if line.startswith("voluntary_ctxt_switches")]
            counts[f"{status} {' '.join(process.argv)}"] = int(line.split()[1])
    return counts

"""An agent dies with everything in its process groups in the middle of a real build; the next agent picks it up."""

import os
import signal
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import anyio
import pytest
from mcp import Client, StdioServerParameters

from tests.helpers.cli import Cli
from tests.helpers.procs import children_of, processes_of
from tests.helpers.waiting import DEADLINE_S, LineMatcher, wait_gone, wait_until

ROOT = Path(__file__).parents[2]
JOBS = ROOT / "tests" / "helpers" / "jobs"


@pytest.mark.slow
def test_a_build_goes_on_when_its_agent_is_killed_and_the_next_agent_finds_it(cli: Cli) -> None:
    gate = os.path.join(cli.cwd, "gate")
    os.mkfifo(gate)
    command = f"make -f {JOBS / 'build.mk'} ROOT={ROOT} OUT={cli.cwd} PYTHON={sys.executable}"
    job = submit_as_an_agent_that_dies(cli, command, reached="waiting at the gate")
    open_gate(gate)
    seen = anyio.run(come_back, cli, job)
    assert seen["status"]["status"] == "completed"
    assert seen["status"]["exit_code"] == 0
    assert job in [each["job_id"] for each in seen["list"]["jobs"]]
    whole = cli("output", job).ok().stdout
    assert seen["output"]["stdout"] + seen["output"]["stderr"] in (whole, cli("output", "--stdout", job).stdout)
    for line in ("Successfully built bgjob", "waiting at the gate", "Successfully installed bgjob"):
        assert line in whole
    assert_the_wheel_is_whole(Path(cli.cwd))


@pytest.mark.slow
def test_the_exit_status_of_a_build_that_fails_after_its_agent_was_killed_is_kept(cli: Cli) -> None:
    gate = os.path.join(cli.cwd, "gate")
    os.mkfifo(gate)
    command = (
        f"echo testing; read go < {gate}; {sys.executable} -m pytest -q -p no:cacheprovider {JOBS / 'failing_suite.py'}"
    )
    job = submit_as_an_agent_that_dies(cli, command, reached="testing")
    open_gate(gate)
    seen = anyio.run(come_back, cli, job)
    assert (seen["status"]["status"], seen["status"]["exit_code"]) == ("failed", 1)
    assert "1 failed, 1 passed" in seen["output"]["stdout"]


def submit_as_an_agent_that_dies(cli: Cli, command: str, *, reached: str) -> str:
    """Let an agent execute `command`; when the job has printed `reached`, kill the agent as its user interface would.

    That is with SIGKILL to its process group and to that of the MCP server. Returns the job's id.
    """
    agent = subprocess.Popen(
        [sys.executable, str(JOBS / "agent.py"), command],
        stdout=subprocess.PIPE,
        env=cli.env,
        cwd=cli.cwd,
        start_new_session=True,
    )
    assert agent.stdout
    with agent, agent.stdout:
        job = LineMatcher(agent.stdout.fileno(), "the agent").line()
        with cli.start("tail", "--follow", job) as tail:
            tail.stdout.expect(f"^{reached}$")
        servers = children_of(agent.pid)
        assert servers, "the agent has no MCP server"
        for group in [os.getpgid(server.pid) for server in servers] + [agent.pid]:
            os.killpg(group, signal.SIGKILL)
        for process in servers:
            wait_gone(process.pid)
    assert not [each for each in processes_of(cli.env["BGJOB_HOME"]) if any("bgjob-mcp" in word for word in each.argv)]
    return job


def open_gate(gate: str) -> None:
    """Let the job at the gate go on; it must be there."""

    def open_when_read() -> bool:
        try:
            fd = os.open(gate, os.O_WRONLY | os.O_NONBLOCK)
        except OSError:  # ENXIO: nobody reads yet
            return False
        os.write(fd, b"go\n")
        os.close(fd)
        return True

    wait_until(open_when_read, "the job at the gate")


async def come_back(cli: Cli, job: str) -> dict[str, dict[str, Any]]:
    """As a new agent: find the job, wait for its end and read everything."""
    answers: dict[str, dict[str, Any]] = {}
    server = StdioServerParameters(command="bgjob-mcp", env=cli.env, cwd=cli.cwd)
    with anyio.fail_after(2 * DEADLINE_S):
        async with Client(server) as client:
            for tool, arguments in (
                ("list", {}),
                ("wait", {"job_ids": [job]}),
                ("status", {"job_id": job}),
                ("output", {"job_id": job, "max_bytes": 30_000, "raw": True}),
            ):
                result = await client.call_tool(tool, arguments)
                assert not result.is_error, (tool, result.content)
                answers[tool] = result.structured_content or {}
    return answers


def assert_the_wheel_is_whole(out: Path) -> None:
    """Check that what people install has everything that the tree has."""
    [wheel] = (out / "wheel").glob("*.whl")
    packed = set(zipfile.ZipFile(wheel).namelist())
    tracked = subprocess.run(
        ["git", "-C", ROOT, "ls-files", "bgjobd", "bgjob_cli", "bgjob_mcp"],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    assert not set(tracked.stdout.split()) - packed

"""bgjob's server under the names that the official suite wants: its tools and resources are jobs here. Test code only.

Nothing is answered that bgjob would not answer: the suite's tools call bgjob's handlers, its resources are the output
of real jobs, and both go through bgjob_mcp/server.

usage: python fixture_server.py PORT
"""

import subprocess
import sys

import uvicorn

import bgjob_mcp.tools as table
from bgjob_mcp.agent import Agent
from bgjob_mcp.arguments import Arguments, Execute, Status, Wait
from bgjob_mcp.calls import jobs, waiting
from bgjob_mcp.calls.answer import Answer, Progress
from bgjobd.protocol import JobInfo
from tests.helpers.cli import BGJOB


class Nothing(Arguments, frozen=True, kw_only=True):
    """The arguments of the suite's tools."""


async def simple_text(agent: Agent, arguments: Nothing, progress: Progress | None) -> Answer:
    """Run a job that says what the suite wants to read."""
    return await jobs.execute(
        agent, Execute(command="echo This is a simple text response for testing.", wait_s=20), None
    )


async def error(agent: Agent, arguments: Nothing, progress: Progress | None) -> Answer:
    """Ask for a job that there is not."""
    return await jobs.status(agent, Status(job_id="no-such-job"), None)


async def with_progress(agent: Agent, arguments: Nothing, progress: Progress | None) -> Answer:
    """Wait for a job long enough to be told three times how it is."""
    started = await jobs.execute(agent, Execute(command="sleep 4", wait_s=0), None)
    assert isinstance(started.structure, dict)
    return await waiting.wait(agent, Wait(job_ids=[started.structure["job_id"]]), progress)


HANDLERS = {"test_simple_text": simple_text, "test_error_handling": error, "test_tool_with_progress": with_progress}
ADDED = tuple(table.Tool(name, name, f"{name} of the suite.", Nothing, handler) for name, handler in HANDLERS.items())
table.TOOLS += ADDED
table._BY_NAME.update({tool.name: tool for tool in ADDED})

# Only now: the list of tools is made when these are imported.
from bgjob_mcp.server import changes, resources  # noqa: E402
from bgjob_mcp.server.app import build  # noqa: E402
from bgjob_mcp.surroundings import Surroundings  # noqa: E402
from bgjobd.paths import Paths  # noqa: E402

COMMANDS = {
    "static-text": "echo This is the content of the static text resource.",
    "watched-resource": "cat",
    "123": "echo Data for ID: 123",
}
URIS = {
    "test://static-text": "job://static-text/output",
    "test://watched-resource": "job://watched-resource/output",
    "test://template/123/data": "job://123/output",
}
find_job = resources.find_job


async def find_by_name(agent: Agent, uri: str) -> tuple[JobInfo, resources.Leaf]:
    """Find the job behind a resource of the suite."""
    return await find_job(agent, URIS.get(uri, uri))


resources.find_job = changes.find_job = find_by_name
for name, command in COMMANDS.items():
    subprocess.run([BGJOB, "run", "--quiet", "--name", name, command], check=True, stdin=subprocess.DEVNULL)
app = build(Surroundings.of_this_process(), Paths.from_environment()).streamable_http_app()
uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), log_level="warning")

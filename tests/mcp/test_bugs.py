"""A bug in the server: the agent is told that there was one and what to call, and its traceback stays on this side."""

import logging

import mcp_types as types
import pytest
from anyio.from_thread import start_blocking_portal
from mcp import Client

from bgjob_mcp.server import tools
from bgjob_mcp.server.app import build
from bgjob_mcp.surroundings import Surroundings
from tests.helpers.daemon import Daemon
from tests.mcp.harness import Agent

pytestmark = pytest.mark.shared


def test_a_bug_is_an_error_that_says_so_and_its_traceback_is_logged(
    daemon: Daemon, workdir: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken(*_: object) -> None:
        raise ZeroDivisionError("a detail of ours")

    server = build(Surroundings({}, workdir, 0o022, 0), daemon.paths)
    client = Client(server, mode="legacy", client_info=types.Implementation(name="test", version="0"))
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(client) as connected:
        agent = Agent(portal, connected)
        with monkeypatch.context() as patch, caplog.at_level(logging.ERROR):
            patch.setattr(tools, "call", broken)  # the bug
            said = agent.error("list")
        assert said.startswith("internal error in list\nnext: ")
        assert "ours" not in said
        assert "a detail of ours" in caplog.text
        assert agent.call("list")["total"] == 0  # the server goes on

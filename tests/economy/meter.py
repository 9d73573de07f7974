"""A client that counts: how often a tool is called, and how many bytes of its answers a model is shown."""

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import mcp_types as types
from anyio.from_thread import start_blocking_portal
from mcp import Client, StdioServerParameters
from mcp.client.stdio import stdio_client

from tests.mcp.harness import Agent

# One of the clients that show their model the structure of a result where it has one, and else its text.
CLIENT_NAME = "claude-code"


@dataclass
class Meter:
    """Calls tools for a script, and keeps what its model would have in its context."""

    agent: Agent
    calls: int = 0
    written_bytes: int = 0  # arguments
    read_bytes: int = 0  # of results, by a client that prefers their structure
    text_bytes: int = 0  # of results, by a client that shows the text alone
    seen: list[str] = field(default_factory=list)

    def call(self, tool: str, /, **arguments: Any) -> str:
        """Call a tool and return what a model would be shown of its result; an error is shown as well."""
        result = self.agent.result(tool, **arguments)
        text = "\n".join(block.text for block in result.content if isinstance(block, types.TextContent))
        structure = result.structured_content
        shown = text if structure is None else _json(structure).decode()
        self.calls += 1
        self.written_bytes += len(_json(arguments))
        self.read_bytes += len(shown.encode())
        self.text_bytes += len(text.encode())
        self.seen.append(shown)
        return shown


@contextmanager
def connected(command: str, env: Mapping[str, str], cwd: str) -> Iterator[Agent]:
    """Start a server and connect a client to it."""
    parameters = StdioServerParameters(command=command, args=[], env=dict(env), cwd=cwd)
    info = types.Implementation(name=CLIENT_NAME, version="1.2.3")
    with open(os.devnull, "w") as log:  # what a server says on stderr is for its user
        client = Client(stdio_client(parameters, log), mode="legacy", client_info=info)
        with start_blocking_portal() as portal, portal.wrap_async_context_manager(client) as session:
            yield Agent(portal, session)


def opening_bytes(agent: Agent) -> int:
    """Return what a model is given before its first call: the instructions, and of each tool what its call needs.

    Output schemas and annotations are for the client; the interfaces of models take neither.
    """
    listed = agent.do(agent.client.list_tools).tools
    tools = [{"name": tool.name, "description": tool.description, "input_schema": tool.input_schema} for tool in listed]
    return len((agent.client.instructions or "").encode()) + len(_json(tools))


def _json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()

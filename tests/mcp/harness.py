"""A real MCP client, of the SDK, against the installed `bgjob-mcp`; and the bare wire for what a client hides."""

import json
import os
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from functools import partial
from typing import Any

import mcp_types as types
from anyio.from_thread import BlockingPortal, start_blocking_portal
from mcp import Client, StdioServerParameters
from mcp.client.extension import ClientExtension

from tests.helpers.cli import SCRIPTS
from tests.helpers.procs import descriptors_of
from tests.helpers.waiting import DEADLINE_S, LineMatcher, wait_exit

SERVER = os.path.join(SCRIPTS, "bgjob-mcp")
ERAS = ("legacy", "auto")


class Agent:
    """One client of one server, used from a test as if it were not asynchronous."""

    def __init__(self, portal: BlockingPortal, client: Client) -> None:
        self.portal = portal
        self.client = client

    def result(self, tool: str, /, **arguments: Any) -> types.CallToolResult:
        """Call a tool and return its result, also an error."""
        return self.begin(tool, **arguments).result(DEADLINE_S)

    def begin(self, tool: str, /, progress: Any = None, **arguments: Any) -> "Future[types.CallToolResult]":
        """Call a tool and return at once; cancelling the future cancels the call."""
        call = partial(self.client.call_tool, tool, arguments, progress_callback=progress)
        return self.portal.start_task_soon(call)

    def call(self, tool: str, /, **arguments: Any) -> dict[str, Any]:
        """Call a tool and return its structure; fail on an error."""
        result = self.result(tool, **arguments)
        assert not result.is_error, text_of(result)
        assert isinstance(result.structured_content, dict)
        return result.structured_content

    def text(self, tool: str, /, **arguments: Any) -> str:
        """Call a tool and return its text; fail on an error."""
        result = self.result(tool, **arguments)
        assert not result.is_error, text_of(result)
        return text_of(result)

    def error(self, tool: str, /, **arguments: Any) -> str:
        """Call a tool and return what it says is wrong; fail when nothing is."""
        result = self.result(tool, **arguments)
        assert result.is_error, text_of(result)
        return text_of(result)

    def do(self, method: Callable[..., Any], *arguments: Any, **keywords: Any) -> Any:
        """Call a coroutine function of the client."""
        return self.portal.start_task_soon(partial(method, *arguments, **keywords)).result(DEADLINE_S)


def text_of(result: types.CallToolResult) -> str:
    """Return the text of a result, which is one block."""
    (block,) = result.content
    assert isinstance(block, types.TextContent)
    return block.text


def output_of(text: str) -> str:
    """Return what stands between the last two fences of a text, which is its end."""
    fence = text.removesuffix(">>>").rpartition("\n")[2]
    before, _, body = text.removesuffix(f"{fence}>>>").rpartition(f"<<<{fence} ")
    assert before
    return body.partition("\n")[2].removesuffix("\n")


@contextmanager
def agent(
    env: Mapping[str, str],
    cwd: str,
    *,
    era: str = "legacy",
    name: str = "test-client",
    extensions: list[ClientExtension] | None = None,
    on_message: Any = None,
) -> Iterator[Agent]:
    """Start a server and connect a client to it."""
    parameters = StdioServerParameters(command=SERVER, args=[], env=dict(env), cwd=cwd)
    info = types.Implementation(name=name, version="1.2.3")
    client = Client(parameters, mode=era, client_info=info, extensions=extensions, message_handler=on_message)
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(client) as connected:
        yield Agent(portal, connected)


class Wire:
    """A server and the lines it reads and writes, for what a well-behaved client does not show."""

    def __init__(self, env: Mapping[str, str], cwd: str, command: Sequence[str] = (SERVER,)) -> None:
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=dict(env),
            cwd=cwd,
            start_new_session=True,
        )
        assert self.process.stdout
        assert self.process.stderr
        self._lines = LineMatcher(self.process.stdout.fileno(), "bgjob-mcp")
        self.stderr = LineMatcher(self.process.stderr.fileno(), "bgjob-mcp's stderr")
        self._id = 0

    def __enter__(self) -> "Wire":
        return self

    def __exit__(self, *exc_info: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        wait_exit(self.process)
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            if stream and not stream.closed:
                stream.close()

    def send(self, message: Mapping[str, Any]) -> None:
        """Write one message."""
        self.send_bytes(json.dumps({"jsonrpc": "2.0", **message}).encode() + b"\n")

    def send_bytes(self, data: bytes) -> None:
        """Write bytes as they are."""
        assert self.process.stdin
        self.process.stdin.write(data)
        self.process.stdin.flush()

    def ask(self, method: str, **params: Any) -> dict[str, Any]:
        """Send a request and return its answer, result or error."""
        return self.answer(self.begin(method, **params))

    def begin(self, method: str, **params: Any) -> int:
        """Send a request and return its id."""
        self._id += 1
        self.send({"id": self._id, "method": method, "params": params})
        return self._id

    def answer(self, request_id: int) -> dict[str, Any]:
        """Return the answer to a request, and drop what comes before it; every line on the wire has to be JSON-RPC."""
        while True:
            message = json.loads(self._lines.line())
            assert message["jsonrpc"] == "2.0"
            if message.get("id") == request_id:
                return dict(message)

    def shake_hands(self, name: str = "wire") -> dict[str, Any]:
        """Initialize as clients up to 2025-11-25 do; return the result."""
        info = {"name": name, "version": "0"}
        answer = self.ask("initialize", protocolVersion="2025-11-25", capabilities={}, clientInfo=info)
        self.send({"method": "notifications/initialized"})
        return dict(answer["result"])

    @property
    def is_pumped(self) -> bool:
        """Whether its process only passes bytes on: a server would have an event loop."""
        return "anon_inode:[eventpoll]" not in descriptors_of(self.process.pid).values()

    def tool(self, name: str, **arguments: Any) -> dict[str, Any]:
        """Call a tool and return its result."""
        return dict(self.ask("tools/call", name=name, arguments=arguments)["result"])

    def close(self) -> int:
        """Close stdin, as a client does that goes away; return the exit status."""
        assert self.process.stdin
        self.process.stdin.close()
        return wait_exit(self.process, "the server's exit after the end of stdin")

"""The programs that people and agents start: the command line and the MCP server."""

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.helpers.cli import BGJOB
from tests.helpers.mcp_host import BGJOB_MCP, McpHost
from tests.helpers.procs import pss_bytes
from tests.perf.bench import Bench
from tests.perf.instance import BETWEEN_JOBS_S, Instance, instance, pause
from tests.perf.measure import in_turns, of, p50, ratio, timed
from tests.perf.questions import milliseconds
from tests.perf.targets import Result

_SERVER = [BGJOB_MCP]
_BARE = [sys.executable, str(Path(__file__).with_name("bare_server.py"))]


def measure(bench: Bench) -> Iterator[Result]:
    """Measure every row of this group."""
    with instance() as running:
        running.finish("echo real", name="real")
        yield from _command_line(bench, running)
        with McpHost(running.env) as host:
            yield from _mcp_start(bench, running, host)
            yield from _mcp_calls(bench, running, host)


def _command_line(bench: Bench, running: Instance) -> Iterator[Result]:
    floors, statuses, imports = in_turns(
        bench.rounds(60),
        lambda: _run(running, [sys.executable, "-c", "pass"]),
        lambda: _run(running, [BGJOB, "status", "real"]),
        lambda: _run(running, [sys.executable, "-c", "import bgjobd.client"]),
    )
    told = f"{p50(statuses).middle * 1e3:.0f} ms against {p50(floors).middle * 1e3:.0f} ms"
    yield Result("front_ends.status", ratio(statuses, floors), "python -c pass", told)
    beyond = [ours - floor for ours, floor in zip(imports, floors, strict=True)]
    yield Result("front_ends.import", milliseconds(p50(beyond)))


def _run(running: Instance, argv: list[str]) -> float:
    return timed(lambda: subprocess.run(argv, env=running.env, cwd="/", stdout=subprocess.DEVNULL, check=True))


class Server:
    """An MCP server on pipes, which serves by itself, or through `host`. A context manager; at its end it has ended."""

    def __init__(self, running: Instance, argv: list[str], host: McpHost | None = None) -> None:
        pipe = subprocess.PIPE
        env = host.env if host else running.env
        self.process = subprocess.Popen(argv, stdin=pipe, stdout=pipe, env=env, cwd=running.home)
        self._id = 0

    def __enter__(self) -> "Server":
        return self

    def __exit__(self, *_: object) -> None:
        assert self.process.stdin
        self.process.stdin.close()
        self.process.wait()
        assert self.process.stdout
        self.process.stdout.close()

    def ask(self, method: str, **params: Any) -> dict[str, Any]:
        """Send a request and return its result."""
        self._id += 1
        self._send({"id": self._id, "method": method, "params": params})
        assert self.process.stdout
        while True:
            message = json.loads(self.process.stdout.readline())
            if message.get("id") == self._id:
                return dict(message["result"])

    def initialize(self) -> None:
        """Shake hands, as clients do."""
        info = {"name": "perf", "version": "0"}
        self.ask("initialize", protocolVersion="2025-06-18", capabilities={}, clientInfo=info)
        self._send({"method": "notifications/initialized"})

    def tool(self, name: str, **arguments: Any) -> dict[str, Any]:
        """Call a tool."""
        return self.ask("tools/call", name=name, arguments=arguments)

    def _send(self, message: dict[str, Any]) -> None:
        assert self.process.stdin
        self.process.stdin.write(json.dumps({"jsonrpc": "2.0", **message}).encode() + b"\n")
        self.process.stdin.flush()


def _start_s(running: Instance, argv: list[str], host: McpHost | None = None) -> float:
    """Return how long it takes from the start of a server to its answer to `initialize`."""
    with contextlib.ExitStack() as stack:
        return timed(lambda: stack.enter_context(Server(running, argv, host)).initialize())


def _mcp_start(bench: Bench, running: Instance, host: McpHost) -> Iterator[Result]:
    bare, ours = in_turns(
        bench.rounds(10, least=3), lambda: _start_s(running, _BARE), lambda: _start_s(running, _SERVER)
    )
    told = f"{of(ours).middle * 1e3:.0f} ms against {of(bare).middle * 1e3:.0f} ms"
    yield Result("front_ends.mcp_start", ratio(ours, bare), "a bare SDK server", told)
    floors, pumps = in_turns(
        bench.rounds(60),
        lambda: _run(running, [sys.executable, "-c", "pass"]),
        lambda: _start_s(running, _SERVER, host),
    )
    told = f"`python -c pass`: {p50(floors).middle * 1e3:.0f} ms"
    yield Result("front_ends.mcp_host", milliseconds(p50(pumps)), "", told)
    with Server(running, _SERVER, host) as server:
        server.initialize()
        server.tool("status", job_id="real")
        yield Result("front_ends.mcp_pump", of([pss_bytes(server.process.pid) / 1e6]))


def _mcp_calls(bench: Bench, running: Instance, host: McpHost) -> Iterator[Result]:
    """Through the host, which is what most clients have, against a server without one that does nothing."""

    def execute() -> float:
        pause(BETWEEN_JOBS_S)
        return timed(lambda: ours.tool("execute", command="true", wait_s=30))

    with Server(running, _SERVER, host) as ours, Server(running, _BARE) as bare:
        ours.initialize()
        bare.initialize()
        bare_s, status_s = in_turns(
            bench.rounds(300),
            lambda: timed(lambda: bare.tool("nothing")),
            lambda: timed(lambda: ours.tool("status", job_id="real")),
        )
        # Not in turns with those: for 10 ms after a job its spare and its place in the history are seen to.
        (execute_s,) = in_turns(bench.rounds(300), execute)
    told = f"a bare SDK server's: {p50(bare_s).middle * 1e3:.2f} ms"
    yield Result("front_ends.mcp_call", milliseconds(p50(status_s)), "", told)
    yield Result("front_ends.mcp_true", milliseconds(p50(execute_s)), "", told)

"""A resident MCP host in its own process, and sessions on its socket without the process between."""

import json
import os
import signal
import socket
import subprocess
from collections.abc import Mapping
from typing import Any

from bgjob_mcp.handover import ANSWER_BYTES, decode_answer, encode_hello
from bgjob_mcp.surroundings import Surroundings
from bgjobd.paths import Paths
from bgjobd.version import VERSION
from tests.helpers.cli import SCRIPTS
from tests.helpers.daemon import read_tail
from tests.helpers.waiting import DEADLINE_S, wait_exit, wait_for_file

BGJOB_MCP = os.path.join(SCRIPTS, "bgjob-mcp")


class McpHost:
    """The resident host of an instance, owned by a test. A context manager; at its end the host has ended."""

    def __init__(self, env: Mapping[str, str], *arguments: str) -> None:
        self.env = {**env, "BGJOB_MCP_HOST": "on"}  # of processes that use it
        self.paths = Paths.from_environment(env)
        if os.path.exists(self.paths.mcp_host_socket):  # of a host that was killed: its successor's would look the same
            os.unlink(self.paths.mcp_host_socket)
        self.process = subprocess.Popen(
            [BGJOB_MCP, "--resident-host", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            env=self.env,
            cwd="/",
            start_new_session=True,
        )
        os.makedirs(self.paths.runtime_dir, 0o700, exist_ok=True)
        wait_for_file(self.paths.mcp_host_socket)

    def __enter__(self) -> "McpHost":
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        wait_exit(self.process)

    @property
    def pid(self) -> int:
        """Its process id, also after its end."""
        return self.process.pid

    @property
    def log(self) -> str:
        """What it logged so far."""
        return read_tail(self.paths.mcp_host_log)

    def kill(self) -> None:
        """Kill it where it stands (SIGKILL) and wait until it is gone."""
        self.process.kill()
        wait_exit(self.process)

    def wait(self) -> int:
        """Return its exit status."""
        return wait_exit(self.process, "the exit of the resident host")


class Session:
    """A session on the host's socket: what `bgjob_mcp.pump` does, from a test. A context manager."""

    def __init__(self, paths: Paths) -> None:
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(DEADLINE_S)
        self.socket.connect(paths.mcp_host_socket)
        self._file = self.socket.makefile("rb")

    def __enter__(self) -> "Session":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        self.socket.close()

    def send(self, data: bytes) -> None:
        """Write bytes as they are."""
        self.socket.sendall(data)

    def greet(self, env: Mapping[str, str], cwd: str = "/", version: str = VERSION) -> tuple[bytes, str]:
        """Say hello; return the word of the answer and what there is to say to the user."""
        variables = {name.encode(): value.encode() for name, value in env.items()}
        self.send(encode_hello(Surroundings(variables, cwd, 0o022, os.getpid()), version))
        return self.answer()

    def answer(self) -> tuple[bytes, str]:
        """Read the answer to a hello; its word is empty when the host hung up."""
        word, length = decode_answer(self._file.read(ANSWER_BYTES))
        return word, self._file.read(length).decode()

    def ask(self, method: str, **params: Any) -> dict[str, Any]:
        """Send a request and return its result."""
        self.send(json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode() + b"\n")
        return dict(json.loads(self._file.readline())["result"])

    def initialize(self) -> dict[str, Any]:
        """Initialize as clients up to 2025-11-25 do."""
        info = {"name": "session", "version": "0"}
        return self.ask("initialize", protocolVersion="2025-11-25", capabilities={}, clientInfo=info)

    def rest(self) -> bytes:
        """Return everything up to the end of the session."""
        try:
            return self._file.read()
        except ConnectionResetError:  # it ended with what we sent unread
            return b""

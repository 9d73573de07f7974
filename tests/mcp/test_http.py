"""Streamable HTTP: who is let in, and that it is the same server for both eras."""

import http.client
import json
import os
import signal
import subprocess
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
from anyio.from_thread import start_blocking_portal
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

from bgjobd.client import connect
from bgjobd.paths import Paths
from bgjobd.protocol import Status
from tests.helpers.waiting import LineMatcher, wait_exit
from tests.mcp.harness import ERAS, SERVER, Agent

PING = {"jsonrpc": "2.0", "id": 1, "method": "ping"}


class HttpServer:
    """`bgjob-mcp --http` on a free port, with a token that it made."""

    def __init__(
        self, env: dict[str, str], cwd: str, *arguments: str, address: str = "127.0.0.1:0", token_file: str = "token"
    ) -> None:
        self.token_file = os.path.join(env["BGJOB_HOME"], token_file)
        command = [SERVER, "--http", address, "--token-file", self.token_file, *arguments]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, env=env, cwd=cwd)
        assert self.process.stderr
        self.stderr = LineMatcher(self.process.stderr.fileno(), "bgjob-mcp's stderr")
        self.url = self.stderr.line().rpartition(" ")[2].strip()
        host, _, port = self.url.removeprefix("http://").removesuffix("/mcp").rpartition(":")
        self.host, self.port = host, int(port)
        with open(self.token_file) as file:
            self.token = file.read().strip()

    def post(self, **headers: str) -> int:
        """Send a ping with these headers and return the status of the answer."""
        connection = http.client.HTTPConnection(self.host, self.port)
        try:
            usual = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}
            connection.request("POST", "/mcp", json.dumps(PING), usual | headers)
            return connection.getresponse().status
        finally:
            connection.close()

    def close(self) -> int:
        self.process.terminate()
        status = wait_exit(self.process)
        assert self.process.stderr
        self.process.stderr.close()
        return status


@pytest.fixture(scope="module")
def server(mcp_env: dict[str, str], project: str) -> Iterator[HttpServer]:
    server = HttpServer(mcp_env, project, "--host-name", "jobs.example")
    yield server
    server.close()


@pytest.mark.parametrize("authorization", [None, "", "Bearer", "Bearer wrong", "Basic {token}", "bearer {token}x"])
def test_without_the_token_nobody_gets_in(server: HttpServer, authorization: str | None) -> None:
    headers = {} if authorization is None else {"Authorization": authorization.format(token=server.token)}
    assert server.post(**headers) == 401


def test_a_foreign_host_or_origin_is_refused_with_the_token_too(server: HttpServer) -> None:
    ours = {"Authorization": f"Bearer {server.token}"}
    assert server.post(**ours, Host="evil.example") == 421
    assert server.post(**ours, Host="evil.example:8765") == 421
    assert server.post(**ours, Origin="http://evil.example") == 403
    assert server.post(**ours, Origin=f"http://127.0.0.1:{server.port}") not in (401, 403, 421)
    assert server.post(**ours, Host=f"jobs.example:{server.port}") not in (401, 403, 421)
    assert server.post(**ours, Host="127.0.0.1") == 421


def test_a_proxy_may_pass_on_the_name_that_clients_call_it_by(server: HttpServer) -> None:
    ours = {"Authorization": f"Bearer {server.token}", "Host": "jobs.example"}
    assert server.post(**ours) not in (401, 403, 421)
    assert server.post(**ours, Origin="https://jobs.example") not in (401, 403, 421)
    assert server.post(**ours, Origin="http://jobs.example") not in (401, 403, 421)
    assert server.post(**ours, Origin="https://evil.example") == 403


def test_scheme_and_host_are_taken_in_any_case(server: HttpServer) -> None:
    ours = {"Authorization": f"bearer {server.token}", "Host": f"LOCALHOST:{server.port}"}
    assert server.post(**ours) not in (401, 403, 421)
    assert server.post(Authorization=f"Bearer {server.token.swapcase()}") == 401


@pytest.mark.slow
@pytest.mark.root
def test_on_the_port_of_http_clients_leave_it_out(env: dict[str, str], workdir: str) -> None:
    server = HttpServer(env, workdir, address="127.0.0.80:80")
    try:
        assert server.post(Authorization=f"Bearer {server.token}") not in (401, 403, 421)
    finally:
        server.close()


@pytest.mark.parametrize("era", ERAS)
def test_it_is_the_same_server(server: HttpServer, era: str) -> None:
    async def go() -> dict[str, Any]:
        headers = {"Authorization": f"Bearer {server.token}"}
        async with (
            httpx2.AsyncClient(headers=headers, timeout=30) as web,
            Client(streamable_http_client(server.url, http_client=web), mode=era) as client,
        ):
            started = await client.call_tool("execute", {"command": "echo over the web; cat", "wait_s": 0})
            job_id = started.structured_content["job_id"]
            await client.call_tool("interact", {"job_id": job_id, "input": "", "eof": True})
            waited = await client.call_tool("wait", {"job_ids": [job_id]})
            whole = await client.call_tool("output", {"job_id": job_id})
            return {**waited.structured_content, "stdout": whole.structured_content["stdout"].strip()}

    with start_blocking_portal() as portal:
        result = portal.call(go)
    assert (result["status"], result["stdout"]) == ("completed", "over the web")


@pytest.mark.parametrize("era", ERAS)
def test_what_one_client_has_seen_another_one_of_its_name_has_not(server: HttpServer, era: str) -> None:
    async def go() -> str:
        headers = {"Authorization": f"Bearer {server.token}"}
        async with (
            httpx2.AsyncClient(headers=headers, timeout=30) as web,
            Client(streamable_http_client(server.url, http_client=web), mode=era) as first,
            Client(streamable_http_client(server.url, http_client=web), mode=era) as second,
        ):
            started = await first.call_tool("execute", {"command": "echo seen by the first", "wait_s": 30})
            waited = await second.call_tool("wait", {"job_ids": [started.structured_content["job_id"]]})
            return str(waited.content[0].text)

    with start_blocking_portal() as portal:
        assert "seen by the first" in portal.call(go)


@pytest.mark.slow
def test_the_end_of_the_server_ends_no_job(env: dict[str, str], workdir: str) -> None:
    server = HttpServer(env, workdir)
    try:
        with start_blocking_portal() as portal:
            web = httpx2.AsyncClient(headers={"Authorization": f"Bearer {server.token}"}, timeout=30)
            client = Client(streamable_http_client(server.url, http_client=web), mode="auto")
            with portal.wrap_async_context_manager(web), portal.wrap_async_context_manager(client) as connected:
                job_id = Agent(portal, connected).call("execute", command="exec cat", wait_s=0)["job_id"]
    finally:
        assert server.close() in (0, -signal.SIGTERM)
    with connect(Paths.from_environment(env), autostart=False) as daemon:
        assert daemon.call(Status(jobs=[job_id])).jobs[0].status == "running"


def test_the_token_is_made_once_and_private(server: HttpServer) -> None:
    assert os.stat(server.token_file).st_mode & 0o777 == 0o600
    assert len(server.token) >= 32


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["--http", "127.0.0.1:0"], 2, "needs both --http and --token-file"),
        (["--http", "0.0.0.0:0"], 2, "needs both --http and --token-file"),
        (["--http", "127.0.0.1:0", "--token-file"], 2, "--token-file: it needs a value"),
        (["--http", "nowhere", "--token-file", "{home}/new"], 1, "accepted is HOST:PORT"),
        (["--http", "127.0.0.1:0", "--token-file", "{home}/open"], 1, "others may read or change it"),
        (["--http", "127.0.0.1:0", "--token-file", "{home}/open to all"], 1, "/open to all'`"),
        (["--http", "127.0.0.1:0", "--token-file", "{home}/short"], 1, "16 or more printable characters"),
    ],
)
def test_it_does_not_serve_what_anybody_could_use(
    env: dict[str, str], home: str, arguments: list[str], status: int, said: str
) -> None:
    for name, mode, token in (("open", 0o644, "x" * 40), ("open to all", 0o644, "x" * 40), ("short", 0o600, "guess")):
        path = os.path.join(home, name)
        with open(path, "w") as file:
            file.write(token)
        os.chmod(path, mode)
    command = [SERVER, *(argument.format(home=home) for argument in arguments)]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert (done.returncode, said in done.stderr) == (status, True), done.stderr
    assert done.stderr.count("For this machine alone") == (said == "accepted is HOST:PORT")  # a hint is said once


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_signal_that_stops_it_ends_it_quietly(env: dict[str, str], workdir: str, number: signal.Signals) -> None:
    server = HttpServer(env, workdir, token_file="new/directory/token")
    assert os.stat(os.path.dirname(server.token_file)).st_mode & 0o777 == 0o700
    server.process.send_signal(number)
    assert server.stderr.rest() == ""
    assert server.close() == -number

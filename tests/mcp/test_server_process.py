"""The server as a process: what ends it, what does not, and what may stand on its wire. With the host and without."""

import json
import os
import signal
import subprocess

import mcp_types as types
import pytest

from bgjobd.client import connect
from bgjobd.paths import Paths
from bgjobd.protocol import Kill, Send, Status
from tests.helpers.instance import daemon_pid, kill_and_wait
from tests.helpers.mcp_host import McpHost
from tests.helpers.procs import descriptors_of
from tests.helpers.waiting import wait_exit
from tests.mcp.harness import SERVER, Wire

WAYS = ["host", "in-process"]
# What does not depend on who serves goes the other way with the tests that are too long for every run.
MOSTLY_HOST = pytest.mark.parametrize(
    "served", ["host", pytest.param("in-process", marks=pytest.mark.soak)], indirect=True
)


@pytest.fixture(params=WAYS)
def served(request: pytest.FixtureRequest, mcp_env: dict[str, str]) -> dict[str, str]:
    """The environment of servers that have the resident host serve, and of those that do it in their own process."""
    if request.param == "in-process":
        return mcp_env
    host: McpHost = request.getfixturevalue("mcp_host")
    return host.env


def test_end_of_stdin_ends_the_server_and_never_a_job(served: dict[str, str], project: str) -> None:
    with Wire(served, project) as wire:
        wire.shake_hands()
        job_id = wire.tool("execute", command="cat", wait_s=0)["structuredContent"]["job_id"]
        assert wire.close() == 0
        assert "Traceback" not in wire.stderr.rest()
    assert_still_works(served, job_id)


def test_a_client_that_kills_its_servers_process_group_ends_no_job(served: dict[str, str], project: str) -> None:
    with Wire(served, project) as wire:
        wire.shake_hands()
        job_id = wire.tool("execute", command="cat", wait_s=0)["structuredContent"]["job_id"]
        os.killpg(wire.process.pid, signal.SIGKILL)
        wait_exit(wire.process)
    assert_still_works(served, job_id)


def assert_still_works(env: dict[str, str], job_id: str) -> None:
    """The job answers to its input."""
    with connect(Paths.from_environment(env), autostart=False) as client:
        assert client.call(Status(jobs=[job_id])).jobs[0].status == "running"
        client.call(Send(job=job_id, data=b"x\n"))
        client.call(Kill(job=job_id))


def test_sigint_ends_the_server_quietly(served: dict[str, str], project: str) -> None:
    with Wire(served, project) as wire:
        wire.shake_hands()
        wire.process.send_signal(signal.SIGINT)
        assert wait_exit(wire.process) == -signal.SIGINT
        assert wire.stderr.rest() == ""


def test_a_client_that_stops_reading_and_goes_ends_the_server_quietly(served: dict[str, str], project: str) -> None:
    with Wire(served, project) as wire:
        wire.shake_hands()
        assert wire.process.stdout
        wire.process.stdout.close()
        wire.send({"id": 1, "method": "tools/list", "params": {}})
        assert wire.close() == 0
        assert "Traceback" not in wire.stderr.rest()


def test_nothing_but_the_protocol_can_touch_the_wire(mcp_env: dict[str, str], project: str) -> None:
    with Wire(mcp_env, project) as wire:
        wire.shake_hands()
        descriptors = descriptors_of(wire.process.pid)
        assert descriptors[0] == os.devnull
        assert descriptors[1] == descriptors[2]
        wire.close()


@MOSTLY_HOST
def test_the_daemon_is_up_before_the_first_message_is_answered(served: dict[str, str], project: str) -> None:
    with connect(Paths.from_environment(served)) as client:
        kill_and_wait(client.server.pid)
    with Wire(served, project) as wire:
        wire.shake_hands()
        with connect(Paths.from_environment(served), autostart=False) as client:
            assert client.server.pid == daemon_pid(Paths.from_environment(served))
        wire.close()


@MOSTLY_HOST
def test_a_bad_setting_is_said_on_stderr_too(served: dict[str, str], project: str) -> None:
    with Wire(served | {"MCP_BG_MAX_OUTPUT_SIZE": "lots"}, project) as wire:
        wire.stderr.expect("MCP_BG_MAX_OUTPUT_SIZE='lots': it is not a size")
        wire.shake_hands()
        wire.close()


@MOSTLY_HOST
def test_a_daemon_that_was_killed_is_started_again_by_the_next_call(served: dict[str, str], project: str) -> None:
    with Wire(served, project) as wire:
        wire.shake_hands()
        job_id = wire.tool("execute", command="cat", wait_s=0)["structuredContent"]["job_id"]
        kill_and_wait(daemon_pid(Paths.from_environment(served)))
        assert wire.tool("status", job_id=job_id)["structuredContent"]["status"] == "running"
        assert wire.tool("kill", job_id=job_id)["structuredContent"]["status"] == "killed"
        wire.close()


@MOSTLY_HOST
def test_a_wait_goes_on_when_the_daemon_is_killed_under_it(served: dict[str, str], project: str) -> None:
    with Wire(served, project) as wire:
        wire.shake_hands()
        job_id = wire.tool("execute", command="read line; exit 7", wait_s=0)["structuredContent"]["job_id"]
        wire.send(
            {"id": "wait", "method": "tools/call", "params": {"name": "wait", "arguments": {"job_ids": [job_id]}}}
        )
        # An answer to a later request: the wait was passed to the daemon before.
        wire.tool("status", job_id=job_id)
        kill_and_wait(daemon_pid(Paths.from_environment(served)))
        with connect(Paths.from_environment(served)) as client:
            client.call(Send(job=job_id, data=b"now\n"))
        answer = json.loads(wire._lines.line())
        assert answer["id"] == "wait"
        assert answer["result"]["structuredContent"]["exit_code"] == 7
        wire.close()


# What a client sends, and the id and the code of the answer.
BAD_MESSAGES = [
    (b"this is no JSON \xff", None, types.PARSE_ERROR),
    (b"[" * 5000, None, types.PARSE_ERROR),
    (b"3", None, types.INVALID_REQUEST),
    (b'{"jsonrpc": "2.0", "id": 7, "method": 3}', 7, types.INVALID_REQUEST),
    (b'{"id": "x", "method": "ping"}', "x", types.INVALID_REQUEST),
    (b'{"jsonrpc": "2.0", "id": 7, "result": 3}', None, types.INVALID_REQUEST),  # the id is one of ours
    # Half of a surrogate pair: what clients in JavaScript make of an emoji that is cut in two.
    (b'{"jsonrpc": "2.0", "id": 100, "method": "ping", "params": {"x": "\\ud83d x"}}', 100, types.PARSE_ERROR),
    (b'{"jsonrpc": "2.0", "id": "\\ud83d", "method": "ping"}', None, types.PARSE_ERROR),
]


@MOSTLY_HOST
def test_what_is_no_message_is_answered_with_an_error_and_does_not_end_the_server(
    served: dict[str, str], project: str
) -> None:
    with Wire(served, project) as wire:
        for count in range(2):  # before the first message, and after
            for data, request_id, code in BAD_MESSAGES:
                wire.send_bytes(b"\n" + data + b"\n")
                answer = json.loads(wire._lines.line())
                assert (answer["id"], answer["error"]["code"]) == (request_id, code), data[:80]
            if not count:
                wire.shake_hands()
        assert not wire.tool("list").get("isError")
        wire.close()


def test_a_home_that_cannot_be_used_is_said_and_exits_1(served: dict[str, str], project: str) -> None:
    with Wire(served | {"BGJOB_HOME": "relative/path"}, project) as wire:
        wire.stderr.expect("BGJOB_HOME='relative/path': it is not an absolute path")
        assert wait_exit(wire.process) == 1


def test_where_the_daemon_cannot_be_started_it_serves_and_each_call_says_why(env: dict[str, str], workdir: str) -> None:
    paths = Paths.from_environment(env)
    paths.ensure()
    os.mkdir(paths.start_lock)
    with Wire(env, workdir) as wire:
        wire.stderr.expect("cannot open .*start.lock")
        wire.shake_hands()
        result = wire.tool("list")
        assert result["isError"]
        assert "start.lock" in result["content"][0]["text"]
        wire.close()


@pytest.mark.parametrize(("argument", "status"), [("--version", 0), ("--help", 0), ("--nonsense", 2)])
def test_arguments(env: dict[str, str], argument: str, status: int) -> None:
    done = subprocess.run([SERVER, argument], env=env, capture_output=True, text=True, check=False)
    assert done.returncode == status
    assert "bgjob-mcp" in done.stdout + done.stderr

"""The server as a process: what ends it, what does not, and what may stand on its wire."""

import json
import os
import signal
import subprocess

import pytest

from bgjobd.client import connect
from bgjobd.paths import Paths
from bgjobd.protocol import Kill, Send, Status
from tests.helpers.instance import daemon_pid, kill_and_wait
from tests.helpers.procs import descriptors_of
from tests.helpers.waiting import wait_exit
from tests.mcp.harness import SERVER, Wire


def test_end_of_stdin_ends_the_server_and_never_a_job(env: dict[str, str], workdir: str) -> None:
    with Wire(env, workdir) as wire:
        wire.shake_hands()
        job_id = wire.tool("execute", command="cat", wait_s=0)["structuredContent"]["job_id"]
        assert wire.close() == 0
        assert "Traceback" not in wire.stderr.rest()
    assert_still_works(env, job_id)


def test_a_client_that_kills_its_servers_process_group_ends_no_job(env: dict[str, str], workdir: str) -> None:
    with Wire(env, workdir) as wire:
        wire.shake_hands()
        job_id = wire.tool("execute", command="cat", wait_s=0)["structuredContent"]["job_id"]
        os.killpg(wire.process.pid, signal.SIGKILL)
        wait_exit(wire.process)
    assert_still_works(env, job_id)


def assert_still_works(env: dict[str, str], job_id: str) -> None:
    """The job answers to its input."""
    with connect(Paths.from_environment(env), autostart=False) as client:
        assert client.call(Status(jobs=[job_id])).jobs[0].status == "running"
        client.call(Send(job=job_id, data=b"x\n"))
        client.call(Kill(job=job_id))


def test_sigint_ends_the_server_quietly(env: dict[str, str], workdir: str) -> None:
    with Wire(env, workdir) as wire:
        wire.shake_hands()
        wire.process.send_signal(signal.SIGINT)
        assert wait_exit(wire.process) == -signal.SIGINT
        assert wire.stderr.rest() == ""


def test_a_client_that_stops_reading_and_goes_ends_the_server_quietly(env: dict[str, str], workdir: str) -> None:
    with Wire(env, workdir) as wire:
        wire.shake_hands()
        assert wire.process.stdout
        wire.process.stdout.close()
        wire.send({"id": 1, "method": "tools/list", "params": {}})
        assert wire.close() == 0
        assert "Traceback" not in wire.stderr.rest()


def test_nothing_but_the_protocol_can_touch_the_wire(env: dict[str, str], workdir: str) -> None:
    with Wire(env, workdir) as wire:
        wire.shake_hands()
        descriptors = descriptors_of(wire.process.pid)
        assert descriptors[0] == os.devnull
        assert descriptors[1] == descriptors[2]
        wire.close()


def test_the_daemon_is_up_before_the_first_message_is_answered(env: dict[str, str], workdir: str) -> None:
    with Wire(env, workdir) as wire:
        wire.shake_hands()
        with connect(Paths.from_environment(env), autostart=False) as client:
            assert client.server.pid == daemon_pid(Paths.from_environment(env))
        wire.close()


def test_a_bad_setting_is_said_on_stderr_too(env: dict[str, str], workdir: str) -> None:
    with Wire(env | {"MCP_BG_MAX_OUTPUT_SIZE": "lots"}, workdir) as wire:
        wire.stderr.expect("MCP_BG_MAX_OUTPUT_SIZE='lots': it is not a size")
        wire.shake_hands()
        wire.close()


def test_a_daemon_that_was_killed_is_started_again_by_the_next_call(env: dict[str, str], workdir: str) -> None:
    with Wire(env, workdir) as wire:
        wire.shake_hands()
        job_id = wire.tool("execute", command="cat", wait_s=0)["structuredContent"]["job_id"]
        kill_and_wait(daemon_pid(Paths.from_environment(env)))
        assert wire.tool("status", job_id=job_id)["structuredContent"]["status"] == "running"
        assert wire.tool("kill", job_id=job_id)["structuredContent"]["status"] == "killed"
        wire.close()


def test_a_wait_goes_on_when_the_daemon_is_killed_under_it(env: dict[str, str], workdir: str) -> None:
    with Wire(env, workdir) as wire:
        wire.shake_hands()
        job_id = wire.tool("execute", command="read line; exit 7", wait_s=0)["structuredContent"]["job_id"]
        wire.send(
            {"id": "wait", "method": "tools/call", "params": {"name": "wait", "arguments": {"job_ids": [job_id]}}}
        )
        # An answer to a later request: the wait was passed to the daemon before.
        wire.tool("status", job_id=job_id)
        kill_and_wait(daemon_pid(Paths.from_environment(env)))
        with connect(Paths.from_environment(env)) as client:
            client.call(Send(job=job_id, data=b"now\n"))
        answer = json.loads(wire._lines.line())
        assert answer["id"] == "wait"
        assert answer["result"]["structuredContent"]["exit_code"] == 7
        wire.close()


def test_a_message_that_is_no_json_does_not_end_the_server(env: dict[str, str], workdir: str) -> None:
    with Wire(env, workdir) as wire:
        wire.send_bytes(b"this is no JSON \xff\n")
        wire.shake_hands()
        assert not wire.tool("list").get("isError")
        wire.close()


def test_a_home_that_cannot_be_used_is_said_and_exits_1(env: dict[str, str], workdir: str) -> None:
    with Wire(env | {"BGJOB_HOME": "relative/path"}, workdir) as wire:
        wire.stderr.expect("BGJOB_HOME='relative/path': it is not an absolute path")
        assert wait_exit(wire.process) == 1


@pytest.mark.parametrize(("argument", "status"), [("--version", 0), ("--help", 0), ("--nonsense", 2)])
def test_arguments(env: dict[str, str], argument: str, status: int) -> None:
    done = subprocess.run([SERVER, argument], env=env, capture_output=True, text=True, check=False)
    assert done.returncode == status
    assert "bgjob-mcp" in done.stdout + done.stderr

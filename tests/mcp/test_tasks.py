"""wait as a task (SEP-2663): made through one server process, collected or cancelled through another."""

import os
from collections.abc import Iterator
from typing import Any

import pytest

from bgjobd.paths import Paths
from tests.helpers.instance import daemon_pid, kill_and_wait
from tests.helpers.mcp_host import McpHost
from tests.helpers.waiting import wait_until
from tests.mcp.harness import Wire

EXTENSION = "io.modelcontextprotocol/tasks"


class Modern:
    """A client of 2026-07-28 on the bare wire, which declares the tasks extension, or not."""

    def __init__(self, wire: Wire, *, name: str = "wire", takes_tasks: bool = True) -> None:
        self.wire = wire
        self.meta = {
            "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientInfo": {"name": name, "version": "0"},
            "io.modelcontextprotocol/clientCapabilities": {"extensions": {EXTENSION: {}} if takes_tasks else {}},
        }

    def ask(self, method: str, **params: Any) -> dict[str, Any]:
        return self.wire.ask(method, **params, _meta=self.meta)

    def result(self, method: str, **params: Any) -> dict[str, Any]:
        answer = self.ask(method, **params)
        assert "result" in answer, answer
        return dict(answer["result"])

    def tool(self, tool: str, **arguments: Any) -> dict[str, Any]:
        return self.result("tools/call", name=tool, arguments=arguments)

    def start(self, command: str) -> str:
        return str(self.tool("execute", command=command, wait_s=0)["structuredContent"]["job_id"])

    def task(self, **arguments: Any) -> str:
        created = self.tool("wait", **{"needs_input": False, **arguments})
        assert (created["resultType"], created["status"]) == ("task", "working")
        return str(created["taskId"])

    def get(self, task: str) -> dict[str, Any]:
        return self.result("tasks/get", taskId=task)

    def collected(self, task: str, env: dict[str, str]) -> dict[str, Any]:
        """Wait for the task's end and return the result of the call that it was."""
        directory = os.path.join(env["BGJOB_HOME"], "tasks")
        wait_until(lambda: self.get(task)["status"] != "working", "the task's end", directory=directory)
        done = self.get(task)
        assert (done["status"], done["resultType"]) == ("completed", "complete"), done
        return dict(done["result"])


@pytest.fixture
def one(mcp_host: McpHost, project: str) -> Iterator[Modern]:
    """Served by the resident host."""
    with Wire(mcp_host.env, project) as wire:
        yield Modern(wire)


@pytest.fixture
def other(mcp_env: dict[str, str], project: str) -> Iterator[Modern]:
    """Another server process of the same user, which does without the host."""
    with Wire(mcp_env, project) as wire:
        yield Modern(wire)


def test_the_extension_is_announced(one: Modern) -> None:
    assert EXTENSION in one.result("server/discover")["capabilities"]["extensions"]


def test_a_task_of_one_process_is_collected_through_another(
    one: Modern, other: Modern, mcp_env: dict[str, str]
) -> None:
    job = one.start("echo seen; read x; echo new; exit 5")
    task = one.task(job_ids=[job])
    working = other.get(task)
    assert (working["status"], working["taskId"]) == ("working", task)
    assert job[:8] in working["statusMessage"]
    other.tool("interact", job_id=job, input="go", wait_s=0)
    result = other.collected(task, mcp_env)
    assert result["resultType"] == "complete"
    assert (result["structuredContent"]["condition"], result["structuredContent"]["exit_code"]) == ("exit", 5)
    assert result["content"][0]["text"].startswith("failed, exit code 5")
    # The text has another fence each time, which the job cannot know.
    assert one.collected(task, mcp_env)["structuredContent"] == result["structuredContent"]


def test_the_result_is_what_was_new_when_the_wait_ended(one: Modern, mcp_env: dict[str, str]) -> None:
    job = one.start("echo ready; exec cat")
    task = one.task(job_ids=[job], until="ready")
    first = one.collected(task, mcp_env)
    assert (first["structuredContent"]["match"], first["structuredContent"]["status"]) == ("ready", "running")
    one.tool("interact", job_id=job, input="later")
    assert "later" not in one.collected(task, mcp_env)["content"][0]["text"]
    one.tool("kill", job_id=job)


def test_cancelling_a_task_through_another_process_ends_the_wait_and_not_the_job(one: Modern, other: Modern) -> None:
    job = one.start("exec cat")
    task = one.task(job_ids=[job])
    assert other.result("tasks/cancel", taskId=task)["resultType"] == "complete"
    assert one.get(task)["status"] == "cancelled"
    assert other.tool("interact", job_id=job, input="still here")["structuredContent"]["stdout"] == "still here"
    other.tool("kill", job_id=job)


def test_a_task_survives_the_daemon_and_the_process_that_made_it(
    one: Modern, other: Modern, mcp_env: dict[str, str]
) -> None:
    job = other.start("read x; exit 7")
    task = other.task(job_ids=[job])
    other.wire.process.kill()
    kill_and_wait(daemon_pid(Paths.from_environment(mcp_env)))
    assert one.get(task)["status"] == "working"
    one.tool("interact", job_id=job, input="go", wait_s=0)
    assert one.collected(task, mcp_env)["structuredContent"]["exit_code"] == 7


def test_a_time_limit_ends_a_task_and_is_not_clamped(one: Modern, mcp_env: dict[str, str]) -> None:
    job = one.start("exec cat")
    result = one.collected(one.task(job_ids=[job], timeout_s=0.05), mcp_env)
    assert (result["structuredContent"]["timed_out"], result["structuredContent"]["status"]) == (True, "running")
    long = one.task(job_ids=[job], timeout_s=36_000)
    one.tool("kill", job_id=job)
    ended = one.collected(long, mcp_env)["structuredContent"]
    assert (ended["timed_out"], ended["status"], "notes" in ended) == (False, "killed", False)


def test_a_client_that_shows_text_gets_text(one: Modern, mcp_env: dict[str, str]) -> None:
    reader = Modern(one.wire, name="claude-code")
    started = reader.tool("execute", command="exec cat", name="reading", wait_s=0)
    assert "structuredContent" not in started
    task = reader.task(job_ids=["reading"])
    reader.tool("interact", job_id="reading", input="", newline=False, eof=True, wait_s=0)
    assert "structuredContent" not in reader.collected(task, mcp_env)


def test_a_wait_for_what_is_over_is_answered_at_once(one: Modern) -> None:
    job = str(one.tool("execute", command="exit 3", wait_s=20)["structuredContent"]["job_id"])
    answer = one.tool("wait", job_ids=[job])
    assert (answer["resultType"], answer["structuredContent"]["exit_code"]) == ("complete", 3)


def test_wrong_arguments_make_no_task(one: Modern) -> None:
    for arguments in ({"job_ids": ["nosuchjob"]}, {"job_ids": []}, {"job_ids": ["x"], "until": "port:x"}):
        answer = one.tool("wait", **arguments)
        assert (answer["resultType"], answer["isError"]) == ("complete", True)


def test_a_client_without_the_extension_gets_no_task_and_may_not_ask_for_one(one: Modern) -> None:
    job = one.start("exec cat")
    plain = Modern(one.wire, takes_tasks=False)
    answer = plain.tool("wait", job_ids=[job], timeout_s=0.05, needs_input=False)
    assert (answer["resultType"], answer["structuredContent"]["timed_out"]) == ("complete", True)
    task = one.task(job_ids=[job])
    assert plain.ask("tasks/get", taskId=task)["error"]["code"] == -32021
    assert plain.ask("tasks/cancel", taskId=task)["error"]["code"] == -32021
    one.tool("kill", job_id=job)


@pytest.mark.parametrize("method", ["tasks/get", "tasks/update", "tasks/cancel"])
def test_an_unknown_task_is_an_error_of_the_protocol(one: Modern, method: str) -> None:
    assert one.ask(method, taskId="../daemon.lock")["error"]["code"] == -32602

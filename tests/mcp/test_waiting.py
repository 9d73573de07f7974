"""wait: what ends it, what it shows, what it says about its limits; and how a client is told without asking."""

import asyncio
import os
import queue
import socket
from concurrent.futures import CancelledError
from typing import Any

import mcp_types as types
import pytest

from bgjob_mcp.calls.waiting import conditions
from bgjobd.errors import BgjobError
from bgjobd.protocol import Condition
from tests.helpers.mcp_host import McpHost
from tests.helpers.waiting import DEADLINE_S, wait_until
from tests.mcp.harness import Agent, agent, text_of


def start(mcp: Agent, command: str, **arguments: Any) -> str:
    job_id: str = mcp.call("execute", command=command, wait_s=0, **arguments)["job_id"]
    return job_id


@pytest.mark.parametrize(
    ("until", "condition"),
    [
        ("exit", []),
        ("port:3000", [Condition(port=3000)]),
        ("quiet:2.5", [Condition(quiet_s=2.5)]),
        ("quiet: 5s", [Condition(quiet_s=5)]),
        ("ready in \\d+ ms", [Condition(pattern="ready in \\d+ ms")]),
        ("error: x", [Condition(pattern="error: x")]),
    ],
)
def test_what_to_wait_for(until: str, condition: list[Condition]) -> None:
    assert conditions(until) == condition


@pytest.mark.parametrize("until", ["port:http", "port:0", "port:65536", "quiet:", "quiet:0", "quiet:inf", "quiet:nan"])
def test_a_condition_that_is_none_is_refused(until: str) -> None:
    with pytest.raises(BgjobError, match="takes a number"):
        conditions(until)


def test_wait_for_the_end_shows_what_is_new_since_the_last_look(mcp: Agent) -> None:
    job_id = mcp.call("execute", command="echo seen; read x; echo new; exit 5", wait_s=0.5)["job_id"]
    waiting = mcp.begin("wait", job_ids=[job_id], needs_input=False)
    mcp.call("interact", job_id=job_id, input="go", wait_s=0)
    result = waiting.result(DEADLINE_S).structured_content
    assert (result["condition"], result["status"], result["exit_code"]) == ("exit", "failed", 5)
    assert "seen" not in result["stdout"]
    assert result["timed_out"] is False


def test_wait_for_a_line_of_new_output(mcp: Agent) -> None:
    job_id = start(mcp, "echo Starting; echo Ready in 12 ms; sleep 300")
    result = mcp.call("wait", job_ids=[job_id], until=r"Ready in \d+ ms")
    assert (result["condition"], result["match"], result["status"]) == ("pattern", "Ready in 12 ms", "running")
    mcp.call("kill", job_id=job_id)


def test_wait_for_a_prompt_that_is_no_whole_line(mcp: Agent) -> None:
    job_id = start(mcp, "printf 'Password: '; read x")
    assert mcp.call("wait", job_ids=[job_id], until="Password:", needs_input=False)["condition"] == "pattern"
    mcp.call("kill", job_id=job_id)


def test_wait_for_a_port(mcp: Agent) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = f"import socket; s = socket.create_server(('127.0.0.1', {port})); input()"
    job_id = start(mcp, f'python -c "{server}"')
    assert mcp.call("wait", job_ids=[job_id], until=f"port:{port}")["condition"] == "port"
    mcp.call("kill", job_id=job_id)


def test_wait_for_quiet(mcp: Agent) -> None:
    job_id = start(mcp, "echo noise; sleep 300")
    assert mcp.call("wait", job_ids=[job_id], until="quiet:0.2")["condition"] == "quiet"
    mcp.call("kill", job_id=job_id)


def test_the_jobs_end_ends_a_wait_for_something_else(mcp: Agent) -> None:
    job_id = start(mcp, "exit 3")
    result = mcp.call("wait", job_ids=[job_id], until="never printed")
    assert (result["condition"], result["exit_code"]) == ("exit", 3)


def test_the_line_that_matched_is_told_where_the_output_shown_does_not_have_it(mcp: Agent, project: str) -> None:
    gate = os.path.join(project, f"gate-{mcp.client.protocol_version}")
    os.mkfifo(gate)
    job_id = start(mcp, f"cat {gate}; seq 1 2000; echo 'Ready: \"yes\"'; seq 1 2000; exec cat")
    with open(gate, "w"):
        pass  # now it may go on: nothing of its output was shown yet
    wait_until(lambda: mcp.call("status", job_id=job_id).get("output_bytes") == 2 * 8893 + 13, "all of its output")
    text = text_of(mcp.result("wait", job_ids=[job_id], until="Ready"))
    assert text.startswith('a line matches, at cursor 8893: "Ready: \\"yes\\""\nrunning')
    assert "Ready" not in text.partition("\n")[2]
    ended = mcp.begin("wait", job_ids=[job_id], until="never printed", needs_input=False)
    mcp.call("interact", job_id=job_id, input="", eof=True, wait_s=0)
    assert text_of(ended.result(DEADLINE_S)).startswith("the job ended before that\ncompleted, exit code 0")


def test_wait_for_all_and_for_any_of_several(mcp: Agent) -> None:
    quick, slow = start(mcp, "echo quick"), start(mcp, "cat")
    first = mcp.call("wait", job_ids=[quick, slow], any=True, needs_input=False)
    assert {job["job_id"]: job["condition"] for job in first["jobs"]} == {quick: "exit", slow: None}
    waiting = mcp.begin("wait", job_ids=[quick, slow], needs_input=False)
    mcp.call("interact", job_id=slow, input="", eof=True, wait_s=0)
    both = waiting.result(DEADLINE_S).structured_content
    assert [job["status"] for job in both["jobs"]] == ["completed", "completed"]


def test_a_wait_that_is_over_time_says_so_and_what_to_call(mcp: Agent) -> None:
    job_id = start(mcp, "sleep 300", name=f"slow-{mcp.client.protocol_version}")
    result = mcp.result("wait", job_ids=[job_id], timeout_s=0.1)
    assert result.structured_content["timed_out"] is True
    assert result.structured_content["status"] == "running"
    assert text_of(result).startswith("still running")
    assert "call wait again" in text_of(result)
    mcp.call("kill", job_id=job_id)


def test_a_clamp_is_reported(mcp: Agent) -> None:
    job_id = start(mcp, "true")
    result = mcp.result("wait", job_ids=[job_id], timeout_s=3600)
    assert "timeout_s was 3600; clamped to 50" in text_of(result)
    assert "clamped to 50" in result.structured_content["notes"][0]
    long = mcp.call("execute", command="true", wait_s=100)
    assert "the most is 45" in long["notes"][0]


def test_a_line_that_the_answer_to_execute_showed_ends_a_wait_for_it(mcp: Agent) -> None:
    job_id = mcp.call("execute", command="echo listening; cat", wait_s=0.5)["job_id"]
    result = mcp.call("wait", job_ids=[job_id], until="listening")
    assert (result["condition"], result["match"]) == ("pattern", "listening")
    assert "already seen" in " ".join(result["notes"])
    again = mcp.begin("wait", job_ids=[job_id], until="listening", needs_input=False)
    mcp.call("interact", job_id=job_id, input="listening again", wait_s=0)
    assert again.result(DEADLINE_S).structured_content["match"] == "listening again"
    mcp.call("kill", job_id=job_id)


def test_a_line_that_was_looked_at_is_mentioned_when_the_time_is_up(mcp: Agent) -> None:
    job_id = mcp.call("execute", command="echo listening; cat", wait_s=0.5)["job_id"]
    mcp.call("tail", job_id=job_id)
    result = mcp.call("wait", job_ids=[job_id], until="listening", timeout_s=0.1, needs_input=False)
    assert result["timed_out"] is True
    assert "already looked at" in " ".join(result["notes"])
    mcp.call("kill", job_id=job_id)


def test_a_line_that_was_looked_at_is_mentioned_when_the_job_ends_without_another(mcp: Agent) -> None:
    job_id = mcp.call("execute", command="echo listening; read x", wait_s=0.5)["job_id"]
    assert "listening" in mcp.call("tail", job_id=job_id)["stdout"]
    waiting = mcp.begin("wait", job_ids=[job_id], until="listening")
    mcp.call("interact", job_id=job_id, input="go", wait_s=0)
    result = waiting.result(DEADLINE_S)
    assert result.structured_content["condition"] == "exit"
    assert "line 1 (cursor 0) does, which you have already looked at" in text_of(result)


def test_an_unknown_job_ends_a_wait_at_once(mcp: Agent) -> None:
    assert "cannot find a job" in mcp.error("wait", job_ids=["no-such-job"])


def test_end_of_input_ends_a_job_that_reads_it(mcp: Agent) -> None:
    job_id = start(mcp, "wc -c")
    result = mcp.call("interact", job_id=job_id, input="12345", newline=False, eof=True, wait_s=20)
    assert (result["status"], result["stdout"]) == ("completed", "5")


# --- progress and cancellation ---------------------------------------------------------------------------------------


def test_progress_is_reported_and_grows(mcp: Agent) -> None:
    seen: queue.Queue[tuple[float, str | None]] = queue.Queue()

    async def progress(value: float, total: float | None, message: str | None) -> None:
        seen.put((value, message))

    job_id = start(mcp, "sleep 300")
    waiting = mcp.begin("wait", progress, job_ids=[job_id])
    reports = [seen.get(timeout=DEADLINE_S) for _ in range(2)]
    assert reports[0][0] < reports[1][0]
    assert job_id[:8] in (reports[0][1] or "")
    mcp.call("kill", job_id=job_id)
    assert waiting.result(DEADLINE_S).structured_content["status"] == "killed"


def test_cancelling_a_wait_ends_the_wait_and_not_the_job(mcp: Agent) -> None:
    job_id = start(mcp, "cat")
    waiting = mcp.begin("wait", job_ids=[job_id], needs_input=False)
    mcp.call("status", job_id=job_id)
    waiting.cancel()
    with pytest.raises((CancelledError, asyncio.CancelledError)):
        waiting.result(DEADLINE_S)
    assert mcp.call("interact", job_id=job_id, input="still here")["stdout"] == "still here"
    mcp.call("kill", job_id=job_id)


def test_cancelling_execute_does_not_end_the_job(mcp: Agent) -> None:
    name = f"cancelled-{mcp.client.protocol_version}"
    starting = mcp.begin("execute", command="cat", name=name, wait_s=45)
    listed: set[str] = set()
    while name not in listed:
        listed = {job.get("name", "") for job in mcp.call("list", limit=100)["jobs"]}
    starting.cancel()
    with pytest.raises((CancelledError, asyncio.CancelledError)):
        starting.result(DEADLINE_S)
    assert mcp.call("interact", job_id=name, input="still here")["stdout"] == "still here"
    mcp.call("kill", job_id=name)


def test_other_calls_are_answered_during_a_wait(mcp: Agent) -> None:
    job_id = start(mcp, "sleep 300")
    waiting = [mcp.begin("wait", job_ids=[job_id]) for _ in range(20)]
    assert mcp.call("status", job_id=job_id)["status"] == "running"
    assert not any(each.done() for each in waiting)
    mcp.call("kill", job_id=job_id)
    assert {each.result(DEADLINE_S).structured_content["status"] for each in waiting} == {"killed"}


# --- change notifications --------------------------------------------------------------------------------------------


def test_a_legacy_client_is_told_of_changes_it_subscribed_to(mcp_host: McpHost, project: str) -> None:
    told: queue.Queue[str] = queue.Queue()

    async def on_message(message: Any) -> None:
        if isinstance(message, types.ResourceUpdatedNotification):
            told.put(str(message.params.uri))

    with agent(mcp_host.env, project, era="legacy", on_message=on_message) as mcp:
        job_id = start(mcp, "cat")
        output, status = f"job://{job_id}/output", f"job://{job_id}/status"
        for uri in (output, status):
            # The SDK's client warns that the era is over; servers still have to serve it.
            mcp.do(
                mcp.client.session.send_request,
                types.SubscribeRequest(params=types.SubscribeRequestParams(uri=uri)),
                types.EmptyResult,
            )
        mcp.call("interact", job_id=job_id, input="text")
        assert told.get(timeout=DEADLINE_S) == output
        unsubscribe = types.UnsubscribeRequest(params=types.UnsubscribeRequestParams(uri=output))
        mcp.do(mcp.client.session.send_request, unsubscribe, types.EmptyResult)
        mcp.call("kill", job_id=job_id)
        assert told.get(timeout=DEADLINE_S) == status


def test_a_listening_client_is_told_of_changes(mcp_host: McpHost, project: str) -> None:
    with agent(mcp_host.env, project, era="auto") as mcp:
        job_id = start(mcp, "cat")
        uri = f"job://{job_id}/output"

        async def listen() -> str:
            async with mcp.client.listen(resource_subscriptions=[uri]) as subscription:
                await mcp.client.call_tool("interact", {"job_id": job_id, "input": "text"})
                event = await anext(aiter(subscription))
                return str(event.uri)

        assert mcp.do(listen) == uri
        mcp.call("kill", job_id=job_id)

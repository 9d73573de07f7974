"""A job that asks: the agent is told, answers with text or keys, reads its screen, and leaves secrets to a person."""

import pytest

from tests.helpers.waiting import DEADLINE_S
from tests.mcp.harness import Agent, output_of

# What an era or a way of serving could change is tested elsewhere: one of each is enough for every run.
pytestmark = pytest.mark.parametrize(
    "mcp",
    [
        pytest.param(("legacy", "host"), id="legacy-host"),
        pytest.param(("auto", "in-process"), id="auto-in-process", marks=pytest.mark.soak),
    ],
    indirect=True,
    scope="module",
)


def start(mcp: Agent, command: str, *, pty: bool = False) -> str:
    job_id: str = mcp.call("execute", command=command, pty=pty, wait_s=0)["job_id"]
    return job_id


def test_a_wait_ends_when_the_job_asks_and_the_answer_says_what_and_who_answers(mcp: Agent) -> None:
    job_id = start(mcp, "printf 'Overwrite? [y/N] '; read x; echo \"<$x>\"")
    asked = mcp.call("wait", job_ids=[job_id], until="never printed")
    assert (asked["condition"], asked["waiting_for_input"]) == ("needs_input", True)
    assert (asked["prompt"], asked["status"], asked["timed_out"]) == ("Overwrite? [y/N] ", "running", False)
    assert "answer with interact" in " ".join(asked["notes"])
    assert mcp.call("status", job_id=job_id)["waiting_for_input"] is True
    [listed] = [job for job in mcp.call("list", limit=100)["jobs"] if job["job_id"] == job_id]
    assert listed["waiting_for_input"] is True
    answered = mcp.call("interact", job_id=job_id, input="y", wait_s=20)
    assert (answered["stdout"], answered["status"]) == ("<y>", "completed")
    assert "waiting_for_input" not in answered


def test_one_job_that_asks_ends_the_wait_for_all(mcp: Agent) -> None:
    silent, asking = start(mcp, "sleep 300"), start(mcp, "read x")
    result = mcp.call("wait", job_ids=[silent, asking])
    assert {job["job_id"]: job["condition"] for job in result["jobs"]} == {silent: None, asking: "needs_input"}
    for job_id in (silent, asking):
        mcp.call("kill", job_id=job_id)


def test_what_the_agent_knows_does_not_end_its_wait_again(mcp: Agent) -> None:
    job_id = start(mcp, "printf 'First? '; read x; echo; printf 'Second? '; read x; exit 3")
    assert mcp.call("wait", job_ids=[job_id])["prompt"] == "First? "
    again = mcp.call("wait", job_ids=[job_id], timeout_s=0.5)
    assert (again["condition"], again["waiting_for_input"]) == ("timeout", True)
    waiting = mcp.begin("wait", job_ids=[job_id])
    mcp.call("interact", job_id=job_id, input="one", wait_s=0)
    second = waiting.result(DEADLINE_S).structured_content
    assert (second["condition"], second["prompt"]) == ("needs_input", "Second? ")
    mcp.call("kill", job_id=job_id)


def test_a_secret_is_asked_of_a_person_and_shown_to_nobody(mcp: Agent) -> None:
    job_id = start(mcp, "stty -echo; printf 'Password: '; read x; stty echo; echo; echo \"${#x} characters\"", pty=True)
    asked = mcp.call("wait", job_ids=[job_id])
    assert asked["condition"] == "needs_input"
    note = " ".join(asked["notes"])
    assert "a person has to type it" in note
    assert f"bgjob answer {job_id[:8]}" in note
    status = mcp.call("status", job_id=job_id)
    assert (status["input_mode"], status["prompt"]) == ("hidden", "Password: ")
    answered = mcp.call("interact", job_id=job_id, input="hunter2", wait_s=20)  # should an agent do it all the same
    assert "7 characters" in answered["stdout"]
    assert "hunter2" not in str(mcp.result("output", job_id=job_id, raw=True))


def test_interact_says_that_the_job_waits_again(mcp: Agent) -> None:
    job_id = start(mcp, "while printf '> ' && read x; do echo \"<$x>\"; done", pty=True)
    first = mcp.call("interact", job_id=job_id, input="one", wait_s=20)
    assert "<one>" in first["stdout"]
    assert mcp.call("wait", job_ids=[job_id], until="never printed", timeout_s=0.5)["prompt"] == "> "
    mcp.call("interact", job_id=job_id, eof=True, wait_s=20)
    assert mcp.call("status", job_id=job_id)["status"] == "completed"


def test_enter_is_what_that_key_sends_on_a_terminal(mcp: Agent) -> None:
    # In raw mode a program gets what is typed: CR, as from a keyboard, and not LF, which is another key.
    job_id = start(mcp, "stty raw -echo; printf ready; head -c 8 | od -An -c; stty sane", pty=True)
    mcp.call("wait", job_ids=[job_id], until="ready", needs_input=False)
    mcp.call("interact", job_id=job_id, input="ab", wait_s=0)
    mcp.call("interact", job_id=job_id, input="cd\n", wait_s=0)
    shown = mcp.call("interact", job_id=job_id, input="", keys="Up", newline=False, wait_s=20)["stdout"]
    shown += mcp.call("wait", job_ids=[job_id])["stdout"]
    assert shown.split()[:6] == ["a", "b", "\\r", "c", "d", "\\r"]


def test_keys_have_names_and_need_a_terminal(mcp: Agent) -> None:
    job_id = start(mcp, "trap 'echo caught; exit 5' INT; echo ready; while :; do read x; done", pty=True)
    mcp.call("wait", job_ids=[job_id], until="ready", needs_input=False)
    assert "there is no key 'C-Entr'" in mcp.error("interact", job_id=job_id, keys="C-Entr")
    assert "caught" in mcp.call("interact", job_id=job_id, keys="C-c", wait_s=20)["stdout"]
    piped = start(mcp, "cat")
    assert "it has no terminal" in mcp.error("interact", job_id=piped, keys="C-c")
    mcp.call("kill", job_id=piped)


@pytest.mark.needs("less")
def test_a_full_screen_program_is_read_and_driven(mcp: Agent, reader: Agent) -> None:
    job_id = start(mcp, "seq -f 'line %g' 100 | less", pty=True)
    mcp.call("wait", job_ids=[job_id], until="line 23", needs_input=False)
    screen = mcp.call("output", job_id=job_id, screen=True)
    assert screen["screen"].splitlines()[0] == "line 1"
    assert (screen["rows"], screen["columns"]) == (24, 80)
    assert 1 <= screen["caret_row"] <= 24
    mcp.call("interact", job_id=job_id, keys="Down Down")
    mcp.call("wait", job_ids=[job_id], until="line 25", needs_input=False)
    text = reader.text("output", job_id=job_id, screen=True)
    assert output_of(text).splitlines()[0] == "line 3"
    assert "screen of 24 rows and 80 columns" in text
    assert "cannot use since and raw with screen" in mcp.error("output", job_id=job_id, screen=True, since=5, raw=True)
    assert len(mcp.call("output", job_id=job_id, screen=True, max_bytes=200)["screen"]) <= 200
    mcp.call("kill", job_id=job_id)

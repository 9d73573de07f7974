"""The table of tools: what clients are shown is closed, described, small and always the same."""

from typing import Any

import msgspec
import pytest
from jsonschema import Draft202012Validator

from bgjob_mcp import arguments
from bgjob_mcp.failures import NEXT_STEP, explain
from bgjob_mcp.results import JobList, KillResult, job_line, kill_result, status_result
from bgjob_mcp.schema import object_schema, parse
from bgjob_mcp.tools import ALIASES, INSTRUCTIONS, TOOLS, Tool, find
from bgjobd.errors import BgjobError, ErrorCode
from bgjobd.protocol import ClientInfo, JobInfo, JobStatus, ProcessEnd, ProcessInfo, Receipt

tools = pytest.mark.parametrize("tool", TOOLS, ids=lambda tool: tool.name)


def test_the_first_seven_tools_are_those_of_mcp_background_job() -> None:
    assert [tool.name for tool in TOOLS] == [
        *["execute", "status", "output", "tail", "interact", "kill", "list"],
        *["wait", "search"],
    ]


@tools
def test_a_tool_is_described_within_what_clients_show(tool: Tool) -> None:
    assert 40 < len(tool.description) < 2048
    assert tool.title


def test_the_instructions_carry_the_words_agents_look_for() -> None:
    assert len(INSTRUCTIONS) < 2048
    for word in ("background", "long-running", "dev server", "build", "test suite", "watch", "logs", "wait", "kill"):
        assert word in f"{INSTRUCTIONS} {' '.join(tool.description for tool in TOOLS)}".lower(), word


@tools
def test_input_schemas_are_closed_and_every_argument_is_described(tool: Tool) -> None:
    schema = object_schema(tool.arguments)
    Draft202012Validator.check_schema(schema)
    assert schema["type"] == "object"
    assert schema["additionalProperties"] is False
    assert all(argument["description"] for argument in schema["properties"].values())
    assert "$ref" not in str(schema)


@tools
def test_numbers_have_unit_range_and_default(tool: Tool) -> None:
    for name, argument in object_schema(tool.arguments)["properties"].items():
        if argument.get("type") in ("integer", "number"):
            assert "minimum" in argument or "exclusiveMinimum" in argument, name
            assert "efault" in argument["description"], name


@pytest.mark.parametrize("tool", [tool for tool in TOOLS if tool.result], ids=lambda tool: tool.name)
def test_output_schemas_are_closed(tool: Tool) -> None:
    assert tool.result
    schema = object_schema(tool.result)
    Draft202012Validator.check_schema(schema)
    assert schema["additionalProperties"] is False


def test_only_tools_without_job_output_declare_an_output_schema() -> None:
    assert {tool.name for tool in TOOLS if tool.result} == {"status", "list", "kill"}


def test_names_of_the_seeds_code_lead_to_our_tools() -> None:
    assert {find(alias) for alias in ALIASES} == set(TOOLS[:7])
    assert not set(ALIASES) & {tool.name for tool in TOOLS}
    assert find("nonsense") is None


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ({"job_id": "abcd", "lines": "10"}, arguments.Tail(job_id="abcd", lines=10)),
        ({"job_id": 12345678}, arguments.Tail(job_id="12345678")),
        ({"job_id": "abcd", "lines": None, "stream": None}, arguments.Tail(job_id="abcd")),
    ],
)
def test_arguments_are_taken_as_they_are_meant(given: dict[str, Any], meant: arguments.Tail) -> None:
    assert parse("tail", arguments.Tail, given) == meant


def test_one_job_stands_for_a_list_of_one() -> None:
    assert parse("wait", arguments.Wait, {"job_ids": "abcd"}).job_ids == ["abcd"]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"job_id": "abcd", "lines": "many"}, ["lines='many'", "1-1000"]),
        ({"job_id": "abcd", "lines": 0}, ["lines=0", "1-1000"]),
        ({"job_id": "abcd", "lines": 1001}, ["lines=1001", "1-1000"]),
        ({"job": "abcd"}, ["'job'", "did you mean 'job_id'?"]),
        ({}, ["missing", "job_id", "(required)"]),
        ({"job_id": "abcd", "stream": "all"}, ["stream='all'", "both, stderr, stdout"]),
        ({"job_id": ""}, ["job_id=''"]),
    ],
)
def test_a_wrong_argument_is_named_with_its_value_and_what_is_accepted(given: dict[str, Any], said: list[str]) -> None:
    with pytest.raises(BgjobError) as caught:
        parse("tail", arguments.Tail, given)
    assert caught.value.code is ErrorCode.INVALID_ARGUMENT
    for words in said:
        assert words in str(caught.value)


def test_every_error_code_has_a_next_step() -> None:
    assert set(NEXT_STEP) == set(ErrorCode)


def test_an_error_names_the_job_and_the_call_that_helps() -> None:
    error = BgjobError(ErrorCode.NOT_RUNNING, "cannot send: it ended", "a shell command", {"job_id": "0123456789"})
    assert explain(error).splitlines()[1].startswith("next: Call status 01234567 ")


def test_an_error_lists_close_candidates() -> None:
    candidates = [{"job_id": "0123", "name": "dev"}, {"job_id": "4567", "name": ""}]
    error = BgjobError(ErrorCode.NO_SUCH_JOB, "cannot find a job 'dex'", "", {"candidates": candidates})
    assert "0123 (dev), 4567" in explain(error)
    assert "list" in explain(error).splitlines()[-1]


FULL = JobInfo(
    job_id="00000000-0000-4000-8000-000000000001",
    name="dev",
    status=JobStatus.KILLED,
    command="npm run dev",
    started="2026-01-01T00:00:00.000Z",
    processes=[ProcessInfo(pid=1, name="node", ports=[3000])],
    ports=[3000],
    left_behind=[ProcessInfo(pid=2, name="esbuild")],
    client=ClientInfo(kind="mcp"),
)


@pytest.mark.parametrize(
    ("result", "name"),
    [
        (status_result(FULL), "status"),
        (status_result(JobInfo(job_id="1")), "status"),
        (kill_result(Receipt(job_id="1", status="killed", processes=[ProcessEnd(pid=3, signals=["SIGTERM"])])), "kill"),
        (KillResult(status="not_found"), "kill"),
        (JobList(jobs=[job_line(FULL), job_line(JobInfo(job_id="1"))], total=2), "list"),
    ],
)
def test_structures_are_what_the_output_schema_says(result: msgspec.Struct, name: str) -> None:
    tool = find(name)
    assert tool
    assert tool.result
    Draft202012Validator(object_schema(tool.result, defaults=False)).validate(msgspec.to_builtins(result))


def test_a_job_that_waits_in_line_has_no_start_in_a_list() -> None:
    line = msgspec.to_builtins(job_line(JobInfo(job_id="1", status=JobStatus.QUEUED, command="x")))
    assert line == {"job_id": "1", "status": "queued", "command": "x"}

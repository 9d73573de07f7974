"""What the README of mcp-background-job shows works here the same way, call by call, by the SDK's own client."""

import os

import pytest

from bgjob_mcp.tools import ALIASES
from tests.helpers.mcp_host import McpHost
from tests.mcp.harness import Agent, agent

README_STATUSES = {"running", "completed", "failed", "killed"}


def test_the_tools_of_the_readme_are_listed_with_their_parameters(mcp: Agent) -> None:
    listed = {tool.name: tool.input_schema["properties"] for tool in mcp.do(mcp.client.list_tools).tools}
    assert "command" in listed["execute"]
    assert {"job_id", "input"} <= set(listed["interact"])
    assert {"job_id", "lines"} <= set(listed["tail"])
    for name in ("status", "output", "kill"):
        assert "job_id" in listed[name]
    assert "list" in listed


def test_basic_usage_execute_status_tail_interact_kill(mcp: Agent) -> None:
    server = "echo listening on 3000; echo a warning >&2; while read line; do echo got $line; done"
    job_id = mcp.call("execute", command=server)["job_id"]
    assert mcp.call("status", job_id=job_id)["status"] == "running"
    output = mcp.call("tail", job_id=job_id, lines=20)
    assert (output["stdout"], output["stderr"]) == ("listening on 3000", "a warning")
    interaction = mcp.call("interact", job_id=job_id, input="some input\n")
    assert (interaction["stdout"], interaction["stderr"]) == ("got some input", "")
    assert mcp.call("kill", job_id=job_id)["status"] == "killed"
    assert mcp.call("status", job_id=job_id)["status"] == "killed"
    assert mcp.call("kill", job_id=job_id)["status"] == "already_terminated"


def test_kill_of_an_unknown_job_is_not_found_and_no_error(mcp: Agent) -> None:
    assert mcp.call("kill", job_id="00000000-0000-4000-8000-000000000000")["status"] == "not_found"


def test_interactive_process_example_a_python_repl(mcp: Agent) -> None:
    job_id = mcp.call("execute", command="python -i")["job_id"]
    assert mcp.call("interact", job_id=job_id, input="print('Hello, World!')\n")["stdout"] == "Hello, World!"
    version = mcp.call("interact", job_id=job_id, input="import sys; print(sys.version)\n")["stdout"]
    assert version.startswith("3.")
    mcp.call("interact", job_id=job_id, input="exit()\n")
    assert mcp.call("wait", job_ids=[job_id])["status"] == "completed"
    assert mcp.call("output", job_id=job_id)["stdout"] == f"Hello, World!\n{version}"


def test_long_running_build_polled_until_it_is_over(mcp: Agent) -> None:
    build = "for step in 1 2 3 4 5 6 7 8; do echo step $step; sleep 0.05; done; echo built"
    job_id = mcp.call("execute", command=build, wait_s=0)["job_id"]
    seen = []
    while mcp.call("status", job_id=job_id)["status"] == "running":
        seen.append(mcp.call("tail", job_id=job_id, lines=5)["stdout"])
    assert all(len(lines.splitlines()) <= 5 for lines in seen)
    final = mcp.call("output", job_id=job_id)
    assert final["stdout"] == "\n".join([*(f"step {number}" for number in range(1, 9)), "built"])
    assert final["stderr"] == ""


def test_tail_returns_that_many_lines_of_each_stream(mcp: Agent) -> None:
    command = "echo early >&2; seq 1 200; printf prompt >&2; seq 201 300"
    job_id = mcp.call("execute", command=command, wait_s=10)["job_id"]
    output = mcp.call("tail", job_id=job_id, lines=3)
    assert output["stdout"] == "298\n299\n300"
    assert output["stderr"].splitlines()[0] == "early"
    assert output["stderr"].endswith("prompt")


def test_list_has_id_status_command_and_start_newest_first(mcp: Agent) -> None:
    ids = [mcp.call("execute", command=f"echo {number}", wait_s=10)["job_id"] for number in range(2)]
    jobs = mcp.call("list", limit=100)["jobs"]
    assert [job["job_id"] for job in jobs if job["job_id"] in ids] == ids[::-1]
    assert all(job["started"] and job["command"] for job in jobs)
    assert {job["status"] for job in jobs} <= README_STATUSES


def test_the_names_of_its_code_are_understood_and_not_listed(mcp: Agent) -> None:
    job_id = mcp.call("execute_command", command="cat")["job_id"]
    assert mcp.call("get_job_status", job_id=job_id)["status"] == "running"
    assert mcp.call("interact_with_job", job_id=job_id, input="x")["stdout"] == "x"
    assert mcp.call("tail_job_output", job_id=job_id, lines=1)["stdout"] == "x"
    assert mcp.call("get_job_output", job_id=job_id)["stdout"] == "x"
    assert job_id in {job["job_id"] for job in mcp.call("list_jobs", limit=100)["jobs"]}
    assert mcp.call("kill_job", job_id=job_id)["status"] == "killed"
    listed = {tool.name for tool in mcp.do(mcp.client.list_tools).tools}
    assert not listed & set(ALIASES)


@pytest.mark.parametrize("lines", [0, 1001, "many"])
def test_lines_out_of_range_are_an_error(mcp: Agent, lines: object) -> None:
    assert "1-1000" in mcp.error("tail", job_id="any", lines=lines)


def test_its_configuration_moves_over_unchanged(mcp_host: McpHost, project: str) -> None:
    os.mkdir(os.path.join(project, "inner"))
    seed = {
        "MCP_BG_MAX_JOBS": "1",
        "MCP_BG_MAX_OUTPUT_SIZE": "1MB",
        "MCP_BG_JOB_TIMEOUT": "3600",
        "MCP_BG_CLEANUP_INTERVAL": "600",
        "MCP_BG_WORKING_DIR": "inner",
        "MCP_BG_ALLOWED_COMMANDS": "^cat, PWD",
    }
    with agent(mcp_host.env | seed, project) as limited:
        where = limited.call("execute", command="echo $PWD", wait_s=10)
        assert where["stdout"] == os.path.join(project, "inner")
        first = limited.call("execute", command="cat", wait_s=0)["job_id"]
        second = limited.call("execute", command="cat", wait_s=0)
        assert second["status"] == "queued"
        said = limited.error("interact", job_id=second["job_id"], input="too early")
        assert f"it is queued\nnext: It has not started yet. Call wait {second['job_id'][:8]}" in said
        assert limited.call("status", job_id=first)["timeout_s"] == 3600
        refused = limited.error("execute", command="rm -r x")
        assert "rm -r x" in refused
        assert "next: " in refused
        limited.call("kill", job_id=first)
        assert limited.call("interact", job_id=second["job_id"], input="started")["stdout"] == "started"
        limited.call("kill", job_id=second["job_id"])


def test_a_bad_value_is_an_error_of_every_call_and_not_the_default(mcp_host: McpHost, project: str) -> None:
    with agent(mcp_host.env | {"MCP_BG_MAX_JOBS": "many", "MCP_BG_JOB_TIMEOUT": "0"}, project) as misconfigured:
        for tool, arguments in (("execute", {"command": "true"}), ("list", {}), ("status", {"job_id": "x"})):
            said = misconfigured.error(tool, **arguments)
            assert "MCP_BG_MAX_JOBS='many'" in said
            assert "a whole number from 1 to 100" in said
            assert "MCP_BG_JOB_TIMEOUT='0'" in said

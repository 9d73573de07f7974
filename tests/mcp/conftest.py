"""Fixtures of the MCP tests. Importing the SDK takes a server most of a second: they share one where they can."""

import shutil
import tempfile
from collections.abc import Iterator

import pytest

from tests.helpers.cli import clean_environment
from tests.helpers.daemon import describe_instance, end_instance
from tests.helpers.mcp_host import McpHost
from tests.mcp.harness import Agent, agent


@pytest.fixture(scope="session")
def mcp_env() -> Iterator[dict[str, str]]:
    """The environment of an instance that the MCP tests of a run share: its daemon, and the resident host."""
    directory = tempfile.mkdtemp(prefix="bgj-", dir="/tmp")
    env = clean_environment(directory)
    try:
        yield env
        left = end_instance(env)
        assert not left, "\n".join(["the MCP tests left behind:", *left, describe_instance(env)])
    finally:
        shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture(scope="module")
def project(mcp_env: dict[str, str]) -> str:
    """The directory in which the module's servers run: what tells its jobs from those of other modules."""
    return tempfile.mkdtemp(prefix="project-", dir=mcp_env["BGJOB_HOME"])


@pytest.fixture(scope="session")
def mcp_host(mcp_env: dict[str, str]) -> Iterator[McpHost]:
    """The resident host. Its `env` is that of servers that use it."""
    with McpHost(mcp_env) as host:
        yield host


# Which era is served how. Each of the four goes through everything with `make test-all`; in every run the two that
# differ in both, so that no era and no way of serving goes without.
SERVED = [
    pytest.param(("legacy", "host"), id="legacy-host"),
    pytest.param(("auto", "in-process"), id="auto-in-process"),
    pytest.param(("legacy", "in-process"), id="legacy-in-process", marks=pytest.mark.soak),
    pytest.param(("auto", "host"), id="auto-host", marks=pytest.mark.soak),
]


@pytest.fixture(scope="module", params=SERVED)
def mcp(request: pytest.FixtureRequest, mcp_env: dict[str, str], project: str) -> Iterator[Agent]:
    """A client that is not known, so it gets text and structure; in both eras, with the host and without."""
    era, served = request.param
    env = mcp_env if served == "in-process" else request.getfixturevalue("mcp_host").env
    with agent(env, project, era=era) as connected:
        yield connected


@pytest.fixture(scope="module")
def reader(mcp_host: McpHost, project: str) -> Iterator[Agent]:
    """A client that shows its model only text."""
    with agent(mcp_host.env, project, name="claude-code") as connected:
        yield connected

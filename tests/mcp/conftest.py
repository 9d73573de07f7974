"""Fixtures of the MCP tests. Importing the SDK takes a server most of a second: a module shares one where it can."""

import os
import shutil
import tempfile
from collections.abc import Iterator

import pytest

from tests.helpers.cli import clean_environment
from tests.helpers.daemon import Daemon, describe_instance, end_instance
from tests.helpers.mcp_host import McpHost
from tests.mcp.harness import Agent, agent


@pytest.fixture(scope="module")
def module_env() -> Iterator[dict[str, str]]:
    """The environment of an instance that all tests of a module share."""
    directory = tempfile.mkdtemp(prefix="bgj-", dir="/tmp")
    env = clean_environment(directory)
    try:
        yield env
        left = end_instance(env)
        assert not left, "\n".join(["the module left behind:", *left, describe_instance(env)])
    finally:
        shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture(scope="module")
def project(module_env: dict[str, str]) -> str:
    """The directory in which the module's servers run."""
    directory = os.path.join(module_env["BGJOB_HOME"], "project")
    os.mkdir(directory)
    return directory


@pytest.fixture(scope="session")
def shared_mcp_host(shared_daemon: Daemon) -> Iterator[McpHost]:
    """The resident host of the instance that tests share. Its `env` is that of servers that use it."""
    with McpHost(shared_daemon.env) as host:
        yield host


@pytest.fixture(scope="module")
def mcp_host(module_env: dict[str, str]) -> Iterator[McpHost]:
    """The module's resident host. Its `env` is that of servers that use it."""
    with McpHost(module_env) as host:
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
def mcp(request: pytest.FixtureRequest, module_env: dict[str, str], project: str) -> Iterator[Agent]:
    """A client that is not known, so it gets text and structure; in both eras, with the host and without."""
    era, served = request.param
    env = module_env if served == "in-process" else request.getfixturevalue("mcp_host").env
    with agent(env, project, era=era) as connected:
        yield connected


@pytest.fixture(scope="module")
def reader(mcp_host: McpHost, project: str) -> Iterator[Agent]:
    """A client that shows its model only text."""
    with agent(mcp_host.env, project, name="claude-code") as connected:
        yield connected

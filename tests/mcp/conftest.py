"""Fixtures of the MCP tests. Importing the SDK takes a server most of a second: a module shares one where it can."""

import os
import shutil
import tempfile
from collections.abc import Iterator

import pytest

from tests.helpers.cli import clean_environment
from tests.helpers.daemon import describe_instance, end_instance
from tests.mcp.harness import ERAS, Agent, agent


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


@pytest.fixture(scope="module", params=ERAS)
def mcp(request: pytest.FixtureRequest, module_env: dict[str, str], project: str) -> Iterator[Agent]:
    """A client that is not known, so it gets text and structure; once for each era of the protocol."""
    with agent(module_env, project, era=request.param) as connected:
        yield connected


@pytest.fixture(scope="module")
def reader(module_env: dict[str, str], project: str) -> Iterator[Agent]:
    """A client that shows its model only text."""
    with agent(module_env, project, name="claude-code") as connected:
        yield connected

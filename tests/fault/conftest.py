"""What fault tests share: jobs submitted through a client that autostarts, whatever is killed."""

from collections.abc import Iterator
from typing import Any

import pytest

from bgjobd.client import connect
from bgjobd.paths import Paths
from tests.helpers.submit import Jobs


class Reconnecting:
    """A client that connects anew for each call, and starts a daemon where there is none: as the command line does."""

    def __init__(self, paths: Paths) -> None:
        self.paths = paths

    def call(self, request: Any) -> Any:
        """Connect, call, hang up."""
        with connect(self.paths) as client:
            return client.call(request)


@pytest.fixture
def paths(env: dict[str, str]) -> Paths:
    """The paths of the test's instance."""
    return Paths.from_environment(env)


@pytest.fixture
def again(paths: Paths, env: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Jobs]:
    """Submits and asks with a new connection each time; the daemon is started when it is not there."""
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    return Jobs(Reconnecting(paths), env)

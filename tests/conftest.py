"""Fixtures for tests against real daemons, and the rule that a test leaves nothing behind.

`home` is one instance: a short temporary BGJOB_HOME. At the end of each test its daemon is shut down and its jobs are
killed; a process or a socket that then is still there fails the test.
"""

import contextlib
import os
import shutil
import tempfile
from collections.abc import Callable, Generator, Iterator
from typing import Any

import pytest

from bgjobd.client import Client, connect
from bgjobd.errors import BgjobError, ErrorCode
from tests.helpers.cli import Cli, clean_environment
from tests.helpers.daemon import Daemon, describe_instance, end_instance

pytest_plugins = ["pytester"]


@pytest.fixture
def home() -> Iterator[str]:
    """A new instance's BGJOB_HOME, with a path short enough for sockets below it."""
    directory = tempfile.mkdtemp(prefix="bgj-", dir="/tmp")
    try:
        yield directory
        env = clean_environment(directory)
        left = end_instance(env)
        assert not left, "\n".join(["the test left behind:", *left, describe_instance(env)])
    finally:
        shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture
def env(home: str) -> dict[str, str]:
    """The environment of programs that belong to the instance `home`."""
    return clean_environment(home)


@pytest.fixture
def workdir(home: str) -> str:
    """A directory for a job's or a command's own files."""
    directory = os.path.join(home, "work")
    os.mkdir(directory)
    return directory


@pytest.fixture
def daemon(env: dict[str, str]) -> Iterator[Daemon]:
    """A daemon that is ready. A test may stop it, kill it and start it again."""
    daemon = Daemon(env)
    daemon.start()
    try:
        yield daemon
        if daemon.is_running:
            daemon.stop(kill_jobs=True)
    finally:
        daemon.close()


@pytest.fixture
def cli(env: dict[str, str], workdir: str) -> Cli:
    """The installed `bgjob`, in the directory `workdir`. Starts a daemon when it needs one."""
    return Cli(env, workdir)


@pytest.fixture
def client(daemon: Daemon) -> Iterator[Client]:
    """A blocking client that is connected to `daemon`."""
    with connect(daemon.paths, autostart=False) as client:
        yield client


@pytest.fixture
def refused() -> Callable[[ErrorCode], contextlib.AbstractContextManager[Any]]:
    """Expects a BgjobError with a code."""

    @contextlib.contextmanager
    def expect(code: ErrorCode) -> Iterator[Any]:
        with pytest.raises(BgjobError) as error:
            yield error
        assert error.value.code is code, error.value

    return expect


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add to a failure what the instance's processes and records say."""
    report = yield
    instance = getattr(item, "funcargs", {}).get("home")
    if report.failed and call.when == "call" and instance:
        report.sections.append(("bgjob instance", describe_instance(clean_environment(instance))))
    return report


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out tests that need to be root when we are not: deselected and counted, not skipped."""
    if os.geteuid() == 0:
        return
    needs_root = [item for item in items if item.get_closest_marker("root")]
    config.hook.pytest_deselected(items=needs_root)
    items[:] = [item for item in items if item not in needs_root]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say why a run in CI with skipped tests fails."""
    if os.environ.get("CI") and terminalreporter.stats.get("skipped"):
        terminalreporter.write_line("a skipped test is a failure in CI: it proves nothing", red=True)


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """A skipped test is a failure in CI."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if os.environ.get("CI") and exitstatus == 0 and reporter and reporter.stats.get("skipped"):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED

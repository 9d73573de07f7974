"""Fixtures for tests against real daemons, and the rule that a test leaves nothing behind.

`home` is one instance: a short temporary BGJOB_HOME. At the end of each test its daemon is shut down and its jobs are
killed; a process or a socket that then is still there fails the test.

Starting a daemon takes longer than most tests. A module with `pytestmark = pytest.mark.shared` has one daemon for all
its tests, and after each test only its jobs are killed and forgotten; `@pytest.mark.shared(False)` excepts a test that
stops the daemon or needs another one.
"""

import contextlib
import functools
import gc
import os
import shutil
import signal
import tempfile
from collections.abc import Callable, Generator, Iterator
from typing import Any

import hypothesis
import pytest

from bgjobd.client import Client, connect
from bgjobd.daemon.cgroup import job_cgroup_parent, limits_whole_jobs
from bgjobd.errors import BgjobError, ErrorCode
from tests.helpers.cli import Cli, clean_environment
from tests.helpers.daemon import Daemon, describe_instance, end_instance, forget_all_jobs

pytest_plugins = ["pytester"]

# No property depends on how fast the machine is.
hypothesis.settings.register_profile("bgjob", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("bgjob")


def pytest_collection_finish() -> None:
    """What exists now stays to the end: the collector need not look at it again and again (a tenth of our time)."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def shared_daemon() -> Iterator[Daemon]:
    """The daemon that tests share; see the first lines of this file."""
    with new_home() as directory:
        daemon = Daemon(clean_environment(directory))
        try:
            daemon.start()
            yield daemon
            assert daemon.is_running, f"a test ended the daemon that it shares\n{daemon.log}"
            daemon.stop(kill_jobs=True)
        finally:
            daemon.close()


@pytest.fixture
def home(request: pytest.FixtureRequest) -> Iterator[str]:
    """An instance's BGJOB_HOME, without jobs, with a path short enough for sockets below it."""
    if not is_shared(request):
        with new_home() as directory:
            yield directory
        return
    shared: Daemon = request.getfixturevalue("shared_daemon")
    yield shared.home
    forget_all_jobs(shared)


@contextlib.contextmanager
def new_home() -> Iterator[str]:
    """A new instance's BGJOB_HOME; at the end its daemon and jobs are ended, and nothing of it may be left."""
    directory = tempfile.mkdtemp(prefix="bgj-", dir="/tmp")
    try:
        yield directory
        env = clean_environment(directory)
        left = end_instance(env)
        assert not left, "\n".join(["the test left behind:", *left, describe_instance(env)])
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def is_shared(request: pytest.FixtureRequest) -> bool:
    """Whether the test shares its instance with others."""
    marker = request.node.get_closest_marker("shared")
    return marker is not None and marker.args != (False,)


@pytest.fixture
def env(home: str) -> dict[str, str]:
    """The environment of programs that belong to the instance `home`."""
    return clean_environment(home)


@pytest.fixture
def workdir(home: str) -> Iterator[str]:
    """A directory for a job's or a command's own files."""
    directory = tempfile.mkdtemp(prefix="work-", dir=home)
    yield directory
    shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture
def daemon(request: pytest.FixtureRequest, env: dict[str, str]) -> Iterator[Daemon]:
    """A daemon that is ready. Unless it is shared, a test may stop it, kill it and start it again."""
    if is_shared(request):
        yield request.getfixturevalue("shared_daemon")
        return
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


def pytest_configure(config: pytest.Config) -> None:
    """End like Ctrl-C when told to terminate, as by a time limit of CI: fixtures then end what they started."""

    def interrupt(number: int, frame: object) -> None:
        signal.signal(number, signal.SIG_IGN)  # timeout(1) sends it twice; the second must not end the ending
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupt)


@pytest.fixture
def parent() -> str:
    """A cgroup below which leaves can be made."""
    found = job_cgroup_parent()
    if found is None:
        pytest.xfail("this machine lets nobody make a cgroup")
    return found


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out tests that need what there is not: to be root, or a program. Deselected and counted, not skipped."""
    left_out = [item for item in items if not has_what_it_needs(item)]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if has_what_it_needs(item)]


def has_what_it_needs(item: pytest.Item) -> bool:
    """Whether we are root, may limit the memory of a cgroup, and have the programs, where the test asks for that."""
    if item.get_closest_marker("root") and os.geteuid() != 0:
        return False
    if item.get_closest_marker("memory_cgroup") and not has_memory_cgroup():
        return False
    return all(shutil.which(marker.args[0]) for marker in item.iter_markers("needs"))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say why a run in CI with skipped tests fails."""
    if os.environ.get("CI") and terminalreporter.stats.get("skipped"):
        terminalreporter.write_line("a skipped test is a failure in CI: it proves nothing", red=True)


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """A skipped test is a failure in CI."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if os.environ.get("CI") and exitstatus == 0 and reporter and reporter.stats.get("skipped"):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@functools.cache
def has_memory_cgroup() -> bool:
    """Whether the memory of a whole job can be limited here."""
    parent = job_cgroup_parent()
    return parent is not None and limits_whole_jobs(parent)

"""What a rescue runner believes of what it is told about processes that are not its children."""

import os
import subprocess
from collections.abc import Iterator

import pytest

from bgjobd.runner import system
from bgjobd.runner.foreign_tree import End, ForeignTree
from bgjobd.runner.loop import ChildSignals, Loop
from bgjobd.runner.orphans import Orphans
from bgjobd.runner.reports import Reports
from bgjobd.runner.tree import Usage
from tests.helpers.waiting import DEADLINE_S

pytestmark = pytest.mark.skipif(not system.LINUX, reason="start times are Linux's")


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    """A process that leads a session, as a main process does."""
    process = subprocess.Popen(["sleep", "300"], start_new_session=True)
    yield process
    process.kill()
    process.wait()


def _tree(pid: int, start: int) -> ForeignTree:
    return ForeignTree(pid, start, "some-job", lambda _status: None, -1)


def _end(pid: int, start: int) -> End:
    return End.parse(End(pid, start, 0x300, Usage(1, 2, 3)).line())


def test_the_end_of_one_that_had_the_main_processs_pid_before_it_is_not_its_own(
    sleeper: subprocess.Popen[bytes],
) -> None:
    start = system.start_time(sleeper.pid)
    orphans = Orphans()
    orphans.add(_end(sleeper.pid, start - 100))
    tree = _tree(sleeper.pid, start)
    for end in orphans.ends():
        tree.hear(end)
    assert (tree.main_has_ended, tree.main_status) == (False, None)
    tree.hear(_end(sleeper.pid, start))
    assert (tree.main_has_ended, tree.main_status, tree.usage.utime_us) == (True, 0x300, 1)


def test_an_end_without_a_start_is_believed() -> None:
    """One that could not be looked at when it was reaped."""
    tree = _tree(os.getpid(), system.start_time(os.getpid()))
    tree.hear(_end(os.getpid(), 0))
    assert tree.main_has_ended


@pytest.mark.parametrize("name", [b"bgjob-zygote", b"bgjob-spare", b"bgjob-runner", b"bgjob-rescue"])
def test_a_fork_of_the_zygote_is_no_process_of_the_job(name: bytes) -> None:
    """Also one that has not given itself a name yet: it has the zygote's, and no BGJOB_ID."""
    tree = _tree(os.getpid(), 0)
    fork = system.Process(1 << 22, os.getppid(), 1, 1, 1, name, "S")  # there is no such pid
    assert tree._marked({fork.pid: fork}) == []


def test_who_was_too_far_behind_for_reports_gets_those_that_matter_later(sleeper: subprocess.Popen[bytes]) -> None:
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    os.set_blocking(writing, False)
    loop, orphans = Loop(), Orphans()
    reports = Reports(writing, loop, orphans)
    for _ in range(10_000):  # more than a pipe holds
        reports.tell(_end(1, 0))
    orphans.add(_end(sleeper.pid, 7))
    reports.tell(_end(sleeper.pid, 7))
    os.read(reading, 1 << 20)
    loop.run_once()
    told = os.read(reading, 1 << 20)
    assert [(end.pid, end.start) for end in map(End.parse, told.splitlines())] == [(sleeper.pid, 7)]
    reports.tell(_end(2, 0))  # as before
    assert [End.parse(line).pid for line in os.read(reading, 1 << 20).splitlines()] == [2]
    reports.close()
    os.close(reading)


def test_a_report_that_never_comes_is_not_awaited_for_ever() -> None:
    """The main process has been reaped, and the zygote, which is our parent here, says nothing."""
    ended = subprocess.Popen(["true"], start_new_session=True)
    start = system.start_time(ended.pid)
    ended.wait()
    reports, writing = os.pipe()
    loop, signals = Loop(), ChildSignals()
    tree = ForeignTree(ended.pid, start, "some-job", lambda _status: None, reports)
    tree.watch(signals, loop, tree.reap)
    loop.set_timer("deadline", DEADLINE_S, lambda: pytest.fail("it waits for ever"))
    tree.reap()
    assert not tree.main_has_ended
    while not tree.main_has_ended:
        loop.run_once()
    assert (tree.main_status, tree.seen_by) == (None, "lost")
    signals.close()
    for fd in (reports, writing):
        os.close(fd)

"""What the daemon finds out about processes that end, with real ones."""

import os
import select

import anyio
import anyio.lowlevel
import anyio.to_thread
import pytest

from bgjobd.daemon.orphans import Seen, _from_pidfd
from bgjobd.runner import system

pytestmark = pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="no pidfds here")


def ended_child(code: int) -> tuple[int, int]:
    """Return the pid and a pidfd of a child that has ended with `code` and was not reaped."""
    pid = os.posix_spawn("/bin/sh", ["sh", "-c", f"exit {code}"], {})
    pidfd = os.pidfd_open(pid)
    select.select([pidfd], [], [])
    return pid, pidfd


async def ask_and_reap_later(pid: int, pidfd: int) -> "list[Seen | None]":
    answers: list[Seen | None] = []

    async def ask() -> None:
        answers.append(await _from_pidfd(pidfd))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(ask)
        await anyio.lowlevel.checkpoint()
        assert answers == []
        await anyio.to_thread.run_sync(os.waitpid, pid, 0)
    return answers


def test_a_status_that_the_kernel_tells_late_is_waited_for() -> None:
    """It tells once the process was reaped, and whose child it is may take a second to do that."""
    pid, pidfd = ended_child(7)
    known, other = ended_child(7)
    os.waitpid(known, 0)
    is_known = system.pidfd_status(other) is not None
    os.close(other)
    if not is_known:
        os.waitpid(pid, 0)
        os.close(pidfd)
        pytest.skip("this kernel does not tell (PIDFD_GET_INFO, Linux 6.15)")
    answers = anyio.run(ask_and_reap_later, pid, pidfd)
    os.close(pidfd)
    assert answers == [Seen(7 << 8, "pidfd")]

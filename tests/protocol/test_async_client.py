"""The async client: the same as the blocking one, against a real daemon, and against one that misbehaves."""

import inspect
import os

import anyio
import pytest

from bgjobd import async_client, client
from bgjobd.async_client import AsyncClient, AsyncStream, connect
from bgjobd.client import Client, Stream
from bgjobd.errors import BgjobError, ErrorCode
from bgjobd.paths import Paths
from bgjobd.protocol import DaemonStatus, Empty, Follow, JobsReply, Kill, Ping, Send, Shutdown, Status, Wait
from bgjobd.version import PROTOCOL_MAJOR
from tests.helpers.daemon import Daemon
from tests.helpers.scripted_daemon import ScriptedDaemon
from tests.helpers.submit import request
from tests.helpers.waiting import DEADLINE_S


@pytest.fixture
def paths(env):
    return Paths.from_environment(env)


def run(main):
    """Run an async test under the standard deadline."""

    async def bounded():
        with anyio.fail_after(DEADLINE_S):
            await main()

    anyio.run(bounded)


async def code_of(call, *arguments):
    with pytest.raises(BgjobError) as caught:
        await call(*arguments)
    return caught.value.code


# --- the same as the blocking one ------------------------------------------------------------------------------------

BLOCKING_NAMES = {"close": "aclose", "__enter__": "__aenter__", "__iter__": "__aiter__", "__next__": "__anext__"}


@pytest.mark.parametrize(("blocking", "asynchronous"), [(Client, AsyncClient), (Stream, AsyncStream)])
def test_both_clients_have_the_same_methods_with_the_same_parameters(blocking, asynchronous):
    def public(kind):
        return {name: getattr(kind, name) for name in dir(kind) if not name.startswith("_")}

    ours, theirs = public(blocking), public(asynchronous)
    assert {BLOCKING_NAMES.get(name, name) for name in ours} == set(theirs)
    for name, method in ours.items():
        if callable(method):
            same = theirs[BLOCKING_NAMES.get(name, name)]
            assert (
                str(inspect.signature(method)).partition(" -> ")[0] == str(inspect.signature(same)).partition(" -> ")[0]
            )


def test_both_clients_connect_with_the_same_parameters():
    assert inspect.signature(client.connect).parameters == inspect.signature(async_client.connect).parameters


# --- a real daemon ---------------------------------------------------------------------------------------------------


def test_many_calls_at_once_are_answered_each_in_its_own_time(daemon, env):
    async def main():
        async with connect(daemon.paths, autostart=False) as client:
            job = (await client.call(request("read line", env=env))).job
            ended = []

            async def wait_for_end():
                ended.append(await client.call(Wait(jobs=[job.job_id])))

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(wait_for_end)
                async with anyio.create_task_group() as pings:
                    for _ in range(100):
                        pings.start_soon(client.call, Ping())
                assert ended == []  # a hundred answers overtook the one that waits
                await client.call(Send(job=job.job_id, data=b"\n"))
            assert ended[0].jobs[0].exit_code == 0

    run(main)


def test_an_error_is_raised_as_it_is_and_not_in_a_group(daemon):
    async def main():
        async with connect(daemon.paths, autostart=False) as client:
            await client.call(Status(jobs=["nobody"]))

    with pytest.raises(BgjobError) as caught:
        run(main)
    assert caught.value.code is ErrorCode.NO_SUCH_JOB


def test_cancelling_a_call_cancels_it_in_the_daemon_and_nothing_else(daemon, env):
    async def main():
        async with connect(daemon.paths, autostart=False) as client:
            job = (await client.call(request("sleep 60", env=env))).job
            for _ in range(600):  # more than a connection may have under way: each has to be gone in the daemon, too
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(client.call, Wait(jobs=[job.job_id]))
                    await client.call(Ping())  # goes out behind the wait
                    tasks.cancel_scope.cancel()
            assert (await client.call(Status(jobs=[job.job_id]))).jobs[0].status == "running"
            await client.call(Kill(job=job.job_id))

    run(main)


def test_a_stream_gives_its_items_and_then_its_reply(daemon, env):
    async def main():
        async with connect(daemon.paths, autostart=False) as client:
            job = (await client.call(request("seq 200000", env=env))).job
            async with client.stream(Follow(job=job.job_id)) as stream:
                with pytest.raises(RuntimeError):
                    _ = stream.reply
                data = b"".join([item.run.data async for item in stream])
            assert data == b"".join(b"%d\n" % number for number in range(1, 200_001))
            assert stream.reply.cursor == len(data)
            assert [item async for item in stream] == []

    run(main)


def test_a_stream_that_nobody_reads_holds_up_no_other_call(daemon, env):
    async def main():
        async with connect(daemon.paths, autostart=False) as client:
            job = (await client.call(request("head -c 30000000 /dev/zero", env=env))).job
            await client.call(Wait(jobs=[job.job_id]))
            async with client.stream(Follow(job=job.job_id)) as stream:
                first = await stream.__anext__()
                for _ in range(10):
                    await client.call(Ping())
                rest = [len(item.run.data) async for item in stream]
            assert len(first.run.data) + sum(rest) == 30_000_000

    run(main)


def test_a_stream_left_early_is_over_and_the_client_goes_on(daemon, env):
    async def main():
        async with connect(daemon.paths, autostart=False) as client:
            job = (await client.call(request("echo hello; sleep 60", env=env))).job
            async with client.stream(Follow(job=job.job_id)) as stream:
                assert (await stream.__anext__()).run.data == b"hello\n"
            assert await code_of(stream.__anext__) is ErrorCode.CANCELLED
            assert await code_of(client.stream(Follow(job="nobody")).__anext__) is ErrorCode.NO_SUCH_JOB
            await client.call(Kill(job=job.job_id))

    run(main)


def test_after_the_daemon_was_killed_the_next_call_connects_to_its_successor(daemon, env):
    async def main():
        async with connect(daemon.paths, autostart=False) as client:
            job = (await client.call(request("sleep 60", env=env))).job
            codes = []

            async def wait_for_end():
                codes.append(await code_of(client.call, Wait(jobs=[job.job_id])))

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(wait_for_end)
                await client.call(Ping())
                daemon.kill()
            assert codes == [ErrorCode.CONNECTION_LOST]
            assert await code_of(client.call, Ping()) is ErrorCode.DAEMON_UNREACHABLE
            first = client.server.pid
            daemon.start()
            assert (await client.call(Status(jobs=[job.job_id]))).jobs[0].status == "running"
            assert client.server.pid == daemon.pid != first

    run(main)


def test_a_daemon_that_was_stopped_is_started_by_the_next_call(env, paths):
    async def main():
        async with connect(paths) as client:
            first = client.server.pid
            await client.call(Shutdown())
            while client.server.pid == first:  # the answer comes before the end
                try:
                    await client.call(Ping())
                except BgjobError as error:
                    assert error.code in (ErrorCode.CONNECTION_LOST, ErrorCode.SHUTTING_DOWN)  # noqa: PT017  # may happen, need not
            await client.call(Ping())

    run(main)


def test_many_calls_after_a_loss_share_one_new_connection(daemon):
    async def main():
        async with connect(daemon.paths, autostart=False) as client:
            daemon.kill()
            await code_of(client.call, Ping())
            daemon.start()
            async with anyio.create_task_group() as tasks:
                for _ in range(50):
                    tasks.start_soon(client.call, Ping())
            assert (await client.call(DaemonStatus())).clients == 1

    run(main)


def test_a_closed_client_refuses(daemon):
    async def main():
        async with connect(daemon.paths, autostart=False) as client:
            await client.aclose()
            await client.aclose()
            assert await code_of(client.call, Ping()) is ErrorCode.CONNECTION_LOST

    run(main)


def test_it_leaves_no_descriptor_behind(daemon: Daemon, env):
    async def main():
        before = sorted(os.listdir("/dev/fd"))
        for _ in range(3):
            async with connect(daemon.paths, autostart=False) as client:
                await client.call(Ping())
                with pytest.raises(BgjobError):
                    await client.stream(Follow(job="nobody")).__anext__()
        assert sorted(os.listdir("/dev/fd")) == before

    run(main)


# --- a daemon that misbehaves ----------------------------------------------------------------------------------------


def probe(peer):
    """The connection that only looks whether somebody is there."""


def test_another_protocol_major_is_a_mismatch(paths):
    async def main():
        async with connect(paths, autostart=False):
            raise AssertionError("connected")

    future = ScriptedDaemon(paths, probe, lambda peer: peer.greet(protocol_major=PROTOCOL_MAJOR + 1))
    with future, pytest.raises(BgjobError) as caught:
        run(main)
    assert caught.value.code is ErrorCode.VERSION_MISMATCH


def test_a_daemon_that_hangs_up_during_a_call_is_a_lost_connection_and_then_asked_again(paths):
    def hangs_up(peer):
        peer.greet()
        peer.call()

    def answers(peer):
        peer.greet()
        peer.answer(peer.call().id, JobsReply(jobs=[]))
        peer.answer(peer.call().id, Empty())

    async def main():
        async with connect(paths, autostart=False) as client:
            assert await code_of(client.call, Wait(jobs=["x"])) is ErrorCode.CONNECTION_LOST
            assert (await client.call(Status(jobs=[]))).jobs == []
            await client.call(Ping())

    with ScriptedDaemon(paths, probe, hangs_up, probe, answers):
        run(main)


def test_the_last_words_of_a_daemon_reach_every_call_that_is_under_way(paths):
    def script(peer):
        peer.greet()
        peer.call()
        peer.call()
        peer.fail(0, "shutting_down", message="cannot go on: stopping")

    async def main():
        async with connect(paths, autostart=False) as client:
            codes = []

            async def wait(name):
                codes.append(await code_of(client.call, Wait(jobs=[name])))

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(wait, "a")
                tasks.start_soon(wait, "b")
            assert codes == [ErrorCode.SHUTTING_DOWN] * 2

    with ScriptedDaemon(paths, probe, script):
        run(main)


def test_a_cancelled_call_is_cancelled_by_its_id(paths):
    seen = []

    def script(peer):
        peer.greet()
        wait = peer.call()
        cancel = peer.call()
        seen.append((wait.op, cancel.op, wait.id, cancel.body))
        peer.fail(wait.id, "cancelled")
        peer.answer(peer.call().id, Empty())

    async def main():
        async with connect(paths, autostart=False) as client:
            with anyio.move_on_after(0.05):
                await client.call(Wait(jobs=["x"]))
            await client.call(Ping())

    with ScriptedDaemon(paths, probe, script):
        run(main)
    [(wait_op, cancel_op, wait_id, body)] = seen
    assert (wait_op, cancel_op, bytes(body)) == ("wait", "cancel", b"\x81\xa2id" + bytes((wait_id,)))


def test_a_daemon_that_says_nothing_is_told_from_none_after_the_timeout(paths):
    async def main():
        async with connect(paths, autostart=False, timeout_s=0.05):
            raise AssertionError("connected")

    def silent(peer):
        peer.frame()
        with pytest.raises(EOFError):
            peer.frame()

    with ScriptedDaemon(paths, probe, silent), pytest.raises(BgjobError) as caught:
        run(main)
    assert caught.value.code is ErrorCode.DAEMON_SILENT

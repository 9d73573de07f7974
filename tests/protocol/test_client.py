"""The blocking client, against a real daemon, and against one that misbehaves."""

import os
import signal

import pytest

from bgjobd.client import connect
from bgjobd.errors import BgjobError, ErrorCode
from bgjobd.paths import Paths
from bgjobd.protocol import (
    AnswerKind,
    ClientInfo,
    Empty,
    Follow,
    FollowItem,
    FollowReply,
    JobInfo,
    JobsReply,
    Ping,
    Restrictions,
    Run,
    Send,
    Status,
    Stream,
    Wait,
)
from bgjobd.version import PROTOCOL_MAJOR, VERSION
from tests.helpers.scripted_daemon import ScriptedDaemon
from tests.helpers.submit import request


@pytest.fixture
def paths(env):
    return Paths.from_environment(env)


def code_of(call, *arguments):
    with pytest.raises(BgjobError) as caught:
        call(*arguments)
    return caught.value.code


# --- a real daemon ---------------------------------------------------------------------------------------------------


def test_a_client_knows_whom_it_talks_to(daemon):
    with connect(daemon.paths, autostart=False) as client:
        assert (client.server.program, client.server.version, client.server.pid) == ("bgjobd", VERSION, daemon.pid)


def test_jobs_are_tagged_with_who_asked(daemon, env):
    info = ClientInfo(kind="mcp", name="tests", version="1", session="s-1", project="/p")
    with connect(daemon.paths, client=info) as client:
        job = client.call(request("true", env=env)).job
    assert (job.client.kind, job.client.name, job.client.session, job.client.project) == ("mcp", "tests", "s-1", "/p")


def test_what_a_client_restricts_itself_to_holds(daemon, env):
    with connect(daemon.paths, restrictions=Restrictions(denied_commands=["^rm"])) as client:
        assert code_of(client.call, request("rm -r x", env=env)) is ErrorCode.REFUSED
        assert client.call(request("true", env=env)).job.job_id


def test_an_error_is_raised_with_all_that_the_daemon_said(client):
    with pytest.raises(BgjobError) as caught:
        client.call(Status(jobs=["nobody"]))
    assert caught.value.code is ErrorCode.NO_SUCH_JOB
    assert "nobody" in caught.value.message and caught.value.hint and caught.value.details["candidates"] == []


def test_a_stream_gives_its_items_and_then_its_reply(client, env):
    job = client.call(request("printf 'a\\nb\\n'; printf c >&2", env=env)).job
    stream = client.stream(Follow(job=job.job_id))
    with pytest.raises(RuntimeError):
        _ = stream.reply
    data = b"".join(item.run.data for item in stream)
    assert sorted(data) == sorted(b"a\nb\nc")
    assert stream.reply.cursor == 5 and stream.reply.job.job_id == job.job_id
    assert list(stream) == []


def test_a_stream_that_fails_raises_and_stays_failed(client):
    stream = client.stream(Follow(job="nobody"))
    assert code_of(next, stream) is ErrorCode.NO_SUCH_JOB
    assert code_of(next, stream) is ErrorCode.CANCELLED
    client.call(Ping())


def test_after_a_stream_was_closed_early_the_next_call_is_answered(client, env):
    job = client.call(request("seq 1000000; sleep 60", env=env)).job
    for _ in range(3):
        with client.stream(Follow(job=job.job_id)) as stream:
            assert next(stream).run.data.startswith(b"1\n2\n")
        assert client.call(Status(jobs=[job.job_id])).jobs[0].job_id == job.job_id


def test_a_call_closes_the_stream_that_is_open(client, env):
    job = client.call(request("echo hello; sleep 60", env=env)).job
    stream = client.stream(Follow(job=job.job_id))
    assert next(stream).run.data == b"hello\n"
    client.call(Ping())
    assert code_of(next, stream) is ErrorCode.CANCELLED


def test_a_request_too_large_to_send_does_no_harm(client):
    assert code_of(client.call, Send(job="x", data=bytes(17 << 20))) is ErrorCode.FRAME_TOO_LARGE
    client.call(Ping())


def test_a_daemon_that_was_killed_is_a_lost_connection(daemon):
    with connect(daemon.paths, autostart=False) as client:
        daemon.kill()
        assert code_of(client.call, Ping()) is ErrorCode.CONNECTION_LOST
        assert code_of(client.call, Ping()) is ErrorCode.CONNECTION_LOST
        assert code_of(client.stream, Follow(job="x")) is ErrorCode.CONNECTION_LOST
        client.close()
        client.close()
    daemon.start()


def test_without_a_daemon_the_error_says_how_to_start_one(paths):
    with pytest.raises(BgjobError) as caught:
        connect(paths, autostart=False)
    assert caught.value.code is ErrorCode.DAEMON_UNREACHABLE
    assert "bgjob daemon start" in caught.value.hint


# --- a daemon that misbehaves ----------------------------------------------------------------------------------------


def test_another_protocol_major_is_a_mismatch(paths):
    future = ScriptedDaemon(paths, lambda peer: peer.greet(protocol_major=PROTOCOL_MAJOR + 1))
    with future, pytest.raises(BgjobError) as caught:
        connect(paths, autostart=False)
    assert caught.value.code is ErrorCode.VERSION_MISMATCH
    assert "bgjob daemon restart" in caught.value.hint


def test_a_daemon_that_goes_away_during_a_call_is_a_lost_connection(paths):
    def script(peer):
        peer.greet()
        peer.call()

    with ScriptedDaemon(paths, script), connect(paths, autostart=False) as client:
        assert code_of(client.call, Wait(jobs=["x"])) is ErrorCode.CONNECTION_LOST


def test_the_last_words_of_a_daemon_that_hangs_up_are_heard(paths):
    def script(peer):
        peer.greet()
        peer.answer(peer.call().id, Empty())
        peer.fail(0, "shutting_down", message="cannot go on: stopping")

    with ScriptedDaemon(paths, script) as daemon, connect(paths, autostart=False) as client:
        client.call(Ping())  # answered, also when the last words come right behind
        daemon.join()  # hung up before we ask
        assert code_of(client.call, Ping()) is ErrorCode.SHUTTING_DOWN


def test_answers_to_other_calls_and_stray_items_are_skipped(paths):
    def script(peer):
        peer.greet()
        call = peer.call()
        peer.answer(call.id + 7, JobsReply(jobs=[]))
        peer.answer(call.id, FollowItem(run=Run(offset=0, stream=Stream.MERGED, data=b"x")), AnswerKind.ITEM)
        peer.answer(call.id, JobsReply(jobs=[JobInfo(job_id="right")]))

    with ScriptedDaemon(paths, script), connect(paths, autostart=False) as client:
        assert client.call(Status(jobs=["x"])).jobs[0].job_id == "right"


def test_a_stream_closed_early_is_cancelled_and_what_it_still_sends_is_skipped(paths):
    def script(peer):
        peer.greet()
        call = peer.call()
        for number in range(10):
            item = FollowItem(run=Run(offset=number, stream=Stream.MERGED, data=b"x"))
            peer.answer(call.id, item, AnswerKind.ITEM)
        assert peer.call().op == "cancel"
        peer.answer(call.id, FollowReply(job=JobInfo(job_id="late")))
        peer.answer(peer.call().id, Empty())

    with ScriptedDaemon(paths, script), connect(paths, autostart=False) as client:
        with client.stream(Follow(job="x")) as stream:
            next(stream)
        client.call(Ping())


@pytest.mark.parametrize("junk", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\0\0\0\x02\xc1\xc1"])
def test_something_else_at_the_socket_is_an_error_and_no_hang(paths, junk):
    def script(peer):
        peer.frame()
        peer.connection.sendall(junk)

    with ScriptedDaemon(paths, script):
        assert code_of(lambda: connect(paths, autostart=False)) in (ErrorCode.BAD_FRAME, ErrorCode.FRAME_TOO_LARGE)


def test_a_daemon_that_says_nothing_is_told_from_none_after_the_timeout(paths):
    def script(peer):
        peer.frame()
        with pytest.raises(EOFError):
            peer.frame()

    with ScriptedDaemon(paths, script), pytest.raises(BgjobError) as caught:
        connect(paths, autostart=False, timeout_s=0.05)
    assert caught.value.code is ErrorCode.DAEMON_SILENT


def test_a_daemon_that_drops_the_connection_while_it_stops_is_asked_again(paths):
    def stopping(peer):
        peer.frame()

    with ScriptedDaemon(paths, stopping, lambda peer: peer.greet()), connect(paths) as client:
        assert client.server.version == "scripted"


def test_an_interrupted_call_closes_the_connection(paths):
    def script(peer):
        peer.greet()
        peer.call()
        os.kill(os.getpid(), signal.SIGINT)
        with pytest.raises(EOFError):
            peer.frame()

    with ScriptedDaemon(paths, script), connect(paths, autostart=False) as client:
        with pytest.raises(KeyboardInterrupt):
            client.call(Ping())
        assert code_of(client.call, Ping()) is ErrorCode.CONNECTION_LOST

"""The control socket: handshake, framing, bad peers. None of them harms another client."""

import os
import socket
import stat

import msgspec
import pytest

from bgjobd.errors import ErrorCode
from bgjobd.protocol import AnswerKind, Call, DaemonStatus, ErrorBody, Hello, Ping, Status, Wait
from bgjobd.wire import MAX_FRAME_BYTES, encode_frame
from tests.helpers.daemon import Daemon
from tests.helpers.raw import Raw

pytestmark = pytest.mark.shared

encode = msgspec.msgpack.encode


def error_of(raw: Raw) -> ErrorBody:
    answer = raw.answer()
    assert answer.kind is AnswerKind.ERROR
    return msgspec.msgpack.decode(answer.body, type=ErrorBody)


def test_the_socket_and_its_directories_are_open_to_this_user_alone(daemon: Daemon) -> None:
    assert stat.S_IMODE(os.stat(daemon.paths.socket).st_mode) == 0o600
    for directory in (daemon.paths.state_dir, daemon.paths.runtime_dir, daemon.paths.jobs_dir):
        assert stat.S_IMODE(os.stat(directory).st_mode) == 0o700


def test_another_protocol_major_is_told_how_to_go_on(daemon: Daemon) -> None:
    with Raw(daemon.paths.socket, hello=False) as raw:
        raw.send(encode(Hello(protocol_major=99)))
        theirs = msgspec.msgpack.decode(raw.frame(), type=Hello)
        assert (theirs.program, theirs.pid) == ("bgjobd", daemon.pid)
        error = error_of(raw)
        assert error.code == ErrorCode.VERSION_MISMATCH
        assert "bgjob daemon restart" in error.hint
        assert raw.hung_up()


def test_unknown_fields_are_ignored_and_an_unknown_op_is_unsupported(daemon: Daemon) -> None:
    with Raw(daemon.paths.socket) as raw:
        raw.send(encode(Call(1, "ping", msgspec.Raw(encode({"from_the_future": 1})))))
        assert raw.answer().kind is AnswerKind.REPLY
        raw.send(encode(Call(2, "teleport", msgspec.Raw(encode({})))))
        assert error_of(raw).code == ErrorCode.UNSUPPORTED
        raw.call(3, Ping())
        assert raw.answer().id == 3


def test_a_request_of_the_wrong_type_is_refused_and_the_connection_lives(daemon: Daemon) -> None:
    with Raw(daemon.paths.socket) as raw:
        raw.send(encode(Call(1, "status", msgspec.Raw(encode({"jobs": "not a list"})))))
        error = error_of(raw)
        assert error.code == ErrorCode.INVALID_ARGUMENT
        assert "jobs" in error.message
        raw.call(2, Ping())
        assert raw.answer().id == 2


@pytest.mark.parametrize(
    ("junk", "code"),
    [
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", ErrorCode.FRAME_TOO_LARGE),
        ((MAX_FRAME_BYTES + 1).to_bytes(4, "big"), ErrorCode.FRAME_TOO_LARGE),
        (b"\0\0\0\x03\xc1\xc1\xc1", ErrorCode.BAD_FRAME),
        (b"\0\0\0\0", ErrorCode.BAD_FRAME),
    ],
)
def test_junk_is_answered_with_the_reason_and_hung_up_on(daemon: Daemon, junk: bytes, code: ErrorCode) -> None:
    for hello in (False, True):
        with Raw(daemon.paths.socket, hello=hello) as raw:
            raw.socket.sendall(junk)
            assert error_of(raw).code == code
            assert raw.hung_up()


def test_a_frame_cut_off_by_the_clients_death_harms_nobody(daemon: Daemon, client) -> None:
    with Raw(daemon.paths.socket) as raw:
        raw.socket.sendall(b"\0\0\1\0half")
    client.call(Ping())


def test_a_frame_that_comes_byte_by_byte_is_understood(daemon: Daemon) -> None:
    with Raw(daemon.paths.socket) as raw:
        payload = encode(Call(1, "ping", msgspec.Raw(encode({}))))
        for byte in len(payload).to_bytes(4, "big") + payload:
            raw.socket.sendall(bytes([byte]))
        assert raw.answer().id == 1


def test_a_cancel_that_arrives_together_with_its_call_ends_it(daemon: Daemon, jobs) -> None:
    job = jobs.run("sleep 300")
    with Raw(daemon.paths.socket) as raw:
        wait = Wait(jobs=[job.job_id])
        call = encode(Call(1, wait.op, msgspec.Raw(encode(wait))))
        cancel = encode(Call(2, "cancel", msgspec.Raw(encode({"id": 1}))))
        raw.socket.sendall(encode_frame(call) + encode_frame(cancel))
        answer = raw.answer()
    assert answer.id == 1
    assert msgspec.msgpack.decode(answer.body, type=ErrorBody).code == "cancelled"


def test_calls_are_answered_out_of_order_and_cancel_ends_one(daemon: Daemon, jobs) -> None:
    job = jobs.run("sleep 300")
    with Raw(daemon.paths.socket) as raw:
        raw.call(1, Wait(jobs=[job.job_id]))
        raw.call(2, Ping())
        assert raw.answer().id == 2
        raw.send(encode(Call(3, "cancel", msgspec.Raw(encode({"id": 1})))))
        answer = raw.answer()
        assert (answer.id, msgspec.msgpack.decode(answer.body, type=ErrorBody).code) == (1, ErrorCode.CANCELLED)
    assert jobs.client.call(Status(jobs=[job.job_id])).jobs[0].status == "running"


def test_a_half_closed_client_counts_as_gone_and_its_calls_end(daemon: Daemon, jobs) -> None:
    job = jobs.run("sleep 300")
    with Raw(daemon.paths.socket) as raw:
        raw.call(1, Wait(jobs=[job.job_id]))
        raw.socket.shutdown(socket.SHUT_WR)
        assert raw.hung_up()
    assert jobs.client.call(DaemonStatus()).clients == 1


def test_two_calls_with_one_id_are_an_error_of_the_second(daemon: Daemon, jobs) -> None:
    job = jobs.run("sleep 300")
    with Raw(daemon.paths.socket) as raw:
        raw.call(1, Wait(jobs=[job.job_id]))
        raw.call(1, Ping())
        assert error_of(raw).code == ErrorCode.INVALID_ARGUMENT


def test_a_second_daemon_refuses_to_start_and_names_the_first(daemon: Daemon) -> None:
    import subprocess

    from tests.helpers.daemon import BGJOBD

    second = subprocess.run([BGJOBD], env=daemon.env, capture_output=True, text=True, timeout=30, check=False)
    assert second.returncode == 69
    assert str(daemon.pid) in second.stderr


@pytest.mark.shared(False)
def test_a_stale_socket_is_replaced(daemon: Daemon, client) -> None:
    daemon.kill()
    assert os.path.exists(daemon.paths.socket)
    daemon.start()
    with Raw(daemon.paths.socket) as raw:
        raw.call(1, Ping())
        assert raw.answer().id == 1

"""The control socket: input, watching, several peers, and peers that misbehave."""

import os
import socket
import struct

import pytest

from bgjobd.runner import control
from tests.helpers.waiting import wait_until
from tests.runner.harness import Zygote, first

# Reads nothing until SIGUSR1, then everything, and says how much that was.
READS_WHEN_TOLD = "trap 'wc -c; exit' USR1; echo ready; while :; do sleep 60 & wait; done"


def test_hello_says_what_the_job_is_doing(any_zygote: Zygote) -> None:
    job = any_zygote.submit("echo hi; read x").wait_started()
    job.wait_output("hi\n")
    with job.control() as peer:
        answer = peer.call(control.HELLO, version=1)
    expected = {"version": "1", "job_id": job.id, "state": "running", "out_end": "3", "blocked": "", "stdin_open": "1"}
    assert answer == expected


def test_the_socket_is_private_and_goes_with_the_runner(zygote: Zygote) -> None:
    job = zygote.submit("read x").wait_started()
    assert os.stat(job.spec.control).st_mode & 0o777 == 0o600
    with job.control() as peer:
        peer.write(b"\n")
    job.wait_ended()
    job.wait_runner_gone()
    assert not os.path.exists(job.spec.control)


def test_input_arrives_in_order_and_close_ends_it(any_zygote: Zygote) -> None:
    job = any_zygote.submit("cat; echo end; exec sleep 60").wait_started()
    with job.control() as peer:
        asked = [peer.ask(control.INPUT, b"%06d\n" % n) for n in range(2000)]
        closing = peer.ask(control.CLOSE_STDIN)
        assert all(first(peer.answer(number)) == {"accepted": "7"} for number in asked)
        assert peer.answer(closing) == {}
        assert peer.status()["stdin_open"] == "0"
        assert peer.write(b"more") == {"error": "closed", "accepted": "0"}
        job.wait_output("end\n")
        peer.kill(signal=9)
    assert job.text() == "".join(f"{n:06}\n" for n in range(2000)) + "end\n"


def test_input_waits_for_the_job_to_read_and_can_be_taken_back(zygote: Zygote) -> None:
    job = zygote.submit(READS_WHEN_TOLD).wait_started()
    job.wait_output("ready")
    with job.control() as peer:
        waiting = peer.ask(control.INPUT, b"x" * 500_000)
        later = peer.ask(control.INPUT, b"y" * 1000)
        assert peer.status()["stdin_open"] == "1"
        assert not peer.has_answer()
        assert first(peer.answer(peer.ask(control.CANCEL_INPUT, target=later))) == {}
        assert first(peer.answer(later)) == {"accepted": "0"}
        peer.ask(control.CANCEL_INPUT, target=waiting)
        accepted = int(first(peer.answer(waiting))["accepted"])
        assert 0 < accepted < 500_000
        closing = peer.ask(control.CLOSE_STDIN)
        peer.call(control.SIGNAL, signal=10)
        peer.answer(closing)
    job.wait_ended()
    assert job.text() == f"ready\n{accepted}\n"


def test_a_job_that_closed_its_input_refuses_more(zygote: Zygote) -> None:
    job = zygote.submit("exec <&-; echo ready; exec sleep 60").wait_started()
    job.wait_output("ready")
    with job.control() as peer:
        wait_until(lambda: peer.status()["stdin_open"] == "0", "the runner has seen the input close")
        assert peer.write(b"x") == {"error": "closed", "accepted": "0"}
        peer.kill(signal=9)


def test_too_much_queued_input_is_refused_and_not_remembered(zygote: Zygote) -> None:
    job = zygote.submit("exec sleep 60").wait_started()
    with job.control() as peer:
        asked = [peer.ask(control.INPUT, bytes(1 << 20)) for _ in range(5)]
        assert first(peer.answer(asked[4])) == {"error": "full", "accepted": "0"}
        peer.kill(signal=9)


def test_an_input_file_leaves_nothing_to_write_to(zygote: Zygote) -> None:
    job = zygote.submit("read x; exec sleep 60", stdin_file=b"/dev/zero").wait_started()
    with job.control() as peer:
        assert peer.status()["stdin_open"] == "0"
        assert peer.write(b"x") == {"error": "closed", "accepted": "0"}
        peer.kill(signal=9)


def test_a_watch_is_answered_when_there_is_output(any_zygote: Zygote) -> None:
    job = any_zygote.submit("read x; echo hello; read x").wait_started()
    with job.control() as peer, job.control() as other:
        watches = [(peer, peer.ask(control.WATCH, offset=0)), (other, other.ask(control.WATCH, offset=0))]
        peer.status()
        assert not peer.has_answer()
        peer.write(b"\n")
        for connection, number in watches:
            assert first(connection.answer(number)) == {"out_end": "6", "state": "running", "blocked": ""}
        assert peer.call(control.WATCH, offset=0)["out_end"] == "6"
        peer.kill(signal=9)


def test_a_watch_is_answered_when_the_job_ends(zygote: Zygote) -> None:
    job = zygote.submit("read x").wait_started()
    with job.control() as peer:
        watch = peer.ask(control.WATCH, offset=0)
        peer.ask(control.INPUT, b"\n")
        answer = first(peer.answer(watch))
        assert answer["state"] in ("draining", "ended")
    job.wait_ended()


def test_a_watch_with_an_old_picture_of_the_state_is_answered_at_once(zygote: Zygote) -> None:
    job = zygote.submit("read x").wait_started()
    with job.control() as peer:
        assert peer.call(control.WATCH, offset=0, state="draining")["state"] == "running"
        assert peer.call(control.WATCH, offset=0, blocked="disk full")["blocked"] == ""
        peer.kill(signal=9)


@pytest.mark.parametrize(
    "nonsense",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        struct.pack("<IBI", 1, 1, 1),
        struct.pack("<IBI", 0xFFFFFFFF, 1, 1),
    ],
)
def test_a_peer_that_sends_nonsense_is_dropped_and_hurts_nobody(zygote: Zygote, nonsense: bytes) -> None:
    job = zygote.submit("cat").wait_started()
    with job.control() as good, job.control() as bad:
        bad.socket.sendall(nonsense)
        bad.socket.settimeout(30)
        assert _is_hung_up(bad.socket)
        assert good.write(b"fine\n") == {"accepted": "5"}
        job.wait_output("fine\n")
        good.kill(signal=9)


def test_unknown_requests_and_damaged_fields_are_answered_with_an_error(zygote: Zygote) -> None:
    job = zygote.submit("cat").wait_started()
    with job.control() as peer:
        assert peer.call(99) == {"error": "unsupported"}
        assert "error" in peer.call(control.KILL, b"damaged")
        assert "error" in peer.call(control.WATCH, offset="many")
        assert peer.status()["state"] == "running"
        peer.kill(signal=9)


def test_a_peer_that_does_not_read_is_dropped(zygote: Zygote) -> None:
    job = zygote.submit("cat").wait_started()
    with job.control() as peer, job.control() as deaf:
        deaf.socket.settimeout(30)
        deaf.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 16)
        request = control.frame(control.STATUS, 1) * 4096
        with pytest.raises((BrokenPipeError, ConnectionResetError)):
            _send_for_ever(deaf.socket, request)
        assert peer.status()["state"] == "running"
        peer.kill(signal=9)


def test_a_peer_that_goes_away_takes_only_its_own_input_along(zygote: Zygote) -> None:
    job = zygote.submit(READS_WHEN_TOLD).wait_started()
    job.wait_output("ready")
    with job.control() as peer:
        with job.control() as gone:
            gone.ask(control.INPUT, b"x" * 800_000)
            gone.status()
        peer.status()  # by now the runner has seen that it is gone
        closing = peer.ask(control.CLOSE_STDIN)
        peer.call(control.SIGNAL, signal=10)
        peer.answer(closing)
    job.wait_ended()
    assert 0 < int(job.text().split()[1]) <= 65536


def test_too_many_peers_are_turned_away_and_the_others_stay(zygote: Zygote) -> None:
    job = zygote.submit("cat").wait_started()
    with job.control() as peer:
        peer.status()
        crowd = []
        try:
            for _ in range(70):
                crowd.append(socket.socket(socket.AF_UNIX))
                crowd[-1].settimeout(30)
                crowd[-1].connect(job.spec.control)
            assert crowd[-1].recv(1) == b""
        finally:
            for one in crowd:
                one.close()
        assert peer.status()["state"] == "running"
        peer.kill(signal=9)


def _is_hung_up(peer: socket.socket) -> bool:
    try:
        return peer.recv(1) == b""
    except ConnectionResetError:
        return True


def _send_for_ever(peer: socket.socket, data: bytes) -> None:
    while True:
        peer.sendall(data)

"""Packets reach exactly one of those who wait for them, whole, on both kinds of sockets."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from bgjobd.runner.channel import Channel
from tests.helpers.waiting import wait_readable

RECEIVERS, PACKETS = 4, 2000


@pytest.fixture(params=["SOCK_SEQPACKET", "SOCK_STREAM"])
def ends(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Channel, Channel]]:
    """The sending end, and the one that forks receive on in turn."""
    sender, receiver = socket.socketpair(socket.AF_UNIX, getattr(socket, request.param))
    sending, receiving = Channel(sender.detach()), Channel(receiver.detach(), str(tmp_path / "turns"))
    yield sending, receiving
    sending.close()
    receiving.close()


def test_every_packet_reaches_one_of_many_whole(ends: tuple[Channel, Channel], tmp_path: Path) -> None:
    sending, receiving = ends
    with open(tmp_path / "report", "ab") as report:
        pids = [_fork_receiver(receiving, report.fileno(), sending) for _ in range(RECEIVERS)]
    expected = sorted(b"%d %s" % (number, b"x" * (number % 300)) for number in range(PACKETS))
    for text in expected:
        _send(sending, text)
    sending.close()
    assert [os.waitpid(pid, 0)[1] for pid in pids] == [0] * RECEIVERS
    received = [line.partition(b" ") for line in (tmp_path / "report").read_bytes().splitlines()]
    assert sorted(text for _, _, text in received) == expected


def test_the_turn_of_a_receiver_that_is_killed_goes_to_the_next_one(ends: tuple[Channel, Channel]) -> None:
    sending, receiving = ends
    report, reporting = os.pipe()
    pids = [_fork_receiver(receiving, reporting, sending) for _ in range(RECEIVERS)]
    for number in range(RECEIVERS):
        _send(sending, b"%d" % number)
        wait_readable(report, "a packet")
        pid, _, text = os.read(report, 100).strip().partition(b" ")
        assert text == b"%d" % number
        os.kill(int(pid), 9)
        assert os.waitpid(int(pid), 0)[1] == 9
        pids.remove(int(pid))
    assert not pids
    for fd in (report, reporting):
        os.close(fd)


def test_closing_it_closes_all_its_descriptors(tmp_path: Path) -> None:
    before = sorted(os.listdir("/dev/fd"))
    sender, receiver = socket.socketpair()
    Channel(receiver.detach(), str(tmp_path / "turns")).close()
    sender.close()
    assert sorted(os.listdir("/dev/fd")) == before
    assert os.listdir(tmp_path) == []


def _send(channel: Channel, text: bytes) -> None:
    """Send, however full the channel is: a hint would be dropped."""
    with socket.socket(fileno=os.dup(channel.fileno())) as end:
        packet = b"spawn " + text
        if end.type == socket.SOCK_STREAM:
            packet = len(packet).to_bytes(4, "little") + packet
        end.sendall(packet)


def _fork_receiver(receiving: Channel, reporting: int, sending: Channel) -> int:
    """Fork a process that reports what it receives, a line for each packet, until there will be no more."""
    pid = os.fork()
    if pid == 0:
        sending.close()
        try:
            while (packet := receiving.receive()) is not None:
                os.write(reporting, b"%d %s\n" % (os.getpid(), packet.removeprefix(b"spawn ")))
        finally:
            os._exit(0 if packet is None else 1)
    return pid

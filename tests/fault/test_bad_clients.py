"""Clients that do everything wrong, many of them, while others work: nobody else is harmed, nothing is left."""

import os
import random
import socket
import threading

import pytest

from bgjobd.protocol import DaemonStatus, Follow, Kill, Ping, Status
from tests.helpers.daemon import Daemon
from tests.helpers.raw import Raw
from tests.helpers.submit import Jobs
from tests.helpers.waiting import wait_until


@pytest.fixture
def jobs(client, env: dict[str, str]) -> Jobs:
    return Jobs(client, env)


def descriptors(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/fd"))


def threads(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/task"))


def memory_kib(pid: int) -> int:
    with open(f"/proc/{pid}/status") as file:
        return int(next(line for line in file if line.startswith("VmRSS")).split()[1])


def test_two_hundred_clients_at_once_are_all_answered_and_leave_nothing(daemon: Daemon, jobs: Jobs) -> None:
    jobs.client.call(Ping())
    before = descriptors(daemon.pid)
    connections = [Raw(daemon.paths.socket) for _ in range(200)]
    for number, raw in enumerate(connections):
        raw.call(number + 1, DaemonStatus())
    for number, raw in enumerate(connections):
        assert raw.answer().id == number + 1
    for raw in connections:
        raw.socket.close()
    wait_until(lambda: descriptors(daemon.pid) <= before, "the connections to be closed")


def test_random_bytes_from_many_clients_harm_nobody(daemon: Daemon, jobs: Jobs) -> None:
    chance = random.Random(1)
    for round_number in range(60):
        with Raw(daemon.paths.socket, hello=bool(round_number % 2)) as raw:
            raw.socket.sendall(chance.randbytes(chance.randrange(1, 4000)))
            if round_number % 3 == 0:
                raw.socket.shutdown(socket.SHUT_WR)
            if round_number % 5 == 0:
                raw.hung_up()
    assert jobs.finish("exit 3").exit_code == 3


def test_a_client_that_never_reads_its_follow_costs_bounded_memory_and_harms_no_other(
    daemon: Daemon, jobs: Jobs
) -> None:
    job = jobs.finish("head -c 40000000 /dev/zero")
    jobs.client.call(Ping())
    before = memory_kib(daemon.pid)
    stuck = [Raw(daemon.paths.socket) for _ in range(8)]
    for raw in stuck:
        raw.call(1, Follow(job=job.job_id))
    for _ in range(50):  # others are answered meanwhile
        jobs.client.call(Status(jobs=[job.job_id]))
    total = sum(len(item.run.data) for item in jobs.client.stream(Follow(job=job.job_id)))
    assert total == 40_000_000
    assert memory_kib(daemon.pid) - before < 8 * 6 * 1024  # a few reads each, not 40 MB each
    for raw in stuck:
        raw.socket.close()


def test_a_client_that_asks_and_never_reads_is_not_read_any_more(daemon: Daemon, jobs: Jobs) -> None:
    job = jobs.finish("head -c 4000000 /dev/zero")
    raw = Raw(daemon.paths.socket)
    raw.socket.setblocking(False)
    from bgjobd.protocol import Output

    sent = 0
    try:
        for number in range(1, 100_000):
            raw.call(number, Output(job=job.job_id, max_bytes=1 << 20))
            sent = number
    except (BlockingIOError, BrokenPipeError, ConnectionResetError):
        pass
    assert sent < 50_000  # the daemon stopped taking requests, or hung up
    jobs.client.call(Ping())
    assert memory_kib(daemon.pid) < 400 * 1024
    raw.socket.close()


@pytest.mark.slow
def test_descriptor_exhaustion_is_survived(env: dict[str, str], home: str) -> None:
    """More connections than the daemon may have descriptors: those it has go on, the rest wait or are refused."""
    import resource

    daemon = Daemon(env)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    daemon.start()
    resource.prlimit(daemon.pid, resource.RLIMIT_NOFILE, (64, hard))
    try:
        from bgjobd.client import connect

        with connect(daemon.paths, autostart=False) as client:
            jobs = Jobs(client, env)
            job = jobs.run("cat")
            crowd = []
            for _ in range(100):
                peer = socket.socket(socket.AF_UNIX)
                peer.connect(daemon.paths.socket)
                crowd.append(peer)
            crowd[-1].settimeout(30)
            assert b"limit_exceeded" in crowd[-1].recv(4096)
            assert client.call(Status(jobs=[job.job_id])).jobs[0].status == "running"
            for peer in crowd:
                peer.close()
            wait_until(lambda: descriptors(daemon.pid) < 40, "the crowd to be gone")
            assert jobs.finish("exit 3").exit_code == 3
            client.call(Kill(job=job.job_id))
        daemon.stop(kill_jobs=True)
    finally:
        daemon.close()
    assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == soft


def test_clients_that_die_in_the_middle_of_calls_leave_no_thread_and_no_task(daemon: Daemon, jobs: Jobs) -> None:
    job = jobs.run("cat", name="watched")
    jobs.client.call(Ping())
    from bgjobd.protocol import Condition, Events, Wait

    before = descriptors(daemon.pid)
    for _ in range(30):
        with Raw(daemon.paths.socket) as raw:
            raw.call(1, Follow(job=job.job_id))
            raw.call(2, Wait(jobs=[job.job_id], until=[Condition(pattern="never"), Condition(quiet_s=100.0)]))
            raw.call(3, Events())
            raw.call(4, Ping())
            raw.answer()
    wait_until(lambda: jobs.client.call(DaemonStatus()).clients == 1, "the clients to be gone")
    wait_until(lambda: descriptors(daemon.pid) <= before + 1, "descriptors to be closed")  # + the link to the runner
    assert threads(daemon.pid) < 45  # anyio's worker threads are bounded at 40, and shared


def test_one_client_killing_a_stubborn_job_does_not_slow_another(daemon: Daemon, jobs: Jobs, workdir: str) -> None:
    """The seed's fault: a kill that waits must not keep others waiting."""
    from bgjobd.client import connect
    from tests.helpers.waiting import wait_for_file

    job = jobs.run("trap 'echo > told' TERM; echo > ready; while :; do sleep 0.02; done", cwd=workdir)
    wait_for_file(f"{workdir}/ready")

    def kill() -> None:
        with connect(daemon.paths, autostart=False) as other:
            other.call(Kill(job=job.job_id, grace_s=3.0))

    thread = threading.Thread(target=kill)
    thread.start()
    wait_for_file(f"{workdir}/told")
    answered = 0
    while thread.is_alive() and answered < 200:
        jobs.client.call(Status(jobs=[job.job_id]))
        answered += 1
    assert answered == 200
    jobs.client.call(Kill(job=job.job_id, signal="KILL"))  # the second kill ends the first one's patience
    thread.join()

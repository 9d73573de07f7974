"""Somebody removes the directory of the sockets, as cleaners of /tmp do: everything can be reached again."""

import os
import shutil
import signal
import threading
from pathlib import Path

from bgjobd.client import connect
from bgjobd.paths import Paths
from bgjobd.protocol import Kill, Output, Send, Status
from tests.helpers.instance import daemon_pid, log_bytes, run_record
from tests.helpers.submit import Jobs
from tests.helpers.waiting import wait_until


def test_a_daemon_whose_socket_was_removed_is_found_again(again: Jobs, paths: Paths) -> None:
    job = again.run("read x; echo $x")
    pid = daemon_pid(paths)
    os.unlink(paths.socket)
    found: list[str] = []

    def ask() -> None:
        found.append(again.client.call(Status(jobs=[job.job_id])).jobs[0].status)

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == ["running"] * 3
    assert daemon_pid(paths) == pid


def test_a_client_that_is_connected_stays(again: Jobs, paths: Paths) -> None:
    job = again.run("read x")
    with connect(paths) as client:
        shutil.rmtree(paths.runtime_dir)
        again.client.call(Status(jobs=[job.job_id]))
        assert client.call(Status(jobs=[job.job_id])).jobs[0].status == "running"


def test_a_runner_whose_socket_was_removed_can_be_talked_to(again: Jobs, paths: Paths) -> None:
    jobs = [again.run("read x; echo got $x; read y") for _ in range(2)]
    again.client.call(Send(job=jobs[0].job_id, data=b"first\n"))  # one of the two is connected already
    runners = [run_record(paths, job.job_id).runner_pid for job in jobs]
    shutil.rmtree(paths.runtime_dir)
    again.client.call(Send(job=jobs[1].job_id, data=b"second\n"))
    wait_until(lambda: log_bytes(paths, jobs[1].job_id) == b"got second\n", "what was sent")
    assert [run_record(paths, job.job_id).runner_pid for job in jobs] == runners  # nobody was replaced
    for job in jobs:
        assert again.client.call(Kill(job=job.job_id)).receipt.survivors == []
    assert b"".join(run.data for run in again.client.call(Output(job=jobs[0].job_id)).runs) == b"got first\n"


def test_the_next_daemon_reaches_a_runner_whose_socket_was_removed(again: Jobs, paths: Paths) -> None:
    job = again.run("read x")
    pid = daemon_pid(paths)
    os.kill(pid, 9)
    shutil.rmtree(paths.runtime_dir)
    assert again.client.call(Kill(job=job.job_id)).receipt.survivors == []
    assert daemon_pid(paths) != pid


def test_a_daemon_that_cannot_listen_again_goes_on(again: Jobs, paths: Paths) -> None:
    job = again.run("read x")
    pid = daemon_pid(paths)
    with connect(paths) as client:
        shutil.rmtree(paths.runtime_dir)
        open(paths.runtime_dir, "w").close()  # a file is in the place of the directory
        os.kill(pid, signal.SIGCHLD)
        wait_until(lambda: "cannot listen again" in Path(paths.daemon_log).read_text(), "the daemon's try")
        assert client.call(Status(jobs=[job.job_id])).jobs[0].status == "running"
        os.unlink(paths.runtime_dir)
        again.client.call(Status(jobs=[job.job_id]))
    assert daemon_pid(paths) == pid

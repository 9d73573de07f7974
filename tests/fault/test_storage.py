"""A damaged, deleted or unwritable history, and damaged job directories: nothing is lost, nobody else is harmed."""

import os
import shutil

import pytest

from bgjobd.errors import BgjobError, ErrorCode
from bgjobd.paths import Paths, ensure_private_directory
from bgjobd.protocol import DaemonStatus, Events, JobInfo, ListJobs, Output, Shutdown, Status
from tests.helpers.instance import daemon_pid, kill_and_wait
from tests.helpers.submit import Jobs
from tests.helpers.waiting import wait_gone, wait_until


def stop(again: Jobs) -> None:
    pid = again.client.call(DaemonStatus()).pid
    again.client.call(Shutdown())
    wait_gone(pid)


def listed(again: Jobs) -> list[JobInfo]:
    jobs: list[JobInfo] = again.client.call(ListJobs()).jobs
    return jobs


def delete(paths: Paths) -> None:
    for suffix in ("", "-wal", "-shm"):
        if os.path.exists(paths.history_db + suffix):
            os.unlink(paths.history_db + suffix)


def scribble(paths: Paths) -> None:
    with open(paths.history_db, "r+b") as file:
        file.seek(100)
        file.write(os.urandom(8000))


def truncate(paths: Paths) -> None:
    os.truncate(paths.history_db, 10)


def replace_by_text(paths: Paths) -> None:
    delete(paths)
    with open(paths.history_db, "w") as file:
        file.write("this is no database, but it is long enough to be taken for one\n" * 100)


@pytest.mark.parametrize("damage", [delete, scribble, truncate, replace_by_text])
@pytest.mark.parametrize("politely", [True, False])
def test_a_lost_history_is_rebuilt_from_the_job_directories(again: Jobs, paths: Paths, damage, politely: bool) -> None:
    ended = [again.finish(f"echo {number}; exit {number}", name=f"job-{number}") for number in range(4)]
    again.client.call(ListJobs())
    if politely:
        stop(again)
    else:
        kill_and_wait(daemon_pid(paths))
    before = {
        job.job_id: (job.status, job.exit_code, job.name, job.started, job.ended, job.output_bytes) for job in ended
    }
    damage(paths)
    wait_until(lambda: len(listed(again)) == 4, "the history to be rebuilt")
    after = {
        job.job_id: (job.status, job.exit_code, job.name, job.started, job.ended, job.output_bytes)
        for job in listed(again)
    }
    assert after == before
    if politely and damage is not delete:  # after a crash the write-ahead log may hold all there was
        assert any("damaged" in warning for warning in again.client.call(DaemonStatus()).warnings)
    again.finish("true")
    assert len(listed(again)) == 5


def test_a_history_deleted_below_a_running_daemon_is_rebuilt_at_the_next_end(again: Jobs, paths: Paths) -> None:
    first = again.finish("echo one")
    delete(paths)
    second = again.finish("echo two")
    wait_until(
        lambda: {job.job_id for job in listed(again)} == {first.job_id, second.job_id}, "the history to be rebuilt"
    )


def test_event_numbers_grow_over_the_loss_of_the_history(again: Jobs, paths: Paths) -> None:
    from bgjobd.client import connect

    again.finish("true")
    stop(again)
    scribble(paths)
    again.finish("true")
    with connect(paths) as client:
        events = list(client.stream(Events(since=3, follow=False)))
    assert len(events) == 3
    assert events[0].seq > 3


@pytest.mark.parametrize("name", ["spec", "exit", "run"])
@pytest.mark.parametrize("content", [b"", b"bgjob-record 1 ", b"\0" * 5000])
def test_a_damaged_record_of_an_ended_job_harms_no_other_job(
    again: Jobs, paths: Paths, name: str, content: bytes
) -> None:
    bad, good = again.finish("echo bad"), again.finish("echo good")
    stop(again)
    with open(f"{paths.job_dir(bad.job_id)}/{name}", "wb") as file:
        file.write(content)
    delete(paths)
    wait_until(lambda: good.job_id in {job.job_id for job in listed(again)}, "the history to be rebuilt")
    assert again.client.call(Output(job=good.job_id)).runs[0].data == b"good\n"
    assert again.finish("true").exit_code == 0


def test_a_live_job_with_a_damaged_spec_is_reported_and_the_daemon_starts(again: Jobs, paths: Paths) -> None:
    bad, good = again.run("sleep 300"), again.run("read x; exit 3")
    kill_and_wait(daemon_pid(paths))
    spec = f"{paths.job_dir(bad.job_id)}/spec"
    shutil.copy(spec, spec + ".saved")
    with open(spec, "wb") as file:
        file.write(b"garbage")
    assert again.client.call(Status(jobs=[good.job_id])).jobs[0].status == "running"
    assert any(bad.job_id in warning for warning in again.client.call(DaemonStatus()).warnings)
    os.rename(spec + ".saved", spec)
    kill_and_wait(daemon_pid(paths))
    assert again.client.call(Status(jobs=[bad.job_id])).jobs[0].status == "running"


def test_a_live_mark_without_a_job_is_removed(again: Jobs, paths: Paths) -> None:
    again.finish("true")
    stop(again)
    mark = f"{paths.live_dir}/00000000-0000-4000-8000-000000000000"
    open(mark, "w").close()
    again.client.call(DaemonStatus())
    assert not os.path.exists(mark)


def test_a_runtime_directory_that_is_a_link_is_refused_with_the_reason(home: str) -> None:
    os.mkdir(f"{home}/real")
    os.symlink(f"{home}/real", f"{home}/link")
    with pytest.raises(BgjobError) as error:
        ensure_private_directory(f"{home}/link")
    assert error.value.code is ErrorCode.REFUSED
    assert "symbolic link" in error.value.message


@pytest.mark.root
def test_a_runtime_directory_of_somebody_else_is_refused_with_the_reason(home: str) -> None:
    os.mkdir(f"{home}/theirs")
    os.chown(f"{home}/theirs", 65534, 65534)
    with pytest.raises(BgjobError) as error:
        ensure_private_directory(f"{home}/theirs")
    assert error.value.code is ErrorCode.REFUSED
    assert "65534" in error.value.message


def test_a_state_directory_that_others_can_read_is_closed(home: str) -> None:
    os.mkdir(f"{home}/open", 0o755)
    ensure_private_directory(f"{home}/open")
    assert os.stat(f"{home}/open").st_mode & 0o777 == 0o700


@pytest.mark.root
def test_another_user_cannot_connect_even_if_the_socket_lets_him(again: Jobs, paths: Paths) -> None:
    """Permissions opened on purpose: the daemon still asks the kernel who it is."""
    import subprocess
    import sys

    again.client.call(DaemonStatus())
    for path in (paths.state_dir, paths.runtime_dir):
        os.chmod(path, 0o755)
    os.chmod(paths.socket, 0o666)
    code = (
        "import os, socket, sys; os.setgid(65534); os.setuid(65534); s = socket.socket(socket.AF_UNIX);"
        "s.connect(sys.argv[1]); data = b''\n"
        "while chunk := s.recv(4096): data += chunk\n"
        "sys.stdout.buffer.write(data)"
    )
    done = subprocess.run([sys.executable, "-c", code, paths.socket], capture_output=True, timeout=30, check=True)
    assert b"refused" in done.stdout
    assert b"65534" in done.stdout
    assert again.finish("true").exit_code == 0

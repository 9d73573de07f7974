"""Directories of jobs are ready before the jobs come, survive the daemon, and a job is there whole or not at all."""

import itertools
import os
import sys
from pathlib import Path

import pytest

from bgjobd.model.reference import is_job_id
from bgjobd.paths import Paths
from bgjobd.runner.records import Spec, read_record
from bgjobd.store.job_directories import JobDirectories


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    paths = Paths.from_environment({"BGJOB_HOME": str(tmp_path / "home")})
    paths.ensure()
    return paths


def create(directories: JobDirectories) -> str:
    job_id = directories.next_id()
    directories.create(Spec(job_id=job_id, command=b"true"))
    return job_id


@pytest.mark.parametrize("prepared", [True, False])
def test_a_job_is_on_the_disk_with_its_mark(paths: Paths, prepared: bool) -> None:
    directories = JobDirectories(paths)
    if prepared:
        directories.prepare()
    ids = [create(directories) for _ in range(10)]
    assert sorted(os.listdir(paths.live_dir)) == sorted(ids)
    for job_id in ids:
        assert read_record(Spec, f"{paths.job_dir(job_id)}/spec").job_id == job_id
        assert os.stat(paths.job_dir(job_id)).st_mode & 0o777 == 0o700


def test_what_is_prepared_is_used_first_and_prepared_again(paths: Paths) -> None:
    directories = JobDirectories(paths)
    directories.prepare()
    ready = set(os.listdir(paths.prepared_dir))
    assert directories.is_full
    assert {create(directories) for _ in ready} == ready
    assert os.listdir(paths.prepared_dir) == []
    directories.prepare()
    assert len(os.listdir(paths.prepared_dir)) == len(ready)


def test_the_next_daemon_goes_on_with_what_is_whole(paths: Paths) -> None:
    JobDirectories(paths).prepare()
    whole, half = sorted(os.listdir(paths.prepared_dir))[:2]
    os.unlink(f"{paths.prepared_dir}/{half}/lock")
    os.mkdir(f"{paths.prepared_dir}/not-a-job")
    successor = JobDirectories(paths)
    assert whole in os.listdir(paths.prepared_dir)
    assert all(is_job_id(name) and name != half for name in os.listdir(paths.prepared_dir))
    assert not successor.is_full


def test_a_disk_that_refuses_leaves_nothing_of_the_job(paths: Paths) -> None:
    directories = JobDirectories(paths)
    directories.prepare()
    job_id = directories.next_id()
    os.rmdir(paths.live_dir)
    with pytest.raises(FileNotFoundError):
        directories.create(Spec(job_id=job_id))
    assert not os.path.exists(paths.job_dir(job_id))
    assert job_id not in os.listdir(paths.prepared_dir)
    assert directories.next_id() != job_id


@pytest.mark.parametrize("prepared", [True, False])
def test_a_daemon_killed_while_it_creates_a_job_leaves_all_of_it_or_nothing(paths: Paths, prepared: bool) -> None:
    """A directory without a mark would be taken for a job that was lost, beside the one that is made when asked again.

    The process is ended before each of its system calls in turn, until it comes through.
    """
    for calls in itertools.count():
        directories = JobDirectories(paths)
        if prepared:
            directories.prepare()
        job_id = directories.next_id()
        killed = _create_until(calls, directories, job_id)
        is_there, is_marked = os.path.exists(paths.job_dir(job_id)), job_id in os.listdir(paths.live_dir)
        assert is_marked or not is_there, calls
        assert killed or is_there
        if is_there:
            assert read_record(Spec, f"{paths.job_dir(job_id)}/spec").command == b"true"
            break
    assert calls > 3


def _create_until(calls: int, directories: JobDirectories, job_id: str) -> bool:
    """Create a job in a process that ends after so many calls that change the disk; return whether it was killed."""
    pid = os.fork()
    if pid == 0:
        left = calls

        def audit(event: str, arguments: tuple[object, ...]) -> None:
            nonlocal left
            if event in ("open", "os.rename", "os.link", "os.mkdir"):
                if left == 0:
                    os._exit(9)
                left -= 1

        sys.addaudithook(audit)
        directories.create(Spec(job_id=job_id, command=b"true"))
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 9

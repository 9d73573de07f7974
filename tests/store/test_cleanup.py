"""Deleting the directories of ended jobs, also when we die in the middle."""

import os
import shutil

import pytest

from bgjobd.store.cleanup import remove_jobs, remove_leftovers
from tests.helpers.job_directory import job_id_of, make_job


@pytest.fixture
def jobs_dir(tmp_path):
    for number in range(3):
        make_job(str(tmp_path), number, output=b"x" * 100)
    return str(tmp_path)


def directories(jobs_dir):
    return sorted(name for prefix in os.listdir(jobs_dir) for name in os.listdir(os.path.join(jobs_dir, prefix)))


def test_directories_go_and_what_they_held_is_counted(jobs_dir):
    assert remove_jobs(jobs_dir, [job_id_of(0), job_id_of(2)]) == 200
    assert directories(jobs_dir) == [job_id_of(1)]


def test_a_job_that_is_gone_already_is_no_error(jobs_dir):
    assert remove_jobs(jobs_dir, [job_id_of(0), job_id_of(0), job_id_of(77)]) == 100


@pytest.mark.parametrize("wrong", ["", "..", "../../etc", job_id_of(0) + "/log", job_id_of(0).upper() + "/.."])
def test_what_is_no_job_id_is_never_made_a_path(jobs_dir, wrong):
    with pytest.raises(ValueError):
        remove_jobs(jobs_dir, [wrong])
    assert len(directories(jobs_dir)) == 3


def test_what_was_interrupted_is_finished_and_named(jobs_dir, monkeypatch):
    def die(path):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(shutil, "rmtree", die)
        with pytest.raises(KeyboardInterrupt):
            remove_jobs(jobs_dir, [job_id_of(1)])
    assert directories(jobs_dir) == [job_id_of(0), job_id_of(1) + ".removed", job_id_of(2)]
    assert remove_leftovers(jobs_dir) == [job_id_of(1)]
    assert directories(jobs_dir) == [job_id_of(0), job_id_of(2)]
    assert remove_leftovers(jobs_dir) == []

"""Exit statuses: every error has one, and a job's own is handed on."""

import pytest

from bgjob_cli.exit_status import BY_ERROR, of_job, signal_number
from bgjobd.errors import ErrorCode
from bgjobd.protocol import EndReason, JobInfo, JobStatus


def test_every_error_code_has_an_exit_status() -> None:
    assert set(BY_ERROR) == set(ErrorCode)
    assert all(0 < status < 256 for status in BY_ERROR.values())


def job(status: str, **known: object) -> JobInfo:
    return JobInfo(job_id="0" * 8, status=JobStatus(status), **known)  # type: ignore[arg-type]  # named by the tables


@pytest.mark.parametrize(
    ("info", "status"),
    [
        (job("completed", reason=EndReason.EXIT, exit_code=0), 0),
        (job("failed", reason=EndReason.EXIT, exit_code=7), 7),
        (job("failed", reason=EndReason.SIGNAL, signal="SIGSEGV"), 139),
        (job("killed", reason=EndReason.USER, signal="SIGTERM"), 143),
        (job("killed", reason=EndReason.USER, signal="SIGKILL"), 137),
        (job("killed", reason=EndReason.USER, exit_code=5), 5),
        (job("killed", reason=EndReason.USER, exit_code=0), 143),
        (job("killed", reason=EndReason.TIMEOUT, signal="SIGTERM"), 124),
        (job("killed", reason=EndReason.TIMEOUT, exit_code=0), 124),
        (job("killed", reason=EndReason.IDLE_TIMEOUT, signal="SIGKILL"), 124),
        (job("failed", reason=EndReason.SPAWN_FAILED, exit_code=127), 127),
        (job("failed", reason=EndReason.SPAWN_FAILED, exit_code=126), 126),
        (job("failed", reason=EndReason.OOM, signal="SIGKILL"), 137),
        (job("killed", reason=EndReason.CANCELLED), 125),
        (job("lost", reason=EndReason.REBOOT), 125),
        (job("lost", reason=EndReason.UNOBSERVED), 125),
        (job("failed", reason=EndReason.SIGNAL, signal="SIGRTMIN+3"), 128 + signal_number("SIGRTMIN") + 3),
    ],
)
def test_how_a_job_ended_becomes_an_exit_status(info: JobInfo, status: int) -> None:
    assert of_job(info) == status


@pytest.mark.parametrize("status", [each for each in JobStatus if each is not JobStatus.COMPLETED])
def test_only_a_completed_job_is_a_success(status: JobStatus) -> None:
    assert of_job(JobInfo(job_id="0" * 8, status=status, exit_code=0)) != 0

"""A reply fits one frame, whatever the commands of the jobs are."""

import msgspec

from bgjobd.model.fitting import fitting
from bgjobd.protocol import JobInfo, JobsReply, JobStatus
from bgjobd.wire import MAX_FRAME_BYTES, encode_frame

MIB = 1 << 20


def job(command_bytes: int) -> JobInfo:
    return JobInfo(job_id="3f2a9c1e", status=JobStatus.COMPLETED, command="x" * command_bytes)


def test_jobs_that_fit_are_all_there() -> None:
    jobs = [job(100)] * 10_000
    assert fitting(jobs) == jobs
    assert fitting([]) == []


def test_of_jobs_with_long_commands_the_first_ones_fit() -> None:
    jobs = [job(10)] + [job(MIB)] * 20
    fits = fitting(jobs)
    assert 10 < len(fits) < 20
    assert fits == jobs[: len(fits)]
    encode_frame(msgspec.msgpack.encode(JobsReply(jobs=fits)))


def test_one_job_is_there_in_any_case() -> None:
    assert len(fitting([job(MAX_FRAME_BYTES), job(1)])) == 1

"""Reads what the job directories say about jobs that are over: the truth that the history is an index of."""

import logging
import os
from collections.abc import Container, Iterator
from typing import NamedTuple, TypeVar

from bgjobd.model.reference import is_job_id
from bgjobd.protocol import EndReason, JobInfo
from bgjobd.runner.records import ExitRecord, RecordError, RunRecord, Spec, read_record
from bgjobd.store.job_view import job_info
from bgjobd.store.logs import log_facts

logger = logging.getLogger("bgjobd.history")

RecordT = TypeVar("RecordT", RunRecord, ExitRecord)


class JobRow(NamedTuple):
    """What is stored about one ended job."""

    info: JobInfo
    submitted_ns: int
    ended_ns: int
    idempotency_key: str = ""
    request_digest: str = ""


def ended_jobs(jobs_dir: str, skip: Container[str], before_ns: int) -> Iterator[JobRow]:
    """Yield every job that is over, one directory at a time.

    Args:
        jobs_dir: where the job directories are.
        skip: ids of jobs to leave out, as they are not over or known already.
        before_ns: unix time. A job that was submitted before it, has no exit record and is not skipped is over as well:
            nobody looks after it any more, so it is `lost`.
    """
    for job_dir in job_directories(jobs_dir):
        if os.path.basename(job_dir) not in skip:
            row = read_job(job_dir, before_ns)
            if row is not None:
                yield row


def read_job(job_dir: str, before_ns: int = 0) -> JobRow | None:
    """Return what a job's directory says about an ended job; None when it has not ended, or is damaged.

    Args:
        job_dir: of the job.
        before_ns: as in `ended_jobs`.
    """
    try:
        spec = read_record(Spec, f"{job_dir}/spec")
        run = _read_if_there(RunRecord, f"{job_dir}/run")  # not there: it could not be started
        end = _read_if_there(ExitRecord, f"{job_dir}/exit")
        if end is None:
            if spec.submitted_ns >= before_ns:
                return None
            end = ExitRecord(by="lost", reason=EndReason.UNOBSERVED.value, error="its exit record is missing")
            end.ended_ns = os.stat(job_dir).st_mtime_ns
        info = job_info(spec, run, end, log_facts(f"{job_dir}/log"))
    except FileNotFoundError:
        return None  # it was just removed
    except (OSError, RecordError) as error:
        logger.error("job directory damaged: path=%s reason=%s", job_dir, error)
        return None
    return JobRow(info, spec.submitted_ns, end.ended_ns, spec.idempotency_key, spec.request_digest)


def job_directories(jobs_dir: str) -> Iterator[str]:
    """Yield the directory of every job."""
    for prefix in sorted(_listed(jobs_dir)):
        for name in sorted(_listed(os.path.join(jobs_dir, prefix))):
            if is_job_id(name):
                yield os.path.join(jobs_dir, prefix, name)


def _listed(directory: str) -> list[str]:
    try:
        return os.listdir(directory)
    except (NotADirectoryError, FileNotFoundError):
        return []  # not ours, or just removed


def _read_if_there(kind: type[RecordT], path: str) -> RecordT | None:
    try:
        return read_record(kind, path)
    except FileNotFoundError:
        return None

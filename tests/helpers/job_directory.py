"""Job directories as daemon and runner write them, for tests of what reads them."""

import os

from bgjobd.runner.records import ExitRecord, RunRecord, Spec, write_record
from tests.helpers.log_writer import LogWriter

SECOND = 1_000_000_000
FIRST_SUBMITTED_NS = 1_790_000_000 * SECOND


def job_id_of(number):
    return f"{number:08x}-0000-4000-8000-{number:012x}"


def make_job(jobs_dir, number, *, output=b"hello\n", run=True, end=True, **spec):
    """Write the directory of an ended job; return its path.

    Args:
        jobs_dir: below it.
        number: sets the job's id and its times.
        output: what is in its log.
        run: whether there is a run record, or the values of one.
        end: whether there is an exit record, or the values of one.
        spec: values of its spec.
    """
    job_id = job_id_of(number)
    job_dir = os.path.join(jobs_dir, job_id[:2], job_id)
    submitted_ns = FIRST_SUBMITTED_NS + number * SECOND
    os.makedirs(job_dir)
    values = {"job_id": job_id, "command": b"true", "submitted_ns": submitted_ns}
    write_record(Spec(**(values | spec)), f"{job_dir}/spec")
    if run:
        values = {"job_pid": 100 + number, "started_ns": submitted_ns + SECOND // 2}
        write_record(RunRecord(**(values | (run if isinstance(run, dict) else {}))), f"{job_dir}/run")
    if end:
        values = {"status": 0, "ended_ns": submitted_ns + SECOND, "out_end": len(output)}
        write_record(ExitRecord(**(values | (end if isinstance(end, dict) else {}))), f"{job_dir}/exit")
    if output:
        LogWriter(f"{job_dir}/log").write(output)
    return job_dir

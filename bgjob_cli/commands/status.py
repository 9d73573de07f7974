"""`bgjob status`: everything known about one job or several."""

import argparse
import time

from bgjob_cli import exit_status
from bgjob_cli.arguments import add_jobs, add_json
from bgjob_cli.connection import Daemon
from bgjob_cli.job_report import job_report
from bgjob_cli.json_text import print_json
from bgjob_cli.last_line import last_line
from bgjob_cli.output import Output
from bgjobd.protocol import Status

DESCRIPTION = """\
Show everything known about a job: what it printed last and when, its processes, ports, cpu and memory, why it ended
and who ended it. With --json: one object for one JOB, an array for several."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `status`."""
    add_jobs(parser)
    add_json(parser)


def run(arguments: argparse.Namespace, output: Output) -> int:
    """Ask about the jobs and show what is known."""
    with Daemon() as daemon:
        jobs = daemon.call(Status(jobs=arguments.jobs, details=True)).jobs
        last_lines = [] if output.json else [last_line(daemon, job) for job in jobs]
    if output.json:
        print_json(jobs if len(arguments.jobs) > 1 else jobs[0], output)
        return exit_status.OK
    now = time.time()
    for number, (job, last) in enumerate(zip(jobs, last_lines, strict=True)):
        if number:
            output.line()
        for line in job_report(job, output.paint, now_unix_s=now, last_line=last, width=output.width):
            output.line(line)
    return exit_status.OK

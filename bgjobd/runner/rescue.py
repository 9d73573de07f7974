"""A fork of the zygote that goes on where a killed runner stopped: same pipes, same log, same socket, same records.

Between the death and this nothing was lost: the zygote kept the pipes open, bytes wait in them, and the job's processes
became the zygote's children, which reaps the exit code.
"""

import os
import time

from bgjobd.runner import system
from bgjobd.runner.channel import Channel
from bgjobd.runner.claim import Claim, claim_orphaned
from bgjobd.runner.foreign_tree import RESCUE_NAME, End, ForeignTree
from bgjobd.runner.hub import Hub
from bgjobd.runner.job import Job
from bgjobd.runner.logfile import LogWriter
from bgjobd.runner.orphans import NONE, UNKNOWN, age_ns
from bgjobd.runner.records import ExitRecord, Record, RecordError, RunRecord, read_record
from bgjobd.runner.spare import ENDED, close_others
from bgjobd.runner.start import Links, attach, identity
from bgjobd.runner.terminal import Terminal
from bgjobd.runner.tree import Usage

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TypeVar

    RecordT = TypeVar("RecordT", bound=Record)

NOTHING_RAN = 4  # exit status: the runner was killed before it started anything, so somebody is to start it


class Legacy:
    """What the zygote hands to a rescue runner.

    Args:
        directory: of the job.
        kept: the runner's ends of the pipes: stdin, stdout, stderr; or a terminal, and the pipe of its output. -1 for
            what is closed or could not be kept.
        reports: where the zygote's reports of ends come from.
        reaped: session leaders that the zygote has reaped so far.
        main: of the main process, if there is no run record: its pid, or NONE or UNKNOWN of `orphans`; when it started.
    """

    __slots__ = ("directory", "kept", "main_pid", "main_start", "reaped", "reports")

    def __init__(self, directory: str, kept: list[int], reports: int, reaped: list[End], main: tuple[int, int]) -> None:
        self.directory = directory
        self.kept = kept
        self.reports = reports
        self.reaped = reaped
        self.main_pid, self.main_start = main


def live(channel: Channel, hub: Hub, legacy: Legacy, highest_fd: int) -> int:
    """Be a rescue runner. Returns the exit status for this fork."""
    hub.leave_zygote_end()
    own = {*channel.descriptors(), hub.runner_end, legacy.reports, *(fd for fd in legacy.kept if fd >= 0)}
    close_others(own, highest_fd)
    system.set_name(RESCUE_NAME)
    links = Links(channel, hub)
    claim = claim_orphaned(legacy.directory)
    if claim is None:
        return ENDED  # the directory is gone: there is nothing to record
    record = _read(ExitRecord, claim.path("exit"))
    if record is not None and record.left == 0:
        _finish(claim, links)
        return ENDED
    run = _read(RunRecord, claim.path("run"))
    if run is None:
        if legacy.main_pid == NONE:
            return NOTHING_RAN
        run = identity()
        run.job_pid, run.job_start = legacy.main_pid, legacy.main_start
        ago_ns = age_ns(run.job_start)
        run.started_ns, run.started_monotonic_ns = time.time_ns() - ago_ns, time.monotonic_ns() - ago_ns
    _go_on(claim, links, legacy, run, record)
    return ENDED


def _go_on(claim: Claim, links: Links, legacy: Legacy, run: RunRecord, record: ExitRecord | None) -> None:
    """Supervise the job to its end."""
    run.rescue += 1
    me = identity()
    run.runner_pid, run.runner_start, run.zygote = me.runner_pid, me.runner_start, me.zygote
    spec = claim.spec
    tree = ForeignTree(run.job_pid, run.job_start, spec.job_id, claim.note_end, legacy.reports)
    ended_ns = _inherit_end(tree, claim, legacy, record)
    log = LogWriter()
    log.place(claim.path("log"), spec.max_output_bytes)
    job = Job(claim, run, tree, log, links)
    attach(job, _streams(legacy.kept, is_terminal=spec.pty))
    job.resume(record, ended_ns)
    job.run()


def _streams(kept: list[int], *, is_terminal: bool) -> "list[int] | Terminal":
    """Return what there is of the job's streams: a terminal that could not be kept is gone with the dead runner."""
    return Terminal.inherit(kept[0], kept[1]) if is_terminal and kept[0] >= 0 and kept[1] >= 0 else kept


def _inherit_end(tree: ForeignTree, claim: Claim, legacy: Legacy, record: ExitRecord | None) -> int | None:
    """Tell the tree what is known about the main process's end, and return when that was (unix time in ns)."""
    if record is not None:
        tree.main_ended(record.status, record.by, Usage(record.utime_us, record.stime_us, record.max_rss_kib))
        return record.ended_ns
    for end in legacy.reaped:
        tree.hear(end)
    if legacy.main_pid == UNKNOWN:
        tree.main_ended(None, "lost")
    noted = claim.noted_end()
    if noted is not None:
        tree.main_ended(noted[0], "runner")
        return noted[1]
    return None


def _finish(claim: Claim, links: Links) -> None:
    """The runner had recorded everything: tidy up behind it."""
    try:
        os.unlink(claim.spec.control)
    except OSError:
        pass  # it is only a name
    links.hint(b"ended", claim.spec.job_id)


def _read(kind: "type[RecordT]", path: str) -> "RecordT | None":
    try:
        return read_record(kind, path)
    except (OSError, RecordError):
        return None

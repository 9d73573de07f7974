"""Waiting for a job's output: one outstanding WATCH per job, however many followers there are.

Idle followers cost nothing: the runner answers a WATCH only when there is something to say.
"""

from bgjobd.daemon.job import ActiveJob
from bgjobd.daemon.runners import Fields, number, text
from bgjobd.daemon.supervisor import Supervisor
from bgjobd.errors import BgjobError
from bgjobd.protocol import EventType
from bgjobd.runner import control


class OutputWatch:
    """Tells followers when a log has grown."""

    def __init__(self, supervisor: Supervisor) -> None:
        self._supervisor = supervisor

    async def beyond(self, job: ActiveJob, offset: int, *, leftovers: bool = True) -> bool:
        """Wait until the job's output reaches beyond `offset`, or nothing more will come.

        Returns: whether there may be more. False: the job is over, and its log ends at or before `offset`.
        Descendants that were left behind still write; their output is waited for, too, with `leftovers`.
        """
        while job.out_end <= offset:
            if job.ended and not (leftovers and job.has_runner):
                return False
            changed = job.output_changed
            await self._arm(job)
            if job.out_end > offset:
                break
            await changed.wait()
        return True

    async def _arm(self, job: ActiveJob) -> None:
        """Make sure that the runner will tell us; returns at once when somebody else has asked already."""
        if job.watching or not job.has_runner:
            return
        job.watching = True
        try:
            link = await self._supervisor.link(job)
        except BgjobError:
            job.watching = False
            job.notify_output()
            return
        except BaseException:
            job.watching = False
            job.notify_output()  # cancelled: another follower has to ask
            raise
        payload = control.pack_fields(("offset", job.out_end), ("blocked", job.blocked))
        _, future = link.send(control.WATCH, payload)
        future.add_done_callback(lambda done: self._answered(job, None if done.exception() else done.result()))

    def _answered(self, job: ActiveJob, fields: Fields | None) -> None:
        job.watching = False
        if fields is not None:
            job.out_end = max(job.out_end, number(fields, "out_end"))
            self._set_blocked(job, text(fields, "blocked"))
        job.notify_output()

    def _set_blocked(self, job: ActiveJob, blocked: str) -> None:
        if blocked != job.blocked:
            job.blocked = blocked
            self._supervisor.publish(job, EventType.BLOCKED if blocked else EventType.UNBLOCKED, blocked)
            job.notify()

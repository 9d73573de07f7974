"""Carries out retention: forgets ended jobs by number, age and total size, and rebuilds the history when it was lost.

Runs on events only: after a job has ended and once at the start. There is no clock that ticks, so a job that grows too
old while nothing happens is removed at the next event. Jobs of which anything still runs are never touched.
"""

import logging
import time

import anyio
import anyio.to_thread

from bgjobd.daemon.recorder import Recorder
from bgjobd.daemon.supervisor import Supervisor
from bgjobd.errors import BgjobError
from bgjobd.model.fitting import fitting
from bgjobd.policy.retention import Ended, Limits
from bgjobd.protocol import JobInfo, RemoveReply
from bgjobd.store import cleanup

logger = logging.getLogger("bgjobd.retention")

MAX_NAMED = 1000  # jobs in a reply; the others are counted
_BATCH = 50  # jobs removed at a time: 0.5 ms each, with other requests in between


class Retention:
    """Forgets ended jobs. The history has those with leftovers that go on running, too: they are skipped."""

    def __init__(self, supervisor: Supervisor, recorder: Recorder) -> None:
        self._supervisor = supervisor
        self._recorder = recorder
        self._lock = anyio.Lock()

    async def run(self) -> None:
        """Apply the configured limits at the start and whenever jobs have ended; cancelled at shutdown."""
        settings = self._supervisor.settings
        limits = Limits(
            keep_jobs=settings.keep_ended_jobs,
            keep_for_s=settings.keep_ended_for_s,
            total_bytes=settings.total_output_bytes or None,
        )
        history = self._supervisor.history
        try:
            interrupted = await anyio.to_thread.run_sync(cleanup.remove_leftovers, self._supervisor.paths.jobs_dir)
            await anyio.to_thread.run_sync(history.remove, interrupted)
        except (BgjobError, OSError):
            logger.exception("cannot finish what was being removed")  # tried again at the next start
        while True:
            stored = self._recorder.stored
            try:
                if history.needs_rebuild:
                    await self.rebuild()
                await self._apply(limits)
            except (BgjobError, OSError):
                logger.exception("cannot apply retention")  # tried again when the next job ends
            await stored.wait()

    async def prune(self, older_than_s: float | None, keep: int | None, *, dry_run: bool) -> RemoveReply:
        """Forget what is beyond these limits; with `dry_run` only say what would be."""
        limits = Limits(keep_jobs=keep, keep_for_s=older_than_s, total_bytes=None)
        if not dry_run:
            return await self._forget_beyond(limits, named=MAX_NAMED)
        doomed, size = await self._beyond(limits)
        history = self._supervisor.history
        infos = await anyio.to_thread.run_sync(history.jobs, [job.job_id for job in doomed[:MAX_NAMED]])
        return RemoveReply(jobs=fitting(infos), total=len(doomed), freed_bytes=size)

    async def remove(self, job_ids: list[str]) -> int:
        """Forget ended jobs and delete their directories; return the bytes that were freed."""
        freed = 0
        for start in range(0, len(job_ids), _BATCH):
            freed += (await self._remove(job_ids[start : start + _BATCH]))[1]
        return freed

    async def _remove(self, batch: list[str]) -> tuple[list[JobInfo], int]:
        """Forget a few jobs; return those that there were, and the bytes that were freed."""
        history = self._supervisor.history
        async with self._lock:
            infos = await anyio.to_thread.run_sync(history.jobs, batch)
            # The directory first: an index entry without a job is a lie, a job without one is found again.
            freed = await anyio.to_thread.run_sync(cleanup.remove_jobs, self._supervisor.paths.jobs_dir, batch)
            await anyio.to_thread.run_sync(history.remove, batch)
            for info in infos:
                self._supervisor.publish_removed(info)
        return infos, freed

    async def rebuild(self) -> None:
        """Read every job's directory into a history that was lost; requests go on meanwhile."""
        started = time.monotonic()
        # The time first: a job that is submitted while we wait for a thread is neither active here nor lost.
        before_ns, active = time.time_ns(), set(self._supervisor.active)
        count = await anyio.to_thread.run_sync(
            self._supervisor.history.rebuild, self._supervisor.paths.jobs_dir, active, before_ns
        )
        logger.info("history rebuilt: jobs=%s seconds=%.1f", count, time.monotonic() - started)

    async def _apply(self, limits: Limits) -> None:
        removed = await self._forget_beyond(limits)
        if removed.total:
            logger.info("retention: removed=%s freed_bytes=%s", removed.total, removed.freed_bytes)

    async def _forget_beyond(self, limits: Limits, named: int = 0) -> RemoveReply:
        """Forget what the limits do not keep, a few jobs at a time: there may be 100,000. Name the first ones."""
        infos: list[JobInfo] = []
        total = freed = 0
        while batch := (await self._beyond(limits, _BATCH))[0]:
            gone, size = await self._remove([job.job_id for job in batch])
            infos += gone[: named - len(infos)] if len(infos) < named else []
            total += len(gone)
            freed += size
        return RemoveReply(jobs=fitting(infos), total=total, freed_bytes=freed)

    async def _beyond(self, limits: Limits, most: int | None = None) -> tuple[list[Ended], int]:
        """Return jobs that the limits do not keep, in a thread: their number is not bounded."""
        supervisor = self._supervisor
        return await anyio.to_thread.run_sync(
            supervisor.history.beyond, limits, time.time_ns(), frozenset(supervisor.active), most
        )

"""Finding out what became of jobs: those that an earlier daemon left, and those whose runner is gone.

The order of trust: an exit record; a held lock (a runner lives); a living zygote that will reap the job and go on with
a rescue runner; ourselves as the next subreaper; the kernel's last word about a pidfd (PIDFD_GET_INFO); nobody. Only
the last is `lost`.
"""

import logging
import os
import time

import anyio
import anyio.lowlevel

from bgjobd.daemon import liveness
from bgjobd.daemon.job import ActiveJob, Phase
from bgjobd.daemon.orphans import Orphans
from bgjobd.daemon.supervisor import Supervisor
from bgjobd.protocol import EndReason, EventType
from bgjobd.runner import system
from bgjobd.runner.confined import leaf_of
from bgjobd.runner.leaf import Leaf
from bgjobd.runner.logfile import log_end
from bgjobd.runner.records import ExitRecord, RecordError, RunRecord, Spec, read_record

logger = logging.getLogger("bgjobd.adoption")

# How long a living zygote may take to put a rescue runner in place before we stop believing in it. Measured: 3 ms; the
# margin is for a machine that swaps.
RESCUE_DEADLINE_S = 30.0
_WATCHED_AT_ONCE = 20


class Adoption:
    """Takes over jobs from earlier daemons, and settles what a dead runner leaves open."""

    def __init__(self, supervisor: Supervisor, orphans: Orphans) -> None:
        self._supervisor = supervisor
        self._orphans = orphans
        self.damaged: list[str] = []  # ids of live jobs whose spec cannot be read
        self._unwatched: list[ActiveJob] = []

    def adopt_all(self) -> list[ActiveJob]:
        """Take over everything in live/; return the jobs whose runner is gone, to be settled.

        Costs time in proportion to live jobs, not to the history.
        """
        unsettled = []
        jobs = self._live_jobs()
        self._supervisor.recall_published(jobs)
        self._supervisor.is_adopting = True
        for job in jobs:
            self._supervisor.add(job)
            try:
                is_settled = self._adopt(job)
            except Exception:  # one job must not keep the daemon from starting
                logger.exception("bug in the adoption of a job: job=%s", job.job_id)
                self.damaged.append(job.job_id)
                continue
            if is_settled:
                self._unwatched.append(job)
            else:
                job.settling = True
                unsettled.append(job)
        self._supervisor.is_adopting = False
        return unsettled

    async def watch_runners(self) -> None:
        """Watch the runners of the jobs that were taken over: a few at a time, as clients are served already.

        One that has gone meanwhile is noticed here.
        """
        jobs, self._unwatched = self._unwatched, []
        for number, job in enumerate(jobs):
            if number % _WATCHED_AT_ONCE == 0:
                await anyio.lowlevel.checkpoint()
            if job.has_runner and job.run is not None:
                self._supervisor.watch_runner(job, job.run)

    async def settle(self, job: ActiveJob) -> None:
        """Find out what happened to a job whose runner is gone, and wait until it is known."""
        try:
            if not await self._rescued_or_ended(job):
                await self._last_witness(job)
        finally:
            job.settling = False

    def _live_jobs(self) -> list[ActiveJob]:
        paths = self._supervisor.paths
        jobs = []
        for job_id in os.listdir(paths.live_dir):
            job_dir = paths.job_dir(job_id)
            try:
                spec = read_record(Spec, f"{job_dir}/spec")
            except FileNotFoundError:
                logger.warning("live mark without a job: job=%s", job_id)  # removed while we were killed
                os.unlink(f"{paths.live_dir}/{job_id}")
                continue
            except (OSError, RecordError) as error:
                logger.error("cannot adopt a job: job=%s reason=%s", job_id, error)
                self.damaged.append(job_id)
                continue
            spec.control = paths.runner_socket(job_id)
            jobs.append(ActiveJob(spec, job_dir))
        jobs.sort(key=lambda job: job.spec.submitted_ns)
        return jobs

    def _adopt(self, job: ActiveJob) -> bool:
        """Put one job into the phase that its records and its lock say; False when its runner is gone."""
        alive = liveness.is_locked(f"{job.job_dir}/lock")  # held by a runner for life
        self._supervisor.look(job)
        if job.phase >= Phase.OVER:
            return True
        if job.phase >= Phase.RUNNING:
            return alive  # when alive its runner is watched now; a runner that just went away is noticed by that
        if alive:
            job.phase = Phase.STARTING  # between its lock and its run record
            return False
        return True  # the intent was written and nothing ran: it is queued

    async def _rescued_or_ended(self, job: ActiveJob) -> bool:
        """Wait for an exit record or a runner; False when there is nobody left to bring one."""
        delay_s = 0.002
        with anyio.move_on_after(RESCUE_DEADLINE_S) as deadline:
            while True:
                self._supervisor.look(job)
                if job.phase >= Phase.OVER:
                    return True
                if liveness.is_locked(f"{job.job_dir}/lock"):  # a runner lives; on a full disk it cannot say who it is
                    deadline.deadline = anyio.current_time() + RESCUE_DEADLINE_S
                    if self._take_over_runner(job):
                        return True
                elif not self._zygote_lives(job):
                    self._supervisor.look(job)  # it may have written the record as its last act
                    return job.phase >= Phase.OVER
                with anyio.move_on_after(delay_s):  # nothing announces a rescue: a lock is taken, a record appears
                    await job.changed.wait()
                delay_s = min(delay_s * 2, 0.2)
        return False

    def _take_over_runner(self, job: ActiveJob) -> bool:
        """Watch the runner that holds the lock now; False when it has not said who it is yet."""
        try:
            run = read_record(RunRecord, f"{job.job_dir}/run")
        except (OSError, RecordError):
            return False
        if job.run is not None and (run.runner_pid, run.runner_start) == (job.run.runner_pid, job.run.runner_start):
            if not liveness.is_running(run.runner_pid, run.runner_start):
                return False  # still the record of the dead one
        elif job.run is not None:
            logger.warning("job rescued: job=%s runner=%s", job.job_id, run.runner_pid)
            self._supervisor.publish(job, EventType.RESCUED)
        self._supervisor.watch_runner(job, run)
        job.notify()
        return True

    def _zygote_lives(self, job: ActiveJob) -> bool:
        zygote = self._supervisor.zygote
        name = job.run.zygote if job.run is not None else ""
        if zygote is not None and name == f"zygote-{zygote.pid}":
            return True
        return bool(name) and liveness.is_locked(f"{self._supervisor.paths.state_dir}/{name}.lock")

    async def _last_witness(self, job: ActiveJob) -> None:
        """Nobody is left between us and the job: see its end ourselves where the system lets us."""
        run = job.run
        leaf = leaf_of(job.spec)
        now_ns = time.time_ns()
        record = job.exit or ExitRecord(started_ns=run.started_ns if run else 0)
        record.out_end = log_end(job.log_dir)
        if job.exit is not None:  # only its descendants were left, and their runner is gone
            record.left = 0
            _remove(leaf)
            self._supervisor.write_exit(job, record)
            return
        record.by = "lost"
        record.reason = EndReason.UNOBSERVED.value
        record.error = "its runner and zygote were killed, and nobody saw its end"
        if run is None:
            record.error = "its runner was killed before it could say that the command was started"
        elif run.boot_id != system.boot_id():
            record.reason = EndReason.REBOOT.value
            record.error = "the machine was restarted while it ran"
        else:
            seen = await self._orphans.wait_for_end(run, job.main_pidfd)
            now_ns = time.time_ns()
            record.out_end = log_end(job.log_dir)
            if seen is not None:
                record.status, record.by, record.error = seen.status, seen.by, ""
                record.utime_us, record.stime_us, record.max_rss_kib = seen.utime_us, seen.stime_us, seen.max_rss_kib
                record.reason = _reason(seen.status, leaf).value
        record.ended_ns = now_ns
        _remove(leaf)
        self._supervisor.write_exit(job, record)


def _reason(status: int, leaf: Leaf | None) -> EndReason:
    """Return what a wait status says, as its runner would have."""
    if leaf is not None and leaf.ran_out_of_memory(status):
        return EndReason.OOM
    return EndReason.SIGNAL if os.WIFSIGNALED(status) else EndReason.EXIT


def _remove(leaf: Leaf | None) -> None:
    """Tidy up behind a runner. A leaf that somebody is in stays."""
    if leaf is not None:
        leaf.close()

"""The one owner of job state: submits, queues, starts, sees ends, and keeps the history.

Everybody else asks it or waits on a job's `changed`. What it believes comes from the records on disk (see job.py); a
hint from a runner or a dead process only makes it look.
"""

import asyncio
import contextlib
import logging
import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import TypeVar

import anyio
import anyio.abc
import msgspec

from bgjobd.daemon import liveness
from bgjobd.daemon.config import Settings
from bgjobd.daemon.events import EventHub
from bgjobd.daemon.hooks import Hooks
from bgjobd.daemon.job import ActiveJob, Phase
from bgjobd.daemon.preparation import Preparation
from bgjobd.daemon.recorder import Recorder
from bgjobd.daemon.runners import ProcessWatch, RunnerLink, ZygoteLink
from bgjobd.daemon.submission import build_spec, digest
from bgjobd.errors import BgjobError, ErrorCode
from bgjobd.model.reference import ActiveJobs, resolve, short_id
from bgjobd.paths import Paths
from bgjobd.policy.admission import next_to_start
from bgjobd.protocol import ClientInfo, EndReason, Event, EventType, JobInfo, JobStatus, Restrictions, Submit
from bgjobd.runner.claim import claim_unstarted
from bgjobd.runner.records import ExitRecord, Record, RecordError, RunRecord, read_record, write_record
from bgjobd.store.history import History
from bgjobd.store.job_directories import JobDirectories
from bgjobd.store.job_view import job_info, rfc3339
from bgjobd.store.logs import LogReader

RecordT = TypeVar("RecordT", bound=Record)

logger = logging.getLogger("bgjobd.supervisor")

_TAKEN_PAUSE_S = 0.1  # by then a runner that has just taken a job has said so, and who only looked is gone
_STARTS_WITHIN_S = 1.0  # as far as it does not have to wait for the disk


class Supervisor:
    """All jobs of this user."""

    def __init__(
        self,
        paths: Paths,
        settings: Settings,
        history: History,
        events: EventHub,
        recorder: Recorder,
        hooks: Hooks,
        tasks: anyio.abc.TaskGroup,
        nofile_soft: int,
        directories: JobDirectories,
    ) -> None:
        self.paths = paths
        self.settings = settings
        self.history = history
        self.events = events
        self.active: dict[str, ActiveJob] = {}  # in the order they were submitted
        self.zygote: ZygoteLink | None = None  # set by the composition root before the first job
        self.settle: Callable[[ActiveJob], Coroutine[None, None, None]] | None = None  # see adoption.py
        self.stopping = False
        self.is_adopting = False  # many jobs at once: their runners are watched later
        self.cgroup: str | None = None  # below which runners make leaves for their jobs
        self._names: dict[str, str] = {}  # job id → name, of `active`
        self._recorder = recorder
        self._hooks = hooks
        self._tasks = tasks
        self._nofile_soft = nofile_soft
        self._directories = directories
        self.preparation = Preparation(directories)

    # --- finding ----------------------------------------------------------------------------------------------------

    def find(self, reference: str) -> ActiveJob | JobInfo:
        """Return the job that a reference means: an active one, or what the history knows of an ended one.

        Raises:
            BgjobError: NO_SUCH_JOB, AMBIGUOUS_JOB, INVALID_ARGUMENT.
        """
        job_id = resolve(reference, [ActiveJobs(self._names), self.history])
        job = self.active.get(job_id)
        if job is not None:
            return job
        info = self.history.get(job_id)
        if info is None:  # removed between two looks
            raise BgjobError(ErrorCode.NO_SUCH_JOB, f"cannot find a job {reference!r}: it was just removed")
        return info

    def status(self, job: ActiveJob) -> JobStatus:
        """Return the status of an active job, without looking at anything else."""
        if job.final is not None:
            return job.final.status
        return JobStatus.QUEUED if job.phase is Phase.QUEUED else JobStatus.RUNNING

    def infos(self, jobs: Sequence[ActiveJob]) -> list[JobInfo]:
        """Return what is known about active jobs now."""
        positions: dict[str, int] = {}
        if any(job.phase is Phase.QUEUED for job in jobs):
            positions = {job.job_id: position for position, job in enumerate(self._queue(), 1)}
        return [self._info(job, positions) for job in jobs]

    def info(self, job: ActiveJob) -> JobInfo:
        """Return what is known about an active job now."""
        return self.infos([job])[0]

    def _info(self, job: ActiveJob, positions: Mapping[str, int]) -> JobInfo:
        if job.final is not None:
            return job.final
        info = job_info(job.spec, job.run, None, LogReader(job.log_dir).facts(), now_ns=time.time_ns())
        if job.phase is Phase.STARTING:
            return _replace(info, status=JobStatus.RUNNING)
        if job.phase is Phase.QUEUED:
            return _replace(info, queue_position=positions[job.job_id])
        return _replace(info, blocked=job.blocked)

    # --- submitting and starting ------------------------------------------------------------------------------------

    def submit(
        self, request: Submit, client: ClientInfo, restrictions: Restrictions
    ) -> tuple[ActiveJob | JobInfo, bool]:
        """Put a job on the disk, and ask for a runner or queue it.

        Returns: the job, and whether it is an earlier one that the idempotency key named.

        Raises:
            BgjobError: INVALID_ARGUMENT, REFUSED, NAME_IN_USE, IDEMPOTENCY_CONFLICT, STORAGE, SHUTTING_DOWN.
        """
        if self.stopping:
            raise BgjobError(ErrorCode.SHUTTING_DOWN, "cannot start a job: the daemon is stopping", "Ask again.")
        if request.idempotency_key:
            known = self._replay(request)
            if known is not None:
                return known, True
        job_id = self._directories.next_id()
        spec = build_spec(job_id, request, client, restrictions, self.settings, self.paths, self._nofile_soft)
        spec.cgroup = self.cgroup
        self._check_name_free(spec.name)
        job = ActiveJob(spec, self.paths.job_dir(spec.job_id))
        self._write_intent(job)
        self.add(job)
        self.start_queued()  # first, as somebody waits for it; nothing else happens to the job meanwhile
        self._publish(job, EventType.QUEUED, status=JobStatus.QUEUED)
        return job, False

    async def until_started(self, job: ActiveJob) -> None:
        """Wait until a job is started or has failed to start. One in the queue is not waited for."""
        while not await self.is_started_soon(job):
            continue

    async def is_started_soon(self, job: ActiveJob) -> bool:
        """Wait as `until_started`, for a second; return whether that was enough.

        On a full disk a runner cannot write down that it has started the job; that it has the job's lock and can be
        talked to must do then.
        """
        with anyio.move_on_after(_STARTS_WITHIN_S):
            while job.phase is Phase.STARTING:
                await job.changed.wait()
        return job.phase is not Phase.STARTING or _is_held(job)

    def take_back(self, job: ActiveJob, record: ExitRecord) -> bool:
        """End a job that no runner has begun with; False when one has or may have, or the disk refuses."""
        claim = claim_unstarted(job.job_dir)
        if claim is None:
            return False
        try:
            write_record(record, f"{job.job_dir}/exit", fsync=job.spec.fsync)
        except OSError:
            return False
        finally:
            claim.release()  # once the record is there: it keeps off whoever finds the request later
        self._ended(job, record)
        return True

    def add(self, job: ActiveJob) -> None:
        """Take a job into memory."""
        self.active[job.job_id] = job
        self._names[job.job_id] = job.spec.name

    def start_queued(self) -> None:
        """Start as many queued jobs as there are free slots."""
        while self.zygote is not None and not self.stopping:
            queue = self._queue()
            if not queue:
                return
            running = Counter(
                job.client_key for job in self.active.values() if job.phase in (Phase.STARTING, Phase.RUNNING)
            )
            position = next_to_start(
                [(job.client_key, job.client_max_jobs) for job in queue], running, self.settings.max_jobs
            )
            if position is None:
                return
            job = queue[position]
            job.phase = Phase.STARTING
            self.zygote.spawn(job.job_dir)
            job.notify()

    def go_on(self) -> None:
        """Take up work again after a stop that did not come about, and what was left to the next daemon meanwhile."""
        self.stopping = False
        self.start_queued()
        for job in list(self.active.values()):
            if job.has_runner and job.runner_watch is None and liveness.has_pidfds():
                self._runner_gone(job)

    def ask_again(self) -> None:
        """Requests may have been lost: ask for every runner that has not said anything. The job's lock decides ties."""
        for job in self.active.values():
            if job.phase is Phase.STARTING and self.zygote is not None:
                self.zygote.spawn(job.job_dir)

    def zygote_replaced(self) -> None:
        """The zygote died, and with it what it had to tell, and requests: look at every job, and ask again."""
        for job in list(self.active.values()):
            self.look(job)
        self.ask_again()

    def cannot_start(self) -> None:
        """No zygote stays alive: answer those who wait for a start, rather than let them wait for ever."""
        for job in [job for job in self.active.values() if job.phase is Phase.STARTING]:
            if liveness.is_locked(f"{job.job_dir}/lock"):
                continue  # a runner has it, and will say so
            self._write_failure(
                job, "cannot start a runner: the zygote ends as soon as it is started (see `bgjob daemon logs`)"
            )

    def _write_failure(self, job: ActiveJob, error: str) -> None:
        """Say in a job's exit record why nothing of it ran."""
        record = ExitRecord(
            by="daemon", reason=EndReason.SPAWN_FAILED.value, exit_code=126, error=error, ended_ns=time.time_ns()
        )
        self.write_exit(job, record)

    def _queue(self) -> list[ActiveJob]:
        return [job for job in self.active.values() if job.phase is Phase.QUEUED]

    def _replay(self, request: Submit) -> ActiveJob | JobInfo | None:
        """Return the job that an earlier request with this idempotency key made."""
        known = next(
            (
                (job.job_id, job.spec.request_digest)
                for job in self.active.values()
                if job.spec.idempotency_key == request.idempotency_key
            ),
            None,
        ) or self.history.idempotent(request.idempotency_key)
        if known is None:
            return None
        job_id, request_digest = known
        if request_digest != digest(request):
            raise BgjobError(
                ErrorCode.IDEMPOTENCY_CONFLICT,
                f"cannot use the idempotency key {request.idempotency_key!r}: another request has it (job {job_id})",
                "Use a new key for a new request.",
                {"job_id": job_id},
            )
        return self.find(job_id)

    def _check_name_free(self, name: str) -> None:
        for job in self.active.values():
            if name and job.spec.name == name and not job.ended:
                raise BgjobError(
                    ErrorCode.NAME_IN_USE,
                    f"cannot name a job {name!r}: job {short_id(job.job_id)} has this name and is not over",
                    f"Choose another name, or `bgjob kill {name}` first.",
                    {"job_id": job.job_id},
                )

    def _write_intent(self, job: ActiveJob) -> None:
        """Put the job on disk: from here on it exists, whoever dies."""
        try:
            self._directories.create(job.spec)
        except OSError as error:
            raise BgjobError(
                ErrorCode.STORAGE,
                f"cannot start a job: {error.strerror} ({self.paths.state_dir})",
                "Free some space (`bgjob prune`), or move BGJOB_HOME to another disk.",
            ) from error

    # --- what the records say ---------------------------------------------------------------------------------------

    def hint(self, kind: str, job_id: str) -> None:
        """A runner says that something happened: look.

        `check`: a spare died, with a request in its hands maybe. `taken`: a spare could not have a job.
        """
        if kind == "check":
            self.ask_again()
            return
        job = self.active.get(job_id)
        if job is None:
            return
        logger.debug("hint: kind=%s job=%s", kind, job_id)
        self.look(job)
        if kind == "taken" and job.phase is Phase.STARTING:
            asyncio.get_running_loop().call_later(_TAKEN_PAUSE_S, self._find_who_has, job)

    def _find_who_has(self, job: ActiveJob) -> None:
        """A spare could not have this job: somebody has it or had it who told an earlier daemon, or just looked."""
        self.look(job)
        if job.phase is not Phase.STARTING or job.settling or self.stopping:
            return
        if not os.path.exists(f"{job.job_dir}/spec"):
            self._write_failure(job, "cannot start the command: the job's directory was removed")
        elif liveness.is_locked(f"{job.job_dir}/lock") and self.settle is not None:
            job.settling = True
            self._tasks.start_soon(self.settle, job, name=f"settle {job.job_id}")
        elif self.zygote is not None:
            self.zygote.spawn(job.job_dir)

    def look(self, job: ActiveJob) -> None:
        """Read the job's records, and take over what is new in them."""
        record = _read(ExitRecord, f"{job.job_dir}/exit")  # first: once it is there, so is the run record
        run = _read(RunRecord, f"{job.job_dir}/run") if job.phase <= Phase.STARTING else None
        if run is not None:  # else: not yet, or it could not be started
            self._started(job, run, is_over=record is not None and not record.left)
        if record is not None:
            if job.settling or record.by != "runner":
                self._note_rescue(job)
            self._ended(job, record)

    def _note_rescue(self, job: ActiveJob) -> None:
        """Tell of a rescue that nobody saw while it was going on, because the job ended at once."""
        run = _read(RunRecord, f"{job.job_dir}/run")
        if run is not None and job.run is not None and run.rescue > job.run.rescue:
            job.run = run
            self.publish(job, EventType.RESCUED)

    def _started(self, job: ActiveJob, run: RunRecord, *, is_over: bool) -> None:
        job.phase = Phase.RUNNING
        job.run = run
        if not (is_over or self.is_adopting):
            self.watch_runner(job, run)
        if EventType.STARTED not in job.published:
            self._publish(job, EventType.STARTED, status=JobStatus.RUNNING)
        job.notify()
        self.preparation.ask()

    def watch_runner(self, job: ActiveJob, run: RunRecord) -> None:
        """Be told when the runner named in `run` is gone; at once if it already is."""
        if job.runner_watch is not None:
            job.runner_watch.close()
            job.runner_watch = None
        job.run = run
        if not liveness.has_pidfds():
            self._tasks.start_soon(self._hold_link, job, name=f"hold {job.job_id}")
            return
        pidfd = liveness.open_process(run.runner_pid, run.runner_start)
        if pidfd is None:
            asyncio.get_running_loop().call_soon(self._runner_gone, job)
            return
        job.runner_watch = ProcessWatch(pidfd, lambda: self._runner_gone(job))
        if job.main_pidfd < 0:  # the last witness, for when everybody else who could see the end is killed
            main = liveness.open_process(run.job_pid, run.job_start)
            job.main_pidfd = -1 if main is None else main

    async def _hold_link(self, job: ActiveJob) -> None:
        """Without pidfds: a connection to the runner that is held, and whose end says that the runner is gone."""
        try:
            link = await self.link(job)
        except BgjobError:
            return  # it is over already
        await link.gone.wait()
        self._runner_gone(job)

    def _runner_gone(self, job: ActiveJob) -> None:
        """The runner ended. Normally its exit record is there; else find out what happened."""
        job.runner_watch = None
        if job.link is not None:
            job.link.close()
            job.link = None
        self.look(job)
        if job.phase >= Phase.OVER:
            return
        if job.settling or self.settle is None or self.stopping:
            return  # at the end the next daemon finds out
        job.settling = True
        self._tasks.start_soon(self.settle, job, name=f"settle {job.job_id}")

    def write_exit(self, job: ActiveJob, record: ExitRecord) -> None:
        """Write an exit record for a job that has no runner, and take it over."""
        try:
            write_record(record, f"{job.job_dir}/exit", fsync=job.spec.fsync)
        except OSError:
            # The truth is in memory and goes to the history.
            logger.exception("cannot write an exit record: job=%s", job.job_id)
        with contextlib.suppress(OSError):  # a runner that was killed leaves its socket; without one there is none
            os.unlink(job.spec.control)
        self._ended(job, record)

    def _ended(self, job: ActiveJob, record: ExitRecord) -> None:
        """Take over an exit record: the first one, or a newer one about the descendants that were left."""
        if job.phase >= Phase.OVER:
            return
        first = job.exit is None
        job.exit = record
        facts = LogReader(job.log_dir).facts()
        job.final = job_info(job.spec, job.run, record, facts, boot_ns=liveness.boot_time_ns())
        job.phase = Phase.LEFT if record.left else Phase.OVER
        if first:
            logger.info(
                "job ended: job=%s status=%s reason=%s by=%s", job.job_id, job.final.status, record.reason, record.by
            )
            if EventType.ENDED not in job.published:  # an earlier daemon did both; leftovers kept the job active
                self._publish_end(job, job.final)
                self._hooks.ended(job.spec, job.final)
        elif job.phase >= Phase.OVER:
            self._publish(job, EventType.LEFT_GONE, status=job.final.status)
        job.out_end = record.out_end
        if job.phase >= Phase.OVER:
            self._recorder.put(job.spec, job.final, record.ended_ns, lambda: self._retire(job))
        else:
            self._recorder.put(job.spec, job.final, record.ended_ns, None)
        job.notify()
        self.start_queued()

    def _retire(self, job: ActiveJob) -> None:
        """The history has it: forget it here. Runs after the commit: at every instant one of the two knows it."""
        if job.runner_watch is not None:
            job.runner_watch.close()
            job.runner_watch = None
        if job.link is not None:
            job.link.close()
            job.link = None
        if job.main_pidfd >= 0:
            os.close(job.main_pidfd)
            job.main_pidfd = -1
        self.active.pop(job.job_id, None)
        self._names.pop(job.job_id, None)
        try:
            os.unlink(f"{self.paths.live_dir}/{job.job_id}")
        except FileNotFoundError:
            pass  # removed with the job
        except OSError:
            logger.exception("cannot remove a live mark: job=%s", job.job_id)  # the next daemon indexes it once more

    def _publish_end(self, job: ActiveJob, info: JobInfo) -> None:
        self._publish(
            job, EventType.ENDED, status=info.status, reason=info.reason, exit_code=info.exit_code, signal=info.signal,
            detail=info.error,
        )  # fmt: skip

    def _publish(self, job: ActiveJob, type: EventType, **facts: object) -> None:
        time_text = rfc3339(time.time_ns()) or ""
        self.events.publish(
            lambda seq: Event(
                seq=seq, time=time_text, type=type, job_id=job.job_id, name=job.spec.name, **facts,  # type: ignore[arg-type]  # the fields of Event
            )
        )  # fmt: skip

    def publish(self, job: ActiveJob, type: EventType, detail: str = "") -> None:
        """Tell subscribers what happened to a job."""
        self._publish(job, type, status=self.info(job).status, detail=detail)

    def recall_published(self, jobs: list[ActiveJob]) -> None:
        """Note in jobs of an earlier daemon what that has told subscribers about them."""
        published = self.history.event_types([job.job_id for job in jobs])
        for job in jobs:
            job.published = published.get(job.job_id, set())

    def publish_removed(self, job: JobInfo) -> None:
        """Tell subscribers that an ended job was forgotten."""
        now = rfc3339(time.time_ns()) or ""
        self.events.publish(
            lambda seq: Event(seq=seq, time=now, type=EventType.REMOVED, job_id=job.job_id, name=job.name)
        )

    # --- talking to a runner ----------------------------------------------------------------------------------------

    async def link(self, job: ActiveJob) -> RunnerLink:
        """Return a connection to the job's runner, the same one for all who ask.

        A runner that was just killed is replaced by its zygote within milliseconds, so a refused connection is tried
        again while the job is not over.

        Raises:
            BgjobError: NOT_RUNNING when the job is over, or was never started.
        """
        if job.link_lock is None:
            job.link_lock = anyio.Lock()
        async with job.link_lock:
            delay_s = 0.005
            while True:
                await self.until_started(job)
                if not (job.has_runner or job.phase is Phase.STARTING):
                    status = self.info(job).status
                    raise BgjobError(
                        ErrorCode.NOT_RUNNING,
                        f"cannot reach job {short_id(job.job_id)}: it is {status}",
                        f"`bgjob status {short_id(job.job_id)}` says more.",
                        {"job_id": job.job_id, "status": status.value},
                    )
                if job.link is not None and not job.link.closed:
                    return job.link
                try:
                    job.link = await RunnerLink.connect(job.spec.control)
                    return job.link
                except OSError as error:
                    if isinstance(error, FileNotFoundError):
                        self._ask_to_listen(job)
                    with anyio.move_on_after(delay_s):
                        await job.changed.wait()
                    delay_s = min(delay_s * 2, 1.0)

    def _ask_to_listen(self, job: ActiveJob) -> None:
        """Have a runner make its socket again, whose name somebody has removed (`Job._child_ended` of the runner)."""
        with contextlib.suppress(BgjobError):  # then it cannot be made, and we go on trying
            self.paths.ensure()
        if job.runner_watch is not None:
            job.runner_watch.signal(signal.SIGCHLD)


def _is_held(job: ActiveJob) -> bool:
    """Return whether a runner has the job and listens."""
    return os.path.exists(job.spec.control) and liveness.is_locked(f"{job.job_dir}/lock")


def _read(kind: type[RecordT], path: str) -> RecordT | None:
    """Return a record, None when it is not there or cannot be read: then the job's other records have to do."""
    try:
        return read_record(kind, path)
    except FileNotFoundError:
        return None
    except (OSError, RecordError):
        logger.exception("cannot read a record: path=%s", path)
        return None


def _replace(info: JobInfo, **fields: object) -> JobInfo:
    """Return `info` with some fields changed."""
    return msgspec.structs.replace(info, **fields)

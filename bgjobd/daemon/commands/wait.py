"""wait: block until conditions hold for all jobs, or for any of them.

No polling, but for what the kernel has no event for: see `_port` and `_needs_input`.
"""

import anyio
import anyio.to_thread

from bgjobd.daemon.asking import Asking, look, look_at_each, with_asking
from bgjobd.daemon.commands.table import Services
from bgjobd.daemon.job import ActiveJob
from bgjobd.daemon.listener import Connection
from bgjobd.daemon.processes import listening_ports
from bgjobd.errors import BgjobError, ErrorCode
from bgjobd.model.patterns import Pattern
from bgjobd.plain import without_codes
from bgjobd.protocol import Condition, Fired, JobInfo, Wait, WaitReply
from bgjobd.store.logs import LogReader

MAX_JOBS = 1000
_LINE_BYTES = 64 << 10  # a longer line is matched in parts
_READ_BYTES = 256 << 10
_SHOWN_BYTES = 4 << 10
# The kernel has no event for "listens": we look after each output and with growing pauses, only while somebody waits.
_FIRST_LOOK_S, _LONGEST_PAUSE_S = 0.02, 0.5
# Nor has it one for "is about to read". A program that has just written its prompt reads well within this time.
_QUIET_BEFORE_ASKING_S = 0.2


async def wait(services: Services, connection: Connection, request: Wait) -> WaitReply:
    """Answer when the conditions hold, every job is over, or the time is up."""
    supervisor = services.supervisor
    check(request)
    jobs = [supervisor.find(reference) for reference in request.jobs]
    fired = {job.job_id: over for job in jobs if (over := _over_already(job, request)) is not None}
    enough = any if request.any else all
    asking: dict[str, Asking] = {}
    timeout_s = 0.0 if request.any and fired else request.timeout_s
    with anyio.move_on_after(timeout_s) as deadline:
        async with anyio.create_task_group() as everything:
            if request.needs_input:
                for job in jobs:
                    if isinstance(job, ActiveJob):
                        everything.start_soon(
                            _needs_input, services, job, request, fired, asking, everything.cancel_scope
                        )
            async with anyio.create_task_group() as tasks:
                for job in jobs:
                    if job.job_id in fired:
                        continue
                    cursor = request.since.get(job.job_id)
                    tasks.start_soon(
                        _one_job, services, job, request.until, cursor, fired, tasks.cancel_scope, request.any
                    )
            everything.cancel_scope.cancel()
    if request.needs_input:
        others = [job for job in jobs if isinstance(job, ActiveJob) and job.job_id not in asking]
        asking |= await look_at_each(supervisor, others)
    return WaitReply(
        fired=[fired[job.job_id] for job in jobs if job.job_id in fired],
        timed_out=deadline.cancelled_caught and not enough(job.job_id in fired for job in jobs),
        jobs=[_info(services, job, asking) for job in jobs],
    )


def _over_already(job: ActiveJob | JobInfo, request: Wait) -> Fired | None:
    """Return that a job's end has come, unless its output has to be looked through first."""
    if any(condition.pattern is not None for condition in request.until) and job.job_id in request.since:
        return None
    if isinstance(job, JobInfo):
        return Fired(job_id=job.job_id, condition="exit", cursor=job.output_bytes)
    return Fired(job_id=job.job_id, condition="exit", cursor=job.out_end) if job.ended else None


def _info(services: Services, job: ActiveJob | JobInfo, asking: dict[str, Asking]) -> JobInfo:
    info = services.supervisor.info(job) if isinstance(job, ActiveJob) else job
    return with_asking(info, asking[job.job_id]) if job.job_id in asking else info


async def _one_job(
    services: Services,
    job: ActiveJob | JobInfo,
    until: list[Condition],
    cursor: int | None,
    fired: dict[str, Fired],
    others: anyio.CancelScope,
    any_job: bool,
) -> None:
    """Wait until one of the conditions holds for one job; its end counts in any case."""
    if isinstance(job, JobInfo):
        fired[job.job_id] = await _after_the_end(services, job, until, cursor)
    else:
        if cursor is None:
            cursor = LogReader(job.log_dir).end()
        result: list[Fired] = []
        async with anyio.create_task_group() as tasks:

            async def race(condition: Condition | None) -> None:
                result.append(await _condition(services, job, condition, cursor))
                tasks.cancel_scope.cancel()

            for condition in [*until, None]:
                tasks.start_soon(race, condition)
        first = result[0]
        if first.condition == "exit":  # its last output may match, and nobody has looked at it yet
            first = await _after_the_end(services, services.supervisor.info(job), until, cursor)
        fired[job.job_id] = first
    if any_job:
        others.cancel()


async def _condition(services: Services, job: ActiveJob, condition: Condition | None, cursor: int) -> Fired:
    if condition is None or condition == Condition():
        while not job.ended:
            await job.changed.wait()
        return Fired(job_id=job.job_id, condition="exit", cursor=job.out_end)
    if condition.pattern is not None:
        return await _pattern(services, job, condition.pattern, cursor)
    if condition.port is not None:
        return await _port(services, job, condition.port)
    return await _quiet(services, job, condition.quiet_s or 0.0)


async def _pattern(services: Services, job: ActiveJob, pattern: str, cursor: int) -> Fired:
    """Wait for a line of new output that matches, also one that is not finished yet (a prompt)."""
    matcher = _LineMatcher(job.log_dir, pattern, cursor)
    while True:
        found = await anyio.to_thread.run_sync(matcher.read_on)
        if found is not None:
            return _matched(job.job_id, *found)
        if not matcher.is_at_end:
            continue
        job.out_end = max(job.out_end, matcher.position)
        if not await services.output.beyond(job, matcher.position):
            await anyio.sleep_forever()  # over without a match: the job's end fires


def _matched(job_id: str, cursor: int, line: bytes) -> Fired:
    return Fired(job_id=job_id, condition="pattern", cursor=cursor, line=line[:_SHOWN_BYTES])


class _LineMatcher:
    """Reads on from a cursor and matches lines that come in pieces, each as far as it is there."""

    def __init__(self, log_dir: str, pattern: str, cursor: int) -> None:
        self._reader = LogReader(log_dir)
        self._pattern = Pattern(pattern)
        self._line = b""
        self._start = cursor
        self.position = cursor
        self.is_at_end = False

    def read_on(self) -> tuple[int, bytes] | None:
        """Take the next output; return (cursor, line) of the first line that matches. Blocks: call in a thread."""
        part = self._reader.read(self.position, max_bytes=_READ_BYTES)
        self.position = part.cursor
        self.is_at_end = part.cursor >= part.end
        return next((found for run in part.runs if (found := self._feed(run.offset, run.data))), None)

    def _feed(self, offset: int, data: bytes) -> tuple[int, bytes] | None:
        if offset != self._start + len(self._line):  # after a gap
            self._line, self._start = b"", offset
        lines = (self._line + data).split(b"\n")
        for line in lines:
            text = line.rstrip(b"\r").decode("utf-8", "surrogateescape")
            if self._pattern.find(without_codes(text)):
                return self._start, line
            if line is not lines[-1]:
                self._start += len(line) + 1
        self._line = lines[-1]
        if len(self._line) > _LINE_BYTES:
            self._start += len(self._line) - _LINE_BYTES // 2
            self._line = self._line[-_LINE_BYTES // 2 :]
        return None


async def _port(services: Services, job: ActiveJob, port: int) -> Fired:
    """Wait until a process of the job listens on `port`."""
    pause_s = _FIRST_LOOK_S
    while True:
        if job.run is not None and job.has_runner:
            ports = await anyio.to_thread.run_sync(listening_ports, job.run.runner_pid)
            if port in ports:
                return Fired(job_id=job.job_id, condition="port", cursor=job.out_end)
        changed = job.output_changed
        with anyio.move_on_after(pause_s):
            await changed.wait()
        pause_s = min(pause_s * 1.5, _LONGEST_PAUSE_S)


async def _quiet(services: Services, job: ActiveJob, quiet_s: float) -> Fired:
    """Wait until the job has written nothing for `quiet_s`."""
    reader = LogReader(job.log_dir)
    while True:
        end = reader.end()
        job.out_end = max(job.out_end, end)
        with anyio.move_on_after(quiet_s):
            if not await services.output.beyond(job, end):
                await anyio.sleep_forever()  # over: the job's end fires
            continue
        if reader.end() == end:
            return Fired(job_id=job.job_id, condition="quiet", cursor=end)


async def _needs_input(
    services: Services,
    job: ActiveJob,
    request: Wait,
    fired: dict[str, Fired],
    asking: dict[str, Asking],
    everything: anyio.CancelScope,
) -> None:
    """Wait until the job waits for input, and end the whole wait: nothing may happen until somebody answers.

    Looked at when it has been quiet for a moment, then when it has been so for twice as long, and so on: a job that is
    silent for an hour is looked at 15 times. What the caller was told already ends no wait.
    """
    reader = LogReader(job.log_dir)
    quiet_s = _QUIET_BEFORE_ASKING_S
    while True:
        end = reader.end()
        job.out_end = max(job.out_end, end)
        with anyio.move_on_after(quiet_s):
            if not await services.output.beyond(job, end):
                return  # it is over
            quiet_s = _QUIET_BEFORE_ASKING_S
            continue
        if request.input_told.get(job.job_id) != end:
            found = await look(services.supervisor, job)
            if found.waiting_for_input and reader.end() == end and not await _listens(job, request.until):
                asking[job.job_id] = found
                line = (found.prompt or "").encode()
                fired.setdefault(job.job_id, Fired(job_id=job.job_id, condition="needs_input", cursor=end, line=line))
                everything.cancel()
                return
        quiet_s *= 2


async def _listens(job: ActiveJob, until: list[Condition]) -> bool:
    """Return whether a job listens on a port that is waited for: who waits for that is about to notice it."""
    wanted = {condition.port for condition in until if condition.port is not None}
    if not wanted or job.run is None or not job.has_runner:
        return False
    return not wanted.isdisjoint(await anyio.to_thread.run_sync(listening_ports, job.run.runner_pid))


async def _after_the_end(services: Services, job: JobInfo, until: list[Condition], cursor: int | None) -> Fired:
    """A job that is over: a pattern may still match what the caller has not seen."""
    for condition in until:
        if condition.pattern is not None and cursor is not None:
            matcher = _LineMatcher(f"{services.paths.job_dir(job.job_id)}/log", condition.pattern, cursor)
            while not matcher.is_at_end:
                found = await anyio.to_thread.run_sync(matcher.read_on)
                if found is not None:
                    return _matched(job.job_id, *found)
    return Fired(job_id=job.job_id, condition="exit", cursor=job.output_bytes)


def check(request: Wait) -> None:
    """Refuse what cannot be waited for: INVALID_ARGUMENT."""
    if not request.jobs or len(request.jobs) > MAX_JOBS:
        raise BgjobError(
            ErrorCode.INVALID_ARGUMENT, f"cannot wait for {len(request.jobs)} jobs: accepted is 1 to {MAX_JOBS}"
        )
    for condition in request.until:
        _check(condition)


def _check(condition: Condition) -> None:
    given = [name for name in ("pattern", "port", "quiet_s") if getattr(condition, name) is not None]
    if len(given) > 1:
        raise BgjobError(
            ErrorCode.INVALID_ARGUMENT, f"cannot wait for one condition with {' and '.join(given)}: give several"
        )
    if condition.pattern is not None:
        Pattern(condition.pattern)
    if condition.port is not None and not 1 <= condition.port <= 65_535:
        raise BgjobError(ErrorCode.INVALID_ARGUMENT, f"cannot wait for port {condition.port}: accepted is 1 to 65535")
    if condition.quiet_s is not None and condition.quiet_s <= 0:
        raise BgjobError(
            ErrorCode.INVALID_ARGUMENT, f"cannot wait for quiet_s = {condition.quiet_s:g}: it has to be more than 0"
        )

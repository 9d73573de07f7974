"""output, tail, search, follow: reading a job's output."""

import threading
from functools import partial

import anyio
import anyio.lowlevel
import anyio.to_thread

from bgjobd.daemon.commands.table import Services
from bgjobd.daemon.job import ActiveJob
from bgjobd.daemon.listener import Connection, ItemSender
from bgjobd.errors import BgjobError, ErrorCode
from bgjobd.model.reference import short_id
from bgjobd.protocol import (
    Follow,
    FollowItem,
    FollowReply,
    JobInfo,
    Output,
    OutputReply,
    Run,
    Search,
    SearchReply,
    Tail,
)
from bgjobd.runner.logfile import log_end
from bgjobd.store.logs import LogPart, LogReader, LogStream
from bgjobd.store.search import search as search_log

MAX_READ_BYTES = 8 << 20  # of one reply: it has to fit a frame with room to spare
# Below 128 KiB, from where malloc takes fresh pages from the kernel for each buffer: 256 KiB at a time was measured to
# stream at 350 to 1100 MiB/s, 120 KiB at 750 to 1350.
FOLLOW_READ_BYTES = 120 << 10
MAX_TAIL_LINES = 1_000_000
MAX_MATCHES = 10_000
_SMALL_READ_BYTES = 128 << 10  # read on the event loop: a hop to a thread costs more than the read


async def output(services: Services, connection: Connection, request: Output) -> OutputReply:
    """Read output from a cursor, within a budget."""
    job, log_dir = find_output(services, request.job)
    _check_budget(request.max_bytes)
    if request.since < 0 or (request.until is not None and request.until < request.since):
        raise BgjobError(
            ErrorCode.INVALID_ARGUMENT,
            f"cannot read output from {request.since} to {request.until}: cursors are 0 or more, and in order",
        )
    read = partial(
        LogReader(log_dir).read,
        request.since,
        max_bytes=request.max_bytes,
        until=request.until,
        stream=request.stream,
        split=request.split,
        keep=request.keep,
    )
    part = await _in_thread_if_large(read, request.max_bytes)
    return _reply(services, job, part)


async def tail(services: Services, connection: Connection, request: Tail) -> OutputReply:
    """The last lines, within a budget."""
    job, log_dir = find_output(services, request.job)
    _check_budget(request.max_bytes)
    _check_lines(request.lines)
    read = partial(
        LogReader(log_dir).tail, request.lines, max_bytes=request.max_bytes, stream=request.stream, split=request.split
    )
    # what a tail reads follows from its lines, rarely from its budget
    part = await _in_thread_if_large(read, min(request.max_bytes, request.lines * 200))
    return _reply(services, job, part)


async def search(services: Services, connection: Connection, request: Search) -> SearchReply:
    """Find lines; in a thread, and given up when the caller has gone."""
    job, log_dir = find_output(services, request.job)
    if not 0 <= request.limit <= MAX_MATCHES:
        raise BgjobError(
            ErrorCode.INVALID_ARGUMENT, f"cannot return limit = {request.limit} matches: accepted is 0 to {MAX_MATCHES}"
        )
    if not 0 <= request.context <= 100:
        raise BgjobError(
            ErrorCode.INVALID_ARGUMENT, f"cannot show context = {request.context} lines: accepted is 0 to 100"
        )
    given_up = threading.Event()
    try:
        found = await anyio.to_thread.run_sync(
            partial(
                search_log,
                LogReader(log_dir),
                request.pattern,
                stream=request.stream,
                ignore_case=request.ignore_case,
                context=request.context,
                limit=request.limit,
                cancelled=given_up.is_set,
            ),
            abandon_on_cancel=True,
        )
    except BaseException:
        given_up.set()
        raise
    return SearchReply(
        job=_info(services, job),
        matches=found.matches,
        total=found.total,
        searched_bytes=found.searched_bytes,
        gaps=found.gaps,
    )


async def follow(services: Services, connection: Connection, request: Follow, items: ItemSender) -> FollowReply:
    """Stream output; with `follow` until the job is over and all was sent.

    A slow reader slows only itself: we read the log when it has read what we sent.
    """
    job, log_dir = find_output(services, request.job)
    reader = LogReader(log_dir)
    start = await _start(reader, request, items)
    with LogStream(log_dir, start, stream=request.stream, split=request.split) as log:
        while True:
            part = log.read_cached(FOLLOW_READ_BYTES)
            if part is None:
                part = await anyio.to_thread.run_sync(log.read, FOLLOW_READ_BYTES)
            else:
                await anyio.lowlevel.checkpoint()  # others have their turn, even while the reader keeps up
            await _send_part(part, items)
            cursor = part.cursor
            if cursor < part.end:
                continue
            if not request.follow or isinstance(job, JobInfo):
                break
            log.close()
            job.out_end = max(job.out_end, part.end)
            if not request.leftovers and job.exit is not None and cursor >= job.exit.out_end:
                break
            if not await services.output.beyond(job, cursor, leftovers=request.leftovers) and reader.end() <= cursor:
                break
    return FollowReply(job=_info(services, job), cursor=cursor)


async def _start(reader: LogReader, request: Follow, items: ItemSender) -> int:
    """Return the cursor where to begin; with `lines`, after the last lines were sent."""
    if request.lines is None:
        return max(0, request.since or 0)
    _check_lines(request.lines)
    read = partial(reader.tail, request.lines, max_bytes=MAX_READ_BYTES, stream=request.stream, split=request.split)
    part = await anyio.to_thread.run_sync(read)
    await _send_part(part, items)
    return part.cursor


async def _send_part(part: LogPart, items: ItemSender) -> None:
    for item in part.items():
        await items.send(FollowItem(run=item) if isinstance(item, Run) else FollowItem(gap=item))


def find_output(services: Services, reference: str) -> tuple[ActiveJob | JobInfo, str]:
    """Return a job and the directory of its log.

    Raises:
        BgjobError: as `Supervisor.find`; OUTPUT_GONE or OUTPUT_DAMAGED when less is there than the job wrote.
    """
    job = services.supervisor.find(reference)
    log_dir = f"{services.paths.job_dir(job.job_id)}/log"
    final = job if isinstance(job, JobInfo) else job.final
    if final is not None and (end := log_end(log_dir)) < final.output_bytes:
        cannot = f"cannot read the output of job {short_id(final.job_id)}"
        wrote = f"it wrote {final.output_bytes:,} bytes"
        if not end:
            raise BgjobError(
                ErrorCode.OUTPUT_GONE, f"{cannot}: {wrote}, and its log was removed", "", {"job_id": final.job_id}
            )
        raise BgjobError(
            ErrorCode.OUTPUT_DAMAGED,
            f"{cannot}: {wrote}, and its log ends after {end:,}",
            f"What is left is in {log_dir}.",
            {"job_id": final.job_id},
        )
    return job, log_dir


def _info(services: Services, job: ActiveJob | JobInfo) -> JobInfo:
    return services.supervisor.info(job) if isinstance(job, ActiveJob) else job


def _reply(services: Services, job: ActiveJob | JobInfo, part: LogPart) -> OutputReply:
    return OutputReply(
        job=_info(services, job), runs=part.runs, gaps=part.gaps, since=part.since, cursor=part.cursor, end=part.end
    )


async def _in_thread_if_large(read: "partial[LogPart]", size_bytes: int) -> LogPart:
    return read() if size_bytes <= _SMALL_READ_BYTES else await anyio.to_thread.run_sync(read)


def _check_budget(max_bytes: int) -> None:
    if not 0 <= max_bytes <= MAX_READ_BYTES:
        raise BgjobError(
            ErrorCode.INVALID_ARGUMENT,
            f"cannot read max_bytes = {max_bytes} at once: accepted is 0 to {MAX_READ_BYTES}",
            "Follow the output instead, or read on from the cursor.",
        )


def _check_lines(lines: int) -> None:
    if not 0 <= lines <= MAX_TAIL_LINES:
        raise BgjobError(
            ErrorCode.INVALID_ARGUMENT, f"cannot read the last {lines} lines: accepted is 0 to {MAX_TAIL_LINES}"
        )

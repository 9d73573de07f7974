"""send and resize: a job's standard input, and the window of its terminal."""

import anyio

from bgjobd.daemon.commands.table import Services
from bgjobd.daemon.job import ActiveJob
from bgjobd.daemon.listener import Connection
from bgjobd.daemon.runners import Fields, RunnerLink, number, text
from bgjobd.errors import BgjobError, ErrorCode
from bgjobd.model.reference import short_id
from bgjobd.protocol import Empty, Resize, Send, SendReply
from bgjobd.runner import control

# What one message to a runner carries; it answers when the job took it, so this also bounds what a runner holds for us.
CHUNK_BYTES = 64 << 10


async def send(services: Services, connection: Connection, request: Send) -> SendReply:
    """Answer when the job took the input, or say how much of it."""
    job = _running(services, request.job)
    link = await services.supervisor.link(job)
    hello = await link.request(control.STATUS)
    cursor = number(hello, "out_end")
    accepted = 0
    view = memoryview(request.data)
    with anyio.move_on_after(request.timeout_s) as scope:
        while accepted < len(view):
            taken = await _input(link, job, bytes(view[accepted : accepted + CHUNK_BYTES]))
            accepted += taken
            if taken == 0:
                break
    if accepted < len(view):
        # the part of a chunk that was in the pipe when the time was over
        raise _not_taken(job, accepted, len(view), full=scope.cancelled_caught)
    if request.eof:
        fields = await link.request(control.CLOSE_STDIN)
        if text(fields, "error"):
            raise _closed(job, accepted)
    return SendReply(job_id=job.job_id, accepted_bytes=accepted, eof=request.eof, cursor=cursor)


async def resize(services: Services, connection: Connection, request: Resize) -> Empty:
    """Set the window size of a PTY job."""
    job = _running(services, request.job)
    if not job.spec.pty:
        raise BgjobError(
            ErrorCode.UNSUPPORTED,
            f"cannot resize job {short_id(job.job_id)}: it has no terminal",
            "Start it with `bgjob run --pty`.",
        )
    for name, value in (("rows", request.rows), ("columns", request.columns)):
        if not 1 <= value <= 10_000:
            raise BgjobError(ErrorCode.INVALID_ARGUMENT, f"cannot use {name} = {value}: accepted is 1 to 10000")
    link = await services.supervisor.link(job)
    await link.request(control.RESIZE, control.pack_fields(("rows", request.rows), ("columns", request.columns)))
    return Empty()


def _running(services: Services, reference: str) -> ActiveJob:
    job = services.supervisor.find(reference)
    if isinstance(job, ActiveJob) and not job.ended:
        return job
    info = services.supervisor.info(job) if isinstance(job, ActiveJob) else job
    raise BgjobError(
        ErrorCode.NOT_RUNNING,
        f"cannot send to job {short_id(info.job_id)}: it is {info.status}",
        f"`bgjob output {short_id(info.job_id)}` shows what it wrote.",
        {"job_id": info.job_id, "status": info.status.value},
    )


async def _input(link: RunnerLink, job: ActiveJob, chunk: bytes) -> int:
    """Send one chunk; return how much of it the job took. Cancelled: takes back what was not taken yet."""
    sequence, future = link.send(control.INPUT, chunk)
    try:
        fields: Fields = await future
    except BaseException:
        if not link.closed:
            link.send(control.CANCEL_INPUT, control.pack_fields(("target", sequence)))
        raise
    accepted = number(fields, "accepted")
    if text(fields, "error") and accepted < len(chunk):
        raise _closed(job, accepted)
    return accepted


def _closed(job: ActiveJob, accepted: int) -> BgjobError:
    return BgjobError(
        ErrorCode.STDIN_CLOSED,
        f"cannot send to job {short_id(job.job_id)}: its standard input is closed",
        details={"job_id": job.job_id, "accepted_bytes": accepted},
    )


def _not_taken(job: ActiveJob, accepted: int, asked: int, *, full: bool) -> BgjobError:
    if not full:
        return _closed(job, accepted)
    return BgjobError(
        ErrorCode.STDIN_FULL,
        f"cannot send all to job {short_id(job.job_id)}: it took {accepted} of {asked} bytes and does not read",
        "Send the rest later; the job may be busy, or may not read its standard input at all.",
        {"job_id": job.job_id, "accepted_bytes": accepted},
    )

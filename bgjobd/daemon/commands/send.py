"""send and resize: a job's standard input, and the size of its terminal."""

import asyncio
import time

from bgjobd.daemon.asking import hides_input
from bgjobd.daemon.commands.screen import wants_application_cursor
from bgjobd.daemon.commands.table import Services
from bgjobd.daemon.job import ActiveJob
from bgjobd.daemon.listener import Connection
from bgjobd.daemon.runners import RunnerLink, number, text
from bgjobd.daemon.window_sizes import hold
from bgjobd.errors import BgjobError, ErrorCode
from bgjobd.keys import UnknownKeyError, has_cursor_keys, key_bytes
from bgjobd.model.reference import short_id
from bgjobd.protocol import Empty, Resize, Send, SendReply
from bgjobd.runner import control

# What one message to a runner carries; it answers when the job took it, so this also bounds what a runner holds for us.
CHUNK_BYTES = 64 << 10


async def send(services: Services, connection: Connection, request: Send) -> SendReply:
    """Answer when the job took the input, or say how much of it."""
    job = _running(services, request.job)
    data = request.data + await _typed(services, job, request)
    if request.hidden:
        await _check_hidden(services, job)
    link = await services.supervisor.link(job)
    hello = await link.request(control.STATUS)
    cursor = number(hello, "out_end")
    accepted = 0
    view = memoryview(data)
    deadline = None if request.timeout_s is None else time.monotonic() + request.timeout_s
    job.told_asking_at = -1
    while accepted < len(view):
        chunk = bytes(view[accepted : accepted + CHUNK_BYTES])
        taken = await _input(link, job, chunk, deadline, accepted)
        accepted += taken
        if taken < len(chunk):
            raise _not_taken(job, accepted, len(view))
    if request.eof:
        fields = await link.request(control.CLOSE_STDIN)
        if text(fields, "error"):
            raise _closed(job, accepted)
    return SendReply(job_id=job.job_id, accepted_bytes=accepted, eof=request.eof, cursor=cursor)


async def resize(services: Services, connection: Connection, request: Resize) -> Empty:
    """Set the size of a job's terminal."""
    job = _running(services, request.job)
    if not job.spec.pty:
        raise _no_terminal(job, "resize")
    for name, value in (("rows", request.rows), ("columns", request.columns)):
        if not 1 <= value <= 10_000:
            raise BgjobError(ErrorCode.INVALID_ARGUMENT, f"cannot use {name} = {value}: accepted is 1 to 10000")
    link = await services.supervisor.link(job)
    rows, columns = request.rows, request.columns
    if request.hold:
        rows, columns = hold(job, connection, rows, columns)
    await link.request(control.RESIZE, control.pack_fields(("rows", rows), ("columns", columns)))
    return Empty()


async def _typed(services: Services, job: ActiveJob, request: Send) -> bytes:
    """Return what keys send that are asked for by name."""
    typed = b""
    if request.newline:
        typed = b"\r" if job.spec.pty else b"\n"
    if not request.keys:
        return typed
    if not job.spec.pty:
        raise _no_terminal(job, "press keys in")
    try:
        application = has_cursor_keys(request.keys) and await wants_application_cursor(services, job)
        return typed + key_bytes(request.keys, application_cursor=application)
    except UnknownKeyError as error:
        raise BgjobError(
            ErrorCode.INVALID_ARGUMENT, f"cannot press keys: {error}", "Names are those of tmux; text is sent as text."
        ) from error


async def _check_hidden(services: Services, job: ActiveJob) -> None:
    """Refuse to send a secret where it would be shown, and with that logged."""
    if job.spec.pty and not await hides_input(services.supervisor, job):
        raise BgjobError(
            ErrorCode.REFUSED,
            f"cannot send a secret to job {short_id(job.job_id)}: its terminal would show it",
            f"It asks for none now; `bgjob screen {short_id(job.job_id)}` shows what it does.",
            {"job_id": job.job_id},
        )


def _no_terminal(job: ActiveJob, what: str) -> BgjobError:
    return BgjobError(
        ErrorCode.INVALID_ARGUMENT,
        f"cannot {what} job {short_id(job.job_id)}: it has no terminal",
        "Start it in a terminal (pty); to this one send text, or a signal such as INT.",
        {"job_id": job.job_id},
    )


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


async def _input(link: RunnerLink, job: ActiveJob, chunk: bytes, deadline: float | None, before: int) -> int:
    """Send one chunk; return how much of it the job took by the deadline. What it did not take is taken back."""
    sequence, future = link.send(control.INPUT, chunk)
    try:
        timeout_s = None if deadline is None else max(0.0, deadline - time.monotonic())
        done, _ = await asyncio.wait({future}, timeout=timeout_s)
        if not done:
            link.send(control.CANCEL_INPUT, control.pack_fields(("target", sequence)))
        fields = await future
    except asyncio.CancelledError:
        link.send(control.CANCEL_INPUT, control.pack_fields(("target", sequence)))
        raise
    accepted = number(fields, "accepted")
    if text(fields, "error") == "closed":
        raise _closed(job, before + accepted)
    return accepted


def _closed(job: ActiveJob, accepted: int) -> BgjobError:
    return BgjobError(
        ErrorCode.STDIN_CLOSED,
        f"cannot send to job {short_id(job.job_id)}: its standard input is closed",
        details={"job_id": job.job_id, "accepted_bytes": accepted},
    )


def _not_taken(job: ActiveJob, accepted: int, asked: int) -> BgjobError:
    return BgjobError(
        ErrorCode.STDIN_FULL,
        f"cannot send all to job {short_id(job.job_id)}: it took {accepted} of {asked} bytes and does not read",
        "Send the rest later; the job may be busy, or may not read its standard input at all.",
        {"job_id": job.job_id, "accepted_bytes": accepted},
    )

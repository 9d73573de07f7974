"""kill: end a job's whole tree, or send it one signal; the answer is a receipt."""

import signal as signals
import time

import anyio
import msgspec

from bgjobd.daemon.commands.table import Services
from bgjobd.daemon.config import parse_signal
from bgjobd.daemon.job import ActiveJob, Phase
from bgjobd.daemon.listener import Connection
from bgjobd.daemon.liveness import boot_time_ns
from bgjobd.daemon.runners import Fields, text
from bgjobd.daemon.submission import milliseconds
from bgjobd.errors import BgjobError, ErrorCode
from bgjobd.protocol import ClientInfo, EndReason, JobInfo, JobStatus, Kill, KillReply, Receipt
from bgjobd.runner import control
from bgjobd.runner.records import ExitRecord
from bgjobd.store.job_view import receipt

_RECORDED_WITHIN_S = 2.0  # a full disk may take as long as it likes; who asked for a kill need not wait for it


async def kill(services: Services, connection: Connection, request: Kill) -> KillReply:
    """Answer when the tree is gone, or the one signal was sent."""
    supervisor = services.supervisor
    number = _signal_number(request.signal)
    only_signal = number not in (None, signals.SIGKILL)
    job = supervisor.find(request.job)
    if isinstance(job, JobInfo):
        return _already(job)
    actor = describe(connection.client)
    if job.phase is Phase.QUEUED:
        supervisor.write_exit(job, _cancelled(actor, request.reason))
        return _never_ran(supervisor.info(job), "it was queued and never ran")
    while not await supervisor.is_started_soon(job):  # no runner takes it, or none can be made
        if supervisor.take_back(job, _cancelled(actor, request.reason)):
            return _never_ran(supervisor.info(job), "it was waiting for its start and never ran")
    receipt_before = job.final.receipt if job.final is not None else None
    while job.phase < Phase.OVER:
        try:
            link = await supervisor.link(job)
            fields = await link.request(*_runner_request(job, request, number, actor, only_signal=only_signal))
        except BgjobError as error:
            if error.code is not ErrorCode.NOT_RUNNING:
                raise
            continue  # the job ended, or its runner was replaced: look again
        if not only_signal:
            known = Phase.LEFT if fields.get("survivor") else Phase.OVER
            with anyio.move_on_after(_RECORDED_WITHIN_S):
                while job.phase < known:  # so that nobody is told of descendants that are gone
                    await job.changed.wait()
        return _reply(supervisor.info(job), job, fields, only_signal=only_signal)
    info = supervisor.info(job)
    if info.receipt is not None and info.receipt != receipt_before:  # the runner ended before its answer was read
        return KillReply(receipt=info.receipt, job=info)
    return _already(info)


def describe(client: ClientInfo) -> str:
    """Return who asks, as it stands in records: e.g. `cli`, `mcp claude-code 2.1`."""
    return " ".join(word for word in (client.kind, client.name, client.version) if word)


def _signal_number(name: str | None) -> int | None:
    if name is None:
        return None
    try:
        return parse_signal(name)
    except ValueError as error:
        raise BgjobError(
            ErrorCode.INVALID_ARGUMENT,
            f"cannot send the signal {name!r}: {error}",
            "Give a name or number, as `kill -l` lists.",
        ) from error


def _runner_request(
    job: ActiveJob, request: Kill, number: int | None, actor: str, *, only_signal: bool
) -> tuple[int, bytes]:
    fields: list[tuple[str, str | int | bytes]] = [("actor", actor)]
    if request.reason:
        fields.append(("reason", request.reason))
    if only_signal:
        return control.SIGNAL, control.pack_fields(("signal", number or 0), *fields)
    grace_ms = job.spec.grace_ms if request.grace_s is None else milliseconds("grace_s", request.grace_s)
    return control.KILL, control.pack_fields(
        ("signal", number or job.spec.stop_signal), ("grace_ms", grace_ms), *fields
    )


def _reply(info: JobInfo, job: ActiveJob, fields: Fields, *, only_signal: bool) -> KillReply:
    """Make the receipt from what the runner answered."""
    if text(fields, "error"):
        raise BgjobError(
            ErrorCode.INTERNAL, f"cannot kill the job: {text(fields, 'error')}", "See `bgjob daemon logs`."
        )
    record = ExitRecord(
        killed=fields.get("killed", []),
        survivor=fields.get("survivor", []),
        kill_us=int(text(fields, "kill_us", "0")),
        kill_note=text(fields, "kill_note"),
    )
    made = receipt(job.spec, record, boot_time_ns())
    assert made is not None  # kill_us is set
    status = text(fields, "status") or ("signalled" if only_signal else made.status)
    return KillReply(receipt=msgspec.structs.replace(made, status=status), job=info)


def _cancelled(actor: str, reason: str) -> ExitRecord:
    """Return the exit record of a job that never ran."""
    return ExitRecord(
        by="daemon", reason=EndReason.CANCELLED.value, actor=actor, kill_reason=reason or None, ended_ns=time.time_ns()
    )


def _never_ran(info: JobInfo, note: str) -> KillReply:
    return KillReply(receipt=Receipt(job_id=info.job_id, name=info.name, status="killed", note=note), job=info)


def _already(info: JobInfo) -> KillReply:
    note = f"it had already ended: {info.status}"
    if info.status is JobStatus.LOST:
        note = "its end was not observed; nothing was signalled"
    return KillReply(
        receipt=Receipt(job_id=info.job_id, name=info.name, status="already_terminated", note=note), job=info
    )

"""Tasks: waits that one connection asks for and another one collects, kept on disk over restarts of the daemon.

A task's file says what is waited for and, when it is over, how it ended: put in place by rename before anybody is told.
The wait itself lives in memory. After a restart it begins again when the task is asked for: jobs that have ended since,
and lines that they have written since, are found then.

Nothing here ticks: tasks that have expired are removed when a new one is made.
"""

import contextlib
import logging
import os
import re
import secrets
import time
from collections.abc import Awaitable, Callable

import anyio
import anyio.abc
import msgspec

from bgjobd.errors import BgjobError, ErrorCode
from bgjobd.paths import ensure_private_directory
from bgjobd.protocol import ErrorBody, TaskStatus, Wait, WaitReply

__all__ = ["MAX_TASKS", "TaskRecord", "Tasks"]

logger = logging.getLogger("bgjobd.tasks")

MAX_TASKS = 1000  # on disk; each that works is a wait in memory
_ID = re.compile(r"[A-Za-z0-9_-]{32}")
_ID_BYTES = 24  # 192 random bits: SEP-2663 asks for ids that cannot be guessed

Evaluate = Callable[[Wait], Awaitable[WaitReply]]


class TaskRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is on disk about a task. New fields have defaults: older files stay readable."""

    task_id: str
    wait: Wait
    created_ns: int  # unix time, as everything here: a task outlives the daemon, and even the boot
    updated_ns: int
    expires_ns: int
    deadline_ns: int | None = None  # when the wait is over in any case
    context: bytes = b""
    status: TaskStatus = TaskStatus.WORKING
    result: WaitReply | None = None
    error: ErrorBody | None = None


_decoder = msgspec.msgpack.Decoder(TaskRecord)
_encoder = msgspec.msgpack.Encoder()


class Tasks:
    """All tasks of this user."""

    def __init__(self, directory: str, tasks: anyio.abc.TaskGroup) -> None:
        self._directory = directory
        self._tasks = tasks
        self._working: dict[str, anyio.CancelScope] = {}

    def create(self, wait: Wait, *, ttl_s: float, context: bytes, evaluate: Evaluate) -> TaskRecord:
        """Put a task on disk and begin its wait.

        Args:
            wait: with the full ids of its jobs, and a cursor for each.
            ttl_s: after this long it is forgotten, also when it still waits.
            evaluate: carries out a wait.

        Raises:
            BgjobError: LIMIT_EXCEEDED with MAX_TASKS unexpired ones; STORAGE.
        """
        now_ns = time.time_ns()
        self._make_room(now_ns)
        timeout_ns = None if wait.timeout_s is None else int(wait.timeout_s * 1e9)
        record = TaskRecord(
            task_id=secrets.token_urlsafe(_ID_BYTES),
            wait=wait,
            created_ns=now_ns,
            updated_ns=now_ns,
            expires_ns=now_ns + int(ttl_s * 1e9),
            deadline_ns=None if timeout_ns is None else now_ns + timeout_ns,
            context=context,
        )
        self._write(record)
        self._begin(record, evaluate)
        return record

    def get(self, task_id: str, evaluate: Evaluate) -> TaskRecord | None:
        """Return a task; None for one that there is not, or that has expired. Begins its wait again after a restart."""
        record = self._read(task_id)
        if record is None or record.expires_ns <= time.time_ns():
            return None
        if record.status is TaskStatus.WORKING and task_id not in self._working:
            self._begin(record, evaluate)
        return record

    def cancel(self, task_id: str) -> TaskRecord | None:
        """End a task's wait for good; return the task, which stays as it is when it was over. None as for `get`.

        Raises:
            BgjobError: STORAGE; then it goes on.
        """
        record = self._read(task_id)
        if record is None or record.expires_ns <= time.time_ns():
            return None
        if record.status is not TaskStatus.WORKING:
            return record
        record = msgspec.structs.replace(record, status=TaskStatus.CANCELLED, updated_ns=time.time_ns())
        self._write(record)
        scope = self._working.pop(task_id, None)
        if scope is not None:
            scope.cancel()
        return record

    def _begin(self, record: TaskRecord, evaluate: Evaluate) -> None:
        scope = self._working[record.task_id] = anyio.CancelScope()
        self._tasks.start_soon(self._work, scope, record, evaluate, name="task")

    async def _work(self, scope: anyio.CancelScope, record: TaskRecord, evaluate: Evaluate) -> None:
        """Wait, and write down how it ended, unless it was cancelled or the daemon stops."""
        try:
            with scope, anyio.move_on_after(_seconds_until(record.expires_ns)):
                ended = await self._outcome(record, evaluate)
                self._write(msgspec.structs.replace(ended, status=TaskStatus.COMPLETED, updated_ns=time.time_ns()))
        except BgjobError as error:
            logger.error("cannot keep how a task ended, it is waited for again when asked for: %s", error)
        finally:
            if self._working.get(record.task_id) is scope:
                del self._working[record.task_id]

    async def _outcome(self, record: TaskRecord, evaluate: Evaluate) -> TaskRecord:
        left_s = None if record.deadline_ns is None else _seconds_until(record.deadline_ns)
        try:
            result = await evaluate(msgspec.structs.replace(record.wait, timeout_s=left_s))
            return msgspec.structs.replace(record, result=result)
        except BgjobError as error:  # e.g. a job was removed
            body = ErrorBody(code=error.code.value, message=error.message, hint=error.hint, details=error.details)
            return msgspec.structs.replace(record, error=body)
        except Exception:  # the top of a task: a bug in one wait must not take the daemon down
            logger.exception("bug in a wait: task for jobs %s", record.wait.jobs)
            return msgspec.structs.replace(record, error=ErrorBody(message="cannot wait: a bug in bgjob"))

    def _make_room(self, now_ns: int) -> None:
        """Remove what has expired, and refuse more than we keep."""
        try:
            names = os.listdir(self._directory)
        except FileNotFoundError:
            return  # the first one
        kept = 0
        for name in names:
            record = self._read(name)
            if record is not None and record.expires_ns > now_ns:
                kept += 1
            else:  # also a file that was being written when the daemon was killed
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(f"{self._directory}/{name}")
        if kept >= MAX_TASKS:
            raise BgjobError(
                ErrorCode.LIMIT_EXCEEDED,
                f"cannot make another task: there are {kept}, the most that are kept",
                "Wait without a task.",
            )

    def _read(self, task_id: str) -> TaskRecord | None:
        if not _ID.fullmatch(task_id):  # also what would lead out of the directory
            return None
        try:
            with open(f"{self._directory}/{task_id}", "rb") as file:
                return _decoder.decode(file.read())
        except FileNotFoundError:
            return None
        except (OSError, msgspec.MsgspecError):
            logger.exception("cannot read a task")
            return None

    def _write(self, record: TaskRecord) -> None:
        path = f"{self._directory}/{record.task_id}"
        try:
            ensure_private_directory(self._directory)
            with open(f"{path}.new", "wb") as file:
                file.write(_encoder.encode(record))
            os.replace(f"{path}.new", path)
        except OSError as error:
            with contextlib.suppress(OSError):
                os.unlink(f"{path}.new")
            raise BgjobError(
                ErrorCode.STORAGE,
                f"cannot keep a task: {error.strerror} ({self._directory})",
                "Free some space (`bgjob prune`), or wait without a task.",
            ) from error


def _seconds_until(unix_ns: int) -> float:
    return max(0.0, (unix_ns - time.time_ns()) / 1e9)

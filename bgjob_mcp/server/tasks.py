"""The tasks extension `io.modelcontextprotocol/tasks`: `wait` answers with a task, which the client collects later.

The server decides which calls become tasks, and only for a request whose client declares the extension (2026-07-28;
there is no shape for it on the wire before). The SDK has no runtime for it, so the three requests are registered here;
where the tasks live is a `TaskStore`'s affair.

Source: SEP-2663.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

import mcp_types as types
from mcp import MCPError
from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel import Server

from bgjob_mcp.agent import Agent
from bgjob_mcp.arguments import Wait
from bgjob_mcp.calls import tasks as calls
from bgjob_mcp.calls.answer import Answer
from bgjob_mcp.failures import explain
from bgjob_mcp.server.results import as_result
from bgjob_mcp.server.sessions import Sessions
from bgjobd.errors import BgjobError
from bgjobd.protocol import TaskInfo, TaskStatus

__all__ = ["EXTENSION", "TaskStore", "TaskView", "WaitTasks", "as_created", "begin", "install", "offered", "require"]

AnyContext = ServerRequestContext[Any, Any]

EXTENSION = "io.modelcontextprotocol/tasks"
_VERSION = "2026-07-28"
_HEADER_MISMATCH, _MISSING_CAPABILITY = -32020, -32021  # MCP 2026-07-28, "Error codes"
_POLL_MS = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskView:
    """A task as clients see it."""

    task_id: str
    status: str  # working, input_required, completed, failed, cancelled
    created: str  # RFC 3339
    updated: str
    ttl_ms: int | None
    poll_ms: int = _POLL_MS
    message: str = ""
    result: types.CallToolResult | None = None  # when completed; also a result that says what went wrong
    error: dict[str, Any] | None = None  # when failed: a JSON-RPC error
    input_requests: dict[str, Any] = field(default_factory=dict)  # when input_required


class TaskStore(Protocol):
    """Where tasks are. Each method answers None for a task that there is not."""

    async def get(self, context: Any, task_id: str) -> TaskView | None:
        """Return a task."""

    async def update(self, context: Any, task_id: str, responses: dict[str, Any]) -> TaskView | None:
        """Give a task the input that it asked for; what it did not ask for is ignored."""

    async def cancel(self, context: Any, task_id: str) -> TaskView | None:
        """Cancel a task; one that is over stays as it is."""


class _TaskParams(types.RequestParams):
    task_id: str


class _UpdateParams(_TaskParams):
    input_responses: dict[str, Any] = {}  # noqa: RUF012  # a field of a pydantic model, which copies it


def offered(context: AnyContext) -> bool:
    """Say whether the client of this request takes tasks."""
    capabilities = context.session.client_capabilities
    extensions = capabilities.extensions if capabilities else None
    return context.protocol_version == _VERSION and EXTENSION in (extensions or {})


def require(context: AnyContext) -> None:
    """Refuse a request whose client does not take tasks."""
    if not offered(context):
        needed: dict[str, Any] = {"requiredCapabilities": {"extensions": {EXTENSION: {}}}}
        raise MCPError(_MISSING_CAPABILITY, f"Missing required client capability: {EXTENSION}", data=needed)


def as_created(task: TaskView) -> dict[str, Any]:
    """Return the answer to a call that became a task."""
    return _wire(task, "task")


def install(server: Server[Any], store: TaskStore) -> None:
    """Announce the extension and answer its requests from `store`."""

    async def get(context: AnyContext, params: _TaskParams) -> dict[str, Any]:
        _check(context, params)
        task = _found(await store.get(context, params.task_id))
        return {**_wire(task, "complete"), **_outcome(task)}

    async def update(context: AnyContext, params: _UpdateParams) -> dict[str, Any]:
        _check(context, params)
        _found(await store.update(context, params.task_id, params.input_responses))
        return {}

    async def cancel(context: AnyContext, params: _TaskParams) -> dict[str, Any]:
        _check(context, params)
        _found(await store.cancel(context, params.task_id))
        return {}

    server.extensions[EXTENSION] = {}
    server.add_request_handler("tasks/get", _TaskParams, get)
    server.add_request_handler("tasks/update", _UpdateParams, update)
    server.add_request_handler("tasks/cancel", _TaskParams, cancel)


def _check(context: AnyContext, params: _TaskParams) -> None:
    """Check what the SDK checks for its own methods only."""
    require(context)
    headers = getattr(context.request, "headers", None)  # over HTTP
    if headers is not None and headers.get("mcp-name") != params.task_id:
        raise MCPError(_HEADER_MISMATCH, "Mcp-Name does not match params.taskId")


def _found(task: TaskView | None) -> TaskView:
    if task is None:
        raise MCPError(types.INVALID_PARAMS, "Task not found: it has expired, or there never was one of this id")
    return task


def _wire(task: TaskView, result_type: str) -> dict[str, Any]:
    return {
        "resultType": result_type,
        "taskId": task.task_id,
        "status": task.status,
        "createdAt": task.created,
        "lastUpdatedAt": task.updated,
        "ttlMs": task.ttl_ms,
        "pollIntervalMs": task.poll_ms,
        **({"statusMessage": task.message} if task.message else {}),
    }


def _outcome(task: TaskView) -> dict[str, Any]:
    if task.status == "completed" and task.result is not None:
        result = task.result.model_dump(by_alias=True, mode="json", exclude_none=True)
        return {"result": {**result, "resultType": "complete"}}
    if task.status == "failed":
        return {"error": task.error}
    if task.status == "input_required":
        return {"inputRequests": task.input_requests}
    return {}


# --- our own: waits, which the daemon keeps --------------------------------------------------------------------------


async def begin(agent: Agent, arguments: Wait) -> dict[str, Any] | None:
    """Begin a wait as a task and return the answer to the call; None where there is nothing left to wait for.

    Raises:
        BgjobError: as for `wait`.
    """
    task = await calls.begin(agent, arguments)
    return None if task is None else as_created(_view(task))


class WaitTasks:
    """The daemon's tasks. Each is a wait: it never asks for input and never fails; what is wrong is its result."""

    async def get(self, context: ServerRequestContext[Sessions, Any], task_id: str) -> TaskView | None:
        """Ask the daemon how a task is, and compose its answer when it is over."""

        async def ask(agent: Agent) -> TaskView | None:
            task = await calls.find(agent, task_id)
            if task is None:
                return None
            return _view(task, await _collected(agent, task) if task.status is TaskStatus.COMPLETED else None)

        return await _asked(context, ask)

    async def update(
        self, context: ServerRequestContext[Sessions, Any], task_id: str, responses: dict[str, Any]
    ) -> TaskView | None:
        """Ignore the input: nothing has asked for it."""
        return await self.get(context, task_id)

    async def cancel(self, context: ServerRequestContext[Sessions, Any], task_id: str) -> TaskView | None:
        """End the wait. Its jobs go on."""

        async def ask(agent: Agent) -> TaskView | None:
            task = await calls.cancel(agent, task_id)
            return None if task is None else _view(task)

        return await _asked(context, ask)


async def _asked(
    context: ServerRequestContext[Sessions, Any], ask: Callable[[Agent], Awaitable[TaskView | None]]
) -> TaskView | None:
    try:
        return await ask(await context.lifespan_context.agent(context))
    except BgjobError as error:
        raise MCPError(types.INTERNAL_ERROR, str(error)) from error


async def _collected(agent: Agent, task: TaskInfo) -> types.CallToolResult:
    try:
        answer = await calls.collect(agent, task)
    except BgjobError as error:  # the output is gone: the wait is over all the same
        answer = Answer(explain(error), is_error=True)
    return as_result(answer, with_structure=answer.structure is not None and not agent.traits.text_only)


def _view(task: TaskInfo, result: types.CallToolResult | None = None) -> TaskView:
    return TaskView(
        task_id=task.task_id,
        status=task.status.value,
        created=task.created,
        updated=task.updated,
        ttl_ms=round(task.ttl_s * 1000),
        message=calls.progress_of(task),
        result=result,
    )

"""The tools that the official suite's `tasks-*` scenarios call, on bgjob's tasks extension. Test code only.

What is tested is bgjob_mcp/server/tasks.py: the wire, the checks, the states. bgjob's own tasks are waits, which never
ask for input and never fail, so the tasks here live in a store of their own, in memory.

usage: python tasks_server.py PORT
"""

import asyncio
import secrets
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import anyio
import anyio.abc
import mcp_types as types
import uvicorn
from mcp import MCPError
from mcp.server.lowlevel import Server

from bgjob_mcp.server.tasks import TaskView, as_created, install, offered, require

TOOLS = ["greet", "slow_compute", "failing_job", "protocol_error_job", "confirm_delete", "multi_input"]
TOOLS += ["test_tool_with_task"]


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


@dataclass
class Task:
    """One task: what it does runs in `scope`, and may ask for input."""

    task_id: str = field(default_factory=lambda: secrets.token_urlsafe(24))
    status: str = "working"
    created: str = field(default_factory=now)
    updated: str = field(default_factory=now)
    result: types.CallToolResult | None = None
    error: dict[str, Any] | None = None
    asked: dict[str, tuple[dict[str, Any], "asyncio.Future[Any]"]] = field(default_factory=dict)
    scope: anyio.CancelScope = field(default_factory=anyio.CancelScope)

    def become(self, status: str) -> None:
        self.status, self.updated = status, now()

    async def ask(self, key: str, request: dict[str, Any]) -> Any:
        """Ask the client for input and wait for it."""
        answer = asyncio.get_running_loop().create_future()
        self.asked[key] = (request, answer)
        self.become("input_required")
        return await answer

    def view(self) -> TaskView:
        return TaskView(
            task_id=self.task_id, status=self.status, created=self.created, updated=self.updated, ttl_ms=3_600_000,
            poll_ms=200, result=self.result, error=self.error,
            input_requests={key: request for key, (request, _) in self.asked.items()},
        )  # fmt: skip


Work = Callable[[Task], Awaitable[types.CallToolResult]]


class Store:
    """A TaskStore in memory."""

    def __init__(self) -> None:
        self.tasks: dict[str, Task] = {}
        self.group: anyio.abc.TaskGroup | None = None

    def create(self, work: Work) -> dict[str, Any]:
        """Begin `work` as a task."""
        task = Task()
        self.tasks[task.task_id] = task
        assert self.group
        self.group.start_soon(self._run, task, work)
        return as_created(task.view())

    async def _run(self, task: Task, work: Work) -> None:
        with task.scope:
            try:
                task.result = await work(task)
                task.become("completed")
            except MCPError as error:
                task.error = {"code": error.code, "message": error.message}
                task.become("failed")

    async def get(self, context: Any, task_id: str) -> TaskView | None:
        task = self.tasks.get(task_id)
        return None if task is None else task.view()

    async def update(self, context: Any, task_id: str, responses: dict[str, Any]) -> TaskView | None:
        task = self.tasks.get(task_id)
        if task is None:
            return None
        for key in responses.keys() & task.asked.keys():
            task.asked.pop(key)[1].set_result(responses[key])
        if task.status == "input_required" and not task.asked:
            task.become("working")
        return task.view()

    async def cancel(self, context: Any, task_id: str) -> TaskView | None:
        task = self.tasks.get(task_id)
        if task is None:
            return None
        if task.status in ("working", "input_required"):
            task.become("cancelled")
            task.scope.cancel()
        return task.view()


store = Store()


def text(said: str, *, is_error: bool = False) -> types.CallToolResult:
    return types.CallToolResult(content=[types.TextContent(text=said)], is_error=is_error)


def form(message: str, name: str, kind: str) -> dict[str, Any]:
    schema = {"type": "object", "properties": {name: {"type": kind}}, "required": [name]}
    return {
        "method": "elicitation/create",
        "params": {"mode": "form", "message": message, "requestedSchema": schema},
    }


async def list_tools(context: Any, params: Any) -> types.ListToolsResult:
    tools = [types.Tool(name=name, description=name, input_schema={"type": "object"}) for name in TOOLS]
    return types.ListToolsResult(tools=tools)


async def call_tool(context: Any, params: types.CallToolRequestParams) -> Any:
    given = params.arguments or {}

    async def compute(task: Task | None) -> types.CallToolResult:
        await anyio.sleep(float(given.get("seconds", 1)))  # noqa: TID251  # what the suite's tool has to do
        return text("computed")

    async def fail(task: Task) -> types.CallToolResult:
        await anyio.sleep(1)  # noqa: TID251  # what the suite's tool has to do
        return text("it failed", is_error=True)

    async def break_off(task: Task) -> types.CallToolResult:
        raise MCPError(types.INTERNAL_ERROR, "boom")

    async def confirm(task: Task) -> types.CallToolResult:
        return text(f"deleted: {await task.ask('confirm', form('Delete?', 'confirm', 'boolean'))}")

    async def both(task: Task) -> types.CallToolResult:
        questions = [task.ask(key, form(f"{key}?", "confirm", "boolean")) for key in ("a", "b")]
        return text(str(await asyncio.gather(*questions)))

    async def named(task: Task) -> types.CallToolResult:
        return text(f"Hello {name}")

    match params.name:
        case "greet":
            return text(f"Hello, {given.get('name')}!")
        case "slow_compute":
            return store.create(compute) if offered(context) else await compute(None)
        case "test_tool_with_task":
            require(context)
            name = (params.input_responses or {}).get("user_name")
            if name is not None:
                return store.create(named)
            return {"resultType": "input_required", "inputRequests": {"user_name": form("Name?", "name", "string")}}
        case "failing_job" | "protocol_error_job" | "confirm_delete" | "multi_input":
            require(context)
            works = {"failing_job": fail, "protocol_error_job": break_off, "confirm_delete": confirm}
            return store.create(works.get(params.name, both))
    raise MCPError(types.INVALID_PARAMS, f"Unknown tool: {params.name}")


@asynccontextmanager
async def lifespan(server: Server[Any]) -> AsyncIterator[None]:
    async with anyio.create_task_group() as group:
        store.group = group
        yield
        group.cancel_scope.cancel()


server = Server[Any]("tasks", version="0", on_list_tools=list_tools, on_call_tool=call_tool, lifespan=lifespan)
install(server, store)
uvicorn.run(server.streamable_http_app(), host="127.0.0.1", port=int(sys.argv[1]), log_level="warning")

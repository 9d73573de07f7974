"""tools/list and tools/call: the table of tools in the SDK's words."""

import logging
from typing import Any

import mcp_types as types
from mcp import MCPError

from bgjob_mcp.arguments import Wait
from bgjob_mcp.calls.answer import Answer, Progress
from bgjob_mcp.failures import explain
from bgjob_mcp.schema import object_schema, parse
from bgjob_mcp.server import tasks
from bgjob_mcp.server.results import as_result
from bgjob_mcp.server.sessions import Context
from bgjob_mcp.tools import TOOLS, Tool, call, find
from bgjobd.errors import BgjobError

__all__ = ["call_tool", "list_tools"]

log = logging.getLogger(__name__)


def _listed(tool: Tool) -> types.Tool:
    return types.Tool(
        name=tool.name,
        description=tool.description,
        input_schema=object_schema(tool.arguments),
        output_schema=object_schema(tool.result, defaults=False) if tool.result else None,
        annotations=types.ToolAnnotations(
            title=tool.title,
            read_only_hint=tool.read_only,
            destructive_hint=tool.destructive,
            idempotent_hint=tool.idempotent,
            open_world_hint=tool.open_world,
        ),
    )


_TOOLS = types.ListToolsResult(tools=[_listed(tool) for tool in TOOLS])


async def list_tools(context: Context, params: types.PaginatedRequestParams | None) -> types.ListToolsResult:
    """Return all tools, always the same and in the same order."""
    return _TOOLS


async def call_tool(context: Context, params: types.CallToolRequestParams) -> types.CallToolResult | dict[str, Any]:
    """Do what a tool is for. What goes wrong is a result that the model can act on.

    Raises:
        MCPError: INVALID_PARAMS for a tool that there is not.

    Source: MCP 2025-11-25, "Tools", "Error Handling".
    """
    tool = find(params.name)
    if tool is None:
        known = ", ".join(tool.name for tool in TOOLS)
        raise MCPError(types.INVALID_PARAMS, f"Unknown tool: {params.name}; there are: {known}")
    try:
        agent = await context.lifespan_context.agent(context)
        if tool.arguments is Wait and tasks.offered(context):
            task = await tasks.begin(agent, parse(tool.name, Wait, params.arguments))
            if task is not None:
                return task
        answer = await call(tool, agent, params.arguments, _progress(context))
        return as_result(answer, with_structure=tool.result is not None or not agent.traits.text_only)
    except BgjobError as error:
        return as_result(Answer(explain(error), is_error=True))
    except Exception:  # the top of a call: a bug must not reach the wire as a traceback, nor end the server
        log.exception("tool %s", tool.name)
        said = f"internal error in {tool.name}\nnext: call list or status; the server's log has the details"
        return as_result(Answer(said, is_error=True))


def _progress(context: Context) -> Progress | None:
    """Return how to report progress, when the client asked for it."""
    meta: dict[str, Any] = (context.params or {}).get("_meta") or {}
    if meta.get("progressToken") is None:
        return None

    async def report(seconds: float, at_most: float, how: str) -> None:
        await context.session.report_progress(seconds, at_most, how)

    return report

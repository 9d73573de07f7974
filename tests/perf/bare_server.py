"""The least that the MCP SDK can be: a stdio server with one tool that does nothing. What ours is compared with."""

from typing import Any

import anyio
import mcp_types as types
from mcp.server.lowlevel import Server
from mcp.server.stdio import stdio_server


async def list_tools(context: Any, params: types.PaginatedRequestParams | None) -> types.ListToolsResult:
    """Return the tool."""
    return types.ListToolsResult(tools=[types.Tool(name="nothing", input_schema={"type": "object"})])


async def call_tool(context: Any, params: types.CallToolRequestParams) -> types.CallToolResult:
    """Do nothing."""
    return types.CallToolResult(content=[types.TextContent(type="text", text="done")])


async def serve() -> None:
    """Serve one client until it closes stdin."""
    server: Server[Any] = Server("bare", on_list_tools=list_tools, on_call_tool=call_tool)
    async with stdio_server() as (reader, writer):
        await server.run(reader, writer, server.create_initialization_options())


anyio.run(serve)

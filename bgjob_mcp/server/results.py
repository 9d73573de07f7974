"""An answer as a result of the protocol."""

import mcp_types as types
import msgspec

from bgjob_mcp.calls.answer import Answer

__all__ = ["as_result"]


def as_result(answer: Answer, *, with_structure: bool = False) -> types.CallToolResult:
    """Return the result that carries `answer`: its text, and its structure for clients that show it."""
    return types.CallToolResult(
        content=[types.TextContent(text=answer.text)],
        structured_content=msgspec.to_builtins(answer.structure) if with_structure else None,
        is_error=answer.is_error,
    )

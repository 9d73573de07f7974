"""What a client sends that is no message is answered with an error: the SDK drops it, and the client would wait.

Source: JSON-RPC 2.0, 5 "Response object" and 5.1 "Error object".
"""

import json
from typing import Any

import mcp_types as types
from mcp.shared.message import SessionMessage
from pydantic import ValidationError

__all__ = ["Answered"]


class Answered:
    """The SDK's stream of what a client sends, without what is no message: that is answered here."""

    def __init__(self, incoming: Any, outgoing: Any) -> None:
        self._incoming = incoming
        self._outgoing = outgoing

    def __getattr__(self, name: str) -> Any:
        """Be the SDK's stream in all other things."""
        return getattr(self._incoming, name)

    async def __aenter__(self) -> "Answered":
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self._incoming.aclose()

    def __aiter__(self) -> "Answered":
        return self

    async def __anext__(self) -> Any:
        while True:
            item = await anext(self._incoming)
            if not isinstance(item, ValidationError):
                return item
            answer = _answer_to(item)
            if answer is not None:
                await self._outgoing.send(SessionMessage(answer))


def _answer_to(error: ValidationError) -> types.JSONRPCError | None:
    """Return the answer to what could not be read; None to an empty line, which asks nothing."""
    errors = error.errors()
    first = errors[0]
    if first["type"] != "json_invalid":
        # Of each kind of message something is wrong with it. What is missing is missing from the whole.
        given = next((wrong["input"] for wrong in errors if wrong["type"] == "missing"), None)
        code, why = types.INVALID_REQUEST, "it is no JSON-RPC message"
    elif first["input"].strip():
        given = _read_leniently(first["input"])
        code, why = types.PARSE_ERROR, first["msg"]
    else:
        return None
    data = types.ErrorData(code=code, message=f"cannot read the message: {why}")
    return types.JSONRPCError(jsonrpc="2.0", id=_request_id(given), error=data)


def _read_leniently(line: str) -> Any:
    """Return the JSON that Python's own parser finds: it takes half of a surrogate pair, which clients cut off."""
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None


def _request_id(given: Any) -> str | int | None:
    """Return the id of a request; None of anything else, also of an answer, whose id is not for us to use."""
    found = given.get("id") if isinstance(given, dict) and "method" in given else None
    usable = isinstance(found, int) or (isinstance(found, str) and found.isprintable())  # half a pair is not
    return found if usable and not isinstance(found, bool) else None

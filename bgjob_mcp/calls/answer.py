"""What a tool answers, before it becomes a result of the protocol."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import msgspec

__all__ = ["Answer", "Progress"]

# Called at most once a second while a call waits: (seconds so far, seconds at most, how it is).
Progress = Callable[[float, float, str], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Answer:
    """Text for the model, and the same facts as a structure."""

    text: str
    structure: msgspec.Struct | dict[str, Any] | None = None
    is_error: bool = False

"""One client of the MCP server: who it is, what it may do, what it has already seen, and its line to the daemon."""

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

import msgspec

from bgjob_mcp.clients import ClientTraits
from bgjob_mcp.settings import Settings
from bgjobd.protocol import Request

__all__ = ["Agent", "Daemon", "Memory"]

ReplyT = TypeVar("ReplyT", bound=msgspec.Struct)
_REMEMBERED_JOBS = 1000


class Daemon(Protocol):
    """What an agent's calls need of `bgjobd.async_client`."""

    async def call(self, request: Request[ReplyT]) -> ReplyT:
        """Send a request and return its reply; BgjobError when the daemon says no."""


class Memory:
    """How far one client has seen the output of each job. Forgets the jobs it looked at longest ago."""

    def __init__(self) -> None:
        self._cursors: OrderedDict[str, int] = OrderedDict()

    def seen(self, job_id: str) -> int:
        """Return the cursor up to which the client knows the output; 0 for a job it never looked at."""
        return self._cursors.get(job_id, 0)

    def look(self, job_id: str, cursor: int) -> None:
        """Remember that the client has seen the output up to `cursor`."""
        self._cursors[job_id] = max(cursor, self._cursors.pop(job_id, 0))
        if len(self._cursors) > _REMEMBERED_JOBS:
            self._cursors.popitem(last=False)


@dataclass(slots=True)
class Agent:
    """Everything a tool needs to know about the client that called it."""

    daemon: Daemon
    traits: ClientTraits
    settings: Settings
    environment: Mapping[bytes, bytes]  # jobs get it whole
    umask: int
    project: str  # absolute path; "" where none is known
    memory: Memory = field(default_factory=Memory)

"""One client of the MCP server: who it is, what it may do, what it has already seen, and its line to the daemon."""

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol, TypeVar

import msgspec

from bgjob_mcp.clients import ClientTraits
from bgjob_mcp.settings import Settings
from bgjobd.protocol import Request

__all__ = ["Agent", "Daemon", "Memory", "Seen"]

ReplyT = TypeVar("ReplyT", bound=msgspec.Struct)
_REMEMBERED_JOBS = 1000


class Daemon(Protocol):
    """What an agent's calls need of `bgjobd.async_client`."""

    async def call(self, request: Request[ReplyT]) -> ReplyT:
        """Send a request and return its reply; BgjobError when the daemon says no."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What one client knows of a job's output."""

    cursor: int = 0  # it has been shown everything before
    # Where a wait for a line begins to look. Not the same: the answer to execute or interact may already hold the line
    # that is then waited for, and a wait that ignored it would never end.
    unanswered: int = 0
    input_told: int = -1  # it was told that the job waits for input when its output ended here


class Memory:
    """How far one client has seen the output of each job. Forgets the jobs it looked at longest ago."""

    def __init__(self) -> None:
        self._jobs: OrderedDict[str, Seen] = OrderedDict()

    def seen(self, job_id: str) -> Seen:
        """Return what the client knows; nothing of a job it never looked at."""
        return self._jobs.get(job_id, Seen())

    def shown(self, job_id: str, cursor: int) -> None:
        """Remember that the client was shown the output up to `cursor`."""
        self._keep(job_id, replace(self.seen(job_id), cursor=max(cursor, self.seen(job_id).cursor)))

    def answered(self, job_id: str, cursor: int) -> None:
        """Remember that a wait for a line need not look before `cursor` any more: at what was looked for, or sent."""
        self._keep(job_id, replace(self.seen(job_id), unanswered=max(cursor, self.seen(job_id).unanswered)))

    def told_input(self, job_id: str, cursor: int) -> None:
        """Remember that the client knows that the job waits for input, with its output up to `cursor`."""
        self._keep(job_id, replace(self.seen(job_id), input_told=cursor))

    def _keep(self, job_id: str, seen: Seen) -> None:
        self._jobs[job_id] = seen
        self._jobs.move_to_end(job_id)
        if len(self._jobs) > _REMEMBERED_JOBS:
            self._jobs.popitem(last=False)


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

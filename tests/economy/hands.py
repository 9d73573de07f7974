"""The two servers, each used as well as its tools allow: what a script wants done, in calls of that server's tools."""

import json
import re
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from tests.economy.meter import Meter

__all__ = ["Bgjob", "Hands", "Peer"]

# How long an agent pauses before it asks again, where a server cannot wait: shortly at first, then twice as long each
# time. It is more patient than most, and its pauses cost it nothing here.
PAUSES_S = (2.0, 4.0, 8.0, 16.0, 30.0)


class Hands(Protocol):
    """What an agent does with a server. Jobs are known by the names that the script gives them."""

    def start(self, name: str, command: str) -> None:
        """Start a job, and go on at the latest when it has run for a moment."""

    def ended(self, *names: str) -> None:
        """Be told of the end of all of these jobs, and of what they wrote last."""

    def line(self, name: str, pattern: str) -> None:
        """Be told of a line that matches, from a job that goes on."""

    def find(self, name: str, pattern: str) -> None:
        """See the lines that match in all that a job wrote."""

    def say(self, name: str, text: str, answer: str) -> None:
        """Send a line to a job and see its answer, which matches `answer`."""

    def stop(self, name: str) -> None:
        """End a job."""


class Bgjob:
    """bgjob-mcp.

    Args:
        started: called when a job was started, for the tests: it lets the job go on.
        options: more arguments for a tool, by its name; also for the tests, which must not depend on time.
    """

    def __init__(
        self,
        meter: Meter,
        started: Callable[[str], None] = lambda name: None,
        options: Mapping[str, dict[str, Any]] | None = None,
    ) -> None:
        self._meter = meter
        self._started = started
        self._options = options or {}
        self._over: set[str] = set()

    def start(self, name: str, command: str) -> None:
        """Start it by its name. A quick job is over in the answer."""
        if _has_ended(self._call("execute", command=command, name=name)):
            self._over.add(name)
        self._started(name)

    def ended(self, *names: str) -> None:
        """Wait for all of them at once, again when the time of one call is up."""
        left = [name for name in names if name not in self._over]
        while left and "still running" in self._call("wait", job_ids=left):
            pass

    def line(self, name: str, pattern: str) -> None:
        """Wait for the line."""
        self._call("wait", job_ids=[name], until=pattern)

    def find(self, name: str, pattern: str) -> None:
        """Search, where the answers so far do not show it."""
        if not _shown(self._meter.seen, pattern):
            self._call("search", job_id=name, pattern=pattern, context=3)

    def say(self, name: str, text: str, answer: str) -> None:
        """Send it; what takes longer than that call is waited for."""
        if not re.search(answer, self._call("interact", job_id=name, input=text)):
            self.line(name, answer)

    def stop(self, name: str) -> None:
        """Kill it."""
        self._call("kill", job_id=name)

    def _call(self, tool: str, /, **arguments: Any) -> str:
        return self._meter.call(tool, **arguments, **self._options.get(tool, {}))


class Peer:
    """mcp-background-job: it has no names, does not wait, and tells the last lines and the status apart."""

    def __init__(self, meter: Meter) -> None:
        self._meter = meter
        self._ids: dict[str, str] = {}

    def start(self, name: str, command: str) -> None:
        """Start it and note its id."""
        self._ids[name] = json.loads(self._meter.call("execute_command", command=command))["job_id"]

    def ended(self, *names: str) -> None:
        """Ask for the status of those that still run, between pauses; then look at their last lines."""
        running = list(names)
        for pause_s in _pauses():
            time.sleep(pause_s)  # noqa: TID251  # what an agent does that cannot wait
            running = [name for name in running if self._status(name) == "running"]
            if not running:
                break
        for name in names:
            self._tail(name)

    def line(self, name: str, pattern: str) -> None:
        """Look at the last lines, between pauses, until one matches."""
        for pause_s in _pauses():
            time.sleep(pause_s)  # noqa: TID251
            if re.search(pattern, self._tail(name)):
                return

    def find(self, name: str, pattern: str) -> None:
        """Fetch the whole output, where the last lines do not show it."""
        if not _shown(self._meter.seen, pattern):
            self._meter.call("get_job_output", job_id=self._ids[name])

    def say(self, name: str, text: str, answer: str) -> None:
        """Send it; what is not answered within its tenth of a second is looked for in the last lines."""
        said = self._meter.call("interact_with_job", job_id=self._ids[name], input=text)
        if not re.search(answer, said):
            self.line(name, answer)

    def stop(self, name: str) -> None:
        """Kill it."""
        self._meter.call("kill_job", job_id=self._ids[name])

    def _status(self, name: str) -> str:
        status: str = json.loads(self._meter.call("get_job_status", job_id=self._ids[name]))["status"]
        return status

    def _tail(self, name: str) -> str:
        return self._meter.call("tail_job_output", job_id=self._ids[name])


def _pauses() -> Sequence[float]:
    return [*PAUSES_S, *([PAUSES_S[-1]] * 20)]


def _has_ended(shown: str) -> bool:
    return not shown.startswith(("running", "queued"))


def _shown(seen: Sequence[str], pattern: str) -> bool:
    return any(re.search(pattern, each) for each in seen)

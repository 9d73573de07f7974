"""The target table: what is measured, and what would be good. A full run has a result for every row, met or missed."""

from collections.abc import Sequence
from dataclasses import dataclass

from tests.perf.measure import Value


@dataclass(frozen=True, slots=True)
class Target:
    """One row. `bound` None: no target, only told."""

    key: str
    what: str
    unit: str  # ×: a ratio to a floor in the same run
    bound: float | None
    at_least: bool = False  # else: at most

    @property
    def group(self) -> str:
        """Which group of rows it belongs to: the file that measures it."""
        return self.key.partition(".")[0]

    def is_met(self, value: Value) -> bool:
        """Return whether the result is within the bound."""
        if self.bound is None:
            return True
        return value.middle >= self.bound if self.at_least else value.middle <= self.bound

    def miss(self, value: Value) -> float:
        """Return by what share of the bound it misses; 0 when it is met."""
        if self.bound is None or self.is_met(value):
            return 0.0
        return abs(value.middle - self.bound) / self.bound if self.bound else 1.0

    def bound_text(self) -> str:
        """Return the bound as people write it."""
        if self.bound is None:
            return ""
        return f"{'≥' if self.at_least else '≤'} {number(self.bound, self.unit)}"


@dataclass(frozen=True, slots=True)
class Result:
    """What was measured for one row. `floor` and `note` are words for people."""

    key: str
    value: Value
    floor: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True)
class Curve:
    """How a cost grows: one line of one plot."""

    plot: str  # the plot's name, which is its file's
    line: str
    points: Sequence[tuple[float, float]]


def number(value: float, unit: str) -> str:
    """Return a value with its unit, with as many digits as mean something."""
    digits = 0 if abs(value) >= 100 or value == int(value) else 1 if abs(value) >= 10 else 2
    return f"{value:,.{digits}f}{'' if unit in ('', '×') else ' '}{unit}"


def _at_most(key: str, what: str, bound: float | None, unit: str) -> Target:
    return Target(key, what, unit, bound)


def _at_least(key: str, what: str, bound: float | None, unit: str) -> Target:
    return Target(key, what, unit, bound, at_least=True)


TARGETS: tuple[Target, ...] = (
    _at_most("start.sh", "request → `sh -c CMD` runs, against posix_spawn, p50", 1.8, "×"),
    _at_most("start.sh_p99", "the same, p99 against the floor's p99", 2.5, "×"),
    _at_most("start.busy", "the same, right after another job ended, p50", None, "×"),
    _at_most("start.true", "`true` submitted over the socket → its end known", 6, "ms"),
    _at_least("start.serial", "200 × `true`, one after another", 200, "jobs/s"),
    _at_least("start.burst", "200 × `true`, all at once", 350, "jobs/s"),
    _at_most("questions.status", "status over the socket, p50", 1, "ms"),
    _at_most("questions.list", "list of 10 over the socket, p50", 1, "ms"),
    _at_most("questions.tail", "tail of 50 lines over the socket, p50", 1, "ms"),
    _at_most("questions.status_100k", "status with 100,000 jobs in the history, against 100", 1.5, "×"),
    _at_most("questions.list_100k", "list of 10 with 100,000 jobs in the history, against 100", 1.5, "×"),
    _at_most("questions.tail_100k", "tail of 50 lines with 100,000 jobs in the history, against 100", 1.5, "×"),
    _at_least("questions.pings", "control requests, 50 clients", 120_000, "/s"),
    _at_least("capture.big", "capture of big writes, against direct to a file", 0.8, "×"),
    _at_least("capture.lines", "capture of 60-byte lines, against direct to a file", 1.4, "×"),
    _at_most("capture.lines_cpu", "CPU for 60-byte lines, against direct to a file", 0.8, "×"),
    _at_most("capture.crowd_lines", "200 jobs that write lines at once, time against 200 writers on files", None, "×"),
    _at_most("capture.crowd_big", "200 jobs that write 16-KiB blocks at once, the same", None, "×"),
    _at_most("logs.tail", "tail of the last 50 lines of a 10 GB log, p50", 10, "ms"),
    _at_most("logs.tail_memory", "memory of the daemon for that", 1, "MiB"),
    _at_least("logs.output", "output of 1 GiB through the socket", 500, "MiB/s"),
    _at_least("logs.followers", "one log to 50 followers while it is written, all together", None, "MiB/s"),
    _at_most("logs.followers_memory", "memory of the daemon for that", None, "MiB"),
    _at_most("memory.idle", "daemon, resident, idle", 35, "MiB"),
    _at_most("memory.jobs", "more after 1,000 jobs", 2, "MiB"),
    _at_most("memory.output", "more after 10 GB of output", 0.25, "MiB"),
    _at_most("memory.runner", "runner of an idle job, PSS (of 100)", 1.1, "MiB"),
    _at_most("memory.terminal", "runner of a job on a terminal, private memory (of 50)", 1.2, "MiB"),
    _at_most("memory.wakeups", "wake-ups of daemon, zygote and runners when nothing happens", 0, "/s"),
    _at_most("ending.wait_exit", "a job's end → its waiter knows, p50", 20, "ms"),
    _at_most("ending.wait_line", "a line is printed → its waiter knows, p50", 20, "ms"),
    _at_most("ending.kill", "kill of an ordinary tree, slowest", 15, "ms"),
    _at_least("ending.kill_complete", "of such kills nobody survived", 100, "%"),
    _at_most("ending.bomb", "kill of a fork bomb of 150, p50", 300, "ms"),
    _at_least("ending.bomb_complete", "of such kills nobody survived, or the receipt says so", 100, "%"),
    _at_most("adoption.live", "a new daemon takes over 1,000 live jobs: time beyond its start", 100, "ms"),
    _at_most("adoption.ended", "daemon ready with 100,000 ended jobs", 300, "ms"),
    _at_most("adoption.rebuild", "daemon ready although the index of 2,000 jobs is lost", 300, "ms"),
    _at_least("adoption.thousand", "1,000 jobs at once that end right", 1000, "jobs"),
    _at_least("adoption.burst", "300 jobs submitted in a burst that end right", 300, "jobs"),
    _at_most("adoption.left", "descriptors, zombies and sockets left by them", 0, ""),
    _at_most("front_ends.status", "`bgjob status` against `python -c pass` in the same environment", 5, "×"),
    _at_most("front_ends.import", "import of bgjobd.client, beyond `python -c pass`", None, "ms"),
    _at_most("front_ends.mcp_true", "`true` through MCP's execute → its result", 8, "ms"),
    _at_most("front_ends.mcp_call", "MCP tool call over stdio, p50", 2, "ms"),
    _at_most("front_ends.mcp_start", "MCP server start → `initialize` answered, against a bare SDK server", 1.1, "×"),
    _at_most("front_ends.mcp_host", "the same with the resident host up", 40, "ms"),
    _at_most("front_ends.mcp_pump", "memory of the process that an MCP client starts, PSS, host up", 10, "MB"),
)

BY_KEY = {target.key: target for target in TARGETS}

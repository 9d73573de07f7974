"""Six everyday tasks, as an agent goes about them, and what it has to know in the end."""

import os
from collections.abc import Callable
from dataclasses import dataclass

from tests.economy.hands import Hands

__all__ = ["JOBS", "TASKS", "Task"]

JOBS = os.path.join(os.path.dirname(__file__), "jobs")  # the programs; servers run in a copy of this directory


@dataclass(frozen=True, slots=True)
class Task:
    """One task.

    Args:
        jobs: the names of its jobs, in the order in which they are started.
        script: does it.
        facts: what an agent has to know when it is done: patterns that must stand in what it was shown.
    """

    name: str
    jobs: tuple[str, ...]
    script: Callable[[Hands], None]
    facts: tuple[str, ...]


def _failing_build(hands: Hands) -> None:
    hands.start("build", "python3 build.py")
    hands.ended("build")
    hands.find("build", r"\berror:")


def _green_tests(hands: Hands) -> None:
    hands.start("suite", "python3 suite.py")
    hands.ended("suite")


def _server_until_ready(hands: Hands) -> None:
    hands.start("server", "python3 server.py")
    hands.line("server", r"Local:\s+http://\S+")
    hands.stop("server")


def _dialogue(hands: Hands) -> None:
    hands.start("shell", "python3 shell.py")
    hands.say("shell", "open orders.db", "opened")
    hands.say("shell", "tables", "orders")
    hands.say("shell", "count orders", r"\d{4}")
    hands.say("shell", "reindex orders", "reindexed")
    hands.say("shell", "sum orders.total", r"\d\.\d\d")
    hands.say("shell", "quit", "bye")


def _download(hands: Hands) -> None:
    hands.start("download", "python3 download.py")
    hands.ended("download")


def _side_by_side(hands: Hands) -> None:
    for name, seconds, exit_code in (("lint", 4, 1), ("types", 9, 0), ("docs", 12, 0)):
        hands.start(name, f"python3 check.py {name} {seconds} {exit_code}")
    hands.ended("lint", "types", "docs")


_EXIT_CODE = r"exit[_ ]code\W{{0,3}}{}\b"

TASKS = (
    Task(
        "a build that fails",
        ("build",),
        _failing_build,
        (_EXIT_CODE.format(2), "expression_216.c:212:17: error", "token->lenght", "build stopped"),
    ),
    Task("2,000 tests that pass", ("suite",), _green_tests, ("completed", "2000 passed in")),
    Task(
        "a dev server until it is ready",
        ("server",),
        _server_until_ready,
        (r"Local:\s+http://127.0.0.1:\d+/", "killed"),
    ),
    Task(
        "a dialogue with a shell",
        ("shell",),
        _dialogue,
        ("3 tables", r"customers\W+n?items\W+n?orders", "184203", "reindexed orders", r"2918844\.50", "bye"),
    ),
    Task("a download with a progress bar", ("download",), _download, ("completed", "sha256 [0-9a-f]{64}", "100%")),
    Task(
        "three checks side by side",
        ("lint", "types", "docs"),
        _side_by_side,
        (_EXIT_CODE.format(1), "unused variable", "lint: 1 problems", "types: 0 problems", "docs: 0 problems"),
    ),
)

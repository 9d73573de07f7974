"""One job that is not over yet, as the daemon holds it in memory.

Theory of operation. A job goes through these phases, only forwards:

    QUEUED --> STARTING --> RUNNING --> LEFT --> OVER
       |           |           '-----------------^
       '-----------'------------------------------^

    QUEUED    spec and live/<id> are on disk; no runner was asked for
    STARTING  a runner was asked for; neither `run` nor `exit` is on disk yet
    RUNNING   `run` is on disk: the command was started
    LEFT      `exit` is on disk, but descendants of the main process go on; the runner stays with them
    OVER      `exit` is on disk and the runner is gone or about to go; the job is being written to the history

Phases follow the records on disk, never a message. `changed` fires at each phase and for anything else that a waiter
might look at; `output_changed` fires when the log may have grown.
"""

import asyncio
import enum

import anyio

from bgjobd.daemon.runners import ProcessWatch, RunnerLink
from bgjobd.protocol import EventType, JobInfo
from bgjobd.runner.records import ExitRecord, RunRecord, Spec


class Phase(enum.IntEnum):
    """Where a job is; see above."""

    QUEUED = 0
    STARTING = 1
    RUNNING = 2
    LEFT = 3
    OVER = 4


class ActiveJob:
    """The state of one job that is not over. Only the supervisor changes it."""

    __slots__ = (
        "_changed", "_output_changed", "blocked", "client_key", "client_max_jobs", "exit", "final", "job_dir",
        "killers", "link", "link_lock", "main_pidfd", "out_end", "phase", "published", "run", "runner_watch",
        "settling", "spec", "told_asking_at", "watching", "windows",
    )  # fmt: skip

    def __init__(self, spec: Spec, job_dir: str) -> None:
        self.spec = spec
        self.job_dir = job_dir
        self.phase = Phase.QUEUED
        self.run: RunRecord | None = None
        self.exit: ExitRecord | None = None
        self.final: JobInfo | None = None  # once it has ended
        self._changed: asyncio.Event | None = None  # of those who wait; most jobs never have any
        self._output_changed: asyncio.Event | None = None
        self.out_end = 0  # as far as we know
        self.blocked = ""
        self.told_asking_at = -1  # the end of the output when subscribers were told that it waits for input
        self.windows: dict[object, tuple[int, int]] = {}  # rows and columns of those that show its terminal, by client
        self.link: RunnerLink | None = None
        self.link_lock: anyio.Lock | None = None  # made when first needed
        self.watching = False  # a WATCH is under way
        self.runner_watch: ProcessWatch | None = None
        self.main_pidfd = -1  # of the main process: the last witness of its exit status
        self.settling = False  # its runner is gone and somebody is finding out what that means
        self.published: set[EventType] = set()  # by an earlier daemon: not to be said twice
        self.client_key = (spec.client_kind, spec.client_name, spec.project)
        self.client_max_jobs = spec.client_max_jobs

    @property
    def job_id(self) -> str:
        """The job's id."""
        return self.spec.job_id

    @property
    def ended(self) -> bool:
        """Whether the main process has ended (descendants may go on)."""
        return self.phase >= Phase.LEFT

    @property
    def has_runner(self) -> bool:
        """Whether a runner should be there to talk to."""
        return Phase.RUNNING <= self.phase <= Phase.LEFT

    @property
    def log_dir(self) -> str:
        """Where its output is."""
        return f"{self.job_dir}/log"

    @property
    def changed(self) -> asyncio.Event:
        """What fires, once, at the next change."""
        if self._changed is None:
            self._changed = asyncio.Event()
        return self._changed

    @property
    def output_changed(self) -> asyncio.Event:
        """What fires, once, when the log may have grown, and at the next change."""
        if self._output_changed is None:
            self._output_changed = asyncio.Event()
        return self._output_changed

    def notify(self) -> None:
        """Wake everybody who waits for a change of this job."""
        if self._changed is not None:
            self._changed.set()
            self._changed = None
        self.notify_output()

    def notify_output(self) -> None:
        """Wake everybody who waits for output."""
        if self._output_changed is not None:
            self._output_changed.set()
            self._output_changed = None

"""One line on the person's terminal while they wait: how long it takes, how much was written, what was written last.

It is erased when the wait is over, and never drawn when standard error is no terminal. The daemon is not polled: it is
asked again when there is new output (a wait for any line behind the cursor), at most once a second; what ticks each
second is the clock of the line, in this process alone.
"""

import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass

from bgjob_cli.connection import Daemon
from bgjob_cli.job_text import is_active, outcome, short_id
from bgjob_cli.last_line import last_line
from bgjob_cli.output import Output
from bgjob_cli.quantities import format_count, format_duration, format_size
from bgjob_cli.terminal_text import printable
from bgjobd.errors import BgjobError
from bgjobd.protocol import Condition, JobInfo, JobStatus, Status, Wait

__all__ = ["LiveLine"]

_PATIENCE_S = 1.0  # most waits are over before anybody wonders
_TICK_S = 1.0
_OLD_S = 5.0  # a line that is older is told with its age
_RATE_COUNTS_S = 2.5  # a rate is that of the last look, and nothing later
_ANY_OUTPUT = Condition(pattern=".")


@dataclass(frozen=True, slots=True)
class _Seen:
    """What the daemon said last, and when that was (monotonic)."""

    jobs: list[JobInfo]
    newest: JobInfo | None  # the job that wrote last
    last_line: str
    bytes_per_s: float
    at: float


class LiveLine:
    """Shows the line while its `with` lasts; what the wait itself does is not its business.

    Args:
        jobs: references to the jobs that are waited for.
        output: where to draw.
    """

    def __init__(self, jobs: Iterable[str], output: Output) -> None:
        self._references = list(jobs)
        self._output = output
        self._began = time.monotonic()
        self._over = threading.Event()
        self._lock = threading.Lock()  # held while drawing, and when it is over
        self._seen: _Seen | None = None
        self._drawn = False

    def __enter__(self) -> "LiveLine":
        if self._output.can_redraw:
            for work in (self._look, self._tick):
                # They end with the process: one of them waits for the daemon, who may have nothing to say.
                threading.Thread(target=work, name=f"live line {work.__name__}", daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._over.set()
            if self._drawn:
                self._output.redraw("")

    def _tick(self) -> None:
        pause_s = _PATIENCE_S
        while not self._over.wait(pause_s):
            pause_s = _TICK_S
            self._draw()

    def _draw(self) -> None:
        with self._lock:
            if self._seen is not None and not self._over.is_set():
                now = time.monotonic()
                self._output.redraw(_text(self._seen, now, now - self._began))
                self._drawn = True

    def _look(self) -> None:
        """Ask the daemon, and again whenever there is news."""
        pause_s = _PATIENCE_S
        with Daemon(autostart=False) as daemon:
            while not self._over.wait(pause_s):
                pause_s = _TICK_S
                try:
                    seen = _look(daemon, self._references, self._seen)
                    self._seen = seen
                    self._draw()
                    _wait_for_news(daemon, seen)
                except BgjobError:
                    continue  # who waits says what is wrong; the line stays as it is


def _look(daemon: Daemon, references: list[str], before: _Seen | None) -> _Seen:
    jobs = daemon.call(Status(jobs=references)).jobs
    now = time.monotonic()
    newest = max((job for job in jobs if job.last_output), key=lambda job: job.last_output or "", default=None)
    rate = 0.0
    if before is not None:
        rate = (_written(jobs) - _written(before.jobs)) / (now - before.at)
    return _Seen(jobs, newest, last_line(daemon, newest) if newest else "", rate, now)


def _wait_for_news(daemon: Daemon, seen: _Seen) -> None:
    """Block until one of the jobs has written more, or has ended."""
    active = [job for job in seen.jobs if is_active(job)]
    if active:
        since = {job.job_id: job.output_bytes for job in active}
        daemon.call(Wait(jobs=list(since), until=[_ANY_OUTPUT], any=True, since=since))


def _written(jobs: list[JobInfo]) -> int:
    return sum(job.output_bytes for job in jobs)


def _text(seen: _Seen, now: float, waited_s: float) -> str:
    """Return the line: `build: running for 1m12s · 1.20 MiB, 30.1 KiB/s · compiling main.c`."""
    parts = [_of_one(seen, now) if len(seen.jobs) == 1 else _of_several(seen, waited_s)]
    written = format_size(_written(seen.jobs))
    if seen.bytes_per_s >= 1 and now - seen.at < _RATE_COUNTS_S:
        written += f", {format_size(round(seen.bytes_per_s))}/s"
    parts.append(written)
    if seen.newest is not None and seen.last_line:
        parts.append(_last(seen, seen.newest, now))
    return " · ".join(parts)


def _of_one(seen: _Seen, now: float) -> str:
    [job] = seen.jobs
    if job.status is JobStatus.RUNNING and job.duration_s is not None:
        return f"{_name(job)}: running for {format_duration(round(job.duration_s + now - seen.at))}"
    return f"{_name(job)}: {outcome(job)}"


def _of_several(seen: _Seen, waited_s: float) -> str:
    left = sum(map(is_active, seen.jobs))
    return f"{left} of {format_count(len(seen.jobs), 'job')} left after {format_duration(round(waited_s))}"


def _last(seen: _Seen, newest: JobInfo, now: float) -> str:
    age_s = (newest.last_output_age_s or 0.0) + now - seen.at
    told = [f"{format_duration(round(age_s))} ago"] if age_s > _OLD_S else []
    told += [_name(newest)] if len(seen.jobs) > 1 else []
    head = f"{', '.join(told)}: " if told else ""
    return head + printable(seen.last_line)


def _name(job: JobInfo) -> str:
    """Return what a person calls it: there is little room."""
    return printable(job.name) or short_id(job)

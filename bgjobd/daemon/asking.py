"""Asks runners whether their jobs wait for input: only when somebody wants to know, and nothing is remembered.

A job that is found waiting is told to subscribers, once for each time it waits: until it wrote or was sent something.
"""

from dataclasses import asdict, dataclass

import anyio
import msgspec

from bgjobd.daemon.job import ActiveJob, Phase
from bgjobd.daemon.runners import Fields, number, text
from bgjobd.daemon.supervisor import Supervisor
from bgjobd.errors import BgjobError
from bgjobd.model.prompt import PROMPT_BYTES, unfinished_line
from bgjobd.policy.asking import Verdict, waits_for_input
from bgjobd.protocol import EventType, InputMode, JobInfo
from bgjobd.runner import control
from bgjobd.store.logs import LogReader

__all__ = ["Asking", "hides_input", "look", "look_at_each", "with_asking"]

_VERDICTS = {verdict.value: verdict for verdict in Verdict}
_MODES = {mode.value: mode for mode in InputMode}


@dataclass(frozen=True, slots=True)
class Asking:
    """What was found, in the words of `JobInfo`."""

    waiting_for_input: bool | None = None
    prompt: str | None = None
    input_mode: InputMode | None = None


async def look(supervisor: Supervisor, job: ActiveJob) -> Asking:
    """Return whether a job waits for input now; nothing is known about one that does not run."""
    if job.phase is not Phase.RUNNING:
        return Asking()
    try:
        fields = await (await supervisor.link(job)).request(control.ASKING)
    except BgjobError:
        return Asking()  # it has just ended
    if text(fields, "error"):
        return Asking()  # a runner of an older version
    asking = _understand(fields, _prompt(job))
    if asking.waiting_for_input:
        _tell(supervisor, job, asking)
    return asking


async def hides_input(supervisor: Supervisor, job: ActiveJob) -> bool:
    """Return whether the terminal of a job hides what is typed now."""
    try:
        fields = await (await supervisor.link(job)).request(control.ASKING)
    except BgjobError:
        return False  # it has just ended
    return _MODES.get(text(fields, "mode")) is InputMode.HIDDEN


async def look_at_each(supervisor: Supervisor, jobs: list[ActiveJob]) -> dict[str, Asking]:
    """Look at several jobs at once; return what was found by job id."""
    found: dict[str, Asking] = {}

    async def one(job: ActiveJob) -> None:
        found[job.job_id] = await look(supervisor, job)

    async with anyio.create_task_group() as tasks:
        for job in jobs:
            tasks.start_soon(one, job, name=f"asking {job.job_id}")
    return found


def with_asking(info: JobInfo, asking: Asking) -> JobInfo:
    """Return what is known about a job, and what was found."""
    return msgspec.structs.replace(info, **asdict(asking))


def _understand(fields: Fields, prompt: str | None) -> Asking:
    mode = _MODES.get(text(fields, "mode"))
    waits = waits_for_input(
        _VERDICTS.get(text(fields, "verdict"), Verdict.UNKNOWN),
        has_prompt=prompt is not None,
        mode=mode,
        sleeps_in_foreground=bool(number(fields, "pid")),
    )
    return Asking(waits, prompt, mode) if waits else Asking(waits)


def _prompt(job: ActiveJob) -> str | None:
    reader = LogReader(job.log_dir)
    end = reader.end()
    job.out_end = max(job.out_end, end)
    part = reader.read(max(0, end - PROMPT_BYTES), max_bytes=PROMPT_BYTES, until=end)
    return unfinished_line(b"".join(run.data for run in part.runs))


def _tell(supervisor: Supervisor, job: ActiveJob, asking: Asking) -> None:
    """Tell subscribers, unless they know."""
    if job.told_asking_at != job.out_end:
        job.told_asking_at = job.out_end
        supervisor.publish(job, EventType.INPUT_NEEDED, asking.prompt or "")

"""The page that `bgjob status` shows about one job. Pure: lines of text out of what the daemon said."""

from collections.abc import Callable, Iterator

from bgjob_cli.job_text import is_active, label, local_time, outcome, short_id, status_style
from bgjob_cli.quantities import format_count, format_duration, format_size
from bgjob_cli.receipt_text import receipt_lines
from bgjob_cli.terminal_text import printable
from bgjobd.protocol import ClientInfo, InputMode, JobInfo, ProcessInfo

__all__ = ["job_report"]

_LABEL_WIDTH = 12


def job_report(job: JobInfo, paint: Callable[[str, str], str]) -> Iterator[str]:
    """Return the lines about `job`: what is not known or does not matter is left out."""
    yield f"{paint(label(job), 'strong')}  {paint(outcome(job), status_style(job))}"
    for name, values in _facts(job):
        for number, value in enumerate(values):
            title = "" if number else name
            yield f"  {paint(title.ljust(_LABEL_WIDTH), 'dim')}{value}"


def _facts(job: JobInfo) -> Iterator[tuple[str, list[str]]]:
    """Return the named facts in the order a person asks for them; one may have several lines."""
    yield "id", [job.job_id]
    yield "command", [printable(job.command)]
    yield "directory", [printable(job.cwd)]
    yield "submitted", [_submitted(job)]
    for name, stamp in (("started", job.started), ("ended", job.ended)):
        if stamp:
            yield name, [local_time(stamp)]
    yield from _warnings(job)
    yield "output", [_output(job)]
    yield from _resources(job)
    yield from _process_facts(job)
    yield from _limits(job)
    if job.receipt is not None:
        yield "kill", list(receipt_lines(job.receipt))


def _submitted(job: JobInfo) -> str:
    return " ".join(filter(None, [local_time(job.submitted), _client(job.client)]))


def _client(client: ClientInfo | None) -> str:
    """Return who submitted it: `by mcp claude-code 2.1`."""
    if client is None:
        return ""
    return printable(" ".join(filter(None, ["by", client.kind, client.name, client.version])))


def _warnings(job: JobInfo) -> Iterator[tuple[str, list[str]]]:
    if job.blocked:
        yield "blocked", [printable(job.blocked)]
    if job.waiting_for_input:
        yield "waits for", list(_input(job))
    if job.warnings:
        yield "note", [printable(warning) for warning in job.warnings]


def _input(job: JobInfo) -> Iterator[str]:
    """Return what it asks, and how to answer."""
    is_secret = job.input_mode is InputMode.HIDDEN
    what = "a secret" if is_secret else "input"
    yield f"{what}: {printable(job.prompt)}" if job.prompt else what
    yield f"answer it with: bgjob {'answer' if is_secret else 'send'} {short_id(job)}"


def _output(job: JobInfo) -> str:
    """Return how much was written, how much of it is gone, and when the last of it came."""
    parts = [format_size(job.output_bytes)]
    if job.dropped_bytes:
        parts.append(f"{format_count(job.dropped_bytes, 'byte')} of it dropped to stay within the limit")
    if job.last_output_age_s is not None:
        parts.append(f"last {format_duration(job.last_output_age_s)} ago")
    return ", ".join(parts)


def _resources(job: JobInfo) -> Iterator[tuple[str, list[str]]]:
    parts = []
    if job.cpu_s is not None:
        parts.append(f"cpu {format_duration(job.cpu_s)}")
    if job.peak_rss_bytes is not None:
        parts.append(f"memory up to {format_size(job.peak_rss_bytes)}")
    if parts:
        yield "used", [", ".join(parts)]


def _process_facts(job: JobInfo) -> Iterator[tuple[str, list[str]]]:
    if job.processes and is_active(job):
        yield "processes", list(_tree(job.processes))
    if job.ports:
        yield "ports", [", ".join(map(str, job.ports))]
    if job.left_behind:
        yield "left behind", [*_tree(job.left_behind), f"end them with: bgjob kill {short_id(job)}"]


def _tree(processes: list[ProcessInfo]) -> Iterator[str]:
    """Return one line per process, children below and right of their parent."""
    known = {process.pid for process in processes}
    children: dict[int, list[ProcessInfo]] = {}
    for process in processes:
        children.setdefault(process.parent_pid if process.parent_pid in known else 0, []).append(process)
    pending = [(0, process) for process in reversed(children.get(0, []))]
    while pending:
        depth, process = pending.pop()
        yield "  " * depth + _process(process)
        pending += [(depth + 1, child) for child in reversed(children.get(process.pid, []))]


def _process(process: ProcessInfo) -> str:
    parts = [str(process.pid), printable(process.command or process.name)]
    if process.state not in ("", "running", "sleeping"):
        parts.append(f"({process.state})")
    if process.ports:
        parts.append(f"listens on {', '.join(map(str, process.ports))}")
    return " ".join(parts)


def _limits(job: JobInfo) -> Iterator[tuple[str, list[str]]]:
    parts = []
    if job.timeout_s is not None:
        parts.append(f"{format_duration(job.timeout_s)} in all")
    if job.idle_timeout_s is not None:
        parts.append(f"{format_duration(job.idle_timeout_s)} without output")
    if job.max_output_bytes is not None:
        parts.append(f"keeps {format_size(job.max_output_bytes)} of output")
    if parts:
        yield "limits", [", ".join(parts)]

"""The page that `bgjob status` shows about one job. Pure: lines of text out of what the daemon said."""

from collections.abc import Callable, Iterator

from bgjob_cli.job_text import ago, is_active, label, local_time, outcome, short_id, status_style
from bgjob_cli.quantities import format_count, format_duration, format_size
from bgjob_cli.receipt_text import receipt_lines
from bgjob_cli.terminal_text import cut, display_width, printable, wrapped
from bgjobd.protocol import ClientInfo, InputMode, JobInfo, ProcessInfo

__all__ = ["job_report"]

_LABEL_WIDTH = 12
_INDENT = 2 + _LABEL_WIDTH
_LEAST_WIDTH = 8  # of a command beside what its process uses
_USUAL_OUTPUT_BYTES = 64 << 20  # the built-in max_output_bytes: not worth a word


def job_report(
    job: JobInfo, paint: Callable[[str, str], str], *, now_unix_s: float, last_line: str = "", width: int | None = None
) -> Iterator[str]:
    """Return the lines about `job`: what is not known or does not matter is left out.

    First what it is doing, then what it is. The last line and the processes are cut at the width of the terminal.

    Args:
        job: with details.
        paint: gives text its style.
        now_unix_s: for what is told as an age.
        last_line: the last line it wrote, as a terminal would show it.
        width: columns of the terminal; None for no limit.
    """
    yield f"{paint(label(job), 'strong')}  {paint(outcome(job), status_style(job))}"
    room = None if width is None else max(width - _INDENT, _LEAST_WIDTH)
    for name, values in _facts(job, now_unix_s, last_line, room):
        for number, value in enumerate(values):
            title = "" if number else name
            yield f"  {paint(title.ljust(_LABEL_WIDTH), 'dim')}{value}"


def _facts(job: JobInfo, now_unix_s: float, last_line: str, room: int | None) -> Iterator[tuple[str, list[str]]]:
    """Return the named facts in the order a person asks for them; one may have several lines."""
    yield from _warnings(job)
    if last_line:
        yield "last line", [_cut(printable(last_line), room)]
    yield "output", [_output(job)]
    yield from _resources(job)
    yield from _process_facts(job, room)
    yield "command", [printable(job.command)]
    yield "directory", [printable(job.cwd)]
    yield from _times(job, now_unix_s)
    yield from _limits(job, room)
    if job.receipt is not None:
        yield "kill", [part for line in receipt_lines(job.receipt) for part in wrapped(line, room)]
    yield "id", [job.job_id]


def _cut(text: str, room: int | None) -> str:
    return text if room is None else cut(text, room)


def _times(job: JobInfo, now_unix_s: float) -> Iterator[tuple[str, list[str]]]:
    """Return when it was submitted, started and ended; the start only where the job had to wait for it."""
    by = _client(job.client)
    yield "submitted", [_when(job.submitted, now_unix_s) + (f", {by}" if by else "")]
    if job.started and (job.queued_s or 0) >= 1:
        yield "started", [_when(job.started, now_unix_s)]
    if job.ended:
        yield "ended", [_when(job.ended, now_unix_s)]


def _when(stamp: str, now_unix_s: float) -> str:
    return f"{local_time(stamp)}, {ago(stamp, now_unix_s)}"


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
    """Return what it uses now, or used in all. Of what has ended, the kernel knows the largest process only."""
    parts = []
    if job.cpu_s is not None:
        parts.append(f"cpu {format_duration(job.cpu_s)}")
    if job.peak_rss_bytes is not None:
        parts.append(f"memory {'' if is_active(job) else 'up to '}{format_size(job.peak_rss_bytes)}")
    if parts:
        yield "uses" if is_active(job) else "used", [", ".join(parts)]


def _process_facts(job: JobInfo, room: int | None) -> Iterator[tuple[str, list[str]]]:
    if job.ports:
        yield "ports", [", ".join(map(str, job.ports))]
    if job.processes and is_active(job):
        yield "processes", list(_tree(job.processes, room))
    if job.left_behind:
        yield "left behind", [*_tree(job.left_behind, room), f"end them with: bgjob kill {short_id(job)}"]


def _tree(processes: list[ProcessInfo], room: int | None) -> Iterator[str]:
    """Return one line per process, children below and right of their parent."""
    known = {process.pid for process in processes}
    children: dict[int, list[ProcessInfo]] = {}
    for process in processes:
        children.setdefault(process.parent_pid if process.parent_pid in known else 0, []).append(process)
    pending = [("", "", process) for process in reversed(children.get(0, []))]
    while pending:
        branch, below, process = pending.pop()
        yield _process(process, branch, room)
        own = children.get(process.pid, [])
        ends = [("└ ", "  "), *[("├ ", "│ ")] * (len(own) - 1)]
        pending += [
            (below + branch, below + rest, child) for (branch, rest), child in zip(ends, reversed(own), strict=False)
        ]


def _process(process: ProcessInfo, branch: str, room: int | None) -> str:
    """Return `└ 4242 python3 -m http.server  (17.4 MiB, cpu 1.2s, listens on 8000)`; the command gives way."""
    notes = [] if process.state in ("", "running", "sleeping", "idle", "disk-sleep") else [process.state]
    if process.rss_bytes:
        notes.append(format_size(process.rss_bytes))
    if process.cpu_s:
        notes.append(f"cpu {format_duration(process.cpu_s)}")
    if process.ports:
        notes.append(f"listens on {', '.join(map(str, process.ports))}")
    told = f"  ({', '.join(notes)})" if notes else ""
    head = f"{branch}{process.pid} "
    command = printable(process.command or process.name)
    if room is not None:
        command = cut(command, max(room - display_width(head) - display_width(told), _LEAST_WIDTH))
    return f"{head}{command}{told}"


def _limits(job: JobInfo, room: int | None) -> Iterator[tuple[str, list[str]]]:
    parts = []
    if job.timeout_s is not None:
        parts.append(f"{format_duration(job.timeout_s)} in all")
    if job.idle_timeout_s is not None:
        parts.append(f"{format_duration(job.idle_timeout_s)} without output")
    if job.max_memory_bytes is not None:
        parts.append(f"{format_size(job.max_memory_bytes)} of memory")
    if job.max_cpu_s is not None:
        parts.append(f"{format_duration(job.max_cpu_s)} of processor time")
    if job.nice:
        parts.append(f"nice {job.nice}")
    if job.max_output_bytes not in (None, _USUAL_OUTPUT_BYTES):
        parts.append(f"keeps {format_size(job.max_output_bytes)} of output")
    if parts:
        yield "limits", list(wrapped(", ".join(parts), room))

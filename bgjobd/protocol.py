"""Every message on the control socket, as bare msgspec Structs: no behaviour, no I/O.

Rules: messages only grow. New fields have defaults, unknown fields are ignored, a type or a meaning never changes.
Byte strings are used where POSIX has bytes (argv, environment, paths, output). Times for people and scripts are
RFC 3339 UTC strings with milliseconds; durations are seconds. A cursor is an absolute byte offset in a job's merged
output.

A connection starts with one `Hello` each way. Then the client sends `Call` frames and the daemon answers each with
`Answer` frames of the same id: exactly one final one (`reply` or `error`), for a `StreamRequest` after any number of
`item` ones. Calls are answered in any order.
"""

from enum import StrEnum
from typing import Any, ClassVar, Generic, TypeVar

import msgspec

from bgjobd.errors import ErrorCode
from bgjobd.version import PROTOCOL_MAJOR, PROTOCOL_MINOR

__all__ = [
    "Answer",
    "AnswerKind",
    "Call",
    "Cancel",
    "ClientInfo",
    "Condition",
    "DaemonStatus",
    "DaemonStatusReply",
    "Empty",
    "EndReason",
    "ErrorBody",
    "Event",
    "EventType",
    "Events",
    "EventsReply",
    "Fired",
    "Follow",
    "FollowItem",
    "FollowReply",
    "Gap",
    "GetSettings",
    "Hello",
    "InputMode",
    "JobInfo",
    "JobReply",
    "JobStatus",
    "JobsReply",
    "Keep",
    "Kill",
    "KillReply",
    "ListJobs",
    "Match",
    "Message",
    "Output",
    "OutputReply",
    "Ping",
    "ProcessEnd",
    "ProcessInfo",
    "Prune",
    "Receipt",
    "Remove",
    "RemoveReply",
    "Request",
    "Resize",
    "Restrictions",
    "Run",
    "Screen",
    "ScreenReply",
    "Search",
    "SearchReply",
    "Send",
    "SendReply",
    "SettingValue",
    "SettingsReply",
    "Shutdown",
    "Status",
    "Stream",
    "StreamRequest",
    "Submit",
    "Tail",
    "TaskCancel",
    "TaskCreate",
    "TaskGet",
    "TaskInfo",
    "TaskReply",
    "TaskStatus",
    "Wait",
    "WaitReply",
]

ReplyT = TypeVar("ReplyT", bound=msgspec.Struct)
ItemT = TypeVar("ItemT", bound=msgspec.Struct)


class Message(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Base of everything that crosses the socket."""


# --- connection ------------------------------------------------------------------------------------------------------


class ClientInfo(Message, frozen=True, kw_only=True):
    """Who is asking. Jobs are tagged with it, so that a client that lost its memory finds them again."""

    kind: str = "other"  # cli, mcp, other
    name: str = ""  # e.g. the MCP client's name
    version: str = ""
    session: str = ""  # the client's own session id, where it has one
    project: str = ""  # absolute path of the project directory, where one is known
    pid: int = 0


class Restrictions(Message, frozen=True, kw_only=True):
    """What a client asks for itself. It can only tighten what the configuration allows."""

    max_jobs: int | None = None  # running jobs of this client's kind and project; further ones wait as queued
    max_output_bytes: int | None = None
    timeout_s: float | None = None  # default and upper bound for its jobs
    allowed_commands: list[str] = []  # regexes, one has to match
    denied_commands: list[str] = []


class Hello(Message, frozen=True, kw_only=True, omit_defaults=False):
    """The first frame each way. Nothing is left out: the reader's default of a version would be its own version."""

    protocol_major: int = PROTOCOL_MAJOR
    protocol_minor: int = PROTOCOL_MINOR
    program: str = ""
    version: str = ""
    capabilities: list[str] = []
    client: ClientInfo | None = None  # from a client
    restrictions: Restrictions | None = None  # from a client
    pid: int = 0


class Call(msgspec.Struct, frozen=True, array_like=True):
    """A request in its envelope. `op` "cancel" carries a `Cancel` and has no answer."""

    id: int
    op: str
    body: msgspec.Raw


class AnswerKind(StrEnum):
    """What an `Answer` carries."""

    REPLY = "reply"
    ITEM = "item"
    ERROR = "error"


class Answer(msgspec.Struct, frozen=True, array_like=True):
    """A reply in its envelope. Id 0 is an error about the connection itself, which is then closed."""

    id: int
    kind: AnswerKind
    body: msgspec.Raw


class Cancel(Message, frozen=True, kw_only=True):
    """Stops the call `id`; its final answer is then an error CANCELLED, unless it was already on its way."""

    op: ClassVar[str] = "cancel"
    id: int


class ErrorBody(Message, frozen=True, kw_only=True):
    """What a `BgjobError` looks like on the wire. `code` is a string so that newer daemons can have newer codes."""

    code: str = ErrorCode.INTERNAL.value
    message: str = ""
    hint: str = ""
    details: dict[str, Any] = {}


class Request(Message, Generic[ReplyT], frozen=True, kw_only=True):
    """Base of requests with one reply."""

    op: ClassVar[str]
    reply: ClassVar[type[msgspec.Struct]]


class StreamRequest(Message, Generic[ItemT, ReplyT], frozen=True, kw_only=True):
    """Base of requests that are answered by items and then one reply."""

    op: ClassVar[str]
    item: ClassVar[type[msgspec.Struct]]
    reply: ClassVar[type[msgspec.Struct]]


class Empty(Message, frozen=True, kw_only=True):
    """A reply that says only: done."""


# --- jobs ------------------------------------------------------------------------------------------------------------


class JobStatus(StrEnum):
    """Where a job is. The first two are active, the others are final."""

    QUEUED = "queued"
    RUNNING = "running"
    COMPLETED = "completed"  # exit 0
    FAILED = "failed"  # non-zero exit, a signal bgjob did not send, or could not start
    KILLED = "killed"  # bgjob ended it: a user, a time limit, a limit
    LOST = "lost"  # its end was not observed


class EndReason(StrEnum):
    """Why a job ended."""

    EXIT = "exit"
    SIGNAL = "signal"
    USER = "user"
    TIMEOUT = "timeout"
    IDLE_TIMEOUT = "idle_timeout"
    SPAWN_FAILED = "spawn_failed"
    CANCELLED = "cancelled"  # killed before it started
    DEPENDENCY = "dependency"
    REBOOT = "reboot"
    UNOBSERVED = "unobserved"
    OOM = "oom"


class Stream(StrEnum):
    """Which part of a job's output. `merged` is both in the order they were written."""

    MERGED = "merged"
    STDOUT = "stdout"
    STDERR = "stderr"


class InputMode(StrEnum):
    """How the terminal of a job takes what is typed, while the job waits for it."""

    LINE = "line"  # whole lines, shown as they are typed
    HIDDEN = "hidden"  # whole lines, not shown: a secret, for a person to type
    RAW = "raw"  # each key at once: editors, pagers, prompts with line editing


class ProcessInfo(Message, frozen=True, kw_only=True):
    """One live process of a job, sampled when asked."""

    pid: int
    parent_pid: int = 0
    name: str = ""
    command: str = ""
    started: str = ""
    state: str = ""  # psutil's word: running, sleeping, stopped, zombie …
    cpu_s: float = 0.0
    rss_bytes: int = 0
    ports: list[int] = []  # TCP ports it listens on


class ProcessEnd(Message, frozen=True, kw_only=True):
    """One line of a kill's receipt."""

    pid: int
    name: str = ""
    started: str = ""
    signals: list[str] = []  # in the order they were sent: SIGTERM, SIGKILL
    ended: str = ""  # "exit N", "SIGTERM" …, "gone" (its own parent reaped it), "" (survived)


class Receipt(Message, frozen=True, kw_only=True):
    """The answer to a kill."""

    job_id: str
    name: str = ""
    status: str = ""  # killed, signalled, already_terminated, incomplete
    processes: list[ProcessEnd] = []
    survivors: list[ProcessEnd] = []
    duration_s: float = 0.0
    note: str = ""


class JobInfo(Message, frozen=True, kw_only=True):
    """All that is known about a job. The field names are those of `bgjob status JOB --json` and of the MCP `status`."""

    job_id: str
    name: str = ""
    status: JobStatus = JobStatus.QUEUED
    reason: EndReason | None = None
    exit_code: int | None = None  # also 126/127 when it could not be executed
    signal: str | None = None  # SIGTERM …
    error: str = ""  # why it could not start, or why it is lost
    command: str = ""  # as text, for people; invalid bytes replaced
    argv: list[str] | None = None  # when it was submitted as an argv
    cwd: str = ""
    pid: int | None = None
    runner_pid: int | None = None  # of the process that supervises it, while it is active
    submitted: str = ""
    started: str | None = None
    ended: str | None = None
    duration_s: float | None = None  # so far, or in all
    queued_s: float | None = None
    queue_position: int | None = None  # 1 is next
    output_bytes: int = 0  # all that was written
    kept_bytes: int = 0
    dropped_bytes: int = 0
    last_output: str | None = None
    last_output_age_s: float | None = None
    cpu_s: float | None = None
    peak_rss_bytes: int | None = None
    processes: list[ProcessInfo] | None = None  # only where details were asked for
    ports: list[int] | None = None  # only where details were asked for
    left_behind: list[ProcessInfo] = []  # descendants that outlived the main process
    left_behind_count: int = 0
    waiting_for_input: bool | None = None  # sampled where that was asked for; None: unknown
    prompt: str | None = None  # its last line, when that is not finished
    input_mode: InputMode | None = None  # None: it has no terminal, or does not wait
    blocked: str = ""  # e.g. "disk full"
    killed_by: str | None = None  # the actor
    kill_reason: str | None = None
    seen_by: str | None = None  # who observed the end: runner, zygote, daemon, pidfd
    timeout_s: float | None = None
    idle_timeout_s: float | None = None
    max_output_bytes: int | None = None
    max_memory_bytes: int | None = None
    max_cpu_s: int | None = None
    nice: int | None = None
    merge_stderr: bool = False
    pty: bool = False
    stdin_open: bool | None = None
    client: ClientInfo | None = None
    receipt: Receipt | None = None
    warnings: list[str] = []  # e.g. a value that was tightened

    @property
    def reached_time_limit(self) -> bool:
        """Whether it was `timeout_s` that ended a job of reason `timeout`; else it was its limit of processor time."""
        return self.timeout_s is not None and (self.duration_s is None or self.duration_s >= self.timeout_s)


class JobReply(Message, frozen=True, kw_only=True):
    """One job."""

    job: JobInfo
    replayed: bool = False  # the idempotency key was known: this is the first answer


class JobsReply(Message, frozen=True, kw_only=True):
    """Several jobs, newest first."""

    jobs: list[JobInfo]
    total: int = 0  # how many matched before `limit`


class Submit(Request[JobReply], frozen=True, kw_only=True):
    """Start a command as a job, or queue it.

    Exactly one of `command` (a shell command line) and `argv` (executed exactly) is given.
    """

    op: ClassVar[str] = "submit"
    reply: ClassVar[type[msgspec.Struct]] = JobReply

    command: bytes | None = None
    argv: list[bytes] | None = None
    shell: str | None = None  # default: configuration, then /bin/sh
    name: str = ""
    cwd: bytes  # absolute
    env: dict[bytes, bytes]  # the whole environment
    umask: int = 0o022
    timeout_s: float | None = None
    idle_timeout_s: float | None = None
    stop_signal: str | None = None
    grace_s: float | None = None
    max_output_bytes: int | None = None
    merge_stderr: bool = False
    pty: bool = False
    rows: int = 24
    columns: int = 80
    stdin_file: bytes | None = None  # absolute; default: a pipe that `send` writes to
    kill_leftovers: bool = False
    nice: int | None = None
    max_memory_bytes: int | None = None
    max_cpu_s: int | None = None
    on_exit: bytes | None = None  # a shell command line, run when the job has ended
    project: str = ""
    idempotency_key: str = ""
    wait_s: float = 0.0  # answer early when the job ends, at the latest after this long


class ListJobs(Request[JobsReply], frozen=True, kw_only=True):
    """Active jobs first, then ended ones, each newest first."""

    op: ClassVar[str] = "list_jobs"
    reply: ClassVar[type[msgspec.Struct]] = JobsReply

    status: list[JobStatus] = []  # empty: any
    cwd: str = ""
    project: str = ""
    limit: int = 100
    ended: bool = True  # also ended jobs
    sample_input: bool = False  # look whether the running ones among the first 100 wait for input


class Status(Request[JobsReply], frozen=True, kw_only=True):
    """What is known about some jobs, in the order asked."""

    op: ClassVar[str] = "status"
    reply: ClassVar[type[msgspec.Struct]] = JobsReply

    jobs: list[str]  # references: id, prefix of at least 4 characters, or name
    details: bool = False  # sample processes, ports, cpu, memory, and whether it waits for input


# --- output ----------------------------------------------------------------------------------------------------------


class Run(Message, frozen=True, kw_only=True):
    """Bytes of one stream, in order."""

    offset: int  # cursor of the first byte
    stream: Stream = Stream.MERGED
    data: bytes
    time_unix_ms: int = 0  # when the first byte arrived


class Gap(Message, frozen=True, kw_only=True):
    """Bytes that are not in a reply: `start` up to, not including, `end`."""

    start: int
    end: int
    reason: str = "dropped"  # dropped: no longer kept; budget: ask again with since=start
    stream_bytes: int | None = None  # how many are of the one stream asked for; None: all of them, or unknown (dropped)


class Keep(StrEnum):
    """Which part to answer when there is more than the budget."""

    HEAD = "head"
    TAIL = "tail"
    HEAD_TAIL = "head_tail"


class OutputReply(Message, frozen=True, kw_only=True):
    """A part of the output. `runs` and `gaps` together cover `since`..`cursor` exactly (for stream `merged`)."""

    job: JobInfo
    runs: list[Run] = []
    gaps: list[Gap] = []
    since: int = 0
    cursor: int = 0  # ask again with since=cursor for what follows
    end: int = 0  # bytes written so far


class Output(Request[OutputReply], frozen=True, kw_only=True):
    """Read output from a cursor, within a budget. Never blocks."""

    op: ClassVar[str] = "output"
    reply: ClassVar[type[msgspec.Struct]] = OutputReply

    job: str
    stream: Stream = Stream.MERGED
    since: int = 0
    until: int | None = None
    max_bytes: int = 1 << 20
    keep: Keep = Keep.HEAD
    split: bool = True  # runs by stream; False: merged runs, as large as possible


class Tail(Request[OutputReply], frozen=True, kw_only=True):
    """The last `lines` lines, within a budget."""

    op: ClassVar[str] = "tail"
    reply: ClassVar[type[msgspec.Struct]] = OutputReply

    job: str
    lines: int = 50
    stream: Stream = Stream.MERGED
    max_bytes: int = 1 << 20
    split: bool = True


class FollowItem(Message, frozen=True, kw_only=True):
    """Either output or a gap, in order."""

    run: Run | None = None
    gap: Gap | None = None


class FollowReply(Message, frozen=True, kw_only=True):
    """The end of a follow: the job has ended and all of its output was sent."""

    job: JobInfo
    cursor: int = 0


class Follow(StreamRequest[FollowItem, FollowReply], frozen=True, kw_only=True):
    """Stream output from a cursor or from the last lines on, byte-exact.

    With `follow` until the job ended and everything was sent; without it up to what there is now.
    """

    op: ClassVar[str] = "follow"
    item: ClassVar[type[msgspec.Struct]] = FollowItem
    reply: ClassVar[type[msgspec.Struct]] = FollowReply

    job: str
    since: int | None = None  # a cursor; default: all that is kept, or `lines`
    lines: int | None = None
    stream: Stream = Stream.MERGED
    split: bool = False
    follow: bool = True
    leftovers: bool = True  # go on while descendants that outlived the job may write; else end with its main process


class Match(Message, frozen=True, kw_only=True):
    """A line that matched."""

    line_number: int  # from 1, counting lines of the searched stream; of what is kept when bytes were dropped
    cursor: int  # of the line's first byte
    line: bytes  # at most 4 KiB of it, without its end
    column: int = 0  # where in the line `line` begins: more than 0 when its beginning was cut
    line_bytes: int = 0  # how long the whole line is, as far as it was searched
    before: list[bytes] = []
    after: list[bytes] = []


class SearchReply(Message, frozen=True, kw_only=True):
    """Lines that matched, in order."""

    job: JobInfo
    matches: list[Match] = []
    total: int = 0  # all that matched, also past the limit
    searched_bytes: int = 0
    gaps: list[Gap] = []


class Search(Request[SearchReply], frozen=True, kw_only=True):
    """Find lines of the output by a regular expression."""

    op: ClassVar[str] = "search"
    reply: ClassVar[type[msgspec.Struct]] = SearchReply

    job: str
    pattern: str
    stream: Stream = Stream.MERGED
    ignore_case: bool = False
    context: int = 0
    limit: int = 100


class ScreenReply(Message, frozen=True, kw_only=True):
    """What a terminal shows of a job's output. `caret_row` and `caret_column` count from 0."""

    job: JobInfo
    rows: int = 0
    columns: int = 0
    lines: list[str] = []  # one for each row, without blanks at their ends
    caret_row: int = 0
    caret_column: int = 0
    caret_visible: bool = True
    alternate: bool = False  # the alternate screen, which full-screen programs use
    title: str = ""
    cursor: int = 0  # output after it is not on the screen yet
    paint: bytes = b""  # where asked for


class Screen(Request[ScreenReply], frozen=True, kw_only=True):
    """Show a job's output as its terminal does: for full-screen programs, whose output is not lines.

    Drawn from the end of the log: from the last time the screen was cleared, at most 256 KiB. Also for a job without
    a terminal, as if it had one of 24 rows and 80 columns. A terminal of more than 300 rows or 1000 columns is drawn
    that large.
    """

    op: ClassVar[str] = "screen"
    reply: ClassVar[type[msgspec.Struct]] = ScreenReply

    job: str
    paint: bool = False  # also return what makes a terminal of the same size show this screen, and be in its modes


# --- steering --------------------------------------------------------------------------------------------------------


class SendReply(Message, frozen=True, kw_only=True):
    """How much of the input the job's standard input took."""

    job_id: str
    accepted_bytes: int = 0
    eof: bool = False
    cursor: int = 0  # the end of the output just before the input was sent


class Send(Request[SendReply], frozen=True, kw_only=True):
    """Write to a job's standard input: `data`, then what the Enter key sends, then `keys`; then end it with `eof`.

    Answers when all was taken, or after `timeout_s` with STDIN_FULL, whose details say how much was taken. On a
    terminal `eof` sends its end-of-file character; else it closes the pipe.
    """

    op: ClassVar[str] = "send"
    reply: ClassVar[type[msgspec.Struct]] = SendReply

    job: str
    data: bytes = b""
    newline: bool = False  # what the Enter key sends: CR on a terminal, LF to a pipe
    keys: str = ""  # names of keys, separated by blanks: C-c Up Enter; see bgjobd.keys. Only for a terminal
    eof: bool = False
    timeout_s: float | None = None
    hidden: bool = False  # refuse with REFUSED unless the terminal hides what is typed: for secrets


class KillReply(Message, frozen=True, kw_only=True):
    """What a kill did."""

    receipt: Receipt
    job: JobInfo


class Kill(Request[KillReply], frozen=True, kw_only=True):
    """End a job's whole tree, or send it one signal. Answers when the tree is gone.

    Without `signal`, or with KILL: the stop ladder. With another signal: only that signal, to the job's process group.
    """

    op: ClassVar[str] = "kill"
    reply: ClassVar[type[msgspec.Struct]] = KillReply

    job: str
    signal: str | None = None  # any name or number
    grace_s: float | None = None
    reason: str = ""


class Condition(Message, frozen=True, kw_only=True):
    """One thing to wait for. Exactly one field is set; none means: the job's end."""

    pattern: str | None = None  # a regular expression on lines of new output
    port: int | None = None  # a process of the job listens on it
    quiet_s: float | None = None  # no output for this long


class Fired(Message, frozen=True, kw_only=True):
    """A condition that came true."""

    job_id: str
    condition: str  # exit, pattern, port, quiet, needs_input
    cursor: int = 0  # for a pattern: of the matching line
    line: bytes = b""


class WaitReply(Message, frozen=True, kw_only=True):
    """Why the wait is over."""

    fired: list[Fired] = []
    timed_out: bool = False
    jobs: list[JobInfo] = []  # in the order asked


class Wait(Request[WaitReply], frozen=True, kw_only=True):
    """Block until a condition holds for all of `jobs`, or for any of them.

    With `needs_input` also until one of them waits for input, which is looked for when it has been quiet for 0.2 s, and
    again when it has been so for twice as long. That ends the wait for all: nothing may happen until somebody answers.
    The reply then says of each running job whether it waits for input.

    A job's end ends the wait for it in any case. Waiting has no effect on the job; cancelling ends only the wait.
    """

    op: ClassVar[str] = "wait"
    reply: ClassVar[type[msgspec.Struct]] = WaitReply

    jobs: list[str]
    until: list[Condition] = []  # any of these, for each job; empty: its end
    any: bool = False
    timeout_s: float | None = None
    since: dict[str, int] = {}  # job id → cursor where "new" output begins; default: now
    needs_input: bool = False
    # Job id → end of its output at which the caller was told that it waits for input: that ends no wait again.
    input_told: dict[str, int] = {}


# --- tasks: waits that one connection asks for and another one collects ----------------------------------------------


class TaskStatus(StrEnum):
    """Where a task is. Only `working` may still change."""

    WORKING = "working"
    COMPLETED = "completed"  # the wait is over, also because of an error
    CANCELLED = "cancelled"


class TaskInfo(Message, frozen=True, kw_only=True):
    """A wait that nobody has to hold a connection for. Kept by the daemon until it expires, also over restarts."""

    task_id: str  # cannot be guessed: who knows it may ask for it
    status: TaskStatus = TaskStatus.WORKING
    created: str = ""
    updated: str = ""  # when the status last changed
    ttl_s: float = 0.0  # it is forgotten this long after `created`
    context: bytes = b""  # as given by the client that made it
    jobs: list[JobInfo] = []  # how they are now, while it is working
    result: WaitReply | None = None  # when completed
    error: ErrorBody | None = None  # when completed: why the wait could not go on, e.g. a job was removed


class TaskReply(Message, frozen=True, kw_only=True):
    """A task; none where there is none of that id, or it has expired."""

    task: TaskInfo | None = None


class TaskCreate(Request[TaskReply], frozen=True, kw_only=True):
    """Begin a wait and answer at once with a task, which is on disk by then."""

    op: ClassVar[str] = "task_create"
    reply: ClassVar[type[msgspec.Struct]] = TaskReply

    wait: Wait
    ttl_s: float = 86_400.0
    context: bytes = b""  # kept with the task for whoever collects it


class TaskGet(Request[TaskReply], frozen=True, kw_only=True):
    """Ask how a task is. Never blocks."""

    op: ClassVar[str] = "task_get"
    reply: ClassVar[type[msgspec.Struct]] = TaskReply

    task_id: str


class TaskCancel(Request[TaskReply], frozen=True, kw_only=True):
    """End a task's wait, never its jobs. A task that is over stays as it is."""

    op: ClassVar[str] = "task_cancel"
    reply: ClassVar[type[msgspec.Struct]] = TaskReply

    task_id: str


# --- events ----------------------------------------------------------------------------------------------------------


class EventType(StrEnum):
    """What happened to a job."""

    QUEUED = "queued"
    STARTED = "started"
    ENDED = "ended"
    LEFT_GONE = "left_gone"  # the last descendant that outlived the main process is gone
    RESCUED = "rescued"  # its runner died and another one took over
    BLOCKED = "blocked"  # its output cannot be written
    UNBLOCKED = "unblocked"
    INPUT_NEEDED = "input_needed"
    REMOVED = "removed"


class Event(Message, frozen=True, kw_only=True):
    """One thing that happened. Sequence numbers only grow, also across restarts of the daemon."""

    seq: int
    time: str
    type: EventType
    job_id: str
    name: str = ""
    status: JobStatus | None = None
    reason: EndReason | None = None
    exit_code: int | None = None
    signal: str | None = None
    detail: str = ""


class EventsReply(Message, frozen=True, kw_only=True):
    """The end of the stored events, where not followed, or of the events of a job that was removed."""

    last_seq: int = 0
    oldest_seq: int = 0  # older events were pruned


class Events(StreamRequest[Event, EventsReply], frozen=True, kw_only=True):
    """Stream what happens to jobs: first the stored events after `since`, then new ones."""

    op: ClassVar[str] = "events"
    item: ClassVar[type[msgspec.Struct]] = Event
    reply: ClassVar[type[msgspec.Struct]] = EventsReply

    since: int | None = None  # a sequence number; default: from now on
    job: str = ""
    follow: bool = True


# --- daemon ----------------------------------------------------------------------------------------------------------


class RemoveReply(Message, frozen=True, kw_only=True):
    """What was, or would be, forgotten."""

    jobs: list[JobInfo]  # the first thousand, where there are more
    total: int = 0  # of all
    freed_bytes: int = 0


class Remove(Request[RemoveReply], frozen=True, kw_only=True):
    """Forget ended jobs and delete their logs. STILL_RUNNING when one is active; then none is removed."""

    op: ClassVar[str] = "remove"
    reply: ClassVar[type[msgspec.Struct]] = RemoveReply

    jobs: list[str]


class Prune(Request[RemoveReply], frozen=True, kw_only=True):
    """Forget ended jobs by age and number; never an active one."""

    op: ClassVar[str] = "prune"
    reply: ClassVar[type[msgspec.Struct]] = RemoveReply

    older_than_s: float | None = None
    keep: int | None = None  # of the newest ended jobs
    dry_run: bool = False


class SettingValue(Message, frozen=True, kw_only=True):
    """One effective setting."""

    key: str
    value: Any
    source: str  # default, a file's path, or a variable's name
    description: str = ""


class SettingsReply(Message, frozen=True, kw_only=True):
    """All effective settings."""

    settings: list[SettingValue]


class GetSettings(Request[SettingsReply], frozen=True, kw_only=True):
    """Ask for the effective settings and where each comes from."""

    op: ClassVar[str] = "get_settings"
    reply: ClassVar[type[msgspec.Struct]] = SettingsReply


class Resize(Request[Empty], frozen=True, kw_only=True):
    """Set the size of a job's terminal; its foreground gets SIGWINCH.

    With `hold` the size is that of a window that shows the terminal: it counts until this connection ends, and the
    terminal is as large as fits into all such windows.
    """

    op: ClassVar[str] = "resize"
    reply: ClassVar[type[msgspec.Struct]] = Empty

    job: str
    rows: int
    columns: int
    hold: bool = False


class DaemonStatusReply(Message, frozen=True, kw_only=True):
    """What the daemon says about itself."""

    pid: int
    version: str
    protocol: str
    socket: str
    state_dir: str
    uptime_s: float
    started: str
    zygote_pid: int = 0
    jobs: dict[str, int]  # status → number; ended ones as counted in the history
    clients: int = 0
    rss_bytes: int = 0
    cgroups: str = "none"  # what a job's cgroup can do here: none; kill; memory, that is to limit that, and kill
    warnings: list[str] = []


class DaemonStatus(Request[DaemonStatusReply], frozen=True, kw_only=True):
    """Ask the daemon about itself."""

    op: ClassVar[str] = "daemon_status"
    reply: ClassVar[type[msgspec.Struct]] = DaemonStatusReply


class Shutdown(Request[Empty], frozen=True, kw_only=True):
    """Stop the daemon. Jobs go on, unless `kill_jobs`. Answers before it stops."""

    op: ClassVar[str] = "shutdown"
    reply: ClassVar[type[msgspec.Struct]] = Empty

    kill_jobs: bool = False


class Ping(Request[Empty], frozen=True, kw_only=True):
    """Nothing: for measuring."""

    op: ClassVar[str] = "ping"
    reply: ClassVar[type[msgspec.Struct]] = Empty

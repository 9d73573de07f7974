"""What each tool takes: one Struct per tool, from which its input schema is made.

Every argument says its unit, range and default. Names and meaning of the first arguments of the first seven tools are
those of mcp-background-job, so that a client's prompts and scripts go on working.
"""

from enum import StrEnum
from typing import Annotated

import msgspec
from msgspec import Meta

from bgjobd.protocol import JobStatus

__all__ = [
    "DEFAULT_BYTES",
    "MAX_EXECUTE_WAIT_S",
    "MIN_BYTES",
    "Execute",
    "Interact",
    "Kill",
    "ListJobs",
    "Output",
    "Scope",
    "Search",
    "Status",
    "StreamChoice",
    "Tail",
    "Wait",
]

MIN_BYTES = 200  # less would be hardly more than the note about what is left out
DEFAULT_BYTES = 24_000  # with status line and hints below the 30 KB at which clients cut a result
MAX_EXECUTE_WAIT_S = 45.0  # several clients cut a call at 60 s
DEFAULT_WAIT_S = 2.0


class StreamChoice(StrEnum):
    """Which part of the output a client wants."""

    BOTH = "both"
    STDOUT = "stdout"
    STDERR = "stderr"


class Scope(StrEnum):
    """Whose jobs a client wants listed."""

    PROJECT = "project"
    ALL = "all"


JobRef = Annotated[str, Meta(description="Job id, prefix (4+ characters) or name.", min_length=1)]
Streams = Annotated[StreamChoice, Meta(description="Default both, as written.")]
Raw = Annotated[bool, Meta(description="Keep ANSI codes, redraws and repeats.")]


class Arguments(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of all arguments: closed, so that a misspelt argument is an error and not ignored."""


class Execute(Arguments, frozen=True, kw_only=True):
    """Arguments of `execute`."""

    command: Annotated[str, Meta(description="Shell command line.")]
    name: Annotated[str, Meta(description="A name to use instead of the id: 1-64 characters, no spaces.")] = ""
    cwd: Annotated[str, Meta(description="Working directory. Default: the project's.")] = ""
    env: Annotated[dict[str, str], Meta(description="Variables to add or replace.")] = {}
    timeout_s: (
        Annotated[float, Meta(description="Seconds after which the job is ended. Default: none.", gt=0)] | None
    ) = None
    idle_timeout_s: (
        Annotated[float, Meta(description="Seconds without output after which the job is ended. Default: none.", gt=0)]
        | None
    ) = None
    wait_s: Annotated[
        float,
        Meta(
            description="Answer after at most this many seconds, earlier when the job ends. 0-45, default 2.",
            ge=0,
            extra_json_schema={"maximum": MAX_EXECUTE_WAIT_S},
        ),
    ] = DEFAULT_WAIT_S
    merge_stderr: Annotated[bool, Meta(description="One pipe for both streams: exact order.")] = False
    pty: Annotated[bool, Meta(description="Run in a terminal.")] = False
    idempotency_key: Annotated[str, Meta(description="The same key again returns the first job, and starts none.")] = ""


class Status(Arguments, frozen=True, kw_only=True):
    """Arguments of `status`."""

    job_id: JobRef


class Output(Arguments, frozen=True, kw_only=True):
    """Arguments of `output`."""

    job_id: JobRef
    stream: Streams = StreamChoice.BOTH
    since: Annotated[int, Meta(description="Cursor to start at. Default 0, the beginning.", ge=0)] = 0
    until: Annotated[int, Meta(description="Cursor to stop before, to read a gap. Default: the end.", ge=0)] | None = (
        None
    )
    max_bytes: Annotated[
        int,
        Meta(
            description="Budget in bytes, 200-24000, default 24000. Over it: head and tail, the gap stated.",
            ge=1,
            extra_json_schema={"minimum": MIN_BYTES, "maximum": DEFAULT_BYTES},
        ),
    ] = DEFAULT_BYTES
    raw: Raw = False
    screen: Annotated[bool, Meta(description="Show the screen of a full-screen program instead.")] = False


class Tail(Arguments, frozen=True, kw_only=True):
    """Arguments of `tail`."""

    job_id: JobRef
    lines: Annotated[int, Meta(description="How many lines, 1-1000, default 50.", ge=1, le=1000)] = 50
    stream: Streams = StreamChoice.BOTH
    raw: Raw = False


class Interact(Arguments, frozen=True, kw_only=True):
    """Arguments of `interact`."""

    job_id: JobRef
    input: Annotated[str, Meta(description="Text for the job's standard input.")] = ""
    keys: Annotated[str, Meta(description="Press these keys after it, named as in tmux: C-c, Up Enter. Needs pty.")] = (
        ""
    )
    newline: Annotated[bool, Meta(description="Press Enter after the text, unless keys follow.")] = True
    eof: Annotated[bool, Meta(description="Close standard input afterwards.")] = False
    wait_s: Annotated[
        float,
        Meta(
            description="Seconds after the input was taken to answer, earlier when output settles. 0-45, default 2.",
            ge=0,
            extra_json_schema={"maximum": MAX_EXECUTE_WAIT_S},
        ),
    ] = DEFAULT_WAIT_S


class Kill(Arguments, frozen=True, kw_only=True):
    """Arguments of `kill`."""

    job_id: JobRef
    signal: Annotated[
        str,
        Meta(description="Send only this signal, e.g. INT. Default: end the job and all its children."),
    ] = ""
    grace_s: (
        Annotated[float, Meta(description="Seconds between the stop signal and SIGKILL. Default 5.", ge=0)] | None
    ) = None
    reason: Annotated[str, Meta(description="Why; kept in the job's record.")] = ""


class ListJobs(Arguments, frozen=True, kw_only=True):
    """Arguments of `list`."""

    status: Annotated[list[JobStatus], Meta(description="Only these statuses. Default: any.")] = []
    scope: Annotated[Scope, Meta(description="Jobs of this project (default), or all of the user.")] = Scope.PROJECT
    limit: Annotated[int, Meta(description="At most this many, 1-100, default 20.", ge=1, le=100)] = 20


class Wait(Arguments, frozen=True, kw_only=True):
    """Arguments of `wait`."""

    job_ids: Annotated[
        list[Annotated[str, Meta(min_length=1)]],
        Meta(description="1-20 jobs: ids, prefixes or names.", min_length=1, max_length=20),
    ]
    until: Annotated[
        str,
        Meta(
            description="exit (default); port:N, the job listens on TCP port N; quiet:N, no output for N seconds; "
            "anything else is a regular expression searched in lines of new output. The job's end always ends the wait."
        ),
    ] = "exit"
    any: Annotated[bool, Meta(description="With several jobs: answer when the first is done.")] = False
    timeout_s: (
        Annotated[
            float,
            Meta(
                description="Seconds to wait at most. Default and maximum: what your client allows for one call, "
                "50 where unknown; then call wait again.",
                ge=0,
            ),
        ]
        | None
    ) = None
    needs_input: Annotated[bool, Meta(description="Answer also when a job waits for input.")] = True


class Search(Arguments, frozen=True, kw_only=True):
    """Arguments of `search`."""

    job_id: JobRef
    pattern: Annotated[str, Meta(description="Regular expression, searched line by line.", min_length=1)]
    context: Annotated[int, Meta(description="Lines to show around each match, 0-20, default 0.", ge=0, le=20)] = 0
    limit: Annotated[int, Meta(description="At most this many matches, 1-200, default 50.", ge=1, le=200)] = 50
    ignore_case: Annotated[bool, Meta(description="Match any case.")] = False

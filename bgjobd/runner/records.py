"""What a job is and how it went, on disk: `spec`, `run` and `exit`. Versioned, flat, exact bytes, written by rename.

A record is readable with `cat` and needs no parser library (json would cost each runner 80-240 KiB, see
docs/design/0003-record-format.md):

    bgjob-record 1 spec\n
    name:LENGTH:VALUE\n        once per field; a list is one line per element; none for a default
    end\n

LENGTH counts the bytes of VALUE, so VALUE may hold anything. A record without its `end` line is damaged. Unknown
fields are ignored and missing ones have defaults, so that older and newer programs read each other's records. So a
default means the same for ever: a field whose default has to be another one needs a new name.
"""

from __future__ import annotations  # the annotations below are read as text: see Record.FIELDS

import os

TYPE_CHECKING = False  # not from typing: that module and what it pulls in would be a third of a runner
if TYPE_CHECKING:
    from typing import Any, ClassVar, TypeVar

    RecordT = TypeVar("RecordT", bound="Record")

__all__ = ["ExitRecord", "RecordError", "RunRecord", "Spec", "decode", "encode", "read_record", "write_record"]

VERSION = 1


class RecordError(Exception):
    """The bytes are not a whole record of the expected kind. The text says what is wrong."""


class Record:
    """Base: class annotations are the fields; a field that is None is not written."""

    KIND: ClassVar[str] = ""
    HEADER: ClassVar[bytes] = b""  # the first line
    FIELDS: ClassVar[dict[str, int]] = {}  # name: one of the kinds below
    LISTS: ClassVar[tuple[str, ...]] = ()  # those of them that are lists
    BY_NAME: ClassVar[dict[bytes, tuple[str, int]]] = {}  # the same, as they are found in a file

    def __init__(self, **values: Any) -> None:
        for name in values:
            if name not in self.FIELDS:
                raise TypeError(f"{type(self).__name__} has no field {name!r}")
        for name in self.LISTS:
            values.setdefault(name, [])
        self.__dict__ = values  # not one by one: many are read when many jobs are taken over

    def __init_subclass__(cls) -> None:
        cls.HEADER = b"bgjob-record %d %s" % (VERSION, cls.KIND.encode())
        cls.FIELDS = {name: _KINDS.index(kind.removesuffix(" | None")) for name, kind in cls.__annotations__.items()}
        cls.LISTS = tuple(name for name, kind in cls.FIELDS.items() if kind == _LIST)
        cls.BY_NAME = {name.encode(): (name, kind) for name, kind in cls.FIELDS.items()}

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and all(getattr(self, name) == getattr(other, name) for name in self.FIELDS)

    __hash__ = None  # type: ignore[assignment]  # mutable: filled in as things happen


# What a field holds, by its annotation. Numbers, because Python's own types lie on pages of its library, and whoever
# names one counts a reference there: 4 KiB more of each runner's own for each of them.
_KINDS = ("bool", "int", "str", "bytes", "list[bytes]")
_BOOL, _INT, _STR, _BYTES, _LIST = range(len(_KINDS))
_UNKNOWN = ("", -1)
_ENCODING = (b"utf-8".decode(), b"surrogateescape".decode())  # copies of our own, for the same reason
_NO_DEFAULT = object()  # that of a list, which is not a class's
_CHUNK_BYTES = 1 << 16  # larger than nearly any record


class Spec(Record):
    """What was asked. Written by the daemon before anything runs, never changed. Holds the environment: mode 0600."""

    KIND = "spec"

    job_id: str = ""
    name: str = ""
    command: bytes = b""  # as text for people
    argv: list[bytes]  # what is executed: [shell, "-c", command] for a shell line
    is_argv: bool = False  # it was submitted as an argv
    cwd: bytes = b"/"
    env: list[bytes]  # NAME=VALUE
    umask: int = 0o022
    nofile_soft: int | None = None  # RLIMIT_NOFILE of the job, as the daemon found its own
    merge_stderr: bool = False
    pty: bool = False
    rows: int = 24
    columns: int = 80
    stdin_file: bytes | None = None  # None: a pipe
    timeout_ms: int | None = None
    idle_timeout_ms: int | None = None
    stop_signal: int = 15
    grace_ms: int = 5000
    kill_leftovers: bool = False
    max_output_bytes: int = 64 << 20
    free_space_floor_bytes: int = 0  # below this much free disk the runner shrinks its log
    nice: int | None = None
    max_memory_bytes: int | None = None
    max_cpu_s: int | None = None
    cgroup: str | None = None  # a writable cgroup v2 directory under which to make the job's leaf
    oom_score_adj: int | None = None
    fsync: bool = False  # durability = "power"
    control: str = ""  # path of the runner's control socket
    submitted_ns: int = 0  # unix time
    # for the daemon only
    on_exit: bytes | None = None
    project: str = ""
    client_kind: str = ""
    client_name: str = ""
    client_version: str = ""
    client_session: str = ""
    idempotency_key: str = ""
    request_digest: str = ""
    client_max_jobs: int | None = None  # how many jobs of this client run at once
    warning: list[bytes]


class RunRecord(Record):
    """Who runs it. Written by the runner (and by a rescue runner) once the command was started."""

    KIND = "run"

    runner_pid: int = 0
    runner_start: int = 0  # start time in kernel ticks since boot (field 22 of /proc/PID/stat), 0 where unknown
    job_pid: int = 0
    job_start: int = 0
    boot_id: str = ""
    started_ns: int = 0  # unix time
    started_monotonic_ns: int = 0  # the same moment on the monotonic clock of this boot; a rescue runner counts from it
    zygote: str = ""  # name of the zygote that forked it: zygote-<pid>
    rescue: int = 0  # how many runners this job lost


class ExitRecord(Record):
    """How it ended. Written once the main process is gone and the pipes were drained; again when the leftovers are."""

    KIND = "exit"

    status: int | None = None  # raw wait status; None when nobody saw it or nothing was started
    by: str = "runner"  # who saw the end: runner, zygote, daemon, pidfd, or lost
    reason: str = "exit"  # a value of protocol.EndReason
    actor: str | None = None  # who asked for the kill
    kill_reason: str | None = None
    error: str = ""  # why it could not be started, or why it is lost
    exit_code: int | None = None  # only where there is no wait status: 126, 127
    started_ns: int = 0  # unix time
    ended_ns: int = 0  # unix time
    duration_us: int = 0  # monotonic
    utime_us: int = 0
    stime_us: int = 0
    max_rss_kib: int = 0
    out_end: int = 0  # absolute end of the merged output
    dropped_bytes: int = 0
    streams_open: bool = False  # a descendant still holds the output
    left: int = 0  # descendants that go on running
    left_behind: list[bytes]  # "PID START NAME" of the first of them, at the time of writing; START as in RunRecord
    kill_us: int | None = None  # how long the kill took
    kill_note: str = ""  # e.g. incomplete, and why
    killed: list[bytes]  # receipt: "PID START SIG,SIG ENDED|NAME", see runner.receipt
    survivor: list[bytes]


def encode(record: Record) -> bytes:
    """Return the record as bytes. What has its default is left out: most of a spec, which runners are quick to read."""
    parts = [record.HEADER, b"\n"]
    values = record.__dict__
    for word, (name, kind) in record.BY_NAME.items():
        value = values.get(name)
        if value is None or value == getattr(record.__class__, name, _NO_DEFAULT):
            continue
        for element in value if kind == _LIST else (value,):
            if kind == _BOOL:
                raw = b"1" if element else b"0"
            elif kind == _INT:
                raw = b"%d" % element
            elif kind == _STR:
                raw = element.encode(*_ENCODING)
            else:
                raw = element
            parts.append(b"%s:%d:%s\n" % (word, len(raw), raw))
    parts.append(b"end\n")
    return b"".join(parts)


def decode(kind: type[RecordT], data: bytes) -> RecordT:
    """Return the record of `kind` in `data`.

    Raises:
        RecordError: it is damaged, or of another kind or version.
    """
    lines = data.split(b"\n")
    if lines[0] != kind.HEADER or len(lines) == 1:
        raise RecordError(_wrong_header(kind, data))
    values: dict[str, Any] = {}
    fields = kind.BY_NAME
    number = 1
    try:
        # The hot part of a start, and of taking over many jobs. A value with line breaks goes on in the next lines.
        while lines[number] != b"end":
            word, size, raw = lines[number].split(b":", 2)
            number += 1
            missing = int(size) - len(raw)
            if missing:
                first = number
                while missing > 0:
                    missing -= len(lines[number]) + 1
                    number += 1
                raw = b"\n".join([raw, *lines[first:number]])
            if missing:
                raise RecordError(f"it is damaged in line {number}")
            name, base = fields.get(word, _UNKNOWN)
            if base == _LIST:
                values.setdefault(name, []).append(raw)
            elif base == _BYTES:
                values[name] = raw
            elif base == _STR:
                values[name] = raw.decode(*_ENCODING)
            elif base == _INT:
                values[name] = int(raw)
            elif base == _BOOL:
                values[name] = raw == b"1"
            elif not word.isascii():
                raise RecordError(f"it is damaged in line {number}")
        if number + 1 == len(lines):
            raise RecordError("its last line is cut off")
    except (ValueError, IndexError) as error:
        raise RecordError(f"it is cut off or damaged in line {number + 1}") from error
    return kind(**values)


def _wrong_header(kind: type[Record], data: bytes) -> str:
    line, separator, _ = data.partition(b"\n")
    if not separator or not line.startswith(b"bgjob-record "):
        return "it does not start with a record header"
    return f"it is a {line.decode('ascii', 'replace')!r}, not a version {VERSION} {kind.KIND}"


def read_record(kind: type[RecordT], path: str) -> RecordT:
    """Read the record at `path`.

    Raises:
        FileNotFoundError: there is none.
        OSError: it cannot be read.
        RecordError: it is damaged.
    """
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)  # a file object would be 24 KiB more of each runner's own
    try:
        data = chunk = os.read(fd, _CHUNK_BYTES)
        while len(chunk) == _CHUNK_BYTES:
            chunk = os.read(fd, _CHUNK_BYTES)
            data += chunk
    finally:
        os.close(fd)
    return decode(kind, data)


def write_record(record: Record, path: str, *, fsync: bool = False) -> None:
    """Put the record at `path` in one step: a reader sees the old one or the new one, never a part.

    Args:
        record: what to write; mode 0600.
        path: where; `path + ".new"` is used on the way.
        fsync: also survive a power loss (POSIX fsync on the file and on its directory).

    Raises:
        OSError: the disk refused; the old record is untouched.
    """
    temporary = path + ".new"
    fill_record(record, temporary, fsync=fsync)
    os.rename(temporary, path)
    if fsync:
        sync_directory(os.path.dirname(path) or ".")


def fill_record(record: Record, path: str, *, fsync: bool = False) -> None:
    """Write the record into the file at `path`, which nobody reads yet. The arguments are those of `write_record`.

    Raises:
        OSError: the disk refused; a part of it may be there.
    """
    data = encode(record)
    # Not O_TRUNC: ext4 writes what was truncated to the disk as soon as it is closed (auto_da_alloc), which is five
    # times the cost of all the rest.
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        if os.lseek(fd, 0, os.SEEK_END):  # what a killed process left
            os.ftruncate(fd, 0)
            os.lseek(fd, 0, os.SEEK_SET)
        while data:
            data = data[os.write(fd, data) :]
        if fsync:
            os.fsync(fd)
    finally:
        os.close(fd)


def sync_directory(path: str) -> None:
    """Let what was created and renamed in a directory survive a power loss (POSIX fsync).

    Raises:
        OSError: the disk refused.
    """
    directory = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)

"""The daemon's settings: one Struct, read from built-in values, the configuration file and the environment.

Later wins: built-in, `config.toml`, `BGJOB_*`. A bad value is an error that names the key, the value, where it stands
and what is accepted; it never silently becomes the default.
"""

import difflib
import os
import re
import signal
import tomllib
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, inspect

from bgjobd.errors import BgjobError, ErrorCode
from bgjobd.keys import key_bytes
from bgjobd.quantities import LONGEST_S, parse_duration, parse_size

# Terminals in the hands of programs: no pager that waits for a key, no colour that costs tokens.
QUIET_TERMINAL = {"PAGER": "cat", "GIT_PAGER": "cat", "NO_COLOR": "1", "TERM": "dumb"}


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Every setting. The descriptions are the reference page."""

    max_jobs: Annotated[
        int, Meta(ge=1, le=10_000, description="How many jobs run at once; further ones are queued.")
    ] = 64
    max_output_bytes: Annotated[
        int,
        Meta(
            ge=65_536,
            description="Bytes of output kept per job; beyond it the middle is dropped.",
        ),
    ] = 64 << 20
    total_output_bytes: Annotated[
        int,
        Meta(
            ge=0, description="Bytes kept for all ended jobs together; the oldest are removed beyond it. 0: no limit."
        ),
    ] = 0
    min_free_bytes: Annotated[
        int,
        Meta(
            ge=0,
            description="Free-space floor of the disk; below it runners shrink their logs to head and newest segment.",
        ),
    ] = 256 << 20
    timeout_s: Annotated[
        Annotated[float, Meta(gt=0)] | None,
        Meta(description="Time limit of jobs that name none."),
    ] = None
    idle_timeout_s: Annotated[
        Annotated[float, Meta(gt=0)] | None,
        Meta(description="End a job that wrote nothing for this long, unless it names its own limit."),
    ] = None
    stop_signal: Annotated[str, Meta(description="The first rung of the stop ladder.")] = "SIGTERM"
    stop_grace_s: Annotated[
        float, Meta(ge=0, le=86_400, description="How long a job may take to end after the stop signal, before KILL.")
    ] = 5.0
    leftovers: Annotated[
        Literal["keep", "kill"], Meta(description="What happens to descendants that outlive the main process of a job.")
    ] = "keep"
    keep_ended_jobs: Annotated[int, Meta(ge=0, description="How many ended jobs are kept, with their output.")] = 1000
    keep_ended_for_s: Annotated[float, Meta(ge=0, description="How long an ended job is kept.")] = 30 * 86_400.0
    allowed_commands: Annotated[
        list[str], Meta(description="Regular expressions; when there are any, one has to match the start of a command.")
    ] = []
    denied_commands: Annotated[
        list[str],
        Meta(description="Regular expressions; a command that one matches anywhere is refused. No sandbox."),
    ] = []
    shell: Annotated[str, Meta(description="The shell of command lines; called as `SHELL -c LINE`.", pattern="^/")] = (
        "/bin/sh"
    )
    working_dir: Annotated[
        str,
        Meta(
            description="Working directory of jobs whose client names none; empty: the client's own.", pattern="^(/|$)"
        ),
    ] = ""
    env_for_agents: Annotated[
        dict[str, str],
        Meta(description="Variables for jobs started over MCP, unless the agent sets them. An empty table: none."),
    ] = msgspec.field(default_factory=QUIET_TERMINAL.copy)
    on_exit: Annotated[
        str,
        Meta(description="A shell command line, run when any job has ended, with the facts as `BGJOB_*` variables."),
    ] = ""
    notify: Annotated[
        Literal["never", "failed", "always"],
        Meta(description="Desktop notification when a job ends, through the system's notifier."),
    ] = "never"
    durability: Annotated[
        Literal["process", "power"],
        Meta(description="`process` survives any crash of bgjob; `power` also a power loss, for an fsync per job."),
    ] = "process"
    cgroup: Annotated[
        Literal["auto", "off"], Meta(description="Put each job into a cgroup v2 leaf of its own where one can be made.")
    ] = "auto"
    oom_score_adj: Annotated[
        int,
        Meta(
            ge=0,
            le=1000,
            description="Added to a job's OOM score: the kernel then prefers it to what watches it. 0: leave alone.",
        ),
    ] = 500
    detach_keys: Annotated[
        str, Meta(description="What lets go of a job in `bgjob attach`: one or more keys, named as in tmux.")
    ] = "C-\\ C-\\"
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"], Meta(description="How much the daemon logs.")
    ] = "info"


class Loaded(msgspec.Struct, frozen=True, kw_only=True):
    """Settings and, for each key, where its value came from: `default`, the file's path, or a variable's name."""

    settings: Settings
    sources: dict[str, str]


_SIZES = {"max_output_bytes", "total_output_bytes", "min_free_bytes"}
_DURATIONS = {"timeout_s", "idle_timeout_s", "stop_grace_s", "keep_ended_for_s"}
# Variables that share the prefix but are not settings: of a process, of the MCP server, of a job, and of a hook.
_NOT_SETTINGS = {f"BGJOB_{name}" for name in (
    "HOME", "CONFIG", "PORTABLE", "MCP_HOST", "MCP_MAX_WAIT_S", "ID", "NAME", "DIR", "STATUS", "REASON", "EXIT_CODE",
    "SIGNAL", "COMMAND", "CWD", "STARTED", "ENDED", "DURATION_S", "OUTPUT_BYTES",
)}  # fmt: skip


def load(config_file: str, environment: Mapping[str, str] | None = None) -> Loaded:
    """Read the settings.

    Raises:
        BgjobError: INVALID_ARGUMENT for the first bad value or unknown key.
    """
    env = os.environ if environment is None else environment
    values: dict[str, Any] = {}
    sources = dict.fromkeys(Settings.__struct_fields__, "default")
    for key, raw in _read_file(config_file, is_named=bool(env.get("BGJOB_CONFIG"))).items():
        values[key] = _checked(key, raw, config_file)
        sources[key] = config_file
    for key in Settings.__struct_fields__:
        variable = _variable(key)
        if variable in env:
            values[key] = _checked(key, _from_text(key, env[variable], variable), variable)
            sources[key] = variable
    return Loaded(settings=Settings(**values), sources=sources)


def unknown_variables(environment: Mapping[str, str] | None = None) -> list[str]:
    """Return a sentence for each `BGJOB_*` variable that means nothing, and which setting it was meant for maybe.

    Unlike an unknown key of the file this is no error: whoever runs the daemon may use such a name for something else.
    """
    settings = [_variable(key) for key in Settings.__struct_fields__]
    told = []
    for name in sorted(os.environ if environment is None else environment):
        if name.startswith("BGJOB_") and name not in _NOT_SETTINGS and name not in settings:
            close = difflib.get_close_matches(name, settings, n=1, cutoff=0.8)
            shown = name.encode("ascii", "backslashreplace").decode()  # it may be no text at all
            told.append(f"{shown} is no setting" + (f": {close[0]} is" if close else ""))
    return told


def _variable(key: str) -> str:
    return f"BGJOB_{key.upper()}"


def _read_file(path: str, *, is_named: bool) -> dict[str, Any]:
    """Return what the file says; nothing when there is none, unless somebody named it."""
    try:
        with open(path, "rb") as file:
            return tomllib.load(file)
    except FileNotFoundError as error:
        if not is_named:
            return {}
        raise BgjobError(
            ErrorCode.INVALID_ARGUMENT,
            f"cannot read {path!r}, which BGJOB_CONFIG names: there is no such file",
            "Make it, or unset BGJOB_CONFIG.",
        ) from error
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        reason = str(error)
        if isinstance(error, OSError):
            reason = error.strerror or reason
        elif isinstance(error, UnicodeDecodeError):
            reason = f"it is not UTF-8, from byte {error.start} on"
        raise BgjobError(
            ErrorCode.INVALID_ARGUMENT, f"cannot read {path!r}: {reason}", "Correct or remove the file."
        ) from error


def _checked(key: str, raw: Any, source: str) -> Any:
    """Return `raw` as the value of `key`, with units resolved and every limit checked."""
    if key not in Settings.__struct_fields__:
        raise BgjobError(
            ErrorCode.INVALID_ARGUMENT,
            f"cannot use the setting {key!r} from {source}: there is no such setting",
            f"Known settings: {', '.join(Settings.__struct_fields__)}.",
        )
    parse = parse_size if key in _SIZES else parse_duration if key in _DURATIONS else None
    if isinstance(raw, str) and parse is not None:
        try:
            raw = parse(raw.strip())
        except ValueError as error:
            reason = str(error).partition(": ")[2]  # "it is longer than …", or how to write one, which is said already
            more = f"; {reason}" if reason.startswith("it is") else ""
            raise _bad(key, raw, source, f"accepted is {accepted(key)}{more}") from error
    try:
        value = getattr(msgspec.convert({key: raw}, Settings), key)
        if key in _DURATIONS:
            _check_duration(value)
        _EXTRA_CHECKS.get(key, _accept)(value)
    except msgspec.ValidationError as error:
        raise _bad(key, raw, source, f"accepted is {accepted(key)}") from error
    except (ValueError, re.error) as error:
        raise _bad(key, raw, source, str(error)) from error
    return value


def accepted(key: str) -> str:
    """Return in words what the setting `key` takes: `a whole number from 1 to 10000`, `'keep' or 'kill'`."""
    kind = inspect.type_info(Settings.__annotations__[key])
    while isinstance(kind, inspect.Metadata):
        kind = kind.type
    kinds = kind.types if isinstance(kind, inspect.UnionType) else (kind,)
    match kinds[0]:
        case inspect.LiteralType(values=values):
            return " or ".join(repr(value) for value in values)
        case inspect.StrType(pattern=pattern):
            return {None: "a text", "^/": "an absolute path", "^(/|$)": "an absolute path, or nothing"}[pattern]
        case inspect.ListType():
            return "a list of texts"
        case inspect.DictType():
            return "a table of texts"
        case inspect.IntType() | inspect.FloatType() as number:
            return _noun(key) + _range(number)
    raise AssertionError(f"no words for {key}")


def description(key: str) -> str:
    """Return what the setting `key` is for."""
    kind = inspect.type_info(Settings.__annotations__[key])
    return str((kind.extra_json_schema or {}).get("description", "")) if isinstance(kind, inspect.Metadata) else ""


def _noun(key: str) -> str:
    if key in _SIZES:
        return "a size such as 64MiB, 20MB or a number of bytes"
    if key in _DURATIONS:
        return "a duration such as 90s, 5m, 1h30m or a number of seconds"
    return "a whole number"


def _range(number: inspect.IntType | inspect.FloatType) -> str:
    if number.gt is not None:
        return f", more than {number.gt:g}"
    if number.ge is not None and number.le is not None:
        return f" from {number.ge} to {number.le}"
    return f", at least {number.ge:g}" if number.ge is not None else ""


def _from_text(key: str, text: str, variable: str) -> Any:
    """Return the value that an environment variable's text means: TOML for lists and tables, else the plain text."""
    if key in ("allowed_commands", "denied_commands", "env_for_agents"):
        try:
            return tomllib.loads(f"value = {text}")["value"]
        except tomllib.TOMLDecodeError as error:
            raise _bad(key, text, variable, f"accepted is {accepted(key)}, written as in the file ({error})") from error
    annotation = str(Settings.__annotations__[key])
    if key not in _SIZES | _DURATIONS and "[int" in annotation:
        try:
            return int(text)
        except ValueError as error:
            raise _bad(key, text, variable, f"accepted is {accepted(key)}") from error
    return text


def _bad(key: str, value: Any, source: str, reason: str) -> BgjobError:
    return BgjobError(
        ErrorCode.INVALID_ARGUMENT,
        f"cannot use {key} = {value!r} from {source}: {reason}",
        "Correct the value; `bgjob doctor` checks the configuration.",
        {"key": key, "source": source},
    )


def _accept(_: Any) -> None:
    """No check beyond the type's own."""


def _check_duration(seconds: float | None) -> None:
    if seconds is not None and not seconds <= LONGEST_S:  # nor is NaN
        raise ValueError(f"the longest is {LONGEST_S:.0f} seconds (ten years)")


def _check_patterns(patterns: list[str]) -> None:
    for pattern in patterns:
        re.compile(pattern)


def parse_signal(text: str) -> int:
    """Return the number of a signal given as `TERM`, `SIGTERM`, `term`, `15` or, as bash names it, `RTMIN+1`.

    Raises:
        ValueError: there is no such signal.
    """
    name = text.strip().upper()
    if name.isdigit() and int(name) in signal.valid_signals():
        return int(name)
    real_time = re.fullmatch(r"(?:SIG)?(RTMIN\+|RTMAX-)([0-9]{1,2})", name)
    if real_time and hasattr(signal, "SIGRTMIN"):
        shift = int(real_time[2])
        number = signal.SIGRTMIN + shift if real_time[1] == "RTMIN+" else signal.SIGRTMAX - shift
        if signal.SIGRTMIN <= number <= signal.SIGRTMAX:
            return number
    try:
        return signal.Signals["SIG" + name.removeprefix("SIG")].value
    except KeyError:
        raise ValueError(f"there is no signal {text!r}") from None


def _check_keys(text: str) -> None:
    if not key_bytes(text):
        raise ValueError("there has to be at least one key")


def _check_signal(text: str) -> None:
    parse_signal(text)


_EXTRA_CHECKS: dict[str, Callable[[Any], None]] = {
    "allowed_commands": _check_patterns,
    "denied_commands": _check_patterns,
    "detach_keys": _check_keys,
    "stop_signal": _check_signal,
}

"""From a Submit request to the Spec of a job: checks every value, fills in settings, tightens by restrictions."""

import hashlib
import os
import resource
import shlex
import time

import msgspec

from bgjobd.daemon.config import Settings, parse_signal
from bgjobd.errors import BgjobError, ErrorCode
from bgjobd.model.reference import check_name
from bgjobd.paths import Paths
from bgjobd.policy.admission import check_command
from bgjobd.protocol import ClientInfo, Restrictions, Submit
from bgjobd.quantities import LONGEST_S
from bgjobd.runner.records import Spec

MAX_COMMAND_BYTES = 128 << 10  # MAX_ARG_STRLEN of Linux (execve(2)): one argument can be no longer
_LEAST_OUTPUT_BYTES = 65_536
_encoder = msgspec.msgpack.Encoder(order="deterministic")


def build_spec(
    job_id: str,
    request: Submit,
    client: ClientInfo,
    restrictions: Restrictions,
    settings: Settings,
    paths: Paths,
    nofile_soft: int,
) -> Spec:
    """Return what has to be run.

    Args:
        job_id: of the new job.
        request: as it came over the socket.
        client: who asks.
        restrictions: what the client asked for itself; it can only tighten.
        settings: the daemon's.
        paths: of this instance.
        nofile_soft: the soft RLIMIT_NOFILE that jobs get (the daemon raised its own).

    Raises:
        BgjobError: INVALID_ARGUMENT with the offending value; REFUSED by an allow or deny pattern.
    """
    argv, command = _command(request, settings)
    text = command.decode("utf-8", "replace")
    check_command(text, settings.allowed_commands, settings.denied_commands, "the configuration")
    check_command(text, restrictions.allowed_commands, restrictions.denied_commands, "this client")
    if request.name:
        check_name(request.name)
    warnings: list[str] = []
    project = request.project or client.project
    return Spec(
        job_id=job_id,
        name=request.name,
        command=command,
        argv=argv,
        is_argv=request.argv is not None,
        cwd=_directory(request.cwd or settings.working_dir.encode()),
        env=_environment(request, client, settings, job_id, paths),
        umask=_within("umask", request.umask, 0, 0o777),
        nofile_soft=nofile_soft,
        merge_stderr=request.merge_stderr,
        pty=request.pty,
        rows=_within("rows", request.rows, 1, 10_000),
        columns=_within("columns", request.columns, 1, 10_000),
        stdin_file=_stdin_file(request),
        timeout_ms=_limit_ms("timeout_s", request.timeout_s, settings.timeout_s, restrictions.timeout_s, warnings),
        idle_timeout_ms=_limit_ms("idle_timeout_s", request.idle_timeout_s, settings.idle_timeout_s, None, warnings),
        stop_signal=_signal(request.stop_signal or settings.stop_signal),
        grace_ms=milliseconds("grace_s", settings.stop_grace_s if request.grace_s is None else request.grace_s),
        kill_leftovers=request.kill_leftovers or settings.leftovers == "kill",
        max_output_bytes=_max_output(request, restrictions, settings, warnings),
        free_space_floor_bytes=settings.min_free_bytes,
        nice=request.nice if request.nice is None else _within("nice", request.nice, -20, 19),
        max_memory_bytes=_at_least("max_memory_bytes", request.max_memory_bytes, 1 << 20),
        max_cpu_s=_at_least("max_cpu_s", request.max_cpu_s, 1),
        oom_score_adj=settings.oom_score_adj or None,
        fsync=settings.durability == "power",
        control=paths.runner_socket(job_id),
        submitted_ns=time.time_ns(),
        on_exit=_without_nul("on_exit", request.on_exit),
        project=project,
        client_kind=client.kind,
        client_name=client.name,
        client_version=client.version,
        client_session=client.session,
        client_max_jobs=restrictions.max_jobs,
        idempotency_key=request.idempotency_key,
        request_digest=digest(request) if request.idempotency_key else "",
        warning=[warning.encode() for warning in warnings],
    )


def digest(request: Submit) -> str:
    """Return what two requests with the same idempotency key have in common: all of it but how long to wait."""
    rest = msgspec.structs.replace(request, wait_s=0.0, env={})
    # The encoder sorts no dictionary whose keys are bytes; the order of an environment means nothing.
    return hashlib.sha256(_encoder.encode([rest, sorted(request.env.items())])).hexdigest()


def raise_descriptor_limit() -> int:
    """Raise this process's soft RLIMIT_NOFILE to the hard one; return what it was, which is what jobs get."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    except (ValueError, OSError):  # macOS refuses RLIM_INFINITY: what we have must do
        return soft
    return soft


def _command(request: Submit, settings: Settings) -> tuple[list[bytes], bytes]:
    """Return what is executed, and the same as text for people."""
    if (request.command is None) == (request.argv is None):
        raise BgjobError(ErrorCode.INVALID_ARGUMENT, "cannot start a job: give either a command line or an argv")
    if request.argv is not None:
        if not request.argv or not request.argv[0]:
            what = "the program's name" if request.argv else "the argv"
            raise BgjobError(ErrorCode.INVALID_ARGUMENT, f"cannot start a job: {what} is empty")
        argv = list(request.argv)
        command = shlex.join(os.fsdecode(argument) for argument in argv).encode("utf-8", "surrogateescape")
    else:
        command = request.command or b""
        if not command.strip():
            raise BgjobError(ErrorCode.INVALID_ARGUMENT, "cannot start a job: the command is empty")
        argv = [os.fsencode(_shell(request.shell or settings.shell)), b"-c", command]
    for argument in argv:
        if b"\0" in argument:
            raise BgjobError(ErrorCode.INVALID_ARGUMENT, "cannot start a job: the command has a NUL character")
        if len(argument) >= MAX_COMMAND_BYTES:
            raise BgjobError(
                ErrorCode.INVALID_ARGUMENT,
                f"cannot start a job: an argument of {len(argument)} bytes; the limit is {MAX_COMMAND_BYTES - 1}",
                "Put the command into a file and run that.",
            )
    return argv, command


def _without_nul(name: str, value: bytes | None) -> bytes | None:
    if value is not None and b"\0" in value:
        raise BgjobError(ErrorCode.INVALID_ARGUMENT, f"cannot use {name} = {value!r}: it has a NUL character")
    return value


def _shell(shell: str) -> str:
    if "\0" in shell or not os.path.isabs(shell) or not os.access(shell, os.X_OK):
        raise BgjobError(
            ErrorCode.INVALID_ARGUMENT,
            f"cannot use the shell {shell!r}: it is not the absolute path of a program that can be executed",
            "Give a path such as /bin/bash.",
        )
    return shell


def _directory(cwd: bytes) -> bytes:
    """Return cwd if a job can start there; a typo should be answered at once, not by a failed job."""
    shown = os.fsdecode(cwd)
    if not os.path.isabs(cwd):
        raise BgjobError(ErrorCode.INVALID_ARGUMENT, f"cannot start a job in {shown!r}: it is not an absolute path")
    reason = ""
    try:
        if not os.path.isdir(cwd):
            reason = "it is not a directory" if os.path.exists(cwd) else "it does not exist"
        elif not os.access(cwd, os.X_OK):
            reason = "permission denied"
    except ValueError as error:  # an embedded NUL
        reason = str(error)
    if reason:
        raise BgjobError(
            ErrorCode.INVALID_ARGUMENT, f"cannot start a job in {shown!r}: {reason}", "Give a directory that exists."
        )
    return cwd


def _environment(request: Submit, client: ClientInfo, settings: Settings, job_id: str, paths: Paths) -> list[bytes]:
    """Return the job's environment. What says where bgjob lives is passed on, so that a job can talk to its daemon."""
    environment = dict(request.env)
    if client.kind == "mcp":
        for key, text in settings.env_for_agents.items():
            environment.setdefault(key.encode(), text.encode())
    if request.pty and environment.get(b"TERM", b"dumb") in (b"", b"dumb"):
        environment[b"TERM"] = b"xterm-256color"
    environment[b"BGJOB_ID"] = job_id.encode()
    environment[b"BGJOB_NAME"] = request.name.encode()
    environment[b"BGJOB_DIR"] = os.fsencode(paths.job_dir(job_id))
    for name, value in environment.items():
        if not name or b"=" in name or b"\0" in name or b"\0" in value:
            raise BgjobError(
                ErrorCode.INVALID_ARGUMENT,
                f"cannot set the variable {os.fsdecode(name)!r}: its name is empty or has '=', or there is a NUL",
            )
    return [name + b"=" + value for name, value in environment.items()]


def _stdin_file(request: Submit) -> bytes | None:
    path = _without_nul("stdin_file", request.stdin_file)
    if path is None:
        return None
    shown = os.fsdecode(path)
    if not os.path.isabs(path) or not os.access(path, os.R_OK):
        reason = "it is not an absolute path" if not os.path.isabs(path) else "it cannot be read"
        raise BgjobError(ErrorCode.INVALID_ARGUMENT, f"cannot use {shown!r} as standard input: {reason}")
    return path


def _limit_ms(
    name: str, asked: float | None, default: float | None, bound: float | None, warnings: list[str]
) -> int | None:
    """Return a time limit in milliseconds: what was asked, else the default, and never above the client's bound."""
    value = default if asked is None else asked
    if asked is not None and asked <= 0:
        raise BgjobError(ErrorCode.INVALID_ARGUMENT, f"cannot use {name} = {asked:g}: it has to be more than 0 seconds")
    if bound is not None and (value is None or value > bound):
        if asked is not None:
            warnings.append(f"{name} was {asked:g}; this client's limit is {bound:g}")
        value = bound
    return None if value is None else milliseconds(name, value)


def milliseconds(name: str, seconds: float) -> int:
    """Return a duration in milliseconds.

    Raises:
        BgjobError: INVALID_ARGUMENT, with `name` and the value, when it is negative or longer than ten years.
    """
    if not 0 <= seconds <= LONGEST_S:
        raise BgjobError(
            ErrorCode.INVALID_ARGUMENT,
            f"cannot use {name} = {seconds:g}: accepted is up to {LONGEST_S:,.0f} seconds (ten years)",
        )
    return int(seconds * 1000)


def _max_output(request: Submit, restrictions: Restrictions, settings: Settings, warnings: list[str]) -> int:
    asked = request.max_output_bytes
    if asked is not None and asked < _LEAST_OUTPUT_BYTES:
        raise BgjobError(
            ErrorCode.INVALID_ARGUMENT,
            f"cannot keep max_output_bytes = {asked}: the smallest log is {_LEAST_OUTPUT_BYTES} bytes",
        )
    bounds = [settings.max_output_bytes]
    if restrictions.max_output_bytes is not None:
        if restrictions.max_output_bytes < _LEAST_OUTPUT_BYTES:
            warnings.append(
                f"this client's limit of {restrictions.max_output_bytes} bytes of output is below the smallest log, "
                f"which is {_LEAST_OUTPUT_BYTES} bytes: that is kept"
            )
        bounds.append(max(_LEAST_OUTPUT_BYTES, restrictions.max_output_bytes))
    # the configuration is a default that a job may raise; what a client asked for itself is a bound
    value = asked if asked is not None else min(bounds)
    if len(bounds) > 1 and value > bounds[1]:
        warnings.append(f"max_output_bytes was {value}; this client's limit is {bounds[1]}")
        value = bounds[1]
    return value


def _signal(name: str) -> int:
    try:
        return parse_signal(name)
    except ValueError as error:
        raise BgjobError(
            ErrorCode.INVALID_ARGUMENT,
            f"cannot use the signal {name!r}: {error}",
            "Give a name or number, as `kill -l` lists.",
        ) from error


def _within(name: str, value: int, low: int, high: int) -> int:
    if not low <= value <= high:
        raise BgjobError(ErrorCode.INVALID_ARGUMENT, f"cannot use {name} = {value}: accepted is {low} to {high}")
    return value


def _at_least(name: str, value: int | None, low: int) -> int | None:
    if value is not None and value < low:
        raise BgjobError(ErrorCode.INVALID_ARGUMENT, f"cannot use {name} = {value}: the smallest is {low}")
    return value

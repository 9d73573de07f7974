"""Starts the job's main process with exactly the surroundings its spec asks for, and puts the runner's own back."""

import errno
import os
import resource

from bgjobd.runner.confined import LimitError, is_confined, spawn_confined
from bgjobd.runner.records import Spec
from bgjobd.runner.signals import signal
from bgjobd.runner.system import OomScore

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Start = Callable[[bytes, Spec, dict[bytes, bytes], Sequence[tuple[object, ...]]], int]

_NOT_FOUND = 127  # POSIX sh(1): the command was not found
_NOT_EXECUTABLE = 126  # found, but it could not be started

# Python ignores SIGPIPE, and the runner ignores more: a job must inherit none of that.
ALL_SIGNALS = sorted(set(signal.valid_signals()) - {signal.SIGKILL, signal.SIGSTOP})
_DEFAULT_PATH = b"/usr/local/bin:/usr/bin:/bin"


class SpawnError(Exception):
    """The command could not be started. `exit_code` is what a shell would have returned."""

    def __init__(self, exit_code: int, message: str) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class Stdio:
    """The job's ends of its standard streams: descriptors above 2, closed by `close`."""

    __slots__ = ("stderr", "stdin", "stdout")

    def __init__(self, stdin: int, stdout: int, stderr: int) -> None:
        self.stdin = stdin
        self.stdout = stdout
        self.stderr = stderr

    def actions(self) -> "Sequence[tuple[object, ...]]":
        """Return the file actions. Sources are never 0, 1 or 2: DUP2 onto itself would keep close-on-exec."""
        return [
            (os.POSIX_SPAWN_DUP2, self.stdin, 0),
            (os.POSIX_SPAWN_DUP2, self.stdout, 1),
            (os.POSIX_SPAWN_DUP2, self.stderr, 2),
        ]

    def close(self) -> None:
        """Close the runner's copies, so that the job's streams end with the job."""
        for fd in {self.stdin, self.stdout, self.stderr}:
            os.close(fd)


def start_program(path: bytes, spec: Spec, env: dict[bytes, bytes], actions: "Sequence[tuple[object, ...]]") -> int:
    """Start the program at `path`. posix_spawn reports what exec says, without a pipe and without a fork's page faults.

    Raises:
        OSError: what exec says.
        LimitError: a limit could not be set.
    """
    if is_confined(spec):
        return spawn_confined(spec, path, env, actions, ALL_SIGNALS)
    return os.posix_spawn(path, spec.argv, env, file_actions=actions, setsid=True, setsigmask=[], setsigdef=ALL_SIGNALS)


def spawn(
    spec: Spec,
    actions: "Sequence[tuple[object, ...]]",
    oom_score: OomScore,
    start: "Start" = start_program,
) -> int:
    """Start the command and return its pid.

    Args:
        spec: what to run.
        actions: `file_actions` of posix_spawn that set up descriptors 0, 1 and 2; the others close on exec.
        oom_score: of this process.
        start: only a rehearsal has another one than `start_program`.

    Raises:
        SpawnError: it could not be started; nothing runs.
    """
    try:
        os.chdir(spec.cwd)
    except (OSError, ValueError) as error:
        directory = os.fsdecode(spec.cwd)
        reason = getattr(error, "strerror", None) or error
        raise SpawnError(_NOT_EXECUTABLE, f"cannot change to directory {directory!r}: {reason}") from error
    surroundings = _Surroundings(spec, oom_score)
    try:
        pid = _spawn_first_found(spec, actions, start)
    finally:
        surroundings.leave()
        os.chdir("/")
    return pid


def open_stdin_file(spec: Spec) -> int:
    """Open the file that is to be the job's standard input. Never waits for a FIFO's writer.

    Raises:
        SpawnError: it cannot be opened.
    """
    path = os.path.join(spec.cwd, spec.stdin_file or b"")
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError as error:
        raise SpawnError(
            _NOT_EXECUTABLE, f"cannot open standard input {os.fsdecode(path)!r}: {error.strerror}"
        ) from error
    os.set_blocking(fd, True)
    return fd


def environment(spec: Spec) -> dict[bytes, bytes]:
    """Return the job's environment. BGJOB_ID is always its own: a job may have been submitted from inside another."""
    env = {}
    for entry in spec.env:
        name, separator, value = entry.partition(b"=")
        if separator and name:
            env[name] = value
    env[b"BGJOB_ID"] = spec.job_id.encode()
    return env


def _spawn_first_found(spec: Spec, actions: "Sequence[tuple[object, ...]]", start: "Start") -> int:
    """Try the places where the program may be, as execvp(3) does, but with the job's PATH."""
    env = environment(spec)
    if not spec.argv or not spec.argv[0]:
        raise SpawnError(_NOT_FOUND, "cannot start '': no command was given")
    refusal: OSError | None = None
    for path in _candidates(spec.argv[0], env):
        try:
            return start(path, spec, env, actions)
        except LimitError as error:
            raise SpawnError(_NOT_EXECUTABLE, f"cannot set the limits of {_program(spec)}: {error}") from error
        except ValueError as error:
            raise SpawnError(_NOT_EXECUTABLE, f"cannot start {_program(spec)}: {error}") from error
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.ENOTDIR) and not os.path.exists(path):
                continue
            refusal = error
            if error.errno != errno.EACCES:
                break
    if refusal is None:
        raise SpawnError(_NOT_FOUND, f"cannot start {_program(spec)}: {os.strerror(errno.ENOENT)}")
    reason = refusal.strerror
    if refusal.errno == errno.ENOENT:
        reason = "the interpreter named in its first line does not exist"
    raise SpawnError(_NOT_EXECUTABLE, f"cannot start {_program(spec)}: {reason}") from refusal


def _program(spec: Spec) -> str:
    return repr(os.fsdecode(spec.argv[0]))


def _candidates(program: bytes, env: dict[bytes, bytes]) -> list[bytes]:
    if b"/" in program:
        return [program]
    found = []  # no comprehension, see start.sources_of
    for directory in env.get(b"PATH", _DEFAULT_PATH).split(b":"):
        found.append((directory or b".") + b"/" + program)
    return found


class _Surroundings:
    """What a child inherits and posix_spawn cannot set: entered by the runner itself for the moment of the spawn."""

    __slots__ = ("_nofile", "_oom_score", "_umask")

    def __init__(self, spec: Spec, oom_score: OomScore) -> None:
        self._umask = os.umask(spec.umask)
        self._nofile = resource.getrlimit(resource.RLIMIT_NOFILE)
        if spec.nofile_soft is not None:
            # The zygote raised it for itself; programs that use select(2) break above 1024.
            soft, hard = spec.nofile_soft, self._nofile[1]
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft if hard < 0 else min(soft, hard), hard))
        self._oom_score = None if spec.oom_score_adj is None else oom_score
        if spec.oom_score_adj is not None:
            oom_score.set_raised(spec.oom_score_adj)

    def leave(self) -> None:
        """Put everything back."""
        if self._oom_score is not None:
            self._oom_score.restore()
        resource.setrlimit(resource.RLIMIT_NOFILE, self._nofile)
        os.umask(self._umask)

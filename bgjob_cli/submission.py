"""Builds the `Submit` request of `bgjob run` out of its arguments and of the process that we are.

Everything that depends on where the command was typed is decided here, because the daemon's own directory,
environment and umask have nothing to do with it.
"""

import argparse
import codecs
import math
import os
from collections.abc import Iterator

from bgjobd.errors import BgjobError, ErrorCode
from bgjobd.protocol import Submit

__all__ = ["build_submit", "takes_our_stdin"]

_OUR_STDIN = frozenset({"-", "/dev/stdin", "/dev/fd/0", "/proc/self/fd/0"})
_OF_EACH_PROCESS = ("/dev/std", "/dev/fd/", "/proc/self/", "/proc/thread-self/")  # means another file to each of them


def build_submit(arguments: argparse.Namespace, wait_s: float) -> Submit:
    """Return the request for a job as `run`'s arguments describe it.

    Raises:
        BgjobError: INVALID_ARGUMENT: no command, a bad K=V, a directory or file that is not there.
    """
    words = [os.fsencode(word) for word in arguments.command]
    if not words or words == [b""]:
        raise _invalid("cannot start a job: there is no command", "For example: bgjob run 'make test'")
    rows, columns = _terminal_size()
    return Submit(
        command=words[0] if len(words) == 1 else None,
        argv=words if len(words) > 1 else None,
        shell=arguments.shell,
        name=arguments.name,
        cwd=_directory(arguments.cwd),
        env=_environment(arguments),
        umask=_umask(),
        timeout_s=arguments.timeout,
        idle_timeout_s=arguments.idle_timeout,
        stop_signal=arguments.stop_signal,
        grace_s=arguments.grace,
        max_output_bytes=arguments.max_output,
        nice=arguments.nice,
        max_memory_bytes=arguments.max_memory,
        max_cpu_s=None if arguments.max_cpu is None else math.ceil(arguments.max_cpu),
        merge_stderr=arguments.merge_stderr,
        pty=arguments.pty,
        rows=rows,
        columns=columns,
        stdin_file=_stdin_file(arguments.stdin),
        kill_leftovers=arguments.kill_leftovers,
        on_exit=None if arguments.on_exit is None else os.fsencode(arguments.on_exit),
        # So that a daemon which dies between starting the job and telling us does not get it twice.
        idempotency_key=os.urandom(16).hex(),
        wait_s=wait_s,
    )


def takes_our_stdin(choice: str | None) -> bool:
    """Return whether a job's standard input, as --stdin names it, is what is written to ours."""
    return choice is not None and os.path.normpath(choice) in _OUR_STDIN


def _terminal_size() -> tuple[int, int]:
    """Return rows and columns of our terminal, with which a job's own begins; 24 and 80 where there is none."""
    try:
        size = os.get_terminal_size(1)
    except OSError:
        return 24, 80
    return size.lines or 24, size.columns or 80


def _directory(choice: str | None) -> bytes:
    """Return the absolute working directory.

    Raises:
        BgjobError: it is no directory, or was deleted under us.
    """
    try:
        path = os.path.abspath(os.fsencode(choice or "."))
    except FileNotFoundError as error:
        raise _invalid("cannot start a job here: the current directory was deleted", "Use --cwd.") from error
    if not os.path.isdir(path):
        raise _invalid(f"cannot start a job in {os.fsdecode(path)!r}: it is not a directory", "")
    return path


def _environment(arguments: argparse.Namespace) -> dict[bytes, bytes]:
    """Return our environment with what --env-file and then --env set."""
    environment = dict(os.environb)
    for path in arguments.env_file:
        environment.update(_read_env_file(path))
    for setting in arguments.env:
        name, equals, value = os.fsencode(setting).partition(b"=")
        if not name or not equals:
            # Never the whole word: it may be a secret whose name was forgotten.
            raise _invalid(f"cannot read --env {setting[:8]!r}…: it is not of the form NAME=VALUE", "")
        environment[name] = value
    return environment


def _read_env_file(path: str) -> Iterator[tuple[bytes, bytes]]:
    """Return the settings of a file: NAME=VALUE, with or without `export` and quotes around the value; # comments."""
    try:
        with open(path, "rb") as file:
            lines = file.read().removeprefix(codecs.BOM_UTF8).splitlines()
    except OSError as error:
        raise _invalid(f"cannot read the environment file {path!r}: {error.strerror}", "") from error
    for number, line in enumerate(lines, 1):
        line = line.strip()
        if not line or line.startswith(b"#"):
            continue
        name, equals, value = line.removeprefix(b"export ").partition(b"=")
        name = name.strip()
        if not equals or not name or b" " in name:
            raise _invalid(f"cannot read line {number} of {path!r}: it is not of the form NAME=VALUE", "")
        yield name, _unquoted(value.strip())


def _unquoted(value: bytes) -> bytes:
    """Return the value without one pair of quotes around it. Nothing in it is expanded."""
    if len(value) > 1 and value[:1] == value[-1:] and value[:1] in (b"'", b'"'):
        return value[1:-1]
    return value


def _stdin_file(choice: str | None) -> bytes | None:
    """Return the absolute path of the file that is the job's standard input; None for a pipe.

    Raises:
        BgjobError: it cannot be read. Told now, because the job would only fail to start.
    """
    if choice is None or takes_our_stdin(choice):
        return None
    if os.path.normpath(choice).startswith(_OF_EACH_PROCESS):
        raise _invalid(
            f"cannot use {choice!r} as standard input: in the job it would be another file",
            "Have it on ours: bgjob run --stdin - COMMAND < FILE",
        )
    path = os.path.abspath(os.fsencode(choice))
    if not os.path.exists(path):
        raise _invalid(f"cannot use {choice!r} as standard input: there is no such file", "")
    if os.path.isdir(path):
        raise _invalid(f"cannot use {choice!r} as standard input: it is a directory", "")
    if not os.access(path, os.R_OK):
        raise _invalid(f"cannot use {choice!r} as standard input: it cannot be read", "")
    return path


def _umask() -> int:
    """Return our umask; POSIX only lets one read it by setting it."""
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def _invalid(message: str, hint: str) -> BgjobError:
    return BgjobError(ErrorCode.INVALID_ARGUMENT, message, hint)

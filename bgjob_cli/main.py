"""The entry point: decides the verb, imports only that verb's file, and turns every way to end into an exit status.

Must stay light: what is imported here is paid by every command.
"""

import gc
import importlib
import os
import signal
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

from bgjob_cli.exit_status import OK, USAGE
from bgjob_cli.output import Output, ReaderGone
from bgjob_cli.report import report
from bgjob_cli.verbs import ALIASES, DEFAULT, VERBS
from bgjobd.errors import BgjobError
from bgjobd.version import VERSION

__all__ = ["main"]

_NOT_NEEDED = "typing_extensions"


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status. Dies by SIGINT or SIGPIPE where a Unix command would.

    Args:
        argv: the words after `bgjob`; default: those of this process.
    """
    _hold_standard_descriptors()
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        return _dispatch(words)
    except BgjobError as error:  # the help or the version cannot be written
        return report(error, Output())
    except ReaderGone:
        _die_by(signal.SIGPIPE)
    except KeyboardInterrupt:
        _die_by(signal.SIGINT)


def _dispatch(words: list[str]) -> int:
    """Find the verb in `words` and run it. Options without a verb are those of `ls`."""
    first = words[0] if words else DEFAULT
    if first in ("--version", "-V"):
        return _print_version()
    if first in ("--help", "-h", "help"):
        return int(importlib.import_module("bgjob_cli.help").show(words[1:]))
    if first.startswith("-"):
        return _list_by_default(words)
    verb = ALIASES.get(first, first)
    if verb not in VERBS:
        return int(importlib.import_module("bgjob_cli.help").unknown_verb(first))
    return run_verb(verb, words[1:])


def _list_by_default(words: list[str]) -> int:
    """List jobs with these options. Where that is wrong, they may have been meant for a verb behind them."""
    status = run_verb(DEFAULT, words)
    verb = next((word for word in words if word in VERBS or word in ALIASES), None)
    if status == USAGE and verb is not None:
        Output().talk(f"Options stand behind the verb: bgjob {verb} {words[0]} …")
    return status


def run_verb(verb: str, words: list[str]) -> int:
    """Parse `words` as the arguments of `verb` and carry it out."""
    command = _import_quickly(f"bgjob_cli.commands.{verb}")
    parser = _import_quickly("bgjob_cli.arguments").Parser(f"bgjob {verb}", command.DESCRIPTION)
    command.add_arguments(parser)
    try:
        arguments = parser.parse(words, until_command=getattr(command, "OPTIONS_END_AT_COMMAND", False))
    except SystemExit as parsed:  # argparse ends so for --help and for usage errors
        return int(parsed.code or OK)
    output = Output(json=getattr(arguments, "json", False), color=getattr(arguments, "color", "auto"))
    try:
        status = int(command.run(arguments, output))
        output.flush()
    except BgjobError as error:
        return report(error, output)
    return status


def _import_quickly(name: str) -> Any:
    """Import a module only now: a verb's file brings argparse and, mostly, msgspec.

    Two things make that a third faster (docs/design/0006-the-command-line.md). What is imported stays until the end,
    so the collector need not look at it, now or at exit. And msgspec would load `typing_extensions`, which loads
    `inspect`, for names that `typing` has as well, and which it takes from there when the other is missing.
    """
    gc.disable()
    modules: dict[str, Any] = sys.modules
    hide = _NOT_NEEDED not in modules
    if hide:
        modules[_NOT_NEEDED] = None  # importing it is an ImportError
    try:
        return importlib.import_module(name)
    finally:
        if hide:
            del modules[_NOT_NEEDED]
        gc.freeze()
        gc.enable()


def _print_version() -> int:
    output = Output()
    output.line(f"bgjob {VERSION}")
    output.flush()
    return OK


def _hold_standard_descriptors() -> None:
    """Give closed descriptors 0, 1 and 2 a place holder, lest our socket becomes one of them and gets our text.

    It is opened the wrong way round, so that using it still fails.
    """
    for fd in (0, 1, 2):
        try:
            os.fstat(fd)
        except OSError:
            os.open(os.devnull, os.O_RDONLY if fd else os.O_WRONLY)


def _die_by(number: signal.Signals) -> NoReturn:
    """End by the signal itself: a shell's loop stops only when its command really died by SIGINT."""
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
    os._exit(128 + number)  # the signal is blocked

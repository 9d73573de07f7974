"""What could come next on an unfinished command line. Asked by the shells' completion scripts at every Tab.

Reads the options from the verbs' own parsers, so that completion cannot fall behind them, and the jobs from the
daemon, if one runs: completing a word never starts anything and never says anything.
"""

import argparse
import importlib
import signal
from collections.abc import Iterator

from bgjob_cli.arguments import Parser
from bgjob_cli.connection import Daemon
from bgjob_cli.job_text import is_active, short_id, status_word
from bgjob_cli.terminal_text import printable
from bgjob_cli.verbs import ALIASES, VERBS
from bgjobd.errors import BgjobError
from bgjobd.protocol import JobInfo, ListJobs

__all__ = ["candidates"]

_MOST_JOBS = 200
_TAB_WAITS_S = 1.0  # for a daemon that hangs
_ONLY_ACTIVE = frozenset({"answer", "attach", "kill", "send", "wait"})
_ONLY_ENDED = frozenset({"rm"})


def candidates(words: list[str]) -> Iterator[tuple[str, str]]:
    """Return what the last of `words` may become, each with a description; nothing where it is a file or a text.

    Args:
        words: what stands after `bgjob`, up to the cursor; the last one may be empty.
    """
    *before, current = words or [""]
    found = _verbs() if not before else _arguments(before[0], before[1:], current)
    return ((word, line) for word, line in found if word.startswith(current))


def _verbs() -> Iterator[tuple[str, str]]:
    yield from VERBS.items()
    for alias, verb in ALIASES.items():
        yield alias, f"the same as {verb}"


def _arguments(word: str, before: list[str], current: str) -> Iterator[tuple[str, str]]:
    """Return what an argument of the verb `word` may be."""
    verb = ALIASES.get(word, word)
    if verb not in VERBS:
        return
    command = importlib.import_module(f"bgjob_cli.commands.{verb}")
    parser = Parser(f"bgjob {verb}")
    command.add_arguments(parser)
    yield from _of_parser(verb, parser, before, current)


def _of_parser(verb: str, parser: Parser, before: list[str], current: str) -> Iterator[tuple[str, str]]:
    """Return what the sub-verb says, else values of the option in front, else options, else positional arguments."""
    for place, word in enumerate(before):
        if (sub_parser := _sub_parsers(parser).get(word)) is not None:
            return _of_parser(verb, sub_parser, before[place + 1 :], current)
    options = {name: action for action in parser.actions for name in action.option_strings}
    last = options.get(before[-1]) if before else None
    if last is not None and last.nargs != 0:
        return _values(verb, last)
    if current.startswith("-"):
        return ((name, action.help or "") for name, action in options.items())
    return _positionals(verb, parser, given=_given(before, options))


def _sub_parsers(parser: Parser) -> dict[str, Parser]:
    return next((action.choices for action in parser.actions if isinstance(action.choices, dict)), {})


def _positionals(verb: str, parser: Parser, *, given: bool) -> Iterator[tuple[str, str]]:
    """Return what an argument that is no option may be; the one JOB of a verb only as long as it is not there."""
    for action in parser.actions:
        if action.option_strings:
            continue
        if action.dest == "jobs" or (action.dest == "job" and not given):
            yield from _jobs(verb)
        else:
            yield from _choices(action)


def _given(before: list[str], options: dict[str, argparse.Action]) -> bool:
    """Return whether a positional argument stands among the words: one that is no option and no option's value."""
    return any(
        not word.startswith("-") and not (place and (option := options.get(before[place - 1])) and option.nargs != 0)
        for place, word in enumerate(before)
    )


def _values(verb: str, option: argparse.Action) -> Iterator[tuple[str, str]]:
    """Return what the value of an option may be."""
    if option.dest == "job":
        return _jobs(verb)
    if option.metavar == "SIG":
        return ((number.name.removeprefix("SIG"), signal.strsignal(number) or "") for number in signal.Signals)
    return _choices(option)


def _choices(action: argparse.Action) -> Iterator[tuple[str, str]]:
    for choice in action.choices or ():
        yield str(choice), ""


def _jobs(verb: str) -> Iterator[tuple[str, str]]:
    """Return names and short ids of the jobs that the verb can be about."""
    try:
        with Daemon(autostart=False, timeout_s=_TAB_WAITS_S) as daemon:
            jobs = daemon.call(ListJobs(limit=_MOST_JOBS), repeat=False).jobs
    except BgjobError:
        return  # a Tab is no moment for a message
    for job in jobs:
        if is_active(job) and verb in _ONLY_ENDED:
            continue
        if not (is_active(job) or job.left_behind_count) and verb in _ONLY_ACTIVE:
            continue
        yield from _names(job)


def _names(job: JobInfo) -> Iterator[tuple[str, str]]:
    description = f"{status_word(job)}: {printable(job.command)}"
    if job.name:
        yield job.name, description
    yield short_id(job), description

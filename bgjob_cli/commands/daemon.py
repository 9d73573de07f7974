"""`bgjob daemon`: start, stop, restart or inspect the daemon. Jobs do not depend on it."""

import argparse
import os
from typing import Any

from bgjob_cli import exit_status
from bgjob_cli.arguments import add_json, count
from bgjob_cli.connection import ANSWERS_WITHIN_S, Daemon
from bgjob_cli.daemon_process import stop_daemon
from bgjob_cli.doctor.configuration import check_configuration
from bgjob_cli.doctor.findings import Result
from bgjob_cli.json_text import as_json, print_json
from bgjob_cli.output import Output
from bgjob_cli.quantities import format_count, format_duration, format_size
from bgjob_cli.terminal_text import printable
from bgjobd.errors import BgjobError, ErrorCode
from bgjobd.paths import Paths
from bgjobd.protocol import DaemonStatus, DaemonStatusReply, JobStatus

DESCRIPTION = """\
Start, stop, restart or inspect the daemon. It starts by itself when it is needed. Jobs keep running without it: after
'restart', and after 'stop' unless --kill-jobs says otherwise."""

_SUB_VERBS = {
    "start": "start the daemon, unless it runs",
    "stop": "stop the daemon; jobs keep running",
    "restart": "stop the daemon and start a new one; jobs keep running",
    "status": "show whether it runs, and how it is doing; never starts it",
    "logs": "show the end of the daemon's own log",
}
_LINES = 50


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the sub-verbs."""
    chosen = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    for name, line in _SUB_VERBS.items():
        sub_parser = chosen.add_parser(name, help=line, description=line[0].upper() + line[1:] + ".")
        if name == "logs":
            sub_parser.add_argument("-n", "--lines", type=count, default=_LINES, help=f"default: {_LINES}")
            sub_parser.add_argument(
                "-f", "--follow", action="store_true", help="go on with what is written from now on"
            )
            continue
        add_json(sub_parser)
        if name == "stop":
            sub_parser.add_argument("--kill-jobs", action="store_true", help="first end every job")


def run(arguments: argparse.Namespace, output: Output) -> int:
    """Do what the sub-verb says."""
    paths = Paths.from_environment()
    match arguments.action:
        case "start":
            return _start(paths, output)
        case "stop":
            return _stop(paths, output, kill_jobs=arguments.kill_jobs)
        case "restart":
            return _restart(paths, output)
        case "status":
            return _status(paths, output)
    return _logs(paths, arguments)


def _start(paths: Paths, output: Output) -> int:
    found = _ask(paths)
    _show(found or _begin(paths), output, "runs already" if found else "started")
    return exit_status.OK


def _stop(paths: Paths, output: Output, *, kill_jobs: bool) -> int:
    pid = stop_daemon(paths, kill_jobs=kill_jobs)
    if output.json:
        print_json(_absent(paths), output)
    else:
        output.line(f"stopped (it was pid {pid})" if pid else "not running")
    return exit_status.OK


def _restart(paths: Paths, output: Output) -> int:
    _check_configuration(paths)
    pid = stop_daemon(paths)
    _show(_begin(paths), output, f"restarted (it was pid {pid})" if pid else "started")
    return exit_status.OK


def _status(paths: Paths, output: Output) -> int:
    found = _ask(paths)
    if found:
        _show(found, output, "running")
        return exit_status.OK
    if output.json:
        print_json(_absent(paths), output)
    else:
        output.line("not running")
        _show_facts([("socket", printable(paths.socket)), ("state", printable(paths.state_dir))], output)
    return exit_status.NOT_REACHED


def _logs(paths: Paths, arguments: argparse.Namespace) -> int:
    """Become tail(1): it waits for new lines without polling, and knows about rotation.

    Raises:
        BgjobError: OUTPUT_GONE: there is no log, or no tail.
    """
    words = ["tail", "-n", str(arguments.lines), *(["-F"] if arguments.follow else []), paths.daemon_log]
    try:
        os.stat(paths.daemon_log)
        os.execvp(words[0], words)
    except OSError as error:
        raise BgjobError(
            ErrorCode.OUTPUT_GONE,
            f"cannot show the daemon's log {paths.daemon_log!r}: {error.strerror}",
            "The daemon writes it from its first start on: bgjob daemon start",
        ) from error


def _ask(paths: Paths) -> DaemonStatusReply | None:
    """Return what the daemon says about itself; None when there is none.

    Raises:
        BgjobError: DAEMON_SILENT: there is one, and it hangs; VERSION_MISMATCH.
    """
    try:
        with Daemon(autostart=False, paths=paths, timeout_s=ANSWERS_WITHIN_S) as daemon:
            return daemon.call(DaemonStatus(), repeat=False)
    except BgjobError as error:
        if error.code in (ErrorCode.DAEMON_UNREACHABLE, ErrorCode.CONNECTION_LOST, ErrorCode.SHUTTING_DOWN):
            return None
        raise


def _check_configuration(paths: Paths) -> None:
    """Refuse a configuration with which no daemon would start, while the old one still runs."""
    found = check_configuration(paths)
    if found.result is Result.FAIL:
        raise BgjobError(
            ErrorCode.DAEMON_UNREACHABLE,
            f"cannot restart the daemon: {found.detail}",
            found.advice,
        )


def _begin(paths: Paths) -> DaemonStatusReply:
    """Start the daemon and return what it says."""
    with Daemon(paths=paths) as daemon:
        return daemon.call(DaemonStatus())


def _absent(paths: Paths) -> dict[str, Any]:
    """Return the JSON of a daemon that is not there: the same fields, with nothing in them."""
    nothing = dict.fromkeys(DaemonStatusReply.__struct_fields__)
    return {"running": False, **nothing, "socket": paths.socket, "state_dir": paths.state_dir}


def _show(reply: DaemonStatusReply, output: Output, word: str) -> None:
    """Print the state of a daemon that is there."""
    if output.json:
        print_json({"running": True, **as_json(reply)}, output)
        return
    output.line(f"{output.paint(word, 'good')}, pid {reply.pid}, up {format_duration(reply.uptime_s)}")
    _show_facts(_facts(reply), output)


def _show_facts(facts: list[tuple[str, str]], output: Output) -> None:
    for name, value in facts:
        output.line(f"  {output.paint(f'{name:<10}', 'dim')}{value}")


def _facts(reply: DaemonStatusReply) -> list[tuple[str, str]]:
    active = [f"{reply.jobs.get(status.value, 0)} {status.value}" for status in (JobStatus.RUNNING, JobStatus.QUEUED)]
    ended = sum(number for word, number in reply.jobs.items() if word not in (JobStatus.RUNNING, JobStatus.QUEUED))
    facts = [
        ("version", f"{reply.version} (protocol {reply.protocol})"),
        ("jobs", ", ".join([*active, f"{ended} ended"])),
        ("clients", format_count(reply.clients, "connection")),
        ("memory", format_size(reply.rss_bytes) if reply.rss_bytes else ""),
        ("socket", printable(reply.socket)),
        ("state", printable(reply.state_dir)),
        *(("warning", printable(warning)) for warning in reply.warnings),
    ]
    return [fact for fact in facts if fact[1]]

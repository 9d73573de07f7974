"""`bgjob kill`: end jobs with everything they started, and show the receipt."""

import argparse
import threading

from bgjob_cli import exit_status
from bgjob_cli.arguments import add_jobs, add_json, duration, text
from bgjob_cli.connection import Daemon
from bgjob_cli.job_text import label
from bgjob_cli.json_text import print_json
from bgjob_cli.live_line import LiveLine
from bgjob_cli.output import Output
from bgjob_cli.receipt_text import receipt_lines
from bgjob_cli.report import report
from bgjob_cli.terminal_text import wrapped
from bgjobd.errors import BgjobError
from bgjobd.protocol import Kill, KillReply

DESCRIPTION = """\
End a job's whole process tree, including what went into the background: stop signal, grace, then KILL.

Prints a receipt: who was signalled, how each process ended, and who survived. With -s only that signal is sent, to
the job's process group, unless it is KILL."""

_INDENT = "  "  # of what goes on in a further line


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `kill`."""
    add_jobs(parser, number_option="-s")
    parser.add_argument("-s", "--signal", type=text, metavar="SIG", help="any name or number: INT, SIGHUP, 10 …")
    parser.add_argument("--grace", type=duration, metavar="TIME", help="how long it may take to end before KILL")
    parser.add_argument("--reason", type=text, default="", help="why; kept in the job's record")
    add_json(parser, "print an array of receipts")


def run(arguments: argparse.Namespace, output: Output) -> int:
    """End all the jobs at the same time and print what was done, in the order asked."""
    kills = [_OneKill(_request(reference, arguments)) for reference in arguments.jobs]
    for kill in kills:
        kill.start()
    with LiveLine(arguments.jobs, output):
        for kill in kills:
            kill.join()
    statuses = [_show(kill, output) for kill in kills]
    if output.json:
        print_json([kill.reply.receipt for kill in kills if kill.reply], output)
    return next(filter(None, statuses), exit_status.OK)


def _request(reference: str, arguments: argparse.Namespace) -> Kill:
    return Kill(job=reference, signal=arguments.signal, grace_s=arguments.grace, reason=arguments.reason)


class _OneKill(threading.Thread):
    """One kill on a connection of its own: several jobs with a grace of 5 s each take 5 s, not 5 s each."""

    def __init__(self, request: Kill) -> None:
        super().__init__(name=f"kill {request.job}", daemon=True)
        self._request = request
        self.reply: KillReply | None = None
        self.error: BgjobError | None = None

    def run(self) -> None:
        """Ask, and keep the answer."""
        try:
            with Daemon() as daemon:
                # A single signal is not repeated after a loss: the job may have had it.
                self.reply = daemon.call(self._request, repeat=self._request.signal is None)
        except BgjobError as error:
            self.error = error


def _show(kill: _OneKill, output: Output) -> int:
    """Print the receipt of one job, or why there is none; return its exit status."""
    if kill.reply is None:
        assert kill.error, "a kill ends with a reply or an error"
        return report(kill.error, output)
    receipt = kill.reply.receipt
    if not output.json:
        room = None if output.width is None else output.width - len(_INDENT)
        for line in receipt_lines(receipt):
            style = "bad" if line.startswith("survived") else ""
            for number, part in enumerate(wrapped(f"{label(kill.reply.job)}: {line}", room)):
                output.line(output.paint(_INDENT * bool(number) + part, style))
    return exit_status.FAILED if receipt.survivors else exit_status.OK

"""`bgjob send`: write to a job's standard input, or press keys in its terminal."""

import argparse
import os

from bgjob_cli import exit_status
from bgjob_cli.arguments import add_job, add_json, positive_duration, text
from bgjob_cli.connection import Daemon
from bgjob_cli.input_stream import send_stdin
from bgjob_cli.json_text import print_json
from bgjob_cli.output import Output
from bgjobd.protocol import Send, SendReply

DESCRIPTION = """\
Write TEXT and a newline to a job's standard input; without TEXT, our own standard input up to its end.

  bgjob send server reload
  bgjob send sort --eof < names.txt
  bgjob send editor --keys 'Escape : w q Enter'

Keys are named as in tmux, and go to the terminal of a job that was started with --pty: a single character, Enter,
Escape, Tab, BTab, Space, BSpace, Up, Down, Left, Right, Home, End, PageUp, PageDown, Insert, Delete, F1 to F12, with
C- (Control), M- (Alt) or S- (Shift) in front. They come after TEXT, which then gets no newline."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `send`."""
    add_job(parser)
    parser.add_argument("text", metavar="TEXT", nargs="?", help="what to write (default: our standard input)")
    parser.add_argument("--no-newline", action="store_true", help="do not add a newline to TEXT")
    parser.add_argument("--keys", type=text, default="", metavar="KEYS", help="press these keys, separated by blanks")
    parser.add_argument("--eof", action="store_true", help="end the job's standard input after it")
    parser.add_argument("-t", "--timeout", type=positive_duration, metavar="TIME", help="wait so long for it to read")
    add_json(parser)


def run(arguments: argparse.Namespace, output: Output) -> int:
    """Send the text or the stream."""
    with Daemon() as daemon:
        reply = _send(daemon, arguments, output)
    if output.json:
        print_json(reply, output)
    return exit_status.OK


def _send(daemon: Daemon, arguments: argparse.Namespace, output: Output) -> SendReply:
    if arguments.text is not None or arguments.keys:
        request = Send(
            job=arguments.job,
            data=os.fsencode(arguments.text or ""),
            newline=not (arguments.no_newline or arguments.keys),
            keys=arguments.keys,
            eof=arguments.eof,
            timeout_s=arguments.timeout,
        )
        # Never again by itself: what a lost daemon had passed on is not known.
        return daemon.call(request, repeat=False)
    if arguments.eof and os.isatty(0):
        return daemon.call(Send(job=arguments.job, eof=True), repeat=False)
    # Resolved once, so that the answer names the job, and a bad reference is told before anything is read.
    start = daemon.call(Send(job=arguments.job), repeat=False)
    if os.isatty(0):
        output.talk("bgjob: sending what you type; Ctrl-D ends", "dim")
    accepted = send_stdin(daemon, start.job_id, eof=arguments.eof, timeout_s=arguments.timeout)
    return SendReply(job_id=start.job_id, accepted_bytes=accepted, eof=arguments.eof, cursor=start.cursor)

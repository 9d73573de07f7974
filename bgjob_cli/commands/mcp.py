"""`bgjob mcp`: hands over to `bgjob-mcp`, which serves agents and enters itself into their configuration."""

import argparse
import os
import shutil
import sys

from bgjob_cli.output import Output
from bgjobd.errors import BgjobError, ErrorCode

DESCRIPTION = """\
Do what bgjob-mcp does: without arguments serve MCP on stdin and stdout; enter the server into the configuration of an
MCP client, take it out again, or print what to enter. See `bgjob-mcp --help`.

  bgjob mcp install claude-code --dry-run"""

# All words are bgjob-mcp's to understand, from its verb on; `bgjob mcp -- --http …` passes options alone.
OPTIONS_END_AT_COMMAND = True

_PROGRAM = "bgjob-mcp"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `mcp`."""
    parser.add_argument("command", nargs="*", metavar="ARGUMENT", help="as bgjob-mcp takes them")


def run(arguments: argparse.Namespace, output: Output) -> int:
    """Become bgjob-mcp. Returns only by an error."""
    beside = [os.path.dirname(os.path.abspath(program)) for program in (sys.argv[0], sys.executable)]
    program = shutil.which(_PROGRAM, path=os.pathsep.join(beside)) or shutil.which(_PROGRAM)
    if program is None:
        raise BgjobError(
            ErrorCode.INVALID_ARGUMENT,
            "cannot find bgjob-mcp: it is not beside bgjob, nor on PATH",
            "Install bgjob anew.",
        )
    sys.stdout.flush()
    os.execv(program, [_PROGRAM, *arguments.command])

"""What bgjob-mcp does when it is given arguments: say what it is, serve HTTP, be the resident host, set up clients."""

import os
import signal
import sys

from bgjobd.errors import BgjobError
from bgjobd.paths import Paths
from bgjobd.version import VERSION

__all__ = ["main"]

_USAGE = """\
usage: bgjob-mcp
       bgjob-mcp --http HOST:PORT --token-file FILE [--host-name NAME ...]
       bgjob-mcp --resident-host [--idle-s SECONDS]
       bgjob-mcp install|uninstall|config CLIENT [--project] [--dry-run] [--yes]

Serves MCP on stdin and stdout: background jobs for coding agents. Started by an MCP client; see
docs/how-to/use-from-an-agent.md for how to tell yours; install does it, config shows how.

  --http HOST:PORT    serve streamable HTTP at /mcp instead, until told to stop; port 0 is any free one
  --token-file FILE   holds the bearer token that every request needs; made when it does not exist
  --host-name NAME    also take requests that call this machine NAME; may be given several times
  --resident-host     serve the sessions of all bgjob-mcp of this user; starts by itself when it is needed
  --idle-s SECONDS    end when there has been no session for so long; default 600
  --version           print the version
  --help              print this
"""
_TAKE_A_VALUE = ("--http", "--token-file", "--host-name", "--idle-s")
_ALONE = ("--resident-host",)

Options = dict[str, list[str]]


def main(arguments: list[str]) -> int:
    """Carry out what the arguments say; return the exit status: 1 when it cannot be done, 2 for a wrong argument."""
    if arguments in (["--version"], ["--help"], ["-h"]) or arguments[0] in ("install", "uninstall", "config"):
        return _talk(arguments)
    options, wrong = _options(arguments)
    wrong = wrong or _conflict(options)
    if wrong:
        print(f"bgjob-mcp: {wrong}\n{_USAGE}", file=sys.stderr, end="")
        return 2
    try:
        return _serve(options, Paths.from_environment())
    except BgjobError as error:
        print(f"bgjob-mcp: {error}", file=sys.stderr)
        return 1


def _talk(arguments: list[str]) -> int:
    """Do what is only said on stdout. A reader that goes away ends us, as it ends any other program."""
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    try:
        status = _say(arguments)
        sys.stdout.flush()
    except OSError as error:
        print(f"bgjob-mcp: cannot write to stdout: {error.strerror}", file=sys.stderr)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # Python tries once more at its end, and would complain
        return 1
    return status


def _say(arguments: list[str]) -> int:
    if arguments == ["--version"]:
        print(f"bgjob-mcp {VERSION}")
        return 0
    if arguments[0] in ("--help", "-h"):
        print(_USAGE, end="")
        return 0
    from bgjob_mcp.install import command

    return command.main(arguments)


def _options(arguments: list[str]) -> tuple[Options, str]:
    """Return the values given for each option, and what is wrong, if anything."""
    given: Options = {}
    rest = iter(arguments)
    for argument in rest:
        name, equals, value = argument.partition("=")
        if argument in _ALONE:
            given[argument] = ["yes"]
        elif name in _TAKE_A_VALUE:
            given.setdefault(name, []).append(value if equals else next(rest, ""))
        else:
            return given, f"cannot use {argument!r}: it takes no such argument"
    without = next((name for name, values in given.items() if not all(values)), "")
    return given, f"cannot use {without}: it needs a value" if without else ""


def _conflict(options: Options) -> str:
    if "--resident-host" in options:
        others = sorted(options.keys() - {"--resident-host", "--idle-s"})
        return f"cannot use {others[0]} together with --resident-host" if others else ""
    if "--idle-s" in options:
        return "cannot use --idle-s: it needs --resident-host"
    # Without a token every user of the machine, and of the network, could run commands as us.
    needed = {"--http", "--token-file"} - options.keys()
    return "cannot serve HTTP: it needs both --http and --token-file" if needed else ""


def _serve(options: Options, paths: Paths) -> int:
    if "--resident-host" in options:
        from bgjob_mcp import resident

        return resident.run(paths, options.get("--idle-s", [""])[-1])
    from bgjob_mcp import in_process

    return in_process.serve_http(
        paths, options["--http"][-1], options["--token-file"][-1], options.get("--host-name", [])
    )

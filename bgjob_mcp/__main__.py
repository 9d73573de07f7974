"""bgjob-mcp: the MCP server. Makes sure that the daemon is up, and only then imports the SDK.

Few imports here: what this module costs is paid before the first message is read.
"""

import gc
import logging
import signal
import sys

from bgjobd.autostart import open_connection
from bgjobd.errors import BgjobError
from bgjobd.paths import Paths
from bgjobd.version import VERSION

__all__ = ["main"]

_USAGE = """\
usage: bgjob-mcp
       bgjob-mcp --http HOST:PORT --token-file FILE [--host-name NAME ...]
       bgjob-mcp install|uninstall|config CLIENT [--project] [--dry-run] [--yes]

Serves MCP on stdin and stdout: background jobs for coding agents. Started by an MCP client; see
docs/how-to/use-from-an-agent.md for how to tell yours; install does it, config shows how.

  --http HOST:PORT    serve streamable HTTP at /mcp instead, until told to stop; port 0 is any free one
  --token-file FILE   holds the bearer token that every request needs; made when it does not exist
  --host-name NAME    also take requests that call this machine NAME; may be given several times
  --version           print the version
  --help              print this
"""
_TAKE_A_VALUE = ("--http", "--token-file", "--host-name")


def main() -> None:
    """Run the server until its client closes stdin. Exits 0 then, 1 when it cannot serve, 2 for a wrong argument."""
    arguments = sys.argv[1:]
    if arguments == ["--version"]:
        print(f"bgjob-mcp {VERSION}")
    elif arguments in (["--help"], ["-h"]):
        print(_USAGE, end="")
    elif arguments and arguments[0] in ("install", "uninstall", "config"):
        from bgjob_mcp.install import command

        sys.exit(command.main(arguments))
    else:
        options = _options(arguments)
        sys.exit(2 if options is None else _serve(options))


def _options(arguments: list[str]) -> dict[str, list[str]] | None:
    """Return the values given for each option; None, and say what is wrong, when something is."""
    given: dict[str, list[str]] = {}
    rest = iter(arguments)
    wrong = ""
    for argument in rest:
        name, equals, value = argument.partition("=")
        if name not in _TAKE_A_VALUE:
            wrong = f"cannot use {argument!r}: it takes no such argument"
            break
        given.setdefault(name, []).append(value if equals else next(rest, ""))
    for name, values in given.items():
        if not all(values):
            wrong = f"cannot use {name}: it needs a value"
    if given and not wrong and {"--http", "--token-file"} - given.keys():
        # Without a token every user of the machine, and of the network, could run commands as us.
        wrong = "cannot serve HTTP: it needs both --http and --token-file"
    if wrong:
        print(f"bgjob-mcp: {wrong}\n{_USAGE}", file=sys.stderr, end="")
        return None
    return given


def _serve(options: dict[str, list[str]]) -> int:
    logging.basicConfig(
        stream=sys.stderr, level=logging.WARNING, format="bgjob-mcp: %(levelname)s %(name)s: %(message)s"
    )
    try:
        paths = Paths.from_environment()
    except BgjobError as error:
        print(f"bgjob-mcp: {error}", file=sys.stderr)
        return 1
    try:
        open_connection(paths).close()
    except BgjobError as error:
        # Served all the same: each call tries again, and says what is wrong.
        print(f"bgjob-mcp: {error}", file=sys.stderr)
    # Nothing that imports make is garbage: collecting while they run takes a quarter of their time, and collecting it
    # at the end makes the exit slow.
    gc.disable()
    import anyio

    if options:
        from bgjob_mcp.server.http import serve_http
    else:
        from bgjob_mcp.server.app import serve_stdio
    from bgjob_mcp.server.sessions import Surroundings

    gc.freeze()
    gc.enable()
    surroundings = Surroundings.of_this_process()
    try:
        surroundings.settings()
    except BgjobError as error:
        print(f"bgjob-mcp: {error}", file=sys.stderr)
    if options:
        try:
            anyio.run(
                serve_http, surroundings, paths, options["--http"][-1], options["--token-file"][-1],
                options.get("--host-name", []),
            )  # fmt: skip
        except BgjobError as error:
            print(f"bgjob-mcp: {error}\n{error.hint}", file=sys.stderr)
            return 1
        return 0
    # The event loop's own handling of SIGINT cancels what is under way, on which the SDK's streams break noisily.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        anyio.run(serve_stdio, surroundings, paths)
    except* (anyio.BrokenResourceError, anyio.ClosedResourceError, ConnectionError):
        # The client went away while it was being written to. That is how sessions end.
        logging.getLogger("bgjob_mcp").info("the client is gone")
    return 0


if __name__ == "__main__":
    main()

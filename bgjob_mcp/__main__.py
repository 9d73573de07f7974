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

Serves MCP on stdin and stdout: background jobs for coding agents. Started by an MCP client; see
docs/how-to/use-from-an-agent.md for how to tell yours.

  --version   print the version
  --help      print this
"""


def main() -> None:
    """Run the server until its client closes stdin. Exits 0 then, 1 when it cannot serve, 2 for a wrong argument."""
    arguments = sys.argv[1:]
    if arguments == ["--version"]:
        print(f"bgjob-mcp {VERSION}")
    elif arguments in (["--help"], ["-h"]):
        print(_USAGE, end="")
    elif arguments:
        print(f"bgjob-mcp: cannot use {arguments[0]!r}: it takes no such argument\n{_USAGE}", file=sys.stderr, end="")
        sys.exit(2)
    else:
        sys.exit(_serve())


def _serve() -> int:
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

    from bgjob_mcp.server.app import serve_stdio
    from bgjob_mcp.server.sessions import Surroundings

    gc.freeze()
    gc.enable()
    surroundings = Surroundings.of_this_process()
    try:
        surroundings.settings()
    except BgjobError as error:
        print(f"bgjob-mcp: {error}", file=sys.stderr)
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

"""bgjob-mcp without arguments: serves the MCP client that started it, through the resident host where there is one.

Next to no imports: what this module loads is paid before the first message is read. Everything else that bgjob-mcp can
do, serving in this process included, is behind `bgjob_mcp.command`.
"""

import os
import signal
import sys

from bgjob_mcp.surroundings import Surroundings
from bgjobd.errors import BgjobError, ErrorCode
from bgjobd.paths import Paths

__all__ = ["HOST_VARIABLE", "main"]

HOST_VARIABLE = "BGJOB_MCP_HOST"


def main() -> None:
    """Run the server until its client closes stdin. Exits 0 then, 1 when it cannot serve, 2 for a wrong argument."""
    arguments = sys.argv[1:]
    # Ctrl-C ends us like any other program. Left to Python it would be an exception somewhere in the middle.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    if arguments:
        from bgjob_mcp import command

        sys.exit(command.main(arguments))
    try:
        wanted, paths = _host_wanted(), Paths.from_environment()
    except BgjobError as error:
        sys.stderr.write(f"bgjob-mcp: {error}\n")
        sys.exit(1)
    surroundings = Surroundings.of_this_process()
    if wanted:
        from bgjob_mcp import pump

        status = pump.serve(paths, surroundings)
        if status is not None:
            sys.exit(status)
    from bgjob_mcp import in_process

    sys.exit(in_process.serve(paths, surroundings, start_host=wanted))


def _host_wanted() -> bool:
    """Say whether the session may be served by the resident host: unless the client's configuration says no."""
    said = os.environ.get(HOST_VARIABLE, "") or "on"
    if said not in ("on", "off"):
        raise BgjobError(
            ErrorCode.INVALID_ARGUMENT,
            f"cannot use {HOST_VARIABLE}={said!r}: accepted is on or off",
            "Correct it in the environment of the MCP server (your client's configuration).",
        )
    return said == "on"


if __name__ == "__main__":
    main()

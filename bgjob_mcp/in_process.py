"""Serve MCP in this process: makes sure that the daemon is up, and only then imports the SDK.

This is how a session is served when no resident host takes it, and how HTTP is served.
"""

import gc
import logging
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from bgjob_mcp.surroundings import Surroundings
from bgjobd.autostart import environment_for, open_connection
from bgjobd.detached import start_detached
from bgjobd.errors import BgjobError
from bgjobd.paths import Paths

__all__ = ["importing", "problems", "serve", "serve_http"]


def serve(paths: Paths, surroundings: Surroundings, *, start_host: bool) -> int:
    """Serve one client on stdin and stdout until it closes stdin; return the exit status.

    Args:
        start_host: start the resident host for the next session, once this one has had its first answer.
    """
    _prepare(paths)
    with importing():
        import anyio

        from bgjob_mcp.server.app import serve_stdio
    _say(problems(surroundings))

    def answered() -> None:
        if start_host:
            _start_host(paths)

    try:
        anyio.run(serve_stdio, surroundings, paths, answered)
    except* (anyio.BrokenResourceError, anyio.ClosedResourceError, ConnectionError):
        # The client went away while it was being written to. That is how sessions end.
        logging.getLogger("bgjob_mcp").info("the client is gone")
    return 0


def serve_http(paths: Paths, address: str, token_file: str, host_names: Sequence[str]) -> int:
    """Serve clients over HTTP until SIGTERM or SIGINT, which then ends us; return the exit status where neither did.

    Raises:
        BgjobError: as `bgjob_mcp.server.http.serve_http`.
    """
    _prepare(paths)
    with importing():
        import anyio

        from bgjob_mcp.server import http
    surroundings = Surroundings.of_this_process()
    _say(problems(surroundings))
    anyio.run(http.serve_http, surroundings, paths, address, token_file, host_names)
    return 0


@contextmanager
def importing() -> Iterator[None]:
    """Import much: nothing of it is garbage.

    Collecting while imports run takes a quarter of their time, and collecting it at the end makes the exit slow.
    """
    gc.disable()
    yield
    gc.freeze()
    gc.enable()


def problems(surroundings: Surroundings) -> str:
    """Return what is wrong with the client's settings, "" when nothing is. Every call will say so, too."""
    from bgjob_mcp.settings import read_settings

    try:
        read_settings(surroundings.variables, surroundings.cwd)
    except BgjobError as error:
        return f"bgjob-mcp: {error}\n"
    return ""


def _prepare(paths: Paths) -> None:
    logging.basicConfig(
        stream=sys.stderr, level=logging.WARNING, format="bgjob-mcp: %(levelname)s %(name)s: %(message)s"
    )
    try:
        open_connection(paths).close()
    except BgjobError as error:
        # Served all the same: each call tries again, and says what is wrong.
        _say(f"bgjob-mcp: {error}\n")


def _say(text: str) -> None:
    if text:
        sys.stderr.write(text)


def _start_host(paths: Paths) -> None:
    """Start the resident host. Where one runs already, the new one ends at once: a lock decides."""
    try:
        start_detached("bgjob_mcp", ["--resident-host"], environment_for(paths))
    except OSError as error:
        # This session does not need it, and the next one will try again.
        logging.getLogger("bgjob_mcp").warning("cannot start the resident host: %s", error.strerror)

"""Streamable HTTP: the same server for clients that cannot start a process. Nobody without the token gets in.

A page in a browser, or another user of the machine, could reach the port: so every request needs the bearer token (401
without), and Host and Origin have to be ours (421, 403), which a page that rebinds a name in DNS cannot fake.

Source: MCP 2025-11-25, "Transports", "Security Warning".
"""

import hmac
import ipaddress
import os
import secrets
import shlex
import socket
import stat
import sys
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import uvicorn
from mcp.server.transport_security import TransportSecuritySettings

from bgjob_mcp.server.app import build
from bgjob_mcp.surroundings import Surroundings
from bgjobd.errors import BgjobError, ErrorCode
from bgjobd.paths import Paths

__all__ = ["serve_http"]

PATH = "/mcp"
_LEAST_TOKEN_CHARACTERS = 16
_BACKLOG = 128
_HTTP_PORT = 80
_SHUTDOWN_S = 2  # for calls that are under way; a wait may last for hours

Scope = dict[str, Any]
Receive = Callable[..., Awaitable[Any]]
Send = Callable[..., Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]


async def serve_http(
    surroundings: Surroundings, paths: Paths, address: str, token_file: str, host_names: Sequence[str]
) -> None:
    """Serve clients over HTTP until SIGTERM or SIGINT. Jobs go on.

    Args:
        address: HOST:PORT; port 0 is any free one. The address that is served is said on stderr.
        token_file: holds the token; made, with a new one, where there is none.
        host_names: by which clients may call this machine, besides the address; with our port or without.

    Raises:
        BgjobError: INVALID_ARGUMENT for an address that is none, or a token that anybody could read or guess.
    """
    host, port = _parsed(address)
    token = _token(token_file)
    with _listening(host, port) as listening:
        port = listening.getsockname()[1]
        names, more = _own_names(host), [name.lower() for name in host_names]
        # Clients leave out the port of their scheme: ours where it is 80, else that of a proxy that `host_names` name.
        bare = [*names, *more] if port == _HTTP_PORT else more
        hosts = [*(f"{name}:{port}" for name in [*names, *more]), *bare]
        app = build(surroundings, paths).streamable_http_app(
            streamable_http_path=PATH,
            transport_security=TransportSecuritySettings(
                enable_dns_rebinding_protection=True,
                allowed_hosts=hosts,
                # A proxy that we are behind takes the encryption off.
                allowed_origins=[f"{scheme}://{host}" for host in hosts for scheme in ("http", "https")],
            ),
        )
        config = uvicorn.Config(
            _guarded(app, token), log_level="warning", timeout_graceful_shutdown=_SHUTDOWN_S, server_header=False
        )
        print(f"bgjob-mcp: serving http://{names[0]}:{port}{PATH}", file=sys.stderr, flush=True)
        await uvicorn.Server(config).serve([listening])


def _guarded(app: App, token: str) -> App:
    """Return an application that answers 401 to requests without the token, and takes names of hosts in any case.

    Source: RFC 9110, 4.2.3 and 11.1: host and authentication scheme are case-insensitive.
    """
    expected = token.encode()

    async def guarded(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await app(scope, receive, send)
            return
        given = next((value for name, value in scope["headers"] if name == b"authorization"), b"")
        scheme, _, credentials = given.partition(b" ")
        if scope["type"] == "http" and scheme.lower() == b"bearer" and hmac.compare_digest(credentials, expected):
            await app({**scope, "headers": [_in_lower_case(*header) for header in scope["headers"]]}, receive, send)
            return
        headers = [(b"www-authenticate", b"Bearer"), (b"content-type", b"text/plain; charset=utf-8")]
        await send({"type": "http.response.start", "status": 401, "headers": headers})
        await send({"type": "http.response.body", "body": b"a bearer token is needed: that of --token-file\n"})

    return guarded


def _in_lower_case(name: bytes, value: bytes) -> tuple[bytes, bytes]:
    return name, value.lower() if name in (b"host", b"origin") else value


def _parsed(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not host or not port.isdecimal() or int(port) > 65_535:
        raise BgjobError(
            ErrorCode.INVALID_ARGUMENT,
            f"cannot serve at {address!r}: accepted is HOST:PORT",
            "For this machine alone: --http 127.0.0.1:8765.",
        )
    return host, int(port)


def _listening(host: str, port: int) -> socket.socket:
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family, backlog=_BACKLOG)
    except OSError as error:
        raise BgjobError(
            ErrorCode.INVALID_ARGUMENT, f"cannot serve at {host}:{port}: {error.strerror or error}", "Use another port."
        ) from error


def _own_names(host: str) -> list[str]:
    """Return the names and addresses by which clients call `host`, the usual one first."""
    shown = f"[{host}]" if ":" in host else host
    try:
        address = ipaddress.ip_address(host)
    except ValueError:  # a name
        return [shown.lower()]
    local = ["127.0.0.1", "localhost", "[::1]"]
    if address.is_unspecified:
        return [socket.gethostname().lower(), *local]
    return list(dict.fromkeys([shown, *local])) if address.is_loopback else [shown]


def _token(path: str) -> str:
    """Return the token in a file that only we can read; make both, and its directory, where there is no such file."""
    try:
        token = _new_token(path) or _read_token(path)
    except OSError as error:
        raise _bad_token(path, error.strerror or str(error)) from error
    if len(token) < _LEAST_TOKEN_CHARACTERS or not token.isascii() or not token.isprintable():
        raise _bad_token(path, f"it does not hold {_LEAST_TOKEN_CHARACTERS} or more printable characters")
    return token


def _new_token(path: str) -> str:
    token = secrets.token_urlsafe(32)
    os.makedirs(os.path.dirname(os.path.abspath(path)), mode=0o700, exist_ok=True)
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return ""
    with open(fd, "w") as file:
        file.write(token + "\n")
    return token


def _read_token(path: str) -> str:
    with open(path, errors="replace") as file:
        found = os.fstat(file.fileno())
        if found.st_uid != os.geteuid() or stat.S_IMODE(found.st_mode) & 0o077:
            raise _bad_token(path, "others may read or change it", f"chmod 600 {shlex.quote(path)}")
        return file.read().strip()


def _bad_token(path: str, reason: str, command: str = "") -> BgjobError:
    return BgjobError(
        ErrorCode.INVALID_ARGUMENT,
        f"cannot use the token file {path!r}: {reason}",
        f"Run `{command}`." if command else "Name a file that does not exist yet: it is made, with a new token.",
    )

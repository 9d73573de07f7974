"""What a client's file becomes: pure, text in and text out.

An entry that is there already is brought up to date and keeps what its user added. Settings of mcp-background-job, the
server that this one takes the place of, are carried over from its entry.
"""

import copy
from collections.abc import Iterator, Mapping
from typing import Any

from bgjob_mcp.install.clients import SERVER_NAME, Client, Entry
from bgjob_mcp.install.json_text import remove_member, set_member, value_of
from bgjobd.errors import BgjobError, ErrorCode

__all__ = ["added", "entry_in", "predecessors", "removed"]

_PREDECESSOR = "mcp-background-job"
_CARRIED = "MCP_BG_"


def added(client: Client, text: str, command: str) -> str:
    """Return the text of a client's file with our entry in it."""
    servers = _servers(client, text)
    entry = _merged(client, client.entry(command), servers)
    if not client.is_toml:
        return set_member(text, [client.container, SERVER_NAME], entry)
    import tomlkit
    from tomlkit.items import InlineTable

    document = _toml(text)
    table = document.setdefault(client.container, tomlkit.table(is_super_table=True))
    if table.get(SERVER_NAME) != entry:
        if isinstance(table.get(SERVER_NAME), dict):
            table[SERVER_NAME].update(entry)
        else:
            # A table cannot stand in one that is written on one line.
            inline = tomlkit.inline_table() if isinstance(table, InlineTable) else None
            table[SERVER_NAME] = tomlkit.item(entry) if inline is None else inline
            table[SERVER_NAME].update(entry)
    return _apart(client, tomlkit.dumps(document))


def _apart(client: Client, text: str) -> str:
    """Return TOML with a blank line between our tables and the one that follows, as people write it."""
    ours = text.rfind(f"[{client.container}.{SERVER_NAME}")
    following = text.find("\n[", ours)
    if ours < 0 or following < 0 or text[following - 1] == "\n":
        return text
    return f"{text[:following]}\n{text[following:]}"


def removed(client: Client, text: str) -> str:
    """Return the text without our entry."""
    if SERVER_NAME not in _servers(client, text):
        return text
    if not client.is_toml:
        return remove_member(text, [client.container, SERVER_NAME])
    import tomlkit

    document = _toml(text)
    del document[client.container][SERVER_NAME]
    return tomlkit.dumps(document)


def entry_in(client: Client, text: str) -> Any:
    """Return our entry, None where there is none."""
    return _servers(client, text).get(SERVER_NAME)


def predecessors(client: Client, text: str) -> list[str]:
    """Return the names of the entries that start mcp-background-job."""
    return [name for name, entry in _servers(client, text).items() if _is_predecessor(entry)]


def _merged(client: Client, entry: Entry, servers: Mapping[str, Any]) -> Entry:
    environment: dict[str, str] = dict(entry.get(client.environment_key, {}))
    for other in servers.values():
        if _is_predecessor(other):
            given = other.get(client.environment_key) or {}
            environment |= {name: value for name, value in given.items() if name.startswith(_CARRIED)}
    present = servers.get(SERVER_NAME)
    if isinstance(present, dict) and not _is_predecessor(present):
        environment |= present.get(client.environment_key) or {}
        entry = {**entry, **copy.deepcopy(present), "command": entry["command"]}
    if environment or client.environment_key in entry:
        entry[client.environment_key] = environment
    return entry


def _is_predecessor(entry: Any) -> bool:
    """Say whether an entry starts mcp-background-job, by itself or by way of uvx."""
    return isinstance(entry, dict) and any(
        _PREDECESSOR in word for key in ("command", "args") for word in _words(entry.get(key))
    )


def _words(value: Any) -> Iterator[str]:
    yield from (str(word) for word in (value if isinstance(value, list) else [value]))


def _servers(client: Client, text: str) -> dict[str, Any]:
    whole = _toml(text).unwrap() if client.is_toml else value_of(text.strip())
    servers = whole.get(client.container, {}) if isinstance(whole, dict) else None
    if not isinstance(servers, dict):
        raise BgjobError(
            ErrorCode.INVALID_ARGUMENT, f"cannot add a server: {client.container!r} is not a table of servers there"
        )
    return servers


def _toml(text: str) -> Any:
    import tomlkit
    from tomlkit.exceptions import ParseError

    try:
        return tomlkit.parse(text)
    except ParseError as error:
        raise BgjobError(
            ErrorCode.INVALID_ARGUMENT, f"cannot read it as TOML: {error}", "Correct the file, then again."
        ) from error

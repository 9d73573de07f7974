"""The clients that we know how to configure: where their files are, and what an entry looks like in each.

Source: the design page "The agent surface", measured with the clients in 2026-11.
"""

import base64
import json
import os
import shlex
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

__all__ = ["CLIENTS", "SERVER_NAME", "Client", "Entry"]

SERVER_NAME = "bgjob"
Entry = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Client:
    """One MCP client. Paths begin with ~ or are relative to the project; "" where there is no such file."""

    name: str
    user_file: str
    project_file: str
    container: str  # the member, or table, that holds the servers
    entry: Callable[[str], Entry]  # from the command
    environment_key: str = "env"
    is_toml: bool = False
    deeplink: Callable[[Entry], str] | None = None
    program: Callable[[Entry], str] | None = None  # the command line of the client's own program that does it

    def file(self, *, project: bool, home: str, cwd: str) -> str:
        """Return the absolute path of the file to change; "" where there is none of that kind."""
        relative = self.project_file if project else self.user_file
        if not relative:
            return ""
        return os.path.join(home, relative[2:]) if relative.startswith("~/") else os.path.join(cwd, relative)


def _stdio(command: str) -> Entry:
    return {"type": "stdio", "command": command, "args": [], "env": {}}


def _plain(command: str) -> Entry:
    return {"command": command, "args": [], "env": {}}


def _vscode(command: str) -> Entry:
    return {"type": "stdio", "command": command}


def _codex(command: str) -> Entry:
    # The client's own limit for one call is raised, and the server told so: long waits in one call.
    return {"command": command, "tool_timeout_sec": 600, "env": {"BGJOB_MCP_MAX_WAIT_S": "590"}}


def _gemini(command: str) -> Entry:
    return {"command": command, "timeout": 600_000}


def _zed(command: str) -> Entry:
    return {"source": "custom", "command": command, "args": [], "env": {}}


def _opencode(command: str) -> Entry:
    return {"type": "local", "command": [command], "enabled": True}


def _cursor_link(entry: Entry) -> str:
    config = base64.b64encode(json.dumps(entry).encode()).decode()
    return f"cursor://anysphere.cursor-deeplink/mcp/install?name={SERVER_NAME}&config={quote(config, safe='')}"


def _vscode_link(entry: Entry) -> str:
    return f"vscode:mcp/install?{quote(json.dumps({'name': SERVER_NAME, **entry}), safe='')}"


def _vscode_program(entry: Entry) -> str:
    return f"code --add-mcp {shlex.quote(json.dumps({'name': SERVER_NAME, **entry}))}"


_DESKTOP = "Library/Application Support/Claude" if sys.platform == "darwin" else ".config/Claude"

CLIENTS: Mapping[str, Client] = {
    client.name: client
    for client in (
        Client("claude-code", "~/.claude.json", ".mcp.json", "mcpServers", _stdio),
        Client("claude-desktop", f"~/{_DESKTOP}/claude_desktop_config.json", "", "mcpServers", _plain),
        Client("cursor", "~/.cursor/mcp.json", ".cursor/mcp.json", "mcpServers", _plain, deeplink=_cursor_link),
        Client(
            "vscode",
            "",
            ".vscode/mcp.json",
            "servers",
            _vscode,
            deeplink=_vscode_link,
            program=_vscode_program,
        ),
        Client("codex", "~/.codex/config.toml", ".codex/config.toml", "mcp_servers", _codex, is_toml=True),
        Client("gemini", "~/.gemini/settings.json", ".gemini/settings.json", "mcpServers", _gemini),
        Client("windsurf", "~/.codeium/windsurf/mcp_config.json", "", "mcpServers", _plain),
        Client("zed", "~/.config/zed/settings.json", ".zed/settings.json", "context_servers", _zed),
        Client(
            "opencode",
            "~/.config/opencode/opencode.json",
            "opencode.json",
            "mcp",
            _opencode,
            environment_key="environment",
        ),
    )
}

"""bgjob-mcp install, uninstall, config: what is in the file beside our entry stays as it was."""

import base64
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlparse

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bgjob_mcp.install.change import added, removed
from bgjob_mcp.install.clients import CLIENTS
from bgjob_mcp.install.command import _replace
from bgjob_mcp.install.json_text import remove_member, set_member, value_of
from bgjobd.errors import BgjobError
from tests.helpers.pty import Terminal
from tests.mcp.harness import SERVER

QUESTION = r"\[y/N\] "
JSON_CLIENTS = sorted(name for name, client in CLIENTS.items() if not client.is_toml)

COMMENTED = """\
// My settings
{
    "theme": "dark", // as it should be
    /* all of
       them */
    "servers": {
        "other": { "command": "x", "args": ["a,b", "}"] }, // mine
        // "old": {},
    },
    "last": [1, 2,],
}
"""


def test_one_member_is_added_and_the_rest_stays_byte_for_byte() -> None:
    text = set_member(COMMENTED, ["servers", "bgjob"], {"command": "bgjob-mcp"})
    expected = """\
        // "old": {},
        "bgjob": {
            "command": "bgjob-mcp"
        }
    },
"""
    assert text == COMMENTED.replace('        // "old": {},\n    },\n', expected)


def test_line_ends_are_those_of_the_file() -> None:
    text = COMMENTED.replace("\n", "\r\n")
    for path in (["servers", "bgjob"], ["servers", "other"], ["new", "bgjob"]):
        assert "\n" not in set_member(text, path, {"command": "bgjob-mcp"}).replace("\r\n", "")


def test_it_is_taken_out_again() -> None:
    text = set_member(COMMENTED, ["servers", "bgjob"], {"command": "bgjob-mcp"})
    assert value_of(remove_member(text, ["servers", "bgjob"])) == value_of(COMMENTED)
    assert "// mine" in remove_member(text, ["servers", "other"])
    assert remove_member(COMMENTED, ["servers", "nobody"]) == COMMENTED
    assert remove_member(COMMENTED, ["nothing", "nobody"]) == COMMENTED


@pytest.mark.parametrize(
    "text",
    ["", "  \n", "{}", "{ }", "{\n}\n", "// only a comment\n{}\n", "// only a comment", '{"a": 1}', '{"a": 1 // x\n}'],
)
def test_small_files(text: str) -> None:
    added_to = set_member(text, ["servers", "bgjob"], {"x": 1})
    assert value_of(added_to)["servers"] == {"bgjob": {"x": 1}}
    assert all(comment in added_to for comment in ("// only a comment", "// x") if comment in text)
    assert set_member(added_to, ["servers", "bgjob"], {"x": 1}) == added_to


@pytest.mark.parametrize(
    "text", ["{", '{"a" 1}', "{a: 1}", '{"a": 1} {}', '{"a": [1}', '{"a": "\n', "nonsense", '{"a":}']
)
def test_what_is_no_json_is_refused_with_its_line(text: str) -> None:
    with pytest.raises(BgjobError, match=r"in line \d"):
        set_member(text, ["servers", "bgjob"], {})


WORDS = st.text(max_size=6)
SCALARS = st.none() | st.booleans() | st.integers() | WORDS
VALUES = SCALARS | st.lists(SCALARS, max_size=2) | st.dictionaries(WORDS, SCALARS, max_size=2)


@given(st.dictionaries(WORDS, VALUES, max_size=3), WORDS, WORDS, VALUES, st.sampled_from([None, 2, "\t"]))
def test_any_member_of_any_object(whole: dict[str, Any], first: str, second: str, value: Any, indent: Any) -> None:
    whole = {**whole, first: whole.get(first) if isinstance(whole.get(first), dict) else {}}
    text = json.dumps(whole, indent=indent)
    assert value_of(text) == whole
    expected = {**whole, first: {**whole[first], second: value}}
    changed = set_member(text, [first, second], value)
    assert value_of(changed) == expected
    del expected[first][second]
    assert value_of(remove_member(changed, [first, second])) == expected


@pytest.mark.parametrize("name", sorted(CLIENTS))
def test_an_entry_is_added_once_and_removed_again(name: str) -> None:
    client = CLIENTS[name]
    once = added(client, "", "/bin/bgjob-mcp")
    assert added(client, once, "/bin/bgjob-mcp") == once
    parse = tomllib.loads if client.is_toml else json.loads
    entry = parse(once)[client.container]["bgjob"]
    assert "/bin/bgjob-mcp" in (entry["command"], *entry["command"])
    assert parse(removed(client, once)).get(client.container, {}) == {}


@pytest.mark.parametrize("name", JSON_CLIENTS)
def test_settings_of_mcp_background_job_are_carried_over(name: str) -> None:
    client = CLIENTS[name]
    given_env = {"MCP_BG_MAX_JOBS": "3", "SECRET": "x"}
    seed = {"command": "uvx", "args": ["mcp-background-job"], client.environment_key: given_env}
    before = json.dumps({client.container: {"background-job": seed}})
    after = json.loads(added(client, before, "bgjob-mcp"))[client.container]
    assert after["bgjob"][client.environment_key] == {"MCP_BG_MAX_JOBS": "3"}
    assert after["background-job"] == seed


def test_an_entry_that_is_there_keeps_what_its_user_added() -> None:
    client = CLIENTS["cursor"]
    before = json.dumps({"mcpServers": {"bgjob": {"command": "/old/bgjob-mcp", "env": {"A": "b"}, "disabled": True}}})
    entry = json.loads(added(client, before, "/new/bgjob-mcp"))["mcpServers"]["bgjob"]
    assert entry == {"command": "/new/bgjob-mcp", "args": [], "env": {"A": "b"}, "disabled": True}


CODEX = """\
# My Codex
model = "x"   # the good one

[mcp_servers.background-job]
command = "uvx"
args = ["mcp-background-job"]
env = { MCP_BG_MAX_JOBS = "7" }

[other]  # stays
key = 1
"""


def test_codex_keeps_comments_order_and_other_servers() -> None:
    client = CLIENTS["codex"]
    after = added(client, CODEX, "bgjob-mcp")
    servers = tomllib.loads(after)["mcp_servers"]
    assert servers["bgjob"]["env"] == {"BGJOB_MCP_MAX_WAIT_S": "590", "MCP_BG_MAX_JOBS": "7"}
    kept = [line for line in after.splitlines() if line in CODEX.splitlines()]
    assert [line for line in kept if line] == [line for line in CODEX.splitlines() if line]
    assert '\nMCP_BG_MAX_JOBS = "7"\n\n[other]' in after  # a table apart, as the others are
    assert tomllib.loads(removed(client, after)) == tomllib.loads(CODEX)


@pytest.mark.parametrize("name", ["other", "bgjob"])
def test_codex_with_its_servers_on_one_line(name: str) -> None:
    client = CLIENTS["codex"]
    before = f'mcp_servers = {{ {name} = {{ command = "x" }} }}\n'
    after = added(client, before, "bgjob-mcp")
    servers = tomllib.loads(after)["mcp_servers"]
    assert set(servers) == {name, "bgjob"}
    assert servers["bgjob"]["env"] == {"BGJOB_MCP_MAX_WAIT_S": "590"}
    assert "bgjob" not in tomllib.loads(removed(client, after))["mcp_servers"]


@pytest.mark.parametrize("text", ['{"mcpServers": []}', "[]", '"x"'])
def test_a_file_of_another_shape_is_left_alone(text: str) -> None:
    with pytest.raises(BgjobError):
        added(CLIENTS["cursor"], text, "bgjob-mcp")


# --- the command -----------------------------------------------------------------------------------------------------


def run(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    env = {"HOME": str(home), "PATH": os.environ["PATH"]}
    return subprocess.run(
        [SERVER, *arguments], env=env, cwd=home, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL
    )


def test_install_keeps_a_copy_and_is_done_once(tmp_path: Path) -> None:
    file = tmp_path / ".cursor" / "mcp.json"
    file.parent.mkdir()
    file.write_text('{"mcpServers": {"other": {"command": "x"}}}\n')
    file.chmod(0o640)
    done = run(tmp_path, "install", "cursor", "--yes")
    assert (done.returncode, done.stderr) == (0, "")
    servers = json.loads(file.read_text())["mcpServers"]
    assert servers["other"] == {"command": "x"}
    assert servers["bgjob"]["command"] == SERVER
    assert file.stat().st_mode & 0o777 == 0o640
    [copy] = file.parent.glob("mcp.json.before-bgjob-*")
    assert json.loads(copy.read_text()) == {"mcpServers": {"other": {"command": "x"}}}
    assert "nothing to change" in run(tmp_path, "install", "cursor", "--yes").stdout
    assert run(tmp_path, "uninstall", "cursor", "--yes").returncode == 0
    assert json.loads(file.read_text()) == {"mcpServers": {"other": {"command": "x"}}}


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    file = tmp_path / ".cursor" / "mcp.json"
    file.parent.mkdir()
    file.write_text("{")
    done = run(tmp_path, "install", "cursor", "--yes")
    assert done.returncode == 1
    assert str(file) in done.stderr


def test_a_dry_run_shows_the_change_and_makes_none(tmp_path: Path) -> None:
    done = run(tmp_path, "install", "codex", "--dry-run")
    assert done.returncode == 0
    assert "+[mcp_servers.bgjob]" in done.stdout
    assert not (tmp_path / ".codex").exists()


def test_without_a_terminal_nothing_is_changed_unasked(tmp_path: Path) -> None:
    done = run(tmp_path, "install", "windsurf")
    assert (done.returncode, "--yes" in done.stderr) == (1, True)
    assert not (tmp_path / ".codeium").exists()


def asked(home: Path, *arguments: str) -> Terminal:
    """Start it where a person is asked, and return it with the question shown."""
    terminal = Terminal([SERVER, *arguments], {"HOME": str(home), "PATH": os.environ["PATH"]}, cwd=str(home))
    terminal.expect(QUESTION)
    return terminal


@pytest.mark.parametrize("verb", ["install", "uninstall"])
def test_what_the_client_writes_while_we_ask_is_kept(tmp_path: Path, verb: str) -> None:
    file = tmp_path / ".claude.json"
    servers = {} if verb == "install" else {"bgjob": {"command": SERVER}}
    file.write_text(json.dumps({"numStartups": 1, "mcpServers": servers}))
    with asked(tmp_path, verb, "claude-code") as terminal:
        file.write_text(json.dumps({"numStartups": 2, "oauthAccount": "new", "mcpServers": servers}))
        terminal.type("y\r")
        assert terminal.wait() == 0
    after = json.loads(file.read_text())
    assert (after["numStartups"], after["oauthAccount"]) == (2, "new")
    assert ("bgjob" in after["mcpServers"]) == (verb == "install")


def test_an_entry_that_changes_while_we_ask_is_asked_about_again(tmp_path: Path) -> None:
    file = tmp_path / ".claude.json"
    with asked(tmp_path, "install", "claude-code") as terminal:
        file.write_text(json.dumps({"mcpServers": {"bgjob": {"command": "/old/bgjob-mcp", "env": {"A": "b"}}}}))
        terminal.type("y\r")
        terminal.expect(QUESTION)
        assert "/old/bgjob-mcp" in file.read_text()
        terminal.type("y\r")
        assert terminal.wait() == 0
    entry = json.loads(file.read_text())["mcpServers"]["bgjob"]
    assert (entry["command"], entry["env"]) == (SERVER, {"A": "b"})


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    real = tmp_path / "dotfiles.json"
    real.write_text("{}")
    (tmp_path / ".claude.json").symlink_to(real)
    assert run(tmp_path, "install", "claude-code", "--yes").returncode == 0
    assert (tmp_path / ".claude.json").is_symlink()
    assert "bgjob" in json.loads(real.read_text())["mcpServers"]


def test_a_projects_file_names_the_command_without_a_path(tmp_path: Path) -> None:
    assert run(tmp_path, "install", "vscode", "--project", "--yes").returncode == 0
    assert json.loads((tmp_path / ".vscode" / "mcp.json").read_text())["servers"]["bgjob"]["command"] == "bgjob-mcp"
    assert "nothing to change" in run(tmp_path, "install", "vscode", "--yes").stdout  # it has no other file
    assert "without --project" in run(tmp_path, "install", "windsurf", "--project", "--yes").stderr


@pytest.mark.parametrize("name", ["cursor", "vscode"])
def test_config_prints_a_link_that_installs(tmp_path: Path, name: str) -> None:
    done = run(tmp_path, "config", name)
    assert done.returncode == 0
    link = done.stdout.rpartition("or open, for all projects: ")[2].strip()
    if name == "vscode":
        program = re.search(r"for all projects: (code --add-mcp .*)", done.stdout)
        assert program
        assert json.loads(shlex.split(program[1])[2]) == {"name": "bgjob", "type": "stdio", "command": SERVER}
    if name == "cursor":
        said = json.loads(base64.b64decode(parse_qs(urlparse(link).query)["config"][0]))
    else:
        said = json.loads(unquote(link.partition("?")[2]))
    assert said["command"] == SERVER


def test_config_has_no_project_file_where_the_client_has_none(tmp_path: Path) -> None:
    done = run(tmp_path, "config", "claude-desktop", "--project")
    assert (done.returncode, "without --project" in done.stderr) == (1, True)


def test_a_file_without_a_newline_at_its_end_is_shown_line_by_line(tmp_path: Path) -> None:
    (tmp_path / ".claude.json").write_text('{"a": 1}')
    shown = run(tmp_path, "install", "claude-code", "--dry-run").stdout.splitlines()
    assert '-{"a": 1}' in shown


def test_a_write_that_fails_leaves_nothing_behind(tmp_path: Path) -> None:
    file = tmp_path / ".claude.json"
    file.mkdir()
    with pytest.raises(OSError, match="directory"):
        _replace(str(file), "{}", "")
    assert os.listdir(tmp_path) == [".claude.json"]


def test_a_directory_that_is_gone_only_matters_where_it_is_meant(tmp_path: Path) -> None:
    gone = f'mkdir gone; cd gone; rmdir ../gone; exec "{SERVER}" config cursor'
    for more, status in (("", 0), (" --project", 1)):
        done = subprocess.run(
            ["sh", "-c", gone + more],
            env={"HOME": str(tmp_path), "PATH": os.environ["PATH"]},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.returncode, "Traceback" in done.stderr) == (status, False), done.stderr


def test_ctrl_c_at_the_question_changes_nothing(tmp_path: Path) -> None:
    with asked(tmp_path, "install", "claude-code") as terminal:
        terminal.press("C-c")
        assert "Traceback" not in terminal.rest()
        assert terminal.wait() == -signal.SIGINT
    assert os.listdir(tmp_path) == []


def test_a_reader_that_is_gone_ends_it(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = subprocess.run(
            [SERVER, "config", "cursor"],
            env={"HOME": str(tmp_path), "PATH": os.environ["PATH"]},
            stdout=writing,
            stderr=subprocess.PIPE,
            check=False,
        )
    finally:
        os.close(writing)
    assert (done.returncode, done.stderr) == (-signal.SIGPIPE, b"")


def test_a_disk_that_is_full_is_said(tmp_path: Path) -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run([SERVER, "--help"], stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "cannot write to stdout" in done.stderr


def test_an_unknown_client_is_refused_with_the_known_ones(tmp_path: Path) -> None:
    done = run(tmp_path, "install", "emacs")
    assert (done.returncode, "claude-code" in done.stderr) == (2, True)


def test_installing_does_not_import_the_sdk() -> None:
    program = (
        "import bgjob_mcp.install.command, sys; print([m for m in sys.modules if m.startswith(('mcp', 'pydantic'))])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"

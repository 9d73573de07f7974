"""The variables of mcp-background-job: its values mean the same, and what is wrong is said."""

import os
import re
from pathlib import Path

import pytest

from bgjob_mcp.clients import ClientTraits, traits_of
from bgjob_mcp.settings import VARIABLES, read_settings
from bgjobd.errors import BgjobError, ErrorCode


def test_nothing_set_restricts_nothing() -> None:
    settings = read_settings({}, "/somewhere")
    assert settings.working_dir == "/somewhere"
    restrictions = settings.restrictions
    assert (restrictions.max_jobs, restrictions.max_output_bytes, restrictions.timeout_s) == (None, None, None)
    assert restrictions.allowed_commands == []


def test_an_empty_variable_is_one_that_is_not_set() -> None:
    assert read_settings(dict.fromkeys(VARIABLES, ""), "/x") == read_settings({}, "/x")


def test_the_values_of_the_readme_move_over(tmp_path: Path) -> None:
    settings = read_settings(
        {
            "MCP_BG_MAX_JOBS": "20",
            "MCP_BG_MAX_OUTPUT_SIZE": "20MB",
            "MCP_BG_JOB_TIMEOUT": "3600",
            "MCP_BG_CLEANUP_INTERVAL": "600",
            "MCP_BG_WORKING_DIR": str(tmp_path),
            "MCP_BG_ALLOWED_COMMANDS": "^npm ,^python ,^echo ,^ls",
        },
        "/",
    )
    assert settings.restrictions.max_jobs == 20
    assert settings.restrictions.max_output_bytes == 20 * 1024 * 1024
    assert settings.restrictions.timeout_s == 3600
    assert settings.cleanup_interval_s == 600
    assert settings.working_dir == str(tmp_path)
    assert len(settings.restrictions.allowed_commands) == 4


@pytest.mark.parametrize(
    ("value", "size"),
    [("20971520", 20971520), ("20MB", 20971520), ("20mb", 20971520), ("64 KiB", 65536), ("1024", 1024)],
)
def test_sizes(value: str, size: int) -> None:
    assert read_settings({"MCP_BG_MAX_OUTPUT_SIZE": value}, "/").restrictions.max_output_bytes == size


@pytest.mark.parametrize(
    ("pattern", "command", "allowed"),
    [
        ("^npm ", "npm run build", True),
        ("^npm ", "NPM run build", True),
        ("^npm ", "echo npm ", False),
        ("build", "npm run build", True),
        ("a|b$", "xxb", True),
        ("(?x) b u i l d", "npm run build", True),
        ("^npm|make", "cmake .", True),
    ],
)
def test_a_pattern_is_searched_without_regard_to_case(pattern: str, command: str, allowed: bool) -> None:
    (given,) = read_settings({"MCP_BG_ALLOWED_COMMANDS": pattern}, "/").restrictions.allowed_commands
    assert bool(re.compile(given).match(command)) is allowed


@pytest.mark.parametrize(
    ("key", "value", "accepted"),
    [
        ("MCP_BG_MAX_JOBS", "many", "a whole number from 1 to 100"),
        ("MCP_BG_MAX_JOBS", "0", "a whole number from 1 to 100"),
        ("MCP_BG_MAX_JOBS", "101", "a whole number from 1 to 100"),
        ("MCP_BG_MAX_OUTPUT_SIZE", "20XB", "20MB"),
        ("MCP_BG_MAX_OUTPUT_SIZE", "1023", "from 1024"),
        ("MCP_BG_MAX_OUTPUT_SIZE", "101MB", "100MB at most"),
        ("MCP_BG_JOB_TIMEOUT", "-1", "at least 1"),
        ("MCP_BG_JOB_TIMEOUT", "1h", "at least 1"),
        ("MCP_BG_CLEANUP_INTERVAL", "5", "from 10 to 3600"),
        ("BGJOB_MCP_MAX_WAIT_S", "long", "from 1 to 86400"),
        ("MCP_BG_WORKING_DIR", "/no/such/directory", "an existing directory"),
        ("MCP_BG_ALLOWED_COMMANDS", "^ok, (", "regular expressions separated by commas"),
    ],
)
def test_a_bad_value_is_an_error_with_key_value_and_what_is_accepted(key: str, value: str, accepted: str) -> None:
    with pytest.raises(BgjobError) as caught:
        read_settings({key: value}, "/")
    assert caught.value.code is ErrorCode.INVALID_ARGUMENT
    assert f"{key}={value!r}" in caught.value.message
    assert accepted in caught.value.message


def test_all_bad_values_are_named_at_once() -> None:
    with pytest.raises(BgjobError) as caught:
        read_settings({"MCP_BG_MAX_JOBS": "x", "MCP_BG_JOB_TIMEOUT": "y"}, "/")
    assert "MCP_BG_MAX_JOBS='x'" in caught.value.message
    assert "MCP_BG_JOB_TIMEOUT='y'" in caught.value.message


def test_a_working_directory_is_taken_from_where_the_server_runs(tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    assert read_settings({"MCP_BG_WORKING_DIR": "inner"}, str(tmp_path)).working_dir == os.path.join(tmp_path, "inner")


def test_a_file_is_no_working_directory(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BgjobError, match="it is not a directory"):
        read_settings({"MCP_BG_WORKING_DIR": "file"}, str(tmp_path))


@pytest.mark.parametrize(
    ("name", "text_only", "max_wait_s"),
    [
        ("claude-code", True, 50),
        ("Codex-MCP-Client", True, 50),
        ("gemini-cli-mcp-client", True, 540),
        ("opencode", True, 50),
        ("cursor-vscode", False, 50),
        ("", False, 50),
    ],
)
def test_what_is_known_about_clients(name: str, text_only: bool, max_wait_s: float) -> None:
    assert traits_of(name) == ClientTraits(text_only=text_only, max_wait_s=max_wait_s)


def test_a_user_may_say_how_long_a_call_may_last() -> None:
    settings = read_settings({"BGJOB_MCP_MAX_WAIT_S": "600"}, "/")
    assert traits_of("codex-mcp-client", settings.max_wait_s).max_wait_s == 600

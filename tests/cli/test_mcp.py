"""bgjob mcp: becomes bgjob-mcp with its arguments, streams and exit status."""

import os
import subprocess
import sys
from pathlib import Path

from tests.helpers.cli import SCRIPTS, Cli


def test_it_becomes_bgjob_mcp(cli: Cli) -> None:
    assert cli("mcp", "config", "cursor", "--project").ok().stdout.startswith(f"# {cli.cwd}/.cursor/mcp.json\n{{")
    assert cli("mcp", "--", "--version").ok().stdout.startswith("bgjob-mcp ")


def test_it_is_found_through_a_link_to_bgjob(cli: Cli, tmp_path: Path) -> None:
    link = tmp_path / "bgjob"
    link.symlink_to(os.path.join(SCRIPTS, "bgjob"))
    for command in ([link], [sys.executable, "-m", "bgjob_cli"]):
        done = subprocess.run(
            [*command, "mcp", "--", "--version"], env={**cli.env, "PATH": "/bin"}, capture_output=True, check=True
        )
        assert done.stdout.startswith(b"bgjob-mcp ")


def test_its_exit_status_is_that_of_bgjob_mcp(cli: Cli) -> None:
    assert cli("mcp", "--", "--http", "127.0.0.1:0").status == 2
    assert cli("mcp", "install", "windsurf").status == 1


def test_without_arguments_it_serves_until_the_end_of_its_input(cli: Cli) -> None:
    assert cli("mcp").ok().stdout == ""

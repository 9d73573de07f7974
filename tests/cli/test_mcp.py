"""bgjob mcp: becomes bgjob-mcp with its arguments, streams and exit status."""

from tests.helpers.cli import Cli


def test_it_becomes_bgjob_mcp(cli: Cli) -> None:
    assert cli("mcp", "config", "cursor", "--project").ok().stdout.startswith(f"# {cli.cwd}/.cursor/mcp.json\n{{")
    assert cli("mcp", "--", "--version").ok().stdout.startswith("bgjob-mcp ")


def test_its_exit_status_is_that_of_bgjob_mcp(cli: Cli) -> None:
    assert cli("mcp", "--", "--http", "127.0.0.1:0").status == 2
    assert cli("mcp", "install", "windsurf").status == 1


def test_without_arguments_it_serves_until_the_end_of_its_input(cli: Cli) -> None:
    assert cli("mcp").ok().stdout == ""

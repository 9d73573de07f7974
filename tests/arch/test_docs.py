"""The reference pages against the code: what exists is documented, and what is documented exists."""

import importlib
import os
import re
import runpy
from argparse import Action, ArgumentParser
from pathlib import Path
from typing import Any

import msgspec
import pytest

from bgjob_cli.verbs import ALIASES, VERBS
from bgjob_mcp.__main__ import HOST_VARIABLE
from bgjob_mcp.settings import MAX_WAIT_VARIABLE, VARIABLES
from bgjobd import protocol
from bgjobd.daemon.config import Settings
from bgjobd.errors import ErrorCode
from bgjobd.paths import Paths
from tests.helpers.cli import Cli

ROOT = Path(__file__).parents[2]
REFERENCE = ROOT / "docs" / "reference"
LINK = re.compile(r"\]\(([^)#\s]*)(#[^)\s]*)?\)")


def read(page: str) -> str:
    return (REFERENCE / page).read_text()


def rows(page: str) -> set[str]:
    """Return the first cells of a page's tables that are code: `name`."""
    return set(re.findall(r"^\| `([^`]+)`", read(page), re.MULTILINE))


def all_structs() -> list[type[msgspec.Struct]]:
    return [each for each in vars(protocol).values() if isinstance(each, type) and issubclass(each, msgspec.Struct)]


REQUESTS = [
    each
    for each in all_structs()
    if issubclass(each, (protocol.Request, protocol.StreamRequest)) and isinstance(getattr(each, "op", None), str)
]

UNNAMED = [
    protocol.Answer,
    protocol.Call,
    protocol.Cancel,
    protocol.Empty,
    protocol.ErrorBody,
    protocol.Hello,
    protocol.Message,
    protocol.Request,
    protocol.StreamRequest,
]


def test_every_error_code_is_explained() -> None:
    assert rows("errors-and-exit-statuses.md") >= {code.value for code in ErrorCode}


def test_every_operation_of_the_protocol_is_explained() -> None:
    headings = set(re.findall(r"^### `([a-z_]+)`", read("protocol.md"), re.MULTILINE))
    assert headings == {request.op for request in REQUESTS} | {"cancel"}


@pytest.mark.parametrize("request_type", REQUESTS, ids=lambda request: request.op)
def test_every_field_of_a_request_is_explained(request_type: type[Any]) -> None:
    section = read("protocol.md").split(f"### `{request_type.op}`")[1].split("\n### ")[0]
    missing = [field for field in request_type.__struct_fields__ if f"`{field}`" not in section]
    assert not missing


@pytest.mark.parametrize("message", [each for each in all_structs() if each.__name__ in protocol.__all__])
def test_every_message_is_explained_with_its_fields(message: type[msgspec.Struct]) -> None:
    """Requests have a section by their operation; the frames around them are explained in prose."""
    if message in REQUESTS or message in UNNAMED:
        return
    sections = read("protocol.md").split(f"\n### {message.__name__}\n")
    assert len(sections) == 2, f"no section {message.__name__}"
    section = sections[1].split("\n### ")[0].split("\n## ")[0]
    assert not [field for field in message.__struct_fields__ if f"| `{field}` |" not in section]


def test_every_event_is_explained() -> None:
    assert rows("events.md") >= {each.value for each in protocol.EventType}
    assert rows("events.md") >= set(protocol.Event.__struct_fields__)


def test_every_status_and_reason_is_explained() -> None:
    assert rows("glossary.md") >= {each.value for each in protocol.JobStatus} | {
        each.value for each in protocol.EndReason
    }


def test_every_setting_is_explained_with_its_variable() -> None:
    assert (
        rows("config.md")
        == set(Settings.__struct_fields__)
        | set(VARIABLES)
        | {"BGJOB_HOME", "BGJOB_CONFIG", HOST_VARIABLE, MAX_WAIT_VARIABLE}
        | JOB_VARIABLES
    )


def test_the_table_of_settings_is_the_one_that_the_code_has() -> None:
    """When it is not: python docs/reference/settings_table.py"""
    table = runpy.run_path(str(REFERENCE / "settings_table.py"))["table"]
    assert table() in read("config.md")


JOB_VARIABLES = {"BGJOB_ID", "BGJOB_NAME", "BGJOB_DIR"}


def test_every_path_is_explained() -> None:
    paths = Paths.from_environment({"BGJOB_HOME": "/h"})
    names = [name for name, kind in vars(Paths).items() if isinstance(kind, property)]
    expected = {getattr(paths, name).removeprefix("/h/") for name in names} | {"config.toml"}
    expected |= {f"jobs/ab/<id>/{name}" for name in ("spec", "lock", "run", "exit", "log/")}
    assert not {
        path for path in expected if f"`{path}`" not in read("files.md") and f"`{path}/`" not in read("files.md")
    }


def test_every_file_that_an_instance_makes_is_explained(cli: Cli) -> None:
    """With a job that has ended and one that runs."""
    cli("run", "--wait", "echo hello; exit 3")
    cli.submit("echo hello; exec sleep 600")
    home = cli.env["BGJOB_HOME"]
    made = {os.path.relpath(os.path.join(where, name), home) for where, _, names in os.walk(home) for name in names}
    assert not {path for path in map(plain_path, made) if f"`{path}`" not in read("files.md")}


def plain_path(path: str) -> str:
    """Return the path as files.md writes it, with what differs each time in angle brackets."""
    path = re.sub(r"jobs/../", "jobs/ab/", path)
    path = re.sub(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "<id>", path)
    path = re.sub(r"jobs/ab/<id>/log/[0-9a-f]{16}", "log/<start>", path)
    path = re.sub(r"(spool|prepared)/.*", r"\1/", path)  # comes and goes
    return re.sub(r"zygote-\d+", "zygote-<pid>", path)


def options_of(verb: str) -> list[str]:
    """Return the options of a verb, and of its sub-verbs, as the parser knows them."""
    command = importlib.import_module(f"bgjob_cli.commands.{verb}")
    parser = ArgumentParser(verb)
    command.add_arguments(parser)
    return [option for action in _actions(parser) for option in action.option_strings if option not in ("-h", "--help")]


def _actions(parser: ArgumentParser) -> list[Action]:
    found = []
    for action in parser._actions:
        found.append(action)
        if isinstance(action.choices, dict):
            for inner in action.choices.values():
                found += _actions(inner)
    return found


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_and_option_is_explained(verb: str) -> None:
    text = read("cli.md")
    assert f"\n## {verb}\n" in text or f"\n### {verb}\n" in text or f"## `{verb}" in text
    section = re.split(rf"\n##+ `?(?:bgjob )?{verb}\b", text)[1].split("\n## ")[0]
    assert not [option for option in options_of(verb) if not re.search(rf"`[^`]*{re.escape(option)}\b", section)]


def test_every_alias_of_a_verb_is_explained() -> None:
    assert not [alias for alias in ALIASES if f"`{alias}`" not in read("cli.md")]


@pytest.mark.parametrize(
    "page", sorted(ROOT.glob("*.md")) + sorted((ROOT / "docs").rglob("*.md")), ids=lambda p: p.stem
)
def test_every_link_between_pages_leads_somewhere(page: Path) -> None:
    broken = []
    for target, anchor in LINK.findall(page.read_text()):
        if "://" in target or target.startswith("mailto:"):
            continue
        path = (page.parent / target).resolve() if target else page
        if not path.exists() or (anchor and path.suffix == ".md" and anchor[1:] not in anchors(path)):
            broken.append(target + anchor)
    assert not broken


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, made as code hosts make them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_every_page_can_be_reached_from_the_index() -> None:
    index = ROOT / "docs" / "index.md"
    linked = {(index.parent / target).resolve() for target, _ in LINK.findall(index.read_text()) if "://" not in target}
    pages = {path.resolve() for path in (ROOT / "docs").rglob("*.md")} - {index.resolve()}
    assert not {str(path.relative_to(ROOT)) for path in pages - linked}


def test_headings_are_in_sentence_case() -> None:
    """A heading with several capitalised words is title case, unless each is a name."""
    names = {"bgjob", "MCP", "JSON", "CLI", "Unix", "PTY", "Python", "Linux", "macOS", "HTTP", "API", "XDG", "SQLite"}
    names |= {"XDG_RUNTIME_DIR", "WATCH", "I", "Codex", "Claude", "Code", "Desktop", "Cursor", "VS", "Gemini", "Zed"}
    wrong = []
    for page in (ROOT / "docs").rglob("*.md"):
        for heading in re.findall(
            r"^#+ (.+)$", re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL), re.MULTILINE
        ):
            words = re.sub(r"`[^`]*`", "", heading).split()[1:]
            capitals = [
                word for word in words if word[0].isupper() and not word.isupper() and word.strip(".,:") not in names
            ]
            if capitals:
                wrong.append(f"{page.name}: {heading}")
    assert not wrong

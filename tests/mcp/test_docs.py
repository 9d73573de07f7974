"""The reference page of the tools says what clients are told, word for word."""

from pathlib import Path

import msgspec
import pytest

from bgjob_mcp.__main__ import HOST_VARIABLE
from bgjob_mcp.results import JobLine, JobList, KillResult, StatusResult
from bgjob_mcp.schema import object_schema
from bgjob_mcp.settings import MAX_WAIT_VARIABLE
from bgjob_mcp.tools import TOOLS, Tool

PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "mcp-tools.md").read_text()


def section(name: str) -> str:
    return PAGE.split(f"\n## {name}\n")[1].split("\n## ")[0]


@pytest.mark.parametrize("tool", TOOLS, ids=lambda tool: tool.name)
def test_every_tool_and_argument_is_explained(tool: Tool) -> None:
    text = section(tool.name)
    assert " ".join(tool.description.split()) in " ".join(text.split())
    for name, argument in object_schema(tool.arguments)["properties"].items():
        assert any(row.startswith(f"| `{name}` |") and argument["description"] in row for row in text.splitlines()), (
            name
        )


@pytest.mark.parametrize(
    ("tool", "result"), [("status", StatusResult), ("list", JobList), ("list", JobLine), ("kill", KillResult)]
)
def test_every_field_of_a_result_is_named(tool: str, result: type[msgspec.Struct]) -> None:
    assert not [field for field in result.__struct_fields__ if f"`{field}`" not in section(tool)]


def test_variables_are_named() -> None:
    assert MAX_WAIT_VARIABLE in PAGE
    assert HOST_VARIABLE in PAGE

"""Names that others build on: what the root files of bgjobd export, and the tables from error codes."""

import ast
import importlib
from pathlib import Path
from typing import Any

import pytest

import bgjobd
from bgjobd.daemon.commands.table import routes
from bgjobd.errors import ErrorCode
from tests.arch.test_docs import REQUESTS, ROOT

ROOT_FILES = sorted(
    path.stem for path in Path(bgjobd.__file__).parent.glob("*.py") if path.stem not in ("__init__", "__main__")
)


@pytest.mark.parametrize("module", ROOT_FILES)
def test_a_root_file_says_what_it_exports(module: str) -> None:
    loaded = importlib.import_module(f"bgjobd.{module}")
    tree = ast.parse(Path(loaded.__file__ or "").read_text())
    defined = {
        node.name
        for node in tree.body
        if isinstance(node, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)) and not node.name.startswith("_")
    }
    assert len(loaded.__all__) == len(set(loaded.__all__))
    assert not [name for name in loaded.__all__ if not hasattr(loaded, name)]
    assert defined <= set(loaded.__all__)


def test_every_error_code_has_an_exit_status() -> None:
    from bgjob_cli.exit_status import BY_ERROR

    assert set(BY_ERROR) == set(ErrorCode)
    assert all(0 < status < 256 for status in BY_ERROR.values())


def test_every_operation_has_a_handler() -> None:
    services: Any = None  # only bound to the handlers, not looked at
    assert set(routes(services)) == {request.op for request in REQUESTS}


def test_the_two_clients_have_the_same_methods() -> None:
    from bgjobd import async_client, client

    def public(kind: type) -> set[str]:
        return {name for name in dir(kind) if not name.startswith("_")}

    assert public(client.Client) - {"close"} == public(async_client.AsyncClient) - {"aclose"}


def test_no_module_is_a_drawer_for_anything() -> None:
    drawers = {"utils", "util", "common", "misc", "helpers"}
    packages = [ROOT / name for name in ("bgjobd", "bgjob_cli", "bgjob_mcp")]
    assert not [path for package in packages for path in package.rglob("*") if path.stem in drawers]

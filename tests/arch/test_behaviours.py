"""The manifest of behaviours names tests that exist, and every promise has a behaviour."""

import ast
import functools
from pathlib import Path

import pytest

from tests.arch.test_docs import ROOT
from tests.behaviours import BEHAVIOURS, Behaviour

PROMISES = {f"P{number}" for number in range(1, 8)}


@functools.cache
def names_in(path: Path) -> frozenset[str]:
    tree = ast.parse(path.read_text())
    return frozenset(
        node.name
        for node in ast.walk(tree)
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and node.name.startswith("test_")
    )


@pytest.mark.parametrize("behaviour", BEHAVIOURS, ids=lambda behaviour: behaviour.text)
def test_a_behaviour_names_tests_that_exist(behaviour: Behaviour) -> None:
    assert behaviour.tests
    for test in behaviour.tests:
        file, _, name = test.partition("::")
        assert name in names_in(ROOT / "tests" / file), test


@pytest.mark.parametrize("behaviour", BEHAVIOURS, ids=lambda behaviour: behaviour.text)
def test_the_source_of_a_behaviour_is_a_promise_or_a_page(behaviour: Behaviour) -> None:
    assert behaviour.source in PROMISES or (ROOT / "docs" / behaviour.source).is_file()


def test_every_promise_has_a_behaviour() -> None:
    assert {behaviour.source for behaviour in BEHAVIOURS} >= PROMISES


def test_no_behaviour_stands_twice() -> None:
    texts = [behaviour.text for behaviour in BEHAVIOURS]
    assert len(texts) == len(set(texts))

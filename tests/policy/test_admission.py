"""May this command run, and may it run now: tables of state to decision."""

import pytest

from bgjobd.errors import BgjobError, ErrorCode
from bgjobd.policy.admission import check_command, next_to_start

A, B = ("cli", "", ""), ("mcp", "agent", "/p")


@pytest.mark.parametrize(
    ("command", "allowed", "denied", "refused_by"),
    [
        ("npm test", [], [], None),
        ("npm test", ["^npm ", "^ls"], [], None),
        ("rm -rf /", ["^npm ", "^ls"], [], "^npm "),
        ("echo npm ", ["npm "], [], "npm "),  # allowed patterns match from the start, as the seed's do
        ("sudo ls", [], [r"\bsudo\b"], r"\bsudo\b"),
        ("ls && sudo ls", ["^ls"], [r"\bsudo\b"], r"\bsudo\b"),
        ("pseudosudo", [], [r"\bsudo\b"], None),
    ],
)
def test_a_command_is_refused_with_the_rule_that_refuses_it(
    command: str, allowed: list[str], denied: list[str], refused_by: str | None
) -> None:
    if refused_by is None:
        check_command(command, allowed, denied, "the configuration")
        return
    with pytest.raises(BgjobError) as error:
        check_command(command, allowed, denied, "the configuration")
    assert error.value.code is ErrorCode.REFUSED
    assert repr(refused_by) in error.value.message


def test_a_pattern_that_is_no_regular_expression_is_an_error_of_its_owner() -> None:
    with pytest.raises(BgjobError) as error:
        check_command("ls", ["("], [], "this client")
    assert error.value.code is ErrorCode.INVALID_ARGUMENT
    assert "this client" in error.value.message


@pytest.mark.parametrize(
    ("queue", "running", "max_jobs", "expected"),
    [
        ([], {}, 1, None),
        ([(A, None)], {}, 1, 0),
        ([(A, None)], {B: 1}, 1, None),
        ([(A, None), (B, None)], {A: 1}, 2, 0),
        ([(A, 1), (B, None)], {A: 1}, 5, 1),  # the first one's client is at its own limit
        ([(A, 1), (A, 2)], {A: 1}, 5, 1),
        ([(A, 1)], {A: 1}, 5, None),
        ([(A, 0)], {}, 5, None),
    ],
)
def test_the_oldest_job_that_may_start_is_next(
    queue: list[tuple[tuple[str, str, str], int | None]],
    running: dict[tuple[str, str, str], int],
    max_jobs: int,
    expected: int | None,
) -> None:
    assert next_to_start(queue, running, max_jobs) == expected

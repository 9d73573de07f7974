"""What tests of the daemon's requests share."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from bgjobd.errors import BgjobError, ErrorCode
from tests.helpers.submit import Jobs


@pytest.fixture
def jobs(client: Any, env: dict[str, str]) -> Jobs:
    """Submits jobs to the test's daemon."""
    return Jobs(client, env)


@pytest.fixture
def refused() -> Callable[[ErrorCode], contextlib.AbstractContextManager[Any]]:
    """Expects a BgjobError with a code."""

    @contextlib.contextmanager
    def expect(code: ErrorCode) -> Iterator[Any]:
        with pytest.raises(BgjobError) as error:
            yield error
        assert error.value.code is code, error.value

    return expect

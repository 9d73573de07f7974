"""What tests of the daemon's requests share."""

from typing import Any

import pytest

from tests.helpers.submit import Jobs


@pytest.fixture
def jobs(client: Any, env: dict[str, str]) -> Jobs:
    """Submits jobs to the test's daemon."""
    return Jobs(client, env)

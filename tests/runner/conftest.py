"""A zygote for each test, and the rule that a test leaves neither a process nor a descriptor behind."""

import os
import shutil
import tempfile
from collections.abc import Iterator

import pytest

from tests.runner.harness import Zygote


@pytest.fixture
def state_dir() -> Iterator[str]:
    """A private directory with a path that is short enough for sockets."""
    directory = tempfile.mkdtemp(prefix="bgr-", dir="/tmp")
    yield directory
    shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture
def no_leak(state_dir: str) -> Iterator[None]:
    """Fail when our own descriptors are not what they were."""
    before = os.listdir("/proc/self/fd")
    yield
    assert os.listdir("/proc/self/fd") == before


@pytest.fixture
def zygote(state_dir: str, no_leak: None) -> Iterator[Zygote]:
    """A zygote of the system's kind."""
    yield from _zygote(state_dir, {})


@pytest.fixture
def portable_zygote(state_dir: str, no_leak: None) -> Iterator[Zygote]:
    """A zygote that uses nothing only Linux has."""
    yield from _zygote(state_dir, {"BGJOB_PORTABLE": "1"})


@pytest.fixture(params=["linux", "portable"])
def any_zygote(request: pytest.FixtureRequest, state_dir: str, no_leak: None) -> Iterator[Zygote]:
    """Both, one after the other."""
    yield from _zygote(state_dir, {"BGJOB_PORTABLE": "1"} if request.param == "portable" else {})


def _zygote(state_dir: str, environment: dict[str, str]) -> Iterator[Zygote]:
    zygote = Zygote(state_dir, environment)
    try:
        yield zygote
    finally:
        zygote.close()
    assert not zygote.left_behind()
    assert zygote.errors() == ""

"""A zygote for each test, and the rule that a test leaves neither a process nor a descriptor behind."""

import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence

import pytest

from tests.runner.harness import Zygote

# As nobody, who may read and write what is root's all the same.
_CAPABILITIES = "+dac_override,+dac_read_search"
_AS_NOBODY = ("setpriv", "--reuid=65534", f"--inh-caps={_CAPABILITIES}", f"--ambient-caps={_CAPABILITIES}")


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


@pytest.fixture
def limited_zygote(state_dir: str, no_leak: None) -> Iterator[Zygote]:
    """A zygote that a limit of processes holds, as it does not hold root."""
    os.chmod(state_dir, 0o711)  # access(2) knows no capabilities
    yield from _zygote(state_dir, {}, _AS_NOBODY if os.geteuid() == 0 else ())


@pytest.fixture(params=["linux", "portable"])
def any_zygote(request: pytest.FixtureRequest, state_dir: str, no_leak: None) -> Iterator[Zygote]:
    """Both, one after the other."""
    yield from _zygote(state_dir, {"BGJOB_PORTABLE": "1"} if request.param == "portable" else {})


def _zygote(state_dir: str, environment: dict[str, str], prefix: Sequence[str] = ()) -> Iterator[Zygote]:
    zygote = Zygote(state_dir, environment, prefix)
    try:
        yield zygote
    finally:
        zygote.close()
    assert not zygote.left_behind()
    assert zygote.errors() == ""

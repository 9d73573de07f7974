"""One daemon for most tests of the command line: starting one takes longer than the tests themselves.

`cli` here belongs to that shared instance; after each test its jobs are killed and forgotten. A module that stops the
daemon, or must see none, defines `cli` anew with `Cli(env, workdir)`: then each test has an instance of its own.
"""

import shutil
import tempfile
from collections.abc import Iterator

import pytest

from tests.helpers.cli import Cli
from tests.helpers.daemon import Daemon, forget_all_jobs


@pytest.fixture
def cli(shared_daemon: Daemon) -> Iterator[Cli]:
    """The installed `bgjob` on an instance without jobs, in a directory of its own."""
    cwd = tempfile.mkdtemp(dir=shared_daemon.home)
    yield Cli(shared_daemon.env, cwd)
    shutil.rmtree(cwd)
    forget_all_jobs(shared_daemon)

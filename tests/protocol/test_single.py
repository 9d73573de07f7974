"""Who is the one of its kind: the lock, and what its file says."""

import os
from pathlib import Path

import pytest

from bgjobd.errors import BgjobError
from bgjobd.single import holder_of, take_lock


def test_the_second_is_told_who_is_the_first(tmp_path: Path) -> None:
    path = str(tmp_path / "lock")
    fd = take_lock(path, "daemon")
    assert holder_of(path) == os.getpid()
    with pytest.raises(BgjobError, match=rf"another daemon is running \(pid {os.getpid()}\)"):
        take_lock(path, "daemon")
    os.close(fd)
    os.close(take_lock(path, "daemon"))


@pytest.mark.parametrize("text", ["", "\n", "0\n", "-1\n", "soon\n", "\udcff"])
def test_what_is_no_pid_is_never_taken_for_one(tmp_path: Path, text: str) -> None:
    (tmp_path / "lock").write_bytes(os.fsencode(text))
    with pytest.raises(ValueError):
        holder_of(str(tmp_path / "lock"))


def test_a_lock_that_nobody_ever_took_has_no_holder(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        holder_of(str(tmp_path / "lock"))

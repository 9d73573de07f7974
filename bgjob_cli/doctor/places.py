"""Checks of the places on disk: the directories, the socket, and the room there is. Changes nothing."""

import os
import shlex
import stat
from collections.abc import Iterator

from bgjob_cli.doctor.findings import Finding, fail, ok, warn
from bgjob_cli.quantities import format_size
from bgjobd.paths import Paths

__all__ = ["check_places"]

_LITTLE_DISK_BYTES = 1 << 30
_NO_DISK_BYTES = 64 << 20
_FEW_INODES = 10_000


def check_places(paths: Paths) -> Iterator[Finding]:
    """Look at the directories, the socket and the disk."""
    yield _directory("state directory", paths.state_dir)
    if os.path.dirname(paths.runtime_dir) != paths.state_dir:
        yield _directory("runtime directory", paths.runtime_dir)
    yield from _socket(paths)
    yield from _disk(paths)


def _directory(check: str, path: str) -> Finding:
    """Return whether a directory is ours alone, or can be made."""
    try:
        found = os.lstat(path)
    except FileNotFoundError:
        return _missing_directory(check, path)
    except OSError as error:
        return fail(check, f"{path}: {error.strerror}", "Make it readable, or set BGJOB_HOME.")
    if not stat.S_ISDIR(found.st_mode):
        return fail(check, f"{path} is not a directory", "Remove it, or set BGJOB_HOME.")
    if found.st_uid != os.geteuid():
        return fail(check, f"{path} belongs to user {found.st_uid}", "Set BGJOB_HOME to a directory of your own.")
    mode = stat.S_IMODE(found.st_mode)
    if mode & 0o077:
        return fail(check, f"{path} is open to others (mode {mode:04o})", f"chmod 700 {shlex.quote(path)}")
    return ok(check, f"{path} (mode {mode:04o})")


def _missing_directory(check: str, path: str) -> Finding:
    parent = os.path.dirname(path)
    while not os.path.exists(parent):
        parent = os.path.dirname(parent)
    if os.access(parent, os.W_OK | os.X_OK):
        return ok(check, f"{path} will be created")
    return fail(check, f"{path} cannot be created in {parent}", "Make it writable, or set BGJOB_HOME.")


def _socket(paths: Paths) -> Iterator[Finding]:
    """Return whether the daemon's socket is closed to others. That it answers is another check."""
    try:
        found = os.lstat(paths.socket)
    except OSError:
        return  # no daemon; nothing to be open
    mode = stat.S_IMODE(found.st_mode)
    if not stat.S_ISSOCK(found.st_mode):
        yield fail("socket", f"{paths.socket} is not a socket", "Remove it.")
    elif mode & 0o077:
        yield fail("socket", f"{paths.socket} is open to others (mode {mode:04o})", "bgjob daemon restart")
    else:
        yield ok("socket", f"{paths.socket} (mode {mode:04o})")


def _disk(paths: Paths) -> Iterator[Finding]:
    """Return how much space there is for output and records."""
    place = paths.state_dir
    while not os.path.exists(place):
        place = os.path.dirname(place)
    disk = os.statvfs(place)
    free = disk.f_bavail * disk.f_frsize
    detail = f"{format_size(free)} free for {place}"
    advice = "Free some: bgjob prune --older 7d, or move BGJOB_HOME to another disk."
    if free < _NO_DISK_BYTES:
        yield fail("disk", detail, advice)
    elif free < _LITTLE_DISK_BYTES:
        yield warn("disk", detail, advice)
    else:
        yield ok("disk", detail)
    if disk.f_files and disk.f_favail < _FEW_INODES:
        yield warn("inodes", f"{disk.f_favail:,} files can still be made in {place}", advice)

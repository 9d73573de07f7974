"""Checks of the machine: Python, the limits of this session, the kernel, and what happens at logout."""

import os
import pwd
import resource
import sys
from collections.abc import Iterator

from bgjob_cli.doctor.findings import Finding, fail, ok, warn
from bgjob_cli.quantities import format_size
from bgjobd.version import VERSION

__all__ = ["check_machine"]

_FEW_DESCRIPTORS = 1024  # a job costs the zygote a few
_FEW_PROCESSES = 512
_LITTLE_PIPE_BYTES = 16 << 20  # the kernel's default is 64 MiB
_SUPPORTED_PYTHON = (3, 11)


def check_machine() -> Iterator[Finding]:
    """Look at Python, the limits of this session and the kernel."""
    yield _python()
    yield from _limits()
    if sys.platform == "linux":
        yield from _kernel()
        yield from _session_end()
    else:
        yield warn(
            "kernel",
            f"{sys.platform}: descendants that leave the process group are found by their environment only",
            "See docs/explanation/architecture.md for what is weaker outside Linux.",
        )


def _python() -> Finding:
    detail = f"bgjob {VERSION} on Python {sys.version.split()[0]} ({sys.executable})"
    if sys.version_info < _SUPPORTED_PYTHON:
        return fail("version", detail, "Install Python 3.11 or newer.")
    return ok("version", detail)


def _limits() -> Iterator[Finding]:
    """Return whether the limits that a daemon started from here would inherit are high enough."""
    for check, kind, least, unit in (
        ("open files", resource.RLIMIT_NOFILE, _FEW_DESCRIPTORS, "descriptors"),
        ("processes", resource.RLIMIT_NPROC, _FEW_PROCESSES, "processes of this user"),
    ):
        soft, hard = resource.getrlimit(kind)
        best = hard if kind == resource.RLIMIT_NOFILE else soft  # the daemon raises its own soft limit
        detail = f"at most {'any number of' if best == resource.RLIM_INFINITY else best} {unit}"
        if best != resource.RLIM_INFINITY and best < least:
            yield warn(check, detail, f"Raise it to {least} or more (ulimit, limits.conf), then: bgjob daemon restart")
        else:
            yield ok(check, detail)


def _kernel() -> Iterator[Finding]:
    """Return which features of Linux there are, and what is weaker without each."""
    release = os.uname().release
    yield _feature(
        "pidfd", _has_pidfd(), f"Linux {release}", "Linux 5.3 or newer: without it ends of jobs are seen indirectly."
    )
    yield _feature("splice", hasattr(os, "splice"), "output moves without copying", "Output is copied instead: slower.")
    yield from _pipe_budget()


def _feature(check: str, present: bool, detail: str, advice: str) -> Finding:
    return ok(check, detail) if present else warn(check, "not available", advice)


def _has_pidfd() -> bool:
    try:
        os.close(os.pidfd_open(os.getpid()))
    except (AttributeError, OSError):
        return False
    return True


def _pipe_budget() -> Iterator[Finding]:
    """Return whether this user's pipes may be large: past the soft limit each gets one page (pipe(7))."""
    try:
        with open("/proc/sys/fs/pipe-user-pages-soft", encoding="ascii") as file:
            pages = int(file.read())
    except (OSError, ValueError) as error:
        yield warn("pipes", f"the limit cannot be read: {error}", "Nothing to do; output may be slower.")
        return
    size = pages * os.sysconf("SC_PAGE_SIZE")
    detail = f"{format_size(size)} of pipe buffers for this user" if pages else "no limit on pipe buffers"
    if 0 < size < _LITTLE_PIPE_BYTES:
        yield warn("pipes", detail, "Raise fs.pipe-user-pages-soft: with many jobs their output gets slow.")
    else:
        yield ok("pipes", detail)


def _session_end() -> Iterator[Finding]:
    """Return whether systemd ends everything of this user at logout, jobs included (logind.conf(5))."""
    if not os.path.isdir("/run/systemd/system") or os.geteuid() == 0:
        return
    name = _user_name()
    if os.path.exists(f"/var/lib/systemd/linger/{name}"):
        yield ok("logout", "this user lingers: jobs go on after logout")
    elif _kills_at_logout():
        yield warn("logout", "systemd ends this user's processes at logout", f"loginctl enable-linger {name}")
    else:
        yield ok("logout", "jobs go on after logout")


def _user_name() -> str:
    return pwd.getpwuid(os.geteuid()).pw_name


def _kills_at_logout() -> bool:
    """Return whether a logind.conf says KillUserProcesses=yes; its default is no, the last file wins."""
    files = ["/etc/systemd/logind.conf"]
    directory = "/etc/systemd/logind.conf.d"
    if os.path.isdir(directory):
        files += [os.path.join(directory, name) for name in sorted(os.listdir(directory))]
    kills = False
    for path in files:
        for line in _lines_of(path):
            key, equals, value = line.partition("=")
            if equals and key.strip() == "KillUserProcesses":
                kills = value.strip().lower() in ("yes", "true", "1", "on")
    return kills


def _lines_of(path: str) -> list[str]:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read().splitlines()
    except OSError:
        return []

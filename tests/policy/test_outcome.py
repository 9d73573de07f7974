"""What a job's end means: the table of `bgjobd.model.outcome`."""

import itertools
import os
import signal

import pytest

from bgjobd.model.outcome import Outcome, decode_wait_status, outcome, signal_name
from bgjobd.protocol import EndReason, JobStatus


def exited(code):
    return code << 8


KILLED_BY_TERM = int(signal.SIGTERM)
KILLED_BY_KILL_WITH_CORE = int(signal.SIGKILL) | 0x80


@pytest.mark.parametrize(
    ("reason", "wait_status", "by", "expected"),
    [
        ("exit", exited(0), "runner", Outcome(JobStatus.COMPLETED, EndReason.EXIT, 0)),
        ("exit", exited(0), "pidfd", Outcome(JobStatus.COMPLETED, EndReason.EXIT, 0)),
        ("exit", exited(3), "zygote", Outcome(JobStatus.FAILED, EndReason.EXIT, 3)),
        ("signal", KILLED_BY_TERM, "runner", Outcome(JobStatus.FAILED, EndReason.SIGNAL, None, "SIGTERM")),
        ("exit", KILLED_BY_TERM, "zygote", Outcome(JobStatus.FAILED, EndReason.SIGNAL, None, "SIGTERM")),
        ("user", KILLED_BY_TERM, "runner", Outcome(JobStatus.KILLED, EndReason.USER, None, "SIGTERM")),
        ("user", exited(0), "runner", Outcome(JobStatus.KILLED, EndReason.USER, 0)),
        ("user", None, "runner", Outcome(JobStatus.KILLED, EndReason.USER)),
        ("timeout", exited(143), "runner", Outcome(JobStatus.KILLED, EndReason.TIMEOUT, 143)),
        (
            "idle_timeout",
            KILLED_BY_KILL_WITH_CORE,
            "runner",
            Outcome(JobStatus.KILLED, EndReason.IDLE_TIMEOUT, None, "SIGKILL"),
        ),
        ("cancelled", None, "daemon", Outcome(JobStatus.KILLED, EndReason.CANCELLED)),
        ("dependency", None, "daemon", Outcome(JobStatus.FAILED, EndReason.DEPENDENCY)),
        ("oom", int(signal.SIGKILL), "runner", Outcome(JobStatus.FAILED, EndReason.OOM, None, "SIGKILL")),
        ("reboot", None, "lost", Outcome(JobStatus.LOST, EndReason.REBOOT)),
        ("unobserved", None, "lost", Outcome(JobStatus.LOST, EndReason.UNOBSERVED)),
        ("written by a newer runner", exited(0), "runner", Outcome(JobStatus.COMPLETED, EndReason.EXIT, 0)),
    ],
)
def test_an_end_means(reason, wait_status, by, expected):
    assert outcome(reason=reason, wait_status=wait_status, by=by) == expected


@pytest.mark.parametrize("code", [126, 127])
def test_a_command_that_could_not_be_executed_failed_with_its_code(code):
    assert outcome(reason="spawn_failed", wait_status=None, by="runner", exit_code=code) == Outcome(
        JobStatus.FAILED, EndReason.SPAWN_FAILED, code
    )


def test_success_is_never_reported_without_a_wait_status_that_says_so():
    reasons = [*EndReason, "unknown", ""]
    for reason, by, status in itertools.product(reasons, ["runner", "lost", "daemon"], [None, exited(1), 9]):
        assert outcome(reason=reason, wait_status=status, by=by).status is not JobStatus.COMPLETED
    for reason in reasons:
        assert outcome(reason=reason, wait_status=exited(0), by="lost").status is JobStatus.LOST


def test_an_end_is_always_final():
    for reason, by, status in itertools.product(EndReason, ["runner", "lost"], [None, exited(0), exited(1), 9]):
        assert outcome(reason=reason, wait_status=status, by=by).status not in (JobStatus.QUEUED, JobStatus.RUNNING)


def test_a_wait_status_is_decoded_like_the_shell_does():
    assert decode_wait_status(exited(42)) == (42, None)
    assert decode_wait_status(KILLED_BY_KILL_WITH_CORE) == (None, "SIGKILL")
    for status in [exited(code) for code in range(256)] + [*range(1, 65)]:
        code, name = decode_wait_status(status)
        assert os.waitstatus_to_exitcode(status) == (code if name is None else -status)


def test_every_signal_has_a_name():
    assert signal_name(15) == "SIGTERM"
    assert signal_name(200) == "SIG200"
    if hasattr(signal, "SIGRTMIN"):
        assert signal_name(signal.SIGRTMIN + 3) == "SIGRTMIN+3"
        assert signal_name(signal.SIGRTMAX) == "SIGRTMAX"

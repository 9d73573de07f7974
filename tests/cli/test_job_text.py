"""A job in words: one phrase for each way to be and to end."""

import pytest

from bgjob_cli.job_text import age_s, local_time, outcome, status_word
from bgjobd.protocol import EndReason, JobInfo, JobStatus


def job(status: str, **known: object) -> JobInfo:
    return JobInfo(job_id="3f2a9c1e", status=JobStatus(status), **known)  # type: ignore[arg-type]  # named by the tables


@pytest.mark.parametrize(
    ("info", "word", "phrase"),
    [
        (job("queued"), "queued", "queued"),
        (job("queued", queue_position=2), "queued 2", "queued, number 2 in line"),
        (job("running", duration_s=192.0), "running", "running for 3m12s"),
        (
            job("running", duration_s=2.0, waiting_for_input=True),
            "running (needs input)",
            "running for 2s (needs input)",
        ),
        (job("running", duration_s=2.0, blocked="disk full"), "running (disk full)", "running for 2s (disk full)"),
        (job("completed", duration_s=2.14), "completed", "completed in 2.1s"),
        (job("completed", duration_s=2.0, left_behind_count=2), "completed +2", "completed in 2s"),
        (job("failed", duration_s=2.0, reason=EndReason.EXIT, exit_code=3), "failed 3", "failed after 2s: exit code 3"),
        (
            job("failed", duration_s=2.0, reason=EndReason.SIGNAL, signal="SIGSEGV"),
            "failed SIGSEGV",
            "failed after 2s: SIGSEGV",
        ),
        (
            job("failed", duration_s=0.0, reason=EndReason.SPAWN_FAILED, exit_code=127, error="cannot start 'x': no"),
            "failed 127",
            "failed: cannot start 'x': no",
        ),
        (
            job(
                "killed",
                duration_s=2.0,
                reason=EndReason.USER,
                signal="SIGTERM",
                killed_by="mcp claude",
                kill_reason="a\tb",
            ),
            "killed",
            "killed after 2s: SIGTERM by mcp claude (a\\tb)",
        ),
        (
            job("killed", duration_s=2.0, reason=EndReason.TIMEOUT, signal="SIGKILL", timeout_s=1.0, killed_by="bgjob"),
            "killed timeout",
            "killed after 2s: its time limit of 1s was reached",
        ),
        (
            job("killed", duration_s=9.0, reason=EndReason.IDLE_TIMEOUT, idle_timeout_s=5.0),
            "killed idle timeout",
            "killed after 9s: it wrote nothing for 5s",
        ),
        (job("killed", reason=EndReason.CANCELLED, killed_by="cli"), "killed cancelled", "killed: cancelled by cli"),
        (
            job("failed", duration_s=1.0, reason=EndReason.OOM, signal="SIGKILL"),
            "failed out of memory",
            "failed after 1s: out of memory",
        ),
        (job("lost", reason=EndReason.REBOOT), "lost reboot", "lost: reboot"),
        (job("lost", reason=EndReason.UNOBSERVED, error="nobody saw it"), "lost", "lost: nobody saw it"),
    ],
)
def test_each_way_to_be_has_its_words(info: JobInfo, word: str, phrase: str) -> None:
    assert status_word(info) == word
    assert outcome(info) == phrase


@pytest.mark.parametrize("status", list(JobStatus))
def test_a_job_of_which_nothing_else_is_known_has_words_too(status: JobStatus) -> None:
    assert outcome(JobInfo(job_id="3f2a9c1e", status=status)).startswith(status.value)


def test_an_age_is_never_negative() -> None:
    assert age_s("2026-11-23T00:00:10.000Z", 1795392012.5) == 2.5
    assert age_s("2026-11-23T00:00:10.000Z", 0.0) == 0.0


def test_times_are_shown_in_the_zone_of_the_person(monkeypatch: pytest.MonkeyPatch) -> None:
    import time

    monkeypatch.setenv("TZ", "XXX-02:00")
    time.tzset()
    try:
        assert local_time("2026-11-23T00:00:10.123Z") == "2026-11-23 02:00:10"
    finally:
        monkeypatch.undo()
        time.tzset()

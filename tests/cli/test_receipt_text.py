"""A kill's receipt in words."""

from bgjob_cli.receipt_text import receipt_lines
from bgjobd.protocol import ProcessEnd, Receipt


def test_each_process_is_named_with_what_ended_it() -> None:
    receipt = Receipt(
        job_id="x",
        status="killed",
        duration_s=0.012,
        processes=[
            ProcessEnd(pid=10, name="sh", signals=["SIGTERM"], ended="SIGTERM"),
            ProcessEnd(pid=11, name="a\nb", signals=["SIGTERM", "SIGKILL"], ended="SIGKILL"),
            ProcessEnd(pid=12, name="make", signals=["SIGTERM"], ended="exit 2"),
        ],
    )
    assert list(receipt_lines(receipt)) == [
        "killed 3 processes in 12ms: 10 sh (SIGTERM), 11 a\\nb (SIGTERM, SIGKILL), 12 make (SIGTERM, exit 2)"
    ]


def test_survivors_have_a_line_of_their_own_and_the_reason_follows() -> None:
    survivor = ProcessEnd(pid=7, name="stuck", signals=["SIGTERM", "SIGKILL"])
    receipt = Receipt(job_id="x", status="incomplete", survivors=[survivor], note="in an uninterruptible sleep")
    assert list(receipt_lines(receipt)) == ["survived: 7 stuck (SIGTERM, SIGKILL)", "in an uninterruptible sleep"]


def test_a_bomb_is_counted_and_not_listed() -> None:
    processes = [ProcessEnd(pid=pid, name="bomb", signals=["SIGKILL"], ended="SIGKILL") for pid in range(1, 151)]
    [line] = receipt_lines(Receipt(job_id="x", status="killed", processes=processes, duration_s=0.3))
    assert line.startswith("killed 150 processes in 300ms: 1 bomb (SIGKILL), ")
    assert line.endswith(", 142 more")


def test_a_job_that_was_over_has_only_the_note() -> None:
    receipt = Receipt(job_id="x", status="already_terminated", note="it had already ended: completed")
    assert list(receipt_lines(receipt)) == ["it had already ended: completed"]


def test_a_single_signal_was_sent_and_killed_nothing() -> None:
    processes = [ProcessEnd(pid=5, name="nginx", signals=["SIGHUP"])]
    assert list(receipt_lines(Receipt(job_id="x", status="signalled", processes=processes))) == [
        "signalled 1 process: 5 nginx (SIGHUP)"
    ]

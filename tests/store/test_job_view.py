"""What the records of a job say about it, in the protocol's words."""

import msgspec

from bgjobd.protocol import EndReason, JobInfo, JobStatus
from bgjobd.runner.records import ExitRecord, RunRecord, Spec, decode, encode
from bgjobd.store.job_view import LogFacts, job_info, rfc3339

JOB_ID = "aaaa1111-0000-4000-8000-000000000001"
SECOND = 1_000_000_000
SUBMITTED = 1_790_000_000 * SECOND + 123_999_999  # 2026-09-21T14:13:20.123…Z
STARTED = SUBMITTED + 2 * SECOND
ENDED = STARTED + 60 * SECOND


def a_spec(**values):
    defaults = {
        "job_id": JOB_ID,
        "name": "web",
        "command": b"make all",
        "argv": [b"/bin/sh", b"-c", b"make all"],
        "cwd": b"/src",
        "env": [b"SECRET=hunter2"],
        "submitted_ns": SUBMITTED,
    }
    return Spec(**(defaults | values))


def a_run(**values):
    return RunRecord(**({"job_pid": 77, "runner_pid": 76, "started_ns": STARTED} | values))


def an_exit(**values):
    return ExitRecord(**({"status": 0, "started_ns": STARTED, "ended_ns": ENDED} | values))


def test_a_job_without_a_run_record_is_queued():
    info = job_info(a_spec(), now_ns=SUBMITTED + 5 * SECOND)
    assert (info.status, info.started, info.pid, info.queued_s) == (JobStatus.QUEUED, None, None, 5.0)
    assert info.submitted == "2026-09-21T14:13:20.123Z"


def test_a_running_job_has_its_duration_so_far_and_the_age_of_its_output():
    log = LogFacts(output_bytes=100, kept_bytes=70, last_output_ns=STARTED + 1 * SECOND)
    info = job_info(a_spec(), a_run(), None, log, now_ns=STARTED + 4 * SECOND)
    assert (info.status, info.pid, info.duration_s, info.queued_s) == (JobStatus.RUNNING, 77, 4.0, 2.0)
    assert (info.output_bytes, info.kept_bytes, info.dropped_bytes) == (100, 70, 30)
    assert (info.last_output, info.last_output_age_s) == ("2026-09-21T14:13:23.123Z", 3.0)
    assert (info.reason, info.exit_code, info.ended) == (None, None, None)


def test_an_ended_job_has_its_duration_from_the_monotonic_clock():
    info = job_info(a_spec(), a_run(), an_exit(duration_us=59_500_000), now_ns=ENDED + 1)
    assert (info.status, info.reason, info.exit_code) == (JobStatus.COMPLETED, EndReason.EXIT, 0)
    assert (info.duration_s, info.ended) == (59.5, "2026-09-21T14:14:22.123Z")


def test_a_wall_clock_that_was_set_back_gives_no_negative_duration():
    assert job_info(a_spec(), a_run(), None, now_ns=STARTED - 5 * SECOND).duration_s == 0.0


def test_an_ended_job_repeats_what_the_runner_measured():
    end = an_exit(status=2 << 8, utime_us=1_500_000, stime_us=250_000, max_rss_kib=10, out_end=900, dropped_bytes=400)
    info = job_info(a_spec(), a_run(), end)
    assert (info.status, info.exit_code, info.cpu_s, info.peak_rss_bytes) == (JobStatus.FAILED, 2, 1.75, 10240)
    assert (info.output_bytes, info.kept_bytes, info.dropped_bytes) == (900, 500, 400)
    assert info.seen_by == "runner"


def test_output_after_the_end_counts_too():
    info = job_info(a_spec(), a_run(), an_exit(out_end=10, left=1), LogFacts(50, 50))
    assert info.output_bytes == 50


def test_a_command_that_could_not_be_found_says_why():
    end = an_exit(status=None, reason="spawn_failed", exit_code=127, error="no such file: 'mke'", started_ns=0)
    info = job_info(a_spec(), None, end)
    assert (info.status, info.reason, info.exit_code) == (JobStatus.FAILED, EndReason.SPAWN_FAILED, 127)
    assert (info.error, info.started, info.cpu_s, info.peak_rss_bytes) == ("no such file: 'mke'", None, None, None)


def test_a_lost_job_claims_nothing_that_nobody_saw():
    info = job_info(a_spec(), a_run(), an_exit(status=None, by="lost", reason="reboot", error="the machine restarted"))
    assert (info.status, info.reason, info.error) == (JobStatus.LOST, EndReason.REBOOT, "the machine restarted")
    assert (info.exit_code, info.signal, info.cpu_s, info.peak_rss_bytes, info.seen_by) == (None,) * 5


def test_a_kill_has_a_receipt_and_an_actor():
    end = an_exit(
        status=9,
        reason="user",
        actor="cli",
        kill_reason="too loud",
        kill_us=1500,
        killed=[b"77 400 SIGTERM,SIGKILL SIGKILL|sh", b"78 401 SIGKILL exit 3|odd name|x"],
    )
    info = job_info(a_spec(), a_run(), end, boot_ns=SUBMITTED)
    assert (info.status, info.killed_by, info.kill_reason) == (JobStatus.KILLED, "cli", "too loud")
    first, second = info.receipt.processes
    assert (first.pid, first.name, first.signals, first.ended) == (77, "sh", ["SIGTERM", "SIGKILL"], "SIGKILL")
    assert (second.name, second.signals, second.ended) == ("odd name|x", ["SIGKILL"], "exit 3")
    assert first.started > info.submitted
    assert (info.receipt.status, info.receipt.survivors, info.receipt.duration_s) == ("killed", [], 0.0015)


def test_a_survivor_makes_the_receipt_incomplete():
    end = an_exit(status=9, reason="user", kill_us=10, kill_note="3 s passed", survivor=[b"79 401 SIGKILL |bomb"])
    receipt = job_info(a_spec(), a_run(), end).receipt
    assert (receipt.status, receipt.note) == ("incomplete", "3 s passed")
    assert [(process.pid, process.name, process.ended) for process in receipt.survivors] == [(79, "bomb", "")]


def test_a_receipt_line_that_reads_badly_does_not_hide_the_job():
    end = an_exit(
        status=9, reason="user", kill_us=10, killed=[b"", b"x y", b"12", b"13 1 - gone|x"], left_behind=[b"", b"7"]
    )
    info = job_info(a_spec(), a_run(), end, boot_ns=SUBMITTED)
    assert [process.pid for process in info.receipt.processes] == [0, 0, 12, 13]
    assert info.receipt.processes[3].signals == [] and info.receipt.processes[3].ended == "gone"
    assert [process.pid for process in info.left_behind] == [0, 7]


def test_what_was_left_behind_is_named():
    info = job_info(a_spec(), a_run(), an_exit(left=2, left_behind=[b"80 500 my server", b"81 501 ssh"]))
    assert info.left_behind_count == 2
    assert [(process.pid, process.name) for process in info.left_behind] == [(80, "my server"), (81, "ssh")]


def test_an_argv_is_shown_as_given_and_as_a_command_line():
    info = job_info(a_spec(command=b"", argv=[b"echo", b"a b", b"\xff"], is_argv=True))
    assert info.argv == ["echo", "a b", "\ufffd"]
    assert info.command == "echo 'a b' '\ufffd'"
    assert job_info(a_spec()).argv is None


def test_environment_values_never_appear():
    assert b"hunter2" not in msgspec.msgpack.encode(job_info(a_spec(), a_run(), an_exit()))


def test_invalid_bytes_never_make_a_job_unshowable():
    spec = a_spec(cwd=b"/\xff", command=b"\xfe", warning=[b"\xfd"], project="p\udcff")
    end = decode(ExitRecord, encode(an_exit(error="bad \udcff", status=None, reason="spawn_failed")))
    info = job_info(decode(Spec, encode(spec)), a_run(), end)
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(info), type=JobInfo) == info


def test_times_are_utc_with_milliseconds_rounded_down():
    assert rfc3339(0) is None
    assert rfc3339(1) == "1970-01-01T00:00:00.000Z"
    assert rfc3339(SUBMITTED) == "2026-09-21T14:13:20.123Z"

"""The history: what was written is found, however it is asked for, at any size, and whatever happens to the file."""

import contextlib
import os
import re
import resource
import shutil
import sqlite3
import stat
import tempfile
import threading
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bgjobd.errors import ErrorCode
from bgjobd.model.reference import Candidate
from bgjobd.policy.retention import Limits
from bgjobd.protocol import ClientInfo, Event, EventType, JobInfo, JobStatus
from bgjobd.store import database
from bgjobd.store.history import History, HistoryError, JobRow
from tests.helpers.job_directory import FIRST_SUBMITTED_NS, SECOND, job_id_of, make_job

COMPLETED, FAILED, KILLED, LOST = JobStatus.COMPLETED, JobStatus.FAILED, JobStatus.KILLED, JobStatus.LOST
NO_LIMITS = Limits(None, None, None)


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "history.db")


@pytest.fixture
def history(path):
    with contextlib.closing(History.open(path)) as history:
        yield history


def row(number, status=COMPLETED, *, name="", cwd="/", project="", kept_bytes=10, key="", digest=""):
    client = ClientInfo(kind="mcp", project=project)
    info = JobInfo(job_id=job_id_of(number), name=name, status=status, cwd=cwd, client=client, kept_bytes=kept_bytes)
    return JobRow(info, number * SECOND, number * SECOND + 5, key, digest)


def event(seq, number=1):
    return Event(seq=seq, time="t", type=EventType.QUEUED, job_id=job_id_of(number))


def ids(jobs):
    return [job.job_id for job in jobs]


def numbered(*numbers):
    return [job_id_of(number) for number in numbers]


# --- looking up ------------------------------------------------------------------------------------------------------


def test_what_was_written_is_found(history):
    written = row(7, FAILED, name="build", cwd="/src", project="/p")
    history.write([written], [])
    assert history.get(written.info.job_id) == written.info
    assert history.has_id(written.info.job_id) and not history.has_id(job_id_of(8))
    assert history.get(job_id_of(8)) is None


def test_of_jobs_with_one_name_the_newest_is_found(history):
    history.write([row(1, name="web"), row(3, name="web"), row(2, name="web"), row(9)], [])
    assert history.newest_named("web") == job_id_of(3)
    assert history.newest_named("api") is None
    assert history.newest_named("") is None


def test_jobs_are_found_by_the_beginning_of_their_id(history):
    history.write([row(0xAB01), row(0xAB02), row(0xAC01)], [])
    assert ids(history.with_prefix("0000ab", 10)) == numbered(0xAB01, 0xAB02)
    assert len(history.with_prefix("0000", 2)) == 2
    assert history.with_prefix("0000ad", 10) == []
    assert history.newest(2) == [Candidate(job_id_of(0xAC01), ""), Candidate(job_id_of(0xAB02), "")]


def test_a_job_is_found_by_its_idempotency_key(history):
    history.write([row(1, key="k", digest="d"), row(2)], [])
    assert history.idempotent("k") == (job_id_of(1), "d")
    assert history.idempotent("other") is None
    assert history.idempotent("") is None


def test_writing_a_job_again_replaces_it(history):
    history.write([row(1, COMPLETED, kept_bytes=10)], [])
    history.write([row(1, FAILED, kept_bytes=30)], [])
    assert history.get(job_id_of(1)).status is FAILED
    assert history.counts_by_status() == {"failed": 1}
    assert history.newest_jobs(limit=5)[1] == 1


STATUSES = st.sampled_from([COMPLETED, FAILED, KILLED, LOST])
PLACES = st.sampled_from(["", "/a", "/b"])
ROWS = st.builds(row, st.integers(0, 30), STATUSES, name=st.sampled_from(["", "x"]), cwd=PLACES, project=PLACES)


@settings(max_examples=30, deadline=None)
@given(
    batches=st.lists(st.tuples(st.lists(ROWS, max_size=8), st.lists(st.integers(0, 30), max_size=4)), max_size=6),
    statuses=st.lists(STATUSES, max_size=3),
    cwd=PLACES,
    project=PLACES,
    limit=st.integers(0, 12),
    without=st.frozensets(st.integers(0, 30).map(job_id_of), max_size=6),
    aside=st.booleans(),
)
def test_any_listing_is_that_of_a_simple_model(batches, statuses, cwd, project, limit, without, aside):
    directory, known = tempfile.mkdtemp(), {}
    try:
        with contextlib.closing(History.open(os.path.join(directory, "history.db"))) as history:
            for written, removed in batches:
                history.write(list({each.info.job_id: each for each in written}.values()), [])
                history.remove(numbered(*removed))
                known |= {each.info.job_id: each for each in written}
                for number in removed:
                    known.pop(job_id_of(number), None)
            found, total = history.newest_jobs(
                limit=limit, statuses=statuses, cwd=cwd, project=project, without=without, aside=aside
            )
            counts = history.counts_by_status()
    finally:
        shutil.rmtree(directory)
    expected = [
        each.info
        for each in sorted(known.values(), key=lambda each: -each.submitted_ns)
        if (not statuses or each.info.status in statuses)
        and cwd in ("", each.info.cwd)
        and project in ("", each.info.client.project)
        and each.info.job_id not in without
    ]
    assert (found, total) == (expected[:limit], len(expected))
    everything = [each.info.status for each in known.values()]
    assert counts == {status.value: everything.count(status) for status in everything}


def test_no_query_looks_at_more_than_it_returns(history):
    """By their plans and not by the clock: at 100,000 jobs a list costs what it costs at 10."""
    history.write([row(number, name="n", cwd="/c", project="/p", key="k") for number in range(50)], [event(1)])
    asked = []
    for connection in (history._database.reader(), history._database.writer):
        connection.set_trace_callback(asked.append)
    for statuses in ([], [LOST], [COMPLETED, FAILED]):
        for cwd, project in (("", ""), ("/c", ""), ("", "/p"), ("/c", "/p")):
            history.newest_jobs(limit=10, statuses=statuses, cwd=cwd, project=project)
            history.newest_jobs(
                limit=10, statuses=statuses, cwd=cwd, project=project, without=frozenset(numbered(1, 2))
            )
    history.get(job_id_of(1))
    history.has_id(job_id_of(1))
    history.newest_named("n")
    history.with_prefix("0000", 11)
    history.newest(200)
    history.idempotent("k")
    history.counts_by_status()
    history.beyond(Limits(10, 1.0, 100), 0)
    history.last_event_seq()
    history.oldest_event_seq()
    history.events(0, 10)
    history.events(0, 10, job_id_of(1))
    history.jobs(numbered(1, 2))
    for connection in (history._database.reader(), history._database.writer):
        connection.set_trace_callback(None)
    assert len(asked) > 25
    for query in asked:
        plan = [step[3] for step in history._database.reader().execute("EXPLAIN QUERY PLAN " + query)]
        for step in plan:
            walks = re.match(r"SCAN (jobs|events)\b", step)
            assert not walks or ("USING" in step and ("LIMIT" in query or "ORDER BY ended_ns" in query)), (query, plan)
            # only the few rows that the sub-queries gave are sorted
            assert "TEMP B-TREE" not in step or ("FROM (SELECT" in query and step is plan[-1]), (query, plan)


def test_only_both_filters_at_once_are_counted_one_by_one(history):
    history.write([row(number, cwd="/c", project="/p") for number in range(50)], [])
    asked = []
    for connection in (history._database.reader(), history._database.writer):
        connection.set_trace_callback(asked.append)
    for cwd, project in (("", ""), ("/c", ""), ("", "/p")):
        assert history.newest_jobs(limit=10, cwd=cwd, project=project)[1] == 50
    assert not [query for query in asked if "count(*)" in query]
    assert history.newest_jobs(limit=10, cwd="/c", project="/p")[1] == 50


# --- retention -------------------------------------------------------------------------------------------------------


def doomed(history, limits, now_ns, **options):
    found, size = history.beyond(limits, now_ns, **options)
    assert size == sum(job.kept_bytes for job in found)
    return [job.job_id for job in found]


def test_what_is_beyond_the_limits_is_named_oldest_first(history):
    history.write([row(number, kept_bytes=100) for number in (3, 1, 2, 5, 4)], [])
    now_ns = 6 * SECOND
    assert doomed(history, NO_LIMITS, now_ns) == []
    assert doomed(history, NO_LIMITS._replace(keep_jobs=3), now_ns) == numbered(1, 2)
    assert doomed(history, NO_LIMITS._replace(keep_for_s=3.5), now_ns) == numbered(1, 2)
    assert doomed(history, NO_LIMITS._replace(total_bytes=350), now_ns) == numbered(1, 2)


def test_no_more_jobs_are_named_than_were_asked_for(history):
    history.write([row(number, kept_bytes=100) for number in range(1, 6)], [])
    assert doomed(history, NO_LIMITS._replace(keep_jobs=1), 0, most=2) == numbered(1, 2)


def test_a_job_of_which_something_still_runs_is_never_named(history):
    history.write([row(number) for number in range(1, 6)], [])
    assert doomed(history, NO_LIMITS._replace(keep_jobs=0), 0, skip={job_id_of(1), job_id_of(4)}) == numbered(2, 3, 5)


def test_what_was_removed_is_gone_and_does_not_count(history):
    history.write([row(number, kept_bytes=100, name="n") for number in range(1, 4)], [])
    history.remove(numbered(2, 3, 99))
    assert ids(history.newest_jobs(limit=5)[0]) == numbered(1)
    assert history.newest_named("n") == job_id_of(1)
    assert doomed(history, NO_LIMITS._replace(total_bytes=100), 0) == []


# --- events ----------------------------------------------------------------------------------------------------------


def test_events_are_found_in_order_from_a_number_on(history):
    history.write([], [event(1, 1), event(2, 2), event(3, 1)])
    assert [each.seq for each in history.events(0, 10)] == [1, 2, 3]
    assert [each.seq for each in history.events(1, 1)] == [2]
    assert [each.seq for each in history.events(0, 10, job_id_of(1))] == [1, 3]
    assert (history.oldest_event_seq(), history.last_event_seq()) == (1, 3)


def test_old_events_are_pruned_and_the_numbers_go_on(path, monkeypatch):
    monkeypatch.setattr("bgjobd.store.history.MAX_EVENTS", 100)
    with contextlib.closing(History.open(path)) as history:
        for start in range(1, 2500, 50):
            history.write([], [event(seq) for seq in range(start, start + 50)])
        assert history.oldest_event_seq() > 1500
        assert len(history.events(0, 10_000)) < 1200
        assert history.last_event_seq() == 2500
    with contextlib.closing(History.open(path)) as history:
        assert history.last_event_seq() == 2500


def test_after_a_crash_no_number_means_two_events(path):
    crashed = History.open(path)
    crashed.write([], [event(1), event(2)])
    crashed._database._close()  # numbers 3 and 4 were published, and we died before they were stored
    with contextlib.closing(History.open(path)) as history:
        first = history.last_event_seq() + 1
        assert first > 1000
        history.write([], [event(first)])
        assert [each.seq for each in history.events(2, 10)] == [first]
    with contextlib.closing(History.open(path)) as history:
        assert history.last_event_seq() == first


# --- the file --------------------------------------------------------------------------------------------------------


def test_the_file_is_for_this_user_alone(history, path):
    for suffix in ("", "-wal"):
        assert stat.S_IMODE(os.stat(path + suffix).st_mode) & 0o077 == 0


def test_what_was_written_is_there_at_the_next_start_also_after_a_crash(path):
    first = History.open(path)
    first.write([row(1)], [event(1)])
    first._database._close()
    with contextlib.closing(History.open(path)) as again:
        assert again.has_id(job_id_of(1)) and again.events(0, 5) and again.warnings == []


def test_a_new_history_is_incomplete_until_it_was_rebuilt(path, tmp_path):
    for _ in range(2):  # interrupted before the rebuild
        with contextlib.closing(History.open(path)) as history:
            assert history.needs_rebuild
    with contextlib.closing(History.open(path)) as history:
        history.rebuild(str(tmp_path / "jobs"), ())
        assert not history.needs_rebuild
    with contextlib.closing(History.open(path)) as history:
        assert not history.needs_rebuild


def scribble(path):
    with open(path, "r+b") as file:
        file.seek(100)
        file.write(os.urandom(os.path.getsize(path) - 100))


def cut(path):
    os.truncate(path, os.path.getsize(path) // 2)


def text(path):
    with open(path, "w") as file:
        file.write("no database\n" * 1000)


def other_tables(path):
    os.unlink(path)
    with contextlib.closing(sqlite3.connect(path)) as other:
        other.execute("CREATE TABLE jobs (a)")


def newer_schema(path):
    with contextlib.closing(sqlite3.connect(path)) as newer:
        newer.execute("PRAGMA user_version = 999")


@pytest.mark.parametrize("damage", [scribble, cut, text, other_tables, newer_schema])
def test_a_file_that_is_damaged_at_the_start_is_moved_aside_and_a_new_one_begun(path, tmp_path, damage):
    with contextlib.closing(History.open(path)) as history:
        history.write([row(number) for number in range(300)], [event(1)])
        history.rebuild(str(tmp_path / "jobs"), ())
    if damage is cut:
        with contextlib.closing(sqlite3.connect(path)) as unclean:
            unclean.execute("UPDATE facts SET value = 'no' WHERE name = 'closed'")
            unclean.commit()
    damage(path)
    with contextlib.closing(History.open(path)) as history:
        assert history.needs_rebuild
        assert "damaged" in history.warnings[0]
        assert history.newest_jobs(limit=5) == ([], 0)
        assert history.last_event_seq() > 1
        history.write([row(1)], [])
        assert history.has_id(job_id_of(1))
    [aside] = tmp_path.glob("history.db.damaged-*[0-9]")
    assert aside.stat().st_size


def test_a_file_that_is_damaged_while_in_use_is_replaced_by_the_next_write(path, tmp_path):
    with contextlib.closing(History.open(path)) as history:
        history.write([row(number) for number in range(2000)], [])
        history.rebuild(str(tmp_path / "jobs"), ())
    with contextlib.closing(History.open(path)) as history:
        with open(path, "r+b") as file:
            file.seek(4096)
            file.write(b"\xff" * (os.path.getsize(path) - 4096))
        with pytest.raises(HistoryError) as caught:
            history.get(job_id_of(1500))
        assert caught.value.code is ErrorCode.STORAGE
        history.write([row(1)], [])
        assert history.needs_rebuild and history.warnings and history.has_id(job_id_of(1))


def test_reading_goes_on_while_a_deleted_file_is_replaced(path):
    """The connection to read with was closed under a query, which ended the daemon with SIGSEGV."""
    with contextlib.closing(History.open(path)) as history:
        history.write([row(number) for number in range(100)], [])
        renewals = 4

        def replace() -> None:
            for number in range(renewals):
                os.unlink(path)
                history.write([row(number) for number in range(100)], [])

        writer = threading.Thread(target=replace)
        writer.start()
        closed = False
        while writer.is_alive():
            try:
                history.newest_jobs(limit=1000)
            except HistoryError as error:  # between the deletion and the next write there is nothing to read
                closed |= "closed" in str(error)
        writer.join()
        assert not closed
        assert len(history.newest_jobs(limit=1000)[0]) == 100


def test_a_file_that_is_deleted_while_in_use_is_replaced_by_the_next_write(path):
    with contextlib.closing(History.open(path)) as history:
        history.write([row(1)], [])
        history.needs_rebuild = False
        for suffix in ("", "-wal", "-shm"):
            os.unlink(path + suffix)
        history.write([row(2)], [])
        assert history.needs_rebuild
        assert (history.has_id(job_id_of(1)), history.has_id(job_id_of(2))) == (False, True)
    assert os.path.exists(path)


def test_a_file_that_somebody_holds_is_no_damaged_one(path, tmp_path, monkeypatch):
    monkeypatch.setattr(database, "_BUSY_S", 0.01)
    History.open(path).close()
    with contextlib.closing(sqlite3.connect(path)) as curious:
        curious.execute("BEGIN IMMEDIATE")
        with pytest.raises(HistoryError):
            History.open(path)
    with contextlib.closing(History.open(path)) as history:
        assert history.warnings == []
        with contextlib.closing(sqlite3.connect(path)) as curious:
            curious.execute("BEGIN IMMEDIATE")
            with pytest.raises(HistoryError):
                history.write([row(1)], [])
        assert not history.has_id(job_id_of(1))
        history.write([row(1)], [])
        assert history.has_id(job_id_of(1)) and history.warnings == []


def test_a_full_disk_stores_nothing_and_damages_nothing(path):
    with contextlib.closing(History.open(path)) as history:
        history.write([row(1)], [])
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (os.path.getsize(path + "-wal") + 100, hard))
        try:
            with pytest.raises(HistoryError):
                history.write([row(2), row(3)], [event(1)])
            assert history.has_id(job_id_of(1)) and not history.has_id(job_id_of(2))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        history.write([row(2), row(3)], [event(1)])
        assert history.has_id(job_id_of(3)) and history.warnings == []


def test_migrations_are_numbered_without_a_hole_and_leave_their_number(history):
    names = [os.path.basename(path) for path in database.migrations()]
    assert [int(name.split("_")[0]) for name in names] == list(range(1, len(names) + 1))
    assert history._database.reader().execute("PRAGMA user_version").fetchone()[0] == len(names)


# --- rebuilding ------------------------------------------------------------------------------------------------------


def everything(history):
    connection = history._database.reader()
    columns = "job_id, name, status, cwd, project, submitted_ns, ended_ns, kept_bytes, idempotency_key, request_digest"
    return connection.execute(f"SELECT {columns}, info FROM jobs ORDER BY job_id").fetchall()


@pytest.fixture
def jobs_dir(tmp_path):
    jobs_dir = str(tmp_path / "jobs")
    make_job(jobs_dir, 1, name="one", cwd=b"/src", project="/p", idempotency_key="k", request_digest="d")
    make_job(jobs_dir, 2, output=b"", run=False, end={"status": None, "reason": "spawn_failed", "exit_code": 127})
    make_job(jobs_dir, 0xFF000000, end={"status": 9, "reason": "user", "actor": "cli", "kill_us": 5})
    make_job(jobs_dir, 4, output=b"x" * 1000, end={"status": 256, "left": 2})
    return jobs_dir


def test_a_history_that_was_lost_is_rebuilt_as_it_was(path, jobs_dir):
    with contextlib.closing(History.open(path)) as history:
        assert history.rebuild(jobs_dir, ()) == 4
        assert history.rebuild(jobs_dir, ()) == 0
        before, counts = everything(history), history.counts_by_status()
        assert history.idempotent("k") == (job_id_of(1), "d")
        assert history.get(job_id_of(4)).output_bytes == 1000
    for suffix in ("", "-wal", "-shm"):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path + suffix)
    with contextlib.closing(History.open(path)) as history:
        history.rebuild(jobs_dir, ())
        assert everything(history) == before
        assert history.counts_by_status() == counts == {"completed": 1, "failed": 2, "killed": 1}


def test_a_rebuild_leaves_alone_what_is_not_over_and_what_is_newer(history, jobs_dir):
    newer = row(1, KILLED)
    history.write([newer], [])
    make_job(jobs_dir, 5, end=False)
    history.rebuild(jobs_dir, {job_id_of(2), job_id_of(5)})
    assert history.get(job_id_of(1)) == newer.info
    assert not history.has_id(job_id_of(2)) and not history.has_id(job_id_of(5))


def test_a_job_that_nobody_looks_after_and_that_has_no_exit_record_is_lost(history, jobs_dir):
    make_job(jobs_dir, 5, end=False)
    make_job(jobs_dir, 6, end=False, submitted_ns=1 << 62)  # submitted while we rebuild
    history.rebuild(jobs_dir, ())
    info = history.get(job_id_of(5))
    assert (info.status, info.exit_code, info.error) == (LOST, None, "its exit record is missing")
    assert not history.has_id(job_id_of(6))


def test_a_job_that_was_submitted_after_the_daemon_listed_its_own_is_not_lost(history, jobs_dir):
    """The rebuild may have to wait for its thread; meanwhile jobs start."""
    listed_ns = time.time_ns()
    make_job(jobs_dir, 5, end=False, submitted_ns=listed_ns)
    history.rebuild(jobs_dir, (), listed_ns)
    assert not history.has_id(job_id_of(5))


@pytest.mark.parametrize("name", ["spec", "run", "exit"])
def test_a_damaged_directory_is_left_out_and_harms_no_other(history, jobs_dir, name):
    with open(os.path.join(jobs_dir, job_id_of(1)[:2], job_id_of(1), name), "wb") as file:
        file.write(b"bgjob-record 1 " + os.urandom(50))
    for stray in ("stray", "00/stray", "00/" + job_id_of(7) + ".removed"):
        os.makedirs(os.path.join(jobs_dir, stray))
    open(os.path.join(jobs_dir, "file"), "w").close()
    assert history.rebuild(jobs_dir, ()) == 3
    assert not history.needs_rebuild


def test_a_rebuild_that_was_cancelled_begins_again_at_the_next_start(path, jobs_dir):
    with contextlib.closing(History.open(path)) as history:
        assert history.rebuild(jobs_dir, (), cancelled=lambda: True) == 0
    with contextlib.closing(History.open(path)) as history:
        assert history.needs_rebuild
        assert history.rebuild(jobs_dir, ()) == 4


def test_submission_times_survive_exactly(history, jobs_dir):
    history.rebuild(jobs_dir, ())
    assert ids(history.newest_jobs(limit=2)[0]) == numbered(0xFF000000, 4)
    assert everything(history)[0][5] == FIRST_SUBMITTED_NS + SECOND

"""The history: an SQLite index of ended jobs, and the events. The job directories are the truth; this can be rebuilt.

One process uses it. Reads happen on the event loop (an indexed look-up takes tens of microseconds); writes come in
batches from one worker thread at a time. WAL and synchronous=NORMAL: a commit survives any crash of the process.
"""

import contextlib
import importlib.resources
import logging
import os
import sqlite3  # noqa: TID253  # only the daemon imports this file
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import msgspec

from bgjobd.model.reference import Candidate
from bgjobd.policy.retention import Ended, Limits, beyond
from bgjobd.protocol import Event, JobInfo, JobStatus
from bgjobd.runner.records import ExitRecord, RecordError, RunRecord, Spec, read_record
from bgjobd.store.job_view import job_info
from bgjobd.store.logs import LogReader

logger = logging.getLogger("bgjobd.history")

MAX_EVENTS = 100_000  # older ones are pruned; about 20 MB
_PRUNE_EVERY = 1_000  # events between two looks at their number
_REBUILD_BATCH = 500

_info_decoder = msgspec.msgpack.Decoder(JobInfo)
_event_decoder = msgspec.msgpack.Decoder(Event)
_encode = msgspec.msgpack.Encoder().encode


class HistoryError(Exception):
    """SQLite refused: a full disk, a damaged file."""


class JobRow(NamedTuple):
    """What is stored about one ended job."""

    info: JobInfo
    submitted_ns: int
    ended_ns: int
    idempotency_key: str = ""
    request_digest: str = ""


class History:
    """The index of what is over. Implements `model.reference.Catalogue`."""

    def __init__(self, path: str) -> None:
        self._path = path
        self.warnings: list[str] = []
        self._lock = threading.Lock()  # one writer at a time
        self._events_since_prune = 0
        fresh = not os.path.exists(path)
        try:
            self._open()
            self._check()
        except sqlite3.DatabaseError as error:
            self._set_aside(str(error))
            fresh = True
            self._open()
        self._was_lost = bool(self.warnings)
        self.needs_rebuild = fresh or self._fact("complete") != "yes"

    @classmethod
    def open(cls, path: str) -> "History":
        """Open the history at `path`; make a new one where there is none, or the old one is damaged."""
        return cls(path)

    def close(self) -> None:
        """Close it cleanly: the next start need not check it."""
        with self._lock:
            with contextlib.suppress(sqlite3.Error):  # nothing depends on it: without the mark the next start checks
                self._writer.execute("INSERT OR REPLACE INTO facts VALUES ('closed', 'yes')")
            self._reader.close()
            self._writer.close()

    # --- looking up -------------------------------------------------------------------------------------------------

    def get(self, job_id: str) -> JobInfo | None:
        """Return what is known about an ended job."""
        row = self._reader.execute("SELECT info FROM jobs WHERE job_id = ?", (job_id,)).fetchone()
        return None if row is None else _info_decoder.decode(row[0])

    def has_id(self, job_id: str) -> bool:
        """Return whether it knows the job."""
        return self._reader.execute("SELECT 1 FROM jobs WHERE job_id = ?", (job_id,)).fetchone() is not None

    def newest_named(self, name: str) -> str | None:
        """Return the id of the newest job with this name."""
        row = self._reader.execute(
            "SELECT job_id FROM jobs WHERE name = ? AND name <> '' ORDER BY submitted_ns DESC LIMIT 1", (name,)
        ).fetchone()
        return None if row is None else str(row[0])

    def with_prefix(self, prefix: str, limit: int) -> list[Candidate]:
        """Return up to `limit` jobs whose id starts with `prefix`."""
        rows = self._reader.execute(
            "SELECT job_id, name FROM jobs WHERE job_id >= ? AND job_id < ? LIMIT ?", (prefix, prefix + "~", limit)
        )
        return [Candidate(*row) for row in rows]

    def newest(self, limit: int) -> list[Candidate]:
        """Return up to `limit` jobs, newest first."""
        rows = self._reader.execute("SELECT job_id, name FROM jobs ORDER BY submitted_ns DESC LIMIT ?", (limit,))
        return [Candidate(*row) for row in rows]

    def newest_jobs(
        self, *, limit: int, statuses: Sequence[JobStatus] = (), cwd: str = "", project: str = ""
    ) -> tuple[list[JobInfo], int]:
        """Return up to `limit` jobs, newest first, and how many there are in all."""
        where, values = _conditions(statuses, cwd, project)
        rows = self._reader.execute(
            f"SELECT info FROM jobs {where} ORDER BY submitted_ns DESC LIMIT ?", (*values, limit)
        ).fetchall()
        if len(rows) < limit:
            total = len(rows)
        elif cwd or project:
            total = int(self._reader.execute(f"SELECT count(*) FROM jobs {where}", values).fetchone()[0])
        else:
            counts = self.counts_by_status()
            total = sum(counts.get(status.value, 0) for status in statuses) if statuses else sum(counts.values())
        return [_info_decoder.decode(row[0]) for row in rows], total

    def counts_by_status(self) -> dict[str, int]:
        """Return how many jobs there are of each status."""
        return {str(status): int(jobs) for status, jobs in self._reader.execute("SELECT * FROM counts WHERE jobs > 0")}

    def idempotent(self, key: str) -> tuple[str, str] | None:
        """Return (job id, digest of the request) of the job that was made with an idempotency key."""
        row = self._reader.execute(
            "SELECT job_id, request_digest FROM jobs WHERE idempotency_key = ? AND idempotency_key <> ''", (key,)
        ).fetchone()
        return None if row is None else (str(row[0]), str(row[1]))

    def beyond(self, limits: Limits, now_ns: int) -> list[str]:
        """Return the ids of the jobs that `limits` do not keep, oldest first."""
        if self._within_limits(limits, now_ns):
            return []
        rows = self._reader.execute("SELECT job_id, ended_ns, kept_bytes FROM jobs ORDER BY ended_ns DESC")
        return beyond(limits, (Ended(*row) for row in rows), now_ns)

    def _within_limits(self, limits: Limits, now_ns: int) -> bool:
        """Return whether nothing has to go, at the price of three look-ups."""
        count = sum(self.counts_by_status().values())
        if limits.keep_jobs is not None and count > limits.keep_jobs:
            return False
        oldest = self._reader.execute("SELECT min(ended_ns) FROM jobs").fetchone()[0]
        if oldest is not None and limits.keep_for_s is not None and now_ns - oldest > limits.keep_for_s * 1e9:
            return False
        if limits.total_bytes is None:
            return True
        total = self._reader.execute("SELECT sum(kept_bytes) FROM jobs").fetchone()[0] or 0
        return bool(total <= limits.total_bytes)

    def events(self, after: int, limit: int, job_id: str | None = None) -> list[Event]:
        """Return up to `limit` events after sequence number `after`, of one job or of all. Safe in any thread."""
        with self._lock:
            if job_id is None:
                rows = self._writer.execute(
                    "SELECT event FROM events WHERE seq > ? ORDER BY seq LIMIT ?", (after, limit)
                )
            else:
                rows = self._writer.execute(
                    "SELECT event FROM events WHERE job_id = ? AND seq > ? ORDER BY seq LIMIT ?", (job_id, after, limit)
                )
            return [_event_decoder.decode(row[0]) for row in rows.fetchall()]

    def last_event_seq(self) -> int:
        """Return the number of the newest event. Grows even over the loss of the database: then from the clock on."""
        newest = self._reader.execute("SELECT max(seq) FROM events").fetchone()[0]
        return int(newest or (time.time_ns() // 1_000_000 if self._was_lost else 0))

    def oldest_event_seq(self) -> int:
        """Return the number of the oldest event that is kept; 0 when there is none."""
        return int(self._reader.execute("SELECT min(seq) FROM events").fetchone()[0] or 0)

    # --- writing ----------------------------------------------------------------------------------------------------

    def write(self, jobs: Sequence[JobRow], events: Sequence[Event]) -> None:
        """Store jobs and events in one commit. Writing a job again replaces it.

        Raises:
            HistoryError: nothing was stored; try again.
        """
        with self._lock, _translated():
            self._replace_if_deleted()
            with self._transaction():
                self._insert_jobs(jobs)
                self._writer.executemany(
                    "INSERT OR IGNORE INTO events VALUES (?, ?, ?)",
                    [(event.seq, event.job_id, _encode(event)) for event in events],
                )
                self._prune_events(events)

    def remove(self, job_ids: Sequence[str]) -> None:
        """Forget jobs; those it does not know are no error.

        Raises:
            HistoryError: nothing was removed; try again.
        """
        with self._lock, _translated(), self._transaction():
            self._writer.executemany("DELETE FROM jobs WHERE job_id = ?", [(job_id,) for job_id in job_ids])

    def rebuild(self, jobs_dir: str, skip: set[str], cancelled: Callable[[], bool] = lambda: False) -> int:
        """Read every ended job's directory into the index, and mark it complete; return how many jobs were read.

        Args:
            jobs_dir: where the job directories are.
            skip: ids of jobs that are not over; the daemon has them.
            cancelled: asked between jobs; the next start begins again.
        """
        count = 0
        rows: list[JobRow] = []
        for job_dir in _job_directories(jobs_dir):
            if cancelled():
                return count
            row = None if os.path.basename(job_dir) in skip else read_job(job_dir)
            if row is not None:
                rows.append(row)
            if len(rows) >= _REBUILD_BATCH:
                self.write(rows, ())
                count += len(rows)
                rows = []
        self.write(rows, ())
        with self._lock, _translated(), self._transaction():
            self._writer.execute("INSERT OR REPLACE INTO facts VALUES ('complete', 'yes')")
        self.needs_rebuild = False
        return count + len(rows)

    def _insert_jobs(self, jobs: Sequence[JobRow]) -> None:
        self._writer.executemany(
            "INSERT INTO jobs (job_id, name, status, cwd, project, submitted_ns, ended_ns, kept_bytes, idempotency_key,"
            " request_digest, info) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (job_id) DO UPDATE SET"
            " status = excluded.status, ended_ns = excluded.ended_ns, kept_bytes = excluded.kept_bytes,"
            " info = excluded.info",
            [
                (
                    row.info.job_id,
                    row.info.name,
                    row.info.status.value,
                    row.info.cwd,
                    row.info.client.project if row.info.client else "",
                    row.submitted_ns,
                    row.ended_ns,
                    row.info.kept_bytes,
                    row.idempotency_key,
                    row.request_digest,
                    _encode(row.info),
                )
                for row in jobs
            ],
        )

    def _prune_events(self, events: Sequence[Event]) -> None:
        self._events_since_prune += len(events)
        if self._events_since_prune >= _PRUNE_EVERY:
            self._events_since_prune = 0
            self._writer.execute("DELETE FROM events WHERE seq <= (SELECT max(seq) FROM events) - ?", (MAX_EVENTS,))

    # --- the file ---------------------------------------------------------------------------------------------------

    def _open(self) -> None:
        self._writer = _connect(self._path)
        self._writer.execute("PRAGMA journal_mode = WAL")
        self._writer.execute("PRAGMA synchronous = NORMAL")
        _migrate(self._writer)
        self._reader = _connect(self._path)
        self._inode = os.stat(self._path).st_ino

    def _check(self) -> None:
        """Check the whole file after an unclean stop only: it costs time in proportion to the history."""
        if self._fact("closed") != "yes":
            result = self._reader.execute("PRAGMA quick_check(1)").fetchone()[0]
            if result != "ok":
                raise sqlite3.DatabaseError(result)
        self._writer.execute("DELETE FROM facts WHERE name = 'closed'")

    def _fact(self, name: str) -> str:
        row = self._reader.execute("SELECT value FROM facts WHERE name = ?", (name,)).fetchone()
        return "" if row is None else str(row[0])

    def _set_aside(self, reason: str) -> None:
        """Move a damaged database out of the way, for whoever wants to look at it."""
        aside = f"{self._path}.damaged-{time.strftime('%Y%m%dT%H%M%S')}"
        for attribute in ("_reader", "_writer"):
            connection = getattr(self, attribute, None)
            if connection is not None:
                connection.close()
        os.rename(self._path, aside)
        for suffix in ("-wal", "-shm"):
            with contextlib.suppress(FileNotFoundError):
                os.rename(self._path + suffix, aside + suffix)
        logger.error("history damaged: reason=%s moved_to=%s", reason, aside)
        self.warnings.append(f"the history was damaged ({reason}); it was moved to {aside} and is being rebuilt")

    def _replace_if_deleted(self) -> None:
        """Somebody deleted the file below us: begin a new one, and have it rebuilt."""
        try:
            if os.stat(self._path).st_ino == self._inode:
                return
        except FileNotFoundError:
            pass  # the case meant here
        logger.error("history deleted: path=%s", self._path)
        self._writer.close()
        for suffix in ("-wal", "-shm"):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self._path + suffix)
        old_reader = self._reader
        self._open()
        old_reader.close()
        self.needs_rebuild = True

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        self._writer.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._writer.rollback()
            raise
        self._writer.execute("COMMIT")


def read_job(job_dir: str) -> JobRow | None:
    """Return what a job's directory says about an ended job; None when it has not ended, or is damaged."""
    try:
        spec = read_record(Spec, f"{job_dir}/spec")
        record = read_record(ExitRecord, f"{job_dir}/exit")
        try:
            run = read_record(RunRecord, f"{job_dir}/run")
        except FileNotFoundError:
            run = None  # it could not be started
        info = job_info(spec, run, record, LogReader(f"{job_dir}/log").facts())
    except FileNotFoundError:
        return None
    except (OSError, RecordError) as error:
        logger.error("job directory damaged: path=%s reason=%s", job_dir, error)
        return None
    return JobRow(info, spec.submitted_ns, record.ended_ns, spec.idempotency_key, spec.request_digest)


def _job_directories(jobs_dir: str) -> Iterator[str]:
    for prefix in sorted(os.listdir(jobs_dir)):
        with contextlib.suppress(NotADirectoryError, FileNotFoundError):  # not ours, or just removed
            for job_id in sorted(os.listdir(os.path.join(jobs_dir, prefix))):
                yield os.path.join(jobs_dir, prefix, job_id)


def _conditions(statuses: Sequence[JobStatus], cwd: str, project: str) -> tuple[str, list[Any]]:
    """Return a WHERE clause and its values."""
    parts, values = [], []
    if statuses:
        parts.append(f"status IN ({', '.join('?' * len(statuses))})")
        values += [status.value for status in statuses]
    for column, value in (("cwd", cwd), ("project", project)):
        if value:
            parts.append(f"{column} = ?")
            values.append(value)
    return ("WHERE " + " AND ".join(parts) if parts else ""), values


def _connect(path: str) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    os.chmod(path, 0o600)
    return connection


def _migrate(connection: sqlite3.Connection) -> None:
    """Apply the migrations that the database does not have yet, each in its own transaction."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    folder = importlib.resources.files("bgjobd.store").joinpath("migrations")
    for file in sorted(folder.iterdir(), key=lambda entry: entry.name):
        number = int(file.name.split("_")[0]) if file.name.endswith(".sql") else 0
        if number > version:
            connection.executescript(f"BEGIN;\n{file.read_text()}\nPRAGMA user_version = {number};\nCOMMIT;")


@contextlib.contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise HistoryError(str(error)) from error

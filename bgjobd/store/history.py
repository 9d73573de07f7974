"""The history: an index of ended jobs, and the events. The job directories are the truth; this can be rebuilt.

One process uses it. Reads happen on the event loop (an indexed look-up takes tens of microseconds, also at 100,000
jobs); writes come in batches from one worker thread at a time.
"""

import contextlib
import threading
import time
from collections.abc import Callable, Container, Iterator, Sequence, Set
from itertools import islice
from typing import Any

import msgspec

from bgjobd.model.reference import Candidate
from bgjobd.policy.retention import Ended, Limits, beyond
from bgjobd.protocol import Event, EventType, JobInfo, JobStatus
from bgjobd.store.database import Database, HistoryError, translated
from bgjobd.store.rebuild import JobRow, ended_jobs

__all__ = ["MAX_EVENTS", "History", "HistoryError", "JobRow"]

MAX_EVENTS = 100_000  # older ones are pruned; about 20 MB
_PRUNE_EVERY = 1_000  # events between two looks at their number
_REBUILD_BATCH = 500
_MOST_VARIABLES = 500  # in one query; SQLite before 3.32 took 999
_EVENTS_SKIPPED = 10_000  # after a crash: more than are published before they are stored, unless the disk refuses

_FINAL = (JobStatus.COMPLETED, JobStatus.FAILED, JobStatus.KILLED, JobStatus.LOST)
_Read = Callable[..., list[Any]]
_info_decoder = msgspec.msgpack.Decoder(JobInfo)
_event_decoder = msgspec.msgpack.Decoder(Event)
_encode = msgspec.msgpack.Encoder().encode


class History:
    """The index of what is over. Implements `model.reference.Catalogue`.

    Every method raises HistoryError when SQLite refuses. When the file turns out to be damaged, or was deleted, the
    next write begins a new one, `needs_rebuild` says so, and `warnings` why.
    """

    def __init__(self, path: str, *, is_first: bool = True) -> None:
        self.is_complete = True  # False: the next start has to allow for events that are not in it
        self._database = Database(path)
        self._lock = threading.Lock()  # one thread at a time for the writing connection
        self._events_since_prune = 0
        self._first_seq = self._first_free_seq(is_first)
        self.needs_rebuild = self._database.is_new or self._database.fact("complete") != "yes"

    @classmethod
    def open(cls, path: str, *, is_first: bool = True) -> "History":
        """Open the history at `path`; make a new one where there is none, or the old one is damaged.

        Args:
            path: the file.
            is_first: a new file would be the first one ever, so that its events may be numbered from 1.
        """
        return cls(path, is_first=is_first)

    def close(self) -> None:
        """Close it. In order, unless it is not `is_complete`: the next start need not check it."""
        with self._lock:
            self._database.close(in_order=self.is_complete)

    @property
    def warnings(self) -> list[str]:
        """What happened to the file, for people."""
        return self._database.warnings

    # --- looking up -------------------------------------------------------------------------------------------------

    def get(self, job_id: str) -> JobInfo | None:
        """Return what is known about an ended job."""
        rows = self._read("SELECT info FROM jobs WHERE job_id = ?", job_id)
        return _info_decoder.decode(rows[0][0]) if rows else None

    def has_id(self, job_id: str) -> bool:
        """Return whether it knows the job."""
        return bool(self._read("SELECT 1 FROM jobs WHERE job_id = ?", job_id))

    def newest_named(self, name: str) -> str | None:
        """Return the id of the newest job with this name."""
        rows = self._read(
            "SELECT job_id FROM jobs WHERE name = ? AND name <> '' ORDER BY submitted_ns DESC LIMIT 1", name
        )
        return str(rows[0][0]) if rows else None

    def with_prefix(self, prefix: str, limit: int) -> list[Candidate]:
        """Return up to `limit` jobs whose id starts with `prefix`."""
        rows = self._read(
            "SELECT job_id, name FROM jobs WHERE job_id >= ? AND job_id < ? LIMIT ?", prefix, prefix + "~", limit
        )
        return [Candidate(*row) for row in rows]

    def newest(self, limit: int) -> list[Candidate]:
        """Return up to `limit` jobs, newest first."""
        rows = self._read("SELECT job_id, name FROM jobs ORDER BY submitted_ns DESC LIMIT ?", limit)
        return [Candidate(*row) for row in rows]

    def newest_jobs(
        self,
        *,
        limit: int,
        statuses: Sequence[JobStatus] = (),
        cwd: str = "",
        project: str = "",
        without: Set[str] = frozenset(),
        aside: bool = False,
    ) -> tuple[list[JobInfo], int]:
        """Return up to `limit` jobs, newest first, and how many there are in all.

        Args:
            limit: how many to return.
            statuses: only jobs with one of these; empty: all.
            cwd: only jobs of this directory; empty: all.
            project: only jobs of this project; empty: all.
            without: ids of jobs to leave out, which it may know or not: the caller has them.
            aside: it may be called in any thread: thousands of jobs take a tenth of a second to decode.
        """
        query, values = newest_query(limit + len(without), statuses, cwd, project)
        with self._snapshot(aside=aside) as read:
            rows = read(query, *values)
            if len(rows) < limit + len(without):
                total = sum(row[0] not in without for row in rows)
            else:
                total = self._count(read, statuses, cwd, project) - self._count_of(
                    read, without, statuses, cwd, project
                )
        rows = [row for row in rows if row[0] not in without][:limit]
        return [_info_decoder.decode(row[1]) for row in rows], total

    def jobs(self, job_ids: Sequence[str]) -> list[JobInfo]:
        """Return what is known about these jobs, without those it does not know. Safe in any thread."""
        rows = [self._read_aside("SELECT info FROM jobs WHERE job_id = ?", job_id) for job_id in job_ids]
        return [_info_decoder.decode(found[0][0]) for found in rows if found]

    def counts_by_status(self) -> dict[str, int]:
        """Return how many jobs there are of each status."""
        rows = self._read("SELECT status, jobs FROM counts WHERE kind = '' AND value = '' AND jobs > 0")
        return {str(status): int(jobs) for status, jobs in rows}

    def idempotent(self, key: str) -> tuple[str, str] | None:
        """Return (job id, digest of the request) of the job that was made with an idempotency key."""
        rows = self._read(
            "SELECT job_id, request_digest FROM jobs WHERE idempotency_key = ? AND idempotency_key <> ''", key
        )
        return (str(rows[0][0]), str(rows[0][1])) if rows else None

    def beyond(
        self, limits: Limits, now_ns: int, skip: Container[str] = (), most: int | None = None
    ) -> tuple[list[Ended], int]:
        """Return jobs that `limits` do not keep, oldest first, and how much output is kept of all of them.

        Costs time in proportion to them. Safe in any thread.

        Args:
            limits: what is kept.
            now_ns: unix time.
            skip: ids of jobs that must stay, as something of them still runs.
            most: no more than so many.
        """
        with self._lock, translated(self._database):
            execute = self._database.writer.execute
            (count, size) = execute(
                "SELECT total(jobs), total(kept_bytes) FROM counts WHERE kind = '' AND value = ''"
            ).fetchone()
            rows = execute("SELECT job_id, ended_ns, kept_bytes FROM jobs ORDER BY ended_ns")
            oldest_first = (Ended(*row) for row in rows if row[0] not in skip)
            found = list(islice(beyond(limits, oldest_first, int(count), int(size), now_ns), most))
            rows.close()
        return found, sum(job.kept_bytes for job in found)

    def events(self, after: int, limit: int, job_id: str | None = None) -> list[Event]:
        """Return up to `limit` events after sequence number `after`, of one job or of all. Safe in any thread."""
        of_job, values = ("", [after, limit]) if job_id is None else ("job_id = ? AND", [job_id, after, limit])
        query = f"SELECT event FROM events WHERE {of_job} seq > ? ORDER BY seq LIMIT ?"
        return [_event_decoder.decode(row[0]) for row in self._read_aside(query, *values)]

    def event_types(self, job_ids: Sequence[str]) -> dict[str, set[EventType]]:
        """Return which events there are of each of these jobs; nothing for one without."""
        found: dict[str, set[EventType]] = {}
        for marks, batch in _batches(job_ids):
            for job_id, event in self._read(f"SELECT job_id, event FROM events WHERE job_id IN ({marks})", *batch):
                found.setdefault(str(job_id), set()).add(_event_decoder.decode(event).type)
        return found

    def last_event_seq(self) -> int:
        """Return the number after which the next event is numbered. It only grows.

        After a crash numbers are left out: subscribers may have seen events that were not stored any more, and the same
        number must not mean another event. After the loss of the file they go on from the clock, in milliseconds.
        """
        rows = self._read("SELECT max(seq) FROM events")
        return max(int(rows[0][0] or 0), self._first_seq)

    def oldest_event_seq(self) -> int:
        """Return the number of the oldest event that is kept; 0 when there is none."""
        return int(self._read("SELECT min(seq) FROM events")[0][0] or 0)

    # --- writing ----------------------------------------------------------------------------------------------------

    def write(self, jobs: Sequence[JobRow], events: Sequence[Event]) -> None:
        """Store jobs and events in one commit. Writing a job again replaces it."""
        with self._lock:
            self._renew()
            with self._database.transaction() as connection:
                connection.executemany("DELETE FROM jobs WHERE job_id = ?", [(row.info.job_id,) for row in jobs])
                connection.executemany(_INSERT_JOB, map(_columns, jobs))
                connection.executemany(
                    "INSERT OR REPLACE INTO events VALUES (?, ?, ?)",
                    [(event.seq, event.job_id, _encode(event)) for event in events],
                )
                self._events_since_prune += len(events)
                if self._events_since_prune >= _PRUNE_EVERY:
                    connection.execute(
                        "DELETE FROM events WHERE seq <= (SELECT max(seq) FROM events) - ?", (MAX_EVENTS,)
                    )
                    self._events_since_prune = 0

    def remove(self, job_ids: Sequence[str]) -> None:
        """Forget jobs; those it does not know are no error."""
        with self._lock, self._database.transaction() as connection:
            connection.executemany("DELETE FROM jobs WHERE job_id = ?", [(job_id,) for job_id in job_ids])

    def rebuild(
        self,
        jobs_dir: str,
        skip: Container[str],
        before_ns: int | None = None,
        cancelled: Callable[[], bool] = lambda: False,
    ) -> int:
        """Read every ended job's directory into the index, and mark it complete; return how many were not in it.

        Args:
            jobs_dir: where the job directories are.
            skip: ids of jobs that are not over; the daemon has them.
            before_ns: unix time at which `skip` was complete: a job submitted later is the daemon's; default: now.
            cancelled: asked between batches; the next start begins again.
        """
        rows = ended_jobs(jobs_dir, skip, time.time_ns() if before_ns is None else before_ns)
        count = 0
        while batch := list(islice(rows, _REBUILD_BATCH)):
            if cancelled():
                return count
            with self._lock:
                self._renew()
                with self._database.transaction() as connection:
                    # what was written meanwhile is newer than what we read
                    added = connection.executemany(_INSERT_JOB + " ON CONFLICT DO NOTHING", map(_columns, batch))
                    count += added.rowcount
        with self._lock, self._database.transaction():
            self._database.set_fact("complete", "yes")
            self.needs_rebuild = False
        return count

    def _renew(self) -> None:
        if self._database.renew():
            self.needs_rebuild = True

    # --- details ----------------------------------------------------------------------------------------------------

    def _read(self, query: str, *values: Any) -> list[Any]:
        """Return the rows of a query, on the event loop."""
        with translated(self._database):
            return self._database.reader().execute(query, values).fetchall()

    def _read_aside(self, query: str, *values: Any) -> list[Any]:
        """Return the rows of a query, in any thread."""
        with self._lock, translated(self._database):
            return self._database.writer.execute(query, values).fetchall()

    @contextlib.contextmanager
    def _snapshot(self, *, aside: bool) -> Iterator[_Read]:
        """Give what reads one state of the history, however often; with `aside` in any thread."""
        if aside:
            with self._lock, translated(self._database):  # nobody writes
                yield lambda query, *values: self._database.writer.execute(query, values).fetchall()
            return
        with translated(self._database):
            reader = self._database.reader()
            reader.execute("BEGIN")
            try:
                yield lambda query, *values: reader.execute(query, values).fetchall()
            finally:
                reader.rollback()

    def _count(self, read: _Read, statuses: Sequence[JobStatus], cwd: str, project: str) -> int:
        """Return how many jobs there are, from the counters where one filter is given at most."""
        wanted = [status.value for status in statuses or _FINAL]
        marks = ", ".join("?" * len(wanted))
        if cwd and project:
            query = f"SELECT count(*) FROM jobs WHERE cwd = ? AND project = ? AND status IN ({marks})"
            return int(read(query, cwd, project, *wanted)[0][0])
        kind = "cwd" if cwd else "project" if project else ""
        query = f"SELECT total(jobs) FROM counts WHERE kind = ? AND value = ? AND status IN ({marks})"
        return int(read(query, kind, cwd or project, *wanted)[0][0])

    def _count_of(self, read: _Read, job_ids: Set[str], statuses: Sequence[JobStatus], cwd: str, project: str) -> int:
        """Return how many of these jobs it knows that pass all filters."""
        found = 0
        for marks, batch in _batches(list(job_ids)):
            for row in read(f"SELECT status, cwd, project FROM jobs WHERE job_id IN ({marks})", *batch):
                found += row[0] in (statuses or _FINAL) and cwd in ("", row[1]) and project in ("", row[2])
        return found

    def _first_free_seq(self, is_first: bool) -> int:
        """Return the number after which numbers have never been given to an event."""
        database = self._database
        newest = int(database.writer.execute("SELECT max(seq) FROM events").fetchone()[0] or 0)
        if database.is_new:
            return 0 if is_first and not database.warnings else time.time_ns() // 1_000_000
        return newest if database.was_clean else newest + _EVENTS_SKIPPED


def _batches(values: Sequence[str]) -> Iterator[tuple[str, Sequence[str]]]:
    """Yield as many values as one query may have, with the placeholders for them."""
    for start in range(0, len(values), _MOST_VARIABLES):
        batch = values[start : start + _MOST_VARIABLES]
        yield ", ".join("?" * len(batch)), batch


_INSERT_JOB = (
    "INSERT INTO jobs (job_id, name, status, cwd, project, submitted_ns, ended_ns, kept_bytes, idempotency_key,"
    " request_digest, info) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)


def _columns(row: JobRow) -> tuple[Any, ...]:
    info = row.info
    return (
        info.job_id,
        info.name,
        info.status.value,
        info.cwd,
        info.client.project if info.client else "",
        row.submitted_ns,
        row.ended_ns,
        info.kept_bytes,
        row.idempotency_key,
        row.request_digest,
        _encode(info),
    )


def newest_query(limit: int, statuses: Sequence[JobStatus], cwd: str, project: str) -> tuple[str, list[Any]]:
    """Return the query for id and info of the newest jobs that pass all filters, and its values.

    One sub-query for each status, so that each walks an index from its newest end and stops at the limit; a list of
    statuses in one query would sort all that match.
    """
    if not (statuses or cwd or project):
        return "SELECT job_id, info FROM jobs ORDER BY submitted_ns DESC LIMIT ?", [limit]
    filters = [(column, value) for column, value in (("cwd", cwd), ("project", project)) if value]
    where = " AND ".join(f"{column} = ?" for column in [*(column for column, _ in filters), "status"])
    if project:
        where += " AND project <> ''"  # which lets the partial index be used
    part = (
        f"SELECT * FROM (SELECT job_id, info, submitted_ns FROM jobs WHERE {where} ORDER BY submitted_ns DESC LIMIT ?)"
    )
    wanted = list(dict.fromkeys(statuses)) or _FINAL
    values = [value for status in wanted for value in (*(value for _, value in filters), status.value, limit)]
    query = f"SELECT job_id, info FROM ({' UNION ALL '.join([part] * len(wanted))}) ORDER BY submitted_ns DESC LIMIT ?"
    return query, [*values, limit]

-- The index of ended jobs and of events. Everything in it but the events can be rebuilt from the job directories.
CREATE TABLE jobs (
    number INTEGER PRIMARY KEY,
    job_id TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL,
    status TEXT NOT NULL,
    cwd TEXT NOT NULL,
    project TEXT NOT NULL,
    submitted_ns INTEGER NOT NULL,
    ended_ns INTEGER NOT NULL,
    kept_bytes INTEGER NOT NULL,
    idempotency_key TEXT NOT NULL,
    request_digest TEXT NOT NULL,
    info BLOB NOT NULL          -- a msgpack protocol.JobInfo
);
CREATE INDEX jobs_submitted ON jobs (submitted_ns);
CREATE INDEX jobs_ended ON jobs (ended_ns);
CREATE INDEX jobs_status ON jobs (status, submitted_ns);
CREATE INDEX jobs_project ON jobs (project, status, submitted_ns) WHERE project <> '';
CREATE INDEX jobs_cwd ON jobs (cwd, status, submitted_ns);
CREATE INDEX jobs_name ON jobs (name, submitted_ns) WHERE name <> '';
CREATE INDEX jobs_idempotency ON jobs (idempotency_key) WHERE idempotency_key <> '';

-- How many jobs there are: of each status, and of each status in each project and directory. Counting 100,000 rows for
-- each list would cost milliseconds. `kind` is '' (all jobs; `value` is then ''), 'project' or 'cwd'.
CREATE TABLE counts (
    kind TEXT NOT NULL,
    value TEXT NOT NULL,
    status TEXT NOT NULL,
    jobs INTEGER NOT NULL,
    kept_bytes INTEGER NOT NULL,
    PRIMARY KEY (kind, value, status)
) WITHOUT ROWID;
CREATE TRIGGER jobs_inserted AFTER INSERT ON jobs BEGIN
    INSERT INTO counts VALUES
        ('', '', new.status, 1, new.kept_bytes),
        ('project', new.project, new.status, 1, new.kept_bytes),
        ('cwd', new.cwd, new.status, 1, new.kept_bytes)
    ON CONFLICT DO UPDATE SET jobs = jobs + 1, kept_bytes = kept_bytes + excluded.kept_bytes;
END;
CREATE TRIGGER jobs_deleted AFTER DELETE ON jobs BEGIN
    UPDATE counts SET jobs = jobs - 1, kept_bytes = kept_bytes - old.kept_bytes
    WHERE status = old.status
        AND (kind, value) IN (VALUES ('', ''), ('project', old.project), ('cwd', old.cwd));
    DELETE FROM counts WHERE jobs = 0 AND status = old.status
        AND (kind, value) IN (VALUES ('project', old.project), ('cwd', old.cwd));
END;

CREATE TABLE events (
    seq INTEGER PRIMARY KEY,
    job_id TEXT NOT NULL,
    event BLOB NOT NULL         -- a msgpack protocol.Event
);
CREATE INDEX events_job ON events (job_id, seq);

-- What the history knows about itself: see store/database.py and store/history.py.
CREATE TABLE facts (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;

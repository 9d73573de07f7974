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
CREATE INDEX jobs_ended ON jobs (ended_ns, kept_bytes);
CREATE INDEX jobs_status ON jobs (status, submitted_ns);
CREATE INDEX jobs_project ON jobs (project, submitted_ns);
CREATE INDEX jobs_cwd ON jobs (cwd, submitted_ns);
CREATE INDEX jobs_name ON jobs (name, submitted_ns) WHERE name <> '';
CREATE INDEX jobs_idempotency ON jobs (idempotency_key) WHERE idempotency_key <> '';

-- How many jobs there are of each status: counting 100,000 rows for each list would cost milliseconds.
CREATE TABLE counts (status TEXT PRIMARY KEY, jobs INTEGER NOT NULL) WITHOUT ROWID;
CREATE TRIGGER jobs_inserted AFTER INSERT ON jobs BEGIN
    INSERT INTO counts VALUES (new.status, 1) ON CONFLICT (status) DO UPDATE SET jobs = jobs + 1;
END;
CREATE TRIGGER jobs_deleted AFTER DELETE ON jobs BEGIN
    UPDATE counts SET jobs = jobs - 1 WHERE status = old.status;
END;
CREATE TRIGGER jobs_updated AFTER UPDATE OF status ON jobs WHEN new.status <> old.status BEGIN
    UPDATE counts SET jobs = jobs - 1 WHERE status = old.status;
    INSERT INTO counts VALUES (new.status, 1) ON CONFLICT (status) DO UPDATE SET jobs = jobs + 1;
END;

CREATE TABLE events (
    seq INTEGER PRIMARY KEY,
    job_id TEXT NOT NULL,
    event BLOB NOT NULL         -- a msgpack protocol.Event
);
CREATE INDEX events_job ON events (job_id, seq);

CREATE TABLE facts (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;

-- Instants are microseconds since the epoch, UTC. A null plan_at takes a job out of the due index: paused, ended, or busy.
CREATE TABLE jobs(
  id INTEGER PRIMARY KEY,                 -- the incarnation: a replaced job is another row
  namespace TEXT NOT NULL,
  owner TEXT NOT NULL,                    -- 'app/x', 'actor/T/id', 'client/c', 'file/…', 'api'
  name TEXT NOT NULL,
  revision INTEGER NOT NULL DEFAULT 1,
  state TEXT NOT NULL DEFAULT 'active',   -- active paused parked | completed deleted replaced
  definition TEXT NOT NULL,
  data BLOB,                              -- more than 1 KiB lies in payloads, so that moving a job on stays cheap
  queue TEXT NOT NULL,
  max_running INTEGER NOT NULL DEFAULT 1,
  priority INTEGER NOT NULL DEFAULT 0,
  pause_after INTEGER,                    -- failures in a row after which the job pauses itself
  delay_us INTEGER NOT NULL DEFAULT 0,    -- the job's share of its jitter: plan_at = next_due_at + delay_us
  next_due_at INTEGER,                    -- the truth
  plan_at INTEGER,                        -- the index
  busy_at INTEGER,
  free_at INTEGER,
  seq INTEGER NOT NULL DEFAULT 0,
  active INTEGER NOT NULL DEFAULT 0,      -- runs waiting, claimed or open
  succeeded INTEGER NOT NULL DEFAULT 0,
  failed INTEGER NOT NULL DEFAULT 0,
  not_run INTEGER NOT NULL DEFAULT 0,
  streak INTEGER NOT NULL DEFAULT 0,      -- failures in a row
  pruned INTEGER NOT NULL DEFAULT 0,      -- instants whose rows are gone: seq = theirs + those of the rows that are there
  last_run TEXT,
  note TEXT,
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL,
  ended_at INTEGER
) STRICT;
CREATE UNIQUE INDEX jobs_key ON jobs(namespace, owner, name) WHERE ended_at IS NULL;
CREATE INDEX jobs_plan ON jobs(queue, priority, plan_at) WHERE plan_at IS NOT NULL;
CREATE INDEX jobs_past ON jobs(namespace, owner, name) WHERE ended_at IS NOT NULL;
CREATE INDEX jobs_ended ON jobs(ended_at) WHERE ended_at IS NOT NULL;

CREATE TABLE payloads(job_id INTEGER PRIMARY KEY, data BLOB NOT NULL) STRICT;

CREATE TABLE runs(
  id BLOB PRIMARY KEY,
  job_id INTEGER NOT NULL,
  seq INTEGER,                            -- null unless the schedule caused it; the last one, where a row stands for many instants
  cause TEXT NOT NULL,                    -- schedule manual backfill retry
  retry_of BLOB,                          -- the failed run that this one does again
  scheduled_for INTEGER NOT NULL,
  scheduled_to INTEGER,
  instants INTEGER NOT NULL DEFAULT 1,
  state TEXT NOT NULL,                    -- blocked waiting claimed open | succeeded failed cancelled superseded skipped missed
  reason TEXT,
  queue TEXT NOT NULL,
  priority INTEGER NOT NULL DEFAULT 0,
  run_at INTEGER,                         -- when the current attempt was due
  attempt INTEGER NOT NULL DEFAULT 0,
  fence INTEGER NOT NULL DEFAULT 0,
  revision INTEGER NOT NULL DEFAULT 1,    -- of the job, at the last claim
  claimed_by INTEGER,
  lease_until INTEGER,
  input BLOB,
  errors TEXT,
  result BLOB,
  created_at INTEGER NOT NULL,
  started_at INTEGER,
  ended_at INTEGER
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX runs_seq ON runs(job_id, seq) WHERE seq IS NOT NULL;
CREATE INDEX runs_job ON runs(job_id, id);
CREATE INDEX runs_ready ON runs(queue, priority, run_at) WHERE state = 'waiting';
CREATE INDEX runs_claimed ON runs(claimed_by) WHERE state = 'claimed';
CREATE INDEX runs_until ON runs(lease_until) WHERE lease_until IS NOT NULL;
CREATE INDEX runs_blocked ON runs(job_id, created_at, id) WHERE state = 'blocked';
CREATE INDEX runs_ended ON runs(ended_at) WHERE ended_at IS NOT NULL;

CREATE TABLE nodes(
  id INTEGER PRIMARY KEY,
  label TEXT NOT NULL,
  address TEXT,
  queues TEXT NOT NULL,
  started_at INTEGER NOT NULL,
  boot_id TEXT NOT NULL,
  lease_until INTEGER NOT NULL            -- microseconds since that boot; once dead, minus the instant of that finding
) STRICT;

CREATE TABLE records(
  kind TEXT NOT NULL,
  key TEXT NOT NULL,
  value TEXT NOT NULL,
  revision INTEGER NOT NULL DEFAULT 1,
  expires_at INTEGER,
  PRIMARY KEY(kind, key)
) STRICT, WITHOUT ROWID;

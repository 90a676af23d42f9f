-- Of what passed in the last pause nothing is run; what was due before it still may be.
ALTER TABLE jobs ADD COLUMN paused_at INTEGER;
ALTER TABLE jobs ADD COLUMN resumed_at INTEGER;
-- Busy times before the last, with instants that are still to be planned: [[busy_at, free_at], …].
ALTER TABLE jobs ADD COLUMN busy_before TEXT;
-- Runs that were asked for beside the schedule.
ALTER TABLE jobs ADD COLUMN asked INTEGER NOT NULL DEFAULT 0;
UPDATE jobs SET asked = r.asked FROM (SELECT job_id, count(*) asked FROM runs WHERE seq IS NULL GROUP BY job_id) r WHERE r.job_id = jobs.id;

-- Definitions of before an edit, of which there are runs still: a run is told with what it was made of.
CREATE TABLE revisions(
  job_id INTEGER NOT NULL,
  revision INTEGER NOT NULL,
  definition TEXT NOT NULL,
  data BLOB,
  queue TEXT NOT NULL,
  priority INTEGER NOT NULL,
  pause_after INTEGER,
  PRIMARY KEY(job_id, revision)
) STRICT, WITHOUT ROWID;

-- Rows of what did not run have a number of their own that is kept.
CREATE INDEX runs_left_out ON runs(job_id, id) WHERE state IN ('skipped', 'missed');

-- The tables of the AITP document again: a task is what its schedule was when it was made, runs that were asked for are runs,
-- and instants that became no run are none.
DROP VIEW scheduled_tasks;
DROP VIEW tasks;
DROP VIEW schedule_executions;

CREATE VIEW scheduled_tasks AS
SELECT j.name || printf('%08x', j.id) AS schedule_id,
       substr(j.owner, length('client/') + 1) AS client_id,
       j.definition ->> '$.target[2].task_type' AS task_type,
       j.definition ->> '$.target[2].capability' AS capability_required,
       CAST(coalesce(j.data, (SELECT p.data FROM payloads p WHERE p.job_id = j.id)) AS TEXT) AS input_data,
       j.priority AS priority,
       j.definition ->> '$.target[2].cron_expression' AS cron_expression,
       strftime('%Y-%m-%dT%H:%M:%SZ', iif(j.state = 'active', j.next_due_at, NULL) / 1000000, 'unixepoch') AS next_run_at,
       strftime('%Y-%m-%dT%H:%M:%SZ', (SELECT max(r.created_at) FROM runs r
                                        WHERE r.job_id = j.id AND (r.seq IS NULL OR r.fence > 0) AND r.state NOT IN ('skipped', 'missed'))
                                      / 1000000, 'unixepoch') AS last_run_at,
       CASE WHEN j.state = 'active' THEN 'ACTIVE' WHEN j.state = 'completed' THEN 'COMPLETED' WHEN j.state = 'deleted' THEN 'DELETED'
            WHEN j.state = 'parked' OR j.note LIKE 'paused itself%' THEN 'FAILED' ELSE 'PAUSED' END AS status,
       j.seq - j.not_run + j.asked AS total_runs,
       j.failed AS failed_runs,
       strftime('%Y-%m-%dT%H:%M:%SZ', j.created_at / 1000000, 'unixepoch') AS created_at,
       strftime('%Y-%m-%dT%H:%M:%SZ', j.updated_at / 1000000, 'unixepoch') AS updated_at
  FROM jobs j
 WHERE j.definition ->> '$.target[0]' = 'task' AND j.definition ->> '$.target[2].direct' IS NULL AND j.state <> 'replaced';

CREATE VIEW tasks AS
SELECT 'task-' || lower(hex(r.id)) AS task_id,
       substr(j.owner, length('client/') + 1) AS client_id,
       coalesce(v.definition, j.definition) ->> '$.target[2].task_type' AS task_type,
       coalesce(v.definition, j.definition) ->> '$.target[2].capability' AS capability_required,
       CAST(CASE WHEN v.job_id IS NOT NULL THEN v.data
                 ELSE coalesce(j.data, (SELECT p.data FROM payloads p WHERE p.job_id = j.id)) END AS TEXT) AS input_data,
       r.priority AS priority,
       CASE r.state WHEN 'claimed' THEN iif(r.holder IS NULL, 'PENDING', 'ASSIGNED') WHEN 'open' THEN 'ACTIVE'
                    WHEN 'succeeded' THEN 'COMPLETED' WHEN 'failed' THEN 'FAILED'
                    WHEN 'waiting' THEN 'PENDING' WHEN 'blocked' THEN 'PENDING' ELSE 'CANCELLED' END AS status,
       r.holder AS assigned_agent_id,
       CAST(r.result AS TEXT) AS result_data,
       CASE WHEN r.state IN ('succeeded', 'open', 'claimed') THEN NULL
            WHEN r.state IN ('cancelled', 'superseded') THEN coalesce(r.reason, r.errors ->> '$[#-1].error')
            ELSE coalesce(r.errors ->> '$[#-1].error', r.reason) END AS error_message,
       max(0, r.attempt - 1) AS retry_count,
       strftime('%Y-%m-%dT%H:%M:%SZ', r.created_at / 1000000, 'unixepoch') AS created_at,
       strftime('%Y-%m-%dT%H:%M:%SZ', r.started_at / 1000000, 'unixepoch') AS started_at,
       strftime('%Y-%m-%dT%H:%M:%SZ', r.ended_at / 1000000, 'unixepoch') AS completed_at
  FROM runs r JOIN jobs j ON j.id = r.job_id
  LEFT JOIN revisions v ON v.job_id = r.job_id
        AND v.revision = (SELECT min(o.revision) FROM revisions o WHERE o.job_id = r.job_id AND o.revision >= r.revision)
 WHERE j.definition ->> '$.target[0]' = 'task' AND (r.seq IS NULL OR r.fence > 0) AND r.state NOT IN ('skipped', 'missed');

CREATE VIEW schedule_executions AS
SELECT 'exec-' || lower(hex(r.id)) AS execution_id,
       j.name || printf('%08x', j.id) AS schedule_id,
       'task-' || lower(hex(r.id)) AS task_id,
       strftime('%Y-%m-%dT%H:%M:%SZ', r.created_at / 1000000, 'unixepoch') AS executed_at,
       CASE WHEN r.ended_at IS NULL THEN 'PENDING' WHEN r.state = 'succeeded' THEN 'COMPLETED' ELSE 'FAILED' END AS status,
       CAST(r.result AS TEXT) AS result_data,
       CASE WHEN r.ended_at IS NULL OR r.state = 'succeeded' THEN NULL
            WHEN r.state = 'failed' THEN coalesce(r.errors ->> '$[#-1].error', r.reason, r.state)
            ELSE coalesce(r.reason, r.errors ->> '$[#-1].error', r.state) END AS error_message
  FROM runs r JOIN jobs j ON j.id = r.job_id
 WHERE j.definition ->> '$.target[0]' = 'task' AND j.definition ->> '$.target[2].direct' IS NULL
   AND (r.seq IS NULL OR r.fence > 0) AND r.state NOT IN ('skipped', 'missed');

-- Runs that no node performs are somebody's: who takes them from a queue of agents.
ALTER TABLE runs ADD COLUMN holder TEXT;
-- What still waits then is cancelled.
ALTER TABLE runs ADD COLUMN expires_at INTEGER;
CREATE INDEX runs_expiring ON runs(expires_at) WHERE expires_at IS NOT NULL AND state = 'waiting';

-- The tables of the AITP document, by its names and columns (its schedules, executions and tasks are jobs and runs).
CREATE VIEW agents AS
SELECT substr(key, instr(key, '/') + 1) AS agent_id,
       value ->> '$.display_name' AS display_name,
       value ->> '$.endpoint' AS endpoint,
       value ->> '$.tags' AS tags,
       value ->> '$.status' AS status,
       value ->> '$.last_heartbeat' AS last_heartbeat,
       value ->> '$.created_at' AS created_at
  FROM records WHERE kind = 'agent';

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
                                        WHERE r.job_id = j.id AND r.instants = 1 AND r.state NOT IN ('skipped', 'missed')) / 1000000,
                'unixepoch') AS last_run_at,
       CASE WHEN j.state = 'active' THEN 'ACTIVE' WHEN j.state = 'completed' THEN 'COMPLETED' WHEN j.state = 'deleted' THEN 'DELETED'
            WHEN j.state = 'parked' OR j.note LIKE 'paused itself%' THEN 'FAILED' ELSE 'PAUSED' END AS status,
       j.seq - j.not_run AS total_runs,
       j.failed AS failed_runs,
       strftime('%Y-%m-%dT%H:%M:%SZ', j.created_at / 1000000, 'unixepoch') AS created_at,
       strftime('%Y-%m-%dT%H:%M:%SZ', j.updated_at / 1000000, 'unixepoch') AS updated_at
  FROM jobs j
 WHERE j.definition ->> '$.target[0]' = 'task' AND j.definition ->> '$.target[2].direct' IS NULL AND j.state <> 'replaced';

CREATE VIEW tasks AS
SELECT 'task-' || lower(hex(r.id)) AS task_id,
       substr(j.owner, length('client/') + 1) AS client_id,
       j.definition ->> '$.target[2].task_type' AS task_type,
       j.definition ->> '$.target[2].capability' AS capability_required,
       CAST(coalesce(j.data, (SELECT p.data FROM payloads p WHERE p.job_id = j.id)) AS TEXT) AS input_data,
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
 WHERE j.definition ->> '$.target[0]' = 'task' AND r.state NOT IN ('skipped', 'missed');

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
   AND r.state NOT IN ('skipped', 'missed');

-- Every statement has a name and one sentence. What is done to many rows is one statement over json_each(:items).

-- end_named --
-- Ends the unended rows of these keys, to make room for what replaces them.
UPDATE jobs SET state = 'replaced', plan_at = NULL, updated_at = :now, ended_at = :now
 WHERE id IN (SELECT j.id FROM json_each(:items) d CROSS JOIN jobs j
               WHERE j.namespace = d.value->>'namespace' AND j.owner = d.value->>'owner' AND j.name = d.value->>'name'
                 AND j.ended_at IS NULL)
RETURNING id, active

-- insert_jobs --
-- Stores new jobs; a name that is taken is left out.
INSERT INTO jobs(namespace, owner, name, definition, data, queue, max_running, next_due_at, plan_at, created_at, updated_at)
SELECT value->>'namespace', value->>'owner', value->>'name', value->>'definition', unhex(value->>'data'), value->>'queue',
       value->>'max_running', value->>'next', value->>'next', value->>'now', value->>'now'
  FROM json_each(:items) WHERE true
ON CONFLICT(namespace, owner, name) WHERE ended_at IS NULL DO NOTHING
RETURNING id, namespace, owner, name

-- insert_payload --
-- Keeps data of more than 1 KiB.
INSERT OR REPLACE INTO payloads(job_id, data) VALUES(:id, :data)

-- delete_payload --
-- Forgets data that an edit made small.
DELETE FROM payloads WHERE job_id = :id

-- complete_unborn --
-- Ends jobs of which no instant is ever due.
UPDATE jobs SET state = 'completed', ended_at = created_at WHERE id IN (SELECT value FROM json_each(:ids))

-- edit_job --
-- Changes the definition; the row, its number of occurrences and its runs go on.
UPDATE jobs SET definition = :definition, data = :data, queue = :queue, max_running = :max_running, next_due_at = :next,
       plan_at = CASE WHEN state = 'active' AND active < :max_running THEN :next END, revision = revision + 1, updated_at = :now
 WHERE id = :id

-- stop_runs --
-- Ends the runs of these jobs that nobody performs now.
UPDATE runs SET state = :state, reason = :reason, ended_at = :now, run_at = NULL, lease_until = NULL
 WHERE job_id IN (SELECT value FROM json_each(:ids)) AND state IN ('waiting', 'blocked')
RETURNING job_id

-- recount_active --
-- Counts the runs of these jobs again that wait or are in flight.
UPDATE jobs SET active = (SELECT count(*) FROM runs r WHERE r.job_id = jobs.id AND r.state IN ('waiting', 'claimed', 'open'))
 WHERE id IN (SELECT value FROM json_each(:ids))

-- end_jobs --
-- Ends unended jobs: by namespace, owner, name or prefix, each where given.
UPDATE jobs SET state = :state, plan_at = NULL, updated_at = :now, ended_at = :now
 WHERE ended_at IS NULL AND (:namespace IS NULL OR namespace = :namespace) AND (:owner IS NULL OR owner = :owner)
   AND (:name IS NULL OR name = :name) AND (:low IS NULL OR name >= :low) AND (:high IS NULL OR name < :high)
RETURNING id, active

-- job_columns --
-- What a job record is made of.
SELECT id, namespace, owner, name, revision, state, definition,
       coalesce(data, (SELECT p.data FROM payloads p WHERE p.job_id = jobs.id)), queue, max_running, next_due_at, seq, active,
       succeeded, failed, not_run, busy_at, free_at, last_run, created_at, ended_at FROM jobs

-- set_state --
-- Pauses or resumes.
UPDATE jobs SET state = :state, seq = :seq, next_due_at = :next, not_run = not_run + :gone, updated_at = :now,
       plan_at = CASE WHEN :state = 'active' AND active < max_running THEN :next END
 WHERE id = :id

-- end_if_over --
-- Completes an active job of which nothing is due or running any more.
UPDATE jobs SET state = 'completed', ended_at = :now, plan_at = NULL
 WHERE id = :id AND state = 'active' AND next_due_at IS NULL AND active = 0 AND ended_at IS NULL

-- next_of_queues --
-- For each queue: when its first job and its first waiting run are due.
SELECT value, (SELECT plan_at FROM jobs WHERE queue = value AND plan_at IS NOT NULL ORDER BY plan_at LIMIT 1),
       (SELECT run_at FROM runs WHERE queue = value AND state = 'waiting' ORDER BY run_at LIMIT 1)
  FROM json_each(:queues)

-- due_jobs --
-- The jobs of a queue that are due in a stretch of time, oldest first.
SELECT id, namespace, owner, name, revision, state, definition,
       coalesce(data, (SELECT p.data FROM payloads p WHERE p.job_id = jobs.id)), queue, max_running, next_due_at, seq, active,
       succeeded, failed, not_run, busy_at, free_at, last_run, created_at, ended_at
  FROM jobs WHERE queue = :queue AND plan_at > :low AND plan_at <= :high ORDER BY plan_at LIMIT :room

-- ready_runs --
-- The waiting runs of a queue that are due in a stretch of time, oldest first.
SELECT id FROM runs WHERE queue = :queue AND state = 'waiting' AND run_at > :low AND run_at <= :high ORDER BY run_at LIMIT :room

-- claim_ready --
-- Takes waiting runs, unless somebody else did.
UPDATE runs SET state = 'claimed', claimed_by = :node, fence = fence + 1, attempt = attempt + 1, lease_until = NULL,
       revision = (SELECT j.revision FROM jobs j WHERE j.id = job_id), started_at = coalesce(started_at, :now)
 WHERE id IN (SELECT unhex(value) FROM json_each(:ids)) AND state = 'waiting'
RETURNING {run_columns}

-- move_on --
-- Moves planned jobs to their next occurrence, each only if it still stands where it was planned from.
UPDATE jobs SET seq = d.value->>'seq', next_due_at = d.value->>'next', not_run = not_run + (d.value->>'gone'),
       active = active + (d.value->>'made'),
       plan_at = CASE WHEN active + (d.value->>'made') < max_running THEN d.value->>'next' END,
       busy_at = CASE WHEN active + (d.value->>'made') < max_running THEN busy_at ELSE :now END,
       state = CASE WHEN d.value->>'next' IS NULL AND active + (d.value->>'made') = 0 THEN 'completed' ELSE state END,
       ended_at = CASE WHEN d.value->>'next' IS NULL AND active + (d.value->>'made') = 0 THEN :now ELSE ended_at END
  FROM json_each(:plans) d
 WHERE jobs.id = d.value->>'id' AND jobs.seq = d.value->>'was' AND jobs.revision = d.value->>'revision'
   AND jobs.state = 'active' AND jobs.plan_at IS NOT NULL
RETURNING jobs.id

-- insert_runs --
-- Rows of runs, and of instants that became none; those of one call are a microsecond apart, and so keep their order.
INSERT INTO runs(id, job_id, seq, cause, scheduled_for, scheduled_to, instants, state, reason, queue, run_at, attempt, fence,
                 revision, claimed_by, created_at, started_at, ended_at)
SELECT unhex(value->>'id'), value->>'job', value->>'seq', value->>'cause', value->>'for', value->>'to', value->>'instants',
       value->>'state', value->>'reason', value->>'queue', value->>'run_at', value->>'attempt', value->>'fence',
       value->>'revision', value->>'node', :now + coalesce(value->>'place', 0), value->>'started', value->>'ended'
  FROM json_each(:runs)

-- park --
-- Takes a job that can't be understood out of the due index.
UPDATE jobs SET state = 'parked', plan_at = NULL, note = :note, updated_at = :now WHERE id = :id AND state = 'active'

-- settle_runs --
-- Writes what became of runs whose fence still holds; one that should wait ends if its job has ended.
UPDATE runs SET
       state = CASE WHEN d.value->>'state' <> 'waiting' OR j.ended_at IS NULL THEN d.value->>'state'
                    WHEN j.state = 'replaced' THEN 'superseded' ELSE 'cancelled' END,
       reason = CASE WHEN d.value->>'state' = 'waiting' AND j.ended_at IS NOT NULL THEN j.state ELSE d.value->>'reason' END,
       ended_at = CASE WHEN d.value->>'state' = 'waiting' AND j.ended_at IS NOT NULL THEN :now ELSE d.value->>'ended' END,
       run_at = CASE WHEN j.ended_at IS NULL THEN d.value->>'run_at' END,
       attempt = d.value->>'attempt', claimed_by = NULL, lease_until = d.value->>'lease',
       errors = CASE WHEN d.value->>'error' IS NULL THEN runs.errors
                     ELSE json_insert(CASE WHEN json_array_length(runs.errors) < :most_errors THEN runs.errors
                                           WHEN runs.errors IS NULL THEN '[]'
                                           ELSE json_remove(runs.errors, '$[1]') END,
                                      '$[#]', json_object('attempt', runs.attempt, 'at', :now, 'error', d.value->>'error')) END
  FROM json_each(:items) d CROSS JOIN jobs j
 WHERE runs.id = unhex(d.value->>'id') AND runs.fence = d.value->>'fence' AND runs.state IN ('claimed', 'open') AND j.id = runs.job_id
RETURNING runs.id, runs.job_id, runs.state, runs.attempt, runs.scheduled_for, runs.run_at, runs.ended_at, runs.fence

-- promote --
-- Lets the oldest blocked runs of jobs that have room again wait for their claim.
UPDATE runs SET state = 'waiting', run_at = :now
 WHERE id IN (SELECT id FROM (SELECT r.id, o.value->>'ended' ended,
                                      row_number() OVER (PARTITION BY r.job_id ORDER BY r.created_at, r.id) place,
                                      j.max_running - j.active + (o.value->>'ended') room
                                 FROM json_each(:jobs) o CROSS JOIN runs r CROSS JOIN jobs j
                                WHERE r.job_id = o.value->>'job' AND r.state = 'blocked' AND j.id = r.job_id)
               WHERE place <= min(ended, room))
RETURNING job_id

-- release --
-- Counts ended runs on their jobs, and brings those that have room back into the due index, or to their end.
UPDATE jobs SET active = active - (o.value->>'ended') + (o.value->>'promoted'),
       succeeded = succeeded + (o.value->>'succeeded'), failed = failed + (o.value->>'failed'),
       streak = CASE WHEN (o.value->>'succeeded') > 0 THEN 0 ELSE streak + (o.value->>'failed') END,
       free_at = CASE WHEN active >= max_running THEN :now ELSE free_at END, last_run = coalesce(o.value->>'last', last_run),
       plan_at = CASE WHEN state = 'active' AND active - (o.value->>'ended') + (o.value->>'promoted') < max_running
                      THEN next_due_at ELSE plan_at END,
       ended_at = CASE WHEN state = 'active' AND next_due_at IS NULL AND active - (o.value->>'ended') + (o.value->>'promoted') = 0
                       THEN :now ELSE ended_at END,
       state = CASE WHEN state = 'active' AND next_due_at IS NULL AND active - (o.value->>'ended') + (o.value->>'promoted') = 0
                    THEN 'completed' ELSE state END
  FROM json_each(:jobs) o WHERE jobs.id = o.value->>'job'
RETURNING plan_at

-- occupy --
-- Counts runs that were added beside the schedule; a job without room leaves the due index.
UPDATE jobs SET active = active + :added,
       plan_at = CASE WHEN active + :added < max_running THEN plan_at END,
       busy_at = CASE WHEN active + :added < max_running THEN busy_at ELSE :now END
 WHERE id = :id

-- renew --
-- Makes a node known, or renews its lease if it still has one.
INSERT INTO nodes(id, label, queues, started_at, boot_id, lease_until) VALUES(:id, :label, :queues, :now, :boot_id, :lease_until)
ON CONFLICT(id) DO UPDATE SET queues = excluded.queues, lease_until = excluded.lease_until
 WHERE nodes.lease_until >= :boot AND nodes.boot_id = :boot_id
RETURNING id

-- peers --
-- The other nodes that live.
SELECT id, label, queues FROM nodes WHERE id <> :id AND lease_until >= :boot AND boot_id = :boot_id

-- bury --
-- Declares dead the nodes whose lease ran out or whose machine started anew.
UPDATE nodes SET lease_until = -:now WHERE lease_until >= 0 AND (lease_until < :boot OR boot_id <> :boot_id)

-- forget_nodes --
-- Forgets nodes that died long ago.
DELETE FROM nodes WHERE lease_until < 0 AND -lease_until < :before

-- runs_of_the_dead --
-- The claimed runs whose node does not live.
SELECT id FROM runs WHERE state = 'claimed'
   AND claimed_by NOT IN (SELECT id FROM nodes WHERE lease_until >= :boot AND boot_id = :boot_id)

-- runs_unanswered --
-- The runs whose own lease ran out: their answer did not come in time.
SELECT {run_columns} FROM runs WHERE lease_until < :now AND state IN ('claimed', 'open')

-- runs_of_node --
-- What a node holds.
SELECT id FROM runs WHERE state = 'claimed' AND claimed_by = :node

-- take_back --
-- Lets runs wait again; what may run only once has failed, what lost its job ends with it.
UPDATE runs SET fence = fence + 1, claimed_by = NULL, lease_until = NULL, state = t.state,
       reason = CASE t.state WHEN 'failed' THEN 'lost_with_node' WHEN 'waiting' THEN NULL ELSE t.job_state END,
       attempt = CASE t.state WHEN 'waiting' THEN attempt - :given_back ELSE attempt END,
       run_at = CASE t.state WHEN 'waiting' THEN :now END,
       ended_at = CASE t.state WHEN 'waiting' THEN NULL ELSE :now END
  FROM (SELECT r.id run_id, j.state job_state,
               CASE WHEN j.state = 'replaced' THEN 'superseded' WHEN j.ended_at IS NOT NULL THEN 'cancelled'
                    WHEN j.definition->>'at_most_once' THEN 'failed' ELSE 'waiting' END state
          FROM json_each(:ids) d CROSS JOIN runs r CROSS JOIN jobs j WHERE r.id = unhex(d.value) AND j.id = r.job_id) t
 WHERE runs.id = t.run_id
RETURNING runs.id, runs.job_id, runs.state, runs.attempt, runs.scheduled_for, runs.run_at, runs.ended_at

-- delete_node --
-- Forgets a node that left.
DELETE FROM nodes WHERE id = :node

-- get_run --
-- One run.
SELECT {run_columns} FROM runs WHERE id = :id

-- runs_of_job --
-- A job's runs, newest first.
SELECT {run_columns} FROM runs WHERE job_id = :job_id AND (:after IS NULL OR id < :after) ORDER BY id DESC LIMIT :limit

-- runs_of_key --
-- The runs of every incarnation of a job, newest first.
SELECT {run_columns} FROM runs
 WHERE job_id IN (SELECT id FROM jobs WHERE namespace = :namespace AND owner = :owner AND name = :name AND ended_at IS NULL
                  UNION ALL
                  SELECT id FROM jobs WHERE namespace = :namespace AND owner = :owner AND name = :name AND ended_at IS NOT NULL)
   AND (:after IS NULL OR id < :after) ORDER BY id DESC LIMIT :limit

-- recent_runs --
-- All runs, newest first.
SELECT {run_columns} FROM runs WHERE :after IS NULL OR id < :after ORDER BY id DESC LIMIT :limit

-- prune_old --
-- Removes ended runs by age, a few at a time.
DELETE FROM runs WHERE id IN (SELECT id FROM runs WHERE ended_at < :before ORDER BY ended_at LIMIT :most) RETURNING job_id

-- count_ended --
-- How many ended runs there are.
SELECT count(*) FROM runs WHERE ended_at IS NOT NULL

-- prune_oldest --
-- Removes the oldest ended runs beyond the number kept in all.
DELETE FROM runs WHERE id IN (SELECT id FROM runs WHERE ended_at IS NOT NULL ORDER BY ended_at LIMIT :most) RETURNING job_id

-- long_histories --
-- Jobs with more runs than are kept of one.
SELECT job_id FROM runs GROUP BY job_id HAVING count(*) > :keep LIMIT :most

-- prune_job --
-- Removes a job's oldest ended runs beyond the number kept of one.
DELETE FROM runs WHERE id IN (SELECT id FROM runs WHERE job_id = :job_id AND ended_at IS NOT NULL
                               ORDER BY id DESC LIMIT :most OFFSET :keep)
RETURNING job_id

-- never_run --
-- Ended jobs without runs, past the age.
SELECT id FROM jobs WHERE ended_at < :before AND NOT EXISTS(SELECT 1 FROM runs WHERE runs.job_id = jobs.id) LIMIT :most

-- prune_jobs --
-- Removes ended jobs of which no run is left.
DELETE FROM jobs WHERE id IN (SELECT value FROM json_each(:ids)) AND ended_at IS NOT NULL
   AND NOT EXISTS(SELECT 1 FROM runs WHERE runs.job_id = jobs.id)

-- prune_payloads --
-- Removes the data of jobs that are gone.
DELETE FROM payloads WHERE job_id IN (SELECT value FROM json_each(:ids)) AND NOT EXISTS(SELECT 1 FROM jobs WHERE id = job_id)

-- Every statement has a name and one sentence. What is done to many rows is one statement over jsonb_each(:items).

-- end_named --
-- Ends the unended rows of these keys, to make room for what replaces them; what of them is overdue is still to be told.
UPDATE jobs SET state = 'replaced', plan_at = NULL, updated_at = :now, ended_at = :now
 WHERE id IN (SELECT j.id FROM jsonb_each(:items) d CROSS JOIN jobs j
               WHERE j.namespace = d.value->>'namespace' AND j.owner = d.value->>'owner' AND j.name = d.value->>'name'
                 AND j.ended_at IS NULL)
RETURNING id, active, next_due_at <= :now

-- insert_jobs --
-- Stores new jobs; a name that is taken is left out.
INSERT INTO jobs(namespace, owner, name, definition, data, queue, max_running, priority, pause_after, delay_us, next_due_at,
                 plan_at, created_at, updated_at, active, asked)
SELECT value->>'namespace', value->>'owner', value->>'name', value->>'definition', unhex(value->>'data'), value->>'queue',
       value->>'max_running', value->>'priority', value->>'pause_after', value->>'delay', value->>'next',
       (value->>'next') + (value->>'delay'), value->>'now', value->>'now', value->>'active', value->>'active'
  FROM jsonb_each(:items) WHERE true
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
UPDATE jobs SET state = 'completed', ended_at = created_at WHERE id IN (SELECT value FROM jsonb_each(:ids))

-- edit_job --
-- Changes the definition; the row, its number of occurrences and its runs go on. One that could not be understood can be now.
UPDATE jobs SET definition = :definition, data = :data, queue = :queue, max_running = :max_running, priority = :priority,
       pause_after = :pause_after, delay_us = :delay, next_due_at = :next,
       plan_at = CASE WHEN state IN ('active', 'parked') AND active < :max_running THEN :next + :delay END,
       busy_at = CASE WHEN active >= max_running OR active < :max_running THEN busy_at
                      WHEN :next + :delay <= free_at AND busy_at <= free_at AND free_at <= :now
                           AND (:now - free_at <= :at_once OR json_array_length(busy_before) >= :most_busy) THEN busy_at
                      ELSE :now END,
       busy_before = CASE WHEN active < max_running AND active >= :max_running AND :next + :delay <= free_at
                               AND :now - free_at > :at_once AND busy_at <= free_at
                               AND (busy_before IS NULL OR json_array_length(busy_before) < :most_busy)
                          THEN json_insert(coalesce(busy_before, '[]'), '$[#]', json_array(busy_at, free_at))
                          ELSE busy_before END,
       free_at = iif(active >= max_running AND active < :max_running, :now, free_at),
       note = iif(state = 'parked', NULL, note), state = iif(state = 'parked', 'active', state),
       revision = revision + 1, updated_at = :now
 WHERE id = :id

-- follow_queue --
-- Lets runs that wait go where their job's runs go now; what agents are to do stays where it was asked for.
UPDATE runs INDEXED BY runs_under_way SET queue = :queue
 WHERE job_id = :id AND ended_at IS NULL AND state IN ('waiting', 'blocked') AND queue = :was AND queue NOT LIKE 'agent/%'

-- keep_revision --
-- Keeps a definition that an edit is about to change, if there are runs of it; the newest is looked at first.
INSERT INTO revisions(job_id, revision, definition, data, queue, priority, pause_after)
SELECT id, revision, definition, coalesce(data, (SELECT p.data FROM payloads p WHERE p.job_id = jobs.id)), queue, priority, pause_after
  FROM jobs
 WHERE id = :id AND (SELECT 1 FROM runs r
                      WHERE r.job_id = :id
                        AND r.revision > coalesce((SELECT max(v.revision) FROM revisions v WHERE v.job_id = :id), 0)
                      ORDER BY r.id DESC LIMIT 1)

-- trim_revisions --
-- Forgets the oldest definitions beyond the number that is kept of a job.
DELETE FROM revisions
 WHERE job_id = :id AND revision <= (SELECT v.revision FROM revisions v WHERE v.job_id = :id ORDER BY v.revision DESC LIMIT 1 OFFSET :keep)

-- revisions_of --
-- What the runs of revisions of jobs are made of, where that was kept: it holds up to the edit that changed it.
SELECT v.job_id, d.value->>1, v.definition, v.data, v.queue, v.priority, v.pause_after FROM jsonb_each(:pairs) d CROSS JOIN revisions v
 WHERE v.job_id = d.value->>0
   AND v.revision = (SELECT min(o.revision) FROM revisions o WHERE o.job_id = d.value->>0 AND o.revision >= d.value->>1)

-- stop_runs --
-- Ends the runs of these jobs that nobody performs now.
UPDATE runs INDEXED BY runs_under_way SET state = :state, reason = :reason, ended_at = :now, run_at = NULL, lease_until = NULL
 WHERE job_id IN (SELECT value FROM jsonb_each(:ids)) AND ended_at IS NULL AND state IN ('waiting', 'blocked')
RETURNING job_id

-- account --
-- Counts instants that became no run.
UPDATE jobs SET seq = :seq, not_run = not_run + :gone WHERE id = :id

-- recount_active --
-- Counts the runs of these jobs again that wait or are in flight.
UPDATE jobs SET active = (SELECT count(*) FROM runs r INDEXED BY runs_under_way
                           WHERE r.job_id = jobs.id AND r.ended_at IS NULL AND r.state <> 'blocked')
 WHERE id IN (SELECT value FROM jsonb_each(:ids))

-- end_jobs --
-- Ends the jobs that a query names; complete ones, where it names them too, are deleted from then on.
UPDATE jobs SET state = :state, plan_at = NULL, updated_at = :now, ended_at = :now
 WHERE {where} AND (ended_at IS NULL OR (state = 'completed' AND :state = 'deleted'))
RETURNING id, active, next_due_at <= :now

-- job_columns --
-- What a job record is made of.
SELECT id, namespace, owner, name, revision, state, definition,
       coalesce(data, (SELECT p.data FROM payloads p WHERE p.job_id = jobs.id)), queue, max_running, next_due_at, seq, active,
       succeeded, failed, not_run, busy_at, free_at, last_run, created_at, ended_at, priority, pause_after, note, updated_at,
       paused_at, resumed_at, asked, busy_before
  FROM jobs

-- set_note --
-- Says why a job is paused.
UPDATE jobs SET note = :note, updated_at = :now WHERE id = :id

-- set_state --
-- Pauses or resumes.
UPDATE jobs SET state = :state, note = :note, seq = :seq, next_due_at = :next, not_run = not_run + :gone, updated_at = :now,
       paused_at = :paused_at, resumed_at = :resumed_at, streak = 0, plan_at = CASE WHEN :state = 'active' AND active < max_running THEN :next + delay_us END
 WHERE id = :id

-- end_if_over --
-- Completes an active job of which nothing is due or running any more.
UPDATE jobs SET state = 'completed', ended_at = :now, plan_at = NULL
 WHERE id = :id AND state = 'active' AND next_due_at IS NULL AND active = 0 AND ended_at IS NULL

-- next_of_queues --
-- For each queue and priority: when its first job and its first waiting run are due, each in its own column.
WITH RECURSIVE
  of_jobs(queue, priority) AS (
    SELECT value, (SELECT max(priority) FROM jobs WHERE queue = value AND plan_at IS NOT NULL) FROM jsonb_each(:queues)
    UNION ALL
    SELECT queue, (SELECT max(j.priority) FROM jobs j
                    WHERE j.queue = of_jobs.queue AND j.plan_at IS NOT NULL AND j.priority < of_jobs.priority)
      FROM of_jobs WHERE priority IS NOT NULL),
  of_runs(queue, priority) AS (
    SELECT value, (SELECT max(priority) FROM runs WHERE queue = value AND state = 'waiting') FROM jsonb_each(:queues)
    UNION ALL
    SELECT queue, (SELECT max(r.priority) FROM runs r
                    WHERE r.queue = of_runs.queue AND r.state = 'waiting' AND r.priority < of_runs.priority)
      FROM of_runs WHERE priority IS NOT NULL)
SELECT queue, priority, (SELECT plan_at FROM jobs j WHERE j.queue = q.queue AND j.priority = q.priority AND j.plan_at IS NOT NULL
                          ORDER BY plan_at LIMIT 1), NULL
  FROM of_jobs q WHERE priority IS NOT NULL
UNION ALL
SELECT queue, priority, NULL, (SELECT run_at FROM runs r WHERE r.queue = q.queue AND r.priority = q.priority AND r.state = 'waiting'
                          ORDER BY run_at LIMIT 1)
  FROM of_runs q WHERE priority IS NOT NULL

-- due_jobs --
-- The jobs of a queue that are due in a stretch of time, oldest first; their last runs are no concern of planning.
SELECT id, namespace, owner, name, revision, state, definition,
       coalesce(data, (SELECT p.data FROM payloads p WHERE p.job_id = jobs.id)), queue, max_running, next_due_at, seq, active,
       succeeded, failed, not_run, busy_at, free_at, NULL, created_at, ended_at, priority, pause_after, note,
       updated_at, paused_at, resumed_at, asked, busy_before
  FROM jobs WHERE queue = :queue AND priority = :priority AND plan_at > :low AND plan_at <= :high ORDER BY plan_at LIMIT :room

-- ready_runs --
-- The waiting runs of a queue that are due in a stretch of time, oldest first.
SELECT id, run_at FROM runs
 WHERE queue = :queue AND priority = :priority AND state = 'waiting' AND run_at > :low AND run_at <= :high ORDER BY run_at LIMIT :room

-- claim_ready --
-- Takes waiting runs, unless somebody else did. For a holder a run stays what it was made of, whose timeout its lease may be.
UPDATE runs SET state = 'claimed', claimed_by = :node, fence = fence + 1, attempt = attempt + 1, holder = :holder,
       lease_until = CASE WHEN :by_timeout
                          THEN coalesce(:now + (SELECT coalesce((SELECT v.definition FROM revisions v
                                                                  WHERE v.job_id = runs.job_id AND v.revision >= runs.revision
                                                                  ORDER BY v.revision LIMIT 1), j.definition) ->> '$.timeout_us'
                                                  FROM jobs j WHERE j.id = job_id), :lease)
                          ELSE :lease END,
       revision = iif(:node IS NULL, revision, (SELECT j.revision FROM jobs j WHERE j.id = job_id)), started_at = coalesce(started_at, :now)
 WHERE id IN (SELECT unhex(value) FROM jsonb_each(:ids)) AND state = 'waiting'
RETURNING {run_columns}

-- move_on --
-- Moves planned jobs to their next occurrence, each only if it still stands where it was planned from.
-- Busy again with something left of when it was busy last, it has been busy all the time, unless nobody could run it in between.
UPDATE jobs SET seq = d.value->>'seq', next_due_at = d.value->>'next', not_run = not_run + (d.value->>'gone'),
       active = active + (d.value->>'made'),
       plan_at = CASE WHEN active + (d.value->>'made') < max_running THEN (d.value->>'next') + delay_us END,
       busy_at = CASE WHEN active + (d.value->>'made') < max_running THEN busy_at
                      WHEN (d.value->>'next') + delay_us <= free_at AND busy_at <= free_at AND free_at <= :now
                           AND (:now - free_at <= :at_once OR json_array_length(busy_before) >= :most_busy) THEN busy_at
                      ELSE :now END,
       busy_before = CASE WHEN (d.value->>'next') + delay_us > free_at THEN NULL
                          WHEN active + (d.value->>'made') >= max_running AND :now - free_at > :at_once AND busy_at <= free_at
                               AND (busy_before IS NULL OR json_array_length(busy_before) < :most_busy)
                          THEN json_insert(coalesce(busy_before, '[]'), '$[#]', json_array(busy_at, free_at))
                          ELSE busy_before END,
       paused_at = CASE WHEN (d.value->>'next') + delay_us <= resumed_at THEN paused_at END,
       resumed_at = CASE WHEN (d.value->>'next') + delay_us <= resumed_at THEN resumed_at END,
       state = CASE WHEN d.value->>'next' IS NULL AND active + (d.value->>'made') = 0 THEN 'completed' ELSE state END,
       ended_at = CASE WHEN d.value->>'next' IS NULL AND active + (d.value->>'made') = 0 THEN :now ELSE ended_at END
  FROM jsonb_each(:plans) d
 WHERE jobs.id = d.value->>'id' AND jobs.seq = d.value->>'was' AND jobs.revision = d.value->>'revision'
   AND jobs.state = 'active' AND jobs.plan_at IS NOT NULL
RETURNING jobs.id

-- insert_runs --
-- Rows of runs, and of instants that became none; those of one call are a microsecond apart, and so keep their order.
INSERT INTO runs(id, job_id, seq, cause, scheduled_for, scheduled_to, instants, state, reason, queue, run_at, attempt, fence,
                 revision, created_at, ended_at, priority, retry_of, expires_at)
SELECT unhex(value->>'id'), value->>'job', value->>'seq', value->>'cause', value->>'for', value->>'to', value->>'instants',
       value->>'state', value->>'reason', value->>'queue', value->>'run_at', value->>'attempt', value->>'fence',
       value->>'revision', :now + coalesce(value->>'place', 0), value->>'ended', coalesce(value->>'priority', 0),
       unhex(value->>'retry_of'), value->>'expires'
  FROM jsonb_each(:runs)

-- extend_gone --
-- Makes rows of instants that became no run longer by those that follow directly, with the same fate; which of the new ones they took in.
UPDATE runs INDEXED BY runs_seq
   SET seq = d.value->>'seq', scheduled_to = coalesce(d.value->>'to', d.value->>'for'), instants = runs.instants + (d.value->>'instants'),
       ended_at = d.value->>'ended'
  FROM jsonb_each(:runs) d
 WHERE runs.job_id = d.value->>'job' AND runs.seq = (d.value->>'seq') - (d.value->>'instants') AND runs.state = d.value->>'state'
   AND runs.reason = d.value->>'reason' AND runs.revision = d.value->>'revision' AND runs.fence = 0 AND runs.ended_at IS NOT NULL
RETURNING job_id, seq

-- insert_claimed --
-- Rows of runs that a node made of what was due, and performs at once.
INSERT INTO runs(id, job_id, seq, cause, scheduled_for, state, queue, run_at, attempt, fence, revision, claimed_by, created_at,
                 started_at, priority)
SELECT unhex(value->>'id'), value->>'job', value->>'seq', 'schedule', value->>'for', 'claimed', value->>'queue', value->>'run_at', 1, 1,
       value->>'revision', :node, :now, :now, value->>'priority'
  FROM jsonb_each(:runs)

-- overtake --
-- Ends the runs of jobs whose next run takes their place; the newer fence shuts their owners out.
UPDATE runs INDEXED BY runs_under_way
   SET state = 'superseded', reason = 'overtaken', fence = fence + 1, claimed_by = NULL, lease_until = NULL, run_at = NULL, ended_at = :now
 WHERE job_id IN (SELECT value FROM jsonb_each(:ids)) AND ended_at IS NULL

-- cancel_runs --
-- Ends runs that were asked to end; the newer fence shuts their owners out.
UPDATE runs SET state = 'cancelled', reason = :reason, fence = fence + 1, claimed_by = NULL, lease_until = NULL, run_at = NULL,
       ended_at = :now
 WHERE id IN (SELECT unhex(value) FROM jsonb_each(:ids)) AND state IN ('waiting', 'claimed', 'open')
RETURNING id, job_id, state, attempt, scheduled_for, run_at, ended_at

-- cancel_blocked --
-- Ends runs that wait behind others: they hold no room of their job.
UPDATE runs SET state = 'cancelled', reason = :reason, ended_at = :now
 WHERE id IN (SELECT unhex(value) FROM jsonb_each(:ids)) AND state = 'blocked'
RETURNING id

-- retime --
-- Moves the next instants of jobs, each only if it still stands where it was read.
UPDATE jobs SET next_due_at = d.value->>'next', plan_at = CASE WHEN plan_at IS NOT NULL THEN (d.value->>'next') + delay_us END
  FROM jsonb_each(:moves) d
 WHERE jobs.id = d.value->>'id' AND jobs.revision = d.value->>'revision' AND jobs.seq = d.value->>'seq'
   AND jobs.next_due_at = d.value->>'was' AND jobs.ended_at IS NULL
RETURNING jobs.id

-- known_clock --
-- When the machine started, as the store last reckoned with it, and when the newest run was made.
SELECT c.value ->> '$.boot_id', c.value ->> '$.booted_at', (SELECT created_at FROM runs ORDER BY id DESC LIMIT 1)
  FROM (SELECT 1) LEFT JOIN records c ON c.kind = 'clock' AND c.key = 'machine'

-- shift_runs --
-- Moves by a step of the clock what runs wait for, and until when they are somebody's; what began after a step forwards has it already.
UPDATE runs INDEXED BY runs_under_way SET run_at = run_at + :step, lease_until = lease_until + :step
 WHERE ended_at IS NULL AND (run_at IS NOT NULL OR lease_until IS NOT NULL)
   AND (:step < 0
        OR max(coalesce(started_at, created_at), coalesce(errors ->> '$[#-1].at', 0)) NOT BETWEEN :just_now AND :now)

-- shift_busy --
-- Moves by a step of the clock since when jobs are busy.
UPDATE jobs SET busy_at = busy_at + :step
 WHERE id IN (SELECT job_id FROM runs INDEXED BY runs_under_way WHERE ended_at IS NULL)
   AND active >= max_running AND ended_at IS NULL AND busy_at IS NOT NULL

-- shift_pauses --
-- After a step backwards, a pause that is under way did not begin later than now.
UPDATE jobs SET paused_at = :now WHERE state = 'paused' AND ended_at IS NULL AND paused_at > :now

-- lost_runs --
-- Of the runs that a node believes to hold, those that are no longer its own.
SELECT value FROM jsonb_each(:ids)
 WHERE NOT EXISTS(SELECT 1 FROM runs WHERE id = unhex(value) AND state = 'claimed' AND claimed_by = :node)

-- not_held --
-- What the store believes a node to hold, and the node does not know of.
SELECT id FROM runs WHERE state = 'claimed' AND claimed_by = :node AND hex(id) NOT IN (SELECT upper(value) FROM jsonb_each(:ids))

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
       attempt = d.value->>'attempt', claimed_by = NULL, lease_until = d.value->>'lease', queue = coalesce(d.value->>'queue', runs.queue),
       holder = iif(d.value->>'state' = 'waiting', NULL, runs.holder), result = unhex(d.value->>'result'),
       expires_at = coalesce(d.value->>'expires', runs.expires_at),
       started_at = iif(d.value->>'queue' IS NULL, runs.started_at, NULL),
       errors = CASE WHEN d.value->>'error' IS NULL THEN runs.errors
                     ELSE json_insert(CASE WHEN json_array_length(runs.errors) < :most_errors THEN runs.errors
                                           WHEN runs.errors IS NULL THEN '[]'
                                           ELSE json_remove(runs.errors, '$[1]') END,
                                      '$[#]', json_object('attempt', runs.attempt, 'at', :now, 'error', d.value->>'error')) END
  FROM jsonb_each(:items) d CROSS JOIN jobs j
 WHERE runs.id = unhex(d.value->>'id') AND runs.fence = d.value->>'fence' AND runs.state IN ('claimed', 'open') AND j.id = runs.job_id
RETURNING runs.id, runs.job_id, runs.state, runs.attempt, runs.scheduled_for, runs.run_at, runs.ended_at, runs.fence

-- promote --
-- Lets the oldest blocked runs of jobs that have room again wait for their claim.
UPDATE runs SET state = 'waiting', run_at = :now
 WHERE id IN (SELECT id FROM (SELECT r.id, o.value->>'ended' ended,
                                      row_number() OVER (PARTITION BY r.job_id ORDER BY r.created_at, r.id) place,
                                      j.max_running - j.active + (o.value->>'ended') room
                                 FROM jsonb_each(:jobs) o CROSS JOIN runs r INDEXED BY runs_under_way CROSS JOIN jobs j
                                WHERE r.job_id = o.value->>'job' AND r.ended_at IS NULL AND r.state = 'blocked' AND j.id = r.job_id)
               WHERE place <= min(ended, room))
RETURNING job_id

-- release --
-- Counts ended runs on their jobs, and brings those that have room back into the due index, or to their end or a pause.
UPDATE jobs SET active = active - (o.value->>'ended') + (o.value->>'promoted'),
       succeeded = succeeded + (o.value->>'succeeded'), failed = failed + (o.value->>'failed'),
       streak = CASE WHEN (o.value->>'succeeded') > 0 THEN 0 ELSE streak + (o.value->>'failed') END,
       free_at = CASE WHEN active >= max_running THEN :now ELSE free_at END, last_run = coalesce(o.value->>'last', last_run),
       plan_at = CASE WHEN streak + (o.value->>'failed') >= pause_after AND (o.value->>'succeeded') = 0 THEN NULL
                      WHEN state = 'active' AND active - (o.value->>'ended') + (o.value->>'promoted') < max_running
                      THEN next_due_at + delay_us ELSE plan_at END,
       paused_at = CASE WHEN state <> 'active' OR (o.value->>'succeeded') > 0 OR streak + (o.value->>'failed') < pause_after
                             OR pause_after IS NULL OR next_due_at + delay_us <= resumed_at THEN paused_at ELSE :now END,
       resumed_at = CASE WHEN state <> 'active' OR (o.value->>'succeeded') > 0 OR streak + (o.value->>'failed') < pause_after
                              OR pause_after IS NULL THEN resumed_at END,
       note = CASE WHEN state = 'active' AND next_due_at IS NOT NULL AND streak + (o.value->>'failed') >= pause_after
                        AND (o.value->>'succeeded') = 0
                   THEN 'paused itself after ' || (streak + (o.value->>'failed')) || ' failed runs in a row' ELSE note END,
       ended_at = CASE WHEN state = 'active' AND next_due_at IS NULL AND active - (o.value->>'ended') + (o.value->>'promoted') = 0
                       THEN :now ELSE ended_at END,
       state = CASE WHEN state = 'active' AND next_due_at IS NULL AND active - (o.value->>'ended') + (o.value->>'promoted') = 0
                    THEN 'completed'
                    WHEN state = 'active' AND streak + (o.value->>'failed') >= pause_after AND (o.value->>'succeeded') = 0
                    THEN 'paused' ELSE state END
  FROM jsonb_each(:jobs) o WHERE jobs.id = o.value->>'job'
RETURNING plan_at

-- occupy --
-- Counts runs that were added beside the schedule; a job without room leaves the due index.
UPDATE jobs SET active = active + :added, asked = asked + :asked,
       plan_at = CASE WHEN active + :added < max_running THEN plan_at END,
       busy_at = CASE WHEN active + :added < max_running OR active >= max_running THEN busy_at
                      WHEN next_due_at + delay_us <= free_at AND busy_at <= free_at AND free_at <= :now
                           AND (:now - free_at <= :at_once OR json_array_length(busy_before) >= :most_busy) THEN busy_at
                      ELSE :now END,
       busy_before = CASE WHEN active + :added >= max_running AND active < max_running AND next_due_at + delay_us <= free_at
                               AND :now - free_at > :at_once AND busy_at <= free_at
                               AND (busy_before IS NULL OR json_array_length(busy_before) < :most_busy)
                          THEN json_insert(coalesce(busy_before, '[]'), '$[#]', json_array(busy_at, free_at))
                          ELSE busy_before END
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

-- runs_expired --
-- The runs that wait longer than they may.
SELECT id FROM runs WHERE expires_at < :now AND state = 'waiting'

-- prioritise --
-- Gives a run another priority among those that wait.
UPDATE runs SET priority = :priority WHERE id = :id AND ended_at IS NULL RETURNING id

-- runs_of_node --
-- What a node holds.
SELECT id FROM runs WHERE state = 'claimed' AND claimed_by = :node

-- take_back --
-- Lets runs wait again, for the same attempt; what may run only once has failed, what lost its job ends with it.
UPDATE runs SET fence = fence + 1, claimed_by = NULL, lease_until = NULL, state = t.state,
       reason = CASE t.state WHEN 'failed' THEN 'lost_with_node' WHEN 'waiting' THEN NULL ELSE t.job_state END,
       attempt = CASE t.state WHEN 'waiting' THEN attempt - 1 ELSE attempt END,
       run_at = CASE t.state WHEN 'waiting' THEN :now END,
       ended_at = CASE t.state WHEN 'waiting' THEN NULL ELSE :now END
  FROM (SELECT r.id run_id, j.state job_state,
               CASE WHEN j.state = 'replaced' THEN 'superseded' WHEN j.ended_at IS NOT NULL THEN 'cancelled'
                    WHEN j.definition->>'at_most_once' THEN 'failed' ELSE 'waiting' END state
          FROM jsonb_each(:ids) d CROSS JOIN runs r CROSS JOIN jobs j WHERE r.id = unhex(d.value) AND j.id = r.job_id) t
 WHERE runs.id = t.run_id
RETURNING runs.id, runs.job_id, runs.state, runs.attempt, runs.scheduled_for, runs.run_at, runs.ended_at

-- delete_node --
-- Forgets a node that left.
DELETE FROM nodes WHERE id = :node

-- list_records --
-- The records of a kind whose key starts with a text.
SELECT key, value, revision FROM records WHERE kind = :kind AND key >= :prefix AND (:high IS NULL OR key < :high) ORDER BY key

-- put_record --
-- Keeps a record; only at the expected revision, where one is given (0: only a new one).
INSERT INTO records(kind, key, value) SELECT :kind, :key, :value
 WHERE :expected IS NULL OR :expected = coalesce((SELECT revision FROM records WHERE kind = :kind AND key = :key), 0)
ON CONFLICT(kind, key) DO UPDATE SET value = excluded.value, revision = revision + 1
RETURNING revision

-- delete_record --
-- Forgets a record.
DELETE FROM records WHERE kind = :kind AND key = :key RETURNING key

-- get_run --
-- One run.
SELECT {run_columns} FROM runs WHERE id = :id

-- list_jobs --
-- Jobs of a query, in byte order of their keys.
{job_columns} WHERE {where} ORDER BY namespace, owner, name, id LIMIT :limit OFFSET :offset

-- count_jobs --
-- How many jobs a query names.
SELECT count(*) FROM jobs WHERE {where}

-- list_runs --
-- Runs of a query, newest first.
SELECT {run_columns} FROM runs WHERE {where} ORDER BY id DESC LIMIT :limit OFFSET :offset

-- count_runs --
-- How many runs a query names.
SELECT count(*) FROM runs WHERE {where}

-- definition_of_run --
-- What a run of a job is made of.
coalesce((SELECT v.definition FROM revisions v WHERE v.job_id = j.id AND v.revision >= runs.revision ORDER BY v.revision LIMIT 1),
         j.definition)

-- job_of_run --
-- The job of a run, if it is such a one.
SELECT 1 FROM jobs j WHERE j.id = runs.job_id AND {where}

-- ids_of_key --
-- Every incarnation of a job.
SELECT id FROM jobs WHERE namespace = :namespace AND owner = :owner AND name = :name AND ended_at IS NULL
UNION ALL
SELECT id FROM jobs WHERE namespace = :namespace AND owner = :owner AND name = :name AND ended_at IS NOT NULL

-- prune_old --
-- Removes ended runs by age, a few at a time.
DELETE FROM runs WHERE id IN (SELECT id FROM runs WHERE ended_at < :before ORDER BY ended_at LIMIT :most) RETURNING job_id, CASE cause WHEN 'schedule' THEN instants ELSE 0 END

-- count_ended --
-- How many ended runs there are.
SELECT count(*) FROM runs WHERE ended_at IS NOT NULL

-- prune_oldest --
-- Removes the oldest ended runs beyond the number kept in all.
DELETE FROM runs WHERE id IN (SELECT id FROM runs WHERE ended_at IS NOT NULL ORDER BY ended_at LIMIT :most) RETURNING job_id, CASE cause WHEN 'schedule' THEN instants ELSE 0 END

-- long_histories --
-- Jobs with more ended runs than are kept of one, or with more rows of what did not run: neither takes the other's room.
SELECT job_id FROM (SELECT job_id, count(*) all_rows,
                           (SELECT count(*) FROM runs l WHERE l.job_id = r.job_id AND l.state IN ('skipped', 'missed')) left_out,
                           (SELECT count(*) FROM runs u WHERE u.job_id = r.job_id AND u.ended_at IS NULL) under_way
                      FROM runs r GROUP BY job_id HAVING count(*) > :keep)
 WHERE max(left_out, all_rows - left_out - under_way) > :keep
 LIMIT :most

-- prune_job --
-- Removes a job's oldest ended runs, and rows of what did not run, beyond the number kept of each.
DELETE FROM runs WHERE id IN (SELECT id FROM (SELECT id FROM runs WHERE job_id = :job_id AND ended_at IS NOT NULL
                                                 AND state IN ('skipped', 'missed') ORDER BY id DESC LIMIT :most OFFSET :keep)
                              UNION ALL
                              SELECT id FROM (SELECT id FROM runs WHERE job_id = :job_id AND ended_at IS NOT NULL
                                                 AND state NOT IN ('skipped', 'missed') ORDER BY id DESC LIMIT :most OFFSET :keep)
                              LIMIT :most)
RETURNING job_id, CASE cause WHEN 'schedule' THEN instants ELSE 0 END

-- never_run --
-- Ended jobs without runs, past the age.
SELECT id FROM jobs WHERE ended_at < :before AND NOT EXISTS(SELECT 1 FROM runs WHERE runs.job_id = jobs.id) LIMIT :most

-- prune_jobs --
-- Removes ended jobs of which no run is left.
DELETE FROM jobs WHERE id IN (SELECT value FROM jsonb_each(:ids)) AND ended_at IS NOT NULL
   AND NOT EXISTS(SELECT 1 FROM runs WHERE runs.job_id = jobs.id)

-- prune_payloads --
-- Removes the data of jobs that are gone.
DELETE FROM payloads WHERE job_id IN (SELECT value FROM jsonb_each(:ids)) AND NOT EXISTS(SELECT 1 FROM jobs WHERE id = job_id)

-- prune_revisions --
-- Removes definitions of before an edit that are older than all runs of their jobs.
DELETE FROM revisions WHERE job_id IN (SELECT value FROM jsonb_each(:ids))
   AND NOT EXISTS(SELECT 1 FROM runs r WHERE r.job_id = revisions.job_id AND r.revision <= revisions.revision)

-- count_pruned --
-- Counts, on their jobs, instants whose rows are gone.
UPDATE jobs SET pruned = pruned + (d.value->>1) FROM jsonb_each(:jobs) d WHERE jobs.id = d.value->>0

-- revive --
-- Brings a complete job back for a run that is to be done again, unless another has its name.
UPDATE jobs SET state = 'active', ended_at = NULL
 WHERE id = (SELECT job_id FROM runs WHERE id = :run) AND state = 'completed'
   AND NOT EXISTS(SELECT 1 FROM jobs o WHERE o.namespace = jobs.namespace AND o.owner = jobs.owner AND o.name = jobs.name
                     AND o.ended_at IS NULL)
RETURNING id

-- instants_without_row --
-- Jobs whose rows do not tell of as many instants as were due.
SELECT j.id, j.seq, total(r.instants) + j.pruned FROM jobs j LEFT JOIN runs r ON r.job_id = j.id AND r.cause = 'schedule'
 GROUP BY j.id HAVING j.seq <> total(r.instants) + j.pruned LIMIT 20

-- wrong_active --
-- Jobs that count more or fewer runs under way than they have.
SELECT j.id, j.active, count(r.id) FROM jobs j LEFT JOIN runs r ON r.job_id = j.id AND r.state IN ('waiting', 'claimed', 'open')
 GROUP BY j.id HAVING j.active <> count(r.id) LIMIT 20

-- lost_from_index --
-- Active jobs with room and a next instant that nobody would find.
SELECT id FROM jobs WHERE state = 'active' AND next_due_at IS NOT NULL AND active < max_running AND plan_at IS NULL LIMIT 20

-- waiting_for_nothing --
-- Runs that wait though their job has ended.
SELECT hex(r.id) FROM runs r JOIN jobs j ON j.id = r.job_id WHERE r.state IN ('waiting', 'blocked') AND j.ended_at IS NOT NULL LIMIT 20

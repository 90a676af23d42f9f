-- What a job has under way is found without reading its history.
DROP INDEX runs_blocked;
CREATE INDEX runs_under_way ON runs(job_id, created_at, id) WHERE ended_at IS NULL;

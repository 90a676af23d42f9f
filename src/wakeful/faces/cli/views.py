"""How jobs and runs look on a terminal, and as JSON."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from wakeful.core.job import JobKey, JobRecord, RetryPolicy
from wakeful.core.run import Cause, Run
from wakeful.faces.cli.text import cell, length, rfc3339, short, table


def key_fields(key: JobKey) -> dict[str, str]:
    """A job's identity."""
    return {"namespace": key.namespace, "owner": key.owner, "name": key.name}


def job_fields(record: JobRecord) -> dict[str, Any]:
    """Everything of a job that a caller may want, instants in RFC 3339."""
    job, given, last = record.job, record.job.schedule.given, record.last_run
    return {
        **key_fields(job.key),
        "state": record.state,
        "note": record.note,
        "schedule": given.schedule,
        "syntax": job.schedule.syntax,
        "zone": given.zone,
        "dst": given.dst,
        "due_time": given.due_time,
        "ttl": given.ttl,
        "start_at": given.start_at,
        "until_at": given.until_at,
        "repeats": job.schedule.repeats,
        "target": {"kind": job.target.kind, "address": job.target.address, "queue": job.queue},
        **_policies(record),
        "next_run_at": rfc3339(record.next_due_at),
        "last_run": last
        and {
            "scheduled_for": rfc3339(last.scheduled_for),
            "state": last.state,
            "attempts": last.attempts,
            "ended_at": rfc3339(last.ended_at),
        },
        "succeeded": record.succeeded,
        "failed": record.failed,
        "not_run": record.not_run,
        "remaining": record.remaining,
        "revision": record.revision,
        "created_at": rfc3339(record.created_at),
        "ended_at": rfc3339(record.ended_at),
    }


def _policies(record: JobRecord) -> dict[str, Any]:
    job = record.job
    return {
        "overlap": job.overlap,
        "max_running": job.max_running,
        "catchup": job.catchup,
        "catchup_window_s": _seconds(job.catchup_window),
        "catchup_limit": job.catchup_limit,
        "calendars": [calendar.name for calendar in job.calendars],
        "jitter_s": _seconds(job.jitter),
        "priority": job.priority,
        "timeout_s": _seconds(job.timeout),
        "at_most_once": job.at_most_once,
        "retry": _retry(job.retry),
        "pause_after": job.pause_after,
    }


def _retry(retry: RetryPolicy) -> dict[str, Any]:
    return {
        "max_retries": retry.max_retries,
        "interval_s": retry.interval.total_seconds(),
        "counted_from": retry.counted_from,
        "multiplier": retry.multiplier,
        "max_interval_s": _seconds(retry.max_interval),
        "jitter": retry.jitter,
        "max_age_s": _seconds(retry.max_age),
    }


def run_fields(run: Run) -> dict[str, Any]:
    """Everything of a run that a caller may want."""
    return {
        "id": str(run.id),
        "scheduled_for": rfc3339(run.scheduled_for),
        "scheduled_to": rfc3339(run.scheduled_to),
        "instants": run.instants,
        "cause": run.cause,
        "retry_of": None if run.retry_of is None else str(run.retry_of),
        "state": run.state,
        "reason": run.reason,
        "attempts": run.attempt,
        "errors": [{**error, "at": rfc3339(error["at"])} for error in run.errors],
        "started_at": rfc3339(run.started_at),
        "ended_at": rfc3339(run.ended_at),
        "lateness_s": _seconds(run.lateness),
        "duration_s": _seconds(run.duration),
    }


def job_table(records: Sequence[JobRecord]) -> str:
    """One line a job."""
    rows = [
        (
            record.job.key.name,
            record.job.key.owner,
            when(record),
            short(record.next_due_at),
            record.last_run.state if record.last_run else "-",
            f"{record.succeeded}/{record.failed}",
            record.state,
        )
        for record in records
    ]
    return table(("NAME", "OWNER", "SCHEDULE", "NEXT RUN", "LAST", "OK/FAILED", "STATE"), rows, "No jobs.")


def run_table(runs: Sequence[Run]) -> str:
    """One line a run."""
    rows = [
        (
            short(run.scheduled_for),
            f"{run.state} ×{run.instants}" if run.instants > 1 else run.state,
            str(run.attempt),
            short(run.ended_at),
            length(run.lateness),
            length(run.duration),
            str(run.id),
            ", ".join(part for part in ("" if run.cause is Cause.SCHEDULE else run.cause, run.reason) if part),
            run.errors[-1]["error"] if run.errors else "",
        )
        for run in runs
    ]
    return table(
        ("SCHEDULED FOR", "STATE", "ATTEMPTS", "ENDED", "LATE", "TOOK", "RUN", "WHY", "LAST ERROR"), rows, "No runs."
    )


def job_page(record: JobRecord) -> str:
    """A job, one field a line."""
    lines = ((name, _plain(value)) for name, value in job_fields(record).items() if value not in (None, []))
    return "\n".join(f"{name:<18}{value}" for name, value in lines)


def when(record: JobRecord) -> str:
    """The schedule as it was given."""
    given = record.job.schedule.given
    parts = (given.schedule, given.due_time and f"from {given.due_time}", given.zone and f"({given.zone})")
    return " ".join(part for part in parts if part)


def _plain(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_plain(part)}" for name, part in value.items() if part is not None)
    if isinstance(value, list):
        return cell(", ".join(value))
    return cell(str(value))


def _seconds(length: timedelta | None) -> float | None:
    return None if length is None else length.total_seconds()

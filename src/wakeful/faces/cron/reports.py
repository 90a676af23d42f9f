"""How the daemon is: its counts, its health, and what comes next, as the documents name them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from fractions import Fraction

from wakeful.core.job import JobRecord, JobState
from wakeful.core.ports import Health
from wakeful.core.run import RunState
from wakeful.faces.cron.history import STATUS, Row, told

# From this share of failures on, a watcher of the document's kind frowns; the daemon itself is as well as before.
_ACCEPTABLE_FAILURES = 0.5
_SETTLED_IN_S = 10


@dataclass(frozen=True, slots=True)
class Life:
    """The daemon's own state: ``executed`` and ``failed`` count since it started, ``sleeping`` is the machine."""

    running: bool
    uptime: timedelta
    executed: int
    failed: int
    sleeping: bool
    sleeps: int
    config_error: str | None
    state_error: str | None
    enabled: bool


@dataclass(frozen=True, slots=True)
class Jobs:
    """The live jobs, by name; all that there are, the ended ones, too; and how their times are told."""

    records: Mapping[str, JobRecord]
    ever: Sequence[JobRecord]
    zone: tzinfo
    now: datetime


def health_report(life: Life, jobs: Jobs, engine: Health) -> Row:
    """The health of both documents in one object.

    The daemon is healthy if claims are made on time; what its jobs come to is told, and makes it no worse.
    """
    counts = stats_of(jobs.ever)
    due = next_of(jobs.records)
    last = _last_execution(jobs)
    total, failed = counts["total_executions"], counts["failed"]
    checks = {
        "running": life.running,
        "scheduler_initialized": life.running,
        "scheduler_running": life.running and engine.ok,
        "jobs_scheduled": due is not None,
        "acceptable_failure_rate": not total or failed / total < _ACCEPTABLE_FAILURES,
        "uptime_ok": life.uptime > timedelta(seconds=_SETTLED_IN_S),
        "config_ok": life.config_error is None,
        "state_ok": life.state_error is None,
    }
    return {
        "healthy": checks["scheduler_running"],
        "scheduler_running": checks["scheduler_running"],
        "enabled": life.enabled,
        "job_count": len(jobs.records),
        "next_job": None if due is None else _next_job(*due, jobs),
        "last_execution": last,
        "uptime_seconds": _seconds(life.uptime),
        "stats": counts,
        "checks": checks,
        "message": _message(life, jobs, engine),
        "timestamp": told(jobs.now, jobs.zone),
        "jobs_executed": life.executed,
        "jobs_failed": life.failed,
        "sleeping": life.sleeping,
        "sleeps": life.sleeps,
        "config_error": life.config_error,
        "state_error": life.state_error,
    }


def stats_of(records: Sequence[JobRecord]) -> Row:
    """How often these jobs ran, and how well.

    ``success_rate`` is a fraction with three digits, rounded half to even; null before the first run has ended.
    """
    succeeded = sum(record.succeeded for record in records)
    failed = sum(record.failed for record in records)
    total = succeeded + failed
    rate = None if not total else float(round(Fraction(succeeded, total), 3))
    return {"total_executions": total, "successful": succeeded, "failed": failed, "success_rate": rate}


def next_of(records: Mapping[str, JobRecord]) -> tuple[str, datetime] | None:
    """The job that is due next, and when."""
    due = [
        (record.next_due_at + record.job.delay, name)
        for name, record in records.items()
        if record.next_due_at is not None and record.state is JobState.ACTIVE
    ]
    return min(due)[::-1] if due else None


def _next_job(name: str, at: datetime, jobs: Jobs) -> Row:
    return {"name": name, "scheduled": told(at, jobs.zone), "in_seconds": _seconds(max(at - jobs.now, timedelta(0)))}


def _last_execution(jobs: Jobs) -> Row | None:
    ended = [(record.last_run.ended_at, name) for name, record in jobs.records.items() if record.last_run is not None]
    if not ended:
        return None
    at, name = max(ended)
    last = jobs.records[name].last_run
    status = None if last is None else STATUS[RunState(last.state)]
    return {"job": name, "status": status, "completed_at": told(at, jobs.zone)}


def _message(life: Life, jobs: Jobs, engine: Health) -> str:
    if not life.running:
        return "the daemon is not running"
    if not engine.ok:
        return engine.reason
    if life.config_error is not None:
        jobs_now = "the jobs of before" if jobs.records else "no jobs, as there are none of before"
        return f"running with {jobs_now}: {life.config_error}"
    if life.state_error is not None:
        return f"running with the switches of before: {life.state_error}"
    if not life.enabled:
        return "the scheduler is off"
    return f"running with {len(jobs.records)} jobs" + (", asleep" if life.sleeping else "")


def _seconds(span: timedelta) -> int:
    return span // timedelta(seconds=1)

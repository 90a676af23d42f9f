"""A job of the file as it is shown: what the file says, what the switches say, and what the store knows."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta, tzinfo
from itertools import islice

from wakeful.core.describe import describe
from wakeful.core.job import JobRecord, JobState
from wakeful.core.run import RunState
from wakeful.faces.cron.applying import ran
from wakeful.faces.cron.config_file import CronConfig
from wakeful.faces.cron.definitions import JobSpec
from wakeful.faces.cron.history import STATUS, Row, told
from wakeful.faces.cron.precedence import held_by, job_on
from wakeful.faces.cron.switches import Switches
from wakeful.faces.cron.timing import has_passed, surprises, too_late

AHEAD = 5


@dataclass(frozen=True, slots=True)
class Shown:
    """Everything that rows are made of, as it is at ``now``; ``records`` are the live jobs, by name."""

    config: CronConfig | None
    switches: Switches
    records: Mapping[str, JobRecord]
    zone: tzinfo
    now: datetime
    # Jobs of the file that are not live: those whose last instant has passed, by name.
    complete: Mapping[str, JobRecord] = field(default_factory=dict)
    # All that there are of the file, the ended ones, too.
    ever: Sequence[JobRecord] = ()


def job_rows(shown: Shown, ahead: int = 0) -> list[Row]:
    """All jobs, in the order of the file; with their next ``ahead`` runs and warnings, if there are to be any."""
    specs = {} if shown.config is None else shown.config.jobs
    names = list(specs) + [name for name in shown.records if name not in specs]
    return [_row(name, specs.get(name), shown, ahead) for name in names]


def _row(name: str, spec: JobSpec | None, shown: Shown, ahead: int) -> Row:
    record = shown.records.get(name) or shown.complete.get(name)
    job = spec.job if spec is not None else record.job if record is not None else None
    options = {} if job is None else job.target.options
    row: Row = {"name": name, "skill": None if job is None else job.target.address, **_of_file(spec)}
    row |= {"execution_mode": options.get("mode"), "persona": options.get("persona")}
    row |= _switched(name, shown, record)
    row |= _of_store(record, shown.zone)
    if record is None and job is not None and not has_passed(job.schedule, shown.now):
        row |= {"status": "pending", "reason": "it was just read, and is about to be stored"}
    if ahead and job is not None:
        row["next_runs"] = (
            []
            if record is None or not row["active"]
            else [told(at, shown.zone) for at in islice(_following(record), ahead)]
        )
        row["warnings"] = list(surprises(job.schedule, shown.now))
        if name not in shown.records and has_passed(job.schedule, shown.now) and not ran(job, record):
            row["warnings"].append(too_late(job.schedule))
        row["schedule"] = describe(job.schedule)
    return row


def _of_file(spec: JobSpec | None) -> Row:
    if spec is None:
        return {"description": None, "cron": None, "trigger": None, "notify": [], "problems": []}
    job, retry = spec.job, spec.job.retry
    return {
        "description": spec.description,
        "cron": spec.when.written,
        "trigger": spec.when.trigger,
        "timezone": job.schedule.given.zone,
        "notify": list(spec.notify),
        "notify_on": None if job.notify is None else job.notify.on.value,
        "timeout_seconds": None if job.timeout is None else job.timeout / timedelta(seconds=1),
        "max_attempts": None if retry.max_retries is None else retry.max_retries + 1,
        "max_instances": job.max_running,
        "priority": job.priority,
        "problems": list(spec.problems),
    }


def _switched(name: str, shown: Shown, record: JobRecord | None) -> Row:
    """``enabled`` is the job's own switch; ``active`` whether it runs by itself; ``reason`` says why, or why not."""
    live = record is not None and record.state is JobState.ACTIVE
    if shown.config is None or name not in shown.config.jobs:
        return {"enabled": live, "active": live, "reason": "the config file can't be used: as it was left"}
    enabled, switch = job_on(shown.config, shown.switches, name)
    held = held_by(shown.config, shown.switches, name)
    reason = held or switch
    if held is None and not live:
        reason = "its last instant has passed"
        if record is not None and record.state is not JobState.COMPLETED:
            reason = f"{record.state.value}: {record.note or 'by other means'}"
    return {"enabled": enabled, "active": held is None and live, "reason": reason}


def _of_store(record: JobRecord | None, zone: tzinfo) -> Row:
    if record is None:
        counts = {"run_count": 0, "failure_count": 0, "running": 0}
        return {"status": "completed", "next_run": None, "last_run": None, "last_status": None, **counts}
    last = record.last_run
    due = record.next_due_at if record.state is JobState.ACTIVE else None
    return {
        "status": "running"
        if record.active
        else "scheduled"
        if record.state is JobState.ACTIVE
        else record.state.value,
        "next_run": None if due is None else told(due + record.job.delay, zone),
        "last_run": None if last is None else told(last.scheduled_for, zone),
        "last_status": None if last is None else STATUS[RunState(last.state)],
        "run_count": record.succeeded + record.failed,
        "failure_count": record.failed,
        "running": record.active,
    }


def _following(record: JobRecord) -> Iterator[datetime]:
    """The instants that come next, from the one that the store waits for."""
    due, runs = record.next_due_at, record.seq - record.not_run
    while due is not None:
        yield due + record.job.delay
        runs += 1
        due = record.job.schedule.next_due(due, runs)

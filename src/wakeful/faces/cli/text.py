"""How jobs and runs look on a terminal, and as JSON."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec

from wakeful.core.job import JobKey, JobRecord
from wakeful.core.run import Run


def as_json(value: Any) -> str:
    """Indented JSON."""
    return msgspec.json.format(msgspec.json.encode(value), indent=2).decode()


def key_fields(key: JobKey) -> dict[str, str]:
    """A job's identity."""
    return {"namespace": key.namespace, "owner": key.owner, "name": key.name}


def job_fields(record: JobRecord) -> dict[str, Any]:
    """Everything of a job that a caller may want, instants in RFC 3339."""
    job, given, last = record.job, record.job.schedule.given, record.last_run
    return {
        **key_fields(job.key),
        "state": record.state,
        "schedule": given.schedule,
        "due_time": given.due_time,
        "ttl": given.ttl,
        "repeats": given.repeats,
        "target": {"kind": job.target.kind, "address": job.target.address, "queue": job.queue},
        "overlap": job.overlap,
        "catchup": job.catchup,
        "retry": {
            "max_retries": job.retry.max_retries,
            "interval_s": job.retry.interval.total_seconds(),
            "counted_from": job.retry.counted_from,
        },
        "next_run_at": _instant(record.next_due_at),
        "last_run": last
        and {
            "scheduled_for": _instant(last.scheduled_for),
            "state": last.state,
            "attempts": last.attempts,
            "ended_at": _instant(last.ended_at),
        },
        "succeeded": record.succeeded,
        "failed": record.failed,
        "not_run": record.not_run,
        "remaining": record.remaining,
        "revision": record.revision,
        "created_at": _instant(record.created_at),
        "ended_at": _instant(record.ended_at),
    }


def run_fields(run: Run) -> dict[str, Any]:
    """Everything of a run that a caller may want."""
    return {
        "id": str(run.id),
        "scheduled_for": _instant(run.scheduled_for),
        "scheduled_to": _instant(run.scheduled_to),
        "instants": run.instants,
        "cause": run.cause,
        "state": run.state,
        "reason": run.reason,
        "attempts": run.attempt,
        "errors": [{**error, "at": _instant(error["at"])} for error in run.errors],
        "started_at": _instant(run.started_at),
        "ended_at": _instant(run.ended_at),
    }


def job_table(records: Sequence[JobRecord]) -> str:
    """One line a job."""
    rows = [
        (
            record.job.key.name,
            record.job.key.owner,
            when(record),
            _short(record.next_due_at),
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
            _short(run.scheduled_for),
            f"{run.state} ×{run.instants}" if run.instants > 1 else run.state,
            str(run.attempt),
            _short(run.ended_at),
            run.reason or "",
            run.errors[-1]["error"] if run.errors else "",
        )
        for run in runs
    ]
    return table(("SCHEDULED FOR", "STATE", "ATTEMPTS", "ENDED", "REASON", "LAST ERROR"), rows, "No runs.")


def job_page(record: JobRecord) -> str:
    """A job, one field a line."""
    lines = ((name, _plain(value)) for name, value in job_fields(record).items() if value is not None)
    return "\n".join(f"{name:<13}{value}" for name, value in lines)


def when(record: JobRecord) -> str:
    """The schedule as it was given."""
    given = record.job.schedule.given
    return " ".join(part for part in (given.schedule, given.due_time and f"from {given.due_time}") if part)


def table(head: Sequence[str], rows: Sequence[Sequence[str]], empty: str) -> str:
    """Columns as wide as their widest cell; ``empty`` if there is no row."""
    if not rows:
        return empty
    clean = [[_cell(cell) for cell in row] for row in rows]
    widths = [max(len(line[i]) for line in (head, *clean)) for i in range(len(head))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in (head, *clean)
    )


def printable(text: str) -> str:
    """The text without what would move the reader's cursor: names and errors come from outside."""
    return "".join(c if c.isprintable() else "�" for c in text)


def _cell(text: str) -> str:
    shown = printable(text)
    return shown if len(shown) <= 60 else shown[:59] + "…"


def _plain(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_plain(part)}" for name, part in value.items() if part is not None)
    return _cell(str(value))


def _short(instant: datetime | None) -> str:
    return "-" if instant is None else instant.strftime("%Y-%m-%d %H:%M:%SZ")


def _instant(instant: datetime | None) -> str | None:
    return None if instant is None else instant.isoformat().replace("+00:00", "Z")

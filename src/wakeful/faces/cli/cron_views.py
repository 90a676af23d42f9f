"""How the cron daemon's jobs, history and health look on a terminal."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from wakeful.faces.cli import text

Row = Mapping[str, Any]


def plain(line: str) -> str:
    """A line that moves no cursor."""
    return text.printable(line)


def job_table(rows: Sequence[Row]) -> str:
    """One line a job."""
    shown = [
        (
            _said(row, "name"),
            _said(row, "skill"),
            _said(row, "cron"),
            _whether(row),
            _said(row, "next_run"),
            _said(row, "last_status"),
        )
        for row in rows
    ]
    return text.table(("NAME", "SKILL", "WHEN", "ON", "NEXT RUN", "LAST"), shown, "No jobs.")


def _whether(row: Row) -> str:
    """Whether it runs by itself; if not, why."""
    if row.get("active"):
        return "on"
    if row.get("status") == "pending":
        return "on, once a daemon runs" if row.get("enabled") else "off"
    return f"{'on, but' if row.get('enabled') else 'off:'} {row.get('reason') or 'nobody says why'}"


def history_table(rows: Sequence[Row]) -> str:
    """One line a run."""
    shown = [
        (
            str(row.get("started_at") or row.get("scheduled_for") or "-"),
            _said(row, "job"),
            _said(row, "status"),
            _length(row.get("duration_ms")),
            _said(row, "attempts"),
            _said(row, "session_id"),
            str(row.get("error") or ""),
        )
        for row in rows
    ]
    return text.table(("STARTED", "JOB", "STATUS", "TOOK", "ATTEMPTS", "SESSION", "ERROR"), shown, "No runs.")


def status_page(health: Row, pid: int) -> str:
    """A daemon's health, one field a line."""
    following, last, stats = health.get("next_job"), health.get("last_execution"), health.get("stats") or {}
    rate = stats.get("success_rate")
    runs = f"{stats.get('successful', 0)} of {stats.get('total_executions', 0)} succeeded"
    lines = {
        "health": "healthy" if health.get("healthy") is True else "not healthy",
        "message": health.get("message"),
        "process": pid,
        "up": _span(health.get("uptime_seconds")),
        "jobs": health.get("job_count"),
        "next": following and f"{following.get('name')} at {following.get('scheduled')}",
        "last": last and f"{last.get('job')}: {last.get('status')} at {last.get('completed_at')}",
        "runs": runs if rate is None else f"{runs} ({rate})",
        "config": health.get("config_error"),
        "state": health.get("state_error"),
    }
    return "\n".join(plain(f"{name:<9}{value}") for name, value in lines.items() if value is not None)


def toggled(name: str, wish: str, said: Row) -> str:
    """What became of a switch."""
    if "file" in said:
        return plain(f"{name}: {wish}, as written to {said['file']}; a daemon that runs sees it there")
    state = "on" if said.get("active") else f"off: {said.get('reason')}"
    following = said.get("next_run")
    return plain(f"{name}: {state}" + (f", next run {following}" if following else ""))


def _said(row: Row, key: str) -> str:
    value = row.get(key)
    return "-" if value is None else str(value)


def _length(milliseconds: Any) -> str:
    return "-" if not isinstance(milliseconds, int | float) else f"{milliseconds / 1000:.1f} s"


def _span(seconds: Any) -> str | None:
    """A number of seconds, for a person."""
    return None if not isinstance(seconds, int | float) else str(timedelta(seconds=int(seconds)))

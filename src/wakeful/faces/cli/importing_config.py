"""The ``schedules`` of the daemon that we stand in for, in our words: what it did, this one does, too. Pure.

It was APScheduler 3 behind a config file (tool_modules/aa_workflow/src/scheduler.py of redhat-ai-workflow).
"""

import re
from collections.abc import Mapping
from typing import Any, Literal

from wakeful.faces.cli.importing_report import Report

Weekdays = Literal["apscheduler", "cron"]

# What it did with jobs whose config said nothing of retries.
_RETRY = {
    "max_attempts": 2,
    "backoff": "exponential",
    "initial_delay_seconds": 30,
    "max_delay_seconds": 300,
    "retry_on": ["auth", "network"],
}
# Words that it did not have: who writes them means what they mean here.
_OUR_RETRY = ("max_retries", "delay_seconds", "backoff_multiplier")
_MODES = ("claude_cli", "skill_direct", "python_script", "direct", "skill_run", "mcp_direct")
_NOTIFIED = ("memory", "slack", "desktop", "email", "apprise")
_DAYS = ("MON", "TUE", "WED", "THU", "FRI", "SAT", "SUN")
_ITEM = re.compile(r"(\*|[0-6](?:-[0-6])?)(/[0-9]{1,2})?")
_NUMBER = re.compile(r"[0-9]")
_NOTES = (
    "a run that is missed is made up for once, however late; there it was dropped after 300 s: misfire_grace_time",
    "notify: there, nobody was told anything; here, whom it names is told of every end (notify_on)",
    "claude may not skip its permissions here, unless schedules.claude says skip_permissions; there it always did",
    "where claude is not installed, its jobs fail here, unless fallback_mode says skill_direct; there they ran anyway",
)


def our_schedules(theirs: Mapping[str, Any], weekdays: Weekdays | None, report: Report) -> dict[str, Any]:
    """The section in our words. What differs is in the report, and what needs a decision is bad.

    ``weekdays`` says how numbers of weekdays are meant: as they were run there (0 is Monday), or as cron has them.
    """
    ours = dict(theirs)
    if "enabled" not in theirs:
        ours["enabled"] = False
        report.note(
            "schedules.enabled: missing meant false there, and so false is written; state.json may still say on"
        )
    _mode(ours, "schedules", report)
    default = _default_retry(ours, report)
    jobs = theirs.get("jobs", [])
    if isinstance(jobs, list):
        ours["jobs"] = [
            _job(job, f"schedules.jobs[{number}]", (default, weekdays), report) for number, job in enumerate(jobs)
        ]
    for sentence in _NOTES:
        report.note(sentence)
    return ours


def _mode(section: dict[str, Any], path: str, report: Report) -> None:
    mode = section.get("execution_mode")
    if mode is not None and mode not in _MODES:
        section["execution_mode"] = "skill_direct"
        report.note(f"{path}.execution_mode: {mode!r:.60} ran skills directly there: it is skill_direct now")


def _default_retry(ours: dict[str, Any], report: Report) -> Mapping[str, Any]:
    """What holds for jobs that say nothing of retries, as it was written there."""
    theirs = ours.get("default_retry")
    if isinstance(theirs, Mapping) and any(word in theirs for word in _OUR_RETRY):
        return theirs
    if theirs:
        if not isinstance(theirs, Mapping):
            return _RETRY
        effective = {**_RETRY, **theirs}
    else:
        effective = dict(_RETRY)
        report.note("schedules.default_retry: jobs were tried again there by default: that is written out")
    ours["default_retry"] = _in_our_words(effective, "schedules.default_retry", report)
    return effective


def _in_our_words(theirs: Mapping[str, Any], path: str, report: Report) -> dict[str, Any]:
    ours = {"max_retries" if key == "max_attempts" else key: value for key, value in theirs.items()}
    count = theirs["max_attempts"]
    report.note(f"{path}.max_attempts: {count} did not count the first attempt there: it is max_retries {count} now")
    if ours["backoff"] not in ("exponential", "linear"):
        report.note(f"{path}.backoff: {ours['backoff']!r:.60} was linear there")
        ours["backoff"] = "linear"
    return ours


def _job(job: Any, path: str, about: tuple[Mapping[str, Any], Weekdays | None], report: Report) -> Any:
    if not isinstance(job, Mapping):
        return job
    default, weekdays = about
    ours = dict(job)
    for key in ("persona", "description"):
        if ours.get(key) == "":
            del ours[key]
    if "interval_minutes" in ours:
        del ours["interval_minutes"]
        report.note(f"{path}.interval_minutes: nobody read it there, and nobody would here: it is left out")
    _mode(ours, path, report)
    _retry(ours, path, default, report)
    _notify(ours, path, report)
    if isinstance(job.get("cron"), str):
        ours["cron"] = _cron(job["cron"], f"{path} ({job.get('name')!s:.60})", weekdays, report)
    return ours


def _retry(ours: dict[str, Any], path: str, default: Mapping[str, Any], report: Report) -> None:
    """A job's own words stood over the default's there, each for itself; here its policy is what it says."""
    retry = ours.get("retry")
    if not isinstance(retry, Mapping):
        return
    if any(word in retry for word in _OUR_RETRY):
        report.note(
            f"{path}.retry: it is in this daemon's words, and stays: max_attempts counts the first attempt, too"
        )
        return
    usual = _RETRY if any(word in default for word in _OUR_RETRY) else default
    ours["retry"] = _in_our_words({**usual, **retry}, f"{path}.retry", report)


def _notify(ours: dict[str, Any], path: str, report: Report) -> None:
    listed = ours.get("notify")
    if not isinstance(listed, list):
        return
    known = [each for each in listed if isinstance(each, str) and each.partition(":")[0] in _NOTIFIED]
    for each in listed:
        if each not in known:
            report.note(f"{path}.notify: {each!r:.60} is left out: nobody is known under that name")
    ours["notify"] = known


def _cron(written: str, path: str, weekdays: Weekdays | None, report: Report) -> str:
    """The line with what its fields meant there."""
    fields = written.split()
    if len(fields) != 5:
        return written
    if fields[2].lower() == "last":
        fields[2] = "L"
    meant = ",".join(_day(item) for item in fields[4].split(","))
    if meant != fields[4] and weekdays is None:
        said = f"{fields[4]} was {meant} there, as 0 is Monday to APScheduler, and as cron has it, 0 is Sunday"
        report.bad.append(f"{path}: {written!r:.80}: {said}: say by --weekdays which is meant")
    if weekdays == "apscheduler" and meant != fields[4]:
        report.note(f"{path}: weekday {fields[4]} is written as {meant}, as it was run")
        fields[4] = meant
    if fields[2] != "*" and fields[4] != "*" and not (fields[2].startswith("*") or fields[4].startswith("*")):
        both = "it ran on days that are both that day of the month and that weekday; here either is enough"
        report.bad.append(f"{path}: {written!r:.80}: {both}: leave one of the two fields open")
    return " ".join(fields)


def _day(item: str) -> str:
    """An item of the weekday field in names, if it has numbers; a step begins on Monday."""
    match = _ITEM.fullmatch(item)
    if match is None or not (_NUMBER.search(match[1]) or match[2]):
        return item
    first, _, last = ("0", "", "6") if match[1] == "*" else match[1].partition("-")
    if match[2] and not last and match[1] != "*":
        last = "6"
    days = _DAYS[int(first)] + (f"-{_DAYS[int(last)]}" if last else "")
    return days + (match[2] or "")

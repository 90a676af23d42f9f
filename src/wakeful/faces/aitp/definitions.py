"""What clients may say of tasks and schedules, as jobs."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import msgspec

from wakeful.core.civil import Dst
from wakeful.core.errors import WakefulError
from wakeful.core.job import Catchup, Data, Job, JobKey, Overlap, RetryPolicy, TargetSpec, agent_queue, task_queue
from wakeful.core.moments import parse_bound, parse_local
from wakeful.core.schedule import Schedule, ScheduleText, parse_schedule
from wakeful.core.syntaxes import named_zone
from wakeful.faces.aitp import when
from wakeful.faces.aitp.errors import Refused, WrongFieldError, clip, problem, problems, within, wrong_field
from wakeful.faces.aitp.forms import (
    Fields,
    anything,
    identifier,
    instant,
    integer,
    moment,
    number,
    one_of,
    read_object,
    small_object,
    text,
)
from wakeful.faces.aitp.ids import owner_of
from wakeful.faces.aitp.when import Trigger, trigger_of

Zones = Callable[[str], ZoneInfo | None]

# The lease of a claim where neither the agent nor the task says one (C1.2.1: timeout_seconds 300).
DEFAULT_TIMEOUT = timedelta(seconds=300)
DAY_S = 86_400
MOST_AT_ONCE = 1_000
_PAST = timedelta(minutes=1)
_TASK_PRIORITY = 5

_CATCHUP = {"run_once": Catchup.LATEST, "run_all": Catchup.ALL, "skip": Catchup.NONE}
_OVERLAP = {"allow": Overlap.ALLOW, "forbid": Overlap.SKIP, "replace": Overlap.REPLACE}
MISFIRE_NAMES = {catchup: name for name, catchup in _CATCHUP.items()}
CONCURRENCY_NAMES = {overlap: name for name, overlap in _OVERLAP.items()}


class _End(NamedTuple):
    """When a schedule ends, and its tasks are nobody's any more.

    ``text`` is an instant, or, beside a zone, a local time, which another zone makes another instant; never a duration,
    which would be counted anew with each change.
    """

    text: str | None = None
    at: datetime | None = None
    local: bool = False


class _RetryForm(msgspec.Struct, forbid_unknown_fields=True):
    """A retry policy in full."""

    backoff: str = "exponential"
    delay_seconds: float | None = None
    max_delay_seconds: float | None = None


def _retry_policy(raw: Any) -> RetryPolicy:
    """By its name, or in full; its number of retries comes from elsewhere.

    Exponential is 1, 2, 4 … 60 s, fixed is 10 s (C1.2.7).
    """
    named = bytes(raw).startswith(b'"')
    form = _RetryForm(msgspec.json.decode(raw, type=str)) if named else msgspec.json.decode(raw, type=_RetryForm)
    bounds = [seconds for seconds in (form.delay_seconds, form.max_delay_seconds) if seconds is not None]
    if form.backoff not in ("exponential", "fixed") or not all(0 <= seconds <= DAY_S for seconds in bounds):
        raise WrongFieldError(f"must be exponential or fixed, with delays of 0 to {DAY_S} seconds")
    fixed = form.backoff == "fixed"
    delay = timedelta(seconds=form.delay_seconds if form.delay_seconds is not None else 10 if fixed else 1)
    most = timedelta(seconds=form.max_delay_seconds if form.max_delay_seconds is not None else 60)
    return RetryPolicy(interval=delay) if fixed else RetryPolicy(interval=delay, multiplier=2, max_interval=most)


_DEFAULT_RETRY = RetryPolicy(3, timedelta(seconds=1), multiplier=2, max_interval=timedelta(seconds=60))

_COMMON: Fields = {
    "task_type": text(256, least=1),
    "capability_required": identifier,
    "input_data": anything,
    "priority": integer(1, 10),
    "description": text(2_000),
    "metadata": small_object,
    "max_retries": integer(0, 100),
    "retry_policy": _retry_policy,
    "timeout_seconds": number(1, 30 * DAY_S),
}
TASK_FIELDS: Fields = {**_COMMON, "expires_at": instant}
_SCHEDULE_FIELDS: Fields = {
    **_COMMON,
    **when.FIELDS,
    "timezone": text(64, least=1),
    "start_at": moment,
    "expires_at": moment,
    "max_runs": integer(1, 2**31),
    "misfire_policy": one_of(*_CATCHUP),
    "misfire_limit": integer(1, 10_000),
    "concurrency_policy": one_of(*_OVERLAP),
    "max_concurrent": integer(1, MOST_AT_ONCE),
    "pause_after": integer(1, 1_000_000),
}
_REQUIRED = ("client_id", "task_type", "capability_required", "input_data")
_STATUS = one_of("ACTIVE", "PAUSED", fold=True)
_READ_ONLY = frozenset({"schedule_id", "client_id", "created_at", "updated_at", "status_reason", "next_run_at"})
_READ_ONLY |= {"last_run_at", "total_runs", "failed_runs", "successful_runs"}
# A change of one of these is a change of the schedule's "when".
_WHEN = frozenset({*when.FIELDS, "timezone", "start_at", "expires_at", "max_runs"})


def read_task(body: bytes) -> dict[str, Any]:
    """What a request for one task says.

    Raises:
        Refused: 422.
    """
    return read_object(body, {**TASK_FIELDS, "client_id": identifier}, _REQUIRED)


def read_schedule(body: bytes) -> tuple[dict[str, Any], Trigger]:
    """What a request for a schedule says.

    Raises:
        Refused: 422.
    """
    fields = {**_SCHEDULE_FIELDS, "client_id": identifier}
    said = read_object(body, fields, _REQUIRED, _READ_ONLY | {"status"})
    trigger = _trigger(said)
    if trigger is None:
        missing = "Field required, or run_at, or a schedule_type with its fields"
        raise Refused(422, [{"type": "missing", "loc": ["body", "cron_expression"], "msg": missing}])
    return said, trigger


def read_change(body: bytes) -> dict[str, Any]:
    """What a request says that changes a schedule.

    Raises:
        Refused: 422.
    """
    return read_object(body, {**_SCHEDULE_FIELDS, "status": _STATUS}, (), _READ_ONLY)


def task_job(said: Mapping[str, Any], namespace: str, name: str, now: datetime) -> Job:
    """A task, as a job in the queue of its agents: its one run is made with it.

    Raises:
        Refused: 422.
    """
    expires = said.get("expires_at")
    if expires is not None and expires <= now:
        raise wrong_field("body", "expires_at", "is past already")
    options = {"direct": "1"} if expires is None else {"direct": "1", "expires_at": expires.isoformat()}
    given = ScheduleText(due_time=now.isoformat())
    return Job(
        key=JobKey(namespace, owner_of(said["client_id"]), name),
        schedule=Schedule(None, now, now, None, None, given, "crontab"),
        target=_target(said, options),
        queue=agent_queue(namespace, said["capability_required"]),
        data=Data("json", said["input_data"]),
        retry=_retry(said, _DEFAULT_RETRY),
        priority=said.get("priority", _TASK_PRIORITY),
        timeout=_timeout(said, None),
    )


def schedule_job(said: Mapping[str, Any], trigger: Trigger, key: JobKey, now: datetime, zones: Zones) -> Job:
    """A schedule, as a job.

    Raises:
        Refused: 422.
    """
    end = _end(said, None, now, zones)
    new = Job(
        key=key,
        schedule=_schedule(said, trigger, (ScheduleText(), end), now, zones),
        target=_target(said, _when_options(trigger, {}, end)),
        queue=task_queue(key.namespace),
        data=Data("json", said["input_data"]),
        retry=_DEFAULT_RETRY,
        overlap=Overlap.ALLOW,
        max_running=MOST_AT_ONCE,
        priority=_TASK_PRIORITY,
    )
    return _with_policies(new, said)


def changed_job(old: Job, said: Mapping[str, Any], now: datetime, zones: Zones) -> Job:
    """A schedule's job with what a request says of it.

    Raises:
        Refused: 422.
    """
    options = {**old.target.options}
    schedule = old.schedule
    if not _WHEN.isdisjoint(said):
        trigger = _trigger(said) or known_trigger(old)
        end = _end(said, old, now, zones)
        options = _when_options(trigger, options, end)
        schedule = _schedule(said, trigger, (schedule.given, end), now, zones)
    data = Data("json", said["input_data"]) if "input_data" in said else old.data
    return _with_policies(replace(old, schedule=schedule, target=_target(said, options), data=data), said)


def known_trigger(job: Job) -> Trigger:
    """The form in which a schedule was given."""
    options, given = job.target.options, job.schedule.given
    kind = options.get("schedule_type", "cron")
    return Trigger(kind, given.schedule, given.due_time, options.get("cron_expression"), options.get("recurrence"))


def zone_of(job: Job) -> str:
    """The zone in which a schedule was given."""
    return job.schedule.given.zone or "UTC"


def _trigger(said: Mapping[str, Any]) -> Trigger | None:
    try:
        return trigger_of(said)
    except WrongFieldError as error:
        name = error.name or "schedule_type"
        way = ("recurrence",) if "recurrence" in said and name not in said else ()
        raise problems(within(way, [problem("body", name, "value_error", str(error))])) from None


def _schedule(
    said: Mapping[str, Any], trigger: Trigger, known: tuple[ScheduleText, _End], now: datetime, zones: Zones
) -> Schedule:
    before, end = known
    zone = said.get("timezone", before.zone)
    _check_zone(zone, zones)
    once = trigger.kind == "once"
    if once and ("start_at" in said or "max_runs" in said):
        raise wrong_field("body", "start_at" if "start_at" in said else "max_runs", "does not go with a single instant")
    try:
        given = ScheduleText(
            schedule=trigger.schedule,
            due_time=_placed(trigger.run_at, "due time", zone),
            repeats=None if once else said.get("max_runs", before.repeats),
            zone=zone,
            start_at=None if once else _placed(said.get("start_at", before.start_at), "start", zone),
            # A task that is due once has its end in its options: nobody takes it any more then.
            until_at=None if once else end.text,
        )
        schedule = parse_schedule(given, "crontab", now, zones)
    except WakefulError as error:
        raise wrong_field("body", _blamed(error.message, trigger), clip(error.message, 400)) from None
    if trigger.schedule is not None and schedule.recurrence is None:
        raise wrong_field("body", "cron_expression", "is a single instant: write it as run_at")
    if once and given.due_time != before.due_time and schedule.first is not None and schedule.first < now - _PAST:
        raise wrong_field("body", "run_at", f"lies in the past: it is {now.isoformat(timespec='seconds')} now")
    return schedule


def _check_zone(zone: str | None, zones: Zones) -> None:
    if zone is not None:
        try:
            named_zone(zone, zones)
        except WakefulError as error:
            raise wrong_field("body", "timezone", clip(error.message, 400)) from None


def _blamed(message: str, trigger: Trigger) -> str:
    for start, field in (("start ", "start_at"), ("until ", "expires_at")):
        if message.startswith(start):
            return field
    return trigger.field


def _when_options(trigger: Trigger, before: Mapping[str, str], end: _End) -> dict[str, str]:
    """What the target remembers of the "when", for the echo; and when its tasks expire."""
    gone = ("cron_expression", "recurrence", "expires_at", "expires_local")
    options = {name: value for name, value in before.items() if name not in gone}
    options["schedule_type"] = trigger.kind
    shown = {
        "cron_expression": trigger.cron,
        "recurrence": trigger.recurrence,
        "expires_at": None if end.at is None else end.at.isoformat(),
        "expires_local": end.text if end.local else None,
    }
    return options | {name: value for name, value in shown.items() if value is not None}


def _end(said: Mapping[str, Any], old: Job | None, now: datetime, zones: Zones) -> _End:
    """The end that was said, or else the one that is known, in the zone that holds now."""
    options = {} if old is None else old.target.options
    zone = said.get("timezone", None if old is None else old.schedule.given.zone)
    text = said.get("expires_at", options.get("expires_local") or options.get("expires_at"))
    if text is None:
        return _End()
    _check_zone(zone, zones)
    try:
        there = UTC if zone is None else named_zone(zone, zones)
        expires = parse_bound(text, "until", now, there)
        local = zone is not None and parse_local(text, "until", there, Dst.ONCE) is not None
    except WakefulError as error:
        raise wrong_field("body", "expires_at", clip(error.message, 400)) from None
    if expires <= now:
        raise wrong_field("body", "expires_at", "is past already")
    return _End(text if local else expires.isoformat(), expires, local)


def _placed(text: str | None, what: str, zone: str | None) -> str | None:
    """A time as it is written; a local one where no zone is given is in the one that is shown then, UTC."""
    local = parse_local(text, what, UTC, Dst.ONCE) if text is not None and zone is None else None
    return text if local is None else local.isoformat()


def _target(said: Mapping[str, Any], before: Mapping[str, str]) -> TargetSpec:
    """Only what is text goes into options; the capability is the address, too."""
    options = dict(before)
    for field in ("task_type", "description", "metadata"):
        if field in said:
            options[field] = said[field]
    if "capability_required" in said:
        options["capability"] = said["capability_required"]
    return TargetSpec("task", options["capability"], options)


def _with_policies(job: Job, said: Mapping[str, Any]) -> Job:
    policy = said.get("concurrency_policy")
    overlap = job.overlap if policy is None else _OVERLAP[policy]
    most = said.get("max_concurrent", job.max_running if policy is None else MOST_AT_ONCE)
    if overlap is not Overlap.ALLOW and "max_concurrent" in said:
        raise wrong_field("body", "max_concurrent", "goes with the concurrency_policy allow only")
    catchup = job.catchup if "misfire_policy" not in said else _CATCHUP[said["misfire_policy"]]
    if catchup is not Catchup.ALL and "misfire_limit" in said:
        raise wrong_field("body", "misfire_limit", "goes with the misfire_policy run_all only")
    return replace(
        job,
        overlap=overlap,
        max_running=most if overlap is Overlap.ALLOW else 1,
        catchup=catchup,
        catchup_limit=said.get("misfire_limit", job.catchup_limit or 100) if catchup is Catchup.ALL else None,
        retry=_retry(said, job.retry),
        priority=said.get("priority", job.priority),
        timeout=_timeout(said, job.timeout),
        pause_after=said.get("pause_after", job.pause_after),
    )


def _retry(said: Mapping[str, Any], before: RetryPolicy) -> RetryPolicy:
    if "retry_policy" not in said and "max_retries" not in said:
        return before
    policy: RetryPolicy = said.get("retry_policy", before)
    return replace(policy, max_retries=said.get("max_retries", before.max_retries))


def _timeout(said: Mapping[str, Any], before: timedelta | None) -> timedelta | None:
    return timedelta(seconds=said["timeout_seconds"]) if "timeout_seconds" in said else before

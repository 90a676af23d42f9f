"""The texts of ``schedule``, by syntax: each makes a recurrence or an instant of one."""

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta, tzinfo

from wakeful.core.calendar_steps import CalendarSteps
from wakeful.core.civil import Dst
from wakeful.core.cron import Dialect
from wakeful.core.cron_text import is_like_cron, parse_cron
from wakeful.core.duration import Every, IsoDuration, parse_duration, parse_go_duration, parse_iso_duration
from wakeful.core.errors import ErrorCode, WakefulError
from wakeful.core.moments import in_range, parse_instant, parse_local
from wakeful.core.recurrence import Recurrence, Zones
from wakeful.core.rrule import Freq, Rule
from wakeful.core.rrule_text import is_rule, parse_rule, zone_name

_SHORTEST = timedelta(milliseconds=1)
_LONGEST = timedelta(days=36_525)

_ZONE_PREFIX = re.compile(r"(?:CRON_)?TZ=([^\s]*)")
_ZONE_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_+/-]*")
_REPEATING = re.compile(r"R(-?[0-9]{0,9})/(?:([^/]*)/)?([^/]*)")
_DATE = re.compile(r"[0-9]{4}-[0-9]{1,2}-[0-9]")
_DESCRIPTORS = {
    "@yearly": "0 0 0 1 1 *",
    "@annually": "0 0 0 1 1 *",
    "@monthly": "0 0 0 1 * *",
    "@weekly": "0 0 0 * * 0",
    "@daily": "0 0 0 * * *",
    "@midnight": "0 0 0 * * *",
    "@hourly": "0 0 * * * *",
}
_FORMS = (
    "write a crontab line (30 9 * * 1-5), @daily, @every 90s, an instant (2030-01-31T09:00:00Z), a repeating interval "
    "(R5/PT10S) or a rule (FREQ=WEEKLY;BYDAY=MO)"
)


def named_zone(name: str, zones: Zones) -> tzinfo:
    """The zone of an IANA name.

    Raises:
        WakefulError: ``INVALID_SCHEDULE``.
    """
    # The standard library's constant is the faster one, and needs no data.
    zone = UTC if name == "UTC" else zones(name) if _ZONE_NAME.fullmatch(name) else None
    if zone is None:
        raise _invalid(f"unknown time zone {name[:40]!r}: write an IANA name such as Europe/Berlin or UTC")
    return zone


def names_beginning(text: str) -> bool:
    """Whether a text that was accepted names itself the instant from which its times are counted."""
    body = text.strip()
    if is_rule(body):
        return "DTSTART" in body.upper()
    prefix = _ZONE_PREFIX.match(body)
    match = _REPEATING.fullmatch(body if prefix is None else body[prefix.end() :].strip())
    return match is not None and match[2] is not None


def _dapr(text: str, zones: Zones, zone_given: str | None, dst_given: str | None) -> Recurrence | datetime:
    """Dapr's schedules (dapr/kit cron/parser.go); also, five fields are a crontab line, an instant is a due time."""
    if zone_given is not None or dst_given is not None:
        raise _invalid("a schedule of Dapr's takes no zone and no dst: write CRON_TZ=Europe/Berlin in front of it")
    instant = parse_instant(text, "schedule")
    if instant is not None:
        return in_range(instant, "schedule")
    zone, body = _split_dapr_zone(text.strip(), zones)
    if body.startswith("@every "):
        if body != text.strip():
            raise _invalid(f"timezone is not supported for @every schedules: {text:.100}; leave the timezone out")
        interval = _interval(body, parse_go_duration)
        return Every(_checked(interval, f"failed to parse duration {body:.100}"))
    dialect = Dialect.CRONTAB if len(body.split()) == 5 else Dialect.DAPR
    return parse_cron(_macro(body), dialect=dialect, zone=zone, dst=Dst.RAW)


def _crontab(text: str, zones: Zones, zone_given: str | None, dst_given: str | None) -> Recurrence | datetime:
    """Crontab lines with all that people add to them, and every other form of a schedule that we know."""
    text, dst = text.strip(), _policy(dst_given)
    prefix = None if is_rule(text) else _ZONE_PREFIX.match(text)
    written = zone_name(text) if prefix is None else prefix[1]
    body = text if prefix is None else text[prefix.end() :].strip()
    if prefix is not None and not body:
        raise _invalid(f"timezone prefix {text:.100} is not followed by a schedule")
    zone = _one_zone(written, zone_given, zones)
    if is_rule(text):
        return _rule(text, zone, dst)
    if body.startswith("@every"):
        step = _any_interval(body)
        if prefix is not None and isinstance(step, timedelta):
            raise _invalid(f"an interval of elapsed time has no zone: leave {prefix[0]:.60} out")
        return _steps(step, zone, dst)
    if body[:1] == "R":
        return _repeating(body, zone, dst, zoned=written is not None or zone_given is not None)
    instant = _one_instant(body, None if written is None and zone_given is None else zone, dst)
    return instant or parse_cron(_macro(_line(body)), dialect=Dialect.CRONTAB, zone=zone, dst=dst)


def _rule(text: str, zone: tzinfo, dst: Dst) -> Rule:
    rule = parse_rule(text, zone)
    parts, runs = rule.parts, None
    if rule.start is None:
        # Without a start there is no series yet whose times could be counted.
        parts, runs = parts._replace(number=None), parts.number
    return Rule(parts, zone, Dst.RAW if parts.freq >= Freq.HOURLY else dst, rule.start, runs)


def _line(body: str) -> str:
    if body[:1] == "P":
        raise _invalid(f"{body:.60} is a duration, and says not from when: write @every {body:.60} or R/{body:.60}")
    if _DATE.match(body):
        right = "write it as 2030-01-31T09:00:00Z, with a T before the time"
        raise _invalid(f"{body[:60]!r} is no instant: {right}, and Z or an offset behind it")
    if not body or not is_like_cron(body):
        raise _invalid(f"{body[:60]!r} is no schedule: {_FORMS}" if body else f"empty spec string; {_FORMS}")
    return body


def _macro(body: str) -> str:
    if not body.startswith("@"):
        return body
    if body not in _DESCRIPTORS:
        known = ", ".join(_DESCRIPTORS)
        raise _invalid(f"unrecognized descriptor: {body:.100}; {known} and @every with a duration are known")
    return _DESCRIPTORS[body]


def _policy(name: str | None) -> Dst:
    if name is not None and name not in list(Dst):
        raise _invalid(f"unknown dst policy {name[:40]!r}: write once, skip or raw")
    return Dst.ONCE if name is None else Dst(name)


def _one_zone(written: str | None, given: str | None, zones: Zones) -> tzinfo:
    if written is not None and given is not None and written != given:
        raise _invalid(f"the schedule names the zone {written[:40]!r} and its zone is {given[:40]!r}: leave out one")
    name = given if written is None else written
    return UTC if name is None else named_zone(name, zones)


def _one_instant(body: str, zone: tzinfo | None, dst: Dst) -> datetime | None:
    instant = parse_instant(body, "schedule")
    return parse_local(body, "schedule", zone, dst) if instant is None else in_range(instant, "schedule")


def _repeating(body: str, zone: tzinfo, dst: Dst, *, zoned: bool) -> Recurrence:
    """ISO 8601's ``Rn/start/duration`` and ``Rn/duration``: n occurrences; ``R/`` and ``R-1/`` go on for ever."""
    match = _REPEATING.fullmatch(body)
    if match is None:
        raise _invalid(f"{body:.100} is no repeating interval: write R5/PT10S or R5/2030-01-31T09:00:00Z/P1D")
    number = None if match[1] in ("", "-1") else int(match[1] if match[1] != "-" else 0)
    if number is not None and number < 1:
        raise _invalid(f"a repeating interval needs a number of occurrences: {body:.100}; write R1/ or more, or R/")
    step = _iso_step(match[3], body)
    if match[2] is None:
        return _steps(step, zone, dst, number)
    start = _one_instant(match[2], zone if zoned else None, Dst.ONCE)
    if start is None:
        raise _invalid(f"{match[2][:40]!r} in {body:.100} is no start: write it as 2030-01-31T09:00:00Z")
    return _steps(step, zone, dst, number, start)


def _steps(
    step: timedelta | IsoDuration, zone: tzinfo, dst: Dst, number: int | None = None, start: datetime | None = None
) -> Recurrence:
    """``number`` occurrences where there is a start, else that many runs."""
    runs, size = (number, None) if start is None else (None, number)
    if isinstance(step, timedelta):
        return Every(step, zone, runs, start, size)
    steps = CalendarSteps(step, zone, dst, runs, None, size)
    return steps if start is None else steps.anchored_at(start)


def _any_interval(body: str) -> timedelta | IsoDuration:
    duration = body.removeprefix("@every").strip()
    if duration[:1] == "P":
        return _iso_step(duration, body)
    interval = _checked(_interval(body, parse_duration), f"failed to parse duration {body:.100}")
    if not interval:
        raise _invalid(f"failed to parse duration {body:.100}: an interval of zero would be due for ever")
    return interval


def _iso_step(text: str, body: str) -> timedelta | IsoDuration:
    failed = f"failed to parse duration {body:.100}"
    try:
        step = parse_iso_duration(text)
    except WakefulError as error:
        raise _invalid(f"{failed}: {error.message}") from None
    months = step.years * 12 + step.months
    if not months and not step.days:
        if not step.time:
            raise _invalid(f"{failed}: an interval of zero would be due for ever")
        return _checked(step.time, failed)
    if months > 1200 or step.days > _LONGEST.days or step.time > _LONGEST:
        raise _invalid(f"{failed}: an interval must not be longer than 100 years")
    return step


def _interval(body: str, parse: Callable[[str], timedelta]) -> timedelta:
    try:
        return parse(body.removeprefix("@every").strip())
    except WakefulError as error:
        raise _invalid(f"failed to parse duration {body:.100}: {error.message}") from None


def _checked(interval: timedelta, failed: str) -> timedelta:
    if interval < timedelta():
        raise _invalid(f"{failed}: an interval cannot be negative")
    if timedelta() < interval < _SHORTEST:
        raise _invalid(f"{failed}: an interval must be at least 1ms")
    if interval > _LONGEST:
        raise _invalid(f"{failed}: an interval must not be longer than 100 years (876600h)")
    return interval


def _split_dapr_zone(text: str, zones: Zones) -> tuple[tzinfo, str]:
    prefix = _ZONE_PREFIX.match(text)
    if prefix is None:
        return UTC, text
    name, body = prefix[1], text[prefix.end() :].strip()
    if not body:
        raise _invalid(f"timezone prefix {text:.100} is not followed by a schedule")
    # Dapr's scheduler works in UTC, and so "local" is UTC there.
    zone = UTC if name in ("UTC", "Local") else zones(name) if _ZONE_NAME.fullmatch(name) else None
    if zone is None:
        unknown = f"provided bad location {name:.40}: unknown time zone {name:.40}"
        raise _invalid(f"{unknown}; an IANA name such as Europe/Rome is needed")
    return zone, body


def _invalid(message: str) -> WakefulError:
    return WakefulError(ErrorCode.INVALID_SCHEDULE, message)


_Syntax = Callable[[str, Zones, str | None, str | None], Recurrence | datetime]
SYNTAXES: Mapping[str, _Syntax] = {"dapr": _dapr, "crontab": _crontab}

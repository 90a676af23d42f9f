"""What was understood of a schedule, in one line that a person reads."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta, tzinfo
from itertools import pairwise, product

from wakeful.core.calendar_steps import CalendarSteps
from wakeful.core.civil import Dst
from wakeful.core.cron import LAST, LAST_WORKDAY, Cron, Special
from wakeful.core.duration import Every, IsoDuration
from wakeful.core.recurrence import Recurrence
from wakeful.core.rrule import Freq, Parts, Rule
from wakeful.core.schedule import Schedule

_MONTHS = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)
_WEEKDAYS = ("Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday")
_FEW = 6
_POLICIES = {
    Dst.ONCE: "a time that daylight saving skips runs at the first moment after, a repeated one once",
    Dst.SKIP: "a time that daylight saving skips does not run, a repeated one runs once",
    Dst.RAW: "a time that daylight saving skips does not run, a repeated one runs twice",
}
_ELAPSED = "it follows elapsed time through daylight saving"
_STEPS_S = {Freq.HOURLY: 3600, Freq.MINUTELY: 60, Freq.SECONDLY: 1}
_UNITS = {
    Freq.YEARLY: "year",
    Freq.MONTHLY: "month",
    Freq.WEEKLY: "week",
    Freq.DAILY: "day",
    Freq.HOURLY: "hour",
    Freq.MINUTELY: "minute",
    Freq.SECONDLY: "second",
}


def describe(schedule: Schedule) -> str:
    """One line: when it is due, in which zone, what daylight saving does to it, and where it begins and ends."""
    recurrence = schedule.recurrence
    if recurrence is None:
        return "never" if schedule.first is None else f"once, at {moment(schedule.first)}"
    words = [_when(recurrence), *_limits(schedule)]
    if schedule.first is not None:
        words.insert(0, f"first at {moment(schedule.first)}, then")
        words[:2] = [" ".join(words[:2])]
    return ", ".join(words) + _policy(recurrence)


def moment(instant: datetime, zone: tzinfo = UTC) -> str:
    """An instant as a zone's clocks show it, with the zone's name."""
    local = instant.astimezone(zone)
    return f"{local:%Y-%m-%d %H:%M:%S} {zone_label(zone)}"


def zone_label(zone: tzinfo) -> str:
    """The IANA name of a zone."""
    return str(getattr(zone, "key", zone))


def ordinal(number: int) -> str:
    """1st, 2nd, 3rd, 4th, …"""
    suffix = "th" if number % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{suffix}"


def keeps_hours(recurrence: Recurrence) -> bool:
    """Whether it follows elapsed time at all hours alike, so that a change of clocks takes nothing and adds nothing."""
    match recurrence:
        case Cron():
            return recurrence.elapsed and len(recurrence.hours) == 24
        case Rule():
            step_s = _STEPS_S.get(recurrence.parts.freq, 0) * recurrence.parts.interval
            return not recurrence.parts.times.hours and step_s > 0 and 3600 % step_s == 0
    return recurrence.elapsed


def _when(recurrence: Recurrence) -> str:
    match recurrence:
        case Cron():
            return f"{_cron(recurrence)}, {zone_label(recurrence.zone)}"
        case Every():
            anchor = "" if recurrence.anchor is None else f", counted from {moment(recurrence.anchor)}"
            return f"every {_one(length(recurrence.interval))}{anchor}"
        case CalendarSteps():
            return f"every {_one(_calendar(recurrence.step))}{_anchored(recurrence)}, {zone_label(recurrence.zone)}"
        case Rule():
            return f"{_rule(recurrence.parts)}{_anchored(recurrence)}, {zone_label(recurrence.zone)}"
    return "by a recurrence of its own"


def _anchored(recurrence: CalendarSteps | Rule) -> str:
    return "" if recurrence.anchor is None else f", counted from {recurrence.anchor:%Y-%m-%d %H:%M:%S} local time"


def _limits(schedule: Schedule) -> Iterable[str]:
    if schedule.given.start_at is not None:
        yield f"from {moment(schedule.start + timedelta.resolution)} on"
    if schedule.until is not None:
        yield f"until {moment(schedule.until)}"
    size = getattr(schedule.recurrence, "size", None)
    if size is not None:
        yield f"{size} occurrence{'s' * (size != 1)} in all"
    if schedule.repeats is not None:
        yield f"{schedule.repeats} run{'s' * (schedule.repeats != 1)} at most"


def _policy(recurrence: Recurrence) -> str:
    if recurrence.zone is UTC or isinstance(recurrence, Every):
        return ""
    if keeps_hours(recurrence):
        return f"; {_ELAPSED}"
    return f"; {_POLICIES[recurrence.dst]}" if isinstance(recurrence, Cron | CalendarSteps | Rule) else ""


def _cron(cron: Cron) -> str:
    times = _clock_times(cron.hours, cron.minutes, cron.seconds) or _cycle(cron)
    days = _days(cron)
    if days is None and len(cron.months_named) == 12:
        return times if times.startswith("every") or times.endswith("hour") else f"{times} every day"
    months = "" if len(cron.months_named) == 12 else f"in {_spell(cron.months_named, _MONTHS, 1)}"
    return " ".join(part for part in (times, "every day" if days is None else days, months) if part)


def _clock_times(hours: Sequence[int], minutes: Sequence[int], seconds: Sequence[int]) -> str | None:
    """``at 02:30, 14:30``, if they are few."""
    if len(hours) * len(minutes) * len(seconds) > _FEW:
        return None
    shown = "{:02}:{:02}" if tuple(seconds) == (0,) else "{:02}:{:02}:{:02}"
    return "at " + ", ".join(shown.format(*each) for each in product(hours, minutes, seconds))


def _cycle(cron: Cron) -> str:
    """``every 5 minutes of the hours 9 to 17``."""
    hours = "" if len(cron.hours) == 24 else f" of the hour{'s' * (len(cron.hours) > 1)} {_spell(cron.hours)}"
    if cron.seconds == (0,):
        words = _every(cron.minutes, "minute")
        return words + (hours or ("" if words.startswith("every") else " of every hour"))
    words = _every(cron.seconds, "second")
    if len(cron.minutes) < 60:
        return f"{words} of the minutes {_spell(cron.minutes)}{hours or ' of every hour'}"
    return words + ("" if words.startswith("every") else " of every minute") + hours


def _every(values: Sequence[int], unit: str) -> str:
    step = 60 // len(values)
    if tuple(values) == tuple(range(0, 60, step)) and 60 % len(values) == 0 and len(values) > 1:
        return f"every {unit}" if step == 1 else f"every {step} {unit}s"
    return f"at {unit} {_spell(values)}"


def _days(cron: Cron) -> str | None:
    special = cron.special or Special()
    days, weekdays = [], []
    if cron.days != (1 << 31) - 1 and cron.days:
        days.append(f"day {_spell([day + 1 for day in range(31) if cron.days >> day & 1])} of the month")
    days += [_before_last(back) for back in special.last] + [_near(day) for day in special.nearest]
    if cron.weekdays != 0x7F and cron.weekdays:
        weekdays.append(_spell([day for day in range(7) if cron.weekdays >> day & 1], _WEEKDAYS))
    weekdays += [_nth(weekday, number) for weekday, number in special.nth]
    in_month, in_week = " or ".join(days), " or ".join(weekdays)
    if in_month and in_week:
        return f"on {in_month}, and also on {in_week}" if cron.either_day else f"on {in_month} if it is {in_week}"
    return f"on {in_month or in_week}" if in_month or in_week else None


def _before_last(back: int) -> str:
    if back == 0:
        return "the last day of the month"
    return f"the day {back} day{'s' * (back > 1)} before the last of the month"


def _near(day: int) -> str:
    if day == LAST_WORKDAY:
        return "the last working day of the month"
    return f"the working day nearest to the {ordinal(day)} of the month"


def _nth(weekday: int, number: int) -> str:
    return f"the {'last' if number == LAST else ordinal(number)} {_WEEKDAYS[weekday]} of the month"


def _spell(values: Sequence[int], names: Sequence[str] | None = None, first: int = 0) -> str:
    """``9 to 17``, ``0 to 22 in steps of 2``, or the values one by one."""
    shown = [str(value) if names is None else names[value - first] for value in values]
    steps = {after - before for before, after in pairwise(values)}
    if len(values) > 2 and steps == {1}:
        return f"{shown[0]} to {shown[-1]}"
    if len(values) > 4 and len(steps) == 1 and names is None:
        return f"{shown[0]} to {shown[-1]} in steps of {steps.pop()}"
    return ", ".join(shown)


def _rule(parts: Parts) -> str:
    unit, count = _UNITS[parts.freq], parts.interval
    words = [f"every {unit}" if count == 1 else f"every {count} {unit}s"]
    days, times = parts.days, parts.times
    if days.months:
        words.append(f"in {_spell(days.months, _MONTHS, 1)}")
    if days.weekdays:
        words.append("on " + ", ".join(_rule_day(day, number) for day, number in days.weekdays))
    for label, values in (("day of the month", days.monthdays), ("day of the year", days.yeardays)):
        if values:
            words.append(f"on {label} {', '.join(map(str, values))}")
    if days.weeks:
        words.append(f"in week {', '.join(map(str, days.weeks))}")
    clock = _clock_times(times.hours, times.minutes or (0,), times.seconds or (0,)) if times.hours else None
    if clock and times.minutes and parts.freq < Freq.HOURLY:
        words.append(clock)
    else:
        named = (("hour", times.hours), ("minute", times.minutes), ("second", times.seconds))
        words += [f"at {name} {_spell(values)}" for name, values in named if values]
    if parts.positions:
        words.append(f"of these number {', '.join(map(str, parts.positions))}")
    if parts.number is not None:
        words.append(f"{parts.number} time{'s' * (parts.number != 1)}")
    if parts.until is not None:
        words.append(f"until {parts.until:%Y-%m-%d %H:%M:%S} local time")
    return " ".join(words)


def _rule_day(day: int, number: int) -> str:
    name = _WEEKDAYS[(day + 1) % 7]
    if not number:
        return name
    return f"the {ordinal(number)} {name}" if number > 0 else f"the {_from_end(-number)} {name}"


def _from_end(number: int) -> str:
    return "last" if number == 1 else f"{ordinal(number)} last"


def _calendar(step: IsoDuration) -> str:
    parts = [_count(step.years, "year"), _count(step.months, "month"), _count(step.days, "day")]
    if step.time:
        parts.append(length(step.time))
    return " ".join(part for part in parts if part)


def length(duration: timedelta) -> str:
    """A duration in words: ``1 hour 30 minutes``."""
    if not duration:
        return "0 seconds"
    days, seconds = duration.days, duration.seconds
    rest = seconds % 60 + duration.microseconds / 1_000_000
    parts = [_count(days, "day"), _count(seconds // 3600, "hour"), _count(seconds // 60 % 60, "minute")]
    if rest:
        parts.append(f"{rest:.6f}".rstrip("0").rstrip(".") + (" second" if rest == 1 else " seconds"))
    return " ".join(part for part in parts if part)


def _one(duration: str) -> str:
    """``day`` for ``1 day``."""
    number, _, unit = duration.partition(" ")
    return unit if number == "1" and " " not in unit else duration


def _count(number: int, unit: str) -> str:
    return f"{number} {unit}{'s' * (number != 1)}" if number else ""

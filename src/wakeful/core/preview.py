"""The next instants of a schedule, and what its author may not expect of them."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo

from wakeful.core.civil import CivilTimes, Dst
from wakeful.core.cron import Cron
from wakeful.core.describe import describe, keeps_hours, moment
from wakeful.core.duration import Every
from wakeful.core.schedule import Schedule

__all__ = ["MOST_INSTANTS", "Preview", "describe", "preview", "warnings"]

MOST_INSTANTS = 1000
_FAR = timedelta(days=366)
_OFTEN = timedelta(seconds=1)
# What a full field of a cron expression has, by its place among six; a step that does not divide it starts anew.
_FIELDS = (
    ("second", 60, "minute"),
    ("minute", 60, "hour"),
    ("hour", 24, "day"),
    ("day of month", 31, "month"),
    ("month", 12, "year"),
    ("day of week", 7, "week"),
)


@dataclass(frozen=True, slots=True)
class Preview:
    """The instants at which a schedule is due next, and sentences about what may surprise."""

    instants: tuple[datetime, ...]
    warnings: tuple[str, ...]


def preview(schedule: Schedule, after: datetime, count: int) -> Preview:
    """The first ``count`` instants after ``after``, at most ``MOST_INSTANTS``; what was due before is taken as run."""
    count = max(0, min(count, MOST_INSTANTS))
    instants = tuple(due for due, _ in zip(_following(schedule, after), range(count), strict=False))
    return Preview(instants, tuple(_warnings(schedule, after, instants, ended=len(instants) < count)))


def warnings(schedule: Schedule, after: datetime) -> tuple[str, ...]:
    """The sentences of a preview of ten instants."""
    return preview(schedule, after, 10).warnings


def _following(schedule: Schedule, after: datetime) -> Iterator[datetime]:
    due, runs = schedule.first_due(), 1
    if due is not None and due <= after:
        passed = schedule.passed(due, after)
        due, runs = schedule.next_due(passed.last, passed.count), passed.count + 1
    while due is not None:
        yield due
        due, runs = schedule.next_due(due, runs), runs + 1


def _warnings(schedule: Schedule, after: datetime, instants: tuple[datetime, ...], *, ended: bool) -> Iterator[str]:
    recurrence = schedule.recurrence
    zone = schedule.zone
    if recurrence is None and schedule.first is not None and schedule.first <= after:
        yield f"{moment(schedule.first)} has passed: it is due at once"
    elif ended and not instants:
        yield f"it is never due after {moment(after)}"
    elif ended and recurrence is not None:
        yield f"it ends: the last instant is {moment(instants[-1], zone)}"
    if instants and instants[0] - after > _FAR:
        yield f"the first instant is more than a year away: {moment(instants[0], zone)}"
    if isinstance(recurrence, Every) and timedelta() < recurrence.interval < _OFTEN:
        yield f"it is due {_OFTEN / recurrence.interval:.0f} times a second"
    if isinstance(recurrence, Every) and not recurrence.interval:
        yield "its interval is zero: all its repeats are due at the same instant"
    if isinstance(recurrence, Cron):
        yield from _of_cron(recurrence)
    if isinstance(recurrence, CivilTimes) and instants and not keeps_hours(recurrence):
        yield from _of_changes(recurrence, recurrence.zone, max(after, schedule.start), instants[-1])


def _of_cron(cron: Cron) -> Iterator[str]:
    words = cron.text.split()
    words = ["0", *words] if len(words) == 5 else words
    if cron.either_day:
        yield (
            f"day of month {words[3]} and day of week {words[5]} are both given, and either is enough: it is due on "
            "days that match only one of them"
        )
    for word, (name, size, whole) in zip(words, _FIELDS, strict=True):
        for item in word.split(","):
            span, _, step = item.partition("/")
            if not step.isdigit() or "-" in span:
                continue
            if int(step) >= size:
                yield f"uneven step: {item} in the {name} field names one value only in each {whole}"
            elif int(step) > 1 and (size % int(step) or name == "day of month"):
                yield f"uneven step: {item} in the {name} field starts anew each {whole}, after a shorter interval"


def _of_changes(recurrence: CivilTimes, zone: tzinfo, after: datetime, through: datetime) -> Iterator[str]:
    for instant, missing, repeated in recurrence.changes(after, through):
        shown = f"{moment(instant, zone)} ({moment(instant, UTC)})"
        if missing:
            many = f"{missing} time{'s' * (missing > 1)}"
            fate = "due then, once" if recurrence.dst is Dst.ONCE else "left out"
            yield f"the clocks go forward to {shown}: {many} that they skip will be {fate}"
        if repeated:
            many = f"{repeated} time{'s' * (repeated > 1)}"
            fate = "due twice" if recurrence.dst is Dst.RAW else "due the first time only"
            yield f"the clocks go back to {shown}: {many} that they show twice will be {fate}"

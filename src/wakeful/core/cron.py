"""Cron expressions and when they are due.

UTC is cut into stretches in which the zone's offset is constant. Inside one, the due instants are the local times that
match, moved by the offset; between two, where local time jumps, the daylight-saving policy decides.
All arithmetic is on whole seconds since 1970; ``utc`` and ``local`` in names say on which clock.
"""

from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, tzinfo
from enum import StrEnum
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple

from wakeful.core.duration import TEXT_LIMIT
from wakeful.core.errors import ErrorCode, WakefulError

_DAY = 86_400
_SECOND = timedelta(seconds=1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EPOCH_ORDINAL = date(1970, 1, 1).toordinal()
_FIRST = -2_208_988_800  # 1900-01-01
_END = 10_413_792_000  # 2300-01-01; any date and weekday comes again within 40 years
_END_DAY = _END // _DAY

# tzinfo promises |offset| < 24 h, so two offsets of a zone never differ by more.
_WIDEST_JUMP = 2 * _DAY
_BLOCK = 96 * _DAY

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_WEEKDAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_LENGTHS = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
_SIX_WEEKS = sum(1 << 7 * week for week in range(6))
_STARS = ("*", "?")
_DIGITS = 9


class Dialect(StrEnum):
    """Whose rules the text follows.

    ``dapr``: six fields, seconds first; a day field is a star if it holds ``*``, ``?`` or ``*/1``; weekdays 0-6.
    ``crontab``: five fields, second 0; a day field is a star if it begins with one, as in Vixie cron; weekdays 0-7.
    Where a day field is a star both must match; otherwise one of them is enough.
    """

    DAPR = "dapr"
    CRONTAB = "crontab"


class Dst(StrEnum):
    """What becomes of local times that the change of clocks leaves out or repeats.

    ``raw``: a missing time is left out, a repeated one is due twice. ``once``: what is missing in a gap is due once,
    at the first instant after it; a repeated time is due the first time. ``skip``: a missing time is left out, a
    repeated one is due the first time. Where the minute or the hour begins with a star, all three do as ``raw``.
    """

    RAW = "raw"
    ONCE = "once"
    SKIP = "skip"


class _Unit(NamedTuple):
    name: str
    low: int
    high: int
    names: tuple[str, ...] = ()


_UNITS = (
    _Unit("second", 0, 59),
    _Unit("minute", 0, 59),
    _Unit("hour", 0, 23),
    _Unit("day of month", 1, 31),
    _Unit("month", 1, 12, _MONTHS),
)


class _Stretch(NamedTuple):
    """UTC [``start``, ``end``) with one offset. Before it, local clocks had already shown all below ``reached``."""

    start: int
    end: int
    offset: int
    reached: int


class _Span(NamedTuple):
    """Local [``low``, ``high``), ``offset`` from UTC, in which matching times are due; ``start`` is due for a gap."""

    low: int
    high: int
    offset: int
    gap_due: int | None


@dataclass(frozen=True, slots=True)
class Cron:
    """A compiled cron expression; make it with ``parse_cron``. Due instants are whole seconds, 1900 to 2299.

    Times of day are sorted tuples; dates are bit masks whose lowest bit is the first day, January and Sunday.
    ``elapsed``: the minute or the hour begins with a star; ``dst`` is then ``raw``, whatever was asked for.
    """

    text: str
    zone: tzinfo
    dst: Dst
    seconds: tuple[int, ...]
    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    days: int
    months: int
    weekdays: int
    either_day: bool
    elapsed: bool

    def next_after(self, instant: datetime) -> datetime | None:
        """The first due instant after ``instant``, whose fraction of a second is dropped; ``None`` from 2300 on."""
        utc = max((instant - _EPOCH) // _SECOND + 1, _FIRST)
        while utc < _END:
            stretch = _stretch_at(self.zone, utc)
            if utc == stretch.start and self._gap_is_due(stretch):
                return _instant(utc)
            local = self._next_local(self._low(stretch, utc))
            if local - stretch.offset < min(stretch.end, _END):
                return _instant(local - stretch.offset)
            # Beyond the widest jump no local time comes back, so nothing is due until clocks are about to show `local`.
            near = stretch.end < utc + _WIDEST_JUMP
            utc = stretch.end if near else max(stretch.end, local - stretch.offset - _WIDEST_JUMP)
        return None

    def last_through(self, instant: datetime, since: datetime) -> datetime | None:
        """The latest due instant in [``since``, ``instant``]."""
        for span in reversed(list(self._spans(since, instant))):
            local = self._last_local(span.low, span.high)
            if local is not None:
                return _instant(local - span.offset)
            if span.gap_due is not None:
                return _instant(span.gap_due)
        return None

    def count(self, since: datetime, through: datetime) -> int:
        """The number of due instants in [``since``, ``through``]; its cost grows with the months, not the instants."""
        spans = self._spans(since, through)
        return sum(self._count_local(span.low, span.high) + (span.gap_due is not None) for span in spans)

    def _spans(self, since: datetime, through: datetime) -> Iterator[_Span]:
        utc = max(-((_EPOCH - since) // _SECOND), _FIRST)
        end = min((through - _EPOCH) // _SECOND + 1, _END)
        while utc < end:
            stretch = _stretch_at(self.zone, utc)
            gap_due = utc if utc == stretch.start and self._gap_is_due(stretch) else None
            # The instant after a gap is due once, even if it matches by itself.
            low = self._low(stretch, utc) + (gap_due is not None)
            yield _Span(low, min(end, stretch.end) + stretch.offset, stretch.offset, gap_due)
            utc = stretch.end

    def _low(self, stretch: _Stretch, utc: int) -> int:
        local = utc + stretch.offset
        return local if self.dst is Dst.RAW else max(local, stretch.reached)

    def _gap_is_due(self, stretch: _Stretch) -> bool:
        return self.dst is Dst.ONCE and self._count_local(stretch.reached, stretch.start + stretch.offset) > 0

    def _next_local(self, local: int) -> int:
        day, second = divmod(local, _DAY)
        rank = self._rank(second) if self._matching_days(day, day + 1) else self._per_day
        if rank < self._per_day:
            return day * _DAY + self._time(rank)
        return self._next_day(day + 1) * _DAY + self._time(0)

    def _last_local(self, low: int, high: int) -> int | None:
        day, second = divmod(high - 1, _DAY)
        rank = self._rank(second + 1) if self._matching_days(day, day + 1) else 0
        if not rank:
            day, rank = self._last_day(day - 1, low // _DAY), self._per_day
        local = day * _DAY + self._time(rank - 1)
        return local if local >= low else None

    def _count_local(self, low: int, high: int) -> int:
        if low >= high:
            return 0
        (first, begin), (last, end) = divmod(low, _DAY), divmod(high, _DAY)
        total = self._matching_days(first, last) * self._per_day
        if begin and self._matching_days(first, first + 1):
            total -= self._rank(begin)
        if end and self._matching_days(last, last + 1):
            total += self._rank(end)
        return total

    @property
    def _per_day(self) -> int:
        return len(self.hours) * len(self.minutes) * len(self.seconds)

    def _rank(self, second: int) -> int:
        """How many due times of a day lie before its ``second``."""
        hour, rest = divmod(second, 3600)
        minute, second = divmod(rest, 60)
        i = bisect_left(self.hours, hour)
        j = k = 0
        if i < len(self.hours) and self.hours[i] == hour:
            j = bisect_left(self.minutes, minute)
            if j < len(self.minutes) and self.minutes[j] == minute:
                k = bisect_left(self.seconds, second)
        return (i * len(self.minutes) + j) * len(self.seconds) + k

    def _time(self, rank: int) -> int:
        """The due time of a day, in seconds, before which there are ``rank`` others."""
        rest, k = divmod(rank, len(self.seconds))
        i, j = divmod(rest, len(self.minutes))
        return self.hours[i] * 3600 + self.minutes[j] * 60 + self.seconds[k]

    def _next_day(self, day: int) -> int:
        while day < _END_DAY:
            dom, length, bits = self._month(day)
            if bits >> dom:
                return day + _lowest(bits >> dom)
            day += length - dom
        return _END_DAY + 2  # beyond the end in any zone

    def _last_day(self, day: int, floor: int) -> int:
        while day >= floor:
            dom, _, bits = self._month(day)
            bits &= (2 << dom) - 1
            if bits:
                return day - dom + bits.bit_length() - 1
            day -= dom + 1
        return day

    def _matching_days(self, day: int, end: int) -> int:
        total = 0
        while day < end:
            dom, length, bits = self._month(day)
            size = min(end - day, length - dom)
            total += (bits >> dom & (1 << size) - 1).bit_count()
            day += size
        return total

    def _month(self, day: int) -> tuple[int, int, int]:
        """The day's place in its month (from 0), the month's length, and the mask of its matching days."""
        civil = date.fromordinal(day + _EPOCH_ORDINAL)
        year, month, dom = civil.year, civil.month, civil.day - 1
        leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
        length = 28 if month == 2 and not leap else _LENGTHS[month - 1]
        if not self.months >> month - 1 & 1:
            return dom, length, 0
        # 1970-01-01 was a Thursday, 4 counted from Sunday.
        by_weekday = self.weekdays * _SIX_WEEKS >> (day - dom + 4) % 7
        bits = self.days | by_weekday if self.either_day else self.days & by_weekday
        return dom, length, bits & (1 << length) - 1


def parse_cron(text: str, *, dialect: Dialect, zone: tzinfo, dst: Dst) -> Cron:
    """Compile ``text``.

    The dialect's syntax and the first words of the messages are Dapr's: dapr/kit cron/parser.go.

    Raises:
        WakefulError: ``INVALID_SCHEDULE`` for what the dialect does not allow and for what can never be due.
    """
    words = _split(text, dialect)
    units = (*_UNITS, _Unit("day of week", 0, 6 if dialect is Dialect.DAPR else 7, _WEEKDAYS))
    fields = [_parse_field(word, unit, dialect) for word, unit in zip(words, units, strict=True)]
    (seconds, _), (minutes, _), (hours, _), (days, day_star), (months, _), (weekdays, weekday_star) = fields
    elapsed = words[1].startswith(_STARS) or words[2].startswith(_STARS)
    cron = Cron(
        text=text,
        zone=zone,
        dst=Dst.RAW if elapsed else dst,
        seconds=_values(seconds),
        minutes=_values(minutes),
        hours=_values(hours),
        days=days >> 1,
        months=months >> 1,
        weekdays=weekdays & 0x7F | weekdays >> 7,  # 7 is another name for 0
        either_day=not (day_star or weekday_star),
        elapsed=elapsed,
    )
    _refuse_never(cron)
    return cron


def _split(text: str, dialect: Dialect) -> list[str]:
    if len(text) > TEXT_LIMIT:
        raise _invalid(f"a schedule of {len(text)} characters is too long: at most {TEXT_LIMIT} are allowed")
    if not text.isascii():
        raise _invalid("failed to parse the schedule: only ASCII characters are allowed in a cron expression")
    words = text.split()
    wanted, names = (6, "second minute hour") if dialect is Dialect.DAPR else (5, "minute hour")
    if len(words) != wanted:
        wrong = f"expected exactly {wanted} fields, found {len(words)}: [{' '.join(words):.100}]"
        raise _invalid(f"{wrong if text else 'empty spec string'}; write {names} day month weekday")
    return words if wanted == 6 else ["0", *words]


def _parse_field(text: str, unit: _Unit, dialect: Dialect) -> tuple[int, bool]:
    """The values as a bit mask, and whether the day rule takes the field for a star."""
    bits, star = 0, False
    for item in text.split(","):
        if item:
            first, last, step = _parse_item(item, unit, dialect)
            bits |= sum(1 << value for value in range(first, last + 1, step))
            star = star or (item[0] in _STARS and step == 1)
        elif dialect is Dialect.CRONTAB:
            raise _invalid(f"an item is missing in the {unit.name} field {text:.100}: write numbers between the commas")
    if not bits:
        raise _invalid(f"this schedule can never be due: the {unit.name} field {text:.100} names no value")
    return bits, star if dialect is Dialect.DAPR else text.startswith(_STARS)


def _parse_item(item: str, unit: _Unit, dialect: Dialect) -> tuple[int, int, int]:
    span, *steps = item.split("/")
    ends = span.split("-")
    if len(ends) > 2:
        raise _invalid(f"too many hyphens: {item:.100}; a range is written as 1-5")
    if len(steps) > 1:
        raise _invalid(f"too many slashes: {item:.100}; a step is written as 0-59/5")
    first, last = (unit.low, unit.high) if span in _STARS else (_number(ends[0], unit), _number(ends[-1], unit))
    step = _number(steps[0], None) if steps else 1
    if steps and len(ends) == 1:
        last = unit.high
    where = f"{item:.100} in the {unit.name} field"
    if first < unit.low:
        raise _invalid(f"beginning of range ({first}) below minimum ({unit.low}): {where}")
    if last > unit.high:
        raise _invalid(f"end of range ({last}) above maximum ({unit.high}): {where}")
    if first > last:
        raise _invalid(f"beginning of range ({first}) beyond end of range ({last}): {where}")
    if step < 1:
        raise _invalid(f"step of range should be a positive number: {where}")
    if dialect is Dialect.CRONTAB and step > max(last - first, 1):
        raise _invalid(f"the step ({step}) is larger than its range ({first}-{last}): {where}; write {first} alone")
    return first, last, step


def _number(text: str, unit: _Unit | None) -> int:
    names = unit.names if unit else ()
    if unit and text.lower() in names:
        return unit.low + names.index(text.lower())
    if text.isdigit() and len(text) <= _DIGITS:
        return int(text)
    if text[:1] == "-" and text[1:].isdigit():
        raise _invalid(f"negative number ({text:.20}) not allowed: {text:.20}")
    needed = f"a number of at most {_DIGITS} digits" + (f" or one of {' '.join(names)}" if names else "")
    raise _invalid(f"failed to parse int from {text:.100}: {needed} is needed")


def _refuse_never(cron: Cron) -> None:
    months = [month for month in range(12) if cron.months >> month & 1]
    if not cron.either_day and not any(cron.days & (1 << _LENGTHS[month]) - 1 for month in months):
        names = " or ".join(_MONTHS[month].title() for month in months)
        raise _invalid(f"this schedule can never be due: {names} has no day {_lowest(cron.days) + 1}")


def _values(bits: int) -> tuple[int, ...]:
    return tuple(value for value in range(bits.bit_length()) if bits >> value & 1)


def _lowest(bits: int) -> int:
    return (bits & -bits).bit_length() - 1


def _instant(utc: int) -> datetime:
    return _EPOCH + timedelta(seconds=utc)


def _stretch_at(zone: tzinfo, utc: int) -> _Stretch:
    return next(stretch for stretch in _stretches(zone, utc // _BLOCK) if utc < stretch.end)


# The cache holds the offsets of some hundred zones over ten years.
@lru_cache(maxsize=4096)
def _stretches(zone: tzinfo, block: int) -> tuple[_Stretch, ...]:
    """The stretches of one block of days, cut at its end. Looks every two days: no zone has changed twice in six."""
    # What clocks have shown before the block matters only as far back as they can be set back.
    start, end = block * _BLOCK - _WIDEST_JUMP, (block + 1) * _BLOCK
    looks = range(start, end + 1, _WIDEST_JUMP)
    pairs = zip(looks, pairwise(_offset(zone, utc) for utc in looks), strict=False)
    changes = [_change_after(zone, look) for look, (offset, following) in pairs if offset != following]
    found: list[_Stretch] = []
    for begin, stop in pairwise([start, *changes, end]):
        offset = _offset(zone, begin)
        reached = begin + (found[-1].offset if found else offset)
        found.append(_Stretch(begin, stop, offset, reached))
    return tuple(found)


def _change_after(zone: tzinfo, utc: int) -> int:
    offset, span = _offset(zone, utc), range(utc, utc + _WIDEST_JUMP)
    return utc + bisect_left(span, True, key=lambda at: _offset(zone, at) != offset)


def _offset(zone: tzinfo, utc: int) -> int:
    return (datetime.fromtimestamp(utc, zone).utcoffset() or timedelta()) // _SECOND


def _invalid(message: str) -> WakefulError:
    return WakefulError(ErrorCode.INVALID_SCHEDULE, message)

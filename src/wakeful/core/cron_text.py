"""Cron expressions as people write them, in two dialects."""

import re
from datetime import tzinfo
from typing import NamedTuple

from wakeful.core.civil import Dst
from wakeful.core.cron import LAST, LAST_WORKDAY, LENGTHS, Cron, Dialect, Special, lowest
from wakeful.core.duration import TEXT_LIMIT
from wakeful.core.errors import ErrorCode, WakefulError

MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
WEEKDAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_STARS = ("*", "?")
_DIGITS = 9

_LAST_DAY = re.compile(r"L(?:-([0-9]{1,9}))?")
_NEAREST = re.compile(r"([0-9]{1,9}|L)W")
_LAST_WEEKDAY = re.compile(r"([0-9]{1,9}|[A-Z]{3})L")
_NTH_WEEKDAY = re.compile(r"([0-9]{1,9}|[A-Z]{3})#([0-9]{1,9})")


# A word of a line that lacks a field, or has one too many, as opposed to a word of something else.
_WORD = re.compile(rf"(?:[0-9*?/,#LW-]|{'|'.join(MONTHS + WEEKDAYS)})+", re.IGNORECASE)


class _Unit(NamedTuple):
    name: str
    low: int
    high: int
    names: tuple[str, ...] = ()


_SECOND, _MINUTE, _HOUR = _Unit("second", 0, 59), _Unit("minute", 0, 59), _Unit("hour", 0, 23)
_DAY, _MONTH = _Unit("day of month", 1, 31), _Unit("month", 1, 12, MONTHS)
_WEEKDAY = _Unit("day of week", 0, 7, WEEKDAYS)
_CRONTAB_UNITS = (_SECOND, _MINUTE, _HOUR, _DAY, _MONTH, _WEEKDAY)
_DAPR_UNITS = (*_CRONTAB_UNITS[:5], _WEEKDAY._replace(high=6))


class _Field(NamedTuple):
    """The values as a bit mask, and whether the day rule takes the field for a star."""

    bits: int
    star: bool
    special: Special


class _Item(NamedTuple):
    first: int
    last: int
    step: int

    def bits(self, unit: _Unit) -> int:
        last, wrap = self.last, unit.high - unit.low + 1
        if unit is _WEEKDAY:
            wrap = 7
        if last < self.first:
            last += wrap
        values = range(self.first, last + 1, self.step)
        return sum(1 << value for value in {value - wrap if value > unit.high else value for value in values})


def is_like_cron(text: str) -> bool:
    """Whether a text is more likely a faulty line of cron, or a macro, than something else."""
    words = text.split()
    if text[:1] in ("@", *_STARS) or len(words) in (5, 6):
        return True
    return len(words) > 1 and all(_WORD.fullmatch(word) for word in words)


def parse_cron(text: str, *, dialect: Dialect, zone: tzinfo, dst: Dst) -> Cron:
    """Compile ``text``.

    The Dapr dialect's syntax and the first words of the messages are Dapr's: dapr/kit cron/parser.go.

    Raises:
        WakefulError: ``INVALID_SCHEDULE`` for what the dialect does not allow and for what can never be due.
    """
    words = _split(text, dialect)
    units = _DAPR_UNITS if dialect is Dialect.DAPR else _CRONTAB_UNITS
    fields = [_parse_field(word, unit, dialect) for word, unit in zip(words, units, strict=True)]
    seconds, minutes, hours, days, months, weekdays = fields
    elapsed = words[1].startswith(_STARS) or words[2].startswith(_STARS)
    special = Special(days.special.last, days.special.nearest, weekdays.special.nth)
    cron = Cron(
        text=text,
        zone=zone,
        dst=Dst.RAW if elapsed else dst,
        seconds=_values(seconds.bits),
        minutes=_values(minutes.bits),
        hours=_values(hours.bits),
        days=days.bits >> 1,
        months=months.bits >> 1,
        weekdays=weekdays.bits & 0x7F | weekdays.bits >> 7,  # 7 is another name for 0
        either_day=not (days.star or weekdays.star),
        elapsed=elapsed,
        special=special if any(special) else None,
    )
    _refuse_never(cron, words[3], words[5])
    return cron


def _split(text: str, dialect: Dialect) -> list[str]:
    if len(text) > TEXT_LIMIT:
        raise _invalid(f"a schedule of {len(text)} characters is too long: at most {TEXT_LIMIT} are allowed")
    words = text.split()
    crontab = dialect is Dialect.CRONTAB
    if len(words) not in ((5, 6) if crontab else (6,)):
        either = "5 or 6 fields", "minute hour day month weekday, with the second in front if there are 6"
        wanted, fields = either if crontab else ("6 fields", "second minute hour day month weekday")
        wrong = f"expected exactly {wanted}, found {len(words)}: [{' '.join(words):.100}]"
        raise _invalid(f"{wrong if text else 'empty spec string'}; write {fields}")
    words = words if len(words) == 6 else ["0", *words]
    if not text.isascii():
        raise _not_ascii(words)
    return words


def _not_ascii(words: list[str]) -> WakefulError:
    named = zip(words, _CRONTAB_UNITS, strict=True)
    found = [f"{word[:20]!r} in the {unit.name} field; " for word, unit in named if not word.isascii()]
    what = found[0] if found else ""
    right = "write digits as 0 to 9, names as MON or JAN, and plain spaces between the fields"
    return _invalid(
        f"failed to parse the schedule: only ASCII characters are allowed in a cron expression: {what}{right}"
    )


def _parse_field(text: str, unit: _Unit, dialect: Dialect) -> _Field:
    bits, star, specials = 0, False, Special()
    for item in text.split(","):
        special = _parse_special(item.upper(), unit) if dialect is Dialect.CRONTAB else None
        if special is not None:
            last, nearest, nth = specials
            specials = Special(last + special.last, nearest + special.nearest, nth + special.nth)
        elif item:
            found = _parse_item(item, unit, dialect)
            bits |= found.bits(unit)
            star = star or (item[0] in _STARS and found.step == 1)
        elif dialect is Dialect.CRONTAB:
            raise _invalid(f"an item is missing in the {unit.name} field {text:.100}: write numbers between the commas")
    if not bits and not any(specials):
        raise _invalid(f"this schedule can never be due: the {unit.name} field {text:.100} names no value")
    return _Field(bits, star if dialect is Dialect.DAPR else text.startswith(_STARS), specials)


def _parse_special(item: str, unit: _Unit) -> Special | None:
    """What depends on the month: in the day of month ``L``, ``L-3``, ``15W``, ``LW``; of the week ``5L``, ``FRI#2``."""
    where = f"{item:.100} in the {unit.name} field"
    if unit is _DAY and (match := _LAST_DAY.fullmatch(item)):
        back = int(match[1] or 0)
        if back > 30:
            raise _invalid(f"no month has a day {back} days before its last: {where}; write L-1 to L-30")
        return Special(last=(back,))
    if unit is _DAY and (match := _NEAREST.fullmatch(item)):
        day = LAST_WORKDAY if match[1] == "L" else int(match[1])
        if match[1] != "L" and not 1 <= day <= 31:
            raise _invalid(f"there is no day {day}: {where}; write 1W to 31W, or LW")
        return Special(nearest=(day,))
    if unit is _WEEKDAY and (match := _LAST_WEEKDAY.fullmatch(item)):
        return Special(nth=((_weekday(match[1], where), LAST),))
    if unit is _WEEKDAY and (match := _NTH_WEEKDAY.fullmatch(item)):
        number = int(match[2])
        if not 1 <= number <= 5:
            raise _invalid(f"no month has a weekday {number} times: {where}; write #1 to #5, or 5L for the last Friday")
        return Special(nth=((_weekday(match[1], where), number),))
    if unit is _WEEKDAY and item == "L":
        raise _invalid(f"L needs its weekday: {where}; write 5L or FRIL for the last Friday")
    return None


def _weekday(text: str, where: str) -> int:
    if text.lower() in WEEKDAYS:
        return WEEKDAYS.index(text.lower())
    if text.isdigit() and int(text) <= 7:
        return int(text) % 7
    raise _invalid(f"{text:.20} is no weekday: {where}; write 0 to 7 or one of {' '.join(WEEKDAYS)}")


def _parse_item(item: str, unit: _Unit, dialect: Dialect) -> _Item:
    span, *steps = item.split("/")
    ends = span.split("-")
    where = f"{item:.100} in the {unit.name} field"
    if len(ends) > 2:
        raise _invalid(f"too many hyphens: {where}; a range is written as 1-5")
    if len(steps) > 1:
        raise _invalid(f"too many slashes: {where}; a step is written as 0-59/5")
    if span == "?" and dialect is Dialect.CRONTAB and unit not in (_DAY, _WEEKDAY):
        raise _invalid(f"a question mark stands only in day fields: {where}; write *")
    if "" in (*ends, *steps):
        right = "write a range as 1-5, a step as 0-59/5"
        raise _invalid(f"failed to parse int from : a number is missing in {where}; {right}")
    first, last = (unit.low, unit.high) if span in _STARS else (_number(ends[0], unit), _number(ends[-1], unit))
    step = _number(steps[0], unit, named=False) if steps else 1
    if steps and len(ends) == 1:
        last = unit.high
    if first < unit.low:
        raise _invalid(f"beginning of range ({first}) below minimum ({unit.low}): {where}")
    if last > unit.high:
        raise _invalid(f"end of range ({last}) above maximum ({unit.high}): {where}")
    if first > last and (dialect is Dialect.DAPR or len(ends) == 1 or first > unit.high or last < unit.low):
        raise _invalid(f"beginning of range ({first}) beyond end of range ({last}): {where}")
    if step < 1:
        raise _invalid(f"step of range should be a positive number: {where}")
    return _Item(first, last, step)


def _number(text: str, unit: _Unit, *, named: bool = True) -> int:
    names = unit.names if named else ()
    if text.lower() in names:
        return unit.low + names.index(text.lower())
    if text.isdigit() and len(text) <= _DIGITS:
        return int(text)
    if text[:1] == "-" and text[1:].isdigit():
        raise _invalid(f"negative number ({text:.20}) not allowed: {text:.20} in the {unit.name} field")
    needed = f"a number of at most {_DIGITS} digits" + (f" or one of {' '.join(names)}" if names else "")
    raise _invalid(f"failed to parse int from {text:.100}: {needed} is needed in the {unit.name} field")


def _refuse_never(cron: Cron, day_text: str, weekday_text: str) -> None:
    if cron.has_days():
        return
    months = [month for month in range(12) if cron.months >> month & 1]
    names = "any month" if len(months) == 12 else " or ".join(MONTHS[month].title() for month in months)
    if cron.special is None and not any(cron.days & (1 << LENGTHS[month]) - 1 for month in months):
        raise _invalid(f"this schedule can never be due: {names} has no day {lowest(cron.days) + 1}")
    both = f"day of month {day_text:.40} and day of week {weekday_text:.40}"
    raise _invalid(f"this schedule can never be due: no day of {names} agrees with {both}")


def _values(bits: int) -> tuple[int, ...]:
    return tuple(value for value in range(bits.bit_length()) if bits >> value & 1)


def _invalid(message: str) -> WakefulError:
    return WakefulError(ErrorCode.INVALID_SCHEDULE, message)

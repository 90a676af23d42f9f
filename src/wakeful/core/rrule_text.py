"""Recurrence rules as RFC 5545 writes them: an optional ``DTSTART`` line, and ``FREQ=…``, ``RRULE:`` or not."""

import re
from datetime import UTC, date, datetime, time, tzinfo
from typing import NamedTuple

from wakeful.core.errors import ErrorCode, WakefulError
from wakeful.core.rrule import Days, Freq, Parts, Times

_WEEKDAYS = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")
_LONGEST_INTERVAL = 10_000
_MOST_TIMES = 10_000
_START = re.compile(r"DTSTART(?:;TZID=([^:;\s]+))?:(\S+)", re.IGNORECASE)
_RULE = re.compile(r"(?:RRULE:)?(\S+)", re.IGNORECASE)
_STAMP = re.compile(r"([0-9]{4})([0-9]{2})([0-9]{2})(?:T([0-9]{2})([0-9]{2})([0-9]{2})(Z?))?")
_NUMBER = re.compile(r"[+-]?[0-9]{1,9}")
_DAY = re.compile(r"([+-]?[0-9]{1,2})?(MO|TU|WE|TH|FR|SA|SU)")
_NAMES = {
    "FREQ": "one of " + " ".join(freq.name for freq in Freq),
    "INTERVAL": f"a number from 1 to {_LONGEST_INTERVAL}; for more, use a longer FREQ",
    "COUNT": f"a number from 1 to {_MOST_TIMES}",
    "UNTIL": "a date and time, as 20300131T090000Z",
    "WKST": "one of " + " ".join(_WEEKDAYS),
    "BYMONTH": "numbers from 1 to 12",
    "BYMONTHDAY": "numbers from 1 to 31, or -1 (the last day) to -31",
    "BYYEARDAY": "numbers from 1 to 366, or -1 to -366",
    "BYWEEKNO": "numbers from 1 to 53, or -1 to -53",
    "BYDAY": "weekdays as MO,FR, or with a number as 2TU,-1FR",
    "BYHOUR": "numbers from 0 to 23",
    "BYMINUTE": "numbers from 0 to 59",
    "BYSECOND": "numbers from 0 to 59",
    "BYSETPOS": "numbers from 1 to 366, or -1 to -366",
}
# With which FREQ a part goes; the others take any.
_ONLY_WITH = {
    "BYMONTHDAY": (Freq.YEARLY, Freq.MONTHLY, Freq.DAILY, Freq.HOURLY, Freq.MINUTELY, Freq.SECONDLY),
    "BYYEARDAY": (Freq.YEARLY,),
    "BYWEEKNO": (Freq.YEARLY,),
    "BYSETPOS": (Freq.YEARLY, Freq.MONTHLY),
}


class RuleText(NamedTuple):
    """What a text says. ``start`` is a local time."""

    parts: Parts
    start: datetime | None


def is_rule(text: str) -> bool:
    """Whether a text is meant as a recurrence rule."""
    return text.upper().startswith(("RRULE:", "FREQ=", "DTSTART"))


def zone_name(text: str) -> str | None:
    """The name of the zone in the ``DTSTART`` line, if there is one."""
    start = _START.match(text)
    return None if start is None else start[1]


def parse_rule(text: str, zone: tzinfo) -> RuleText:
    """What ``text`` says; instants in it are turned into local times of ``zone``.

    Raises:
        WakefulError: ``INVALID_SCHEDULE``.
    """
    lines = text.split()
    start = _START.fullmatch(lines[0])
    rule = _RULE.fullmatch(lines[-1])
    if len(lines) != (1 if start is None else 2) or rule is None or not rule[1].upper().startswith(tuple(_NAMES)):
        raise _invalid(
            f"{text[:100]!r} is no recurrence rule: write FREQ=WEEKLY;BYDAY=MO;BYHOUR=9, with or without RRULE: in "
            "front, after a line DTSTART:20300131T090000 if the rule is to be counted from there"
        )
    given = _split(rule[1].upper())
    parts = _parts(given, zone)
    return RuleText(parts, None if start is None else _stamp(start[2].upper(), "DTSTART", zone))


def _split(text: str) -> dict[str, str]:
    given: dict[str, str] = {}
    for part in text.split(";"):
        name, _, value = part.partition("=")
        if name not in _NAMES:
            raise _invalid(f"the rule has an unknown part {part[:40]!r}: {' '.join(_NAMES)} are known")
        if name in given:
            raise _invalid(f"the rule has {name} twice: write it once, with commas between the values")
        if not value:
            raise _wrong(name, "nothing")
        given[name] = value
    if "FREQ" not in given:
        raise _invalid(f"the rule has no FREQ: write FREQ= and {_NAMES['FREQ']}")
    return given


def _parts(given: dict[str, str], zone: tzinfo) -> Parts:
    if given["FREQ"] not in Freq.__members__:
        raise _wrong("FREQ", given["FREQ"])
    freq = Freq[given["FREQ"]]
    for name, freqs in _ONLY_WITH.items():
        if name in given and freq not in freqs:
            raise _invalid(f"{name} does not go with FREQ={freq.name}: {' '.join(each.name for each in freqs)} take it")
    if "COUNT" in given and "UNTIL" in given:
        raise _invalid("a rule has COUNT or UNTIL, not both: leave out one of them")
    if "BYSETPOS" in given and not any(name.startswith("BY") and name != "BYSETPOS" for name in given):
        raise _invalid("BYSETPOS chooses among what another part names: add one, such as BYDAY=MO,TU,WE,TH,FR")
    return Parts(
        freq=freq,
        interval=_one(given, "INTERVAL", _LONGEST_INTERVAL) or 1,
        number=_one(given, "COUNT", _MOST_TIMES),
        until=_stamp(given["UNTIL"], "UNTIL", zone) if "UNTIL" in given else None,
        days=_days(given, freq),
        times=Times(_list(given, "BYHOUR", 0, 23), _list(given, "BYMINUTE", 0, 59), _list(given, "BYSECOND", 0, 59)),
        positions=_signed(given, "BYSETPOS", 366),
    )


def _days(given: dict[str, str], freq: Freq) -> Days:
    week_start = given.get("WKST", "MO")
    if week_start not in _WEEKDAYS:
        raise _wrong("WKST", week_start)
    weeks = _signed(given, "BYWEEKNO", 53)
    return Days(
        months=_list(given, "BYMONTH", 1, 12),
        monthdays=_signed(given, "BYMONTHDAY", 31),
        yeardays=_signed(given, "BYYEARDAY", 366),
        weeks=weeks,
        weekdays=_weekdays(given, freq, numbered=freq <= Freq.MONTHLY and not weeks),
        week_start=_WEEKDAYS.index(week_start),
    )


def _weekdays(given: dict[str, str], freq: Freq, *, numbered: bool) -> tuple[tuple[int, int], ...]:
    found: list[tuple[int, int]] = []
    for item in given["BYDAY"].split(",") if "BYDAY" in given else ():
        match = _DAY.fullmatch(item)
        number = int(match[1]) if match and match[1] else None
        if match is None or number == 0 or abs(number or 1) > (53 if freq is Freq.YEARLY else 5):
            raise _wrong("BYDAY", item)
        if number is not None and not numbered:
            raise _invalid(f"{item} in BYDAY has a number, which goes with MONTHLY and YEARLY without BYWEEKNO only")
        found.append((_WEEKDAYS.index(match[2]), number or 0))
    if any(number for _, number in found):
        # dateutil wants a day to be in both kinds at once; RFC 5545 means either.
        every = range(1, 54 if freq is Freq.YEARLY else 6)
        found = [(day, each) for day, number in found for each in ((number,) if number else every)]
    return tuple(sorted(set(found)))


def _one(given: dict[str, str], name: str, high: int) -> int | None:
    values = _list(given, name, 1, high)
    if len(values) > 1:
        raise _wrong(name, given[name])
    return values[0] if values else None


def _signed(given: dict[str, str], name: str, high: int) -> tuple[int, ...]:
    values = _list(given, name, -high, high)
    if 0 in values:
        raise _wrong(name, "0")
    return values


def _list(given: dict[str, str], name: str, low: int, high: int) -> tuple[int, ...]:
    if name not in given:
        return ()
    values: set[int] = set()
    for item in given[name].split(","):
        if not _NUMBER.fullmatch(item) or not low <= int(item) <= high or (low >= 0 and not item.isdigit()):
            raise _wrong(name, item)
        values.add(int(item))
    return tuple(sorted(values))


def _stamp(text: str, name: str, zone: tzinfo) -> datetime:
    """A local time of ``zone``. As an end, a date alone means its whole day."""
    match = _STAMP.fullmatch(text)
    if match is None:
        raise _wrong(name, text)
    whole_day = ("23", "59", "59") if name == "UNTIL" else ("0", "0", "0")
    clock = (match[4], match[5], match[6]) if match[4] else whole_day
    try:
        hour, minute, second = (int(each) for each in clock)
        day = date(int(match[1]), int(match[2]), int(match[3]))
        local = datetime.combine(day, time(hour, minute, second))
        if match[7]:
            local = local.replace(tzinfo=UTC).astimezone(zone).replace(tzinfo=None, fold=0)
    except (ValueError, OverflowError):
        raise _invalid(f"{name} of the rule is no date and time that exists: {text[:40]}") from None
    if not 1970 <= local.year <= 2200:
        raise _invalid(f"{name} of the rule lies outside the years 1970 to 2200: {text[:40]}")
    return local


def _wrong(name: str, found: str) -> WakefulError:
    return _invalid(f"{name} of the rule cannot be {found[:40]!r}: write {_NAMES.get(name, 'a date and time')}")


def _invalid(message: str) -> WakefulError:
    return WakefulError(ErrorCode.INVALID_SCHEDULE, message)

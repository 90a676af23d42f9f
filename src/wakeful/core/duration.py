"""Durations as people write them: Go's ``1h30m``, ISO 8601's ``P1M``; and the recurrence that is one duration long."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta, tzinfo

from wakeful.core.errors import ErrorCode, WakefulError

TEXT_LIMIT = 256
REPEATS_REFUSED = "repeats not supported for due time"

_MICROSECOND_NS = 1000
# Go keeps a duration as int64 nanoseconds, about 292 years: https://pkg.go.dev/time#Duration
_GO_LIMIT_NS = 2**63 - 1
_UNITS_NS = {
    "ns": 1,
    "us": 1_000,
    "\u00b5s": 1_000,  # micro sign
    "\u03bcs": 1_000,  # Greek mu, which looks the same
    "ms": 1_000_000,
    "s": 1_000_000_000,
    "m": 60_000_000_000,
    "h": 3_600_000_000_000,
}
_OUR_UNITS_NS = {**_UNITS_NS, "d": 24 * _UNITS_NS["h"], "w": 7 * 24 * _UNITS_NS["h"]}
_GO_PART = re.compile(r"([0-9]*)(?:\.([0-9]*))?([^0-9.]*)")
_GO_HINT = "write numbers with the units h, m, s, ms, us or ns, such as 1h30m"
_OUR_HINT = "write numbers with the units w, d, h, m, s, ms, us or ns, such as 1h30m or 7d"

_ISO_REPEATS = re.compile(r"R(-?[0-9]+)/")
_ISO_PART = re.compile(r"([0-9]{1,9})([A-Z])")
_ISO_HINT = "write P[nY][nM][nW][nD][T[nH][nM][nS]] with whole numbers, such as P1DT12H"
_DATE_UNITS = "YMWD"
_TIME_UNITS = "HMS"


@dataclass(frozen=True, slots=True)
class Every:
    """A recurrence by elapsed time: each occurrence is ``interval`` after the one before it.

    With an ``anchor`` the occurrences are the anchor and what follows it, ``size`` of them at most. Without one they
    are counted from occurrences: ``previous`` and ``since`` must then be such. An interval of zero means "again at
    once": the same instant is due for ever, and only a number of repeats ends it; it has no anchor. ``runs`` is the
    number of repeats that the text itself gives; ``zone`` only says on whose calendar occurrences are looked up.
    """

    interval: timedelta
    zone: tzinfo = UTC
    runs: int | None = None
    anchor: datetime | None = None
    size: int | None = None

    @property
    def elapsed(self) -> bool:
        """It follows elapsed time, whatever clocks on the wall show."""
        return True

    def anchored_at(self, instant: datetime) -> "Every":
        """The same, counted from ``instant``, if it is counted from nothing yet."""
        return self if self.anchor is not None or not self.interval else replace(self, anchor=instant)

    def next_after(self, instant: datetime) -> datetime | None:
        """The occurrence after the one at ``instant``; ``None`` where the calendar ends (year 9999)."""
        try:
            if self.anchor is None:
                return instant + self.interval
            index = max(0, (instant - self.anchor) // self.interval + 1)
            return None if self.size is not None and index >= self.size else self.anchor + index * self.interval
        except OverflowError:
            return None

    def last_through(self, instant: datetime, since: datetime) -> datetime | None:
        """The latest occurrence in [``since``, ``instant``]; ``None`` if ``instant`` lies before ``since``."""
        number = self.count(since, instant)
        if not number:
            return None
        if self.anchor is None:
            return since + self.interval * (number - 1)
        return self.anchor + self.interval * (self._before(since) + number - 1)

    def count(self, since: datetime, through: datetime) -> int:
        """The number of occurrences in [``since``, ``through``]; with an interval of zero, 1 for the endless many."""
        if through < since:
            return 0
        if self.anchor is None:
            return (through - since) // self.interval + 1 if self.interval else 1
        after = (through - self.anchor) // self.interval + 1
        return max(0, (after if self.size is None else min(after, self.size)) - self._before(since))

    def _before(self, instant: datetime) -> int:
        """How many occurrences of the anchored series lie before ``instant``."""
        return 0 if self.anchor is None else max(0, -((self.anchor - instant) // self.interval))


@dataclass(frozen=True, slots=True)
class IsoDuration:
    """A duration of the calendar: how long it is depends on where it starts. Weeks are folded into ``days``."""

    years: int = 0
    months: int = 0
    days: int = 0
    time: timedelta = timedelta()

    def added_to(self, instant: datetime) -> datetime:
        """``instant`` moved by years and months, then days, then time; UTC calendar.

        A day that the month does not have runs over into the next month (31 January + 1 month = 3 March, 2 in a leap
        year), as in Go: https://pkg.go.dev/time#Time.AddDate

        Raises:
            WakefulError: ``INVALID_SCHEDULE`` where the result lies outside the calendar (years 1 to 9999).
        """
        start = instant.astimezone(UTC)
        months = start.year * 12 + start.month - 1 + self.years * 12 + self.months
        try:
            first = start.replace(year=months // 12, month=months % 12 + 1, day=1)
            return first + timedelta(days=start.day - 1 + self.days) + self.time
        except (OverflowError, ValueError):
            raise _invalid("this duration leads beyond the calendar: dates end with the year 9999") from None


def parse_go_duration(text: str) -> timedelta:
    """A Go duration, computed exactly, rounded to microseconds (half to even); what is not zero never rounds to zero.

    The syntax is that of https://pkg.go.dev/time#ParseDuration: signed decimals, each with a unit, or a bare ``0``.

    Raises:
        WakefulError: ``INVALID_SCHEDULE`` for anything else and for what Go's int64 nanoseconds cannot hold.
    """
    return _parse_units(text, _UNITS_NS, _GO_HINT)


def parse_duration(text: str) -> timedelta:
    """A duration as our own faces take it: Go's, with days of 24 hours and weeks besides, ``7d``, ``1w12h``.

    Raises:
        WakefulError: as ``parse_go_duration``.
    """
    return _parse_units(text, _OUR_UNITS_NS, _OUR_HINT)


def _parse_units(text: str, units_ns: Mapping[str, int], hint: str) -> timedelta:
    _check_length(text)
    body = text[1:] if text[:1] in ("+", "-") else text
    if body == "0":
        return timedelta()
    if not body:
        raise _invalid(f"{text!r} is not a duration: {hint}")
    numerator, denominator, at = 0, 1, 0
    while at < len(body):
        part = _GO_PART.match(body, at)
        if part is None or not (part[1] or part[2]):
            raise _invalid(f"a number is missing in the duration {text[:100]!r}: {hint}")
        whole, fraction, unit = part[1], part[2] or "", part[3]
        if unit not in units_ns:
            what = f"unknown unit {unit[:20]!r}" if unit else "a unit is missing"
            raise _invalid(f"{what} in the duration {text[:100]!r}: {hint}")
        scale = 10 ** len(fraction)
        numerator = numerator * scale + int(whole + fraction) * units_ns[unit] * denominator
        denominator *= scale
        at = part.end()
    if numerator > _GO_LIMIT_NS * denominator:
        raise _invalid(f"the duration {text[:100]!r} is too long: at most 292 years (2^63 - 1 ns) are allowed")
    micros = _rounded(numerator, denominator * _MICROSECOND_NS)
    return timedelta(microseconds=-micros if text[0] == "-" else micros)


def parse_iso_duration(text: str) -> IsoDuration:
    """An ISO 8601 duration as Dapr reads it: whole numbers, units in any order, ``R0/`` or ``R-1/`` in front allowed.

    Stricter than Dapr in one point: what Dapr silently ignores (``P5``, which it takes for zero) is refused.

    Raises:
        WakefulError: ``INVALID_SCHEDULE``; a number of repeats is refused in Dapr's words.
    """
    _check_length(text)
    prefix = _ISO_REPEATS.match(text)
    if prefix is not None and len(prefix[1]) > len(str(_GO_LIMIT_NS)):
        raise _invalid(f"the number of repeats in {text[:100]!r} is too long")
    if prefix is not None and int(prefix[1]) > 0:
        raise _invalid(REPEATS_REFUSED)
    if prefix is not None and prefix[1] not in ("0", "-1"):
        raise _invalid(f"only R0/ and R-1/ may stand before a duration, not {prefix[0]!r}")
    body = text[prefix.end() :] if prefix else text
    date, mark, time = body[1:].partition("T")
    if body[:1] != "P" or (mark and not time) or not (date or time):
        raise _invalid(f"{text[:100]!r} is not an ISO 8601 duration: {_ISO_HINT}")
    dates = _iso_parts(date, _DATE_UNITS, text)
    times = _iso_parts(time, _TIME_UNITS, text)
    return IsoDuration(
        years=dates.get("Y", 0),
        months=dates.get("M", 0),
        days=dates.get("W", 0) * 7 + dates.get("D", 0),
        time=timedelta(hours=times.get("H", 0), minutes=times.get("M", 0), seconds=times.get("S", 0)),
    )


def _iso_parts(part: str, units: str, text: str) -> dict[str, int]:
    found: dict[str, int] = {}
    at = 0
    while at < len(part):
        match = _ISO_PART.match(part, at)
        if match is None or match[2] not in units or match[2] in found:
            raise _invalid(f"{part[at : at + 20]!r} does not fit in the duration {text[:100]!r}: {_ISO_HINT}")
        found[match[2]] = int(match[1])
        at = match.end()
    return found


def _rounded(numerator: int, denominator: int) -> int:
    quotient, rest = divmod(numerator, denominator)
    up = rest * 2 > denominator or (rest * 2 == denominator and quotient % 2 == 1)
    # 1 ns must stay recognisable as "very short": zero would mean something else.
    return 1 if quotient == 0 and rest else quotient + up


def _check_length(text: str) -> None:
    if len(text) > TEXT_LIMIT:
        raise _invalid(f"a duration of {len(text)} characters is too long: at most {TEXT_LIMIT} are allowed")


def _invalid(message: str) -> WakefulError:
    return WakefulError(ErrorCode.INVALID_SCHEDULE, message)

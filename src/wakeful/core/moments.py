"""Points in time as people write them: an instant, a local time, a duration from some moment."""

import re
from calendar import month_name, monthrange
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, tzinfo

from wakeful.core.civil import Dst, resolve
from wakeful.core.duration import (
    REPEATS_REFUSED,
    TEXT_LIMIT,
    IsoDuration,
    parse_duration,
    parse_go_duration,
    parse_iso_duration,
)
from wakeful.core.errors import ErrorCode, WakefulError

_FIRST_YEAR, _LAST_YEAR = 1970, 2200
_RFC3339 = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2})(?:\.([0-9]{1,9}))?(Z|[+-][0-9]{2}:[0-9]{2})"
)
_LOCAL = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}(?::[0-9]{2})?")


_Plain = Callable[[str], timedelta]


def parse_moment(text: str, what: str, anchor: datetime, plain: _Plain = parse_go_duration) -> datetime:
    """``text`` as an instant, a ``plain`` duration or an ISO 8601 one, in this order; durations count from ``anchor``.

    Dapr's are Go's durations; ``parse_duration`` reads those of our own faces.
    """
    if len(text) > TEXT_LIMIT:
        raise _invalid(f"{what} format not recognized: {len(text)} characters are too long, {TEXT_LIMIT} are allowed")
    instant = parse_instant(text, what)
    if instant is None:
        instant = _any_duration(text, what, plain).added_to(anchor)
    return in_range(instant, what)


def parse_bound(text: str, what: str, now: datetime, zone: tzinfo | None) -> datetime:
    """``text`` as an instant, a local time where there is a zone, or a duration from ``now``."""
    local = None if len(text) > TEXT_LIMIT else parse_local(text, what, zone, Dst.ONCE)
    moment = local or parse_moment(text, what, now, parse_duration)
    if moment < now and parse_instant(text, what) is None and local is None:
        raise _invalid(f"{what} cannot be a negative duration: {text:.40}; it is counted from now on")
    return moment


def parse_local(text: str, what: str, zone: tzinfo | None, dst: Dst) -> datetime | None:
    """A local time of ``zone`` as an instant; ``None`` if ``text`` is something else."""
    if not _LOCAL.fullmatch(text):
        return None
    if zone is None:
        raise _invalid(f"{what} is a local time without a zone: give a zone, or write {text}Z or {text}+02:00")
    try:
        instant = resolve(datetime.fromisoformat(text), zone, dst)
    except (ValueError, OverflowError):
        raise _no_such_time(text, what) from None
    if instant is None:
        raise _invalid(f"{what} does not exist: the change of clocks in {zone} leaves out {text}; write a later time")
    return in_range(instant, what)


def parse_instant(text: str, what: str) -> datetime | None:
    """An RFC 3339 instant; ``None`` if ``text`` is something else."""
    match = _RFC3339.fullmatch(text)
    if match is None:
        return None
    try:
        whole = datetime.fromisoformat(match[1] + match[3]).astimezone(UTC)
    except (ValueError, OverflowError):
        raise _no_such_time(text, what) from None
    # datetime has no nanoseconds; cutting them off keeps an instant from moving beyond the one that was asked for.
    return whole.replace(microsecond=int((match[2] or "0").ljust(6, "0")[:6]))


def in_range(instant: datetime, what: str) -> datetime:
    """The instant itself, if it lies in the years that a schedule may name."""
    if not _FIRST_YEAR <= instant.year <= _LAST_YEAR:
        raise _invalid(f"{what} lies outside the years {_FIRST_YEAR} to {_LAST_YEAR}: {instant.isoformat()}")
    return instant


def remedy_of(text: str) -> str:
    """What would be right in place of a date and time, ``2030-02-30T…``, that does not exist."""
    year, month, day = int(text[:4]), int(text[5:7]), int(text[8:10])
    if year and 1 <= month <= 12 and not 1 <= day <= monthrange(year, month)[1]:
        return f"{month_name[month]} {year} ends with day {monthrange(year, month)[1]}"
    return "months are 01 to 12, hours 00 to 23, minutes and seconds 00 to 59"


def _no_such_time(text: str, what: str) -> WakefulError:
    return _invalid(f"{what} format not recognized: {text} is no date and time that exists; {remedy_of(text)}")


def _any_duration(text: str, what: str, plain: _Plain) -> IsoDuration:
    try:
        return parse_iso_duration(text) if text[:1] in ("P", "R") else IsoDuration(time=plain(text))
    except WakefulError as error:
        if error.message == REPEATS_REFUSED:
            raise
        example = "an instant is written 2030-01-31T09:00:00Z"
        raise _invalid(f"{what} format not recognized: {error.message}; {example}") from None


def _invalid(message: str) -> WakefulError:
    return WakefulError(ErrorCode.INVALID_SCHEDULE, message)

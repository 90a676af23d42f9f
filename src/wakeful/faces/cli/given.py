"""What is typed as an argument: instants, durations, ids and numbers; each mistake names its flag."""

import re
from datetime import UTC, datetime, timedelta
from uuid import UUID

from wakeful.core.duration import parse_duration
from wakeful.core.errors import ErrorCode, WakefulError
from wakeful.core.moments import remedy_of

_INSTANT = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)?", re.ASCII)
_FIRST_YEAR, _LAST_YEAR = 1970, 2200
_LONGEST = timedelta(days=36_525)
_SHOWN = 100


def instant(flag: str, given: str) -> datetime:
    """An RFC 3339 instant.

    Raises:
        WakefulError: ``INVALID_JOB``.
    """
    match = _INSTANT.fullmatch(given)
    if match is None:
        raise wrong(flag, given, "an instant is written 2030-01-31T09:00:00Z, or with an offset such as +02:00")
    if match[2] is None:
        raise wrong(flag, given, "which time is that? Add Z for UTC, or an offset such as +02:00")
    try:
        at = datetime.fromisoformat(given.upper()).astimezone(UTC)
    except (ValueError, OverflowError):
        raise wrong(flag, given, f"there is no such date and time: {remedy_of(given)}") from None
    if not _FIRST_YEAR <= at.year <= _LAST_YEAR:
        raise wrong(flag, given, f"it lies outside the years {_FIRST_YEAR} to {_LAST_YEAR}")
    return at


def duration(flag: str, given: str, *, least: timedelta = timedelta(0), most: timedelta = _LONGEST) -> timedelta:
    """A duration: ``90s``, ``1h30m``, ``7d``.

    Raises:
        WakefulError: ``INVALID_JOB``.
    """
    try:
        length = parse_duration(given)
    except WakefulError as error:
        raise wrong(flag, given, error.message) from None
    if not least <= length <= most:
        raise wrong(flag, given, f"a duration from {_plain(least)} to {_plain(most)} is needed")
    return length


def maybe_duration(flag: str, given: str | None, *, least: timedelta = timedelta(0)) -> timedelta | None:
    """A duration that need not be given.

    Raises:
        WakefulError: ``INVALID_JOB``.
    """
    return None if given is None else duration(flag, given, least=least)


def between(flag: str, number: float, low: float, high: float) -> None:
    """Refuses a number outside [``low``, ``high``].

    Raises:
        WakefulError: ``INVALID_JOB``.
    """
    # Written so that it refuses what is no number too.
    if not low <= number <= high:
        raise wrong(flag, str(number), f"a number from {low:g} to {high:g} is needed")


def run_of(given: str) -> UUID:
    """A run's id.

    Raises:
        WakefulError: ``INVALID_JOB``.
    """
    try:
        return UUID(given)
    except ValueError:
        raise wrong("RUN", given, "a run's id is needed, as `wakeful job runs NAME` shows it") from None


def wrong(flag: str, given: str, why: str) -> WakefulError:
    """The error about a flag."""
    shown = given if len(given) <= _SHOWN else f"{given[:_SHOWN]}…"
    return WakefulError(ErrorCode.INVALID_JOB, f"{flag} {shown!r}: {why}")


def _plain(length: timedelta) -> str:
    seconds = length.total_seconds()
    return f"{length.days}d" if length.days and not length.seconds else f"{seconds:g}s"

"""On which stretch of days a job's calendars exclude an instant, or allow it."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wakeful.core.closed_days import BEGINNING, END, Stretch, stretch_around
from wakeful.core.job import Calendar
from wakeful.zones import load_zone

DAY = timedelta(days=1)
FIRST = date(2026, 3, 1)


def midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def noon(day: int) -> datetime:
    return midnight(FIRST + day * DAY) + timedelta(hours=12)


def dates(*numbers: int) -> frozenset[date]:
    return frozenset(FIRST + number * DAY for number in numbers)


def days(closed_by: str | None, first: int | None, last: int | None) -> Stretch:
    """From the beginning of one day through the end of another."""
    start = BEGINNING if first is None else midnight(FIRST + first * DAY)
    end = END if last is None else midnight(FIRST + (last + 1) * DAY) - timedelta.resolution
    return Stretch(closed_by, start, end)


A, KEPT = Calendar("a", dates(3, 4, 5, 9)), Calendar("kept", dates(3, 4, 400), keep=True)


@pytest.mark.parametrize(
    ("calendars", "day", "stretch"),
    [
        ((), 4, days(None, None, None)),
        ((A,), 2, days(None, None, 2)),
        ((A,), 4, days("a", 3, 5)),
        ((A,), 7, days(None, 6, 8)),
        ((A,), 9, days("a", 9, 9)),
        ((A,), 10, days(None, 10, None)),
        ((KEPT,), 0, days("kept", None, 2)),
        ((KEPT,), 4, days(None, 3, 4)),
        ((KEPT,), 5, days("kept", 5, 399)),
        ((KEPT,), 401, days("kept", 401, None)),
        ((Calendar("none", frozenset()),), 4, days(None, None, None)),
        ((Calendar("none", frozenset(), keep=True),), 4, days("none", None, None)),
        # What excludes a day longest tells why; nothing is due before the one that began first ends.
        ((A, KEPT), 5, days("kept", 3, 399)),
        ((A, Calendar("b", dates(4))), 4, days("a", 3, 5)),
        ((A, Calendar("b", dates(0))), 2, days(None, 1, 2)),
    ],
)
def test_days_of_one_kind_in_a_row_are_one_stretch(calendars: tuple[Calendar, ...], day: int, stretch: Stretch) -> None:
    assert stretch_around(calendars, UTC, noon(day)) == stretch


def test_days_begin_and_end_at_midnight_in_the_zone() -> None:
    zone = load_zone("America/New_York")
    assert zone is not None
    # On the eighth the clocks go forward.
    stretch = stretch_around(
        (Calendar("a", frozenset({date(2026, 3, 8)})),), zone, datetime(2026, 3, 8, 12, tzinfo=UTC)
    )
    assert stretch.start == datetime(2026, 3, 8, 5, tzinfo=UTC)
    assert stretch.end == datetime(2026, 3, 9, 4, tzinfo=UTC) - timedelta.resolution


ZONES = [
    zone
    for name in ("UTC", "Europe/Berlin", "America/Sao_Paulo", "Pacific/Apia", "America/Havana")
    if (zone := load_zone(name)) is not None
]
CALENDARS = st.lists(
    st.builds(
        Calendar,
        st.sampled_from(["x", "y", "z"]),
        st.frozensets(st.integers(0, 40)).map(lambda n: dates(*n)),
        st.booleans(),
    ),
    min_size=1,
    max_size=3,
)


@given(CALENDARS, st.sampled_from(ZONES), st.integers(0, 45 * 24 * 60))
def test_all_instants_of_a_stretch_are_excluded_or_none(calendars: list[Calendar], zone: ZoneInfo, minute: int) -> None:
    instant = midnight(FIRST) + timedelta(minutes=minute)

    def excluded(at: datetime) -> bool:
        return any(calendar.excludes(at.astimezone(zone).date()) for calendar in calendars)

    stretch = stretch_around(calendars, zone, instant)
    assert stretch.start <= instant <= stretch.end
    assert (stretch.closed_by is not None) is excluded(instant)
    at, end = max(stretch.start, midnight(FIRST - DAY)), min(stretch.end, midnight(FIRST + 50 * DAY))
    while at <= end:
        assert excluded(at) is excluded(instant)
        at += timedelta(hours=1)
    for beyond in (stretch.end + timedelta.resolution if stretch.end < END else None,):
        assert beyond is None or excluded(beyond) is not excluded(instant) or len(calendars) > 1

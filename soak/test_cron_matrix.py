"""40 zones, 30 expressions, the years 2024 to 2030, three policies: every instant, against a slow reference.

The reference (tests/support/slow_cron.py) asks zoneinfo about each of 3.7 million minutes a zone.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import pairwise
from multiprocessing import Pool

import pytest

from support.slow_cron import SlowCron, flags_of, instant_of, look_at, minute_of
from wakeful.core.civil import Dst
from wakeful.core.cron import Cron, Dialect
from wakeful.core.cron_text import parse_cron
from wakeful.zones import load_zone

SINCE, THROUGH = datetime(2024, 1, 1, tzinfo=UTC), datetime(2030, 12, 31, 23, 59, tzinfo=UTC)
ZONES = (
    *("UTC", "Africa/Cairo", "Africa/Casablanca", "Africa/El_Aaiun", "Africa/Johannesburg", "America/Asuncion"),
    *("America/Caracas", "America/Chicago", "America/Havana", "America/Los_Angeles", "America/Mexico_City"),
    *("America/Miquelon", "America/New_York", "America/Nuuk", "America/Phoenix", "America/Santiago"),
    *("America/Sao_Paulo", "America/Scoresbysund", "America/St_Johns", "America/Vancouver", "Antarctica/Troll"),
    *("Asia/Almaty", "Asia/Beirut", "Asia/Gaza", "Asia/Jerusalem", "Asia/Kathmandu", "Asia/Kolkata", "Asia/Tehran"),
    *("Asia/Tokyo", "Atlantic/Azores", "Australia/Adelaide", "Australia/Lord_Howe", "Australia/Sydney"),
    *("Europe/Berlin", "Europe/Chisinau", "Europe/Dublin", "Europe/London", "Pacific/Auckland", "Pacific/Chatham"),
    "Pacific/Easter",
)
EXPRESSIONS = (
    *("5,35 */6 * * *", "*/7 * * * *", "*/15 * * * *", "30 * * * *", "0 */2 * * *", "59 */5 * * *", "* 2 * * *"),
    *("0 0 * * *", "30 1 * * *", "30 2 * * *", "0 3 * * *", "59 23 * * *", "45 0-3 * * *", "0,30 1,2,3 * * *"),
    *("0-59/20 0-3 * * *", "15 22-2 * * *", "0 9 * * 1-5", "5 2 * * 7", "30 2 * * FRI-MON", "0 0 1 * *", "30 1 31 * *"),
    *("0 2 29 2 *", "0,20 2 8-14 * sun", "40 0-2 */2 * 0,6", "30 2 L * *", "0 0 L-3 NOV-FEB *", "30 1 15W * *"),
    *("0 2 LW * *", "30 2 * * 0L", "0 0 1 4,10 SUN#1,6#5"),
)
# Zones can be ahead or behind by a day at most; local midnights in whole days.
LOW, HIGH = minute_of(SINCE) - 2 * 1440, minute_of(THROUGH) + 1 + 2 * 1440


@cache
def flags(text: str) -> bytearray:
    return flags_of(SlowCron(text), LOW, HIGH)


def walk(cron: Cron) -> Iterator[int]:
    due = cron.next_after(SINCE - timedelta.resolution)
    while due is not None and due <= THROUGH:
        yield minute_of(due)
        due = cron.next_after(due)


def compare(name: str) -> tuple[int, int, list[str]]:
    """The number of cells and instants of one zone, and where they differ."""
    zone = load_zone(name)
    assert zone is not None
    # A change of clocks at the edge would need minutes from before it.
    slow = look_at(zone, SINCE - timedelta(days=1), THROUGH, LOW)
    cells, instants, wrong = 0, 0, list[str]()
    for text in EXPRESSIONS:
        matches, lists = flags(text), dict[Cron, list[int]]()
        shown = slow.shown(matches)
        for dst in Dst:
            policy = "raw" if SlowCron(text).elapsed else dst.value
            cron = parse_cron(text, dialect=Dialect.CRONTAB, zone=zone, dst=dst)
            if cron not in lists:
                lists[cron] = list(walk(cron))
            expected = [utc for utc in slow.due(shown, matches, policy) if utc >= minute_of(SINCE)]
            cells, instants = cells + 1, instants + len(expected)
            if lists[cron] != expected:
                first = min(set(lists[cron]) ^ set(expected))
                wrong.append(f"{text} in {name}, {dst.value}: differs first at {instant_of(first)}")
            wrong += counted(cron, expected, f"{text} in {name}, {dst.value}")
    return cells, instants, wrong


def counted(cron: Cron, expected: list[int], where: str) -> Iterator[str]:
    years = [datetime(year, 1, 1, tzinfo=UTC) for year in range(2024, 2032)]
    for since, end in pairwise(years):
        inside = [utc for utc in expected if minute_of(since) <= utc < minute_of(end)]
        through = end - timedelta.resolution
        if cron.count(since, through) != len(inside):
            yield f"{where}: count of {since.year}"
        if cron.last_through(through, since) != (instant_of(inside[-1]) if inside else None):
            yield f"{where}: last of {since.year}"


@pytest.mark.timeout(1800)
def test_no_instant_differs_from_the_slow_reference(capsys: pytest.CaptureFixture[str]) -> None:
    assert len(set(ZONES)) == 40
    assert len(set(EXPRESSIONS)) == 30
    for text in EXPRESSIONS:
        flags(text)  # before the processes part, so that they share it
    began = datetime.now(UTC)
    with Pool(2) as pool:
        results = list(pool.imap_unordered(compare, ZONES))
    cells, instants = sum(each[0] for each in results), sum(each[1] for each in results)
    wrong = [line for each in results for line in each[2]]
    with capsys.disabled():
        took = (datetime.now(UTC) - began).total_seconds()
        print(f"\n{cells} cells, {instants} instants, {len(wrong)} differences, {took:.0f} s")
    assert wrong == []
    assert cells == 3600

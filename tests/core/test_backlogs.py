"""What is left of a busy time, of an outage and of a pause, and how much of it is caught up with."""

from dataclasses import replace
from datetime import date, datetime, timedelta
from typing import Any

import pytest
from msgspec import structs

from support.effort import at_most
from support.planned import MISSED, NOON, SKIPPED, a_record, after, at
from wakeful.core.job import Calendar, Catchup, JobRecord, Overlap
from wakeful.core.pausing import pause, resume
from wakeful.core.planning import plan
from wakeful.core.run import RunState

Row = tuple[RunState, str, float, float, int]
DAY = timedelta(days=1)


def seconds(instant: datetime) -> float:
    return (instant - NOON).total_seconds()


def drained(record: JobRecord, now: float) -> tuple[list[float], list[Row]]:
    """The runs that are made and the rows that are left, if no run takes any time: all is planned at one instant."""
    runs: list[float] = []
    rows: list[Row] = []
    began = record.seq
    while record.next_due_at is not None and record.next_due_at <= at(now):
        made = plan(record, at(now))
        rows += [
            (gone.state, gone.reason, seconds(gone.first), seconds(gone.last), gone.instants) for gone in made.gone
        ]
        record = after(record, made)
        if made.scheduled_for is not None:
            runs.append(seconds(made.scheduled_for))
    assert len(runs) + sum(row[4] for row in rows) == record.seq - began
    return runs, rows


def a_busy_record(since: float, until: float, **policies: Any) -> JobRecord:
    """Due every second; its run of the first second took so long."""
    record = a_record(overlap=policies.pop("overlap"), catchup=policies.pop("catchup", Catchup.LATEST))
    record = structs.replace(record, job=replace(record.job, **policies))
    record = after(record, plan(record, at(1)))
    return structs.replace(record, busy_at=at(since), free_at=at(until))


# ── window and limit ──


@pytest.mark.parametrize("overlap", [Overlap.QUEUE_ALL, Overlap.ALLOW])
@pytest.mark.parametrize("limits", [{"catchup_limit": 2}, {"catchup_window": timedelta(seconds=2)}])
def test_window_and_limit_have_no_say_on_what_passed_while_the_job_was_busy(
    overlap: Overlap, limits: dict[str, Any]
) -> None:
    record = a_busy_record(1, 20.5, overlap=overlap, catchup=Catchup.ALL, **limits)
    assert drained(record, 20.5) == ([float(number) for number in range(2, 21)], [])


def test_what_was_skipped_while_busy_was_so_however_long_ago() -> None:
    record = a_busy_record(1, 20.5, overlap=Overlap.SKIP, catchup_window=timedelta(seconds=2))
    assert drained(record, 20.5) == ([], [(SKIPPED, "overlap", 2, 20, 19)])


def test_the_limit_is_on_what_is_late_and_not_on_what_was_queued_before_the_outage() -> None:
    record = a_busy_record(1, 5.5, overlap=Overlap.QUEUE_ALL, catchup=Catchup.ALL, catchup_limit=3)
    runs, rows = drained(record, 60.5)
    assert runs == [2, 3, 4, 5, 53, 54, 55, 56, 57, 58, 59, 60]
    assert rows == [(MISSED, "beyond_limit", 6, 52, 47)]


def test_the_limit_is_counted_once_however_long_the_runs_take() -> None:
    """Each run takes ten seconds; what comes due meanwhile is not late for want of somebody to run it."""
    record = a_record(overlap=Overlap.ALLOW, catchup=Catchup.ALL)
    record = structs.replace(record, job=replace(record.job, catchup_limit=5))
    runs, now = [], 60.5
    for _ in range(9):
        made = plan(record, at(now))
        assert made.scheduled_for is not None
        assert [gone.instants for gone in made.gone] == ([50] if not runs else [])
        runs.append(seconds(made.scheduled_for))
        record = structs.replace(after(record, made), busy_at=at(60.5), free_at=at(now + 10))
        now += 10
    assert runs == [51, 52, 53, 54, 55, 56, 57, 58, 59]


def test_days_that_a_calendar_excludes_do_not_count_in_the_limit() -> None:
    record = with_calendars("0 0 9 * * *", Calendar("feast", days(9, 10)), catchup=Catchup.ALL, catchup_limit=2)
    made = plan(record, NOON + 10 * DAY)
    assert [(gone.reason, gone.instants) for gone in made.gone] == [("beyond_limit", 6)]
    assert made.scheduled_for == day(7)
    record = after(record, made)
    made = plan(record, NOON + 10 * DAY)
    assert (made.gone, made.scheduled_for) == ((), day(8))
    made = plan(after(record, made), NOON + 10 * DAY)
    assert [(gone.reason, gone.instants) for gone in made.gone] == [("calendar feast", 2)]


def test_what_was_due_in_a_pause_does_not_count_in_the_limit() -> None:
    record = a_record(catchup=Catchup.ALL)
    record = structs.replace(record, job=replace(record.job, catchup_limit=3), paused_at=at(20), resumed_at=at(53))
    runs, rows = drained(record, 60.5)
    # 54 and 55 are late, and 20 is the third newest of those that count.
    assert runs == [20, 54, 55, 56, 57, 58, 59, 60]
    assert rows == [(MISSED, "beyond_limit", 1, 19, 19), (SKIPPED, "paused", 21, 53, 33)]


@pytest.mark.parametrize("limit", [0, 1, 7, 40, 86_399, 86_400, 100_000])
def test_the_newest_are_counted_back_to_any_number(limit: int) -> None:
    record = structs.replace(a_record("* * * * * *"), next_due_at=at(1))
    record = structs.replace(record, job=replace(record.job, catchup=Catchup.ALL, catchup_limit=limit))
    made = plan(record, at(86_405.5))
    # The last five and a half seconds are on time.
    assert sum(gone.instants for gone in made.gone) == max(0, 86_400 - limit)
    assert made.scheduled_for == at(max(0, 86_400 - limit) + 1)


# ── busy again and again ──


def test_what_was_queued_before_an_outage_runs_whatever_the_outage_leaves() -> None:
    """Busy to 5.5 s, away to 30.5 s, then busy with the backlog to 40.5 s."""
    record = a_busy_record(1, 5.5, overlap=Overlap.QUEUE_ALL)
    record = after(record, plan(record, at(30.5)))
    record = structs.replace(record, busy_before=((at(1), at(5.5)),), busy_at=at(30.5), free_at=at(40.5))
    runs, rows = drained(record, 40.5)
    assert runs == [3, 4, 5, *range(25, 41)]
    assert rows == [(MISSED, "late", 6, 24, 19)]


def test_the_limit_is_counted_anew_for_each_outage() -> None:
    record = a_record(overlap=Overlap.QUEUE_ALL, catchup=Catchup.ALL)
    record = structs.replace(record, job=replace(record.job, catchup_limit=2))
    record = structs.replace(record, busy_before=((at(20.5), at(22.5)),), busy_at=at(60.5), free_at=at(62.5))
    runs, rows = drained(record, 62.5)
    assert runs == [14, 15, *range(16, 23), 54, 55, *range(56, 63)]
    assert [row[1:] for row in rows] == [("beyond_limit", 1, 13, 13), ("beyond_limit", 23, 53, 31)]


@pytest.mark.parametrize("times", [[(30, 20)], [(50, 70)], [(1, 20), (10, 30)]])
def test_busy_times_out_of_order_tell_nothing(times: list[tuple[int, int]]) -> None:
    """The clock was set: what it said then is not of these instants."""
    *before, (busy_at, free_at) = [(at(since), at(until)) for since, until in times]
    record = a_record(overlap=Overlap.SKIP, catchup=Catchup.ALL)
    record = structs.replace(record, busy_before=tuple(before), busy_at=busy_at, free_at=free_at)
    runs, rows = drained(record, 60.5)
    assert len(runs) + sum(row[4] for row in rows) == 60
    assert runs[-1] == 60


# ── pauses ──


def paused(record: JobRecord, since: float, until: float, *, replay: bool = False) -> JobRecord:
    """The record after a pause."""
    for resuming in (False, True):
        made = resume(record, at(until), replay=replay) if resuming else pause(record, at(since))
        record = after(record, made.plan)
        record = structs.replace(record, paused_at=made.paused_at, resumed_at=made.resumed_at)
    return record


@pytest.mark.parametrize("overlap", Overlap)
@pytest.mark.parametrize(
    ("catchup", "runs", "rows"),
    [
        (Catchup.ALL, [*range(1, 11), *range(21, 61)], [(SKIPPED, "paused", 11, 20, 10)]),
        (
            Catchup.LATEST,
            [60],
            [(MISSED, "late", 1, 10, 10), (SKIPPED, "paused", 11, 20, 10), (MISSED, "late", 21, 59, 39)],
        ),
        (
            Catchup.NONE,
            [56, 57, 58, 59, 60],
            [(MISSED, "late", 1, 10, 10), (SKIPPED, "paused", 11, 20, 10), (MISSED, "late", 21, 55, 35)],
        ),
    ],
)
def test_a_pause_takes_its_own_out_of_an_outage(
    overlap: Overlap, catchup: Catchup, runs: list[float], rows: list[Row]
) -> None:
    """Nobody was there all the time; from 10.5 to 20.5 s the job was paused."""
    record = paused(a_record(overlap=overlap, catchup=catchup), 10.5, 20.5)
    assert drained(record, 60.5) == (runs, rows)


@pytest.mark.parametrize("now", [20.5, 23, 60.5])
def test_the_latest_from_before_a_pause_runs_if_nothing_came_after_it(now: float) -> None:
    record = structs.replace(a_record(ttl="19s"), paused_at=at(10.5), resumed_at=at(20.5))
    runs, rows = drained(record, now)
    assert runs == [10]
    assert rows == [(MISSED, "late", 1, 9, 9), (SKIPPED, "paused", 11, 19, 9)]


@pytest.mark.parametrize(
    ("overlap", "runs", "rows"),
    [
        (Overlap.QUEUE_ALL, [*range(2, 11), *range(21, 31)], [(SKIPPED, "paused", 11, 20, 10)]),
        (
            Overlap.QUEUE_ONE,
            [30],
            [(SKIPPED, "overlap", 2, 10, 9), (SKIPPED, "paused", 11, 20, 10), (SKIPPED, "overlap", 21, 29, 9)],
        ),
        (
            Overlap.SKIP,
            [],
            [(SKIPPED, "overlap", 2, 10, 9), (SKIPPED, "paused", 11, 20, 10), (SKIPPED, "overlap", 21, 30, 10)],
        ),
    ],
)
def test_a_pause_takes_its_own_out_of_a_busy_time(overlap: Overlap, runs: list[float], rows: list[Row]) -> None:
    record = paused(a_busy_record(1, 30.5, overlap=overlap), 10.5, 20.5)
    assert drained(record, 30.5) == (runs, rows)


@pytest.mark.parametrize(("overlap", "runs"), [(Overlap.QUEUE_ALL, [2, 3, 4, 5]), (Overlap.QUEUE_ONE, [5])])
def test_what_was_queued_when_the_job_paused_itself_runs_when_it_goes_on(overlap: Overlap, runs: list[float]) -> None:
    record = paused(a_busy_record(1, 5.5, overlap=overlap), 5.5, 20.5)
    assert drained(record, 20.5)[0] == runs


def test_a_pause_that_began_with_nothing_due_is_left_out_at_once() -> None:
    record = paused(a_record("@every 10s"), 5, 35)
    assert (record.seq, record.next_due_at, record.paused_at, record.resumed_at) == (3, at(40), None, None)


def test_a_pause_that_is_replayed_was_none() -> None:
    record = paused(a_record(catchup=Catchup.ALL), 10.5, 20.5, replay=True)
    assert (record.paused_at, record.resumed_at) == (None, None)
    assert drained(record, 20.5) == ([float(number) for number in range(1, 21)], [])


def test_with_jitter_that_counts_which_is_due_in_the_pause() -> None:
    record = a_record("@every 100s", catchup=Catchup.ALL)
    job = replace(record.job, jitter=timedelta(seconds=300))
    assert timedelta(seconds=5) < job.delay < timedelta(seconds=50)
    record, delay = structs.replace(record, job=job), seconds(NOON + job.delay)
    # Its instant has passed, but it is due only after the pause.
    within = paused(record, 100 + delay / 2, 100 + delay - 1)
    assert drained(within, 100 + delay)[0] == [100]
    # It is due in the pause, though its instant came before that.
    before = paused(record, 100 + delay / 2, 100 + delay + 1)
    assert (before.seq, before.next_due_at) == (1, at(200))
    # It was due before the pause, and nobody ran it.
    overdue = paused(record, 100 + delay + 1, 150 + delay)
    assert drained(overdue, 150 + delay)[0] == [100]


def test_two_pauses_are_one_while_something_before_the_first_is_still_to_be_planned() -> None:
    record = paused(paused(a_record(catchup=Catchup.ALL), 10.5, 20.5), 30.5, 40.5)
    assert (record.paused_at, record.resumed_at) == (at(10.5), at(40.5))
    runs, rows = drained(record, 45.5)
    assert runs == [*range(1, 11), *range(41, 46)]
    assert rows == [(SKIPPED, "paused", 11, 40, 30)]


def test_a_pause_of_a_clock_that_was_set_back_does_not_count() -> None:
    record = structs.replace(a_record(catchup=Catchup.ALL), paused_at=at(5), resumed_at=at(3600))
    assert drained(record, 20.5)[0] == list(range(1, 21))


@pytest.mark.parametrize("catchup", Catchup)
@pytest.mark.parametrize("end", [{"ttl": "15s"}, {"repeats": 2}])
def test_a_job_that_was_overdue_when_it_was_paused_comes_to_its_end(catchup: Catchup, end: dict[str, Any]) -> None:
    record = paused(a_record(catchup=catchup, **end), 10.5, 3600)
    runs, rows = drained(record, 7200)
    assert "paused" in {row[1] for row in rows} or len(runs) == 2
    left = a_record(catchup=catchup, **end).remaining
    assert left is None or len(runs) <= left


# ── years of excluded days ──


def day(number: int) -> datetime:
    return NOON.replace(hour=9) + number * DAY


def days(*numbers: int) -> frozenset[date]:
    return frozenset(day(number).date() for number in numbers)


def with_calendars(schedule: str, *calendars: Calendar, **policies: Any) -> JobRecord:
    record = a_record(schedule)
    return structs.replace(record, job=replace(record.job, calendars=calendars, **policies))


@pytest.mark.parametrize("catchup", Catchup)
def test_years_in_which_a_calendar_keeps_nothing_are_one_row(catchup: Catchup) -> None:
    record = with_calendars("0 0 * * * *", Calendar("kept", days(1, 3700), keep=True), catchup=catchup)
    rows, runs = [], 0
    while record.next_due_at is not None and record.next_due_at <= day(3650):
        made = plan(record, day(3650))
        rows += made.gone
        runs += made.scheduled_for is not None
        record = after(record, made)
    assert runs + sum(gone.instants for gone in rows) == record.seq
    assert len(rows) <= 3
    assert runs == {Catchup.ALL: 24, Catchup.LATEST: 1, Catchup.NONE: 0}[catchup]


def test_an_interval_of_zero_ends_on_an_excluded_day() -> None:
    record = a_record("@every 0s", repeats=4)
    calendars = (Calendar("feast", days(0)),)
    record = structs.replace(record, job=replace(record.job, calendars=calendars))
    made = plan(record, at(1))
    assert (made.scheduled_for, made.next_due_at, made.gone[0].reason) == (None, None, "calendar feast")


WEEKENDS = frozenset(day(number).date() for number in range(3700) if day(number).weekday() > 4)
EVERY_OTHER = days(*range(0, 3700, 2))


@pytest.mark.parametrize(
    ("schedule", "calendar", "policies"),
    [
        ("0 * * * * *", WEEKENDS, {"catchup": Catchup.ALL, "catchup_limit": 100}),
        ("0 * * * * *", WEEKENDS, {"catchup": Catchup.LATEST}),
        ("0 * * * * *", EVERY_OTHER, {"catchup": Catchup.ALL}),
        ("0 0 0 1 1 *", EVERY_OTHER, {"catchup": Catchup.ALL, "catchup_limit": 100}),
        ("0 * * * * *", days(*range(3700)), {"catchup": Catchup.LATEST}),
    ],
)
def test_ten_years_with_excluded_days_are_planned_in_no_time(
    schedule: str, calendar: frozenset[date], policies: dict[str, Any]
) -> None:
    record = with_calendars(schedule, Calendar("closed", calendar), **policies)
    plan(record, NOON + DAY)
    # From day to day, each of them would be gone through several times.
    with at_most(20_000):
        made = plan(record, NOON + 3650 * DAY)
    assert len(made.gone) <= 2

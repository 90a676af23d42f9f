"""Pauses, jitter and calendars, in a virtual world."""

from collections.abc import Iterable
from datetime import date, datetime, timedelta

import pytest

from support.effort import at_most
from support.stores import NOON, ms, s
from wakeful.core.job import Calendar, Catchup, JobState, Overlap, RetryPolicy
from wakeful.core.run import Run
from wakeful.testing import Failed, Rejected, World, world

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

MINUTELY = "* * * * *"
PACE = ms(5)


def minutes(instant: datetime) -> float:
    return (instant - NOON) / timedelta(minutes=1)


def told(rows: Iterable[Run]) -> list[tuple[str, str | None, float, int]]:
    return [(row.state.value, row.reason, minutes(row.scheduled_for), row.instants) for row in rows]


async def state_of(here: World, name: str) -> tuple[JobState, str | None]:
    job = await here.job(name)
    assert job is not None
    return job.state, job.note


# ── pauses ──


async def test_a_job_pauses_itself_after_so_many_failures_in_a_row_and_begins_to_count_anew_when_resumed() -> None:
    async with world(NOON) as here:
        await here.put("tick", MINUTELY, retry=RetryPolicy(0), pause_after=3)
        here.answer("tick", Failed("no"))
        await here.advance(minutes=10)

        failed = [("failed", "attempts_exhausted", number, 1) for number in (1, 2, 3)]
        assert told(await here.history("tick")) == failed
        assert await state_of(here, "tick") == (JobState.PAUSED, "paused itself after 3 failed runs in a row")

        await here.scheduler.resume(here.key("tick"))
        await here.advance(minutes=2.5)
        assert told((await here.history("tick"))[3:]) == [
            ("skipped", "paused", 4, 7),
            *(("failed", "attempts_exhausted", number, 1) for number in (11, 12)),
        ]
        assert (await state_of(here, "tick"))[0] is JobState.ACTIVE
        await here.advance(minutes=3)
        assert (await state_of(here, "tick"))[0] is JobState.PAUSED
        assert len(here.deliveries()) == 6
        assert await here.scheduler.audit() == []


async def test_a_success_between_failures_keeps_the_job_going() -> None:
    async with world(NOON) as here:
        await here.put("tick", MINUTELY, retry=RetryPolicy(0), pause_after=2)
        here.answer("tick", lambda delivery: None if minutes(delivery.scheduled_for) % 2 == 0 else Failed("odd"))
        await here.advance(minutes=10)
        assert len(here.deliveries()) == 10
        assert (await state_of(here, "tick"))[0] is JobState.ACTIVE


@pytest.mark.parametrize(
    ("catchup", "replay", "rows"),
    [
        (Catchup.LATEST, False, [("skipped", "paused", 3, 8)]),
        (Catchup.ALL, False, [("skipped", "paused", 3, 8)]),
        (Catchup.LATEST, True, [("missed", "late", 3, 7), ("succeeded", None, 10, 1)]),
        (Catchup.NONE, True, [("missed", "late", 3, 8)]),
        (Catchup.ALL, True, [("succeeded", None, number, 1) for number in range(3, 11)]),
    ],
)
async def test_what_passed_during_a_pause_is_skipped_or_replayed(
    catchup: Catchup, replay: bool, rows: list[object]
) -> None:
    async with world(NOON) as here:
        await here.put("tick", MINUTELY, catchup=catchup)
        await here.advance(minutes=2.5)
        await here.scheduler.pause(here.key("tick"), "for a while")
        await here.advance(minutes=8)
        assert len(here.deliveries()) == 2
        assert await state_of(here, "tick") == (JobState.PAUSED, "for a while")

        await here.scheduler.resume(here.key("tick"), replay=replay)
        await here.advance(minutes=1)
        assert told((await here.history("tick"))[2:]) == [*rows, ("succeeded", None, 11, 1)]
        assert await here.scheduler.audit() == []


async def test_a_run_that_is_retried_when_its_job_is_paused_goes_on_to_its_end() -> None:
    async with world(NOON) as here:
        await here.put("tick", MINUTELY, retry=RetryPolicy(5, s(40)))
        here.answer("tick", lambda delivery: None if delivery.attempt == 3 else Failed("not yet"))
        await here.advance(minutes=1, seconds=10)
        await here.scheduler.pause(here.key("tick"))
        await here.advance(minutes=5)
        assert [one.attempt for one in here.deliveries()] == [1, 2, 3]
        assert told(await here.history("tick")) == [("succeeded", None, 1, 1)]


# ── jitter ──


async def test_jitter_delays_each_run_of_a_job_alike_and_its_instants_not_at_all() -> None:
    async with world(NOON) as here:
        names = [f"job-{number}" for number in range(20)]
        for name in names:
            await here.put(name, MINUTELY, jitter=s(30), catchup=Catchup.NONE, overlap=Overlap.SKIP)
        await here.advance(minutes=5, seconds=40)

        offsets = []
        for name in names:
            given = here.deliveries(name)
            assert [minutes(one.scheduled_for) for one in given] == [1, 2, 3, 4, 5]
            assert max(one.lateness for one in given) - min(one.lateness for one in given) <= PACE
            assert timedelta(0) <= given[0].lateness < s(30) + PACE
            offsets.append(given[0].lateness)
            # However long the delay, none of them is late: catch-up has nothing to say.
            assert told(await here.history(name)) == [("succeeded", None, number, 1) for number in range(1, 6)]
        assert len(set(offsets)) == 20
        assert max(offsets) - min(offsets) > s(15)


async def test_after_an_outage_a_run_that_its_jitter_delays_is_not_late_yet() -> None:
    async with world(NOON, nodes=0) as here:
        for number in range(30):
            await here.put(f"job-{number}", MINUTELY, jitter=s(50), catchup=Catchup.NONE, ttl="3m")
        await here.advance(minutes=3)
        here.restart()
        await here.advance(minutes=1)

        caught = 0
        for number in range(30):
            rows = told(await here.history(f"job-{number}"))
            assert sum(row[3] for row in rows) == 3
            assert rows[0][:3] == ("missed", "late", 1)
            assert len(here.deliveries(f"job-{number}")) == len(rows) - 1
            # It is due `delay` after its instant, and on time for five seconds more.
            for one in here.deliveries(f"job-{number}"):
                assert one.run.run_at is not None
                assert one.at - one.run.run_at <= s(5) + PACE
                caught += 1
        assert caught >= 20


# ── calendars ──

FEAST = Calendar("feast", frozenset({date(2026, 3, 3)}))
NIGHT = datetime.fromisoformat("2026-03-02T23:40:00Z")


def clock_times(rows: Iterable[Run]) -> list[tuple[str, str | None, str, int]]:
    return [(row.state.value, row.reason, f"{row.scheduled_for:%d %H:%M}", row.instants) for row in rows]


@pytest.mark.parametrize("keep", [False, True])
async def test_nothing_runs_on_the_dates_of_a_calendar_or_with_keep_only_then(keep: bool) -> None:
    async with world(NIGHT) as here:
        calendar = Calendar("feast", FEAST.dates, keep)
        await here.put("tick", "*/10 * * * *", calendars=(calendar,))
        await here.advance(minutes=45)

        before = ("succeeded", None) if not keep else ("skipped", "calendar feast")
        after = ("skipped", "calendar feast") if not keep else ("succeeded", None)
        assert clock_times(await here.history("tick")) == [
            *((*before, time, 1) for time in ("02 23:50",)),
            *(
                [(*after, time, 1) for time in ("03 00:00", "03 00:10", "03 00:20")]
                if keep
                else [(*after, "03 00:00", 3)]
            ),
        ]
        assert await here.scheduler.audit() == []


async def test_the_day_of_a_calendar_is_the_schedules_own() -> None:
    async with world(NIGHT) as here:
        await here.put("tick", "0 * * * *", zone="America/New_York", calendars=(FEAST,))
        await here.advance(hours=6)
        # Midnight in New York is 05:00 UTC.
        assert [f"{one.scheduled_for:%H}" for one in here.deliveries()] == ["00", "01", "02", "03", "04"]


async def test_after_an_outage_the_newest_run_that_a_calendar_allows_is_the_latest() -> None:
    async with world(NIGHT, nodes=0) as here:
        await here.put("tick", "*/10 * * * *", calendars=(FEAST,))
        await here.put("all", "*/10 * * * *", calendars=(FEAST,), catchup=Catchup.ALL)
        await here.advance(minutes=35, seconds=30)
        here.restart()
        await here.advance(seconds=5)

        feast = ("skipped", "calendar feast", "03 00:00", 2)
        assert clock_times(await here.history("tick")) == [("succeeded", None, "02 23:50", 1), feast]
        assert clock_times(await here.history("all")) == [("succeeded", None, "02 23:50", 1), feast]
        assert await here.scheduler.audit() == []


async def test_a_calendar_that_changes_counts_from_the_next_instant_on() -> None:
    async with world(NIGHT) as here:
        await here.put("tick", "*/10 * * * *", calendars=(FEAST,))
        await here.advance(minutes=25)
        assert await here.scheduler.delete_calendar("feast")
        await here.advance(minutes=10)
        assert [row[0] for row in clock_times(await here.history("tick"))] == ["succeeded", "skipped", "succeeded"]


async def test_a_rejected_run_counts_as_a_failure_in_a_row() -> None:
    async with world(NOON) as here:
        await here.put("tick", MINUTELY, pause_after=1)
        here.answer("tick", Rejected("no"))
        await here.advance(minutes=3)
        assert (await state_of(here, "tick"))[0] is JobState.PAUSED


async def test_a_year_of_quiet_costs_nothing_and_loses_no_lease(caplog: pytest.LogCaptureFixture) -> None:
    async with world(NOON, nodes=2) as here:
        await here.put("yearly", "0 13 1 3 *", retry=RetryPolicy(3, timedelta(seconds=30)))
        # A turn of a node is some hundred lines: of the days of these years, none has one of its own.
        with at_most(lines=100_000):
            await here.advance(days=3 * 365)
        assert [one.at.isoformat() for one in here.deliveries()] == [
            "2027-03-01T13:00:00+00:00",
            "2028-03-01T13:00:00+00:00",
        ]
        assert here.health().ok
    assert "lease" not in caplog.text

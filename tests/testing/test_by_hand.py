"""What callers ask of the scheduler beside the schedule: now, again, not any more, and why."""

from datetime import datetime, timedelta
from itertools import pairwise

import pytest

from support.stores import NOON
from wakeful.core.errors import ErrorCode, WakefulError
from wakeful.core.job import Calendar, Overlap, RetryPolicy
from wakeful.core.ports import JobQuery
from wakeful.core.run import Cause, RunState
from wakeful.testing import Failed, world

pytestmark = pytest.mark.anyio

MINUTELY = "* * * * *"
NO_RETRY = RetryPolicy(0)


def minute(number: float) -> datetime:
    return NOON + timedelta(minutes=number)


async def test_a_run_now_comes_at_once_beside_the_schedule() -> None:
    async with world(NOON) as here:
        await here.put("tick", MINUTELY)
        await here.advance(seconds=70)
        run = await here.scheduler.run_now(here.key("tick"))
        await here.advance(seconds=1)

        assert [one.run.cause for one in here.deliveries()] == [Cause.SCHEDULE, Cause.MANUAL]
        assert here.deliveries()[1].run.id == run
        assert here.deliveries()[1].lateness < timedelta(milliseconds=10)
        await here.advance(minutes=1)
        assert [one.run.seq for one in here.deliveries()] == [1, None, 2]
        assert await here.scheduler.audit() == []


async def test_runs_asked_for_while_the_job_is_busy_come_one_after_the_other_before_its_schedule_goes_on() -> None:
    async with world(NOON) as here:
        await here.put("tick", MINUTELY)
        here.answer("tick", takes=20)
        await here.advance(seconds=61)
        for _ in range(3):
            await here.scheduler.run_now(here.key("tick"))
        await here.advance(minutes=3)

        given = here.deliveries()
        assert [one.run.cause for one in given[:5]] == [Cause.SCHEDULE, *[Cause.MANUAL] * 3, Cause.SCHEDULE]
        assert all(later.at - sooner.at >= timedelta(seconds=20) for sooner, later in pairwise(given))
        assert await here.scheduler.audit() == []


async def test_a_backfill_runs_the_instants_of_a_past_time_in_order() -> None:
    async with world(NOON, nodes=0) as here:
        await here.put("tick", MINUTELY)
        await here.advance(minutes=10, seconds=30)
        here.restart()
        await here.advance(seconds=5)
        key = here.key("tick")
        assert list(await here.scheduler.backfill_plan(key, minute(2), minute(5), limit=10)) == [
            minute(number) for number in (2, 3, 4, 5)
        ]
        ids = await here.scheduler.backfill(key, minute(2), minute(5), limit=10)
        await here.advance(seconds=5)

        filled = [one for one in here.deliveries() if one.run.cause is Cause.BACKFILL]
        assert [one.scheduled_for for one in filled] == [minute(number) for number in (2, 3, 4, 5)]
        assert [one.run.id for one in filled] == list(ids)
        with pytest.raises(WakefulError) as refused:
            await here.scheduler.backfill(key, minute(1), minute(10), limit=3)
        assert refused.value.code is ErrorCode.INVALID_JOB
        with pytest.raises(WakefulError):
            await here.scheduler.backfill(key, minute(1), minute(60), limit=100)
        assert await here.scheduler.audit() == []


@pytest.mark.parametrize("nodes", [1, 2])
async def test_a_cancelled_run_is_stopped_and_its_job_goes_on(nodes: int) -> None:
    async with world(NOON, nodes=nodes) as here:
        await here.put("tick", MINUTELY)
        here.answer("tick", takes=1000)
        await here.advance(seconds=62)
        (first,) = here.deliveries()
        await here.scheduler.cancel(first.run.id)
        here.answer("tick")
        await here.advance(minutes=1)

        rows = await here.history("tick")
        assert [(row.state, row.reason) for row in rows] == [
            (RunState.CANCELLED, "asked"),
            (RunState.SUCCEEDED, None),
        ]
        with pytest.raises(WakefulError) as refused:
            await here.scheduler.cancel(first.run.id)
        assert refused.value.code is ErrorCode.RUN_NOT_FOUND
        assert await here.scheduler.audit() == []


async def test_a_failed_run_can_be_done_again_even_when_its_job_is_complete() -> None:
    async with world(NOON) as here:
        await here.put("once", due_time="10s", retry=NO_RETRY)
        here.answer("once", Failed("no"))
        await here.advance(seconds=11)
        assert await here.job("once") is None
        (failed,) = await here.history("once")

        here.answer("once")
        again = await here.scheduler.retry(failed.id)
        await here.advance(seconds=1)

        rows = await here.history("once")
        assert [(row.state, row.cause, row.retry_of) for row in rows] == [
            (RunState.FAILED, Cause.SCHEDULE, None),
            (RunState.SUCCEEDED, Cause.RETRY, failed.id),
        ]
        assert rows[1].id == again
        assert rows[1].scheduled_for == failed.scheduled_for
        assert await here.job("once") is None
        with pytest.raises(WakefulError):
            await here.scheduler.retry(again)
        assert await here.scheduler.audit() == []


async def test_why_says_what_became_of_an_instant() -> None:
    async with world(NOON) as here:
        await here.put("tick", MINUTELY, overlap=Overlap.SKIP)
        here.answer("tick", takes=90)
        await here.advance(minutes=4, seconds=10)
        key = here.key("tick")

        async def why(number: float) -> str:
            return await here.scheduler.why(key, minute(number))

        assert "ran and succeeded" in await why(1)
        assert "still busy" in await why(2)
        assert "still to come" in await why(60)
        assert "no such instant" in await why(1.5)
        assert "made later" in await why(-10)


async def test_a_simulation_counts_what_would_be_and_changes_nothing() -> None:
    async with world(NOON) as here:
        await here.put("minutely", MINUTELY)
        await here.put("hourly", "0 * * * *")
        found = await here.scheduler.simulate(JobQuery(), here.now, minute(120))

        assert {one.key.name: one.instants for one in found.jobs} == {"minutely": 120, "hourly": 2}
        assert [at for at, count in found.busiest if count == 2] == [minute(60), minute(120)]
        await here.advance(minutes=1)
        assert len(here.deliveries()) == 1


async def test_a_simulation_leaves_out_what_a_calendar_excludes_and_what_is_paused() -> None:
    async with world(NOON) as here:
        tomorrow = NOON.date() + timedelta(days=1)
        await here.put("daily", "0 13 * * *", calendars=(Calendar("free", frozenset({tomorrow})),))
        await here.put("paused", MINUTELY)
        await here.scheduler.pause(here.key("paused"))
        found = await here.scheduler.simulate(JobQuery(), here.now, NOON + timedelta(days=3))

        assert {one.key.name: (one.instants, one.last) for one in found.jobs} == {
            "daily": (2, NOON + timedelta(days=2, hours=1)),
            "paused": (0, None),
        }

"""`why`: a sentence about one instant of a job, true in each case."""

from collections.abc import Awaitable, Callable
from datetime import date, datetime, timedelta

import pytest

from support.stores import NOON
from wakeful.core.job import Calendar, Catchup, Overlap, RetryPolicy
from wakeful.core.ports import JobQuery, Put
from wakeful.core.run import Cause
from wakeful.testing import Failed, Rejected, World, world

pytestmark = pytest.mark.anyio

MINUTELY = "* * * * *"
NO_RETRY = RetryPolicy(0)


def minute(number: float) -> datetime:
    return NOON + timedelta(minutes=number)


def asks(here: World, name: str = "tick") -> Callable[[float], Awaitable[str]]:
    async def why(number: float) -> str:
        return await here.scheduler.why(here.key(name), minute(number))

    return why


async def an_outage(here: World) -> None:
    await here.put("tick", MINUTELY)
    here.close_app()
    await here.advance(minutes=10)
    here.open_app()
    await here.advance(seconds=5)


# ── what left no run ──


async def test_an_instant_between_those_of_a_row_for_many_is_none_of_the_schedule() -> None:
    async with world(NOON) as here:
        await an_outage(here)
        why = asks(here)

        assert "it was not run (with 8 others, one row for all): nobody could run it in time" in await why(5)
        assert "of such instants the job makes up for the latest only" in await why(5)
        assert await why(5.5) == (
            "2026-03-02T12:05:30Z: the schedule has no such instant; the next after it is 2026-03-02T12:06:00Z."
        )


async def test_a_row_of_an_older_schedule_is_still_told_of() -> None:
    async with world(NOON) as here:
        await an_outage(here)
        await here.put("tick", "0 * * * *", how=Put.EDIT)
        why = asks(here)

        assert "it was not run (with 8 others" in await why(1)
        assert "the schedule was another then" in await why(5)
        assert "9 instants" in await why(5)


async def test_each_catch_up_and_overlap_policy_has_its_own_words() -> None:
    async with world(NOON) as here:
        here.answer("busy", takes=150)
        await here.put("none", MINUTELY, catchup=Catchup.NONE)
        await here.put("old", MINUTELY, catchup=Catchup.ALL, catchup_window=timedelta(minutes=2))
        await here.put("many", MINUTELY, catchup=Catchup.ALL, catchup_limit=2)
        await here.put("busy", MINUTELY, overlap=Overlap.SKIP)
        await here.advance(minutes=4, seconds=50)
        here.kill()
        await here.advance(minutes=6)
        here.restart()
        await here.advance(seconds=10)

        assert "the job does not make up for such instants" in await asks(here, "none")(6)
        assert "older than the 2 minutes" in await asks(here, "old")(6)
        assert "makes up for the newest 2 only" in await asks(here, "many")(6)
        assert "the job was still busy, and leaves out what comes meanwhile" in await asks(here, "busy")(2)


async def test_what_a_pause_a_deletion_and_a_new_definition_left_out() -> None:
    async with world(NOON) as here:
        for name in ("tick", "gone", "new"):
            await here.put(name, MINUTELY)
        await here.scheduler.pause(here.key("tick"))
        here.close_app()
        await here.advance(minutes=3, seconds=10)
        await here.scheduler.resume(here.key("tick"))
        key = here.key("gone")
        await here.scheduler.delete(JobQuery(key.namespace, key.owner, key.name))
        await here.put("new", "0 * * * *", how=Put.REPLACE)

        assert "the job was paused" in await asks(here)(2)
        assert "the job was deleted before it was run" in await asks(here, "gone")(2)
        assert "the job was replaced before it was run" in await asks(here, "new")(2)


# ── still to come, or not ──


async def test_a_run_that_jitter_holds_back_is_no_neglect() -> None:
    async with world(NOON) as here:
        record = await here.put("tick", "0 13 * * *", jitter=timedelta(hours=1))
        delay = record.job.delay
        assert timedelta(minutes=2) < delay < timedelta(minutes=58)
        due = (minute(60) + delay).isoformat().replace("+00:00", "Z")
        await here.advance(hours=1, minutes=1)

        said = await asks(here)(60)
        assert f"it is due at {due}: the job's jitter puts each of its runs" in said
        assert "nobody" not in said
        assert "still to come" in await asks(here)(60 + 24 * 60)
        await here.advance(hours=1)
        assert "ran and succeeded" in await asks(here)(60)


async def test_a_day_that_a_calendar_excludes_is_not_still_to_come() -> None:
    async with world(NOON) as here:
        free = Calendar("free", frozenset({date(2026, 3, 4)}))
        await here.put("tick", "0 13 * * *", calendars=(free,))
        tomorrow = 60 + 24 * 60

        assert "still to come" in await asks(here)(tomorrow)
        assert "it will not be run: the calendar free excludes that day" in await asks(here)(tomorrow + 24 * 60)
        await here.advance(days=3)
        assert "it was not run: the calendar free excludes that day" in await asks(here)(tomorrow + 24 * 60)


@pytest.mark.parametrize("schedule", [MINUTELY, "@every 1m", "R5/PT1M"])
async def test_nothing_is_still_to_come_beyond_the_repeats(schedule: str) -> None:
    async with world(NOON) as here:
        given = {} if schedule.startswith("R5") else {"repeats": 5}
        await here.put("tick", schedule, **given)  # type: ignore[arg-type]
        await here.advance(minutes=2, seconds=10)
        why = asks(here)

        assert "still to come" in await why(3)
        assert "still to come" in await why(5)
        assert "the schedule ends before it: of its 5 runs 3 are left" in await why(6)
        assert "the next after it is 2026-03-02T12:05:00Z" in await why(4.5)
        assert "the schedule has no such instant, and ends before it" in await why(5.5)
        await here.advance(minutes=10)
        assert "ran and succeeded" in await why(5)
        assert "the schedule ends before it: all of its 5 runs were made" in await why(6)


async def test_excluded_days_do_not_count_against_the_repeats() -> None:
    async with world(NOON) as here:
        free = Calendar("free", frozenset({date(2026, 3, 3)}))
        await here.put("tick", "0 13 * * *", repeats=2, calendars=(free,))
        day = 24 * 60

        assert "still to come" in await asks(here)(60 + 2 * day)
        assert "ends before it: of its 2 runs 2 are left" in await asks(here)(60 + 3 * day)


async def test_nothing_follows_the_end_of_a_schedule() -> None:
    async with world(NOON) as here:
        await here.put("tick", "0,30 * * * *", until_at="2026-03-02T13:30:00Z")
        why = asks(here)

        assert "the next after it is 2026-03-02T13:30:00Z" in await why(61)
        said = await why(120)
        assert "the schedule has no such instant, and ends before it: at 2026-03-02T13:30:00Z" in said
        assert "next after" not in said


async def test_an_interval_too_names_the_next_instant() -> None:
    async with world(NOON) as here:
        await here.put("tick", "@every 10m")
        assert "the next after it is 2026-03-02T12:10:00Z" in await asks(here)(3)


async def test_what_is_overdue_names_who_decides() -> None:
    async with world(NOON) as here:
        await here.put("tick", MINUTELY)
        here.close_app()
        await here.advance(minutes=10)
        said = await asks(here)(3)
        assert "it is overdue: nobody who serves the queue app/default/test has claimed it" in said
        assert "the job's catch-up policy (latest) decides" in said
        await here.scheduler.pause(here.key("tick"), "the printer burns")
        assert "it is overdue, but the job is paused (the printer burns)" in await asks(here)(3)


async def test_what_waits_for_a_busy_job_says_so() -> None:
    async with world(NOON) as here:
        await here.put("tick", MINUTELY)
        here.answer("tick", takes=300)
        await here.advance(minutes=3)
        said = await asks(here)(2)
        assert "the job has 1 run in flight or waiting, and may have no more" in said
        assert "its overlap policy (queue_one) decides" in said


# ── runs ──


async def test_a_run_that_waits_for_its_retry_tells_of_the_failure() -> None:
    async with world(NOON) as here:
        await here.put("tick", MINUTELY, retry=RetryPolicy(3, timedelta(seconds=30)))
        here.answer("tick", Failed("out of cheese"))
        await here.advance(minutes=1, seconds=10)

        said = await asks(here)(1)
        assert "attempt 1 failed with: out of cheese; the next is due at 2026-03-02T12:01:30" in said
        assert "begun" not in said
        here.close_app()
        await here.advance(seconds=40)
        said = await asks(here)(1)
        assert "attempt 1 failed with: out of cheese; the next has been due since 2026-03-02T12:01:30" in said


async def test_a_second_attempt_under_way_tells_of_the_first() -> None:
    async with world(NOON) as here:
        await here.put("tick", MINUTELY, retry=RetryPolicy(3, timedelta(seconds=10)))
        here.answer("tick", Failed("out of cheese"))
        await here.advance(minutes=1, seconds=5)
        here.answer("tick", takes=100)
        await here.advance(seconds=10)
        assert "it is being run now, attempt 2; attempt 1 failed with: out of cheese" in await asks(here)(1)
        await here.advance(minutes=3)
        assert "it ran and succeeded at attempt 2, begun 0.00" in await asks(here)(1)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (Failed("out of cheese"), "it failed after 1 attempt, with: out of cheese (no retry was left)"),
        (Rejected("no such job"), "it failed after 1 attempt, with: no such job (the target refused it for good)"),
    ],
)
async def test_a_failure_tells_why_nothing_followed(answer: Failed | Rejected, words: str) -> None:
    async with world(NOON) as here:
        await here.put("tick", "0 13 * * *", retry=NO_RETRY)
        here.answer("tick", answer)
        await here.advance(minutes=61)
        assert words in await asks(here)(60)


async def test_a_failed_run_tells_what_became_of_its_retry() -> None:
    async with world(NOON) as here:
        await here.put("tick", "0 13 * * *", retry=NO_RETRY)
        here.answer("tick", Failed("out of cheese"))
        await here.advance(minutes=61)
        (failed,) = await here.history("tick")
        again = await here.scheduler.retry(failed.id)
        assert "it was done again on request, and waits to be taken" in await asks(here)(60)
        await here.advance(seconds=1)
        said = await asks(here)(60)
        assert "it failed after 1 attempt" in said
        assert "it was done again on request, and failed" in said

        here.answer("tick")
        await here.scheduler.retry(again)
        await here.advance(seconds=1)
        said = await asks(here)(60)
        assert "it failed after 1 attempt" in said
        assert "it was done again on request, and succeeded at 2026-03-02T13:01:0" in said


async def test_a_missed_instant_tells_of_its_backfill() -> None:
    async with world(NOON) as here:
        await an_outage(here)
        await here.scheduler.backfill(here.key("tick"), minute(5), minute(5), limit=1)
        await here.advance(seconds=1)

        said = await asks(here)(5)
        assert "it was not run (with 8 others" in said
        assert "a backfill made up for it, and succeeded at 2026-03-02T12:10:0" in said
        assert "backfill" not in await asks(here)(6)


async def test_a_backfilled_instant_of_before_the_definition_is_told_of() -> None:
    async with world(NOON) as here:
        await here.put("tick", "0 * * * *")
        await here.scheduler.backfill(here.key("tick"), minute(-60), minute(-60), limit=1)
        await here.advance(seconds=1)
        said = await asks(here)(-60)
        assert "a backfill made up for it, and succeeded at 2026-03-02T12:00:0" in said
        assert "after its instant" not in said


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        ("asked", "its run was cancelled: somebody asked for it"),
        ("expired", "its run was cancelled: nobody took it before it expired"),
        ("the customer left", "its run was cancelled: the customer left"),
    ],
)
async def test_a_cancelled_run_tells_the_reason(reason: str, words: str) -> None:
    async with world(NOON) as here:
        await here.put("tick", MINUTELY)
        here.answer("tick", takes=1000)
        await here.advance(minutes=1, seconds=1)
        (running,) = here.deliveries()
        assert running.run.cause is Cause.SCHEDULE
        await here.scheduler.cancel(running.run.id, reason)
        assert words in await asks(here)(1)


async def test_a_run_that_another_took_the_place_of_tells_the_reason() -> None:
    async with world(NOON) as here:
        await here.put("tick", MINUTELY, overlap=Overlap.REPLACE)
        here.answer("tick", takes=90)
        await here.advance(minutes=2, seconds=10)
        assert "its run was superseded: the next run of the job took its place" in await asks(here)(1)

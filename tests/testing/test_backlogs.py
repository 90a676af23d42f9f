"""What passes while a job is busy, away or paused, in a virtual world: each is told apart from the others."""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from support.examples import examples
from support.stores import NOON, s
from wakeful.core.job import Calendar, Catchup, Overlap, RetryPolicy
from wakeful.core.run import Run, RunState
from wakeful.testing import Delivery, Failed, Succeeded, World, world

pytestmark = pytest.mark.anyio

MINUTELY = "* * * * *"
TEN_MINUTES = 600


def minutes(instant: datetime) -> float:
    return (instant - NOON) / timedelta(minutes=1)


def told(rows: Iterable[Run]) -> list[tuple[str, str | None, float, int]]:
    return [(row.state.value, row.reason, minutes(row.scheduled_for), row.instants) for row in rows]


def succeeded(*numbers: float) -> list[tuple[str, str | None, float, int]]:
    return [("succeeded", None, number, 1) for number in numbers]


async def of_schedule(here: World, name: str) -> list[Run]:
    return sorted(await here.history(name), key=lambda row: row.seq or 0)


# ── queue_all: one after the other, all of them ──


@pytest.mark.parametrize("catchup", Catchup)
@pytest.mark.parametrize(
    "more", [{}, {"catchup_limit": 2}, {"catchup_window": s(120)}, {"max_running": 2}, {"jitter": s(30)}]
)
async def test_one_long_run_does_not_cost_the_instants_that_queue_behind_it(catchup: Catchup, more: Any) -> None:
    async with world(NOON) as here:

        async def first_is_long(delivery: Delivery) -> Succeeded:
            await here.clock.sleep(TEN_MINUTES if delivery.run.seq == 1 else 20)
            return Succeeded()

        here.answer("tick", first_is_long)
        await here.put("tick", MINUTELY, overlap=Overlap.QUEUE_ALL, catchup=catchup, **more)
        await here.advance(minutes=25, seconds=58)
        assert told(await of_schedule(here, "tick")) == succeeded(*range(1, 26))


@pytest.mark.parametrize("catchup", Catchup)
@pytest.mark.parametrize("most", [1, 2])
async def test_a_job_that_never_keeps_up_leaves_nothing_out(catchup: Catchup, most: int) -> None:
    async with world(NOON) as here:
        here.answer("tick", takes=90 * most)
        await here.put("tick", MINUTELY, overlap=Overlap.QUEUE_ALL, catchup=catchup, max_running=most)
        await here.advance(minutes=40)
        rows = told(await of_schedule(here, "tick"))
        done = len(rows) - most
        assert rows == [*succeeded(*range(1, done + 1)), *(("claimed", None, done + 1 + n, 1) for n in range(most))]
        assert done >= 24


@pytest.mark.parametrize("catchup", Catchup)
async def test_retries_keep_a_job_busy_too(catchup: Catchup) -> None:
    async with world(NOON) as here:
        here.answer("tick", lambda delivery: Failed("no") if delivery.attempt < 3 else Succeeded())
        retry = RetryPolicy(5, s(40))
        await here.put("tick", MINUTELY, overlap=Overlap.QUEUE_ALL, catchup=catchup, retry=retry)
        await here.advance(minutes=30)
        assert {row[0] for row in told(await of_schedule(here, "tick"))} <= {"succeeded", "waiting"}


async def test_what_was_skipped_while_the_job_was_busy_is_no_matter_of_its_window() -> None:
    async with world(NOON) as here:
        here.answer("tick", takes=TEN_MINUTES)
        await here.put("tick", MINUTELY, overlap=Overlap.SKIP, catchup_window=s(120))
        await here.advance(minutes=11, seconds=30)
        assert told(await of_schedule(here, "tick")) == [*succeeded(1), ("skipped", "overlap", 2, 10)]


async def test_the_newest_that_are_caught_up_with_are_so_however_slow_they_are() -> None:
    async with world(NOON) as here:
        here.answer("tick", takes=180)
        await here.put("tick", MINUTELY, catchup=Catchup.ALL, catchup_limit=5, overlap=Overlap.ALLOW)
        here.close_app()
        await here.advance(minutes=30, seconds=30)
        here.open_app()
        await here.advance(minutes=20)
        rows = told(await of_schedule(here, "tick"))
        assert rows[:7] == [("missed", "beyond_limit", 1, 25), *succeeded(*range(26, 32))]


# ── pauses ──


@pytest.mark.parametrize(
    ("catchup", "fate"), [(Catchup.NONE, "missed"), (Catchup.LATEST, "succeeded"), (Catchup.ALL, "succeeded")]
)
async def test_what_was_overdue_when_the_job_was_paused_is_a_matter_of_catch_up(catchup: Catchup, fate: str) -> None:
    async with world(NOON) as here:
        await here.put("daily", "30 12 * * *", catchup=catchup)
        here.close_app()
        await here.advance(minutes=40)
        await here.scheduler.pause(here.key("daily"))
        await here.advance(minutes=5)
        await here.scheduler.resume(here.key("daily"))
        here.open_app()
        await here.advance(minutes=5)
        assert [row[0] for row in told(await here.history("daily"))] == [fate]


async def test_what_queued_behind_a_run_stays_queued_through_a_pause() -> None:
    async with world(NOON) as here:
        here.answer("tick", takes=TEN_MINUTES)
        await here.put("tick", "*/5 * * * *", overlap=Overlap.QUEUE_ALL, repeats=2)
        await here.advance(minutes=11)
        await here.scheduler.pause(here.key("tick"))
        await here.advance(seconds=20)
        await here.scheduler.resume(here.key("tick"))
        await here.advance(minutes=20)
        assert told(await here.history("tick")) == succeeded(5, 10)


async def test_what_is_not_due_yet_for_its_jitter_is_not_lost_in_a_pause() -> None:
    async with world(NOON) as here:
        for number in range(10):
            await here.put(f"job-{number}", "30 12 * * *", jitter=timedelta(minutes=10))
        await here.advance(minutes=30, seconds=1)
        for number in range(10):
            await here.scheduler.pause(here.key(f"job-{number}"))
            await here.scheduler.resume(here.key(f"job-{number}"))
        await here.advance(minutes=10)
        for number in range(10):
            assert told(await here.history(f"job-{number}")) == succeeded(30)


async def test_what_queued_before_a_job_paused_itself_is_run_when_it_is_resumed() -> None:
    async with world(NOON) as here:
        here.answer("tick", Failed("no"), takes=200)
        await here.put("tick", MINUTELY, pause_after=1, retry=RetryPolicy(0))
        await here.advance(minutes=6, seconds=30)
        here.answer("tick")
        await here.scheduler.resume(here.key("tick"))
        await here.advance(minutes=1)
        assert told(await here.history("tick"))[1:] == [
            ("skipped", "overlap", 2, 2),
            *succeeded(4),
            ("skipped", "paused", 5, 2),
            *succeeded(7),
        ]


# ── calendars ──


async def test_an_excluded_day_is_one_row_whoever_looks_when() -> None:
    async with world(NOON) as here:
        feast = Calendar("feast", frozenset(date(2026, 3, 2) + timedelta(days=number) for number in range(3)))
        await here.put("tick", MINUTELY, calendars=(feast,))
        await here.advance(hours=10)
        (row,) = await here.history("tick")
        assert (row.state, row.reason, row.instants) == (RunState.SKIPPED, "calendar feast", 600)
        assert "with 599 others, one row for all" in await here.scheduler.why(here.key("tick"), NOON + s(3600))
        assert await here.scheduler.audit() == []


async def test_a_job_for_a_few_days_outlives_years_without_any() -> None:
    async with world(NOON) as here:
        kept = Calendar("kept", frozenset({date(2026, 3, 2), date(2030, 1, 1)}), keep=True)
        await here.put("tick", "0 * * * *", calendars=(kept,))
        await here.advance(hours=2)
        here.kill()
        here.suspend(days=1000)
        here.restart()
        await here.advance(seconds=30)
        job = await here.job("tick")
        assert job is not None
        assert job.note is None
        rows = told(await here.history("tick"))
        assert [row[:2] for row in rows[-2:]] == [("succeeded", None), ("skipped", "calendar kept")]


# ── whatever happens ──


@dataclass
class Times:
    """Stretches of time that have begun and ended."""

    began: datetime | None = None
    over: list[tuple[datetime, datetime]] = field(default_factory=list)

    def end(self, now: datetime) -> None:
        if self.began is not None:
            self.over.append((self.began, now))
        self.began = None

    def hold(self, instant: datetime, margin: timedelta) -> bool:
        return any(since - margin <= instant <= until + margin for since, until in self.over)


HAPPENINGS = st.lists(
    st.tuples(st.integers(20, 900), st.sampled_from(["away", "back", "pause", "resume", "run_now"])), max_size=10
)


async def tell(policies: dict[str, Any], takes: Sequence[int], happenings: Sequence[tuple[int, str]]) -> None:
    away, paused = Times(), Times()
    async with world(NOON) as here:
        turn = iter(takes * 1000)

        async def answer(_: Delivery) -> Succeeded:
            await here.clock.sleep(next(turn))
            return Succeeded()

        here.answer("tick", answer)
        await here.put("tick", MINUTELY, overlap=Overlap.QUEUE_ALL, ttl="90m", **policies)
        for after_s, what in (*happenings, (1, "back"), (1, "resume")):
            await here.advance(seconds=after_s)
            if what == "away" and away.began is None:
                away.began = here.now
                here.close_app()
            elif what == "back" and away.began is not None:
                away.end(here.now)
                here.open_app()
            elif what == "pause" and paused.began is None and await here.job("tick"):
                paused.began = here.now
                await here.scheduler.pause(here.key("tick"))
            elif what == "resume" and paused.began is not None:
                paused.end(here.now)
                await here.scheduler.resume(here.key("tick"))
            elif what == "run_now" and await here.job("tick"):
                await here.scheduler.run_now(here.key("tick"))
        here.answer("tick")
        await here.advance(hours=3)
        rows = [row for row in await of_schedule(here, "tick") if row.seq is not None]
        assert await here.scheduler.audit() == []
    assert sum(row.instants for row in rows) == 90
    # Two pauses are one while something from before the first is left.
    one = Times(None, [(paused.over[0][0], paused.over[-1][1])] if paused.over else [])
    for row in rows:
        instants = [row.scheduled_for + number * s(60) for number in range(row.instants)]
        if row.state is RunState.MISSED:
            assert all(away.hold(at, s(6)) for at in instants), (told(rows), away.over)
        elif row.state is RunState.SKIPPED:
            assert row.reason == "paused"
            assert all(one.hold(at, s(1)) for at in instants), (told(rows), paused.over)
        else:
            assert row.state is RunState.SUCCEEDED
            assert not any(since < row.scheduled_for <= until for since, until in paused.over)


@pytest.mark.slow
@settings(max_examples=examples(60), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.fixed_dictionaries(
        {},
        optional={
            "catchup": st.sampled_from(Catchup),
            "catchup_limit": st.integers(0, 5),
            "catchup_window": st.integers(0, 600).map(s),
            "max_running": st.integers(1, 3),
        },
    ),
    st.lists(st.sampled_from([0, 20, 70, 400]), min_size=1, max_size=4),
    HAPPENINGS,
)
def test_a_job_that_queues_all_runs_what_came_due_while_somebody_was_there(
    policies: dict[str, Any], takes: Sequence[int], happenings: Sequence[tuple[int, str]]
) -> None:
    asyncio.run(tell(policies, takes, happenings))

"""Every policy of a job, in a virtual world: what is delivered when, and what the history tells of the rest."""

import asyncio
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any
from uuid import UUID

import pytest

from support.stores import NOON, ms, s
from wakeful.core.job import Catchup, CountedFrom, Overlap, RetryPolicy
from wakeful.core.run import Cause, Rejected, Run, RunState
from wakeful.engine import Limits
from wakeful.testing import Delivery, Failed, Succeeded, World, world

pytestmark = pytest.mark.anyio

MINUTELY = "* * * * *"
NO_RETRY = RetryPolicy(0)
# The engine leaves a little time between two turns.
PACE = ms(5)


def minute(number: float) -> datetime:
    return NOON + timedelta(minutes=number)


def minutes(instant: datetime) -> float:
    return (instant - NOON) / timedelta(minutes=1)


def told(rows: Iterable[Run]) -> list[tuple[str, str | None, float, int]]:
    """State, reason, first instant and number of instants of each row."""
    return [(row.state.value, row.reason, minutes(row.scheduled_for), row.instants) for row in rows]


def ran(deliveries: Sequence[Delivery]) -> list[float]:
    return [minutes(one.scheduled_for) for one in deliveries]


def succeeded(*numbers: float) -> list[tuple[str, str | None, float, int]]:
    return [("succeeded", None, number, 1) for number in numbers]


# ── catch-up ──

OUTSIDE = ("missed", "outside_window", 1, 50)
TEN_MINUTES = timedelta(minutes=10)


@pytest.mark.parametrize(
    ("policies", "rows"),
    [
        ({"catchup": Catchup.LATEST}, [("missed", "late", 1, 59), *succeeded(60)]),
        ({"catchup": Catchup.ALL}, succeeded(*range(1, 61))),
        ({"catchup": Catchup.NONE}, [("missed", "late", 1, 60)]),
        (
            {"catchup": Catchup.LATEST, "catchup_window": TEN_MINUTES},
            [OUTSIDE, ("missed", "late", 51, 9), *succeeded(60)],
        ),
        ({"catchup": Catchup.ALL, "catchup_window": TEN_MINUTES}, [OUTSIDE, *succeeded(*range(51, 61))]),
        ({"catchup": Catchup.NONE, "catchup_window": TEN_MINUTES}, [OUTSIDE, ("missed", "late", 51, 10)]),
        ({"catchup": Catchup.LATEST, "catchup_window": s(20)}, [("missed", "outside_window", 1, 60)]),
        (
            {"catchup": Catchup.ALL, "catchup_limit": 5},
            [("missed", "beyond_limit", 1, 55), *succeeded(*range(56, 61))],
        ),
        (
            {"catchup": Catchup.ALL, "catchup_limit": 20, "catchup_window": TEN_MINUTES},
            [("missed", "beyond_limit", 1, 40), ("missed", "outside_window", 41, 10), *succeeded(*range(51, 61))],
        ),
        ({"catchup": Catchup.LATEST, "catchup_limit": 5}, [("missed", "late", 1, 59), *succeeded(60)]),
    ],
)
async def test_what_came_due_while_no_node_ran_is_caught_up_with_as_the_policy_says(
    policies: Any, rows: list[object]
) -> None:
    async with world(NOON, nodes=0) as here:
        await here.put("tick", MINUTELY, **policies)
        await here.advance(minutes=60, seconds=30)
        here.restart()
        await here.advance(seconds=20)

        assert told(await here.history("tick")) == rows
        await here.advance(minutes=1)
        assert told((await here.history("tick"))[len(rows) :]) == succeeded(61)
        assert await here.scheduler.audit() == []


async def test_what_was_late_when_the_job_became_busy_is_a_matter_of_catch_up_and_the_rest_of_overlap() -> None:
    async with world(NOON, nodes=0) as here:
        await here.put("tick", MINUTELY, overlap=Overlap.SKIP)
        here.answer("tick", takes=150)
        await here.advance(minutes=10, seconds=30)
        here.restart()
        await here.advance(minutes=4)

        assert told(await here.history("tick")) == [
            ("missed", "late", 1, 9),
            *succeeded(10),
            ("skipped", "overlap", 11, 3),
            ("claimed", None, 14, 1),
        ]


async def test_a_storm_of_late_runs_is_paced_while_runs_on_time_stay_on_time() -> None:
    async with world(NOON, nodes=0, limits=Limits(late_per_s=10)) as here:
        for number in range(100):
            await here.put(f"late-{number}", MINUTELY)
        await here.put("fresh", "@every 1s", catchup=Catchup.NONE)
        await here.advance(minutes=5, seconds=20)
        here.restart()
        began = here.now
        await here.advance(seconds=15)

        late = [one for one in here.deliveries() if one.name != "fresh"]
        fresh = here.deliveries("fresh")
        assert len(late) == 100
        assert late[-1].at - began >= s(8.5)
        for second in range(12):
            reached = [one for one in late if began <= one.at <= began + s(second)]
            assert len(reached) <= 10 + 10 * second + 1
        # What is overdue by less than five seconds counts as on time; from then on each comes at its instant.
        assert max(one.lateness for one in fresh[6:]) <= PACE * 4
        assert len(fresh) >= 15


# ── overlap ──


@pytest.mark.parametrize(
    ("overlap", "rows"),
    [
        (Overlap.QUEUE_ALL, [*succeeded(1, 2), ("claimed", None, 3, 1)]),
        (Overlap.QUEUE_ONE, [*succeeded(1), ("skipped", "overlap", 2, 1), *succeeded(3), ("skipped", "overlap", 4, 2)]),
        (Overlap.SKIP, [*succeeded(1), ("skipped", "overlap", 2, 2), *succeeded(4)]),
    ],
)
async def test_instants_that_pass_while_the_job_is_busy_follow_its_overlap_policy(
    overlap: Overlap, rows: list[object]
) -> None:
    async with world(NOON) as here:
        await here.put("tick", MINUTELY, overlap=overlap)
        here.answer("tick", takes=150)
        await here.advance(minutes=6, seconds=45)

        assert told(await here.history("tick"))[: len(rows)] == rows
        assert await here.scheduler.audit() == []


@pytest.mark.parametrize("most", [1, 2, 3, 5])
async def test_a_job_never_has_more_runs_under_way_than_it_may(most: int) -> None:
    under_way, seen = 0, []

    async def slow(_: Delivery) -> None:
        nonlocal under_way
        under_way += 1
        seen.append(under_way)
        await here.clock.sleep(150)
        under_way -= 1

    async with world(NOON, nodes=2) as here:
        await here.put("tick", MINUTELY, overlap=Overlap.ALLOW, max_running=most, catchup=Catchup.ALL)
        here.answer("tick", slow)
        await here.advance(minutes=12)

        assert max(seen) == min(most, 3)
        # Nothing is left out, it waits for room.
        assert ran(here.deliveries()) == [float(number) for number in range(1, len(here.deliveries()) + 1)]
        if most >= 3:
            assert all(one.lateness <= PACE for one in here.deliveries())


class Stubborn:
    """Goes on with what it does when it is told to stop, and says that it succeeded."""

    def __init__(self, here: World, takes_s: float) -> None:
        self.here = here
        self.takes_s = takes_s
        self.stopped: list[tuple[UUID, datetime]] = []

    async def __call__(self, delivery: Delivery) -> Succeeded:
        try:
            await self.here.clock.sleep(self.takes_s)
        except asyncio.CancelledError:
            self.stopped.append((delivery.run.id, self.here.now))
        return Succeeded()


@pytest.mark.parametrize("nodes", [1, 2])
async def test_replace_stops_the_run_before_and_its_late_outcome_changes_nothing(nodes: int) -> None:
    # With room for one run at a time, two nodes take turns.
    limits = Limits(most_running=1) if nodes == 2 else None
    async with world(NOON, nodes=nodes, limits=limits) as here:
        await here.put("tick", MINUTELY, overlap=Overlap.REPLACE)
        app = Stubborn(here, 90)
        here.answer("tick", app)
        await here.advance(minutes=3, seconds=10)

        first, second, third = here.deliveries("tick")
        assert [one.at for one in (first, second, third)] == [minute(1), minute(2), minute(3)]
        assert [one.node for one in (first, second, third)] == ([0, 0, 0] if nodes == 1 else [0, 1, 0])
        assert [run for run, _ in app.stopped] == [first.run.id, second.run.id]
        # Its own node learns of it with the next renewal of its lease.
        assert all(minute(n + 2) <= at <= minute(n + 2) + s(2.1) for n, (_, at) in enumerate(app.stopped))

        await here.advance(minutes=1, seconds=30)
        superseded = [("superseded", "overtaken", number, 1) for number in (1, 2, 3)]
        assert told(await here.history("tick"))[:3] == superseded
        job = await here.job("tick")
        assert job is not None
        assert (job.succeeded, job.failed) == (0, 0)
        assert await here.scheduler.audit() == []


async def test_an_outcome_that_comes_before_the_owner_of_a_replaced_run_knows_is_refused() -> None:
    async with world(NOON) as here:
        await here.put("tick", MINUTELY, overlap=Overlap.REPLACE, repeats=2)
        here.answer("tick", takes=60.05)
        await here.advance(minutes=4)

        assert told(await here.history("tick")) == [("superseded", "overtaken", 1, 1), *succeeded(2)]
        assert await here.job("tick") is None


# ── retries ──


def after_first(deliveries: Sequence[Delivery]) -> list[float]:
    """When each attempt came, in seconds after the first, to a hundredth."""
    return [round((one.at - deliveries[0].at).total_seconds(), 2) for one in deliveries]


@pytest.mark.parametrize(
    ("retry", "takes_s", "attempts", "reason"),
    [
        (RetryPolicy(3, s(10)), 0, [0, 10, 20, 30], "attempts_exhausted"),
        (RetryPolicy(0, s(10)), 0, [0], "attempts_exhausted"),
        (RetryPolicy(4, s(10), multiplier=2), 0, [0, 10, 30, 70, 150], "attempts_exhausted"),
        (RetryPolicy(4, s(10), multiplier=2, max_interval=s(25)), 0, [0, 10, 30, 55, 80], "attempts_exhausted"),
        (RetryPolicy(2, s(10), CountedFrom.FAILURE), 4, [0, 14, 28], "attempts_exhausted"),
        (RetryPolicy(2, s(10), CountedFrom.DUE), 4, [0, 10, 20], "attempts_exhausted"),
        (RetryPolicy(2, s(3), CountedFrom.DUE), 4, [0, 4, 8], "attempts_exhausted"),
        (RetryPolicy(None, s(10), max_age=s(35)), 0, [0, 10, 20, 30], "too_old"),
        (RetryPolicy(1, s(10), max_age=s(35)), 0, [0, 10], "attempts_exhausted"),
    ],
)
async def test_retries_come_after_their_intervals(
    retry: RetryPolicy, takes_s: float, attempts: list[float], reason: str
) -> None:
    async with world(NOON) as here:
        await here.put("once", due_time="1m", retry=retry)
        here.answer("once", Failed("no"), takes=takes_s)
        await here.advance(minutes=6)

        given = here.deliveries("once")
        assert after_first(given) == pytest.approx(attempts, abs=0.02)
        assert [one.attempt for one in given] == list(range(1, len(attempts) + 1))
        assert len({one.run.id for one in given}) == 1
        (run,) = await here.history("once")
        assert (run.state, run.reason, run.attempt) == (RunState.FAILED, reason, len(attempts))


async def test_jitter_takes_off_up_to_its_part_of_each_interval_differently_for_each_run() -> None:
    retry = RetryPolicy(3, s(100), jitter=0.5)
    gaps: dict[str, list[float]] = {}
    async with world(NOON) as here:
        for number in range(10):
            await here.put(f"job-{number}", due_time="1m", retry=retry)
        here.answer(None, Failed("no"))
        await here.advance(minutes=6)
        for number in range(10):
            at = after_first(here.deliveries(f"job-{number}"))
            gaps[f"job-{number}"] = [later - sooner for sooner, later in pairwise(at)]

    every = [gap for own in gaps.values() for gap in own]
    assert len(every) == 30
    assert all(50 <= gap <= 100.02 for gap in every)
    assert max(every) - min(every) > 20
    assert len({own[0] for own in gaps.values()}) > 5


async def test_what_is_rejected_is_not_tried_again() -> None:
    async with world(NOON) as here:
        await here.put("once", due_time="1m", retry=RetryPolicy(None))
        here.answer("once", Rejected("not mine"))
        await here.advance(minutes=3)
        assert [(run.state, run.reason, run.attempt) for run in await here.history("once")] == [
            (RunState.FAILED, "rejected", 1)
        ]


# ── order ──


async def test_of_what_is_due_the_higher_priority_goes_first() -> None:
    async with world(NOON, limits=Limits(most_running=1)) as here:
        for name, priority in (("low", -5), ("plain", 0), ("high", 7), ("highest", 100)):
            await here.put(name, MINUTELY, priority=priority, repeats=2)
        await here.advance(minutes=2, seconds=1)

        assert [one.name for one in here.deliveries()] == ["highest", "high", "plain", "low"] * 2


async def test_a_run_that_is_due_sooner_goes_before_one_of_equal_priority() -> None:
    async with world(NOON, nodes=0, limits=Limits(most_running=1)) as here:
        for name, due in (("c", "3s"), ("a", "1s"), ("b", "2s")):
            await here.put(name, due_time=due)
        await here.put("urgent", due_time="4s", priority=1)
        await here.advance(seconds=4)
        here.restart()
        await here.advance(seconds=1)
        assert [one.name for one in here.deliveries()] == ["urgent", "a", "b", "c"]
        assert Counter(run.cause for run in await here.history("a")) == {Cause.SCHEDULE: 1}


# ── beginning, end and pauses ──


async def test_a_schedule_lies_between_its_start_and_its_end_and_has_so_many_runs() -> None:
    async with world(NOON) as here:
        await here.put("between", MINUTELY, start_at="2026-03-02T12:03:00Z", until_at="2026-03-02T12:05:00Z")
        await here.put("thrice", MINUTELY, repeats=3)
        await here.put("started", "@every 90s", start_at="2026-03-02T12:02:00Z", repeats=2)
        await here.advance(minutes=8)

        assert ran(here.deliveries("between")) == [3, 4, 5]
        assert ran(here.deliveries("thrice")) == [1, 2, 3]
        assert ran(here.deliveries("started")) == [2, 3.5]
        for name in ("between", "thrice", "started"):
            assert await here.job(name) is None
        assert await here.scheduler.audit() == []


async def test_repeats_counts_runs_and_not_instants_that_were_left_out() -> None:
    async with world(NOON, nodes=0) as here:
        await here.put("tick", MINUTELY, repeats=3)
        await here.advance(minutes=10)
        here.restart()
        await here.advance(minutes=5)
        assert told(await here.history("tick")) == [("missed", "late", 1, 9), *succeeded(10, 11, 12)]

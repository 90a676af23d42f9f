"""Somebody sets the clock, it jitters, or the machine sleeps: what is due is neither lost, doubled nor silent."""

from datetime import datetime, timedelta
from itertools import pairwise

import pytest

from support.stores import NOON, s
from wakeful.core.job import Catchup
from wakeful.core.run import RunState
from wakeful.testing import Delivery, World, world

pytestmark = pytest.mark.anyio

MINUTELY = "* * * * *"
EVERY = "@every 5s"


class Watch:
    """Notes at what time since boot each delivery came: the wall clock is not to be trusted here."""

    def __init__(self, here: World) -> None:
        self.here = here
        self.at: dict[str, list[timedelta]] = {}
        here.answer(None, self)

    def __call__(self, delivery: Delivery) -> None:
        self.at.setdefault(delivery.name, []).append(self.here.clock.elapsed)

    def silence(self, name: str) -> timedelta:
        """The longest time without a delivery of the job, from the first of them until now."""
        return max(later - sooner for sooner, later in pairwise([*self.at[name], self.here.clock.elapsed]))


def node_of(here: World) -> object:
    return here.health().details["node"]


def at(text: str) -> datetime:
    return datetime.fromisoformat(f"2026-03-{text}:00Z")


# ── forwards (F11) ──


async def test_a_step_of_a_day_forwards_costs_each_job_one_run_and_one_row() -> None:
    async with world(NOON) as here:
        for number in range(100):
            await here.put(f"job-{number}", MINUTELY)
        await here.advance(minutes=2, seconds=30)
        node = node_of(here)
        here.set_clock(days=1)
        await here.advance(seconds=2)

        for number in range(100):
            rows = await here.history(f"job-{number}")
            assert [(row.state, row.reason, row.scheduled_for, row.instants) for row in rows[2:]] == [
                (RunState.MISSED, "late", at("02T12:03"), 1439),
                (RunState.SUCCEEDED, None, at("03T12:02"), 1),
            ]
        assert len(here.deliveries()) == 300
        assert (node_of(here), here.health().ok) == (node, True)

        await here.advance(minutes=1)
        assert len(here.deliveries()) == 400
        assert max(one.lateness for one in here.deliveries()[300:]) < s(0.1)
        assert await here.scheduler.audit() == []


async def test_what_a_step_forwards_passed_is_a_matter_of_catch_up() -> None:
    async with world(NOON) as here:
        await here.put("all", MINUTELY, catchup=Catchup.ALL)
        await here.put("none", MINUTELY, catchup=Catchup.NONE)
        await here.advance(seconds=30)
        here.set_clock(minutes=10)
        await here.advance(seconds=2)

        assert [one.scheduled_for.minute for one in here.deliveries("all")] == list(range(1, 11))
        assert here.deliveries("none") == []
        assert [(row.state, row.instants) for row in await here.history("none")] == [(RunState.MISSED, 10)]


# ── backwards (F12, store.md 15) ──


@pytest.mark.parametrize("back_h", [1, *(pytest.param(hours, marks=pytest.mark.slow) for hours in (2, 25))])
async def test_after_a_step_backwards_what_follows_elapsed_time_goes_on_at_once(back_h: int) -> None:
    async with world("2026-03-04T12:05:10Z") as here:
        watch = Watch(here)
        await here.put("interval", EVERY)
        await here.put("minutely", MINUTELY)
        await here.put("quarterly", "*/15 * * * *")
        await here.put("hourly", "7 * * * *")
        await here.advance(minutes=2)
        node = node_of(here)
        before = [one.run.seq for one in here.deliveries("minutely")]
        here.set_clock(hours=-back_h)
        await here.advance(hours=1, minutes=5)

        assert watch.silence("interval") <= s(6)
        assert watch.silence("minutely") <= s(61)
        assert watch.silence("quarterly") <= timedelta(minutes=15, seconds=1)
        assert watch.silence("hourly") <= timedelta(hours=1, seconds=1)
        # The instants repeat; the numbers go on.
        assert before == [1, 2]
        seqs = [one.run.seq for one in here.deliveries("minutely")]
        assert seqs == list(range(1, len(seqs) + 1))
        instants = [one.scheduled_for for one in here.deliveries("minutely")]
        assert len(set(instants)) < len(instants) or back_h > 1
        assert len({one.run.id for one in here.deliveries()}) == len(here.deliveries())
        assert (node_of(here), here.health().ok) == (node, True)
        assert await here.scheduler.audit() == []


async def test_a_fixed_time_that_has_been_is_not_repeated_after_an_hour_and_is_after_a_correction() -> None:
    async with world("2026-03-04T09:28:00Z") as here:
        await here.put("fixed", "30 9 * * *")
        await here.put("minutely", MINUTELY)
        await here.advance(minutes=4)
        assert [one.scheduled_for for one in here.deliveries("fixed")] == [at("04T09:30")]

        here.set_clock(hours=-1)
        await here.advance(minutes=61, seconds=30)
        assert here.now == datetime.fromisoformat("2026-03-04T09:33:30Z")
        assert len(here.deliveries("fixed")) == 1
        job = await here.job("fixed")
        assert job is not None
        assert job.next_due_at == at("05T09:30")

        here.set_clock(hours=-25)
        await here.advance(minutes=58)
        assert [one.scheduled_for for one in here.deliveries("fixed")] == [at("04T09:30"), at("03T09:30")]
        assert sorted(row.seq or 0 for row in await here.history("fixed")) == [1, 2]
        assert await here.scheduler.audit() == []


async def test_two_nodes_that_see_the_same_step_move_a_job_once() -> None:
    async with world(NOON, nodes=2) as here:
        watch = Watch(here)
        await here.put("interval", EVERY)
        await here.put("minutely", MINUTELY)
        await here.advance(minutes=2, seconds=2)
        here.set_clock(hours=-1)
        await here.advance(minutes=5)
        assert watch.silence("interval") <= s(6)
        assert watch.silence("minutely") <= s(61)
        assert 84 <= len(here.deliveries("interval")) <= 86
        assert await here.scheduler.audit() == []


async def test_a_one_shot_and_a_retry_keep_their_instants_when_the_clock_is_set_back() -> None:
    async with world(NOON) as here:
        await here.put("once", due_time="10m")
        await here.advance(minutes=5)
        here.set_clock(minutes=-3)
        await here.advance(minutes=7, seconds=59)
        assert here.deliveries() == []
        await here.advance(seconds=2)
        assert [one.scheduled_for for one in here.deliveries()] == [at("02T12:10")]


@pytest.mark.parametrize("hours", [24, -1, -25])
async def test_leases_and_what_is_in_flight_notice_nothing_of_a_step(hours: int) -> None:
    async with world(NOON, nodes=2) as here:
        await here.put("slow", MINUTELY, repeats=1)
        here.answer("slow", takes=120)
        await here.advance(seconds=61)
        node = node_of(here)
        here.set_clock(hours=hours)
        await here.advance(minutes=3)

        assert [(row.state, row.attempt, row.fence) for row in await here.history("slow")] == [
            (RunState.SUCCEEDED, 1, 1)
        ]
        assert len(here.deliveries()) == 1
        assert (node_of(here), here.health().ok) == (node, True)


# ── jitter of the clock (F10, F13) ──


async def test_a_clock_that_jumps_to_and_fro_by_a_second_neither_silences_nor_multiplies() -> None:
    async with world(NOON) as here:
        watch = Watch(here)
        await here.put("every", "@every 1s")
        await here.put("minutely", MINUTELY)
        await here.advance(seconds=2)
        node = node_of(here)
        for number in range(600):
            here.set_clock(seconds=1 if number % 2 == 0 else -1)
            await here.advance(milliseconds=100)

        assert 55 <= len(here.deliveries("every")) - 2 <= 65
        assert watch.silence("every") <= s(3)
        assert len(here.deliveries("minutely")) == 1
        assert len({one.scheduled_for for one in here.deliveries("every")}) == len(here.deliveries("every"))
        assert all(one.at >= one.scheduled_for for one in here.deliveries())
        assert (node_of(here), here.health().ok) == (node, True)
        assert await here.scheduler.audit() == []


# ── suspend and resume (F14) ──


async def test_after_ten_minutes_asleep_each_job_runs_once_within_two_seconds_and_the_rest_is_told() -> None:
    async with world(NOON) as here:
        for number in range(100):
            await here.put(f"job-{number}", MINUTELY)
        await here.advance(minutes=2, seconds=30)
        here.suspend(minutes=10)
        await here.advance(seconds=2)

        for number in range(100):
            rows = await here.history(f"job-{number}")
            assert [(row.state, row.scheduled_for, row.instants) for row in rows[2:]] == [
                (RunState.MISSED, at("02T12:03"), 9),
                (RunState.SUCCEEDED, at("02T12:12"), 1),
            ]
        assert here.health().ok
        await here.advance(minutes=1)
        assert max(one.lateness for one in here.deliveries()[300:]) < s(0.1)
        assert len(here.deliveries()) == 400
        assert await here.scheduler.audit() == []


async def test_what_was_in_flight_when_the_machine_fell_asleep_is_delivered_again_with_the_same_id() -> None:
    async with world(NOON) as here:
        await here.put("slow", MINUTELY, repeats=1)
        here.answer("slow", takes=20)
        await here.advance(seconds=70)
        here.suspend(minutes=10)
        await here.advance(seconds=30)

        first, second = here.deliveries()
        assert (first.run.id, first.attempt) == (second.run.id, second.attempt)
        assert [(row.state, row.attempt) for row in await here.history("slow")] == [(RunState.SUCCEEDED, 1)]
        assert await here.scheduler.audit() == []


async def test_a_short_sleep_within_the_lease_interrupts_nothing() -> None:
    async with world(NOON) as here:
        await here.put("slow", MINUTELY, repeats=1)
        here.answer("slow", takes=20)
        await here.advance(seconds=70)
        here.suspend(seconds=2)
        await here.advance(seconds=30)
        assert len(here.deliveries()) == 1
        assert [(row.state, row.fence) for row in await here.history("slow")] == [(RunState.SUCCEEDED, 1)]


async def test_a_clock_set_back_while_no_node_ran_is_noticed_by_the_next() -> None:
    async with world("2026-03-04T12:05:10Z") as here:
        watch = Watch(here)
        await here.put("minutely", MINUTELY)
        await here.advance(minutes=2)
        here.kill(0)
        here.set_clock(hours=-1)
        here.restart(0)
        await here.advance(minutes=5)

        assert watch.silence("minutely") <= s(61)
        assert await here.scheduler.audit() == []

"""The virtual clock and the virtual world: time moves only by hand, and nothing is left waiting when it does."""

import asyncio
import math
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from support.stores import NOON, a_job, s
from wakeful.core.errors import WakefulError
from wakeful.core.job import Calendar
from wakeful.core.ports import Put
from wakeful.core.run import Accepted, RunState, Unavailable
from wakeful.testing import Delivery, Failed, Succeeded, VirtualClock, world

pytestmark = pytest.mark.anyio

# ── the clock ──


async def test_sleepers_wake_in_the_order_of_their_instants_each_at_its_own() -> None:
    clock, woken = VirtualClock(NOON), []

    async def sleep(seconds: float) -> None:
        await clock.sleep(seconds)
        woken.append((clock.now() - NOON).total_seconds())

    sleepers = [asyncio.create_task(sleep(seconds)) for seconds in (5, 0.5, 3600, 2, 0.5)]
    await clock.advance(3599)
    assert woken == [0.5, 0.5, 2, 5]
    await clock.advance(1)
    assert woken[-1] == 3600
    await asyncio.gather(*sleepers)


async def test_what_a_sleeper_does_next_is_done_before_time_goes_on() -> None:
    clock, seen = VirtualClock(NOON), []

    async def chain() -> None:
        for _ in range(5):
            await clock.sleep(1)
            for _ in range(50):
                await asyncio.sleep(0)
            seen.append(clock.now())

    task = asyncio.create_task(chain())
    await clock.advance(10)
    assert seen == [NOON + s(number) for number in range(1, 6)]
    await task


async def test_an_alarm_ends_at_its_instant_when_rung_or_after_a_second() -> None:
    clock = VirtualClock(NOON)
    alarm = clock.alarm()

    async def waited(until: datetime) -> timedelta:
        began = clock.now()
        await alarm.wait(until)
        return clock.now() - began

    for until, ring_after, expected in ((0.3, None, 0.3), (60, None, 1), (60, 0.2, 0.2), (-5, None, 0), (60, 0, 0)):
        task = asyncio.create_task(waited(clock.now() + s(until)))
        if ring_after is not None:
            await clock.advance(ring_after)
            alarm.ring()
        await clock.advance(2)
        assert await task == s(expected)


async def test_a_program_that_never_rests_is_found() -> None:
    clock = VirtualClock(NOON)

    async def spin() -> None:
        alarm = clock.alarm()
        while True:
            await alarm.wait(NOON - s(1))

    clock.most_rounds = 1000
    task = asyncio.create_task(spin())
    with pytest.raises(RuntimeError, match="never comes to rest"):
        await clock.advance(1)
    task.cancel()


async def test_only_one_at_a_time_turns_the_clock() -> None:
    clock = VirtualClock(NOON)

    async def turn() -> None:
        await clock.advance(5)

    first, second = await asyncio.gather(turn(), turn(), return_exceptions=True)
    assert first is None
    assert isinstance(second, RuntimeError)


# ── the world ──


@pytest.mark.slow
async def test_a_day_of_nothing_ends_at_its_end() -> None:
    async with world("2026-01-01T00:00:00Z") as here:
        await here.put("daily", "0 12 * * *")
        await here.advance(days=1)
        assert here.now == datetime(2026, 1, 2, tzinfo=UTC)
        assert [one.lateness for one in here.deliveries()] == [timedelta(0)]
        assert here.health().ok


async def test_time_passes_over_nothing_that_happens(tmp_path: Path) -> None:
    async with world(NOON, path=tmp_path / "world.db") as here:
        await here.put("sparse", "@every 61s")
        await here.put("odd", due_time="12.3456s")
        await here.advance(minutes=30)
        assert [one.at - one.scheduled_for for one in here.deliveries()] == [timedelta(0)] * 30
        await here.put("soon", due_time="3s")
        await here.advance(seconds=4)
        assert [one.lateness for one in here.deliveries("soon")] == [timedelta(0)]


async def test_answers_are_outcomes_errors_or_functions_and_take_their_time() -> None:
    async def slowly(delivery: Delivery) -> Failed | None:
        await here.clock.sleep(10)
        return Failed("odd") if delivery.attempt == 1 else None

    async with world(NOON) as here:
        for name in ("plain", "raises", "slow", "never", "counts"):
            await here.put(name, due_time="1s", data={"name": name})
        here.answer("raises", ValueError("a bug"))
        here.answer("slow", slowly)
        here.answer("never", takes=math.inf)
        here.answer("counts", lambda delivery: Succeeded() if delivery.attempt == 3 else Failed("not yet"), takes=2)
        await here.advance(minutes=1)

        states = {name: (await here.history(name))[0] for name in ("plain", "raises", "slow", "never", "counts")}
        assert {name: (run.state.value, run.attempt) for name, run in states.items()} == {
            "plain": ("succeeded", 1),
            "raises": ("failed", 4),
            "slow": ("succeeded", 2),
            "never": ("claimed", 1),
            "counts": ("succeeded", 3),
        }
        assert states["raises"].errors[0]["error"] == "ValueError: a bug"
        assert here.deliveries("plain")[0].data == {"name": "plain"}
        assert {one.name for one in here.deliveries()} == set(states)


async def test_an_answer_that_was_promised_and_does_not_come_is_waited_for_no_longer_than_promised() -> None:
    async with world(NOON) as here:
        await here.put("later", due_time="1s")
        here.answer("later", lambda delivery: Accepted(s(60)) if delivery.attempt == 1 else Succeeded())
        await here.advance(minutes=2)
        assert [one.attempt for one in here.deliveries()] == [1, 2]
        assert s(60) <= here.deliveries()[1].at - here.deliveries()[0].at <= s(65)


async def test_an_app_that_is_away_gets_what_came_due_once_it_is_back() -> None:
    async with world(NOON) as here:
        await here.put("tick", "* * * * *")
        here.close_app()
        await here.advance(minutes=5)
        assert here.deliveries() == []
        here.open_app()
        await here.advance(seconds=1)
        assert here.deliveries()
        assert await here.scheduler.audit() == []


async def test_an_app_that_takes_nothing_though_it_is_there_is_not_asked_all_the_time() -> None:
    async with world(NOON) as here:
        here.clock.most_rounds = 10_000
        await here.put("tick", due_time="1s")
        here.answer("tick", Unavailable("the stream broke"))
        await here.advance(seconds=11)
        assert 2 <= len(here.deliveries()) <= 200


async def test_what_a_killed_node_had_in_flight_comes_again_under_the_same_id() -> None:
    async with world(NOON, nodes=2) as here:
        await here.put("slow", due_time="1s")
        here.answer("slow", takes=5)
        await here.advance(seconds=2)
        here.kill(0)
        await here.advance(seconds=20)

        first, second = here.deliveries()
        assert (first.node, second.node) == (0, 1)
        assert first.run.id == second.run.id
        assert second.at - first.at <= s(9)
        with pytest.raises(ValueError, match="does not run"):
            here.kill(0)
        here.restart(0)
        with pytest.raises(ValueError, match="runs already"):
            here.restart(0)
        (row,) = await here.history("slow")
        assert row.state is RunState.SUCCEEDED


async def test_a_world_without_a_node_only_keeps() -> None:
    async with world(NOON, nodes=0) as here:
        await here.put("tick", "* * * * *", repeats=1)
        await here.advance(days=365)
        assert (here.deliveries(), here.health().ok) == ([], False)


async def test_jobs_are_put_by_name_or_whole_and_edited() -> None:
    async with world(NOON) as here:
        await here.put(a_job("whole", due="1s"))
        await here.put("tick", "@every 1m")
        with pytest.raises(WakefulError):
            await here.put("tick", "@every 1m")
        await here.put("tick", "@every 10s", how=Put.REPLACE)
        await here.advance(minutes=1)
        assert len(here.deliveries("tick")) == 6
        assert len(here.deliveries("whole")) == 1


async def test_a_job_is_read_with_its_calendars_at_once() -> None:
    async with world(NOON, nodes=0) as here:
        feast = Calendar("feast", frozenset({NOON.date()}))
        await here.put("tick", "* * * * *", calendars=(feast,))
        job = await here.job("tick")
        assert job is not None
        assert job.job.calendars == (feast,)

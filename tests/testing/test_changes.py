"""Changes at awkward moments: edits of jobs with something under way, and clocks that are set while all is quiet."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from support.stores import NOON
from wakeful.core.job import Catchup, Job, Overlap, RetryPolicy, TargetSpec
from wakeful.core.ports import Claim, Put
from wakeful.core.run import Outcome, RunState
from wakeful.core.schedule import ScheduleText, parse_schedule
from wakeful.testing import Delivery, Failed, Succeeded, world
from wakeful.zones import load_zone

pytestmark = pytest.mark.anyio

MINUTELY = "* * * * *"


class Sink:
    """A test's own, which notes when something came."""

    def __init__(self) -> None:
        self.came: list[datetime] = []

    async def deliver(self, claim: Claim) -> Outcome:
        self.came.append(claim.run.scheduled_for)
        return Succeeded()

    async def available(self) -> None:
        """It always is."""


@pytest.mark.parametrize("once", [False, True])
async def test_a_run_of_a_node_that_lost_its_lease_comes_back_in_a_quiet_world(once: bool) -> None:
    async with world(NOON) as here:
        here.answer("long", takes=600)
        await here.put("long", "0 13 * * *", at_most_once=once)
        await here.advance(hours=1, minutes=1)
        here.clock.leap(5.5)
        await here.advance(hours=8)
        (row,) = await here.history("long")
        assert row.state is (RunState.FAILED if once else RunState.SUCCEEDED)


@pytest.mark.parametrize("nodes", [1, 2])
async def test_quiet_is_not_what_another_node_has_to_do(nodes: int) -> None:
    async with world(NOON, nodes=nodes) as here:
        sink = Sink()
        here.scheduler.attach("own/q", sink, 10)
        when = parse_schedule(ScheduleText(MINUTELY), "crontab", NOON, load_zone)
        await here.scheduler.put(Job(here.key("own"), when, TargetSpec("virtual", "t"), "own/q"), Put.CREATE, NOON)
        await here.advance(hours=3)
        assert len(sink.came) == 180


async def test_what_came_due_in_a_pause_is_not_run_though_the_clock_was_set_back_in_it() -> None:
    async with world(NOON) as here:
        await here.put("tick", MINUTELY, catchup=Catchup.ALL)
        await here.advance(minutes=30.5)
        await here.scheduler.pause(here.key("tick"))
        await here.advance(minutes=2)
        here.set_clock(minutes=-30)
        await here.advance(minutes=8)
        await here.scheduler.resume(here.key("tick"))
        await here.advance(minutes=2)
        rows = await here.history("tick")
        assert [(row.reason, row.instants) for row in rows if row.state is not RunState.SUCCEEDED] == [("paused", 8)]
        assert await here.scheduler.audit() == []


@pytest.mark.parametrize("edited", [False, True])
async def test_a_backlog_stays_one_of_a_busy_job_when_its_room_is_made_smaller(edited: bool) -> None:
    async def answer(delivery: Delivery) -> Outcome:
        if delivery.run.seq in (1, 2) and delivery.attempt == 1:
            await here.clock.sleep(600)
        return Failed("no") if (delivery.run.seq, delivery.attempt) == (1, 1) else Succeeded()

    policies: dict[str, Any] = {"overlap": Overlap.QUEUE_ALL, "catchup": Catchup.NONE, "max_running": 2}
    policies["retry"] = RetryPolicy(3, timedelta(seconds=30))
    async with world(NOON) as here:
        here.answer("tick", answer)
        await here.put("tick", MINUTELY, **policies)
        await here.advance(minutes=11.2)
        here.close_app()
        await here.advance(minutes=3.3)
        if edited:
            await here.put("tick", MINUTELY, how=Put.EDIT, **{**policies, "max_running": 1})
        here.open_app()
        await here.advance(minutes=2)
        rows = [row for row in await here.history("tick") if row.scheduled_for <= NOON + timedelta(minutes=12)]
        assert [row.seq for row in rows if row.state is RunState.SUCCEEDED] == list(range(1, 13))


async def test_instants_that_fewer_repeats_leave_out_are_told() -> None:
    async with world(NOON) as here:
        await here.put("tick", MINUTELY, catchup=Catchup.ALL, repeats=100)
        await here.advance(minutes=3.5)
        here.close_app()
        await here.advance(minutes=20)
        await here.put("tick", MINUTELY, how=Put.EDIT, catchup=Catchup.ALL, repeats=3)
        here.open_app()
        await here.advance(minutes=3)
        rows = await here.history("tick")
        assert sum(row.instants for row in rows) == 23
        assert (rows[-1].state, rows[-1].reason) == (RunState.SUPERSEDED, "edited")


async def test_a_run_that_waits_goes_to_its_jobs_new_queue() -> None:
    retry = RetryPolicy(3, timedelta(minutes=2))
    async with world(NOON) as here:
        await here.put("tick", MINUTELY, queue="app/default/old", retry=retry)
        here.answer("tick", Failed("no"))
        await here.advance(seconds=70)
        here.close_app("app/default/old")
        await here.put("tick", MINUTELY, how=Put.EDIT, queue="app/default/new", retry=retry)
        here.answer("tick")
        await here.advance(hours=1)
        rows = await here.history("tick")
        assert {row.state for row in rows} <= {RunState.SUCCEEDED, RunState.SKIPPED}
        assert (rows[0].state, rows[0].queue) == (RunState.SUCCEEDED, "app/default/new")

"""What waits while somebody sets the clock waits as long as it was to: no run stands still, nor its job."""

from datetime import datetime, timedelta
from itertools import pairwise

import pytest

from support.stores import NOON, s
from wakeful.core.job import CountedFrom, Overlap, RetryPolicy
from wakeful.core.ports import Hold
from wakeful.core.run import Accepted, Failed, Outcome, RunState, Succeeded, Unavailable
from wakeful.testing import Delivery, World, world

pytestmark = pytest.mark.anyio

MINUTELY = "* * * * *"
STEPS = [-1, -2, 1]
AGENTS = "agent/default/report"
HOUR = timedelta(hours=1)


class Watch:
    """Answers the n-th delivery as told, and notes when each came, by the time since boot: that is to be trusted."""

    def __init__(self, here: World, **answers: Outcome) -> None:
        self.here = here
        self.answers = answers
        self.at: dict[str, list[timedelta]] = {}
        here.answer(None, self)

    def __call__(self, delivery: Delivery) -> Outcome:
        self.at.setdefault(delivery.name, []).append(self.here.clock.elapsed)
        return self.answers.get(f"{delivery.name}{len(self.at[delivery.name])}", Succeeded())

    def gaps(self, name: str) -> list[float]:
        """The seconds between the deliveries of a job, and from the last of them until now."""
        times = [*self.at[name], self.here.clock.elapsed]
        return [(later - sooner) / s(1) for sooner, later in pairwise(times)]


# ── a retry, a run that was asked for ──


@pytest.mark.parametrize("nodes", [1, 2])
@pytest.mark.parametrize("hours", STEPS)
async def test_a_job_whose_retry_waits_at_the_step_is_not_silent(hours: int, nodes: int) -> None:
    async with world(NOON, nodes=nodes) as here:
        watch = Watch(here, minutely3=Failed("no"), long1=Failed("no"))
        await here.put("minutely", MINUTELY, retry=RetryPolicy(3, s(10)))
        await here.put("long", due_time="170s", retry=RetryPolicy(3, s(600)))
        await here.advance(minutes=3, seconds=5)
        here.set_clock(hours=hours)
        await here.advance(minutes=59)

        assert 9.5 < watch.gaps("minutely")[2] <= 11
        assert max(watch.gaps("minutely")) <= 61
        assert watch.gaps("long")[0] == pytest.approx(600, abs=1)
        assert here.health().ok
        assert await here.scheduler.audit() == []


@pytest.mark.parametrize("hours", STEPS)
async def test_a_run_that_was_asked_for_just_before_the_step_or_after_it_comes_at_once(hours: int) -> None:
    async with world(NOON) as here:
        watch = Watch(here)
        await here.put("minutely", MINUTELY)
        await here.advance(minutes=2, seconds=30)
        await here.scheduler.run_now(here.key("minutely"))
        here.set_clock(hours=hours)
        await here.advance(minutes=5)
        here.set_clock(hours=hours)
        await here.scheduler.run_now(here.key("minutely"))
        await here.advance(minutes=5)

        assert max(watch.gaps("minutely")) <= 61
        asked = [row for row in await here.history("minutely") if row.cause == "manual"]
        assert [row.state for row in asked] == [RunState.SUCCEEDED] * 2
        assert len([gap for gap in watch.gaps("minutely") if gap < 30]) >= 2


@pytest.mark.parametrize("hours", STEPS)
async def test_blocked_runs_go_on_one_after_the_other(hours: int) -> None:
    async with world(NOON) as here:
        here.answer(None, takes=5)
        await here.put("hourly", "0 * * * *")
        await here.advance(hours=3)
        await here.scheduler.backfill(here.key("hourly"), NOON - HOUR, here.now, limit=9)
        await here.advance(seconds=7)
        here.set_clock(hours=hours)
        await here.advance(seconds=40)
        rows = [row for row in await here.history("hourly") if row.cause == "backfill"]
        assert {row.state for row in rows} == {RunState.SUCCEEDED}
        assert len(rows) >= 3


# ── what was under way at the step ──


@pytest.mark.parametrize("hours", STEPS)
async def test_what_fails_within_the_same_second_is_tried_again_in_time(hours: int) -> None:
    async with world(NOON) as here:
        watch = Watch(here)
        watch.answers = {"minutely1": Failed("no")}
        await here.put("minutely", MINUTELY, retry=RetryPolicy(3, s(10)))
        here.answer("minutely", watch, takes=1.2)
        await here.advance(seconds=61.1)
        here.set_clock(hours=hours)
        await here.advance(minutes=5)
        assert watch.gaps("minutely")[0] == pytest.approx(11.2, abs=1)
        assert max(watch.gaps("minutely")) <= 62


@pytest.mark.parametrize("hours", STEPS)
@pytest.mark.parametrize("outcome", [Unavailable("gone"), Failed("no")], ids=["nobody took it", "it failed"])
async def test_what_is_counted_from_its_instant_does_not_wait_for_that_to_come_again(
    hours: int, outcome: Outcome
) -> None:
    async with world(NOON) as here:
        watch = Watch(here, dapr1=outcome)
        await here.put("dapr", MINUTELY, repeats=1, retry=RetryPolicy(3, s(10), CountedFrom.DUE))
        here.answer("dapr", watch, takes=30)
        await here.advance(seconds=70)
        here.set_clock(hours=hours)
        await here.advance(seconds=90)
        assert [row.state for row in await here.history("dapr")] == [RunState.SUCCEEDED]


@pytest.mark.parametrize("hours", STEPS)
async def test_what_passes_while_a_job_is_busy_is_still_told_as_such(hours: int) -> None:
    async with world(NOON) as here:
        await here.put("busy", MINUTELY, overlap=Overlap.SKIP)
        here.answer("busy", takes=200)
        await here.advance(seconds=90)
        here.set_clock(hours=hours)
        await here.advance(seconds=180)
        told = {(row.state, row.reason): row.instants for row in await here.history("busy")}
        if hours < 0:
            assert told == {(RunState.SUCCEEDED, None): 1, (RunState.SKIPPED, "overlap"): 3}
        else:
            # What the step passed is a matter of catch-up.
            assert told[RunState.MISSED, "late"] > 50
        assert await here.scheduler.audit() == []


# ── what is somebody's for so long ──


@pytest.mark.parametrize("hours", STEPS)
async def test_an_answer_that_was_promised_has_its_time_and_no_more(hours: int) -> None:
    async with world(NOON) as here:
        watch = Watch(here, later1=Accepted(s(60)))
        await here.put("later", due_time="60s", retry=RetryPolicy(3, s(1)))
        await here.advance(seconds=65)
        here.set_clock(hours=hours)
        await here.advance(seconds=50)
        assert [row.state for row in await here.history("later")] == [RunState.OPEN]
        await here.advance(seconds=20)
        assert watch.gaps("later")[0] == pytest.approx(63, abs=3)


@pytest.mark.parametrize("hours", STEPS)
async def test_a_task_waits_for_an_agent_and_stays_with_it_as_if_nothing_had_happened(hours: int) -> None:
    async with world(NOON) as here:
        await here.put("other", MINUTELY)
        job = here._job("task", None, {"due_time": "0s", "queue": AGENTS, "retry": RetryPolicy(3, s(1))})
        await here.scheduler.put_run(job, here.now)
        await here.advance(seconds=3)
        here.set_clock(hours=hours)
        await here.advance(seconds=2)
        hold, nothing = Hold("agent", s(60)), timedelta(0)
        assert len(await here.scheduler.claim(hold, {AGENTS: 1}, nothing)) == 1

        await here.advance(seconds=5)
        here.set_clock(hours=hours)
        await here.advance(seconds=50)
        assert await here.scheduler.claim(hold, {AGENTS: 1}, nothing) == ()
        (run,) = await here.history("task")
        assert (run.state, run.holder) == (RunState.CLAIMED, "agent")
        await here.advance(seconds=12)
        (again,) = await here.scheduler.claim(hold, {AGENTS: 1}, nothing)
        assert (again.run.id, again.run.attempt) == (run.id, 2)


@pytest.mark.parametrize("hours", STEPS)
async def test_what_an_agent_reports_within_the_same_second_is_tried_again_in_time(hours: int) -> None:
    async with world(NOON) as here:
        job = here._job("task", None, {"due_time": "0s", "queue": AGENTS, "retry": RetryPolicy(3, s(10))})
        await here.scheduler.put_run(job, here.now)
        hold, nothing = Hold("agent", s(600)), timedelta(0)
        (claim,) = await here.scheduler.claim(hold, {AGENTS: 1}, nothing)
        await here.advance(seconds=30)
        here.set_clock(hours=hours)
        await here.scheduler.report(claim.run, Failed("no"))
        await here.advance(seconds=11)
        (again,) = await here.scheduler.claim(hold, {AGENTS: 1}, nothing)
        assert (again.run.id, again.run.attempt) == (claim.run.id, 2)


# ── while no node runs ──


@pytest.mark.parametrize("hours", STEPS)
async def test_a_step_that_was_made_while_no_node_ran_is_found_by_the_next(hours: int) -> None:
    async with world(NOON) as here:
        watch = Watch(here, minutely3=Failed("no"), long1=Failed("no"))
        await here.put("minutely", MINUTELY, retry=RetryPolicy(3, s(30)))
        await here.put("slow", due_time="170s")
        await here.put("long", due_time="170s", retry=RetryPolicy(3, s(600)))
        await here.put("never yet", "30 * * * *")
        here.answer("slow", watch, takes=60)
        await here.advance(minutes=3, seconds=5)
        here.kill()
        await here.advance(seconds=1)
        here.set_clock(hours=hours)
        here.restart()
        await here.advance(minutes=59)

        assert watch.gaps("minutely")[2] == pytest.approx(30, abs=1)
        assert max(watch.gaps("minutely")) <= 61
        assert watch.gaps("long")[0] == pytest.approx(600, abs=1)
        (slow,) = await here.history("slow")
        assert (slow.state, slow.attempt) == (RunState.SUCCEEDED, 1)
        assert await here.scheduler.audit() == []


async def test_a_job_that_never_ran_is_not_silent_after_such_a_step_either() -> None:
    async with world(NOON) as here:
        watch = Watch(here)
        await here.advance(seconds=10)
        await here.put("minutely", MINUTELY)
        here.kill()
        here.set_clock(hours=-1)
        here.restart()
        await here.advance(minutes=3)
        assert len(watch.at["minutely"]) == 3


async def test_a_machine_without_a_battery_starts_in_the_past_and_is_set_right_a_minute_later() -> None:
    async with world(NOON) as here:
        watch = Watch(here, minutely3=Failed("no"), long1=Failed("no"))
        await here.put("minutely", MINUTELY, retry=RetryPolicy(3, s(10)))
        await here.put("long", due_time="170s", retry=RetryPolicy(3, s(600)))
        await here.advance(minutes=3, seconds=5)
        here.kill()
        here.clock.boot_id = "boot-2"
        here.set_clock(days=-700)
        here.restart()
        await here.advance(minutes=1)
        here.set_clock(days=700)
        await here.advance(minutes=20)

        assert max(watch.gaps("minutely")) <= 61
        assert watch.gaps("long")[0] == pytest.approx(600, abs=10)
        assert await here.scheduler.audit() == []


# ── what is told afterwards ──


async def test_nothing_ever_took_less_than_no_time() -> None:
    async with world(NOON) as here:
        here.answer(None, takes=30)
        await here.put("minutely", MINUTELY, repeats=1)
        await here.advance(seconds=70)
        here.set_clock(hours=-1)
        await here.advance(seconds=60)
        (row,) = await here.history("minutely")
        assert isinstance(row.ended_at, datetime)
        assert row.started_at is not None
        assert row.ended_at < row.started_at
        assert (row.lateness, row.duration) == (s(0), s(0))

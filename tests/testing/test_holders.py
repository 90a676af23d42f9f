"""Runs that no node performs: handed on to a queue of agents, held under a lease, reported later."""

import asyncio
from datetime import timedelta

import pytest

from support.stores import NOON
from wakeful.core.errors import ErrorCode, WakefulError
from wakeful.core.job import RetryPolicy
from wakeful.core.ports import Claim, Hold, RunQuery
from wakeful.core.run import Accepted, Failed, HandedOn, Rejected, RunState, Succeeded
from wakeful.testing import World, world

pytestmark = pytest.mark.anyio

TASKS, AGENTS = "task/default", "agent/default/report"
LEASE = timedelta(seconds=30)
NO_TIME = timedelta(0)


class Desk:
    """Hands every run on."""

    async def deliver(self, claim: Claim) -> HandedOn:
        return HandedOn(AGENTS)

    async def available(self) -> None:
        return


async def with_tasks(here: World, *priorities: int, retry: RetryPolicy | None = None) -> None:
    here.scheduler.attach(TASKS, Desk(), 100)
    for number, priority in enumerate(priorities):
        policy = retry or RetryPolicy(2, timedelta(seconds=5))
        await here.put(f"t{number}", due_time=f"{number + 1}s", queue=TASKS, priority=priority, retry=policy)
    # The world's own app serves every queue that it hears of: here nobody but the desk shall.
    here.close_app(TASKS)
    await here.advance(seconds=len(priorities) + 1)


async def take(here: World, holder: str = "a", limit: int = 10, lease: timedelta = LEASE) -> list[Claim]:
    return list(await here.scheduler.claim(Hold(holder, lease), {AGENTS: limit}, NO_TIME))


async def test_what_was_handed_on_waits_for_whoever_claims_it_by_priority_and_age() -> None:
    async with world(NOON) as here:
        await with_tasks(here, 1, 5, 5, 9)
        assert [row.state for row in (await here.scheduler.runs(RunQuery())).items] == [RunState.WAITING] * 4

        first = await take(here, limit=3)
        assert [claim.job.key.name for claim in first] == ["t3", "t1", "t2"]
        assert [(claim.run.holder, claim.run.attempt) for claim in first] == [("a", 1)] * 3
        assert first[0].run.lease_until == here.now + LEASE
        assert [claim.job.key.name for claim in await take(here, "b")] == ["t0"]
        assert await take(here, "c") == []


async def test_a_report_ends_the_run_with_its_result() -> None:
    async with world(NOON) as here:
        await with_tasks(here, 1)
        (claim,) = await take(here)
        await here.scheduler.report(claim.run, Succeeded(b'{"pages": 3}'))

        (row,) = await here.history("t0")
        assert (row.state, row.result, row.holder) == (RunState.SUCCEEDED, b'{"pages": 3}', "a")
        ended = await here.scheduler.run(claim.run.id)
        assert ended is not None
        for late in (claim.run, ended):
            with pytest.raises(WakefulError) as refused:
                await here.scheduler.report(late, Failed("too late"))
            assert refused.value.code is ErrorCode.STALE_REVISION


async def test_who_asks_for_more_time_keeps_the_run() -> None:
    async with world(NOON) as here:
        await with_tasks(here, 1)
        (claim,) = await take(here)
        for _ in range(4):
            await here.advance(seconds=20)
            held = await here.scheduler.run(claim.run.id)
            assert held is not None
            await here.scheduler.report(held, Accepted(LEASE))
        opened = await here.scheduler.run(claim.run.id)
        assert opened is not None
        assert (opened.state, opened.lease_until) == (RunState.OPEN, here.now + LEASE)
        await here.scheduler.report(opened, Succeeded())
        (row,) = await here.history("t0")
        assert (row.state, row.attempt) == (RunState.SUCCEEDED, 1)


async def test_a_holder_that_is_silent_loses_the_run_and_can_not_report_it_any_more() -> None:
    async with world(NOON) as here:
        await with_tasks(here, 1)
        (lost,) = await take(here, "dead")
        await here.advance(seconds=40)
        (claim,) = await take(here, "alive")
        assert (claim.run.id, claim.run.attempt, claim.run.holder) == (lost.run.id, 2, "alive")
        with pytest.raises(WakefulError):
            await here.scheduler.report(lost.run, Succeeded())
        await here.scheduler.report(claim.run, Succeeded())
        assert await here.scheduler.audit() == []


async def test_a_failure_is_tried_again_in_the_same_queue_and_a_rejection_is_not() -> None:
    async with world(NOON) as here:
        await with_tasks(here, 1, retry=RetryPolicy(1, timedelta(seconds=5)))
        (claim,) = await take(here)
        await here.scheduler.report(claim.run, Failed("no paper"))
        assert await take(here) == []
        await here.advance(seconds=6)
        (claim,) = await take(here)
        await here.scheduler.report(claim.run, Rejected("no printer"))
        (row,) = await here.history("t0")
        assert (row.state, row.reason) == (RunState.FAILED, "rejected")
        assert [error["error"] for error in row.errors] == ["no paper", "no printer"]


async def test_who_waits_is_told_of_a_run_at_once_and_of_none_in_the_end() -> None:
    async with world(NOON) as here:
        await with_tasks(here, 1)
        await take(here)
        waiting = asyncio.ensure_future(here.scheduler.claim(Hold("a", LEASE), {AGENTS: 5}, timedelta(seconds=10)))
        await here.advance(seconds=3)
        await here.put("late", due_time="1s", queue=TASKS)
        await here.advance(seconds=1.1)
        (claim,) = waiting.result()
        assert claim.job.key.name == "late"
        in_vain = asyncio.ensure_future(here.scheduler.claim(Hold("a", LEASE), {AGENTS: 5}, timedelta(seconds=10)))
        await here.advance(seconds=11)
        assert in_vain.result() == ()


async def test_runs_are_found_by_their_job_their_state_and_their_holder() -> None:
    async with world(NOON) as here:
        await with_tasks(here, 1, 1, 1)
        await take(here, "a", 1)
        await take(here, "b", 1)
        found = await here.scheduler.runs(RunQuery(kind="virtual", states=(RunState.CLAIMED,), limit=1, count=True))
        assert (len(found.items), found.total) == (1, 2)
        assert [run.holder for run in (await here.scheduler.runs(RunQuery(holder="b"))).items] == ["b"]
        of_owner = await here.scheduler.runs(RunQuery(owner="app/test", offset=1, count=True))
        assert (len(of_owner.items), of_owner.total) == (2, 3)
        assert (await here.scheduler.runs(RunQuery(owner="app/other", count=True))).total == 0
        assert (await here.scheduler.runs(RunQuery(options=(("x", "y"),), count=True))).total == 0

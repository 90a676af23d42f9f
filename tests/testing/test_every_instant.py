"""Whatever the policies and whatever breaks: every instant that was due is in exactly one row, in order."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from support.examples import examples
from support.stores import NOON
from wakeful.core.job import Catchup, CountedFrom, JobState, Overlap, RetryPolicy
from wakeful.core.run import Cause, Outcome, Run, Succeeded
from wakeful.engine import Limits
from wakeful.testing import Delivery, Failed, Rejected, World, world

pytestmark = pytest.mark.slow

HOUR = timedelta(hours=1)
END = NOON + HOUR
OUTCOMES: Sequence[Outcome] = (Succeeded(), Failed("no"), Rejected("never"))


@dataclass(frozen=True)
class Case:
    """A job: its policies, every how many seconds it is due, and how its app answers, in turn."""

    step_s: int
    policies: dict[str, Any]
    takes: float
    answers: Sequence[Outcome]

    @property
    def schedule(self) -> str:
        minutes, odd = divmod(self.step_s, 60)
        return f"@every {self.step_s}s" if odd or 60 % minutes else f"*/{minutes} * * * *"

    @property
    def due(self) -> list[datetime]:
        """The instants of the hour, counted independently: noon is none of them, its end may be."""
        return [NOON + timedelta(seconds=at) for at in range(self.step_s, 3601, self.step_s)]


def seconds(low: float, high: float) -> st.SearchStrategy[timedelta]:
    return st.integers(int(low), int(high)).map(lambda number: timedelta(seconds=number))


retries = st.builds(
    RetryPolicy,
    st.integers(0, 3),
    seconds(1, 90),
    st.sampled_from(CountedFrom),
    st.sampled_from([1.0, 2.0]),
    st.none() | seconds(1, 100),
    st.sampled_from([0.0, 0.5]),
    st.none() | seconds(1, 300),
)
policies = st.fixed_dictionaries(
    {},
    optional={
        "overlap": st.sampled_from(Overlap),
        "catchup": st.sampled_from(Catchup),
        "catchup_window": seconds(0, 1200),
        "catchup_limit": st.integers(0, 10),
        "max_running": st.integers(1, 3),
        "priority": st.integers(-2, 2),
        "jitter": seconds(0, 40),
        "pause_after": st.integers(1, 4),
        "at_most_once": st.booleans(),
        "retry": retries,
    },
)
cases = st.builds(
    Case,
    st.sampled_from([7, 30, 60, 60, 120, 300, 311, 600]),
    policies,
    st.sampled_from([0, 0, 0.5, 20, 90, 400]),
    st.lists(st.sampled_from(OUTCOMES), min_size=1, max_size=4),
)
EVENTS = ("kill", "restart", "close", "open", "pause", "resume", "replay", "run_now", "cancel", "suspend")
events = st.lists(st.tuples(st.integers(1, 900), st.sampled_from(EVENTS), st.integers(0, 4)), max_size=12)


class Story:
    """What happens in one world, until everything has ended."""

    def __init__(self, here: World, jobs: Sequence[Case]) -> None:
        self.here = here
        self.jobs = {f"job-{number}": case for number, case in enumerate(jobs)}
        self.alive = {0, 1}

    async def begin(self) -> None:
        for name, case in self.jobs.items():
            await self.here.put(name, case.schedule, ttl="1h", **case.policies)
            self.here.answer(name, self._answer, takes=case.takes)

    def _answer(self, delivery: Delivery) -> Outcome:
        answers = self.jobs[delivery.name].answers
        return answers[(delivery.run.fence + (delivery.run.seq or 0)) % len(answers)]

    async def happen(self, what: str, which: int) -> None:
        here, node, name = self.here, which % 2, f"job-{which % len(self.jobs)}"
        job = await here.job(name)
        if what == "kill" and node in self.alive:
            self.alive.remove(node)
            here.kill(node)
        elif what == "restart" and node not in self.alive:
            self.alive.add(node)
            here.restart(node)
        elif what == "close":
            here.close_app()
        elif what == "open":
            here.open_app()
        elif what == "suspend":
            here.suspend(seconds=which * 20)
        elif job is not None:
            await self._ask(what, name)

    async def _ask(self, what: str, name: str) -> None:
        scheduler, key = self.here.scheduler, self.here.key(name)
        if what == "pause":
            await scheduler.pause(key)
        elif what in ("resume", "replay"):
            await scheduler.resume(key, replay=what == "replay")
        elif what == "run_now":
            await scheduler.run_now(key)
        elif what == "cancel":
            unended = [run for run in await self.here.history(name) if not run.state.ended]
            if unended:
                await scheduler.cancel(unended[0].id)

    async def end(self) -> None:
        here = self.here
        here.open_app()
        for node in {0, 1} - self.alive:
            here.restart(node)
        for name in self.jobs:
            here.answer(name)
        for _ in range(60):
            await here.advance(minutes=2)
            left = [job for name in self.jobs if (job := await here.job(name)) is not None]
            for job in left:
                if job.state is JobState.PAUSED:
                    await here.scheduler.resume(job.job.key)
            if not left and here.now > END:
                return
        raise AssertionError(f"these never ended: {left}")

    async def check(self) -> None:
        assert await self.here.scheduler.audit() == []
        for name, case in self.jobs.items():
            rows = await self.here.history(name)
            by_schedule = sorted((row for row in rows if row.cause is Cause.SCHEDULE), key=lambda row: row.seq or 0)
            assert all(row.state.ended for row in rows)
            told_in_order(by_schedule, case.due)
            attempts = [one for one in self.here.deliveries(name) if one.run.cause is Cause.SCHEDULE]
            assert all(one.at >= one.scheduled_for for one in attempts)


def told_in_order(rows: Sequence[Run], due: Sequence[datetime]) -> None:
    place = 0
    for row in rows:
        covered = due[place : place + row.instants]
        assert covered
        assert (row.scheduled_for, row.scheduled_to or row.scheduled_for) == (covered[0], covered[-1])
        place += row.instants
        assert row.seq == place
    assert place == len(due)


async def tell(jobs: Sequence[Case], happenings: Sequence[tuple[int, str, int]]) -> None:
    async with world(NOON, nodes=2, limits=Limits(most_running=20, late_per_s=50)) as here:
        story = Story(here, jobs)
        await story.begin()
        for after_s, what, which in happenings:
            await here.advance(seconds=after_s)
            await story.happen(what, which)
        await story.end()
        await story.check()


@settings(max_examples=examples(25), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(cases, min_size=1, max_size=4), events)
def test_every_instant_is_in_exactly_one_row_in_order(
    jobs: Sequence[Case], happenings: Sequence[tuple[int, str, int]]
) -> None:
    asyncio.run(tell(jobs, happenings))

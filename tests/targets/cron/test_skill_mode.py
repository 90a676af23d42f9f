"""Mode ``skill_direct``: the skill engine is called, with no CLI between."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from targets.cron.jobs import cron_claim, work
from wakeful.targets.failures import Failure
from wakeful.targets.sessions import CronSession
from wakeful.targets.skill import SkillMode
from wakeful.targets.work import Performed

pytestmark = pytest.mark.anyio


@dataclass
class Outcome:
    success: bool = True
    outputs: Mapping[str, Any] = field(default_factory=dict)
    text: str = ""
    error: str | None = None


async def test_s3_31_s3_42_a_skill_is_called_with_its_name_and_its_inputs() -> None:
    calls: list[tuple[str, Mapping[str, Any], CronSession]] = []

    async def run(name: str, inputs: Mapping[str, Any], session: CronSession) -> Outcome:
        calls.append((name, inputs, session))
        return Outcome(outputs={"cups": 2}, text="made coffee")

    given = work(cron_claim("coffee", {"cups": 2}))
    performed = await SkillMode(run)(given)
    assert calls == [("coffee", {"cups": 2}, given.session)]
    assert given.session.source == "cron"
    assert performed == Performed(True, output=b"made coffee", failure=Failure.REPORTED, facts={"outputs": {"cups": 2}})


@pytest.mark.parametrize(("said", "error"), [("no beans", "no beans"), (None, "the skill failed, and says no more")])
async def test_b3_22_a_skill_that_failed_is_no_success(said: str | None, error: str) -> None:
    async def run(*_: object) -> Outcome:
        return Outcome(success=False, text="half a cup", error=said)

    performed = await SkillMode(run)(work(cron_claim()))
    assert (performed.success, performed.error, performed.output) == (False, error, b"half a cup")


async def test_a_timeout_cancels_the_skill() -> None:
    cancelled = asyncio.Event()

    async def run(*_: object) -> Outcome:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise
        return Outcome()

    performed = await SkillMode(run)(work(cron_claim(timeout_s=0.01)))
    assert (performed.success, performed.timed_out, performed.failure) == (False, True, Failure.TIMEOUT)
    assert performed.error == "timed out after 0.01 s"
    assert cancelled.is_set()


async def test_a_timeout_within_the_skill_is_its_own() -> None:
    async def run(*_: object) -> Outcome:
        raise TimeoutError("the skill's own")

    with pytest.raises(TimeoutError, match="the skill's own"):
        await SkillMode(run)(work(cron_claim()))


async def test_cancelling_it_cancels_the_skill() -> None:
    begun, ended = asyncio.Event(), asyncio.Event()

    async def run(*_: object) -> Outcome:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        return Outcome()

    performing = asyncio.create_task(SkillMode(run)(work(cron_claim())))
    await begun.wait()
    performing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await performing
    assert ended.is_set()

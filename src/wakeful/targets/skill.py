"""Mode ``skill_direct``: a skill of this process's own engine, without any AI."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol

from wakeful.targets.failures import Failure
from wakeful.targets.sessions import CronSession
from wakeful.targets.work import Performed, Work


class SkillOutcome(Protocol):
    """What came of a skill: ``text`` is for a person, ``error`` says what failed."""

    @property
    def success(self) -> bool:
        """Whether the skill did what it is for."""
        ...

    @property
    def outputs(self) -> Mapping[str, Any]:
        """The values that it names as its own."""
        ...

    @property
    def text(self) -> str:
        """What it did, for a person."""
        ...

    @property
    def error(self) -> str | None:
        """What failed."""
        ...


RunSkill = Callable[[str, Mapping[str, Any], CronSession], Awaitable[SkillOutcome]]


class SkillMode:
    """Runs skills by ``run``; cancelling that must stop the skill and its processes."""

    def __init__(self, run: RunSkill) -> None:
        self._run = run

    async def __call__(self, work: Work) -> Performed:
        """Performs one attempt, and stops the skill at its time-out."""
        timeout_s = work.timeout.total_seconds()
        try:
            async with asyncio.timeout(timeout_s) as limit:
                outcome = await self._run(work.claim.job.target.address, work.inputs, work.session)
        except TimeoutError:
            if not limit.expired():
                raise
            return Performed(False, error=f"timed out after {timeout_s:g} s", timed_out=True, failure=Failure.TIMEOUT)
        return Performed(
            outcome.success,
            output=outcome.text.encode("utf-8", "replace"),
            error=None if outcome.success else outcome.error or "the skill failed, and says no more",
            failure=Failure.REPORTED,
            facts={"outputs": outcome.outputs},
        )

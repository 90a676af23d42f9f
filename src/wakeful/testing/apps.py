"""The apps of a virtual world: they keep what is delivered to them, and answer as the test says."""

import asyncio
import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import msgspec

from wakeful.core.job import Data
from wakeful.core.ports import Claim
from wakeful.core.run import Accepted, Outcome, Run, Succeeded, Unavailable
from wakeful.testing.clock import VirtualClock


class Delivery(msgspec.Struct, frozen=True):
    """One attempt of a run of the job ``name``, as it reached its app: when, with what, and by which node."""

    at: datetime
    name: str
    run: Run
    data: Any = None
    node: int = 0

    @property
    def scheduled_for(self) -> datetime:
        """The instant of the schedule that the run is for."""
        return self.run.scheduled_for

    @property
    def attempt(self) -> int:
        """Which try of the run this is, from 1."""
        return self.run.attempt

    @property
    def lateness(self) -> timedelta:
        """How long after its instant it came."""
        return self.at - self.run.scheduled_for


Answer = Outcome | Exception | Callable[[Delivery], "Outcome | Awaitable[Outcome | None] | None"]


@dataclass(slots=True)
class Behaviour:
    """How apps behave, and what came to them. All apps of a world share one.

    ``accepted``: one of them has promised an answer for later.
    """

    clock: VirtualClock
    deliveries: list[Delivery] = field(default_factory=list)
    answers: dict[str | None, tuple[Answer, float]] = field(default_factory=lambda: {None: (Succeeded(), 0.0)})
    away: dict[str, asyncio.Event] = field(default_factory=dict)
    in_flight: int = 0
    accepted: bool = False


class App:
    """Where one node's runs of one queue go."""

    def __init__(self, behaviour: Behaviour, queue: str, node: int) -> None:
        self._behaviour = behaviour
        self._queue = queue
        self._node = node

    async def deliver(self, claim: Claim) -> Outcome:
        """Keeps the run and answers; nobody answers while the app is away."""
        behaviour = self._behaviour
        if self._queue in behaviour.away:
            return Unavailable("the app is away")
        name, data = claim.job.key.name, _content(claim.job.data)
        delivery = Delivery(behaviour.clock.now(), name, claim.run, data, self._node)
        behaviour.deliveries.append(delivery)
        behaviour.in_flight += 1
        try:
            outcome = await self._answer(delivery)
        finally:
            behaviour.in_flight -= 1
        behaviour.accepted |= isinstance(outcome, Accepted)
        return outcome

    async def available(self) -> None:
        """Returns once the app is there."""
        away = self._behaviour.away.get(self._queue)
        if away is not None:
            await away.wait()

    async def _answer(self, delivery: Delivery) -> Outcome:
        behaviour = self._behaviour
        answer, takes_s = behaviour.answers.get(delivery.name) or behaviour.answers[None]
        if math.isinf(takes_s):
            await asyncio.get_running_loop().create_future()
        if takes_s:
            await behaviour.clock.sleep(takes_s)
        if isinstance(answer, Exception):
            raise answer
        if not callable(answer):
            return answer
        said = answer(delivery)
        if said is None:
            return Succeeded()
        return said if isinstance(said, Outcome) else await said or Succeeded()


def _content(data: Data | None) -> Any:
    """What JSON says, or the bytes of what is no JSON."""
    return None if data is None else msgspec.json.decode(data.body) if data.type == "json" else data.body

"""Reminders of actors, over HTTP: one PUT a run, to the app that hosts the actor's type."""

import asyncio
from base64 import b64encode
from weakref import WeakValueDictionary

from wakeful.core.job import Data
from wakeful.core.ports import Claim, Sink
from wakeful.core.run import Failed, Outcome, Rejected, Succeeded
from wakeful.targets.http import HttpApp, failure
from wakeful.targets.http_client import Response


class HttpActors:
    """The sink of an app's actors: the target's address is ``type/id``, the job's name that of the reminder."""

    def __init__(self, app: HttpApp) -> None:
        self._app = app

    async def deliver(self, claim: Claim) -> Outcome:
        """Reminds the actor and waits for its answer. Cancelling ends the request."""
        target = claim.job.target
        actor_type, slash, actor_id = target.address.partition("/")
        if target.kind != "actor" or not slash:
            return Rejected(f"an actor can't be the target of kind {target.kind!r} at {target.address[:100]!r}")
        path = f"/actors/{actor_type}/{actor_id}/method/remind/{claim.job.key.name}"
        answer = await self._app.call("PUT", path, claim, reminder_body(claim.job.data))
        if not isinstance(answer, Response):
            return answer
        # The answer may ask by "X-DaprReminderCancel: true" that a recurring reminder end. Dapr counts that as a
        # success of this run, and goes on (dapr pkg/runtime/scheduler/internal/cluster/streamer.go); so does this.
        # Other than for a job, 404 is tried again (pkg/actors/targets/app/transport/http/http.go).
        return Succeeded() if answer.status == 200 else Failed(failure("PUT", path, answer))

    async def available(self) -> None:
        """Returns once the app's port takes connections."""
        await self._app.available()


class OneTurn:
    """A sink that has at most one run at each address under way: an actor does one thing at a time.

    Who waits holds nothing but its claim; the turns are taken in the order of the claims.
    """

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def deliver(self, claim: Claim) -> Outcome:
        """Delivers when the address is free."""
        turn = self._turns.setdefault(claim.job.target.address, asyncio.Lock())
        async with turn:
            return await self._sink.deliver(claim)

    async def available(self) -> None:
        """Returns once the sink can be tried."""
        await self._sink.available()


def reminder_body(data: Data | None) -> bytes:
    """What Dapr would put: dueTime and period are always empty (dapr tests/integration/suite/actors/reminders).

    JSON goes as it is; other bytes as a JSON string of base64, as those of a gRPC caller do.
    """
    if data is None:
        return b'{"dueTime":"","period":""}'
    value = data.body if data.type == "json" else b'"' + b64encode(data.body) + b'"'
    return b'{"data":' + value + b',"dueTime":"","period":""}'

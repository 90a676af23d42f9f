"""One stream to a sidecar as a sink: runs go out in order, what came of them comes back in any."""

import asyncio
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from google.protobuf.message import DecodeError

from wakeful.core.job import Job, actor_queue, app_queue
from wakeful.core.ports import Attachment, Claim
from wakeful.core.run import Failed, Outcome, Rejected, Succeeded, Unavailable
from wakeful.faces.dapr.gatekeeper import FullError, Gatekeeper
from wakeful.faces.dapr.grpc_server import Context
from wakeful.faces.dapr.scheduler_jobs import metadata_of
from wakeful.faces.dapr.scheduler_metrics import SchedulerMetrics
from wakeful.protos import scheduler as messages
from wakeful.protos.values import packed
from wakeful.scheduler import Scheduler

# Runs of one queue that a stream may hold without an answer. Dapr sets no limit; here it is memory, and what a
# sidecar that does not read can keep from others.
ROOM = 256
# Data that may wait for a sidecar that does not read, in bytes; beyond it the stream takes no more.
MOST_HELD = 16 * 1024 * 1024
_SUCCESS = messages.WatchJobsRequestResult().status


class ProtocolError(Exception):
    """The sidecar said something that a stream does not take."""


@dataclass(frozen=True, slots=True)
class Watched:
    """What a stream asks for: the jobs of its app or not, types of actors, and limits by ``gate_key``."""

    namespace: str
    app_id: str
    jobs: bool
    actor_types: Sequence[str] = ()
    limits: Mapping[str, int] = field(default_factory=dict)


@dataclass(eq=False, slots=True)
class _Delivery:
    """A run on its way; ``number`` is its id on the stream once it was sent, at ``sent_at`` on the loop's clock."""

    claim: Claim
    outcome: "asyncio.Future[Outcome]"
    number: int = 0
    sent_at: float = 0.0

    @property
    def size(self) -> int:
        """Bytes of its data."""
        data = self.claim.job.data
        return 0 if data is None else len(data.body)


class WatchStream:
    """A sink for the queues that ``watched`` names, from ``open`` to ``close``."""

    def __init__(self, watched: Watched, keeper: Gatekeeper, metrics: SchedulerMetrics) -> None:
        self._watched = watched
        self._keeper = keeper
        self._metrics = metrics
        self._loop = asyncio.get_running_loop()
        self._rooms: dict[str, int] = {}
        self._attachments: list[Attachment] = []
        self._unsent: deque[_Delivery] = deque()
        self._held = 0
        self._more, self._takes = asyncio.Event(), asyncio.Event()
        self._takes.set()
        self._sent: dict[int, _Delivery] = {}
        self._number = 0

    # ── life ──

    def open(self, scheduler: Scheduler) -> None:
        """From now on runs come."""
        self._keeper.declare(self, self._watched.limits)
        self._metrics.connected += 1
        self.fit(scheduler)

    def fit(self, scheduler: Scheduler) -> None:
        """Attaches to each queue with as much room as there is to be; room that was given once is not taken back."""
        watched = self._watched
        rooms = {app_queue(watched.namespace, watched.app_id): ROOM} if watched.jobs else {}
        rooms |= {actor_queue(watched.namespace, of): self._room(of) for of in watched.actor_types}
        for queue, room in rooms.items():
            had = self._rooms.get(queue, 0)
            if room > had:
                self._rooms[queue] = room
                self._attachments.append(scheduler.attach(queue, self, room - had))

    def close(self) -> None:
        """What has no answer goes back, and is delivered elsewhere at once."""
        self._metrics.connected -= 1
        for delivery in self._sent.values():
            self._metrics.undelivered(_kind(delivery.claim.job))
        # This cancels every delivery.
        for attachment in self._attachments:
            attachment.detach()
        self._keeper.withdraw(self)

    def _room(self, actor_type: str) -> int:
        """What waits behind a gate that is full could run elsewhere: take no more than the gate lets through.

        Where names have gates of their own, who waits for one name must not keep the others out.
        """
        gates = self._keeper.gates
        share = gates.share(actor_type) if actor_type in self._watched.limits else None
        return ROOM if share is None or gates.named(actor_type) else min(share, ROOM)

    # ── the sink ──

    async def deliver(self, claim: Claim) -> Outcome:
        """Sends the run and waits for what the sidecar says came of it, as long as the job allows."""
        job = claim.job
        if (wrong := _unsuitable(job)) is not None:
            return Rejected(wrong)
        if self._held > MOST_HELD:
            return Unavailable("the sidecar does not read")
        if job.target.kind != "actor" or self._keeper.gates.none:
            return await self._answer(claim)
        try:
            async with self._keeper.passing(job):
                return await self._answer(claim)
        except FullError as error:
            return Failed(str(error))

    async def available(self) -> None:
        """Returns once the stream takes more."""
        await self._takes.wait()

    async def _answer(self, claim: Claim) -> Outcome:
        delivery = _Delivery(claim, self._loop.create_future())
        self._unsent.append(delivery)
        self._hold(delivery.size)
        self._more.set()
        try:
            if claim.job.timeout is None:
                return await delivery.outcome
            async with asyncio.timeout(claim.job.timeout.total_seconds()):
                return await delivery.outcome
        except TimeoutError:
            return Failed(f"no answer within {claim.job.timeout}")
        except asyncio.CancelledError:
            # Nothing of it went out: what may run only once may still do so elsewhere.
            if claim.job.at_most_once and not delivery.number:
                return Unavailable("the stream ended")
            raise
        finally:
            self._sent.pop(delivery.number, None)
            if not delivery.number and delivery in self._unsent:
                self._unsent.remove(delivery)
                self._hold(-delivery.size)

    def _hold(self, size: int) -> None:
        self._held += size
        if self._held > MOST_HELD:
            self._takes.clear()
        elif self._held <= MOST_HELD // 2:
            self._takes.set()

    # ── the wire ──

    async def write(self, context: Context) -> None:
        """Sends what there is to send, for ever; a sidecar that does not read holds up only this."""
        while True:
            while self._unsent:
                delivery = self._unsent.popleft()
                try:
                    message = await self._numbered(delivery)
                    if message is not None:
                        await context.write(message)
                except ValueError as error:
                    if not delivery.outcome.done():
                        delivery.outcome.set_result(Rejected(f"the data is no google.protobuf.Value: {error}"))
                finally:
                    self._hold(-delivery.size)
            self._more.clear()
            await self._more.wait()

    async def _numbered(self, delivery: _Delivery) -> bytes | None:
        """The message, with the next id; ``None`` if it need not go out any more."""
        job = delivery.claim.job
        data = None if job.data is None else await packed(job.data)
        if delivery.outcome.done():
            return None
        self._number += 1
        name, metadata = job.key.name, metadata_of(job, self._watched.app_id)
        trigger = messages.WatchJobsResponse(name=name, id=self._number, data=data, metadata=metadata)
        encoded: bytes = trigger.SerializeToString()
        delivery.number, delivery.sent_at = self._number, self._loop.time()
        self._sent[delivery.number] = delivery
        return encoded

    def take(self, message: bytes) -> None:
        """Understands what the sidecar says came of a run; an id that is not known, or not any more, is nothing.

        Raises:
            ProtocolError: it says something else.
        """
        try:
            request: Any = messages.WatchJobsRequest.FromString(message)
        except DecodeError as error:
            raise ProtocolError(f"the request is no WatchJobsRequest: {error}") from None
        if not request.HasField("result"):
            raise ProtocolError("a result is required after the initial request")
        result = request.result
        delivery = self._sent.pop(result.id, None)
        if delivery is None or delivery.outcome.done():
            return
        well = result.status == _SUCCESS
        delivery.outcome.set_result(Succeeded() if well else Failed("the sidecar says that it failed"))
        took_ms = (self._loop.time() - delivery.sent_at) * 1000
        self._metrics.answered(_kind(delivery.claim.job), took_ms, well=well)


def _kind(job: Job) -> str:
    return "actor" if job.target.kind == "actor" else "job"


def _unsuitable(job: Job) -> str | None:
    """Why a sidecar could not do what the job asks for: it calls the app's job/<name>, or reminds an actor."""
    target = job.target
    if target.kind == "actor" or (target.kind == "app" and target.address == f"job/{job.key.name}"):
        return None
    return f"a sidecar calls job/<name> only, not {target.kind} {target.address}"

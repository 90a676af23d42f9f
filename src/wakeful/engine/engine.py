"""The engine: one loop claims what is due and renews the lease, one settles; deliveries run beside them."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from wakeful.core.errors import WakefulError
from wakeful.core.ports import Claim, Clock, Entropy, Health, Node, Retention, Room, Sink, Store
from wakeful.core.run import ON_TIME, Failed, Outcome, Unavailable
from wakeful.core.settlement import Settlement, settle
from wakeful.engine.places import Place, Places

log = logging.getLogger("wakeful.engine")

HEARTBEAT_EVERY = timedelta(seconds=2)
LEASE = timedelta(seconds=6)
# A node stops trusting its lease this long before others may take its runs.
LEASE_MARGIN = timedelta(seconds=1)
LONGEST_TURN = timedelta(seconds=5)
IDLE = timedelta(seconds=1)
# Turns and commits closer together than this would cost more than the lateness they save.
SHORTEST_TURN = timedelta(milliseconds=2)
BLOCKED_TURN = timedelta(milliseconds=20)
AFTER_TROUBLE = timedelta(seconds=1)
PRUNE_EVERY = timedelta(seconds=60)
NEVER = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Limits:
    """What one node takes on at a time: runs in flight, and overdue runs claimed in a second."""

    most_running: int = 1024
    late_per_s: int = 5_000
    retention: Retention = field(default_factory=Retention)


class Engine:
    """One node: claims for the sinks that are attached, delivers, settles."""

    def __init__(self, store: Store, clock: Clock, entropy: Entropy, label: str, limits: Limits | None = None) -> None:
        self._store = store
        self._clock = clock
        self._entropy = entropy
        self._label = label
        self._limits = limits or Limits()
        self._alarm = clock.alarm()
        self._settle_alarm = clock.alarm()
        self._claim_pause = clock.alarm()
        self._settle_pause = clock.alarm()
        self._places = Places(self._limits.most_running, self._alarm.ring)
        self._node_id = self._new_id()
        self._beat_at: timedelta | None = None
        self._lease_end = timedelta(0)
        self._late_tokens = float(self._limits.late_per_s)
        self._tokens_at = clock.boot().elapsed
        self._wake_at = NEVER
        self._starved = False
        self._overdue_since: timedelta | None = None
        self._turn_at = clock.boot().elapsed
        self._trouble: dict[str, str] = {}
        self._outcomes: list[tuple[Settlement, Place]] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._draining = False

    # ── what the scheduler asks ──

    def attach(self, queue: str, sink: Sink, limit: int) -> Place:
        """Lets at most ``limit`` runs of the queue be in flight to the sink."""
        return self._places.attach(queue, sink, limit)

    def wake(self, at: datetime) -> None:
        """Something may be claimable at ``at``."""
        if at < self._wake_at:
            self._wake_at = at
            self._alarm.ring()

    def health(self) -> Health:
        """Red when claims are not made on time, whatever the process looks like."""
        now = self._clock.boot().elapsed
        details: dict[str, object] = {
            "node": f"{self._node_id:016x}",
            "queues": list(self._places.queues()),
            "in_flight": self._places.held,
        }
        if not self._tasks:
            return Health(False, "the engine does not run", details)
        if now - self._turn_at > LONGEST_TURN:
            return Health(
                False, f"no claim turn has completed for {(now - self._turn_at).total_seconds():.0f} s", details
            )
        if self._overdue_since is not None and now - self._overdue_since > LONGEST_TURN:
            return Health(False, "a due job with room is not claimed", details)
        if self._trouble:
            return Health(False, "; ".join(f"{name}: {what}" for name, what in self._trouble.items()), details)
        return Health(True, "", details)

    # ── life ──

    def start(self) -> None:
        """Begins to claim; needs the running event loop."""
        parts: dict[str, Callable[[], Awaitable[None]]] = {
            "claim": self._claim_turns,
            "settle": self._settle_turns,
            "prune": self._prune_turns,
            "changes": self._watch_changes,
        }
        self._turn_at = self._clock.boot().elapsed
        self._tasks = [
            asyncio.create_task(self._supervise(name, part), name=f"wakeful-{name}") for name, part in parts.items()
        ]

    async def stop(self, grace: timedelta) -> None:
        """Claims no more, waits for what is in flight at most ``grace``, gives the rest back, and leaves."""
        self._draining = True
        self._alarm.ring()
        deadline = asyncio.get_running_loop().time() + grace.total_seconds()
        await self._deliveries_end(deadline)
        for place in tuple(self._places):
            place.detach()
        await self._deliveries_end(deadline + 1)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []
        try:
            await self._settle_now()
            await self._store.leave(self._node_id, self._clock.now())
        except WakefulError as error:
            log.warning("left without saying so: %s", error)

    async def _deliveries_end(self, deadline: float) -> None:
        running = [task for place in self._places for task in place.deliveries]
        left = deadline - asyncio.get_running_loop().time()
        if running and left > 0:
            await asyncio.wait(running, timeout=left)

    async def _supervise(self, name: str, part: Callable[[], Awaitable[None]]) -> None:
        """A part that ends or raises is started again, and the node is not healthy meanwhile."""
        while True:
            try:
                await part()
                self._trouble[name] = "ended"
            except WakefulError as error:
                self._report(name, error.message)
            except Exception as error:
                self._trouble[name] = f"{type(error).__name__}: {error}"
                log.exception("%s failed; it starts again", name)
            await asyncio.sleep(AFTER_TROUBLE.total_seconds())

    def _report(self, name: str, message: str) -> None:
        if self._trouble.get(name) != message:
            log.error("%s: %s", name, message)
        self._trouble[name] = message

    # ── claims ──

    async def _claim_turns(self) -> None:
        while True:
            await self._renew()
            wake_at = NEVER if self._draining else await self._claim_turn()
            self._turn_at = self._clock.boot().elapsed
            self._trouble.pop("claim", None)
            if not self._starved:
                await self._claim_pause.wait(self._clock.now() + SHORTEST_TURN)
            await self._alarm.wait(min(wake_at, self._wake_at, self._clock.now() + IDLE))

    async def _claim_turn(self) -> datetime:
        now = self._clock.now()
        tokens = self._refilled_tokens()
        rooms = {queue: Room(free, min(free, tokens)) for queue, free in self._places.rooms().items()}
        self._wake_at = NEVER
        if not rooms:
            self._starved = True
            self._overdue_since = None
            return NEVER
        claimed = await self._store.claim_due(self._node_id, rooms, now)
        taken: dict[str, int] = {}
        for claim in claimed.claims:
            taken[claim.run.queue] = taken.get(claim.run.queue, 0) + 1
            if now - (claim.run.run_at or now) > ON_TIME:
                self._late_tokens -= 1
            self._start(claim)
        self._starved = any(taken.get(queue, 0) >= room.free for queue, room in rooms.items())
        return self._next_turn(claimed.wake_at or NEVER, now, bool(claimed.claims) or not tokens)

    def _next_turn(self, wake_at: datetime, now: datetime, excused: bool) -> datetime:
        """When to look again; notes since when something due stays unclaimed without an excuse."""
        if wake_at > now or excused or self._starved:
            self._overdue_since = None
        elif self._overdue_since is None:
            self._overdue_since = self._clock.boot().elapsed
        # What is due and not to be had now is not asked for again at once.
        blocked = wake_at <= now and not (excused and self._late_tokens >= 1)
        return now + BLOCKED_TURN if blocked else wake_at

    def _refilled_tokens(self) -> int:
        elapsed = self._clock.boot().elapsed
        rate = self._limits.late_per_s
        self._late_tokens = min(rate, self._late_tokens + (elapsed - self._tokens_at).total_seconds() * rate)
        self._tokens_at = elapsed
        return max(0, int(self._late_tokens))

    async def _renew(self) -> None:
        """Renews the lease in time. Whoever finds it gone stops every delivery and comes back as another node."""
        boot = self._clock.boot()
        if self._beat_at is not None and boot.elapsed - self._beat_at < HEARTBEAT_EVERY:
            return
        if self._beat_at is not None and boot.elapsed > self._lease_end - LEASE_MARGIN:
            self._lose("the lease was not renewed in time")
        node = Node(self._node_id, self._label, self._places.queues(), boot, LEASE)
        beat = await self._store.heartbeat(node, self._clock.now())
        if not beat.alive:
            self._lose("another node took this one for dead")
            return
        self._beat_at, self._lease_end = boot.elapsed, boot.elapsed + LEASE
        if beat.reclaimed:
            log.warning("took %d runs back from nodes that died", beat.reclaimed)

    def _lose(self, why: str) -> None:
        log.warning("%s: every delivery stops, and this node comes back under a new id", why)
        self._node_id = self._new_id()
        self._beat_at = None
        for _, place in self._outcomes:
            self._places.give_back(place)
        self._outcomes = []
        for place in self._places:
            for delivery in tuple(place.deliveries):
                delivery.cancel()

    def _new_id(self) -> int:
        return int.from_bytes(self._entropy(8), "big") >> 1

    # ── deliveries ──

    def _start(self, claim: Claim) -> None:
        place = self._places.take(claim.run.queue)
        if place is None:
            # The sink went away between the question and the answer.
            unclaimed = settle(claim.run, Unavailable("no sink"), claim.job.retry, self._clock.now())
            asyncio.get_running_loop().create_task(self._store.settle([unclaimed], self._clock.now()))
            return
        delivery = asyncio.get_running_loop().create_task(self._deliver(place, claim, self._node_id))
        place.deliveries.add(delivery)
        delivery.add_done_callback(place.deliveries.discard)

    async def _deliver(self, place: Place, claim: Claim, node_id: int) -> None:
        outcome: Outcome
        try:
            outcome = await place.sink.deliver(claim)
            if isinstance(outcome, Unavailable):
                place.probe()
        except asyncio.CancelledError:
            # Something may have gone out already: what may run only once is not given to another.
            cut = "the delivery was cut off"
            outcome = Failed(cut) if claim.job.at_most_once else Unavailable(cut)
        except Exception as error:
            # A target's bug must cost one attempt, not the engine.
            log.exception("delivering run %s failed inside its target", claim.run.id)
            outcome = Failed(f"{type(error).__name__}: {error}")
        if node_id != self._node_id:
            self._places.give_back(place)
            return
        self._outcomes.append((settle(claim.run, outcome, claim.job.retry, self._clock.now()), place))
        self._settle_alarm.ring()

    async def _settle_turns(self) -> None:
        while True:
            await self._settle_now()
            self._trouble.pop("settle", None)
            await self._settle_pause.wait(self._clock.now() + SHORTEST_TURN)
            if not self._outcomes:
                await self._settle_alarm.wait(self._clock.now() + IDLE)

    async def _settle_now(self) -> None:
        batch, self._outcomes = self._outcomes, []
        if not batch:
            return
        node_id = self._node_id
        try:
            settled = await self._store.settle([settlement for settlement, _ in batch], self._clock.now())
        except BaseException:
            if node_id == self._node_id:
                self._outcomes = batch + self._outcomes
            raise
        for _, place in batch:
            self._places.give_back(place)
        if settled.stale:
            log.warning("%d outcomes came after their runs had been taken", len(settled.stale))
        if settled.wake_at is not None:
            self.wake(settled.wake_at)
        if self._starved:
            self._alarm.ring()

    # ── beside the runs ──

    async def _prune_turns(self) -> None:
        while True:
            removed = await self._store.prune(self._limits.retention, self._clock.now())
            self._trouble.pop("prune", None)
            await asyncio.sleep(0.1 if removed else PRUNE_EVERY.total_seconds())

    async def _watch_changes(self) -> None:
        async for _ in self._store.changes():
            self._trouble.pop("changes", None)
            self._alarm.ring()

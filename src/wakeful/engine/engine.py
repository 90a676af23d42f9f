"""The engine: one loop renews the lease and claims what is due, one settles; deliveries run beside them."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Iterable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from uuid import UUID

from wakeful.core.errors import WakefulError
from wakeful.core.notices import conclude
from wakeful.core.ports import Alarm, Claim, Claimed, Clock, Entropy, Health, Observer, Room, Sink, Store
from wakeful.core.run import ON_TIME, Failed, Outcome, Unavailable
from wakeful.engine.clocks import ClockWatch
from wakeful.engine.lease import Lease
from wakeful.engine.limits import Limits
from wakeful.engine.listeners import Listeners
from wakeful.engine.observers import Observers
from wakeful.engine.places import Delivery, Place, Places

log = logging.getLogger("wakeful.engine")

LONGEST_TURN = timedelta(seconds=5)
IDLE = timedelta(seconds=1)
# Turns and commits closer together than this would cost more than the lateness they save.
SHORTEST_TURN = timedelta(milliseconds=3)
BLOCKED_TURN = timedelta(milliseconds=20)
AFTER_REFUSAL = timedelta(milliseconds=100)
AFTER_TROUBLE = timedelta(seconds=1)
# A part that failed is well again once it has not failed for so long.
WELL_AGAIN = timedelta(seconds=3)
LOG_AGAIN = timedelta(minutes=1)
PRUNE_EVERY_S = 60.0
NEVER = datetime.max.replace(tzinfo=UTC)


class Engine:
    """One node: claims for the sinks that are attached, delivers, settles."""

    def __init__(self, store: Store, clock: Clock, entropy: Entropy, label: str, limits: Limits | None = None) -> None:
        self._store = store
        self._clock = clock
        self._limits = limits or Limits()
        self._lease = Lease(store, clock, entropy, label, self._limits.lease)
        self._alarm = clock.alarm()
        self._claim_pause = clock.alarm()
        self._settle_alarm = clock.alarm()
        self._settle_pause = clock.alarm()
        self._places = Places(self._limits.most_running, self._alarm.ring)
        self._listeners = Listeners()
        self._observers = Observers()
        self._holding: dict[UUID, Delivery] = {}
        self._outcomes: list[Delivery] = []
        self._claiming, self._settling = asyncio.Lock(), asyncio.Lock()
        self._draining = False
        self._wake_at = NEVER
        self._starved = self._hurried = False
        self._late_tokens = float(self._limits.late_per_s)
        self._tokens_at = self._turn_at = clock.boot().elapsed
        self._clocks = ClockWatch(store, clock)
        self._overdue_since: timedelta | None = None
        self._settling_since: timedelta | None = None
        self._trouble: dict[str, tuple[str, timedelta]] = {}
        self._logged: dict[str, tuple[str, timedelta]] = {}
        self._stopping = False
        self._tasks: list[asyncio.Task[None]] = []

    # ── what the scheduler asks ──

    def attach(self, queue: str, sink: Sink, limit: int) -> Place:
        """Lets at most ``limit`` runs of the queue be in flight to the sink."""
        return self._places.attach(queue, sink, limit)

    def wake(self, at: datetime) -> None:
        """Something may be claimable at ``at``."""
        if at < self._wake_at:
            self._wake_at = at
            self._alarm.ring()

    def listen(self, queues: Collection[str], alarm: Alarm) -> Callable[[], None]:
        """Rings the alarm when runs come to wait in one of the queues; call what it returns to end that."""
        return self._listeners.add(queues, alarm)

    def arrived(self, queue: str) -> None:
        """A run has come to wait in a queue, other than by a settlement of this node's."""
        self._listeners.ring([queue])

    def observe(self, observer: Observer) -> Callable[[], None]:
        """Lets somebody hear of what is performed here; call what it returns to end that."""
        return self._observers.add(observer)

    def cut(self, run: UUID) -> None:
        """Stops the delivery of a run that has been cancelled, if it is under way here."""
        self._cut([run])

    def health(self) -> Health:
        """Red when claims are not made on time, whatever the process looks like."""
        reason = self._illness(self._clock.boot().elapsed)
        details: dict[str, object] = {
            "node": f"{self._lease.node_id:016x}",
            "queues": list(self._places.queues()),
            "in_flight": self._places.held,
        }
        return Health(not reason, reason, details)

    def _illness(self, now: timedelta) -> str:
        if not self._tasks:
            return "the engine does not run"
        trouble = "; ".join(f"{name}: {what}" for name, (what, at) in self._trouble.items() if now - at < WELL_AGAIN)
        if now - self._turn_at > LONGEST_TURN:
            waited = (now - self._turn_at).total_seconds()
            return f"no claim turn has completed for {waited:.0f} s" + (f" ({trouble})" if trouble else "")
        if self._overdue_since is not None and now - self._overdue_since > LONGEST_TURN:
            return "a due job with room is not claimed"
        unwritten = self._settling_since or (self._outcomes[0].ended_at if self._outcomes else now)
        if now - unwritten > LONGEST_TURN:
            return "outcomes are not written" + (f" ({trouble})" if trouble else "")
        return trouble

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
        loop = asyncio.get_running_loop()
        self._tasks = [
            loop.create_task(self._supervise(name, part), name=f"wakeful-{name}") for name, part in parts.items()
        ]

    def drain(self) -> None:
        """Claims no more."""
        self._draining = True
        self._alarm.ring()

    async def stop(self, grace: timedelta) -> None:
        """Claims no more, waits for what is in flight at most ``grace``, gives the rest back, and leaves."""
        deadline = asyncio.get_running_loop().time() + grace.total_seconds()
        self.drain()
        # A claim under way may still bring deliveries.
        await _once_free(self._claiming, deadline)
        await self._deliveries_end(deadline)
        deliveries = [task for place in self._places for task in place.deliveries]
        for place in self._places:
            place.detach()
        await asyncio.gather(*deliveries, return_exceptions=True)
        # What is being written is not written twice.
        await _once_free(self._settling, asyncio.get_running_loop().time() + LONGEST_TURN.total_seconds())
        self._stopping = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []
        try:
            await self._settle_now()
            await self._store.leave(self._lease.node_id, self._clock.now())
        except WakefulError as error:
            log.warning("left without giving back what it held: %s", error)

    async def _deliveries_end(self, deadline: float) -> None:
        running = [task for place in self._places for task in place.deliveries]
        left = deadline - asyncio.get_running_loop().time()
        if running and left > 0:
            await asyncio.wait(running, timeout=left)

    async def _supervise(self, name: str, part: Callable[[], Awaitable[None]]) -> None:
        """A part that ends or raises is started again, and the node is not well meanwhile."""
        while True:
            try:
                await part()
                self._report(name, "ended")
            except asyncio.CancelledError:
                if self._stopping:
                    raise
                # Nobody but stop() ends a part.
                if task := asyncio.current_task():
                    task.uncancel()
                self._report(name, "was cancelled")
            except WakefulError as error:
                self._report(name, error.message)
            except Exception as error:
                self._report(name, f"{type(error).__name__}: {error}", error)
            await self._clock.alarm().wait(self._clock.now() + AFTER_TROUBLE)

    def _report(self, name: str, message: str, error: Exception | None = None) -> None:
        # The same trouble again and again is one line a minute.
        now = self._clock.boot().elapsed
        if message != self._logged.get(name, ("", now))[0] or now - self._logged[name][1] > LOG_AGAIN:
            log.error("%s: %s", name, message, exc_info=error)
            self._logged[name] = (message, now)
        self._trouble[name] = (message, now)

    # ── claims ──

    async def _claim_turns(self) -> None:
        while True:
            await self._clocks.look()
            beat = await self._lease.renew(self._places.queues(), self._holding)
            if beat is not None:
                self._cut(beat.lost) if beat.alive else self._abandon()
                await self._clocks.reckon(beat.step)
            if self._draining:
                self._turn_at = self._clock.boot().elapsed
                await self._claim_pause.wait(self._clock.now() + IDLE)
                continue
            async with self._claiming:
                wake_at = await self._claim_turn()
            self._turn_at = self._clock.boot().elapsed
            if not self._starved and not self._hurried:
                await self._claim_pause.wait(self._clock.now() + SHORTEST_TURN)
            # A process that stood still looks at its lease before anything else.
            if self._lease.trusted:
                await self._alarm.wait(min(wake_at, self._clock.now() + IDLE))

    async def _claim_turn(self) -> datetime:
        """Claims once for all queues with room; when to look again."""
        now = await self._clocks.look()
        tokens = self._refilled_tokens()
        rooms = {queue: Room(free, min(free, tokens)) for queue, free in self._places.rooms().items()}
        self._wake_at = NEVER
        if not rooms or not self._lease.trusted:
            self._starved = True
            self._overdue_since = None
            return NEVER
        claimed = await self._claim(rooms, now)
        taken: dict[str, int] = {}
        for claim in claimed.claims:
            taken[claim.run.queue] = taken.get(claim.run.queue, 0) + 1
            self._late_tokens -= now - (claim.run.run_at or now) > ON_TIME
            self._start(claim)
        # A queue that is full is not among those with room; it has some again when something of it is settled.
        full = len(rooms) < len(self._places.queues())
        self._starved = full or any(taken.get(queue, 0) >= room.free for queue, room in rooms.items())
        due_at = claimed.wake_at or NEVER
        wake_at = min(self._wake_at, self._next_turn(due_at, now, bool(claimed.claims) or not tokens))
        if due_at > now:
            # Who hears of what is due no sooner need not ring.
            self._wake_at = wake_at
        return wake_at

    async def _claim(self, rooms: dict[str, Room], now: datetime) -> Claimed:
        try:
            claimed = await self._store.claim_due(self._lease.node_id, rooms, now)
        except BaseException:
            # The commit may have been made all the same: those runs must not wait for this node's end.
            self._lease.doubt()
            raise
        if not self._lease.trusted:
            # The answer took so long that others may have taken these runs.
            self._lease.lose("a claim took longer than the lease")
            self._abandon()
            return Claimed((), claimed.wake_at)
        return claimed

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

    def _cut(self, runs: Iterable[UUID]) -> None:
        """Stops the deliveries of runs that were cancelled, or taken by others."""
        for run in runs:
            delivery = self._holding.get(run)
            if delivery is not None and delivery.task is not None and not delivery.task.done():
                delivery.task.cancel()

    def _abandon(self) -> None:
        """Stops every delivery: the runs are others' now."""
        for delivery in self._outcomes:
            delivery.slot.free()
        self._outcomes = []
        self._holding = {}
        for place in self._places:
            for task in tuple(place.deliveries):
                task.cancel()

    # ── deliveries ──

    def _start(self, claim: Claim) -> None:
        slot = self._places.take(claim.run.queue)
        if slot is None:
            # The sink went away between the question and the answer: the next renewal finds the run unknown here.
            self._lease.doubt()
            self._alarm.ring()
            return
        delivery = Delivery(claim, slot, self._lease.node_id)
        self._holding[claim.run.id] = delivery
        self._observers.started(claim)
        task = asyncio.get_running_loop().create_task(self._deliver(slot.place, claim))
        delivery.task = task
        slot.place.deliveries.add(task)
        task.add_done_callback(partial(self._delivered, delivery))

    async def _deliver(self, place: Place, claim: Claim) -> Outcome:
        try:
            outcome = await place.sink.deliver(claim)
        except Exception as error:
            # A target's bug must cost one attempt, not the engine.
            log.exception("delivering run %s failed inside its target", claim.run.id)
            return Failed(f"{type(error).__name__}: {error}")
        if isinstance(outcome, Unavailable):
            # A sink that says it is there and takes nothing is not asked without end.
            place.probe(lambda: self._clock.alarm().wait(self._clock.now() + AFTER_REFUSAL))
        return outcome

    def _delivered(self, delivery: Delivery, task: asyncio.Task[Outcome]) -> None:
        """Runs even for a delivery that was cut off before its first step."""
        delivery.slot.place.deliveries.discard(task)
        if delivery.node_id != self._lease.node_id:
            delivery.slot.free()
            return
        job = delivery.claim.job
        if task.cancelled():
            # Something may have gone out already: what may run only once is not given to another.
            cut = "the delivery was cut off"
            outcome: Outcome = Failed(cut) if job.at_most_once else Unavailable(cut)
        else:
            outcome = task.result()
        delivery.settlement = conclude(job, delivery.claim.run, outcome, self._clock.now())
        delivery.ended_at = self._clock.boot().elapsed
        self._outcomes.append(delivery)
        self._settle_alarm.ring()

    async def _settle_turns(self) -> None:
        while True:
            await self._settle_now()
            if not self._hurried:
                await self._settle_pause.wait(self._clock.now() + SHORTEST_TURN)
            if not self._outcomes:
                await self._settle_alarm.wait(self._clock.now() + IDLE)

    async def _settle_now(self) -> None:
        async with self._settling:
            await self._settle_batch()

    async def _settle_batch(self) -> None:
        batch, self._outcomes = self._outcomes, []
        if not batch:
            return
        node_id = self._lease.node_id
        self._settling_since = self._settling_since or self._clock.boot().elapsed
        try:
            settled = await self._store.settle([d.settlement for d in batch if d.settlement], await self._clocks.look())
        except BaseException:
            if node_id == self._lease.node_id:
                self._outcomes = batch + self._outcomes
                batch = []
            else:
                self._settling_since = None
            raise
        finally:
            for delivery in batch:
                delivery.slot.free()
                self._holding.pop(delivery.claim.run.id, None)
        self._settling_since = None
        if settled.stale:
            log.warning("%d outcomes came after their runs had been taken", len(settled.stale))
        self._observers.settled(batch, settled.stale)
        self._listeners.ring(d.settlement.queue for d in batch if d.settlement and d.settlement.queue)
        # A backlog that runs one after the other goes on at once; what nobody took does not come again like that.
        done = any(delivery.settlement and delivery.settlement.ended_at for delivery in batch)
        self._hurried = done and settled.wake_at is not None and settled.wake_at <= self._clock.now()
        if settled.wake_at is not None:
            self.wake(settled.wake_at)
        if self._starved:
            self._alarm.ring()

    async def _prune_turns(self) -> None:
        while True:
            removed = await self._store.prune(self._limits.retention, self._clock.now())
            await asyncio.sleep(0.1 if removed else PRUNE_EVERY_S)

    async def _watch_changes(self) -> None:
        async for _ in self._store.changes():
            self._alarm.ring()
            self._listeners.ring_all()


async def _once_free(lock: asyncio.Lock, deadline: float) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout_at(deadline), lock:
            pass

"""A whole wakeful in virtual time: scheduler, engines and store are the real ones; the clock and the apps are not."""

import asyncio
import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any, TypedDict, Unpack

import msgspec

from wakeful.core.job import (
    Calendar,
    Catchup,
    Data,
    Job,
    JobKey,
    JobRecord,
    Overlap,
    RetryPolicy,
    TargetSpec,
    app_queue,
)
from wakeful.core.ports import Entropy, Health, Put, RunQuery
from wakeful.core.run import Run, Succeeded
from wakeful.core.schedule import ScheduleText, parse_schedule
from wakeful.engine import Limits
from wakeful.scheduler import KnownCalendar, Scheduler
from wakeful.testing.apps import Answer, Behaviour, Delivery
from wakeful.testing.clock import VirtualClock
from wakeful.testing.nodes import APP_LIMIT, Nodes, Surroundings, label_of
from wakeful.testing.quiet import WatchedStore
from wakeful.zones import load_zone

NAMESPACE, APP_ID = "default", "test"
_PAGE = 10_000
_LAZY_GC = (500_000, 50, 1_000)
_NO_TIME = timedelta(0)
_TEXTS = frozenset(field.name for field in fields(ScheduleText))


class Definition(TypedDict, total=False):
    """What else may be said of a job: the fields of ``ScheduleText`` and of ``Job``, and ``syntax``, by their names."""

    due_time: str
    ttl: str
    repeats: int
    zone: str
    dst: str
    start_at: str
    until_at: str
    syntax: str
    data: Any
    queue: str
    target: TargetSpec
    retry: RetryPolicy
    overlap: Overlap
    catchup: Catchup
    max_running: int
    at_most_once: bool
    priority: int
    timeout: timedelta
    jitter: timedelta
    catchup_window: timedelta
    catchup_limit: int
    pause_after: int
    calendars: tuple[Calendar, ...]


class World:
    """Jobs, nodes and apps in time that stands still until ``advance``; made by ``world()``.

    ``scheduler`` is the real one, with ``key(name)`` for its arguments: whatever wakeful can be asked.
    """

    def __init__(self, store: WatchedStore, clock: VirtualClock, entropy: Entropy, limits: Limits) -> None:
        self.clock = clock
        self._store = store
        self._room = min(limits.most_running, APP_LIMIT)
        self._behaviour = Behaviour(clock)
        self._nodes = Nodes(Surroundings(store, clock, entropy, self._behaviour, limits))
        self._nodes.serve(app_queue(NAMESPACE, APP_ID))
        self.scheduler = Scheduler(store, clock, entropy, self._nodes, records=store.records)
        clock.quiet, clock.resting = self._quiet, self._rest

    # ── jobs ──

    def key(self, name: str) -> JobKey:
        """The key of a job that was put here by its name."""
        return JobKey(NAMESPACE, f"app/{APP_ID}", name)

    async def put(
        self, job: str | Job, schedule: str | None = None, how: Put = Put.CREATE, **definition: Unpack[Definition]
    ) -> JobRecord:
        """Stores a job: a ``Job``, or a name with its schedule and policies. An app serves its queue from now on.

        Raises:
            WakefulError: as ``Scheduler.put``; ``INVALID_SCHEDULE``.
        """
        now = self.clock.now()
        if isinstance(job, str):
            job = self._job(job, schedule, dict(definition))
        self._nodes.serve(job.queue)
        for calendar in job.calendars:
            await self.scheduler.put_calendar(KnownCalendar(calendar))
        return await self.scheduler.put(job, how, now)

    async def job(self, name: str) -> JobRecord | None:
        """The job as it is now; ``None`` once it has ended."""
        return await self.scheduler.get(self.key(name))

    async def history(self, name: str) -> list[Run]:
        """What became of every instant, and of every run that was asked for: all rows of the job, oldest first."""
        rows: list[Run] = []
        cursor: str | None = None
        while True:
            page = await self.scheduler.runs(RunQuery(key=self.key(name), after=cursor, limit=_PAGE))
            rows.extend(page.items)
            cursor = page.cursor
            if cursor is None:
                rows.reverse()
                # Much can happen within the millisecond that a run's id tells of.
                return sorted(rows, key=lambda row: (row.created_at or row.scheduled_for, row.seq or 0))

    # ── apps ──

    def deliveries(self, name: str | None = None) -> list[Delivery]:
        """What reached the apps, of one job or of all, in order."""
        return [one for one in self._behaviour.deliveries if name is None or one.name == name]

    def answer(self, name: str | None, answer: Answer | None = None, *, takes: float = 0) -> None:
        """From now on this is the answer to the job's deliveries (``None``: to those of all other jobs).

        It is an outcome, an exception that the target raises, or a function of the ``Delivery``, which may be
        ``async``; it comes after ``takes`` virtual seconds: never, after ``math.inf``.
        """
        self._behaviour.answers[name] = (Succeeded() if answer is None else answer, takes)

    def close_app(self, queue: str | None = None) -> None:
        """The app of a queue (``None``: each) goes away: nobody listens at its port."""
        for each in self._nodes.queues if queue is None else [queue]:
            self._behaviour.away.setdefault(each, asyncio.Event())

    def open_app(self, queue: str | None = None) -> None:
        """It is back."""
        for each in self._nodes.queues if queue is None else [queue]:
            if (away := self._behaviour.away.pop(each, None)) is not None:
                away.set()

    # ── time ──

    @property
    def now(self) -> datetime:
        """What the wall clock says."""
        return self.clock.now()

    async def advance(self, by: timedelta = _NO_TIME, **units: float) -> None:
        """Lets time pass, ``days=1, hours=2`` or a ``timedelta``; what is due meanwhile happens at its instant."""
        await self.clock.advance(by + timedelta(**units))

    def set_clock(self, by: timedelta = _NO_TIME, **units: float) -> None:
        """Somebody sets the wall clock forwards, or back by what is negative. Nobody is told."""
        self._store.disturb()
        self.clock.set_wall(self.clock.now() + by + timedelta(**units))

    def suspend(self, by: timedelta = _NO_TIME, **units: float) -> None:
        """The machine sleeps so long; what its end brings happens when time goes on."""
        self._store.disturb()
        self.clock.suspend((by + timedelta(**units)).total_seconds())

    # ── nodes ──

    def kill(self, node: int = 0) -> None:
        """A node ends in the middle of whatever it does, as by ``kill -9``; nobody is told."""
        self._nodes.kill(node)
        self._store.forget(label_of(node), self.clock.elapsed)

    def restart(self, node: int = 0) -> None:
        """A killed node starts again, or one more joins."""
        self._nodes.start(node)

    def health(self) -> Health:
        """The health of the first node that lives."""
        return self._nodes.health()

    async def close(self) -> None:
        """Ends everything."""
        await self._nodes.close()

    def _quiet(self) -> timedelta:
        behaviour = self._behaviour
        # A node without room does not ask what is due.
        if behaviour.accepted or behaviour.in_flight * 2 >= self._room:
            return _NO_TIME
        nodes = self._nodes
        # Who has not called an app that is away does not know it, and who was refused asks it again.
        served = nodes.serving or any(queue not in behaviour.away for queue in nodes.queues)
        return self._store.quiet_for(
            self.clock, served=served, delivering=behaviour.in_flight > 0, waiting=nodes.waited_for
        )

    def _rest(self, by: timedelta) -> None:
        if self._store.rest(by, self.clock):
            self._nodes.rest(by)

    def _job(self, name: str, schedule: str | None, given: dict[str, Any]) -> Job:
        syntax = given.pop("syntax", "crontab")
        text = {field: given.pop(field) for field in tuple(given) if field in _TEXTS}
        when = parse_schedule(ScheduleText(schedule, **text), syntax, self.clock.now(), load_zone)
        if "data" in given:
            given["data"] = Data("json", msgspec.json.encode(given["data"]))
        given = {"target": TargetSpec("virtual", APP_ID), "queue": app_queue(NAMESPACE, APP_ID), **given}
        return Job(self.key(name), when, **given)


@asynccontextmanager
async def world(
    start: str | datetime = "2026-01-01T00:00:00Z",
    *,
    seed: int = 0,
    nodes: int = 1,
    limits: Limits | None = None,
    path: str | Path = ":memory:",
) -> AsyncIterator[World]:
    """A world whose wall clock says ``start``, with so many nodes on one store; nothing of it is left afterwards.

    The same ``seed`` and the same calls give the same runs, in the same order, with the same ids.
    """
    instant = start if isinstance(start, datetime) else datetime.fromisoformat(start)
    entropy, limits = Random(seed).randbytes, limits or Limits()
    store = WatchedStore(Path(path), entropy, limits.lease)
    made = World(store, VirtualClock(instant.astimezone(UTC)), entropy, limits)
    thresholds = gc.get_threshold()
    # What a world keeps for its test lives long: to look through it for garbage would take a tenth of its time.
    gc.set_threshold(*_LAZY_GC)
    try:
        for number in range(nodes):
            made.restart(number)
        yield made
    finally:
        gc.set_threshold(*thresholds)
        await made.close()
        await store.close()

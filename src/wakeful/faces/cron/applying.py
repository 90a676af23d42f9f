"""Makes the jobs that one file owns what it says, by the difference: what did not change is not touched."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import islice
from typing import TypeVar

from wakeful.core.errors import ErrorCode, WakefulError
from wakeful.core.job import Job, JobKey, JobRecord, JobState
from wakeful.core.ports import JobQuery, Put
from wakeful.faces.cron.definitions import NAMESPACE
from wakeful.faces.cron.timing import has_passed
from wakeful.scheduler import Scheduler

log = logging.getLogger("wakeful.cron")

T = TypeVar("T")

# By this, a job that the file's switches hold is told from one that somebody paused by other means.
HELD = "held: "
# So many changes at a time share their commits.
_TOGETHER = 64
_MOST_TURNS = 3


@dataclass(frozen=True, slots=True)
class Wanted:
    """A job as the file has it; ``held`` says why it may not run by itself."""

    job: Job
    held: str | None = None


@dataclass(frozen=True, slots=True)
class Difference:
    """What has to be done, by name. Jobs that are ``over`` had their last instant: nothing is done for them.

    Those of them that are ``late`` never had their turn: when they came, it had passed.
    """

    removed: tuple[str, ...]
    paused: Mapping[str, str]
    changed: tuple[str, ...]
    added: tuple[str, ...]
    resumed: tuple[str, ...]
    over: frozenset[str]
    late: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.removed or self.paused or self.changed or self.added or self.resumed)

    def __str__(self) -> str:
        counts = {
            "added": self.added,
            "changed": self.changed,
            "removed": self.removed,
            "paused": self.paused,
            "resumed": self.resumed,
        }
        return ", ".join(f"{len(names)} {what}" for what, names in counts.items() if names) or "no difference"


def difference(
    wanted: Mapping[str, Wanted], live: Mapping[str, JobRecord], complete: Mapping[str, JobRecord], now: datetime
) -> Difference:
    """What makes the ``live`` jobs the ``wanted`` ones; ``complete`` are the newest that had their last run."""
    over = frozenset(name for name, each in wanted.items() if _over(each.job, live.get(name), complete.get(name), now))
    rest = {name: each for name, each in wanted.items() if name not in over}
    there = {name: live[name] for name in rest if name in live}
    added = tuple(name for name in rest if name not in live)
    return Difference(
        removed=tuple(name for name in live if name not in there),
        paused={
            name: each.held
            for name, each in rest.items()
            if each.held is not None and (name not in live or live[name].state is JobState.ACTIVE)
        },
        changed=tuple(name for name, record in there.items() if not same(record.job, rest[name].job)),
        added=added,
        resumed=tuple(name for name, record in there.items() if rest[name].held is None and _held(record)),
        over=over,
        late=tuple(name for name, each in wanted.items() if name in over and not ran(each.job, complete.get(name))),
    )


def same(live: Job, wanted: Job) -> bool:
    """Whether two definitions say the same; when each was given for the first time does not matter."""
    if live.schedule.given != wanted.schedule.given or live.schedule.syntax != wanted.schedule.syntax:
        return False
    return live == replace(wanted, schedule=live.schedule)


def ran(wanted: Job, complete: JobRecord | None) -> bool:
    """Whether a job that is over had its turn, and did not come too late for it."""
    return complete is not None and complete.job.schedule.given == wanted.schedule.given


def _over(wanted: Job, live: JobRecord | None, complete: JobRecord | None, now: datetime) -> bool:
    """Whether a job had its last instant, or its only one had passed before anybody knew of it."""
    schedule = wanted.schedule
    if live is not None and live.job.schedule.given == schedule.given:
        return False
    return (live is None and ran(wanted, complete)) or has_passed(schedule, now)


def _held(record: JobRecord) -> bool:
    return record.state is JobState.PAUSED and (record.note or "").startswith(HELD)


class Applying:
    """The jobs of one owner. Whatever interrupts it, to do it again completes it."""

    def __init__(self, scheduler: Scheduler, owner: str) -> None:
        self._scheduler = scheduler
        self._owner = owner

    async def apply(self, wanted: Mapping[str, Wanted]) -> Difference:
        """Makes the jobs what is wanted; what was done at last.

        Raises:
            WakefulError: the store can't be used now.
        """
        first: Difference | None = None
        for _ in range(_MOST_TURNS):
            found = await self._difference(wanted)
            first = first or found
            if not found:
                break
            await self._do(found, wanted)
        return first or found

    async def live(self) -> dict[str, JobRecord]:
        """The jobs that have not ended, by name."""
        query = JobQuery(NAMESPACE, self._owner)
        return {record.job.key.name: record async for record in self._scheduler.all_jobs(query)}

    async def _difference(self, wanted: Mapping[str, Wanted]) -> Difference:
        live = await self.live()
        complete: dict[str, JobRecord] = {}
        if any(name not in live and each.job.schedule.recurrence is None for name, each in wanted.items()):
            query = JobQuery(NAMESPACE, self._owner, states=(JobState.COMPLETED,), ended=True)
            # The newest of a name comes last.
            complete = {record.job.key.name: record async for record in self._scheduler.all_jobs(query)}
        # With thousands of jobs this takes its time.
        return await asyncio.to_thread(difference, wanted, live, complete, self._scheduler.now())

    async def _do(self, found: Difference, wanted: Mapping[str, Wanted]) -> None:
        """First what must not run any more, last what may run again."""
        known = [name for name in found.paused if name not in found.added]
        new = [name for name in found.paused if name in found.added]
        await self._each(found.removed, self._remove)
        await self._each(known, lambda name: self._pause(name, found.paused[name]))
        await self._each(found.changed, lambda name: self._put(wanted[name].job, Put.EDIT))
        for some in _chunks(found.added):
            await self._each(some, lambda name: self._put(wanted[name].job, Put.CREATE))
            await self._each([name for name in some if name in new], lambda name: self._pause(name, found.paused[name]))
        await self._each(found.resumed, self._resume)

    async def _each(self, names: Sequence[str], do: Callable[[str], Awaitable[None]]) -> None:
        for some in _chunks(names):
            await asyncio.gather(*(do(name) for name in some))

    async def _remove(self, name: str) -> None:
        await self._scheduler.delete(JobQuery(NAMESPACE, self._owner, name))

    async def _pause(self, name: str, held: str) -> None:
        await _unless_moved(self._scheduler.pause(self._key(name), HELD + held))

    async def _resume(self, name: str) -> None:
        await _unless_moved(self._scheduler.resume(self._key(name)))

    async def _put(self, job: Job, how: Put) -> None:
        await _unless_moved(self._scheduler.put(job, how, self._scheduler.now()))

    def _key(self, name: str) -> JobKey:
        return JobKey(NAMESPACE, self._owner, name)


async def _unless_moved(work: Awaitable[object]) -> None:
    """What another process, or the job's last run, was faster with is found by the next look."""
    try:
        await work
    except WakefulError as error:
        if error.code not in (ErrorCode.JOB_EXISTS, ErrorCode.JOB_NOT_FOUND):
            raise


def _chunks(names: Iterable[str]) -> Iterable[Sequence[str]]:
    rest = iter(names)
    while some := list(islice(rest, _TOGETHER)):
        yield some

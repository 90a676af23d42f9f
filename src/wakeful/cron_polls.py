"""Polls of a cron daemon: sources are asked, and what was dealt with and what was found is kept in the store."""

import asyncio
import json
from collections.abc import Callable, Collection, Mapping
from datetime import tzinfo
from typing import Any

import msgspec

from wakeful.core.ports import Claim
from wakeful.scheduler import Scheduler
from wakeful.targets.cron_sink import Polled
from wakeful.targets.poll import Found, Poller
from wakeful.targets.poll_source import parse_source

_SEEN = "cron-poll"
_FOUND = "cron-poll-found"
# A job's finds are one document; what is more than this is asked for again.
_FOUND_LIMIT = 2 * 1024 * 1024


class Polls:
    """Whether the conditions of poll jobs hold. ``environment`` is the sources', but for what is ``withheld``."""

    def __init__(
        self,
        scheduler: Scheduler,
        environment: Mapping[str, str],
        withheld: Callable[[], Collection[str]],
        zone_of: Callable[[Claim], tzinfo],
    ) -> None:
        self._scheduler = scheduler
        self._poller = Poller(_Seen(scheduler), environment, withheld=withheld)
        self._zone_of = zone_of
        self._keeping = asyncio.Lock()

    async def __call__(self, claim: Claim) -> Polled:
        """What the first attempt of the run has found, else what the source has now.

        Raises:
            PollError: the source did not say what it has.
            ValueError: the job's source is none.
        """
        job = f"{claim.job.key.owner}/{claim.job.key.name}"
        run = claim.run.id.hex
        kept = (await self._kept(job)).get(run)
        if kept is None:
            found = await self._asked(claim, job)
            if found.triggered:
                await self._keep(job, run, found, claim.job.max_running)
        else:
            found = Found(True, kept["items"], kept["count"], keys=tuple(kept["keys"]))

        async def done() -> None:
            await self._poller.mark(found, job, self._scheduler.now())
            await self._keep(job, run, None, claim.job.max_running)

        return Polled(found.triggered, found.items, found.count, found.reason, done)

    async def _asked(self, claim: Claim, job: str) -> Found:
        now = self._scheduler.now().astimezone(self._zone_of(claim))
        return await self._poller.check(parse_source(claim.job.target.options["poll"]), job, now)

    # Not msgspec: what a source says may hold halves of characters.

    async def _kept(self, job: str) -> dict[str, Any]:
        """What the job's runs that have not succeeded yet have found, by their ids."""
        record = await self._scheduler.documents.get(_FOUND, job)
        kept: dict[str, Any] = {} if record is None else json.loads(record.value)
        return kept

    async def _keep(self, job: str, run: str, found: Found | None, most: int) -> None:
        """Keeps what a run has found, or forgets it; no more runs of a job than ``most`` are under way at a time."""
        async with self._keeping:
            kept = await self._kept(job)
            before = kept.pop(run, None)
            if found is not None:
                kept[run] = {"items": found.items, "count": found.count, "keys": found.keys}
            elif before is None:
                return
            while len(kept) > most or (kept and len(json.dumps(kept)) > _FOUND_LIMIT):
                kept.pop(next(iter(kept)))
            if kept:
                await self._scheduler.documents.put(_FOUND, job, json.dumps(kept))
            else:
                await self._scheduler.documents.delete(_FOUND, job)


class _Seen:
    """What poll jobs have dealt with, beside the jobs in the store."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler

    async def load(self, job: str) -> Mapping[str, str]:
        """What was saved last."""
        record = await self._scheduler.documents.get(_SEEN, job)
        return {} if record is None else msgspec.json.decode(record.value, type=dict[str, str])

    async def save(self, job: str, seen: Mapping[str, str]) -> None:
        """Keeps this in its place."""
        await self._scheduler.documents.put(_SEEN, job, msgspec.json.encode(seen).decode())

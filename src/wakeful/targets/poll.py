"""Jobs that run when there is something to do: a source is asked, and what is new in it counts."""

import asyncio
import json
import ssl
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from hashlib import blake2b
from typing import Any, Protocol

from wakeful.targets.poll_fetch import fetch_items
from wakeful.targets.poll_source import CommandAsk, PollSource

REMEMBERED_FOR = timedelta(hours=24)
REMEMBERED = 1000
_NAMES = ("id", "iid", "key")


class Seen(Protocol):
    """Keeps, for each job, which items it has dealt with, and when; must outlive the process."""

    async def load(self, job: str) -> Mapping[str, str]:
        """What was saved last; nothing, if nothing was."""

    async def save(self, job: str, seen: Mapping[str, str]) -> None:
        """Keeps this, and no longer what was there before."""


@dataclass(frozen=True, slots=True)
class Found:
    """What a source has that counts: ``count`` items, of which ``items`` are handed on, the first thousand.

    ``reason`` says why the job is not ``triggered``. ``keys`` are for ``Poller.mark``.
    """

    triggered: bool
    items: list[Any]
    count: int
    reason: str = ""
    keys: tuple[str, ...] = field(default=(), repr=False)


class Poller:
    """Asks sources. The ``environment`` has the secrets that URLs name; commands see it without what is ``withheld``.

    ``tls`` is what certificates are verified with, if not with what the system trusts.
    """

    def __init__(
        self,
        seen: Seen,
        environment: Mapping[str, str],
        tls: ssl.SSLContext | None = None,
        withheld: Callable[[], Collection[str]] = tuple,
    ) -> None:
        self._seen = seen
        self._environment = environment
        self._tls = tls
        self._withheld = withheld
        self._marking = asyncio.Lock()

    async def check(self, source: PollSource, job: str, now: datetime) -> Found:
        """Whether the source's condition holds, for a job. Dates without an offset are read in ``now``'s zone.

        What the job has dealt with in the last 24 hours does not count; nor does an item that is there twice. Only
        a condition that holds where there is nothing, such as ``count < 3``, is about all that is there.

        Raises:
            PollError: the source did not say what it has.
        """
        condition = source.condition
        environment = self._environment
        if isinstance(source.ask, CommandAsk):
            withheld = self._withheld()
            environment = {name: value for name, value in environment.items() if name not in withheld}
        there = {_key(item): item for item in await fetch_items(source, environment, self._tls)}
        known = {} if condition.asks_for_few else await self._recent(job, now)
        fresh = {key: item for key, item in there.items() if key not in known}
        counted = [key for key, item in fresh.items() if condition.counts(item, now)]
        if not condition.met(len(counted)):
            old = len(there) - len(fresh)
            reason = f"{condition.text}: {len(counted)} of {len(there)} items count"
            return Found(False, [], len(counted), reason + (f", {old} were dealt with before" if old else ""))
        handed = counted[:REMEMBERED]
        keys = () if condition.asks_for_few else tuple(handed)
        return Found(True, [fresh[key] for key in handed], len(counted), keys=keys)

    async def mark(self, found: Found, job: str, now: datetime) -> None:
        """What was found has been dealt with: to be called once the job's run has succeeded, and only then."""
        if not found.keys:
            return
        async with self._marking:
            seen = await self._recent(job, now) | dict.fromkeys(found.keys, now.isoformat())
            newest = sorted(seen.items(), key=lambda each: datetime.fromisoformat(each[1]))[-REMEMBERED:]
            await self._seen.save(job, dict(newest))

    async def _recent(self, job: str, now: datetime) -> dict[str, str]:
        return {key: at for key, at in (await self._seen.load(job)).items() if _is_recent(at, now)}


def _is_recent(at: str, now: datetime) -> bool:
    try:
        # What a clock said that was wrong is no reason to remember an item for ever.
        return abs(now - datetime.fromisoformat(at)) < REMEMBERED_FOR
    except (ValueError, TypeError):
        return False


def _key(item: Any) -> str:
    """Which item it is: by its id, else by its content."""
    names = (item.get(key) for key in _NAMES) if isinstance(item, dict) else ()
    name = next((name for name in names if isinstance(name, str | int) and name != ""), None)
    text = f"is {json.dumps(item, sort_keys=True)}" if name is None else f"id {name}"
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()

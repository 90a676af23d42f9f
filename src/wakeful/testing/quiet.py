"""The store of a virtual world: it knows how long nothing will happen, so that time can pass over that at once."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from wakeful.core.ports import Claimed, Entropy, Heartbeat, Hold, Node, NodeId, Retention, Room, Settled
from wakeful.core.settlement import Settlement
from wakeful.engine.lease import renewal, trust
from wakeful.stores.sqlite import SqliteStore
from wakeful.testing.clock import VirtualClock
from wakeful.zones import load_zone

NEVER = datetime.max.replace(tzinfo=UTC)
# So long after the end of a killed node's lease another node has looked.
_LOOK = timedelta(seconds=4)
_NO_TIME = timedelta(0)


class WatchedStore(SqliteStore):
    """Nobody else writes, and all history is kept.

    Every claim says when something is due next; until then, or until something is written, nothing but the renewal of
    leases happens, and that can wait for as long as a lease is trusted.
    """

    def __init__(self, path: Path, entropy: Entropy, lease: timedelta) -> None:
        super().__init__(path, load_zone, entropy, inline=True)
        self._lease = lease
        self._due_at: datetime | None = None
        self._restless_until = _NO_TIME
        self._beats: dict[str, timedelta] = {}

    def quiet_for(self, clock: VirtualClock, *, served: bool, delivering: bool) -> timedelta:
        """So long nothing happens, as far as store and leases go.

        Nothing is due where no queue is ``served``. While something is ``delivering``, leases are renewed in time:
        that is how a node learns of what was cancelled.
        """
        due_at = self._due_at if served else NEVER
        if due_at is None or clock.elapsed < self._restless_until:
            return _NO_TIME
        pause = renewal(self._lease) if delivering else trust(self._lease)
        renew_at = min(self._beats.values(), default=clock.elapsed) + pause
        return min(due_at - clock.wall, renew_at - clock.elapsed)

    def disturb(self) -> None:
        """Something happened that the store can't know of."""
        self._due_at = None

    def forget(self, label: str, now: timedelta) -> None:
        """That node is no more; once its lease is over, its runs come back."""
        self._beats.pop(label, None)
        self._due_at = None
        self._restless_until = now + self._lease + _LOOK

    async def _write(self, work: Any, item: Any, prepare: Any = None) -> Any:
        self._due_at = None
        return await super()._write(work, item, prepare)

    async def claim_due(self, node: NodeId, rooms: Mapping[str, Room], now: datetime) -> Claimed:
        """Takes what is due."""
        claimed = await super().claim_due(node, rooms, now)
        self._due_at = claimed.wake_at or NEVER
        return claimed

    async def claim_for(self, hold: Hold, rooms: Mapping[str, int], now: datetime) -> Claimed:
        """Takes waiting runs for a holder."""
        claimed = await super().claim_for(hold, rooms, now)
        # Somebody waits for runs who is no node: time goes on by seconds.
        self.disturb()
        return claimed

    async def settle(self, settlements: Sequence[Settlement], now: datetime) -> Settled:
        """Writes what became of runs."""
        due_at = self._due_at
        settled = await super().settle(settlements, now)
        if due_at is not None:
            self._due_at = min(due_at, settled.wake_at or NEVER)
        return settled

    async def heartbeat(self, node: Node, now: datetime) -> Heartbeat:
        """Renews a lease."""
        beat = await super().heartbeat(node, now)
        self._beats[node.label] = node.boot.elapsed
        return beat

    async def prune(self, keep: Retention, now: datetime) -> int:  # noqa: ARG002
        """Removes nothing."""
        await asyncio.get_running_loop().create_future()
        return 0

    async def changes(self) -> AsyncIterator[None]:
        """Never yields."""
        await asyncio.get_running_loop().create_future()
        yield

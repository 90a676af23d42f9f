"""The store of a virtual world: it knows how long nothing will happen, so that time can pass over that at once."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec

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
# Ends that come by themselves: of runs that somebody holds, and of those that wait no longer than they may.
_ENDING = """SELECT 1 WHERE EXISTS(SELECT 1 FROM runs WHERE lease_until IS NOT NULL)
                OR EXISTS(SELECT 1 FROM runs WHERE expires_at IS NOT NULL AND state = 'waiting')"""
_REST = """UPDATE nodes SET lease_until = lease_until + :by
            WHERE lease_until >= 0 AND id IN (SELECT value FROM json_each(:ids))"""


class WatchedStore(SqliteStore):
    """Nobody else writes, and all history is kept.

    Every claim says when something is due next; until then, or until something is written, nothing but the renewal of
    leases happens. While something is delivered or waited for, that can wait for as long as a lease is trusted;
    otherwise leases are kept as they are, however long the time.
    """

    def __init__(self, path: Path, entropy: Entropy, lease: timedelta) -> None:
        super().__init__(path, load_zone, entropy, inline=True)
        self._db = self._reader_db
        self._lease = lease
        # What each node heard since something was written: they need not serve the same queues.
        self._due: dict[NodeId, datetime] = {}
        self._restless_until = _NO_TIME
        self._beats: dict[str, timedelta] = {}
        self._ids: dict[str, NodeId] = {}

    def quiet_for(self, clock: VirtualClock, *, served: bool, delivering: bool, waiting: bool) -> timedelta:
        """So long nothing happens, as far as store and leases go.

        Nothing is due where no queue is ``served``. While something is ``delivering``, leases are renewed in time:
        that is how a node learns of what was cancelled. Who is ``waiting`` for runs looks at the time, too.
        """
        if clock.elapsed < self._restless_until or (served and len(self._due) < len(self._beats)):
            return _NO_TIME
        due_in = (min(self._due.values(), default=NEVER) if served else NEVER) - clock.wall
        pause = renewal(self._lease) if delivering else trust(self._lease)
        renew_in = min(self._beats.values(), default=clock.elapsed) + pause - clock.elapsed
        if due_in <= renew_in or delivering or waiting or self._db.execute(_ENDING).fetchone():
            return min(due_in, renew_in)
        return due_in

    def rest(self, by: timedelta, clock: VirtualClock) -> bool:
        """Keeps the leases of those that live for so long, if they would end meanwhile; whether they would."""
        if min(self._beats.values(), default=clock.elapsed) + trust(self._lease) >= clock.elapsed + by:
            return False
        ids = msgspec.json.encode([self._ids[label] for label in self._beats]).decode()
        self._db.execute(_REST, {"by": by // timedelta(microseconds=1), "ids": ids})
        self._beats = {label: at + by for label, at in self._beats.items()}
        return True

    def disturb(self) -> None:
        """Something happened that the store can't know of."""
        self._due = {}

    def forget(self, label: str, now: timedelta) -> None:
        """That node is no more; once its lease is over, its runs come back."""
        self._beats.pop(label, None)
        self._due = {}
        self._restless_until = now + self._lease + _LOOK

    async def _write(self, work: Any, item: Any, prepare: Any = None) -> Any:
        self._due = {}
        return await super()._write(work, item, prepare)

    async def claim_due(self, node: NodeId, rooms: Mapping[str, Room], now: datetime) -> Claimed:
        """Takes what is due."""
        others = {other: at for other, at in self._due.items() if other != node}
        claimed = await super().claim_due(node, rooms, now)
        # What others heard still stands, unless this one has taken something.
        self._due = {**({} if claimed.claims else others), node: claimed.wake_at or NEVER}
        return claimed

    async def claim_for(self, hold: Hold, rooms: Mapping[str, int], now: datetime) -> Claimed:
        """Takes waiting runs for a holder."""
        claimed = await super().claim_for(hold, rooms, now)
        # Somebody waits for runs who is no node: time goes on by seconds.
        self.disturb()
        return claimed

    async def settle(self, settlements: Sequence[Settlement], now: datetime) -> Settled:
        """Writes what became of runs."""
        due = self._due
        settled = await super().settle(settlements, now)
        self._due = {node: min(at, settled.wake_at or NEVER) for node, at in due.items()}
        return settled

    async def heartbeat(self, node: Node, now: datetime) -> Heartbeat:
        """Renews a lease."""
        beat = await super().heartbeat(node, now)
        if node.label in self._beats and self._ids[node.label] != node.id:
            # What it held under its old id comes back once that lease is over.
            self._restless_until = max(self._restless_until, node.boot.elapsed + self._lease + _LOOK)
        self._beats[node.label], self._ids[node.label] = node.boot.elapsed, node.id
        return beat

    async def prune(self, keep: Retention, now: datetime) -> int:  # noqa: ARG002
        """Removes nothing."""
        await asyncio.get_running_loop().create_future()
        return 0

    async def changes(self) -> AsyncIterator[None]:
        """Never yields."""
        await asyncio.get_running_loop().create_future()
        yield

"""The node's identity and its lease: who claims, and for how long others believe it."""

import logging
from collections.abc import Collection
from dataclasses import replace
from datetime import timedelta
from uuid import UUID

from wakeful.core.ports import Clock, Entropy, Heartbeat, Node, Store

log = logging.getLogger("wakeful.engine")

TERM = timedelta(seconds=6)


def renewal(term: timedelta) -> timedelta:
    """How long after a renewal the next one is made."""
    return term / 3


def trust(term: timedelta) -> timedelta:
    """How long a node trusts its lease: it stops before others may take its runs."""
    return term * 5 / 6


class Lease:
    """Renewed by the loop that claims: if that loop stands still, the lease ends."""

    def __init__(self, store: Store, clock: Clock, entropy: Entropy, label: str, term: timedelta = TERM) -> None:
        self._store = store
        self._clock = clock
        self._entropy = entropy
        self._label = label
        self._term = term
        self._renewed_at: timedelta | None = None
        self._doubtful = False
        self.node_id = self._new_id()

    @property
    def trusted(self) -> bool:
        """Whether nobody else may have taken this node's runs yet."""
        return self._renewed_at is not None and self._clock.boot().elapsed <= self._renewed_at + trust(self._term)

    def doubt(self) -> None:
        """A claim may have been made without an answer: the next renewal gives back what this node does not know of."""
        self._doubtful = True

    async def renew(self, queues: Collection[str], holding: Collection[UUID]) -> Heartbeat | None:
        """Renews in time; ``None`` if it need not yet. Not alive: the lease had gone, and with it the identity."""
        boot = self._clock.boot()
        since = None if self._renewed_at is None else boot.elapsed - self._renewed_at
        if since is not None and not self._doubtful and since < renewal(self._term):
            return None
        kept = self._renewed_at is None or self.trusted
        if not kept:
            self.lose("the lease was not renewed in time")
        known = frozenset(holding) if kept else frozenset()
        node = Node(self.node_id, self._label, tuple(queues), boot, self._term, known)
        beat = await self._store.heartbeat(node, self._clock.now())
        if not beat.alive:
            self.lose("another node took this one for dead")
            return beat
        # Before a step of the clock is reckoned with, nothing comes back: the next renewal sees to that.
        self._renewed_at, self._doubtful = boot.elapsed, bool(beat.step)
        if beat.reclaimed:
            log.warning("took back %d runs that nobody performed", beat.reclaimed)
        return replace(beat, alive=kept)

    def lose(self, why: str) -> None:
        """Comes back as another node: what this one claimed is no longer its own."""
        log.warning("%s: every delivery stops, and this node goes on under a new id", why)
        self.node_id = self._new_id()
        self._renewed_at = None

    def _new_id(self) -> int:
        return int.from_bytes(self._entropy(8), "big") >> 1

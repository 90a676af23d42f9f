"""A scheduler's presence among those that share its store: a lease with its address, and the others' addresses."""

import asyncio
import logging
from datetime import timedelta

from wakeful.core.errors import WakefulError
from wakeful.core.ports import Clock, Entropy, Node, Store
from wakeful.faces.dapr.hosts import Hosts

log = logging.getLogger("wakeful.presence")

# A dead scheduler is gone from everybody's list this long after its last beat, and one beat more.
LEASE = timedelta(seconds=6)
BEAT = timedelta(seconds=1)
_LABEL = "dapr-scheduler "


class Presence:
    """A node of its own in the store, beside the engine's: it claims nothing, its label is the address."""

    def __init__(self, store: Store, clock: Clock, entropy: Entropy, hosts: Hosts) -> None:
        self._store = store
        self._clock = clock
        self._entropy = entropy
        self._hosts = hosts
        self._alarm = clock.alarm()
        self._id = self._new_id()
        self._beating: asyncio.Task[None] | None = None

    async def enter(self) -> None:
        """From now on the others see this one, and ``hosts`` has the others.

        Raises:
            WakefulError: ``STORE_UNAVAILABLE``.
        """
        await self._beat()
        self._beating = asyncio.get_running_loop().create_task(self._beats(), name="wakeful-presence")

    async def leave(self) -> None:
        """The others see this one no more."""
        if self._beating is None:
            return
        self._beating.cancel()
        await asyncio.gather(self._beating, return_exceptions=True)
        try:
            await self._store.leave(self._id, self._clock.now())
        except WakefulError as error:
            log.warning("left without a word: %s", error)

    async def _beats(self) -> None:
        while True:
            await self._alarm.wait(self._clock.now() + BEAT)
            try:
                await self._beat()
            except WakefulError as error:
                # Who can't ask keeps to what it knew.
                log.warning("can't say that this scheduler is there: %s", error)

    async def _beat(self) -> None:
        node = Node(self._id, _LABEL + self._hosts.own, (), self._clock.boot(), LEASE)
        beat = await self._store.heartbeat(node, self._clock.now())
        if not beat.alive:
            # Others took this one for dead, after a stop of more than the lease.
            self._id = self._new_id()
            return await self._beat()
        labels = (peer.label for peer in beat.peers)
        self._hosts.update([label.removeprefix(_LABEL) for label in labels if label.startswith(_LABEL)])
        return None

    def _new_id(self) -> int:
        return int.from_bytes(self._entropy(8), "big") >> 1

"""Which schedulers there are, for those who connect to all of them."""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection


class Hosts:
    """The addresses of all schedulers that live, in order; ``own`` is among them once it has entered."""

    def __init__(self) -> None:
        self.own = ""
        self.addresses: tuple[str, ...] = ()
        self._changed = asyncio.Event()
        self._listeners: list[Callable[[], None]] = []

    @property
    def place(self) -> tuple[int, int]:
        """How many there are, and which of them this one is, from 0."""
        if not self.addresses:
            return 1, 0
        return len(self.addresses), self.addresses.index(self.own)

    def enter(self, own: str) -> None:
        """This scheduler has an address."""
        self.own = own

    def update(self, others: Collection[str]) -> None:
        """These are the others now."""
        addresses = tuple(sorted({self.own, *others}))
        if addresses == self.addresses:
            return
        self.addresses = addresses
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()
        for listener in self._listeners:
            listener()

    def listen(self, listener: Callable[[], None]) -> None:
        """Calls ``listener`` after each change."""
        self._listeners.append(listener)

    async def changes(self) -> AsyncIterator[tuple[str, ...]]:
        """The addresses as soon as there are any, and after each change; who is slow misses what is over."""
        told: tuple[str, ...] = ()
        while True:
            changed = self._changed
            if self.addresses != told:
                told = self.addresses
                yield told
            else:
                await changed.wait()

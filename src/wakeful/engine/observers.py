"""Who hears of what this node performs."""

import logging
from collections.abc import Callable, Collection, Iterable
from uuid import UUID

from wakeful.core.ports import Claim, Observer
from wakeful.engine.places import Delivery

log = logging.getLogger("wakeful.engine")


class Observers:
    """Tells each of them, and goes on whatever they raise."""

    def __init__(self) -> None:
        self._observers: list[Observer] = []

    def add(self, observer: Observer) -> Callable[[], None]:
        """One more, until what this returns is called."""
        self._observers.append(observer)
        return lambda: self._observers.remove(observer)

    def started(self, claim: Claim) -> None:
        """An attempt begins."""
        if not self._observers:
            return
        for observer in tuple(self._observers):
            _tell(lambda observer=observer: observer.started(claim))  # type: ignore[misc]

    def settled(self, batch: Iterable[Delivery], stale: Collection[UUID]) -> None:
        """What became of these attempts is written, but for those that came too late."""
        if not self._observers:
            return
        for delivery in batch:
            claim, settlement = delivery.claim, delivery.settlement
            if settlement is None or claim.run.id in stale:
                continue
            for observer in tuple(self._observers):
                _tell(lambda o=observer, c=claim, s=settlement: o.settled(c, s))  # type: ignore[misc]


def _tell(call: Callable[[], None]) -> None:
    try:
        call()
    except Exception:
        log.exception("an observer failed")

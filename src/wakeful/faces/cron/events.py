"""What the daemon tells those who listen: the names and arguments of its signals."""

import logging
from collections.abc import Callable
from typing import Protocol

log = logging.getLogger("wakeful.cron")


class Listener(Protocol):
    """Hears of everything that happens.

    The names, with their arguments: ``JobStarted(job_name, execution_id)``, ``JobCompleted(job_name, execution_id,
    result)``, ``JobFailed(job_name, execution_id, error)``, ``SchedulerToggled(enabled)``, ``ConfigReloaded()``,
    ``StatusChanged(text)`` and ``Event(kind, json)``. All are texts but ``enabled``, which is a ``bool``.
    """

    def __call__(self, name: str, /, *arguments: object) -> None:
        """It must not wait; what it raises is logged."""


class Listeners:
    """All who listen."""

    def __init__(self) -> None:
        self._listeners: list[Listener] = []

    def add(self, listener: Listener) -> Callable[[], None]:
        """From now on it hears of everything; call what is returned to end that."""
        self._listeners.append(listener)

        def end() -> None:
            if listener in self._listeners:
                self._listeners.remove(listener)

        return end

    def tell(self, name: str, *arguments: object) -> None:
        """Tells everybody."""
        for listener in tuple(self._listeners):
            try:
                listener(name, *arguments)
            except Exception:
                # Who listens must not keep a job from running.
                log.exception("a listener failed at %s", name)

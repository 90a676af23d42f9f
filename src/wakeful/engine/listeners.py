"""Who waits for runs of queues that no node performs."""

from collections import Counter, deque
from collections.abc import Callable, Collection, Iterable

from wakeful.core.ports import Alarm


class Listeners:
    """The alarms of those who wait, by queue; for each run one of them rings, who waits longest first."""

    def __init__(self) -> None:
        self._waiting: dict[str, deque[Alarm]] = {}

    def add(self, queues: Collection[str], alarm: Alarm) -> Callable[[], None]:
        """One more who waits; call what it returns when it does not wait any more."""
        for queue in queues:
            self._waiting.setdefault(queue, deque()).append(alarm)
        return lambda: self._remove(queues, alarm)

    def ring(self, queues: Iterable[str]) -> None:
        """Runs have come to these queues, one for each time that a queue is named."""
        for queue, runs in Counter(queues).items():
            waiting = self._waiting.get(queue, deque())
            for _ in range(min(runs, len(waiting))):
                waiting.rotate(-1)
                waiting[-1].ring()

    def ring_all(self) -> None:
        """Runs may have come to any queue."""
        for waiting in self._waiting.values():
            for alarm in waiting:
                alarm.ring()

    def _remove(self, queues: Collection[str], alarm: Alarm) -> None:
        for queue in queues:
            waiting = self._waiting.get(queue, deque())
            if alarm in waiting:
                waiting.remove(alarm)
            if not waiting:
                self._waiting.pop(queue, None)

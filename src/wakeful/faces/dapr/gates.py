"""How many reminders of a type of actors may be under way at once: gates, which streams declare and deliveries pass.

A gate is of a type of actors, or of a name within it; who is to pass needs room in both. Who waits keeps its place:
whenever something becomes free the waiting are looked at in the order of their coming, and those who still do not
fit stay where they are (dapr pkg/scheduler/server/internal/pool/loops/connections/concurrency.go).
"""

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

# More than this waiting for one type is refused, as in Dapr.
MOST_WAITING = 100_000


def local_share(limit: int, schedulers: int, index: int) -> int:
    """What one of several schedulers may let through of a limit for all of them; never less than one."""
    share, rest = divmod(limit, max(1, schedulers))
    return max(1, share + (index < rest))


def gate_key(actor_type: str, name: str | None) -> str:
    """What a gate is called: by its type of actors, or by the type and a name."""
    return actor_type if name is None else f"{actor_type}:{name}"


@dataclass(eq=False, slots=True)
class _Gate:
    limit: int
    inside: int = 0


@dataclass(eq=False, slots=True)
class Ticket:
    """One delivery's way through the gates of its type and of its name, if it has one."""

    actor_type: str
    name: str | None = None
    passed: bool = False
    held: list[_Gate] = field(default_factory=list)


class Gates:
    """The gates of one namespace. Whoever calls lets the tickets go on that a method returns: they have passed."""

    def __init__(self) -> None:
        self._gates: dict[str, _Gate] = {}
        self._declared: dict[Hashable, Mapping[str, int]] = {}
        # By type, in the order of their coming.
        self._waiting: dict[str, dict[Ticket, None]] = {}
        self._schedulers, self._index = 1, 0

    @property
    def none(self) -> bool:
        """Whether there is no gate at all."""
        return not self._gates

    def declare(self, stream: Hashable, limits: Mapping[str, int]) -> Sequence[Ticket]:
        """A stream says which limits there are, by ``gate_key``; the last one to say so is right."""
        self._declared[stream] = dict(limits)
        for key, limit in limits.items():
            if key in self._gates:
                self._gates[key].limit = limit
            else:
                self._gates[key] = _Gate(limit)
        return self._admit_all()

    def withdraw(self, stream: Hashable) -> Sequence[Ticket]:
        """A stream has ended: gates that no other declares are gone."""
        self._declared.pop(stream, None)
        kept = {key for limits in self._declared.values() for key in limits}
        self._gates = {key: gate for key, gate in self._gates.items() if key in kept}
        return self._admit_all()

    def share_with(self, schedulers: int, index: int) -> Sequence[Ticket]:
        """From now on there are so many schedulers, of which this one is at ``index``."""
        self._schedulers, self._index = schedulers, index
        return self._admit_all()

    def enter(self, ticket: Ticket) -> bool:
        """Whether there is room to wait, or the ticket has ``passed`` at once."""
        waiting = self._waiting.get(ticket.actor_type, {})
        if self._try(ticket):
            return True
        if len(waiting) >= MOST_WAITING:
            return False
        self._waiting.setdefault(ticket.actor_type, waiting)[ticket] = None
        return True

    def leave(self, ticket: Ticket) -> Sequence[Ticket]:
        """The ticket is done, or gives up waiting."""
        for gate in ticket.held:
            gate.inside -= 1
        freed, ticket.held = bool(ticket.held), []
        waiting = self._waiting.get(ticket.actor_type)
        if waiting is not None:
            waiting.pop(ticket, None)
            if not waiting:
                del self._waiting[ticket.actor_type]
        return self._admit(ticket.actor_type) if freed else ()

    def stops(self, actor_type: str, name: str | None) -> str | None:
        """The key of the gate that would stop a delivery now."""
        for key, gate in self._on_the_way(actor_type, name):
            if gate.inside >= self._share(gate):
                return key
        return None

    def share(self, actor_type: str) -> int | None:
        """What this scheduler may let through to a type; ``None`` where no gate is."""
        gate = self._gates.get(actor_type)
        return None if gate is None else self._share(gate)

    def named(self, actor_type: str) -> bool:
        """Whether the type has gates of names."""
        return any(key.startswith(f"{actor_type}:") for key in self._gates)

    def inside(self) -> Mapping[str, int]:
        """How many are under way, by gate."""
        return {key: gate.inside for key, gate in self._gates.items()}

    def waiting(self) -> Mapping[str, int]:
        """How many wait, by type; a type with a gate and nobody before it has zero."""
        return dict.fromkeys(self._gates, 0) | {key: len(tickets) for key, tickets in self._waiting.items()}

    def _admit_all(self) -> Sequence[Ticket]:
        return [ticket for actor_type in tuple(self._waiting) for ticket in self._admit(actor_type)]

    def _admit(self, actor_type: str) -> Sequence[Ticket]:
        waiting = self._waiting.get(actor_type, {})
        admitted: list[Ticket] = []
        gate = self._gates.get(actor_type)
        for ticket in waiting:
            if gate is not None and gate.inside >= self._share(gate):
                break
            if self._try(ticket):
                admitted.append(ticket)
        _forget(waiting, admitted)
        if not waiting:
            self._waiting.pop(actor_type, None)
        return admitted

    def _try(self, ticket: Ticket) -> bool:
        gates = [gate for _, gate in self._on_the_way(ticket.actor_type, ticket.name)]
        if any(gate.inside >= self._share(gate) for gate in gates):
            return False
        for gate in gates:
            gate.inside += 1
        ticket.held, ticket.passed = gates, True
        return True

    def _on_the_way(self, actor_type: str, name: str | None) -> Sequence[tuple[str, _Gate]]:
        keys = (actor_type,) if name is None else (actor_type, gate_key(actor_type, name))
        return [(key, self._gates[key]) for key in keys if key in self._gates]

    def _share(self, gate: _Gate) -> int:
        return local_share(gate.limit, self._schedulers, self._index)


def _forget(waiting: dict[Ticket, None], admitted: Iterable[Ticket]) -> None:
    for ticket in admitted:
        del waiting[ticket]

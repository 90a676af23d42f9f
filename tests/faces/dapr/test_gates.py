"""Gates: what they let through, in which order, and that nothing is lost in them."""

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from support.examples import examples
from wakeful.faces.dapr import gates as module
from wakeful.faces.dapr.gates import Gates, Ticket, gate_key, local_share

TYPES = ("T", "U")
NAMES = (None, "hot", "cold")


def entered(gates: Gates, actor_type: str = "T", name: str | None = None) -> Ticket:
    ticket = Ticket(actor_type, name)
    assert gates.enter(ticket)
    return ticket


def test_without_a_gate_everybody_passes() -> None:
    gates = Gates()
    assert gates.none
    assert all(entered(gates).passed for _ in range(1_000))


def test_who_must_wait_passes_in_the_order_of_coming() -> None:
    gates = Gates()
    gates.declare("stream", {"T": 2})
    tickets = [entered(gates) for _ in range(5)]
    assert [ticket.passed for ticket in tickets] == [True, True, False, False, False]
    assert gates.waiting() == {"T": 3}
    assert gates.leave(tickets[1]) == [tickets[2]]
    assert gates.leave(tickets[0]) == [tickets[3]]
    assert gates.inside() == {"T": 2}


def test_who_waits_for_a_name_keeps_its_place_while_others_go_by() -> None:
    # dapr tests/integration/suite/scheduler/concurrency/seniority.go tells the same story.
    gates = Gates()
    gates.declare("stream", {"T": 2, "T:hot": 1})
    hold_hot, hold_type = entered(gates, name="hot"), entered(gates)
    elder, fresh, younger = entered(gates, name="hot"), entered(gates), entered(gates, name="hot")
    assert gates.waiting()["T"] == 3

    assert gates.leave(hold_type) == [fresh]
    assert gates.leave(hold_hot) == [elder]
    assert gates.leave(fresh) == []
    assert gates.leave(elder) == [younger]


def test_who_gives_up_waiting_leaves_no_gap_and_takes_no_room() -> None:
    gates = Gates()
    gates.declare("stream", {"T": 1})
    first, second, third = entered(gates), entered(gates), entered(gates)
    assert gates.leave(second) == ()
    assert gates.leave(first) == [third]
    assert gates.leave(third) == []
    assert (gates.inside(), gates.waiting()) == ({"T": 0}, {"T": 0})


def test_the_last_to_say_a_limit_is_right_and_gates_live_as_long_as_a_stream_declares_them() -> None:
    gates = Gates()
    gates.declare("one", {"T": 1})
    first, second, third, fourth = (entered(gates) for _ in range(4))
    assert gates.declare("two", {"T": 3}) == [second, third]
    gates.withdraw("one")
    assert not fourth.passed
    assert gates.withdraw("two") == [fourth]
    assert gates.none
    assert first.passed


def test_a_gate_is_of_one_type() -> None:
    gates = Gates()
    gates.declare("stream", {"T": 1})
    assert entered(gates).passed
    assert entered(gates, "U").passed
    assert gates.stops("T", None) == "T"
    assert gates.stops("U", None) is None


def test_more_schedulers_share_a_limit_and_fewer_let_more_through() -> None:
    gates = Gates()
    gates.declare("stream", {"T": 6})
    gates.share_with(3, 2)
    tickets = [entered(gates) for _ in range(6)]
    assert sum(ticket.passed for ticket in tickets) == 2
    assert gates.share("T") == 2
    assert list(gates.share_with(2, 1)) == tickets[2:3]
    assert list(gates.share_with(1, 0)) == tickets[3:]


def test_beyond_the_most_that_may_wait_nobody_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_WAITING", 2)
    gates = Gates()
    gates.declare("stream", {"T": 1})
    for _ in range(3):
        entered(gates)
    assert not gates.enter(Ticket("T"))


@pytest.mark.parametrize(
    ("limit", "schedulers", "shares"),
    [(6, 3, [2, 2, 2]), (7, 3, [3, 2, 2]), (8, 3, [3, 3, 2]), (2, 3, [1, 1, 1]), (5, 1, [5]), (1, 2, [1, 1])],
)
def test_the_share_of_a_limit(limit: int, schedulers: int, shares: Sequence[int]) -> None:
    assert [local_share(limit, schedulers, index) for index in range(schedulers)] == shares


@given(st.integers(1, 10_000), st.integers(1, 100))
def test_shares_add_up_to_the_limit_or_are_one_each(limit: int, schedulers: int) -> None:
    shares = [local_share(limit, schedulers, index) for index in range(schedulers)]
    assert sum(shares) == max(limit, schedulers)
    assert max(shares) - min(shares) <= 1


class GatesMachine(RuleBasedStateMachine):
    """Tickets that come and go through gates that come and go."""

    def __init__(self) -> None:
        super().__init__()
        self.gates = Gates()
        self.inside: list[Ticket] = []
        self.waiting: list[Ticket] = []

    def admit(self, tickets: Sequence[Ticket]) -> None:
        for ticket in tickets:
            assert ticket.passed
            self.waiting.remove(ticket)
            self.inside.append(ticket)

    @rule(
        stream=st.sampled_from("ab"),
        limits=st.dictionaries(
            st.builds(gate_key, st.sampled_from(TYPES), st.sampled_from(NAMES)), st.integers(1, 4), max_size=4
        ),
    )
    def declare(self, stream: str, limits: dict[str, int]) -> None:
        # A stream says it once.
        self.admit(self.gates.withdraw(stream))
        self.admit(self.gates.declare(stream, limits))

    @rule(stream=st.sampled_from("ab"))
    def withdraw(self, stream: str) -> None:
        self.admit(self.gates.withdraw(stream))

    @rule(place=st.sampled_from([(1, 0), (2, 0), (2, 1), (3, 2)]))
    def share(self, place: tuple[int, int]) -> None:
        self.admit(self.gates.share_with(*place))

    @rule(actor_type=st.sampled_from(TYPES), name=st.sampled_from(NAMES))
    def enter(self, actor_type: str, name: str | None) -> None:
        free = self.gates.stops(actor_type, name) is None
        ticket = entered(self.gates, actor_type, name)
        # Nobody who waits is overtaken by one who needs the same.
        alike = [one for one in self.waiting if (one.actor_type, one.name) == (actor_type, name)]
        assert ticket.passed == free
        assert not (ticket.passed and alike)
        (self.inside if ticket.passed else self.waiting).append(ticket)

    @precondition(lambda self: self.inside)
    @rule(data=st.data())
    def leave(self, data: st.DataObject) -> None:
        ticket = data.draw(st.sampled_from(self.inside))
        self.inside.remove(ticket)
        before = list(self.waiting)
        admitted = list(self.gates.leave(ticket))
        assert admitted == [one for one in before if one in admitted]
        self.admit(admitted)

    @precondition(lambda self: self.waiting)
    @rule(data=st.data())
    def give_up(self, data: st.DataObject) -> None:
        ticket = data.draw(st.sampled_from(self.waiting))
        self.waiting.remove(ticket)
        self.admit(self.gates.leave(ticket))

    @invariant()
    def nobody_waits_who_could_pass(self) -> None:
        for ticket in self.waiting:
            assert not ticket.passed
            assert self.gates.stops(ticket.actor_type, ticket.name) is not None

    @invariant()
    def the_gates_count_right(self) -> None:
        for key, count in self.gates.inside().items():
            assert 0 <= count <= len(self.inside), key
        assert sum(self.gates.waiting().values()) == len(self.waiting)

    def teardown(self) -> None:
        for ticket in [*self.inside, *self.waiting]:
            if ticket in self.inside or ticket in self.waiting:
                self.gates.leave(ticket)
        assert all(count == 0 for count in self.gates.inside().values())


GatesMachine.TestCase.settings = settings(max_examples=examples(100), stateful_step_count=40, deadline=None)
test_gates_keep_their_word = GatesMachine.TestCase

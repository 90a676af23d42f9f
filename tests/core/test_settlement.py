"""What becomes of a run because of an outcome."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from msgspec import structs

from wakeful.core.job import CountedFrom, RetryPolicy
from wakeful.core.run import (
    MOVES,
    Accepted,
    Cause,
    Failed,
    Move,
    Outcome,
    Rejected,
    Run,
    RunState,
    Skipped,
    Succeeded,
    Unavailable,
)
from wakeful.core.settlement import ERROR_LIMIT, settle

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
DUE = NOON - timedelta(seconds=30)
RUN = Run(
    id=UUID(int=7),
    job_id=3,
    seq=5,
    cause=Cause.SCHEDULE,
    scheduled_for=DUE,
    state=RunState.CLAIMED,
    queue="q",
    run_at=DUE + timedelta(seconds=1),
    attempt=1,
    fence=4,
    started_at=NOON - timedelta(seconds=9),
)
OUTCOMES: list[Outcome] = [
    Succeeded(),
    Failed("no"),
    Rejected("never"),
    Failed("no", b'{"exit_code":1}'),
    Rejected("never", b'{"exit_code":65}'),
    Skipped("nothing to do"),
    Accepted(timedelta(seconds=60)),
    Unavailable("refused"),
]
POLICIES = [
    RetryPolicy(retries, timedelta(seconds=2), counted_from) for retries in (0, 3, None) for counted_from in CountedFrom
]


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("outcome", OUTCOMES)
@pytest.mark.parametrize("attempt", [1, 3, 4, 100])
def test_a_settlement_is_a_move_of_this_run_under_its_fence(
    outcome: Outcome, policy: RetryPolicy, attempt: int
) -> None:
    settlement = settle(structs.replace(RUN, attempt=attempt), outcome, policy, NOON)
    assert (settlement.run_id, settlement.fence) == (RUN.id, 4)
    assert settlement.state in {target for (source, _), target in MOVES.items() if source is RunState.CLAIMED}
    assert settlement.ended_at == (NOON if settlement.state.ended else None)
    assert (settlement.run_at is not None) is (settlement.state is RunState.WAITING)
    assert (settlement.lease_until is not None) is (settlement.state is RunState.OPEN)
    assert settlement.started_at == RUN.started_at


@pytest.mark.parametrize("policy", POLICIES)
def test_success_is_the_end(policy: RetryPolicy) -> None:
    settlement = settle(RUN, Succeeded(), policy, NOON)
    assert (settlement.state, settlement.attempt, settlement.error) == (RunState.SUCCEEDED, 1, None)


@pytest.mark.parametrize("policy", POLICIES)
def test_a_rejection_is_the_end_without_a_retry(policy: RetryPolicy) -> None:
    settlement = settle(RUN, Rejected("never"), policy, NOON)
    assert (settlement.state, settlement.reason, settlement.error) == (RunState.FAILED, "rejected", "never")


@pytest.mark.parametrize("policy", POLICIES)
def test_what_is_skipped_ends_without_a_retry_and_says_why(policy: RetryPolicy) -> None:
    settlement = settle(RUN, Skipped("nothing to do"), policy, NOON)
    assert (settlement.state, settlement.reason, settlement.error) == (RunState.SKIPPED, "nothing to do", None)


@pytest.mark.parametrize("outcome", [Failed("no", b"1"), Rejected("no", b"1"), Succeeded(b"1")])
@pytest.mark.parametrize("retries", [0, 3])
def test_what_the_target_gave_is_kept_whatever_becomes_of_the_run(outcome: Outcome, retries: int) -> None:
    assert settle(RUN, outcome, RetryPolicy(retries), NOON).result == b"1"


@pytest.mark.parametrize("max_retries", [0, 1, 3])
def test_so_many_retries_follow_the_first_attempt(max_retries: int) -> None:
    policy = RetryPolicy(max_retries, timedelta(seconds=2))
    states = [
        settle(structs.replace(RUN, attempt=n), Failed("no"), policy, NOON).state for n in range(1, max_retries + 2)
    ]
    assert states == [RunState.WAITING] * max_retries + [RunState.FAILED]
    last = settle(structs.replace(RUN, attempt=max_retries + 1), Failed("no"), policy, NOON)
    assert (last.reason, last.error) == ("attempts_exhausted", "no")


def test_without_a_bound_there_is_always_another_attempt() -> None:
    settlement = settle(structs.replace(RUN, attempt=10**6), Failed("no"), RetryPolicy(None), NOON)
    assert (settlement.state, settlement.attempt, settlement.error) == (RunState.WAITING, 10**6, "no")


def test_a_retry_comes_an_interval_after_the_failure_or_after_the_attempt_was_due() -> None:
    every = timedelta(seconds=2)
    after_failure = settle(RUN, Failed("no"), RetryPolicy(3, every, CountedFrom.FAILURE), NOON)
    after_due = settle(RUN, Failed("no"), RetryPolicy(3, every, CountedFrom.DUE), NOON)
    assert after_failure.run_at == NOON + every
    assert after_due.run_at == DUE + timedelta(seconds=3)


def test_an_interval_grows_by_steps_up_to_the_longest() -> None:
    policy = RetryPolicy(9, timedelta(seconds=30), step=timedelta(seconds=30), max_interval=timedelta(seconds=100))
    waits = [settle(structs.replace(RUN, attempt=n), Failed("no"), policy, NOON).run_at for n in range(1, 5)]
    assert waits == [NOON + timedelta(seconds=wait) for wait in (30, 60, 90, 100)]


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("attempt", [1, 4, 100])
def test_what_nobody_took_waits_from_the_same_instant_and_costs_no_attempt(policy: RetryPolicy, attempt: int) -> None:
    settlement = settle(structs.replace(RUN, attempt=attempt), Unavailable("refused"), policy, NOON)
    assert (settlement.state, settlement.attempt, settlement.run_at) == (RunState.WAITING, attempt - 1, RUN.run_at)
    assert settlement.ended_at is None


@pytest.mark.parametrize("cause", Cause)
def test_a_run_is_as_old_as_its_instant_or_as_the_wish_for_it(cause: Cause) -> None:
    policy = RetryPolicy(max_retries=None, interval=timedelta(seconds=10), max_age=timedelta(minutes=1))
    asked = structs.replace(RUN, cause=cause, scheduled_for=NOON - timedelta(days=9), created_at=DUE)
    ends = settle(asked, Failed("no"), policy, NOON).reason == "too_old"
    assert ends is (cause is Cause.SCHEDULE)
    assert settle(asked, Failed("no"), policy, DUE + timedelta(seconds=51)).reason == "too_old"


@pytest.mark.parametrize("policy", POLICIES)
def test_what_was_claimed_does_not_wait_for_its_instant_though_the_clock_was_set_back(policy: RetryPolicy) -> None:
    ahead = structs.replace(RUN, run_at=NOON + timedelta(hours=1), scheduled_for=NOON + timedelta(hours=1))
    assert settle(ahead, Unavailable("refused"), policy, NOON).run_at == NOON
    counted = settle(ahead, Failed("no"), RetryPolicy(3, timedelta(seconds=10), CountedFrom.DUE), NOON)
    assert counted.run_at == NOON + timedelta(seconds=10)


def test_an_acceptance_is_a_lease_until_the_answer() -> None:
    settlement = settle(RUN, Accepted(timedelta(seconds=60)), RetryPolicy(0), NOON)
    assert (settlement.state, settlement.lease_until) == (RunState.OPEN, NOON + timedelta(seconds=60))
    assert (settlement.attempt, settlement.ended_at) == (1, None)


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize(
    ("outcome", "states"),
    [
        (Succeeded(), {RunState.SUCCEEDED}),
        (Failed("no"), {RunState.WAITING, RunState.FAILED}),
        (Rejected("never"), {RunState.FAILED}),
    ],
)
def test_the_answer_that_comes_later_is_settled_by_the_same_rules(
    outcome: Outcome, states: set[RunState], policy: RetryPolicy
) -> None:
    settlement = settle(structs.replace(RUN, state=RunState.OPEN), outcome, policy, NOON)
    assert settlement.state in states
    assert settlement.state == settle(RUN, outcome, policy, NOON).state


@pytest.mark.parametrize("outcome", OUTCOMES)
@pytest.mark.parametrize("state", [state for state in RunState if state not in (RunState.CLAIMED, RunState.OPEN)])
def test_what_is_not_in_flight_can_not_be_settled(state: RunState, outcome: Outcome) -> None:
    with pytest.raises(KeyError):
        settle(structs.replace(RUN, state=state), outcome, RetryPolicy(3), NOON)


def test_a_long_error_is_cut() -> None:
    for length in (ERROR_LIMIT, ERROR_LIMIT + 1, 10**6):
        error = settle(RUN, Failed("x" * length), RetryPolicy(3), NOON).error
        assert error is not None
        assert len(error) <= ERROR_LIMIT + 1
        assert error.startswith("x" * ERROR_LIMIT)
        assert error.endswith("…") is (length > ERROR_LIMIT)


def test_every_outcome_of_a_claimed_run_has_its_move() -> None:
    assert {move for source, move in MOVES if source is RunState.CLAIMED} == set(Move) - {Move.CLAIMED, Move.FREED}

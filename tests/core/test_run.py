"""Runs: their states, the moves between them, and ids that sort by time."""

from datetime import UTC, datetime, timedelta
from uuid import RFC_4122, UUID

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from msgspec.structs import replace

from wakeful.core.run import MOVES, UNENDED, Cause, Move, Run, RunState, run_id

INSTANTS = st.datetimes(datetime(1970, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC))
ENTROPY = st.binary(min_size=10, max_size=10)
NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
RUN = Run(UUID(int=7), 3, 5, Cause.SCHEDULE, NOON, RunState.SUCCEEDED, "q")


def test_nothing_leaves_an_end() -> None:
    assert [source for source, _ in MOVES if source.ended] == []


def test_every_state_has_ended_or_not() -> None:
    ended = {state for state in RunState if state.ended}
    assert ended == set(RunState) - UNENDED
    assert ended == {
        RunState.SUCCEEDED,
        RunState.FAILED,
        RunState.CANCELLED,
        RunState.SUPERSEDED,
        RunState.SKIPPED,
        RunState.MISSED,
    }


@pytest.mark.parametrize(
    ("started_s", "ended_s", "late_s", "took_s"), [(2, 5, 2, 3), (-3600, -3595, 0, 5), (5, -99, 5, 0)]
)
def test_lateness_and_duration_are_never_negative(started_s: int, ended_s: int, late_s: int, took_s: int) -> None:
    run = replace(RUN, started_at=NOON + timedelta(seconds=started_s), ended_at=NOON + timedelta(seconds=ended_s))
    assert (run.lateness, run.duration) == (timedelta(seconds=late_s), timedelta(seconds=took_s))


def test_what_was_asked_for_is_late_from_then_on() -> None:
    run = replace(RUN, cause=Cause.BACKFILL, created_at=NOON + timedelta(days=1), started_at=NOON + timedelta(days=1))
    assert run.lateness == timedelta(0)
    assert (RUN.lateness, RUN.duration, run.duration) == (None, None, None)


def test_every_move_is_used_and_leads_to_a_state_that_is_not_its_own() -> None:
    assert {move for _, move in MOVES} == set(Move)
    assert [move for (source, move), target in MOVES.items() if source is target] == []


def test_whatever_has_not_ended_can_end_with_its_job() -> None:
    for state in UNENDED:
        assert MOVES[state, Move.DELETED] is RunState.CANCELLED
        assert MOVES[state, Move.REPLACED] is RunState.SUPERSEDED


def test_every_state_is_reached_but_those_that_are_born_so() -> None:
    born = {RunState.BLOCKED, RunState.MISSED}
    assert set(MOVES.values()) == set(RunState) - born


@given(INSTANTS, ENTROPY)
# As a float, these seconds lie just below the millisecond.
@example(datetime(2004, 1, 11, 0, 0, 0, 1000, tzinfo=UTC), bytes(10))
def test_an_id_is_a_uuid_of_version_7_that_tells_its_millisecond(now: datetime, entropy: bytes) -> None:
    made = run_id(now, entropy)
    assert (made.version, made.variant) == (7, RFC_4122)
    assert made.int >> 80 == (now - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)


@given(INSTANTS, INSTANTS, ENTROPY, ENTROPY)
def test_ids_sort_by_time(one: datetime, other: datetime, first: bytes, second: bytes) -> None:
    earlier, later = sorted((one, other))
    if later - earlier >= timedelta(milliseconds=1):
        assert run_id(earlier, first).bytes < run_id(later, second).bytes


def test_other_entropy_is_another_id() -> None:
    now = datetime(2026, 3, 2, 12, tzinfo=UTC)
    ids = {run_id(now, number.to_bytes(10, "big")) for number in range(1000)}
    assert len(ids) == 1000
    assert run_id(now, bytes(10)) != run_id(now, b"\xff" * 10)

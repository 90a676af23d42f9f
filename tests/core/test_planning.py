"""What becomes of every instant: a run, or a row that says why not; each once, in order."""

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from support.examples import examples
from support.planned import MISSED, NOON, SKIPPED, a_record, after, at
from wakeful.core.job import Catchup, JobRecord, Overlap
from wakeful.core.planning import Gone, Plan, choose, leave_out, plan
from wakeful.core.run import RunState
from wakeful.core.schedule import ScheduleText, parse_schedule
from wakeful.zones import load_zone


def spans(made: Plan) -> list[tuple[RunState, float, float, int, int]]:
    """The rows of a plan: state, first and last in seconds after noon, how many, number of the last."""
    return [
        (one.state, (one.first - NOON).total_seconds(), (one.last - NOON).total_seconds(), one.instants, one.seq)
        for one in made.gone
    ]


def test_choose_takes_the_first_the_last_or_none() -> None:
    assert [choose(5, keep) for keep in (Catchup.ALL, Catchup.LATEST, Catchup.NONE)] == [0, 4, None]
    assert [choose(1, keep) for keep in (Catchup.ALL, Catchup.LATEST, Catchup.NONE)] == [0, 0, None]


@pytest.mark.parametrize("overlap", Overlap)
@pytest.mark.parametrize("catchup", Catchup)
def test_what_is_on_time_runs_whatever_the_policies(overlap: Overlap, catchup: Catchup) -> None:
    record = a_record(overlap=overlap, catchup=catchup)
    fired = []
    for _ in range(4):
        made = plan(record, at(4.9))
        assert made.gone == ()
        fired.append((made.run_seq, made.scheduled_for))
        record = after(record, made)
    assert fired == [(number, at(number)) for number in range(1, 5)]
    assert record.next_due_at == at(5)


@pytest.mark.parametrize("overlap", Overlap)
@pytest.mark.parametrize("catchup", Catchup)
def test_nothing_is_planned_before_it_is_due(overlap: Overlap, catchup: Catchup) -> None:
    made = plan(a_record(overlap=overlap, catchup=catchup), at(0.9))
    assert (made.scheduled_for, made.run_seq, made.gone, made.next_due_at, made.seq) == (None, None, (), at(1), 0)


@pytest.mark.parametrize("overlap", Overlap)
@pytest.mark.parametrize(
    ("catchup", "run", "rows", "following"),
    [
        (Catchup.ALL, 1, [], 2),
        (Catchup.LATEST, 60, [(MISSED, 1, 59, 59, 59)], 61),
        (Catchup.NONE, 56, [(MISSED, 1, 55, 55, 55)], 57),
    ],
)
def test_catch_up_decides_on_what_passed_while_nobody_could_run_it(
    overlap: Overlap, catchup: Catchup, run: int, rows: list[object], following: int
) -> None:
    made = plan(a_record(overlap=overlap, catchup=catchup), at(60.5))
    assert (made.run_seq, made.scheduled_for) == (run, at(run))
    assert spans(made) == rows
    assert (made.next_due_at, made.seq) == (at(following), following - 1)


def busy(overlap: Overlap, catchup: Catchup, *, through: float) -> JobRecord:
    """Its first run took from 1 s to then; nothing else has been planned."""
    record = a_record(overlap=overlap, catchup=catchup)
    record = after(record, plan(record, at(1)))
    return structs.replace(record, busy_at=at(1), free_at=at(through))


@pytest.mark.parametrize("catchup", Catchup)
@pytest.mark.parametrize(
    ("overlap", "run", "rows", "following"),
    [
        (Overlap.QUEUE_ALL, 2, [], 3),
        (Overlap.QUEUE_ONE, 20, [(SKIPPED, 2, 19, 18, 19)], 21),
        (Overlap.SKIP, None, [(SKIPPED, 2, 20, 19, 20)], 21),
    ],
)
def test_overlap_decides_on_what_passed_while_the_job_was_busy(
    overlap: Overlap, catchup: Catchup, run: int | None, rows: list[object], following: int
) -> None:
    made = plan(busy(overlap, catchup, through=20.5), at(20.5))
    assert made.run_seq == run
    assert made.scheduled_for == (None if run is None else at(run))
    assert spans(made) == rows
    assert {gone.reason for gone in made.gone} <= {"overlap"}
    assert (made.next_due_at, made.seq) == (at(following), following - 1)


@pytest.mark.parametrize(
    ("overlap", "catchup", "run", "rows"),
    [
        (Overlap.QUEUE_ALL, Catchup.ALL, 2, []),
        (Overlap.QUEUE_ALL, Catchup.LATEST, 2, []),
        (Overlap.QUEUE_ALL, Catchup.NONE, 2, []),
        (Overlap.QUEUE_ONE, Catchup.LATEST, 60, [(SKIPPED, 2, 20, 19, 20), (MISSED, 21, 59, 39, 59)]),
        (Overlap.QUEUE_ONE, Catchup.NONE, 56, [(SKIPPED, 2, 20, 19, 20), (MISSED, 21, 55, 35, 55)]),
        (Overlap.SKIP, Catchup.ALL, 21, [(SKIPPED, 2, 20, 19, 20)]),
        (Overlap.SKIP, Catchup.LATEST, 60, [(SKIPPED, 2, 20, 19, 20), (MISSED, 21, 59, 39, 59)]),
        (Overlap.SKIP, Catchup.NONE, 56, [(SKIPPED, 2, 20, 19, 20), (MISSED, 21, 55, 35, 55)]),
        (Overlap.ALLOW, Catchup.ALL, 2, []),
        (Overlap.ALLOW, Catchup.LATEST, 60, [(MISSED, 2, 59, 58, 59)]),
        (Overlap.ALLOW, Catchup.NONE, 56, [(MISSED, 2, 55, 54, 55)]),
    ],
)
def test_each_stretch_of_time_has_its_own_policy(
    overlap: Overlap, catchup: Catchup, run: int, rows: list[object]
) -> None:
    """Busy to 20.5 s, then nobody there to 60.5 s."""
    made = plan(busy(overlap, catchup, through=20.5), at(60.5))
    assert (made.run_seq, made.scheduled_for) == (run, at(run))
    assert spans(made) == rows
    assert (made.next_due_at, made.seq) == (at(run + 1), run)


def test_the_one_that_was_queued_while_busy_is_caught_up_with_too() -> None:
    made = plan(busy(Overlap.QUEUE_ONE, Catchup.ALL, through=20.5), at(60.5))
    assert (made.run_seq, made.scheduled_for) == (20, at(20))
    assert spans(made) == [(SKIPPED, 2, 19, 18, 19)]
    assert made.next_due_at == at(21)


def test_what_was_late_already_when_the_job_became_busy_is_a_matter_of_catch_up() -> None:
    record = a_record(overlap=Overlap.SKIP, catchup=Catchup.NONE)
    record = structs.replace(record, busy_at=at(30), free_at=at(40.5))
    made = plan(record, at(40.5))
    assert made.run_seq is None
    assert spans(made) == [(MISSED, 1, 25, 25, 25), (SKIPPED, 26, 40, 15, 40)]
    assert made.next_due_at == at(41)


def test_the_latest_of_what_was_late_before_a_busy_stretch_still_runs() -> None:
    record = a_record(overlap=Overlap.SKIP, catchup=Catchup.LATEST)
    record = structs.replace(record, busy_at=at(30), free_at=at(40.5))
    made = plan(record, at(40.5))
    assert (made.run_seq, made.scheduled_for) == (25, at(25))
    assert spans(made)[0] == (MISSED, 1, 24, 24, 24)


@pytest.mark.parametrize("overlap", [Overlap.QUEUE_ONE, Overlap.SKIP, Overlap.QUEUE_ALL])
def test_having_been_busy_long_ago_does_not_matter(overlap: Overlap) -> None:
    record = structs.replace(busy(overlap, Catchup.LATEST, through=1.5), seq=100, next_due_at=at(101))
    made = plan(record, at(103.5))
    assert (made.run_seq, made.scheduled_for, made.gone) == (101, at(101), ())


def test_latest_makes_one_run_of_three_missed_days_and_one_row_of_the_rest() -> None:
    made = plan(a_record(), NOON + timedelta(days=3))
    assert (made.run_seq, made.scheduled_for) == (259_200, NOON + timedelta(days=3))
    (gone,) = made.gone
    assert (gone.instants, gone.first, gone.last) == (259_199, at(1), NOON + timedelta(days=3, seconds=-1))
    assert (gone.seq, gone.state, made.seq) == (259_199, MISSED, 259_200)
    assert made.next_due_at == NOON + timedelta(days=3, seconds=1)


def test_a_century_of_seconds_is_planned_without_counting_them() -> None:
    made = plan(a_record("@every 1ms"), NOON.replace(year=2126))
    assert made.run_seq is not None
    assert made.run_seq > 3 * 10**12


@pytest.mark.parametrize(("catchup", "runs"), [(Catchup.ALL, 3), (Catchup.LATEST, 3), (Catchup.NONE, 3)])
def test_repeats_count_runs_not_what_was_left_out(catchup: Catchup, runs: int) -> None:
    record, made, now = a_record(catchup=catchup, repeats=3), [], 60.5
    while record.next_due_at is not None:
        one = plan(record, at(now))
        record = after(record, one)
        if one.scheduled_for is None:
            now += 60
        else:
            made.append(one.scheduled_for)
            now += 60
        assert now < 3600
    assert len(made) == runs
    assert record.remaining == 0


def test_the_last_repeat_is_the_last() -> None:
    record = a_record(repeats=1)
    made = plan(record, at(60.5))
    assert (made.scheduled_for, made.next_due_at) == (at(60), None)
    assert after(record, made).remaining == 0


@pytest.mark.parametrize("overlap", Overlap)
@pytest.mark.parametrize(
    ("catchup", "run", "following"), [(Catchup.ALL, 1, 2), (Catchup.LATEST, 10, None), (Catchup.NONE, None, None)]
)
def test_nothing_is_due_after_the_end(
    overlap: Overlap, catchup: Catchup, run: int | None, following: int | None
) -> None:
    made = plan(a_record(overlap=overlap, catchup=catchup, ttl="10s"), at(60.5))
    assert made.scheduled_for == (None if run is None else at(run))
    assert made.next_due_at == (None if following is None else at(following))
    assert sum(gone.instants for gone in made.gone) == {1: 0, 10: 9, None: 10}[run]


def test_the_end_itself_is_still_due() -> None:
    record = a_record(ttl="2s")
    record = after(record, plan(record, at(1)))
    made = plan(record, at(2))
    assert (made.scheduled_for, made.next_due_at) == (at(2), None)


@pytest.mark.parametrize(("catchup", "runs"), [(Catchup.ALL, 1), (Catchup.LATEST, 1), (Catchup.NONE, 0)])
def test_a_one_shot_that_is_late_is_a_matter_of_catch_up(catchup: Catchup, runs: int) -> None:
    when = parse_schedule(ScheduleText(None, "1s"), "dapr", NOON, load_zone)
    record = a_record(catchup=catchup)
    record = structs.replace(record, job=replace(record.job, schedule=when), next_due_at=at(1))
    made = plan(record, at(60))
    assert (made.scheduled_for is not None) is bool(runs)
    assert (len(made.gone), made.next_due_at, made.seq) == (1 - runs, None, 1)


def test_equal_instants_have_numbers_of_their_own() -> None:
    record, numbers = a_record("@every 0s", repeats=4, overlap=Overlap.QUEUE_ALL, catchup=Catchup.ALL), []
    while record.next_due_at is not None:
        made = plan(record, at(1))
        assert made.scheduled_for == NOON
        numbers.append(made.run_seq)
        record = after(record, made)
    assert numbers == [1, 2, 3, 4]


def test_a_job_without_a_next_due_instant_is_not_planned() -> None:
    with pytest.raises(ValueError, match="next due"):
        plan(structs.replace(a_record(), next_due_at=None), NOON)


def test_a_resume_leaves_out_everything_through_now() -> None:
    made = leave_out(a_record(), at(60), RunState.SKIPPED, "paused")
    assert (made.scheduled_for, made.next_due_at, made.seq) == (None, at(61), 60)
    assert made.gone == (Gone(60, at(1), at(60), 60, SKIPPED, "paused"),)


@pytest.mark.parametrize("now", [0, 0.5])
def test_a_resume_before_anything_was_due_leaves_nothing_out(now: float) -> None:
    made = leave_out(a_record(), at(now), RunState.SKIPPED, "paused")
    assert (made.gone, made.next_due_at, made.seq) == ((), at(1), 0)


def test_a_resume_after_the_end_leaves_nothing_due() -> None:
    made = leave_out(a_record(ttl="10s"), at(60), RunState.SKIPPED, "paused")
    assert (made.next_due_at, made.seq, made.gone[0].last) == (None, 10, at(10))


def test_what_was_left_out_by_a_pause_costs_no_repeats() -> None:
    record = a_record(repeats=2)
    resumed = after(record, leave_out(record, at(60), RunState.SKIPPED, "paused"))
    assert (resumed.remaining, resumed.next_due_at) == (2, at(61))


@dataclass
class Walk:
    """A job with one slot over a long time: planned, settled and paused at any instants."""

    record: JobRecord
    now: datetime = NOON
    running: bool = False
    paused: bool = False
    seen: list[tuple[int, int, datetime, datetime]] = field(default_factory=list)  # first, last number and instant
    runs: int = 0

    def turn(self, action: str) -> None:
        if action == "settle" and self.running:
            self.running = False
            self.record = structs.replace(self.record, free_at=self.now)
        elif action == "pause":
            self.paused = True
        elif action == "resume" and self.paused:
            self.paused = False
            self._write(leave_out(self.record, self.now, RunState.SKIPPED, "paused"))
        elif action == "claim" and not (self.running or self.paused):
            due = self.record.next_due_at
            if due is not None and due <= self.now:
                self._write(plan(self.record, self.now))

    def _write(self, made: Plan) -> None:
        rows = [(one.seq - one.instants + 1, one.seq, one.first, one.last) for one in made.gone]
        if made.scheduled_for is not None:
            assert made.run_seq is not None
            rows.append((made.run_seq, made.run_seq, made.scheduled_for, made.scheduled_for))
            self.runs += 1
            self.running = True
            self.record = structs.replace(self.record, busy_at=self.now)
        self.seen += sorted(rows)
        before = self.record.next_due_at
        self.record = after(self.record, made)
        assert rows or before is None or before > self.now, "a plan of what is due consumes something"
        if not self.running and self.record.next_due_at is not None:
            assert self.record.next_due_at > self.now, "what is left although the job is free"


TURNS = st.lists(
    st.tuples(
        st.sampled_from([0.0, 0.001, 0.3, 1.0, 4.9, 5.0, 5.1, 13.7, 61.0, 3_600.0]),
        st.sampled_from(["claim", "claim", "claim", "settle", "settle", "pause", "resume", "resume"]),
    ),
    max_size=60,
)


@settings(max_examples=examples(300), deadline=None)
@given(
    schedule=st.sampled_from(["@every 1s", "@every 7s", "@every 100ms", "*/5 * * * * *", "@every 20m", "* * * * *"]),
    overlap=st.sampled_from(Overlap),
    catchup=st.sampled_from(Catchup),
    repeats=st.sampled_from([None, None, 1, 3]),
    ttl=st.sampled_from([None, None, "12s", "2h"]),
    due=st.sampled_from([None, "0s", "17s"]),
    turns=TURNS,
)
def test_every_due_instant_is_a_run_or_in_a_row_once_and_in_order(
    schedule: str,
    overlap: Overlap,
    catchup: Catchup,
    repeats: int | None,
    ttl: str | None,
    due: str | None,
    turns: list[tuple[float, str]],
) -> None:
    walk = Walk(a_record(schedule, overlap=overlap, catchup=catchup, repeats=repeats, ttl=ttl, due=due))
    for seconds, action in turns:
        walk.now += timedelta(seconds=seconds)
        walk.turn(action)

    when, instant, number = walk.record.job.schedule, walk.record.job.schedule.first_due(), 0
    for first, last, first_at, last_at in walk.seen:
        assert first == number + 1, "numbers follow each other"
        assert instant == first_at
        while number < last:
            assert instant is not None
            assert instant <= walk.now
            number, previous = number + 1, instant
            instant = when.next_due(instant, 0)
        assert previous == last_at
    assert walk.record.seq == number
    if repeats is not None and walk.runs >= repeats:
        assert walk.runs == repeats
        assert walk.record.next_due_at is None
    else:
        assert walk.record.next_due_at == instant

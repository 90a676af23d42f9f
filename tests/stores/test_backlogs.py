"""What the rows remember of busy times and pauses, and rows that go on with the fate of the row before."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from support.stores import NOON, a_job, finish, history, key, ms, s, take, take_one, the_job
from wakeful.core.job import Catchup, JobState, Overlap, RetryPolicy
from wakeful.core.ports import Claim, NewRun, Put, StateChange, Store
from wakeful.core.run import Failed, Run, RunState, run_id

pytestmark = pytest.mark.anyio

Row = tuple[RunState, str | None, int, int]


def told(rows: Sequence[Run]) -> list[Row]:
    """State, reason, number of the last instant and how many, the oldest first."""
    return sorted(((row.state, row.reason, row.seq or 0, row.instants) for row in rows), key=lambda row: row[2])


async def ran(store: Store, at: datetime, takes: timedelta) -> Claim:
    """One run, from its claim at an instant to its end."""
    claim = await take_one(store, at)
    await finish(store, claim, at + takes)
    return claim


async def busy_times(store: Store) -> tuple[list[float], list[list[float]]]:
    """Since when and until when the job was busy, and the busy times before that, in seconds after noon."""
    job = await the_job(store)
    assert job.busy_at is not None
    assert job.free_at is not None
    before = [[(at - NOON).total_seconds() for at in busy] for busy in job.busy_before]
    return [(at - NOON).total_seconds() for at in (job.busy_at, job.free_at)], before


# ── busy times ──


async def test_busy_times_without_a_gap_are_one_while_something_is_left_of_them(store: Store) -> None:
    await store.put_job(a_job(schedule="@every 10s", overlap=Overlap.QUEUE_ALL), Put.CREATE, NOON)
    await ran(store, NOON + s(10), s(25))
    assert await busy_times(store) == ([10, 35], [])
    await ran(store, NOON + s(35), s(7))
    assert await busy_times(store) == ([10, 42], [])
    # With the next one, at 40 s, nothing is left of what passed.
    await ran(store, NOON + s(43), s(1))
    assert await busy_times(store) == ([10, 44], [])
    await ran(store, NOON + s(44), s(1))
    assert await busy_times(store) == ([44, 45], [])


async def test_a_busy_time_from_before_an_outage_is_kept_apart_until_nothing_is_left_of_it(store: Store) -> None:
    job = a_job(schedule="@every 10s", overlap=Overlap.QUEUE_ALL, catchup=Catchup.NONE)
    await store.put_job(job, Put.CREATE, NOON)
    await ran(store, NOON + s(10), s(35))
    claims = [await ran(store, NOON + s(100), s(1))]
    assert await busy_times(store) == ([100, 101], [[10, 45]])
    claims += [await ran(store, NOON + s(101), s(11))]
    assert await busy_times(store) == ([100, 112], [[10, 45]])
    claims += [await ran(store, NOON + s(112), s(1))]
    assert [claim.run.seq for claim in claims] == [2, 3, 4]
    # What passed in the outage is late, and what passed since is not.
    claim = await ran(store, NOON + s(113), s(1))
    assert (claim.run.seq, told(await history(store))[4]) == (10, (RunState.MISSED, "late", 9, 5))
    assert (await ran(store, NOON + s(114), s(1))).run.seq == 11


async def test_only_so_many_busy_times_are_kept_apart(store: Store) -> None:
    job = a_job(schedule="@every 1s", overlap=Overlap.QUEUE_ALL, catchup=Catchup.LATEST)
    await store.put_job(job, Put.CREATE, NOON)
    await ran(store, NOON + s(1), s(60))
    for number in range(1, 20):
        assert (await ran(store, NOON + s(60 + 20 * number), s(1))).run.seq == number + 1
    assert len((await the_job(store)).busy_before) == 8


async def test_runs_by_hand_do_not_make_a_busy_job_forget_since_when_it_is(store: Store) -> None:
    await store.put_job(a_job(schedule="@every 10s", overlap=Overlap.SKIP, catchup=Catchup.ALL), Put.CREATE, NOON)
    claim = await take_one(store, NOON + s(10))
    await store.add_runs(key("tick"), [NewRun(run_id(NOON, bytes(10)), NOON)], NOON + s(50))
    await finish(store, claim, NOON + s(55))
    await finish(store, await take_one(store, NOON + s(55)), NOON + s(56))
    assert await busy_times(store) == ([10, 56], [])
    assert await take(store, NOON + s(57)) == []
    assert told(await history(store))[1:] == [(RunState.SUCCEEDED, None, 1, 1), (RunState.SKIPPED, "overlap", 5, 4)]


async def test_a_run_by_hand_between_two_of_a_backlog_leaves_it_as_it_was(store: Store) -> None:
    job = a_job(schedule="@every 10s", overlap=Overlap.QUEUE_ALL, catchup=Catchup.NONE)
    await store.put_job(job, Put.CREATE, NOON)
    await ran(store, NOON + s(10), s(35))
    await store.add_runs(key("tick"), [NewRun(run_id(NOON, bytes(10)), NOON)], NOON + s(46))
    await finish(store, await take_one(store, NOON + s(46)), NOON + s(47))
    assert await busy_times(store) == ([10, 47], [])
    assert (await ran(store, NOON + s(47), s(1))).run.seq == 2


async def test_an_edit_can_make_a_job_busy_and_free_it(store: Store) -> None:
    job = a_job(schedule="@every 10s", overlap=Overlap.QUEUE_ALL, catchup=Catchup.NONE)
    await store.put_job(job, Put.CREATE, NOON)
    first = await take_one(store, NOON + s(10))
    await store.put_job(replace(job, max_running=2), Put.EDIT, NOON + s(45))
    assert await busy_times(store) == ([10, 45], [])
    second = await take_one(store, NOON + s(45))
    assert (second.run.seq, await busy_times(store)) == (2, ([10, 45], []))
    await finish(store, second, NOON + s(46))
    third = await take_one(store, NOON + s(46))
    assert third.run.seq == 3
    await finish(store, third, NOON + s(47))
    await finish(store, await take_one(store, NOON + s(47)), NOON + s(48))
    await store.put_job(job, Put.EDIT, NOON + s(49))
    await finish(store, first, NOON + s(65))
    assert await busy_times(store) == ([49, 65], [])


# ── pauses ──


async def pause(store: Store, at: datetime, note: str | None = None) -> None:
    await store.set_state(StateChange(key("tick"), JobState.PAUSED, note), at)


async def resume(store: Store, at: datetime, *, replay: bool = False) -> None:
    await store.set_state(StateChange(key("tick"), JobState.ACTIVE, replay=replay), at)


async def pause_of(store: Store) -> tuple[datetime | None, datetime | None]:
    job = await the_job(store)
    return job.paused_at, job.resumed_at


async def test_a_pause_is_kept_as_long_as_something_from_before_it_is_to_be_planned(store: Store) -> None:
    await store.put_job(a_job(schedule="@every 10s"), Put.CREATE, NOON)
    await pause(store, NOON + s(21))
    assert await pause_of(store) == (NOON + s(21), None)
    await resume(store, NOON + s(61))
    assert await pause_of(store) == (NOON + s(21), NOON + s(61))

    assert (await ran(store, NOON + s(61), s(1))).run.seq == 2
    assert await take(store, NOON + s(62)) == []
    assert await pause_of(store) == (None, None)
    assert told(await history(store)) == [
        (RunState.MISSED, "late", 1, 1),
        (RunState.SUCCEEDED, None, 2, 1),
        (RunState.SKIPPED, "paused", 6, 4),
    ]
    assert (await the_job(store)).not_run == 5


@pytest.mark.parametrize("replay", [False, True])
async def test_a_pause_with_nothing_overdue_leaves_nothing_behind(store: Store, replay: bool) -> None:
    await store.put_job(a_job(schedule="@every 10s"), Put.CREATE, NOON)
    await pause(store, NOON + s(5))
    await resume(store, NOON + s(35), replay=replay)
    assert await pause_of(store) == (None, None)
    assert (await the_job(store)).next_due_at == NOON + s(10 if replay else 40)


async def test_a_second_pause_before_the_first_is_over_with_goes_on_with_it(store: Store) -> None:
    await store.put_job(a_job(schedule="@every 10s"), Put.CREATE, NOON)
    await pause(store, NOON + s(11))
    await resume(store, NOON + s(21))
    await pause(store, NOON + s(31))
    assert await pause_of(store) == (NOON + s(11), None)
    await resume(store, NOON + s(41))
    assert (await ran(store, NOON + s(41), s(1))).run.seq == 1


async def test_a_job_that_pauses_itself_says_when(store: Store) -> None:
    job = a_job(schedule="@every 10s", overlap=Overlap.QUEUE_ALL, pause_after=1, retry=RetryPolicy(0))
    await store.put_job(job, Put.CREATE, NOON)
    await finish(store, await take_one(store, NOON + s(10)), NOON + s(35), Failed("no"))
    assert await pause_of(store) == (NOON + s(35), None)
    await resume(store, NOON + s(65))
    assert await pause_of(store) == (NOON + s(35), NOON + s(65))
    assert [(await ran(store, NOON + s(65 + n), ms(1))).run.seq for n in (0, 1)] == [2, 3]
    assert await take(store, NOON + s(68)) == []
    assert told(await history(store))[-1] == (RunState.SKIPPED, "paused", 6, 3)


async def test_a_failure_of_a_job_that_is_paused_already_does_not_begin_its_pause_anew(store: Store) -> None:
    await store.put_job(a_job(schedule="@every 10s", pause_after=1, retry=RetryPolicy(0)), Put.CREATE, NOON)
    claim = await take_one(store, NOON + s(10))
    await pause(store, NOON + s(11), "by hand")
    await finish(store, claim, NOON + s(35), Failed("no"))
    assert await pause_of(store) == (NOON + s(11), None)
    assert (await the_job(store)).note == "by hand"


async def test_a_job_that_is_paused_again_is_paused_for_the_newer_reason(store: Store) -> None:
    await store.put_job(a_job(schedule="@every 10s"), Put.CREATE, NOON)
    await pause(store, NOON + s(5), "a")
    again = await store.set_state(StateChange(key("tick"), JobState.PAUSED, "b"), NOON + s(7))
    assert (again.note, again.updated_at) == ("b", NOON + s(7))
    assert again == await the_job(store)
    assert await pause_of(store) == (NOON + s(5), None)
    # One that gives no reason takes none away.
    await pause(store, NOON + s(8))
    assert (await the_job(store)).note == "b"


@pytest.mark.parametrize("catchup", Catchup)
@pytest.mark.parametrize("end", [{"ttl": "25s"}, {"repeats": 1}])
async def test_a_job_that_was_overdue_when_paused_comes_to_its_end(
    store: Store, catchup: Catchup, end: dict[str, object]
) -> None:
    await store.put_job(a_job(schedule="@every 10s", catchup=catchup, **end), Put.CREATE, NOON)
    await pause(store, NOON + s(16))
    await resume(store, NOON + s(60))
    now = NOON + s(60)
    while (job := await store.get_job(key("tick"))) is not None and now < NOON + s(100):
        for claim in await take(store, now):
            await finish(store, claim, now)
        now += s(1)
    assert job is None
    rows = told(await history(store))
    assert sum(row[3] for row in rows) == rows[-1][2]
    assert await store.audit() == []


# ── rows ──


async def test_what_is_left_out_from_turn_to_turn_is_one_row(store: Store) -> None:
    await store.put_job(a_job(schedule="@every 10s", overlap=Overlap.SKIP), Put.CREATE, NOON)
    await pause(store, NOON)
    for number in range(1, 6):
        await resume(store, NOON + s(10 * number + 1))
        await pause(store, NOON + s(10 * number + 2))
    (row,) = await history(store)
    assert (row.state, row.reason, row.seq, row.instants) == (RunState.SKIPPED, "paused", 5, 5)
    assert (row.scheduled_for, row.scheduled_to) == (NOON + s(10), NOON + s(50))
    assert row.ended_at == NOON + s(51)
    assert (await the_job(store)).not_run == 5
    assert await store.audit() == []


async def test_another_fate_or_a_run_or_an_edit_between_begins_another_row(store: Store) -> None:
    job = a_job(schedule="@every 10s", overlap=Overlap.SKIP, catchup=Catchup.NONE)
    await store.put_job(job, Put.CREATE, NOON)
    assert await take(store, NOON + s(18)) == []
    await pause(store, NOON + s(19))
    await resume(store, NOON + s(21))
    await ran(store, NOON + s(30), s(1))
    assert await take(store, NOON + s(48)) == []
    await store.put_job(a_job(schedule="@every 10s", catchup=Catchup.NONE), Put.EDIT, NOON + s(49))
    assert await take(store, NOON + s(58)) == []
    assert await take(store, NOON + s(68)) == []
    assert told(await history(store)) == [
        (RunState.MISSED, "late", 1, 1),
        (RunState.SKIPPED, "paused", 2, 1),
        (RunState.SUCCEEDED, None, 3, 1),
        (RunState.MISSED, "late", 4, 1),
        (RunState.MISSED, "late", 6, 2),
    ]


async def test_rows_of_many_jobs_are_made_longer_at_once(store: Store) -> None:
    for number in range(20):
        job = a_job(f"job-{number}", schedule="@every 10s", catchup=Catchup.NONE)
        await store.put_job(job, Put.CREATE, NOON)
    for second in (18, 28, 49):
        assert await take(store, NOON + s(second), 50) == []
    for number in range(20):
        assert told(await history(store, f"job-{number}")) == [(RunState.MISSED, "late", 4, 4)]


async def test_two_nodes_that_leave_out_the_same_tell_of_it_once(store: Store, other: Store) -> None:
    await store.put_job(a_job(schedule="@every 1s", catchup=Catchup.NONE, ttl="20s"), Put.CREATE, NOON)
    for second in range(6, 30):
        await take(store, NOON + s(second), 5)
        await take(other, NOON + s(second), 5)
        for run in await history(store):
            if run.state is RunState.CLAIMED:
                await finish(store, Claim(run, (await the_job(store)).job), NOON + s(second))
    rows = told(await history(store))
    assert sum(row[3] for row in rows) == rows[-1][2] == 20
    assert await store.audit() == []

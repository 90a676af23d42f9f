"""What every store does, by the cases that went wrong in other schedulers; the numbers are those of the design."""

import asyncio
import os
from datetime import timedelta

import pytest

from support.stores import (
    LIKE_DAPR,
    NOON,
    QUEUE,
    a_job,
    finish,
    history,
    key,
    ms,
    records,
    run_state,
    s,
    take,
    take_one,
    the_job,
    verdict,
)
from wakeful.core.errors import ErrorCode, WakefulError
from wakeful.core.job import Catchup, JobRecord, JobState, Overlap, RetryPolicy
from wakeful.core.ports import JobQuery, NewRun, Put, Room, StateChange, Store
from wakeful.core.run import Cause, Failed, RunState, Succeeded, run_id

pytestmark = pytest.mark.anyio


async def test_1_a_slow_app_gets_all_ten_calls_of_ten_milliseconds(store: Store) -> None:
    await store.put_job(a_job(schedule="@every 1ms", ttl="10ms", **LIKE_DAPR), Put.CREATE, NOON)

    now, fired = NOON, []
    assert await take(store, now) == []
    for _ in range(10):
        now += ms(50)
        claim = await take_one(store, now)
        assert await take(store, now, 5) == [], "one after the other"
        fired.append((claim.run.seq, claim.run.scheduled_for))
        await finish(store, claim, now)

    assert fired == [(number, NOON + ms(number)) for number in range(1, 11)]
    assert await take(store, now + s(3600)) == []
    assert await store.get_job(key("tick")) is None
    (record,) = await records(store)
    assert (record.state, record.seq, record.succeeded, record.not_run) == (JobState.COMPLETED, 10, 10, 0)
    assert record.ended_at == now


async def test_2_an_interval_of_zero_with_five_repeats_is_five_equal_instants(store: Store) -> None:
    await store.put_job(a_job(schedule="@every 0s", repeats=5, **LIKE_DAPR), Put.CREATE, NOON)

    fired = []
    for _ in range(5):
        claim = await take_one(store, NOON)
        fired.append((claim.run.seq, claim.run.scheduled_for))
        await finish(store, claim, NOON)

    assert fired == [(number, NOON) for number in range(1, 6)]
    assert await take(store, NOON + s(60)) == []
    (record,) = await records(store)
    assert (record.state, record.succeeded, record.remaining) == (JobState.COMPLETED, 5, 0)


async def test_3_an_overwrite_leaves_the_run_in_flight_to_the_old_job(store: Store) -> None:
    job = a_job(schedule="@every 1m", overlap=Overlap.ALLOW, max_running=5, retry=RetryPolicy(5, s(600)))
    await store.put_job(job, Put.CREATE, NOON)
    await finish(store, await take_one(store, NOON + s(60)), NOON + s(61))
    second = await take_one(store, NOON + s(120))
    await finish(store, second, NOON + s(121), Failed("no"))
    third = await take_one(store, NOON + s(180))

    overwritten_at = NOON + s(190)
    new = await store.put_job(a_job(schedule="@every 1h", now=overwritten_at), Put.REPLACE, overwritten_at)

    assert (new.seq, new.active, new.revision, new.state) == (0, 0, 1, JobState.ACTIVE)
    assert new.next_due_at == overwritten_at + s(3600)
    assert await run_state(store, second) is RunState.SUPERSEDED
    settled = await finish(store, third, NOON + s(200))
    assert settled.stale == []
    old, current = await records(store)
    assert old.id == third.run.job_id != current.id
    assert (old.state, old.active, old.succeeded) == (JobState.REPLACED, 0, 2)
    assert old.ended_at == overwritten_at
    assert (current.active, current.succeeded, current.state) == (0, 0, JobState.ACTIVE)
    assert await take(store, NOON + s(3000), 10) == [], "the old schedule is over"
    assert (await take_one(store, overwritten_at + s(3600))).run.job_id == current.id


async def test_4_nothing_starts_after_a_delete_was_acknowledged(store: Store, other: Store) -> None:
    started_after, started_before = 0, 0
    for number in range(40):
        name = f"job-{number}"
        await store.put_job(a_job(name, due="0s"), Put.CREATE, NOON)

        async def delete(name: str = name) -> int:
            return await store.end_jobs(JobQuery(name=name), JobState.DELETED, NOON)

        _, claims = await asyncio.gather(delete(), take(other, NOON, 5))
        started_before += len(claims)
        started_after += len(await take(other, NOON, 5))

    assert started_after == 0
    assert started_before <= 40
    assert all(record.ended_at == NOON for record in (await store.list_jobs(JobQuery(ended=True))).items)


async def test_4_a_delete_before_the_instant_leaves_nothing_to_claim(store: Store, other: Store) -> None:
    await store.put_job(a_job(due="10s"), Put.CREATE, NOON)
    assert await other.get_job(key("tick")) is not None

    assert await store.end_jobs(JobQuery(name="tick"), JobState.DELETED, NOON + ms(9_995)) == 1

    assert await take(other, NOON + s(10)) == []
    assert await history(other) == []


async def test_5_a_retry_after_an_edit_carries_the_new_data(store: Store) -> None:
    job = a_job(schedule="@every 1h", data=b'"old"', retry=RetryPolicy(3, s(1)))
    await store.put_job(job, Put.CREATE, NOON)
    at = NOON + s(3600)
    first = await take_one(store, at)
    assert (first.job.data, first.run.revision) == (job.data, 1)

    edited = await store.put_job(a_job(schedule="@every 1h", data=b'"new"', retry=job.retry), Put.EDIT, at)
    await finish(store, first, at + s(1), Failed("no"))
    second = await take_one(store, at + s(2))

    assert edited.revision == 2
    assert second.run.id == first.run.id
    assert second.run.attempt == 2
    assert second.job.data is not None
    assert second.job.data.body == b'"new"'
    assert second.run.revision == 2
    stored = await store.get_run(first.run.id)
    assert stored is not None
    assert stored.revision == 2


async def test_5_an_edit_keeps_the_row_its_number_and_its_next_due(store: Store) -> None:
    before = await store.put_job(a_job(schedule="@every 1h"), Put.CREATE, NOON)
    await finish(store, await take_one(store, NOON + s(3600)), NOON + s(3601))

    after = await store.put_job(a_job(schedule="@every 1h", data=b"{}", now=NOON + s(4000)), Put.EDIT, NOON + s(4000))

    assert (after.id, after.seq, after.revision) == (before.id, 1, 2)
    assert after.next_due_at == NOON + s(7200)
    assert await the_job(store) == after


async def test_6_a_pause_lets_the_started_run_finish_and_a_resume_records_what_passed(store: Store) -> None:
    await store.put_job(a_job(schedule="@every 1h", retry=RetryPolicy(3, s(60))), Put.CREATE, NOON)
    at = NOON + s(3600)
    claim = await take_one(store, at)
    paused = await store.set_state(StateChange(key("tick"), JobState.PAUSED), at)
    assert paused.state is JobState.PAUSED
    await finish(store, claim, at, Failed("no"))
    again = await take_one(store, at + s(60))
    assert (again.run.id, again.run.attempt) == (claim.run.id, 2)
    await finish(store, again, at + s(61))
    assert await take(store, at + s(7200), 5) == []

    resumed_at = NOON + timedelta(days=1, minutes=90)
    resumed = await store.set_state(StateChange(key("tick"), JobState.ACTIVE), resumed_at)

    assert resumed.state is JobState.ACTIVE
    assert resumed.next_due_at == NOON + timedelta(days=1, hours=2)
    assert (resumed.seq, resumed.not_run, resumed.succeeded) == (25, 24, 1)
    skipped = [run for run in await history(store) if run.state is RunState.SKIPPED]
    assert len(skipped) == 1
    assert (skipped[0].reason, skipped[0].instants, skipped[0].seq) == ("paused", 24, 25)
    assert (skipped[0].scheduled_for, skipped[0].scheduled_to) == (NOON + s(7200), NOON + timedelta(days=1, hours=1))
    assert await take(store, resumed_at, 5) == []
    assert (await take_one(store, NOON + timedelta(days=1, hours=2))).run.seq == 26


async def test_6_pausing_twice_changes_nothing(store: Store) -> None:
    await store.put_job(a_job(schedule="@every 1h"), Put.CREATE, NOON)
    await store.set_state(StateChange(key("tick"), JobState.PAUSED), NOON + s(10))
    await store.set_state(StateChange(key("tick"), JobState.PAUSED), NOON + s(20))
    resumed = await store.set_state(StateChange(key("tick"), JobState.ACTIVE), NOON + s(30))
    again = await store.set_state(StateChange(key("tick"), JobState.ACTIVE), NOON + s(40))

    assert resumed.next_due_at == again.next_due_at == NOON + s(3600)
    assert await history(store) == []


async def test_7_a_one_shot_that_succeeded_frees_its_name_at_once(store: Store) -> None:
    await store.put_job(a_job(due="0s"), Put.CREATE, NOON)
    first = await take_one(store, NOON)
    await finish(store, first, NOON + s(1))

    assert await store.get_job(key("tick")) is None
    again = await store.put_job(a_job(due="0s", now=NOON + s(1)), Put.CREATE, NOON + s(1))
    second = await take_one(store, NOON + s(1))
    await finish(store, second, NOON + s(2))

    assert again.id != first.run.job_id
    assert [run.id for run in await history(store)] == [second.run.id, first.run.id]
    assert [record.state for record in await records(store)] == [JobState.COMPLETED] * 2


async def test_8_an_app_that_was_away_for_three_days_gets_every_instant_in_order(store: Store) -> None:
    await store.put_job(a_job(schedule="@every 1s", **LIKE_DAPR), Put.CREATE, NOON)
    await store.put_job(a_job(key("tock", "app/b"), due="72h", queue="app/default/b"), Put.CREATE, NOON)
    now = NOON + timedelta(days=3)

    fired = []
    for turn in range(300):
        claimed = await store.claim_due(1, {QUEUE: Room(1, 1)}, now)
        (claim,) = claimed.claims
        fired.append((claim.run.seq, claim.run.scheduled_for))
        assert (await finish(store, claim, now)).wake_at is not None
        if turn == 100:
            assert len(await take(store, now, 5, queue="app/default/b")) == 1
        now += ms(1)

    assert fired == [(number, NOON + s(number)) for number in range(1, 301)]
    record = await the_job(store)
    assert (record.not_run, record.next_due_at) == (0, NOON + s(301))


async def test_9_latest_makes_one_run_of_three_days_and_one_row_of_the_rest(store: Store) -> None:
    await store.put_job(a_job(schedule="@every 1s", catchup=Catchup.LATEST), Put.CREATE, NOON)
    now = NOON + timedelta(days=3)

    claim = await take_one(store, now)

    assert (claim.run.seq, claim.run.scheduled_for) == (259_200, now)
    (missed,) = [run for run in await history(store) if run.id != claim.run.id]
    assert (missed.state, missed.instants, missed.seq) == (RunState.MISSED, 259_199, 259_199)
    assert (missed.scheduled_for, missed.scheduled_to) == (NOON + s(1), now - s(1))
    assert missed.reason
    record = await the_job(store)
    assert (record.seq, record.not_run, record.active, record.next_due_at) == (259_200, 259_199, 1, now + s(1))


@pytest.mark.slow
async def test_14_twenty_thousand_jobs_of_one_app_do_not_delay_another(store: Store) -> None:
    many, slots = 20_000, 256
    for start in range(0, many, 5_000):
        jobs = [a_job(f"a-{number}", due="10s") for number in range(start, start + 5_000)]
        await asyncio.gather(*(store.put_job(job, Put.CREATE, NOON) for job in jobs))
    for number in range(10):
        await store.put_job(a_job(key(f"b-{number}", "app/b"), due="10s", queue="app/default/b"), Put.CREATE, NOON)

    now = NOON + s(10)
    rooms = {QUEUE: Room(slots, slots), "app/default/b": Room(10, 10)}
    first = (await store.claim_due(1, rooms, now)).claims
    assert sum(claim.run.queue == "app/default/b" for claim in first) == 10
    assert sum(claim.run.queue == QUEUE for claim in first) == slots

    seen, claims = set(), first
    while claims:
        seen |= {claim.run.job_id for claim in claims}
        await store.settle([verdict(claim, Succeeded(), now) for claim in claims], now)
        now += ms(20)
        claims = (await store.claim_due(1, rooms, now)).claims
    assert len(seen) == many + 10
    assert (await store.list_jobs(JobQuery(limit=1))).items == []


async def test_16_runs_asked_for_by_hand_go_one_after_the_other_then_the_schedule_goes_on(store: Store) -> None:
    await store.put_job(a_job(schedule="@every 1h"), Put.CREATE, NOON)
    now = NOON + s(3600)
    busy = await take_one(store, now)
    asked = [NewRun(run_id(now, os.urandom(10)), now + ms(number)) for number in range(100)]

    assert list(await store.add_runs(key("tick"), asked, now)) == [new.id for new in asked]

    rows = {run.id: run for run in await history(store)}
    assert {rows[new.id].state for new in asked} == {RunState.BLOCKED}
    assert {rows[new.id].cause for new in asked} == {Cause.MANUAL}
    assert {rows[new.id].seq for new in asked} == {None}
    done, claim = [], busy
    for _ in asked:
        assert await take(store, now, 5) == []
        now += s(60)
        await finish(store, claim, now)
        claim = await take_one(store, now)
        assert await take(store, now, 5) == [], "one slot"
        done.append(claim.run.id)
    assert done == [new.id for new in asked]
    await finish(store, claim, now)
    scheduled = await take_one(store, now)
    assert (scheduled.run.cause, scheduled.run.scheduled_for) == (Cause.SCHEDULE, now - s(2400))


async def test_16_runs_asked_for_in_one_millisecond_keep_the_order_they_were_asked_in(store: Store) -> None:
    await store.put_job(a_job(schedule="@every 1h"), Put.CREATE, NOON)
    # The ids of one millisecond are in no order of their own.
    asked = [NewRun(run_id(NOON, bytes([0, 0xFF - number] * 5)), NOON - s(10 - number)) for number in range(6)]
    await store.add_runs(key("tick"), asked, NOON)

    done = []
    for _ in asked:
        claim = await take_one(store, NOON)
        done.append(claim.run.scheduled_for)
        await finish(store, claim, NOON)

    assert done == [new.scheduled_for for new in asked]


async def test_16_a_job_that_allows_overlap_runs_them_at_once(store: Store) -> None:
    await store.put_job(a_job(schedule="@every 1h", overlap=Overlap.ALLOW, max_running=200), Put.CREATE, NOON)
    now = NOON + s(3600)
    busy = await take_one(store, now)
    asked = [NewRun(run_id(now, os.urandom(10)), now) for _ in range(100)]

    await store.add_runs(key("tick"), asked, now)
    claims = await take(store, now, 100)

    assert {claim.run.id for claim in claims} == {new.id for new in asked}
    assert await run_state(store, busy) is RunState.CLAIMED
    assert (await the_job(store)).active == 101


async def test_16_an_idle_sequential_job_has_room_for_the_first_only(store: Store) -> None:
    await store.put_job(a_job(schedule="@every 1h"), Put.CREATE, NOON)
    asked = [NewRun(run_id(NOON, bytes([0, number] * 5)), NOON) for number in range(3)]
    await store.add_runs(key("tick"), asked, NOON)

    claim = await take_one(store, NOON)
    assert claim.run.id == asked[0].id
    states = [run.state for run in reversed(await history(store))]
    assert states == [RunState.CLAIMED, RunState.BLOCKED, RunState.BLOCKED]
    assert (await the_job(store)).active == 1


async def test_16_runs_of_an_unknown_job_are_refused(store: Store) -> None:
    with pytest.raises(WakefulError) as caught:
        await store.add_runs(key("nobody"), [NewRun(run_id(NOON, os.urandom(10)), NOON)], NOON)
    assert caught.value.code is ErrorCode.JOB_NOT_FOUND


async def test_18_two_creates_of_one_name_at_once_are_one_job_and_one_refusal(store: Store) -> None:
    for number in range(20):
        job = a_job(f"job-{number}", due="1h")
        puts = (store.put_job(job, Put.CREATE, NOON) for _ in range(3))
        results = await asyncio.gather(*puts, return_exceptions=True)

        assert [isinstance(result, JobRecord) for result in results].count(True) == 1
        refused = [result for result in results if isinstance(result, WakefulError)]
        assert [error.code for error in refused] == [ErrorCode.JOB_EXISTS] * 2
    assert len((await store.list_jobs(JobQuery(ended=True))).items) == 20


async def test_18_two_creates_over_two_connections_are_one_job_and_one_refusal(store: Store, other: Store) -> None:
    for number in range(20):
        job = a_job(f"job-{number}", due="1h")
        puts = (side.put_job(job, Put.CREATE, NOON) for side in (store, other))
        results = await asyncio.gather(*puts, return_exceptions=True)
        assert [isinstance(result, JobRecord) for result in results].count(True) == 1

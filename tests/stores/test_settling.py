"""Settlements: fences, retries, counts, and what becomes of the runs of jobs that end."""

import asyncio
from dataclasses import replace

import pytest
from msgspec import structs

from support.stores import (
    NOON,
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
from wakeful.core.job import CountedFrom, JobState, Overlap, RetryPolicy
from wakeful.core.ports import JobQuery, NewRun, Put, Store
from wakeful.core.run import Accepted, Failed, Rejected, RunState, Succeeded, Unavailable, run_id

pytestmark = pytest.mark.anyio


async def test_a_settlement_ends_the_run_and_counts_on_its_job(store: Store) -> None:
    await store.put_job(a_job(schedule="@every 1h"), Put.CREATE, NOON)
    at = NOON + s(3600)
    for outcome, state in ((Succeeded(), RunState.SUCCEEDED), (Rejected("gone"), RunState.FAILED)):
        claim = await take_one(store, at)
        assert (await finish(store, claim, at + s(2), outcome)).stale == []
        run = await store.get_run(claim.run.id)
        assert run is not None
        assert (run.state, run.started_at, run.ended_at, run.claimed_by) == (state, at, at + s(2), None)
        last = (await the_job(store)).last_run
        assert last is not None
        assert (last.scheduled_for, last.state, last.attempts, last.ended_at) == (at, state, 1, at + s(2))
        at += s(3600)
    record = await the_job(store)
    assert (record.succeeded, record.failed, record.not_run, record.seq, record.active) == (1, 1, 0, 2, 0)


async def test_a_stale_settlement_is_reported_and_changes_nothing(store: Store) -> None:
    await store.put_job(a_job(schedule="@every 1h", retry=RetryPolicy(5, s(1))), Put.CREATE, NOON)
    at = NOON + s(3600)
    old = await take_one(store, at)
    await finish(store, old, at, Unavailable("refused"))
    new = await take_one(store, at)
    assert new.run.id == old.run.id
    assert new.run.fence > old.run.fence
    before = (await the_job(store), await store.get_run(old.run.id))

    for outcome in (Succeeded(), Failed("no"), Rejected("no"), Accepted(s(60)), Unavailable("no")):
        settled = await finish(store, old, at + s(1), outcome)
        assert list(settled.stale) == [old.run.id]

    assert (await the_job(store), await store.get_run(old.run.id)) == before
    assert (await finish(store, new, at + s(2))).stale == []


async def test_settling_twice_counts_once(store: Store) -> None:
    await store.put_job(a_job(schedule="@every 1h"), Put.CREATE, NOON)
    claim = await take_one(store, NOON + s(3600))
    await finish(store, claim, NOON + s(3601))
    before = await the_job(store)

    assert list((await finish(store, claim, NOON + s(3602))).stale) == [claim.run.id]
    assert list((await finish(store, claim, NOON + s(3603), Rejected("no"))).stale) == [claim.run.id]
    assert await the_job(store) == before


async def test_two_owners_settling_at_once_are_told_apart(store: Store) -> None:
    """Both settlements may lie in one commit; the late owner still learns that its own came to nothing."""
    for number in range(20):
        name = f"job-{number}"
        await store.put_job(a_job(name, due="0s"), Put.CREATE, NOON)
        old = await take_one(store, NOON)
        await finish(store, old, NOON, Unavailable("refused"))
        new = await take_one(store, NOON)

        late, valid = await asyncio.gather(
            finish(store, old, NOON + s(1), Rejected("late")), finish(store, new, NOON + s(1), Succeeded())
        )

        assert list(valid.stale) == []
        assert await run_state(store, new) is RunState.SUCCEEDED
        assert list(late.stale) == [old.run.id]


async def test_a_settlement_of_an_unknown_run_is_stale(store: Store) -> None:
    await store.put_job(a_job(due="0s"), Put.CREATE, NOON)
    claim = await take_one(store, NOON)
    nobody = structs.replace(verdict(claim, Succeeded(), NOON), run_id=run_id(NOON, bytes(10)))
    settled = await store.settle([nobody, verdict(claim, Succeeded(), NOON)], NOON)
    assert list(settled.stale) == [nobody.run_id]


async def test_unavailable_gives_the_attempt_back(store: Store) -> None:
    await store.put_job(a_job(due="0s", retry=RetryPolicy(0, s(1))), Put.CREATE, NOON)
    for turn in range(20):
        claim = await take_one(store, NOON + s(turn))
        assert (claim.run.attempt, claim.run.fence) == (1, turn + 1)
        await finish(store, claim, NOON + s(turn), Unavailable("refused"))
        run = await store.get_run(claim.run.id)
        assert run is not None
        assert (run.state, run.attempt) == (RunState.WAITING, 0)
    assert len(await history(store)) == 1
    assert (await the_job(store)).active == 1


async def test_retries_keep_their_run_and_collect_their_errors(store: Store) -> None:
    await store.put_job(a_job(due="0s", retry=RetryPolicy(2, s(10))), Put.CREATE, NOON)
    first = await take_one(store, NOON)
    await finish(store, first, NOON + s(1), Failed("one"))
    assert await take(store, NOON + ms(10_999)) == []
    second = await take_one(store, NOON + s(11))
    assert (second.run.id, second.run.attempt, second.run.run_at) == (first.run.id, 2, NOON + s(11))
    assert second.run.scheduled_for == first.run.scheduled_for
    assert second.run.fence > first.run.fence
    await finish(store, second, NOON + s(12), Failed("two"))
    third = await take_one(store, NOON + s(22))
    await finish(store, third, NOON + s(23), Failed("three"))

    (run,) = await history(store)
    assert (run.state, run.reason, run.attempt) == (RunState.FAILED, "attempts_exhausted", 3)
    assert [error["error"] for error in run.errors] == ["one", "two", "three"]
    assert [error["attempt"] for error in run.errors] == [1, 2, 3]
    (record,) = await records(store)
    assert (record.failed, record.succeeded, record.state) == (1, 0, JobState.COMPLETED)


async def test_what_may_run_only_once_is_not_tried_again_after_a_failure(store: Store) -> None:
    """Nobody knows what a failed delivery did: its claim was final, whatever the retry policy says."""
    await store.put_job(a_job(due="0s", at_most_once=True, retry=RetryPolicy(3, s(1))), Put.CREATE, NOON)
    await finish(store, await take_one(store, NOON), NOON, Failed("reset after sending"))
    assert await take(store, NOON + s(60), 5) == []
    (run,) = await history(store)
    assert run.state is RunState.FAILED


async def test_retries_counted_from_the_due_time_do_not_wait_for_a_slow_failure(store: Store) -> None:
    await store.put_job(a_job(due="0s", retry=RetryPolicy(3, s(1), CountedFrom.DUE)), Put.CREATE, NOON)
    settled = await finish(store, await take_one(store, NOON), NOON + s(30), Failed("slow"))
    assert settled.wake_at == NOON + s(1)
    assert (await take_one(store, NOON + s(30))).run.attempt == 2


async def test_the_errors_of_a_run_are_bounded_and_keep_the_newest(store: Store) -> None:
    await store.put_job(a_job(due="0s", retry=RetryPolicy(None, ms(1))), Put.CREATE, NOON)
    for turn in range(60):
        claim = await take_one(store, NOON + s(turn))
        await finish(store, claim, NOON + s(turn), Failed(f"{turn} " + "x" * 10_000))
    (run,) = await history(store)
    assert run.attempt == 60
    assert 1 < len(run.errors) <= 20
    assert [error["attempt"] for error in run.errors] == sorted(error["attempt"] for error in run.errors)
    assert run.errors[-1]["error"].startswith("59 ")
    assert all(len(error["error"]) <= 600 for error in run.errors)


async def test_several_runs_of_one_job_may_end_in_one_batch(store: Store) -> None:
    job = a_job(schedule="@every 1s", overlap=Overlap.ALLOW, max_running=4, repeats=5)
    await store.put_job(job, Put.CREATE, NOON)
    claims = [await take_one(store, NOON + s(number)) for number in range(1, 5)]
    assert await take(store, NOON + s(5)) == []
    now = NOON + s(5)
    outcomes = (Succeeded(), Rejected("no"), Succeeded())
    await store.settle([verdict(*pair, now) for pair in zip(claims, outcomes, strict=False)], now)

    record = await the_job(store)
    assert (record.active, record.succeeded, record.failed) == (1, 2, 1)
    last = await take_one(store, now)
    assert last.run.seq == 5
    await store.settle([verdict(claim, Succeeded(), now) for claim in (claims[3], last)], now)
    (record,) = await records(store)
    assert (record.state, record.active, record.succeeded, record.failed) == (JobState.COMPLETED, 0, 4, 1)


async def test_many_settle_calls_at_once_free_one_job_right(store: Store) -> None:
    job = a_job(schedule="@every 1s", overlap=Overlap.ALLOW, max_running=20)
    await store.put_job(job, Put.CREATE, NOON)
    claims = [await take_one(store, NOON + s(number)) for number in range(1, 21)]
    await asyncio.gather(*(finish(store, claim, NOON + s(20)) for claim in claims))
    record = await the_job(store)
    assert (record.active, record.succeeded) == (0, 20)


async def test_the_job_completes_with_its_last_run_not_before(store: Store) -> None:
    await store.put_job(a_job(schedule="@every 1s", overlap=Overlap.ALLOW, max_running=5, repeats=2), Put.CREATE, NOON)
    first, second = await take_one(store, NOON + s(1)), await take_one(store, NOON + s(2))
    await finish(store, second, NOON + s(3))
    assert (await the_job(store)).state is JobState.ACTIVE
    await finish(store, first, NOON + s(4), Rejected("no"))
    assert await store.get_job(key("tick")) is None


async def test_an_accepted_run_stays_open_and_is_tried_again_after_its_lease(store: Store) -> None:
    await store.put_job(a_job(due="0s", retry=RetryPolicy(3, s(1))), Put.CREATE, NOON)
    claim = await take_one(store, NOON)
    assert (await finish(store, claim, NOON, Accepted(s(60)))).stale == []
    assert await run_state(store, claim) is RunState.OPEN
    assert await take(store, NOON + s(30)) == []
    assert (await the_job(store)).active == 1


async def test_an_accepted_run_can_be_settled_by_its_answer(store: Store) -> None:
    await store.put_job(a_job(due="0s"), Put.CREATE, NOON)
    claim = await take_one(store, NOON)
    await finish(store, claim, NOON, Accepted(s(60)))
    run = await store.get_run(claim.run.id)
    assert run is not None
    assert (await finish(store, structs.replace(claim, run=run), NOON + s(30))).stale == []
    assert await run_state(store, claim) is RunState.SUCCEEDED
    assert await store.get_job(key("tick")) is None


async def test_a_delete_cancels_what_waits_and_lets_a_late_success_count(store: Store) -> None:
    job = a_job(schedule="@every 1s", overlap=Overlap.ALLOW, max_running=4, retry=RetryPolicy(5, s(60)))
    await store.put_job(job, Put.CREATE, NOON)
    claims = [await take_one(store, NOON + s(number)) for number in range(1, 5)]
    await finish(store, claims[0], NOON + s(4), Failed("no"))
    await store.add_runs(key("tick"), [NewRun(run_id(NOON + s(4), bytes(10)), NOON)], NOON + s(4))

    assert await store.end_jobs(JobQuery(name="tick"), JobState.DELETED, NOON + s(5)) == 1

    states = {run.id: run.state for run in await history(store)}
    assert states[claims[0].run.id] is RunState.CANCELLED
    assert states[run_id(NOON + s(4), bytes(10))] is RunState.CANCELLED
    assert (await finish(store, claims[1], NOON + s(6))).stale == []
    assert (await finish(store, claims[2], NOON + s(6), Failed("no"))).stale == []
    assert (await finish(store, claims[3], NOON + s(6), Unavailable("no"))).stale == []
    assert await run_state(store, claims[1]) is RunState.SUCCEEDED
    assert await run_state(store, claims[2]) is RunState.CANCELLED, "the retry ends with the job"
    assert await run_state(store, claims[3]) is RunState.CANCELLED
    (record,) = await records(store)
    assert (record.state, record.active, record.succeeded) == (JobState.DELETED, 0, 1)
    assert all(run.ended_at for run in await history(store))
    assert await take(store, NOON + s(1000), 10) == []


async def test_a_retry_of_a_replaced_job_is_superseded(store: Store) -> None:
    await store.put_job(a_job(due="0s", retry=RetryPolicy(5, s(60))), Put.CREATE, NOON)
    claim = await take_one(store, NOON)
    await store.put_job(a_job(due="1h", now=NOON + s(1)), Put.REPLACE, NOON + s(1))
    await finish(store, claim, NOON + s(2), Failed("no"))
    run = await store.get_run(claim.run.id)
    assert run is not None
    assert (run.state, run.ended_at, run.run_at) == (RunState.SUPERSEDED, NOON + s(2), None)
    old, new = await records(store)
    assert (old.active, new.active) == (0, 0)


async def test_lowering_max_running_lets_no_more_blocked_runs_through_than_fit(store: Store) -> None:
    wide = a_job(schedule="@every 24h", overlap=Overlap.ALLOW, max_running=3)
    await store.put_job(wide, Put.CREATE, NOON)
    asked = [NewRun(run_id(NOON + ms(number), bytes(10)), NOON) for number in range(6)]
    await store.add_runs(key("tick"), asked, NOON)
    claims = await take(store, NOON, 10)
    assert len(claims) == 3

    await store.put_job(replace(wide, max_running=1), Put.EDIT, NOON)
    for claim in claims[:2]:
        await finish(store, claim, NOON + s(1))

    assert await take(store, NOON + s(1), 10) == [], "one run is still in flight"
    await finish(store, claims[2], NOON + s(2))
    assert len(await take(store, NOON + s(2), 10)) == 1


async def test_raising_max_running_lets_the_job_run_more_at_once(store: Store) -> None:
    narrow = a_job(schedule="@every 1s", overlap=Overlap.QUEUE_ALL)
    await store.put_job(narrow, Put.CREATE, NOON)
    await take_one(store, NOON + s(1))
    assert await take(store, NOON + s(2), 5) == []
    await store.put_job(replace(narrow, max_running=2), Put.EDIT, NOON + s(2))
    assert (await take_one(store, NOON + s(2))).run.seq == 2
    assert await take(store, NOON + s(3), 5) == []

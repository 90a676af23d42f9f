"""What was answered stays; one bad call fails alone; connections hear of each other; history is bounded."""

import asyncio
import os
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta

import pytest

from support.stores import (
    NOON,
    QUEUE,
    Opener,
    a_job,
    a_node,
    finish,
    history,
    key,
    ms,
    records,
    s,
    take,
    take_one,
    the_job,
    verdict,
)
from wakeful.core.errors import ErrorCode, WakefulError
from wakeful.core.job import JobRecord, JobState, Overlap, RetryPolicy
from wakeful.core.ports import JobQuery, NewRun, Put, Retention, Room, RunQuery, StateChange, Store
from wakeful.core.run import Accepted, Failed, Rejected, RunState, Skipped, Succeeded, run_id

pytestmark = pytest.mark.anyio


async def everything(store: Store) -> tuple[object, object]:
    return (await store.list_jobs(JobQuery(ended=True))).items, (await store.list_runs(RunQuery(limit=1000))).items


async def test_a_store_that_is_opened_again_shows_the_same(opener: Opener) -> None:
    store = await opener.open()
    await store.heartbeat(a_node(1, 100), NOON)
    every = a_job("every", "@every 1s", data=os.urandom(5000), retry=RetryPolicy(3, s(1)))
    await store.put_job(every, Put.CREATE, NOON)
    await store.put_job(a_job("over", due="0s", data=b"1"), Put.CREATE, NOON)
    await store.put_job(a_job("again", due="1h"), Put.CREATE, NOON)
    await store.put_job(a_job("again", due="2h"), Put.REPLACE, NOON)
    await store.put_job(a_job("paused", "@every 1s"), Put.CREATE, NOON)
    await store.set_state(StateChange(key("paused"), JobState.PAUSED), NOON)
    await finish(store, await take_one(store, NOON), NOON)
    claim = await take_one(store, NOON + s(30))
    await finish(store, claim, NOON + s(30), Failed("no"))
    before = await everything(store)
    await opener.close(store)

    store = await opener.open()
    assert await everything(store) == before
    again = await take_one(store, NOON + s(31))
    assert (again.run.id, again.run.attempt) == (claim.run.id, 2)
    assert [peer.id for peer in (await store.heartbeat(a_node(2, 101), NOON)).peers] == [1]


async def test_what_was_answered_is_there_for_whoever_opens_while_the_store_is_in_use(opener: Opener) -> None:
    store = await opener.open()
    for number in range(10):
        record = await store.put_job(a_job(f"job-{number}", due="1h"), Put.CREATE, NOON)
        second = await opener.open()
        assert await second.get_job(key(f"job-{number}")) == record
        await opener.close(second)


async def test_closing_waits_for_what_was_asked(opener: Opener) -> None:
    store = await opener.open()
    puts = [asyncio.ensure_future(store.put_job(a_job(f"job-{n}", due="1h"), Put.CREATE, NOON)) for n in range(500)]
    await asyncio.sleep(0)
    await opener.close(store)
    assert len(await asyncio.gather(*puts)) == 500
    store = await opener.open()
    assert len((await store.list_jobs(JobQuery())).items) == 500


async def test_one_call_that_fails_does_not_fail_those_beside_it(store: Store) -> None:
    await store.put_job(a_job("taken", due="1h"), Put.CREATE, NOON)
    await store.put_job(a_job("busy", "@every 1s"), Put.CREATE, NOON)
    used = NewRun(run_id(NOON, bytes(10)), NOON)
    await store.add_runs(key("busy"), [used], NOON)

    results = await asyncio.gather(
        store.put_job(a_job("first", due="1h"), Put.CREATE, NOON),
        store.put_job(a_job("taken", due="1h"), Put.CREATE, NOON),
        store.put_job(a_job("nobody", due="1h"), Put.EDIT, NOON),
        store.add_runs(key("busy"), [used], NOON),
        store.put_job(replace(a_job("huge", due="1h"), max_running=1 << 70), Put.CREATE, NOON),
        store.put_job(a_job("last", due="1h"), Put.CREATE, NOON),
        return_exceptions=True,
    )

    assert [isinstance(result, Exception) for result in results] == [False, True, True, True, True, False]
    assert [error.code for error in results[1:3] if isinstance(error, WakefulError)] == [
        ErrorCode.JOB_EXISTS,
        ErrorCode.JOB_NOT_FOUND,
    ]
    names = [record.job.key.name for record in (await store.list_jobs(JobQuery())).items]
    assert names == ["busy", "first", "last", "taken"]
    assert len(await history(store, "busy")) == 1
    assert (await the_job(store, "busy")).active == 1
    assert isinstance(await store.put_job(a_job("after", due="1h"), Put.CREATE, NOON), JobRecord)


async def test_a_call_whose_caller_gave_up_does_not_disturb_the_others(store: Store) -> None:
    puts = [asyncio.ensure_future(store.put_job(a_job(f"job-{n}", due="1h"), Put.CREATE, NOON)) for n in range(20)]
    await asyncio.sleep(0)
    for put in puts[::2]:
        put.cancel()
    results = await asyncio.gather(*puts, return_exceptions=True)
    assert all(isinstance(result, JobRecord) for result in results[1::2])
    assert isinstance(await store.put_job(a_job("after", due="1h"), Put.CREATE, NOON), JobRecord)


async def test_another_connections_commit_is_heard_of(store: Store, other: Store) -> None:
    changes: AsyncIterator[None] = store.changes()
    hint = asyncio.ensure_future(anext(changes))
    await asyncio.sleep(0.1)
    assert not hint.done()
    await other.put_job(a_job(due="1h"), Put.CREATE, NOON)
    await asyncio.wait_for(hint, 20)
    again = asyncio.ensure_future(anext(changes))
    await asyncio.sleep(0.1)
    assert not again.done(), "one commit, one hint"
    await other.end_jobs(JobQuery(), JobState.DELETED, NOON)
    await asyncio.wait_for(again, 20)


async def one_shots(store: Store, many: int) -> None:
    for start in range(0, many, 500):
        jobs = [a_job(f"shot-{number}", due="0s", data=bytes(2000)) for number in range(start, start + 500)]
        await asyncio.gather(*(store.put_job(job, Put.CREATE, NOON) for job in jobs))
        claims = await take(store, NOON, 500)
        await store.settle([verdict(claim, Succeeded(), NOON) for claim in claims], NOON)


async def prune_all(store: Store, keep: Retention, now: timedelta) -> int:
    removed, turns = 0, 0
    while True:
        some = await store.prune(keep, NOON + now)
        assert 0 <= some <= 1000, "a bounded number at each call"
        removed, turns = removed + some, turns + 1
        if some == 0:
            return removed
        assert turns < 1000


async def test_old_history_goes_with_its_ended_jobs(store: Store) -> None:
    await one_shots(store, 1500)
    await store.put_job(a_job("young", due="0s"), Put.CREATE, NOON)
    await finish(store, await take_one(store, NOON), NOON + timedelta(days=2))
    keep = Retention(age=timedelta(days=30))

    assert await prune_all(store, keep, timedelta(days=30)) == 0
    assert await prune_all(store, keep, timedelta(days=31)) >= 1500

    assert [record.job.key.name for record in (await store.list_jobs(JobQuery(ended=True))).items] == ["young"]
    assert len((await store.list_runs(RunQuery(limit=10_000))).items) == 1


async def test_history_is_bounded_in_all_and_the_newest_stays(store: Store) -> None:
    for number in range(30):
        await store.put_job(a_job(f"shot-{number:02}", due="0s"), Put.CREATE, NOON)
        await finish(store, await take_one(store, NOON + s(number)), NOON + s(number))
    assert await prune_all(store, Retention(runs=10), s(60)) >= 20
    left = (await store.list_jobs(JobQuery(ended=True))).items
    assert [record.job.key.name for record in left] == [f"shot-{number}" for number in range(20, 30)]


async def test_the_history_of_each_job_is_bounded_and_the_newest_stays(store: Store) -> None:
    for name in ("one", "two", "three"):
        await store.put_job(a_job(name, "@every 1s"), Put.CREATE, NOON)
    for number in range(1, 41):
        for claim in await take(store, NOON + s(number), 3):
            await finish(store, claim, NOON + s(number), Rejected("no") if number % 2 else None)
    await prune_all(store, Retention(runs_per_job=15), s(60))
    for name in ("one", "two", "three"):
        assert [run.seq for run in await history(store, name)] == list(range(40, 25, -1))
        assert (await the_job(store, name)).seq == 40


async def test_what_did_not_run_takes_no_room_from_what_did(store: Store) -> None:
    await store.put_job(a_job("poll", "@every 1s"), Put.CREATE, NOON)
    for number in range(1, 61):
        (claim,) = await take(store, NOON + s(number), 1)
        await finish(store, claim, NOON + s(number), None if number % 10 == 0 else Skipped("there is nothing"))
    await prune_all(store, Retention(runs_per_job=5), s(90))
    rows = await history(store, "poll")
    assert [run.seq for run in rows if run.state is RunState.SUCCEEDED] == [60, 50, 40, 30, 20]
    assert [run.seq for run in rows if run.state is RunState.SKIPPED] == [59, 58, 57, 56, 55]
    assert len(rows) == 10
    assert await store.audit() == []


async def test_cancelled_runs_count_as_history_of_their_job(store: Store) -> None:
    """However a run ended, its row takes room."""
    for round_ in range(10):
        await store.put_job(a_job(due="24h"), Put.REPLACE, NOON)
        asked = [NewRun(run_id(NOON + ms(round_ * 100 + n), bytes(10)), NOON) for n in range(20)]
        await store.add_runs(key("tick"), asked, NOON)
    await store.put_job(a_job(due="24h"), Put.REPLACE, NOON)
    await prune_all(store, Retention(runs_per_job=5), s(60))
    per_job = [run.job_id for run in await history(store)]
    assert max(per_job.count(job_id) for job_id in set(per_job)) <= 5


async def test_what_has_not_ended_is_never_pruned(store: Store) -> None:
    job = a_job(schedule="@every 1s", overlap=Overlap.ALLOW, max_running=4, retry=RetryPolicy(9, timedelta(days=900)))
    await store.put_job(job, Put.CREATE, NOON)
    claims = [await take_one(store, NOON + s(number)) for number in range(1, 5)]
    await finish(store, claims[0], NOON + s(5), Failed("no"))
    await finish(store, claims[1], NOON + s(5), Accepted(timedelta(days=900)))
    await store.add_runs(key("tick"), [NewRun(run_id(NOON, os.urandom(10)), NOON)], NOON + s(5))
    before = await everything(store)
    await prune_all(store, Retention(0, timedelta(), 0), timedelta(days=365))
    assert await everything(store) == before


async def test_an_ended_job_with_a_run_in_flight_stays_until_the_run_has_ended(store: Store) -> None:
    await store.put_job(a_job(due="0s", data=bytes(5000)), Put.CREATE, NOON)
    claim = await take_one(store, NOON)
    await store.end_jobs(JobQuery(), JobState.DELETED, NOON)
    await prune_all(store, Retention(0, timedelta(), 0), timedelta(days=365))
    assert (await finish(store, claim, NOON + timedelta(days=365))).stale == []
    (run,) = await history(store)
    assert run.state is RunState.SUCCEEDED
    await prune_all(store, Retention(0, timedelta(), 0), timedelta(days=366))
    assert await everything(store) == ([], [])


async def test_an_ended_job_that_never_ran_goes_by_age(store: Store) -> None:
    await store.put_job(a_job(due="1h"), Put.CREATE, NOON)
    await store.end_jobs(JobQuery(), JobState.DELETED, NOON)
    await store.prune(Retention(), NOON + timedelta(days=29))
    assert len(await records(store)) == 1
    await store.prune(Retention(), NOON + timedelta(days=31))
    assert await records(store) == []


async def test_pruning_a_long_history_changes_no_job(store: Store) -> None:
    await store.put_job(a_job(schedule="@every 1s"), Put.CREATE, NOON)
    for number in range(1, 11):
        await finish(store, await take_one(store, NOON + s(number)), NOON + s(number))
    before = await the_job(store)
    await prune_all(store, Retention(0, timedelta(), 0), timedelta(days=1))
    assert await history(store) == []
    assert await the_job(store) == before
    claimed = await store.claim_due(1, {QUEUE: Room(1, 1)}, NOON + s(11))
    assert [claim.run.seq for claim in claimed.claims] == [11]

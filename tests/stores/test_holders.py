"""Runs that no node performs: handed on, claimed for a holder, reported with a result, expired; how they are found."""

import asyncio
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from support.stores import NOON, QUEUE, a_job, a_node, finish, history, key, s, take_one, the_job
from wakeful.core.errors import ErrorCode, WakefulError
from wakeful.core.job import JobState, RetryPolicy, TargetSpec
from wakeful.core.ports import Claim, Hold, JobQuery, NewRun, Put, RunQuery, StateChange, Store
from wakeful.core.run import Accepted, Failed, HandedOn, RunState, Succeeded, run_id

pytestmark = pytest.mark.anyio

AGENTS = "agent/default/report"
LEASE = s(30)


def a_run(number: int, **more: Any) -> NewRun:
    return NewRun(run_id(NOON, number.to_bytes(10, "big")), NOON, **more)


async def waiting(store: Store, *priorities: int, queue: str = AGENTS, **fields: Any) -> list[UUID]:
    """Runs that wait for agents, of one job each; their ids."""
    runs = []
    for number, priority in enumerate(priorities):
        run = a_run(number + 100 * len(queue))
        await store.put_run(
            a_job(f"{queue[-1]}{number}", queue=queue, priority=priority, **fields), run, NOON + s(number)
        )
        runs.append(run.id)
    return runs


async def hold(store: Store, holder: str = "a", free: int = 10, at: float = 60, **more: Any) -> list[Claim]:
    """What a holder gets of the agents' queue."""
    claimed = await store.claim_for(Hold(holder, LEASE, **more), {AGENTS: free}, NOON + s(at))
    return list(claimed.claims)


async def test_a_run_that_is_handed_on_waits_in_the_other_queue_without_an_attempt(store: Store) -> None:
    await store.put_job(a_job("tick", retry=RetryPolicy(0)), Put.CREATE, NOON)
    await finish(store, await take_one(store, NOON), NOON, HandedOn(AGENTS))
    (row,) = await history(store)
    assert (row.state, row.queue, row.attempt, row.started_at) == (RunState.WAITING, AGENTS, 0, None)
    assert (await store.claim_due(1, {}, NOON + s(1))).claims == ()
    (claim,) = await hold(store)
    assert (claim.run.id, claim.run.attempt, claim.run.holder, claim.run.claimed_by) == (row.id, 1, "a", None)
    assert claim.run.fence > row.fence
    await finish(store, claim, NOON + s(61))
    assert (await store.list_jobs(JobQuery(ended=True))).items[0].state is JobState.COMPLETED


async def test_a_job_can_be_stored_with_its_only_run(store: Store) -> None:
    run = a_run(1)
    record = await store.put_run(a_job("once", queue=AGENTS, data=b"x" * 5_000, priority=3), run, NOON)
    assert (record.state, record.next_due_at, record.active) == (JobState.ACTIVE, None, 1)
    stored = await the_job(store, "once")
    assert (stored.id, stored.active, stored.next_due_at, stored.state) == (record.id, 1, None, JobState.ACTIVE)
    (row,) = await history(store, "once")
    assert (row.id, row.state, row.queue, row.priority, row.seq) == (run.id, RunState.WAITING, AGENTS, 3, None)
    with pytest.raises(WakefulError) as taken:
        await store.put_run(a_job("once", queue=AGENTS), a_run(2), NOON)
    assert taken.value.code is ErrorCode.JOB_EXISTS
    (claim,) = await hold(store)
    assert claim.job.data is not None
    assert len(claim.job.data.body) == 5_000
    await finish(store, claim, NOON + s(61))
    assert (await store.list_jobs(JobQuery(name="once", ended=True))).items[0].succeeded == 1
    assert await store.audit() == []


async def test_of_many_that_are_stored_at_once_only_taken_names_are_refused(store: Store) -> None:
    await store.put_run(a_job("job-1", queue=AGENTS), a_run(0), NOON)
    puts = [store.put_run(a_job(f"job-{number % 4}", queue=AGENTS), a_run(number + 1), NOON) for number in range(8)]
    results = await asyncio.gather(*puts, return_exceptions=True)
    assert sum(isinstance(result, WakefulError) for result in results) == 5
    assert len(await hold(store)) == 4
    assert await store.audit() == []


async def test_a_holder_takes_by_priority_then_by_age_of_all_its_queues(store: Store) -> None:
    left = await waiting(store, 1, 5, 9)
    right = await waiting(store, 5, 9, queue="agent/default/other")
    rooms = {AGENTS: 10, "agent/default/other": 10}
    claimed = await store.claim_for(Hold("a", LEASE, limit=4), rooms, NOON + s(60))
    assert [claim.run.id for claim in claimed.claims] == [right[1], left[2], right[0], left[1]]
    claimed = await store.claim_for(Hold("a", LEASE, limit=4), rooms, NOON + s(60))
    assert [claim.run.id for claim in claimed.claims] == [left[0]]


async def test_a_queue_gives_no_more_than_its_own_room(store: Store) -> None:
    await waiting(store, 1, 2, 3)
    await waiting(store, 1, 2, 3, queue="agent/default/other")
    claimed = await store.claim_for(Hold("a", LEASE, limit=5), {AGENTS: 1, "agent/default/other": 10}, NOON + s(60))
    assert [claim.run.queue for claim in claimed.claims].count(AGENTS) == 1
    assert len(claimed.claims) == 4


async def test_holders_that_claim_at_once_never_get_the_same_run_and_none_goes_without(
    store: Store, other: Store
) -> None:
    await waiting(store, *[1] * 40)
    turns = await asyncio.gather(*(hold(side, f"h{n}", 10) for n, side in enumerate((store, other, store, other))))
    ids = [claim.run.id for turn in turns for claim in turn]
    assert len(ids) == len(set(ids)) == 40
    assert [len(turn) for turn in turns] == [10] * 4


async def test_who_gets_nothing_is_told_when_there_will_be_something(store: Store) -> None:
    assert (await store.claim_for(Hold("a", LEASE), {AGENTS: 1}, NOON)).wake_at is None
    await waiting(store, 1, retry=RetryPolicy(1, s(100)))
    (claim,) = await hold(store)
    await finish(store, claim, NOON + s(60), Failed("no"))
    nothing = await store.claim_for(Hold("a", LEASE), {AGENTS: 1}, NOON + s(61))
    assert (nothing.claims, nothing.wake_at) == ((), NOON + s(160))


async def test_a_lease_is_the_holders_or_the_jobs_timeout(store: Store) -> None:
    await waiting(store, 2, timeout=timedelta(seconds=500))
    await waiting(store, 1, queue="agent/default/other")
    rooms = {AGENTS: 1, "agent/default/other": 1}
    claimed = await store.claim_for(Hold("a", LEASE, by_timeout=True), rooms, NOON + s(60))
    assert [claim.run.lease_until for claim in claimed.claims] == [NOON + s(560), NOON + s(90)]


async def test_a_lease_that_ends_costs_the_attempt_and_one_that_is_prolonged_does_not(store: Store) -> None:
    lost, kept = await waiting(store, 1, 1, retry=RetryPolicy(1, s(1)))
    claims = {claim.run.id: claim for claim in await hold(store)}
    await finish(store, claims[kept], NOON + s(80), Accepted(s(100)))
    await store.heartbeat(a_node(1, 100), NOON + s(91))
    found = {run.id: run for run in (await store.list_runs(RunQuery())).items}
    assert (found[lost].state, found[lost].holder, found[lost].attempt) == (RunState.WAITING, None, 1)
    assert (found[kept].state, found[kept].holder, found[kept].lease_until) == (RunState.OPEN, "a", NOON + s(180))
    stale = await finish(store, claims[lost], NOON + s(92))
    assert list(stale.stale) == [lost]
    assert (await finish(store, claims[kept], NOON + s(93))).stale == []


@pytest.mark.parametrize("result", [b'{"pages": 3}', b'"x"', None, b"1" * 100_000])
async def test_a_result_is_kept_word_for_word(store: Store, result: bytes | None) -> None:
    await waiting(store, 1)
    (claim,) = await hold(store)
    await finish(store, claim, NOON + s(61), Succeeded(result))
    run = await store.get_run(claim.run.id)
    assert run is not None
    assert (run.state, run.result, run.holder) == (RunState.SUCCEEDED, result, "a")


async def test_what_waits_beyond_its_expiry_is_cancelled(store: Store) -> None:
    await store.put_run(a_job("direct", queue=AGENTS), a_run(1, expires_at=NOON + s(60)), NOON)
    await store.put_job(a_job("handed"), Put.CREATE, NOON)
    await finish(store, await take_one(store, NOON), NOON, HandedOn(AGENTS, NOON + s(60)))
    await store.put_run(a_job("taken", queue=AGENTS, priority=9), a_run(2, expires_at=NOON + s(60)), NOON)
    (claim,) = await hold(store, at=50, limit=1)
    await store.heartbeat(a_node(1, 100), NOON + s(60))
    assert {run.state for run in (await store.list_runs(RunQuery())).items} == {RunState.WAITING, RunState.CLAIMED}
    await store.heartbeat(a_node(1, 101), NOON + s(61))
    for name in ("direct", "handed"):
        (row,) = await history(store, name)
        assert (row.state, row.reason, row.expires_at) == (RunState.CANCELLED, "expired", NOON + s(60))
    assert (await finish(store, claim, NOON + s(62))).stale == []
    assert await store.audit() == []


async def test_a_run_that_waits_gets_another_priority(store: Store) -> None:
    first, second = await waiting(store, 5, 5)
    assert await store.prioritise(second, 9)
    (claim,) = await hold(store, free=1)
    assert (claim.run.id, claim.run.priority) == (second, 9)
    await finish(store, claim, NOON + s(61))
    assert not await store.prioritise(second, 1)
    assert not await store.prioritise(UUID(int=1), 1)
    assert [claim.run.id for claim in await hold(store)] == [first]


async def test_runs_are_found_by_what_they_and_their_jobs_are(store: Store) -> None:
    task = TargetSpec("task", "x", {"type": "a", "odd name": "1"})
    ids = await waiting(store, 3, 2, 1, target=task)
    alien = a_job(key("z", owner="app/b", namespace="other"), queue=AGENTS)
    await store.put_run(alien, a_run(999), NOON)
    (claim,) = await hold(store, free=1)
    await store.put_job(a_job("plain"), Put.CREATE, NOON)
    in_desk = await take_one(store, NOON)

    async def found(**query: Any) -> set[UUID]:
        page = await store.list_runs(RunQuery(**query, count=True))
        assert page.total == len(page.items)
        return {run.id for run in page.items}

    assert await found(kind="task") == set(ids)
    assert await found(options=(("type", "a"), ("odd name", "1"))) == set(ids)
    assert await found(options=(("type", "b"),)) == set()
    assert await found(namespace="other") == {a_run(999).id}
    assert await found(owner="app/a", namespace="default") == {*ids, in_desk.run.id}
    assert await found(holder="a") == await found(held=True) == {claim.run.id} == {ids[0]}
    assert await found(states=(RunState.CLAIMED,), held=False) == {in_desk.run.id}
    assert await found(states=(RunState.WAITING,), kind="task", held=False) == set(ids[1:])
    page = await store.list_runs(RunQuery(kind="task", limit=1, offset=1, count=True))
    assert (len(page.items), page.total) == (1, 3)


async def test_jobs_are_found_by_kind_state_and_whether_they_fail(store: Store) -> None:
    task = TargetSpec("task", "x", {})
    for name in ("active", "paused", "failing"):
        await store.put_job(
            a_job(name, "@every 1h", target=task, pause_after=1, retry=RetryPolicy(0)), Put.CREATE, NOON
        )
    await store.put_job(a_job("other", "@every 1h"), Put.CREATE, NOON)
    await store.set_state(StateChange(key("paused"), JobState.PAUSED, "by hand"), NOON)
    await store.add_runs(key("failing"), [a_run(1)], NOON)
    await finish(store, await take_one(store, NOON, queue=QUEUE), NOON, Failed("no"))

    async def names(**query: Any) -> list[str]:
        page = await store.list_jobs(JobQuery(kind="task", **query, count=True))
        assert page.total == len(page.items)
        return [record.job.key.name for record in page.items]

    assert await names() == ["active", "failing", "paused"]
    assert await names(states=(JobState.PAUSED,)) == ["failing", "paused"]
    assert await names(states=(JobState.PAUSED,), failing=True) == ["failing"]
    assert await names(states=(JobState.PAUSED,), failing=False) == ["paused"]
    ids = tuple(record.id for record in (await store.list_jobs(JobQuery(kind="task"))).items)
    assert await names(job_ids=ids[1:]) == ["failing", "paused"]
    assert await names(job_ids=()) == []
    page = await store.list_jobs(JobQuery(kind="task", offset=2, limit=5, count=True))
    assert ([record.job.key.name for record in page.items], page.total) == (["paused"], 3)


async def test_a_change_is_noted_with_its_time(store: Store) -> None:
    await store.put_job(a_job("tick", "@every 1h"), Put.CREATE, NOON)
    assert (await the_job(store)).updated_at == NOON
    edited = await store.put_job(a_job("tick", "@every 2h"), Put.EDIT, NOON + s(1))
    assert edited.updated_at == (await the_job(store)).updated_at == NOON + s(1)
    await store.set_state(StateChange(key("tick"), JobState.PAUSED), NOON + s(2))
    assert (await the_job(store)).updated_at == NOON + s(2)


async def test_what_is_complete_can_still_be_deleted(store: Store) -> None:
    await waiting(store, 1)
    (claim,) = await hold(store)
    await finish(store, claim, NOON + s(61))
    query = JobQuery(job_id=claim.run.job_id, ended=True)
    assert await store.end_jobs(JobQuery(job_id=claim.run.job_id), JobState.DELETED, NOON + s(62)) == 0
    assert await store.end_jobs(query, JobState.DELETED, NOON + s(62)) == 1
    assert (await store.list_jobs(query)).items[0].state is JobState.DELETED
    assert await store.end_jobs(query, JobState.DELETED, NOON + s(63)) == 0

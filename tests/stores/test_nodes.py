"""Nodes: leases by boot time, what comes back from the dead, and leaving in good order."""

from dataclasses import replace
from datetime import timedelta

import pytest

from support.stores import NOON, QUEUE, a_job, a_node, finish, history, key, ms, records, s, take, take_one, the_job
from wakeful.core.job import JobState, Overlap, RetryPolicy
from wakeful.core.ports import JobQuery, NewRun, Put, Store
from wakeful.core.run import Accepted, Rejected, RunState, Succeeded, Unavailable, run_id

pytestmark = pytest.mark.anyio


async def test_a_node_lives_as_long_as_it_renews_its_lease(store: Store) -> None:
    for beat in range(10):
        heartbeat = await store.heartbeat(a_node(1, 100 + 5 * beat), NOON + s(5 * beat))
        assert (heartbeat.alive, heartbeat.reclaimed) == (True, 0)
        assert list(heartbeat.peers) == []


async def test_living_nodes_see_each_other(store: Store, other: Store) -> None:
    await store.heartbeat(a_node(1, 100, label="left"), NOON)
    heartbeat = await other.heartbeat(a_node(2, 101, label="right"), NOON)
    assert [(peer.id, peer.label, tuple(peer.queues)) for peer in heartbeat.peers] == [(1, "left", (QUEUE,))]
    heartbeat = await store.heartbeat(a_node(1, 102), NOON)
    assert [peer.id for peer in heartbeat.peers] == [2]
    heartbeat = await other.heartbeat(a_node(2, 109), NOON)
    assert list(heartbeat.peers) == []


async def test_a_dead_nodes_runs_come_back_with_a_new_fence_and_their_attempt(store: Store, other: Store) -> None:
    await store.put_job(a_job(schedule="@every 1h", retry=RetryPolicy(0, s(1))), Put.CREATE, NOON)
    at = NOON + s(3600)
    await store.heartbeat(a_node(1, 100), at)
    claim = await take_one(store, at, node=1)

    assert (await other.heartbeat(a_node(2, 105), at + s(5))).reclaimed == 0
    assert await take(other, at + s(5), 5, node=2) == []
    heartbeat = await other.heartbeat(a_node(2, 107), at + s(7))
    assert (heartbeat.alive, heartbeat.reclaimed) == (True, 1)

    back = await store.get_run(claim.run.id)
    assert back is not None
    assert (back.state, back.attempt, back.claimed_by) == (RunState.WAITING, 0, None)
    assert back.fence > claim.run.fence
    again = await take_one(other, at + s(7), node=2)
    assert (again.run.id, again.run.attempt, again.run.claimed_by) == (claim.run.id, 1, 2)
    assert list((await finish(store, claim, at + s(8))).stale) == [claim.run.id]
    assert (await finish(other, again, at + s(9))).stale == []
    record = await the_job(store)
    assert (record.succeeded, record.active, record.seq) == (1, 0, 1)


async def test_a_node_found_dead_stays_dead(store: Store, other: Store) -> None:
    await store.heartbeat(a_node(1, 100), NOON)
    await other.heartbeat(a_node(2, 107), NOON + s(7))
    for beat in (108, 109, 110, 200):
        assert not (await store.heartbeat(a_node(1, beat), NOON + s(beat - 100))).alive
    assert (await store.heartbeat(a_node(3, 201), NOON + s(101))).alive


async def test_a_node_learns_of_its_own_late_beat(store: Store) -> None:
    await store.heartbeat(a_node(1, 100), NOON)
    assert not (await store.heartbeat(a_node(1, 107), NOON + s(7))).alive
    assert not (await store.heartbeat(a_node(1, 108), NOON + s(8))).alive


async def test_a_node_that_lived_for_days_stays_dead_too(store: Store, other: Store) -> None:
    hour = 3_600
    for beat in range(48):
        node = replace(a_node(1, beat * hour), lease=s(2 * hour))
        assert (await store.heartbeat(node, NOON + s(beat * hour))).alive
    end = 50 * hour
    await other.heartbeat(a_node(2, end), NOON + s(end))
    assert not (await store.heartbeat(a_node(1, end + 1), NOON + s(end + 1))).alive


async def test_a_lease_is_counted_in_boot_time_not_by_the_wall_clock(store: Store, other: Store) -> None:
    await store.put_job(a_job(due="0s"), Put.CREATE, NOON)
    await store.heartbeat(a_node(1, 100), NOON)
    await take_one(store, NOON, node=1)

    assert (await other.heartbeat(a_node(2, 101), NOON + timedelta(hours=5))).reclaimed == 0
    assert (await store.heartbeat(a_node(1, 102), NOON - timedelta(hours=5))).alive
    assert (await other.heartbeat(a_node(2, 103), NOON)).reclaimed == 0


async def test_a_node_of_another_boot_is_dead(store: Store) -> None:
    await store.put_job(a_job(due="0s"), Put.CREATE, NOON)
    await store.heartbeat(a_node(1, 5_000), NOON)
    claim = await take_one(store, NOON, node=1)

    heartbeat = await store.heartbeat(a_node(2, 10, boot_id="boot-2"), NOON + s(20))

    assert (heartbeat.alive, heartbeat.reclaimed, list(heartbeat.peers)) == (True, 1, [])
    assert (await take_one(store, NOON + s(20), node=2)).run.id == claim.run.id


async def test_what_may_run_only_once_fails_with_its_node(store: Store) -> None:
    await store.put_job(a_job(due="0s", at_most_once=True), Put.CREATE, NOON)
    await store.heartbeat(a_node(1, 100), NOON)
    claim = await take_one(store, NOON, node=1)
    await store.heartbeat(a_node(2, 107), NOON + s(7))

    run = await store.get_run(claim.run.id)
    assert run is not None
    assert (run.state, run.reason, run.ended_at) == (RunState.FAILED, "lost_with_node", NOON + s(7))
    assert await take(store, NOON + s(60), 5, node=2) == []
    (record,) = await records(store)
    assert (record.state, record.failed, record.active) == (JobState.COMPLETED, 1, 0)
    assert list((await finish(store, claim, NOON + s(8), Succeeded())).stale) == [claim.run.id]


async def test_what_may_run_only_once_does_not_run_again_when_its_node_leaves(store: Store) -> None:
    await store.put_job(a_job(due="0s", at_most_once=True), Put.CREATE, NOON)
    await store.heartbeat(a_node(1, 100), NOON)
    await take_one(store, NOON, node=1)
    await store.leave(1, NOON)
    assert await take(store, NOON + s(60), 5, node=2) == []
    (run,) = await history(store)
    assert run.state is RunState.FAILED


async def test_a_lost_run_that_may_run_only_once_frees_its_job(store: Store) -> None:
    await store.put_job(a_job(schedule="@every 10s", at_most_once=True), Put.CREATE, NOON)
    await store.heartbeat(a_node(1, 100), NOON)
    await take_one(store, NOON + s(10), node=1)
    await store.heartbeat(a_node(2, 117), NOON + s(17))
    assert (await take_one(store, NOON + s(20), node=2)).run.seq == 2


async def test_leaving_gives_back_what_the_node_holds(store: Store, other: Store) -> None:
    await store.put_job(a_job("one", due="0s"), Put.CREATE, NOON)
    await store.put_job(a_job("two", due="0s"), Put.CREATE, NOON)
    await store.heartbeat(a_node(1, 100), NOON)
    await other.heartbeat(a_node(2, 100), NOON)
    mine = await take_one(store, NOON, node=1)
    theirs = await take_one(other, NOON, node=2)

    await store.leave(1, NOON)

    again = await take_one(other, NOON + s(1), node=2)
    assert (again.run.id, again.run.attempt) == (mine.run.id, 1)
    assert again.run.fence > mine.run.fence
    assert list((await finish(store, mine, NOON + s(1))).stale) == [mine.run.id]
    assert (await finish(other, theirs, NOON + s(1))).stale == []
    heartbeat = await other.heartbeat(a_node(2, 102), NOON + s(2))
    assert (list(heartbeat.peers), heartbeat.reclaimed) == ([], 0)


async def test_a_run_that_came_back_may_be_given_back_again_and_again(store: Store) -> None:
    await store.put_job(a_job(due="0s", retry=RetryPolicy(0, s(1))), Put.CREATE, NOON)
    fences = []
    for number in range(1, 6):
        boot = 100.0 * number
        await store.heartbeat(a_node(number, boot), NOON + s(boot))
        claim = await take_one(store, NOON + s(boot), node=number)
        fences.append(claim.run.fence)
        assert claim.run.attempt == 1
        await store.heartbeat(a_node(100 + number, boot + 7), NOON + s(boot + 7))
    assert fences == sorted(set(fences))


async def test_no_run_of_a_deleted_job_comes_back_from_a_dead_node(store: Store) -> None:
    await store.put_job(a_job(due="0s"), Put.CREATE, NOON)
    await store.heartbeat(a_node(1, 100), NOON)
    claim = await take_one(store, NOON, node=1)
    await store.end_jobs(JobQuery(name="tick"), JobState.DELETED, NOON + s(1))
    await store.heartbeat(a_node(2, 107), NOON + s(7))

    assert await take(store, NOON + s(7), 5, node=2) == [], "nothing starts after a delete"
    run = await store.get_run(claim.run.id)
    assert run is not None
    assert run.state is RunState.CANCELLED
    assert (await records(store))[0].active == 0


async def test_no_run_of_a_replaced_job_comes_back_from_a_node_that_left(store: Store) -> None:
    await store.put_job(a_job(due="0s"), Put.CREATE, NOON)
    claim = await take_one(store, NOON, node=1)
    await store.put_job(a_job(due="1h", now=NOON + s(1)), Put.REPLACE, NOON + s(1))
    await store.leave(1, NOON)

    assert await take(store, NOON + s(3), 5, node=2) == []
    run = await store.get_run(claim.run.id)
    assert run is not None
    assert run.state is RunState.SUPERSEDED
    assert [record.active for record in await records(store)] == [0, 0]


async def test_an_open_run_whose_answer_does_not_come_is_tried_again(store: Store) -> None:
    await store.put_job(a_job(due="0s", retry=RetryPolicy(3, s(1))), Put.CREATE, NOON)
    await store.heartbeat(a_node(1, 100), NOON)
    claim = await take_one(store, NOON, node=1)
    await finish(store, claim, NOON, Accepted(s(60)))
    await store.heartbeat(a_node(1, 159), NOON + s(59))
    assert await take(store, NOON + s(59), 5) == []
    await store.heartbeat(a_node(1, 161), NOON + s(61))
    again = await take_one(store, NOON + s(62))
    assert again.run.id == claim.run.id
    assert again.run.attempt == 2
    assert again.run.fence > claim.run.fence


async def test_answers_that_never_come_use_the_attempts_up(store: Store) -> None:
    await store.put_job(a_job(due="0s", retry=RetryPolicy(1, s(1))), Put.CREATE, NOON)
    for attempt in (1, 2):
        at = NOON + s(100 * attempt)
        claim = await take_one(store, at)
        assert claim.run.attempt == attempt
        await finish(store, claim, at, Accepted(s(60)))
        await store.heartbeat(a_node(attempt, 100 * attempt + 61), at + s(61))
    assert await take(store, NOON + s(1000), 5) == []
    (run,) = await history(store)
    assert run.state is RunState.FAILED
    assert (await records(store))[0].state is JobState.COMPLETED


async def test_an_open_run_outlives_the_node_that_started_it(store: Store) -> None:
    await store.put_job(a_job(due="0s"), Put.CREATE, NOON)
    await store.heartbeat(a_node(1, 100), NOON)
    claim = await take_one(store, NOON, node=1)
    await finish(store, claim, NOON, Accepted(s(600)))
    assert (await store.heartbeat(a_node(2, 150), NOON + s(50))).reclaimed == 0
    await store.leave(1, NOON)
    (run,) = await history(store)
    assert run.state is RunState.OPEN


async def test_an_open_run_of_a_deleted_job_is_not_tried_again(store: Store) -> None:
    await store.put_job(a_job(due="0s", retry=RetryPolicy(3, s(1))), Put.CREATE, NOON)
    claim = await take_one(store, NOON)
    await finish(store, claim, NOON, Accepted(s(60)))
    await store.end_jobs(JobQuery(name="tick"), JobState.DELETED, NOON + s(1))
    await store.heartbeat(a_node(1, 200), NOON + s(100))
    assert await take(store, NOON + s(100), 5) == []
    (run,) = await history(store)
    assert run.state.ended


async def test_an_open_run_that_may_run_only_once_is_not_tried_again(store: Store) -> None:
    await store.put_job(a_job(due="0s", at_most_once=True), Put.CREATE, NOON)
    await finish(store, await take_one(store, NOON), NOON, Accepted(s(60)))
    await store.heartbeat(a_node(1, 200), NOON + s(100))
    assert await take(store, NOON + s(100), 5) == []
    (run,) = await history(store)
    assert run.state is RunState.FAILED
    assert (await records(store))[0].state is JobState.COMPLETED


async def test_a_reclaim_frees_nothing_and_loses_nothing_of_a_job_with_many_runs(store: Store) -> None:
    job = a_job(schedule="@every 1s", overlap=Overlap.ALLOW, max_running=4)
    await store.put_job(job, Put.CREATE, NOON)
    await store.add_runs(key("tick"), [NewRun(run_id(NOON + ms(n), bytes(10)), NOON) for n in range(6)], NOON)
    await store.heartbeat(a_node(1, 100), NOON)
    claims = await take(store, NOON, 10, node=1)
    assert len(claims) == 4
    await finish(store, claims[0], NOON, Rejected("no"))
    await finish(store, claims[1], NOON, Unavailable("no"))
    heartbeat = await store.heartbeat(a_node(2, 110), NOON + s(10))
    assert heartbeat.reclaimed == 2
    record = await the_job(store)
    assert (record.active, record.failed) == (4, 1)
    assert len(await take(store, NOON + s(10), 10, node=2)) == 4

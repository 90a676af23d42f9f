"""Claims: each due instant once, never more than there is room for, and nobody starves."""

import asyncio
from datetime import datetime, timedelta

import pytest

from support.stores import LIKE_DAPR, NOON, QUEUE, a_job, finish, history, key, ms, s, take, take_one, the_job
from wakeful.core.job import Catchup, JobState, Overlap, RetryPolicy
from wakeful.core.ports import JobQuery, Put, Room, StateChange, Store
from wakeful.core.run import Cause, Failed, RunState

pytestmark = pytest.mark.anyio


async def test_two_connections_claiming_at_once_make_one_run_of_each_instant(store: Store, other: Store) -> None:
    for number in range(30):
        await store.put_job(a_job(f"job-{number}", "@every 1s", **LIKE_DAPR), Put.CREATE, NOON)

    claims = []
    now = NOON
    for _ in range(5):
        now += s(1)
        sides = [take(side, now, 30, node=node) for node, side in enumerate((store, other, store, other), 1)]
        turn = [claim for one in await asyncio.gather(*sides) for claim in one]
        claims += turn
        await asyncio.gather(*(finish(side, claim, now) for side, claim in zip((store, other) * 15, turn, strict=True)))

    instants = [(claim.run.job_id, claim.run.seq) for claim in claims]
    assert len(instants) == len(set(instants)) == 150
    for number in range(30):
        rows = await history(store, f"job-{number}")
        assert sorted(row.seq or 0 for row in rows) == [1, 2, 3, 4, 5]
        assert (await the_job(store, f"job-{number}")).succeeded == 5


async def test_two_connections_claim_a_retry_once(store: Store, other: Store) -> None:
    for number in range(20):
        await store.put_job(a_job(f"job-{number}", due="0s", retry=RetryPolicy(3, s(1))), Put.CREATE, NOON)
    for claim in await take(store, NOON, 20):
        await finish(store, claim, NOON, Failed("no"))

    first, second = await asyncio.gather(take(store, NOON + s(1), 20, node=1), take(other, NOON + s(1), 20, node=2))

    ids = [claim.run.id for claim in (*first, *second)]
    assert len(ids) == len(set(ids)) == 20
    assert {claim.run.claimed_by for claim in first} <= {1}
    assert {claim.run.claimed_by for claim in second} <= {2}


async def test_a_plan_made_before_an_edit_is_not_written(store: Store, other: Store) -> None:
    """Whichever comes first, a run carries the data of the revision that it notes."""
    for number in range(40):
        name = f"job-{number}"
        await store.put_job(a_job(name, due="0s", data=b"1"), Put.CREATE, NOON)
        edit = store.put_job(a_job(name, due="0s", data=b"2"), Put.EDIT, NOON)
        claims, _ = await asyncio.gather(take(other, NOON), edit)
        claims = claims or await take(other, NOON)
        (claim,) = claims
        assert claim.job.data is not None
        assert claim.job.data.body == str(claim.run.revision).encode()


async def test_a_claim_is_durable_before_it_is_answered(store: Store, other: Store) -> None:
    await store.put_job(a_job(schedule="@every 1s"), Put.CREATE, NOON)
    claim = await take_one(store, NOON + s(1), node=7)

    run = await other.get_run(claim.run.id)
    assert run == claim.run
    assert (run.state, run.attempt, run.fence, run.claimed_by) == (RunState.CLAIMED, 1, 1, 7)
    assert (run.cause, run.run_at, run.started_at) == (Cause.SCHEDULE, NOON + s(1), NOON + s(1))
    assert (await the_job(other)).next_due_at == NOON + s(2)


async def test_a_claim_never_exceeds_the_room_of_each_queue(store: Store) -> None:
    for queue in ("q/1", "q/2", "q/3"):
        for number in range(10):
            retry = RetryPolicy(3, ms(1))
            job = a_job(key(f"{queue[-1]}-{number}"), due="0s", queue=queue, retry=retry)
            await store.put_job(job, Put.CREATE, NOON)
    for claim in await take(store, NOON, 4, queue="q/1"):
        await finish(store, claim, NOON, Failed("no"))

    rooms = {"q/1": Room(6, 6), "q/2": Room(3, 3)}
    claimed = await store.claim_due(1, rooms, NOON + ms(1))

    per_queue = [claim.run.queue for claim in claimed.claims]
    assert (per_queue.count("q/1"), per_queue.count("q/2"), per_queue.count("q/3")) == (6, 3, 0)


async def test_a_job_never_has_more_runs_than_max_running(store: Store) -> None:
    job = a_job(schedule="@every 1s", overlap=Overlap.ALLOW, max_running=3, catchup=Catchup.ALL)
    await store.put_job(job, Put.CREATE, NOON)
    claims = []
    for number in range(1, 10):
        claims += await take(store, NOON + s(number), 10)
    assert [claim.run.seq for claim in claims] == [1, 2, 3]

    await finish(store, claims[0], NOON + s(10))
    await finish(store, claims[1], NOON + s(10))
    more = [
        *await take(store, NOON + s(10), 10),
        *await take(store, NOON + s(10), 10),
        *await take(store, NOON + s(10), 10),
    ]
    assert len(more) == 2
    assert (await the_job(store)).active == 3


async def test_one_app_is_not_delayed_by_the_slots_of_another(store: Store) -> None:
    await store.put_job(a_job("mine", due="0s"), Put.CREATE, NOON)
    await store.put_job(a_job(key("theirs", "app/b"), due="0s", queue="app/default/b"), Put.CREATE, NOON)
    (claim,) = await take(store, NOON, 10, queue="app/default/b")
    assert claim.job.key.name == "theirs"


async def test_a_job_whose_queue_nobody_asks_for_stays_and_is_claimed_when_somebody_does(store: Store) -> None:
    await store.put_job(a_job(due="1s"), Put.CREATE, NOON)
    claimed = await store.claim_due(1, {"app/default/b": Room(9, 9)}, NOON + s(5))
    assert (list(claimed.claims), claimed.wake_at) == ([], None)
    assert (await take_one(store, NOON + timedelta(days=30))).run.scheduled_for == NOON + s(1)


async def test_no_more_late_runs_start_than_the_late_room_allows(store: Store) -> None:
    for number in range(10):
        await store.put_job(a_job(f"job-{number}", due="0s"), Put.CREATE, NOON)
    assert await take(store, NOON + s(60), 10, late=0) == []
    assert len(await take(store, NOON + s(60), 10, late=3)) == 3
    assert len(await take(store, NOON + s(60), 10, late=100)) == 7


async def test_five_seconds_after_its_instant_a_job_is_still_on_time(store: Store) -> None:
    await store.put_job(a_job("one", due="0s"), Put.CREATE, NOON)
    assert len(await take(store, NOON + ms(4_999), 1, late=0)) == 1


async def test_what_is_on_time_goes_before_what_is_late(store: Store) -> None:
    for number in range(50):
        await store.put_job(a_job(f"late-{number}", due="0s"), Put.CREATE, NOON)
    for number in range(16):
        await store.put_job(a_job(f"now-{number}", due="60s"), Put.CREATE, NOON)

    claims = await take(store, NOON + s(60), 16)

    on_time = [claim for claim in claims if claim.job.key.name.startswith("now")]
    assert len(claims) == 16
    assert len(on_time) >= 12


async def test_on_time_work_takes_the_room_that_late_work_may_not_have(store: Store) -> None:
    await store.put_job(a_job("late", due="0s"), Put.CREATE, NOON)
    await store.put_job(a_job("now", due="60s"), Put.CREATE, NOON)
    (claim,) = await take(store, NOON + s(60), 2, late=0)
    assert claim.job.key.name == "now"


async def test_late_work_does_not_starve_while_on_time_work_takes_every_slot(store: Store) -> None:
    for number in range(4):
        await store.put_job(a_job(f"late-{number}", due="0s"), Put.CREATE, NOON)
    started = []
    for turn in range(1, 21):
        now = NOON + s(60 + turn)
        for number in range(2):
            await store.put_job(a_job(f"now-{turn}-{number}", due="0s", now=now), Put.CREATE, now)
        claims = await take(store, now, 2, late=1)
        assert 1 <= len(claims) <= 2
        started += [claim.job.key.name for claim in claims]
        for claim in claims:
            await finish(store, claim, now)
    assert {f"late-{number}" for number in range(4)} <= set(started)


async def test_late_retries_count_as_late(store: Store) -> None:
    for number in range(5):
        await store.put_job(a_job(f"job-{number}", due="0s", retry=RetryPolicy(3, s(1))), Put.CREATE, NOON)
    for claim in await take(store, NOON, 5):
        await finish(store, claim, NOON, Failed("no"))
    assert len(await take(store, NOON + s(60), 5, late=2)) == 2


async def test_the_oldest_of_a_queue_goes_first(store: Store) -> None:
    for number in (3, 1, 4, 2, 0):
        await store.put_job(a_job(f"job-{number}", due=f"{number * 100}ms"), Put.CREATE, NOON)
    first = await take(store, NOON + s(1), 2)
    rest = await take(store, NOON + s(1), 3)
    assert {claim.job.key.name for claim in first} == {"job-0", "job-1"}
    assert {claim.job.key.name for claim in rest} == {"job-2", "job-3", "job-4"}


async def wake(store: Store, now: datetime, room: Room) -> datetime | None:
    return (await store.claim_due(1, {QUEUE: room}, now)).wake_at


async def test_a_claim_tells_when_its_queues_are_due_next(store: Store) -> None:
    assert await wake(store, NOON, Room(1, 1)) is None
    await store.put_job(a_job("later", due="20s"), Put.CREATE, NOON)
    await store.put_job(a_job("sooner", due="10s"), Put.CREATE, NOON)
    await store.put_job(a_job(key("theirs", "app/b"), due="1s", queue="app/default/b"), Put.CREATE, NOON)
    assert await wake(store, NOON, Room(1, 1)) == NOON + s(10)

    claimed = await store.claim_due(1, {QUEUE: Room(1, 1)}, NOON + s(10))
    assert len(claimed.claims) == 1
    assert claimed.wake_at == NOON + s(20)


async def test_a_retry_that_waits_is_among_what_is_due_next(store: Store) -> None:
    await store.put_job(a_job(due="0s", retry=RetryPolicy(3, s(7))), Put.CREATE, NOON)
    settled = await finish(store, await take_one(store, NOON), NOON, Failed("no"))
    assert settled.wake_at == NOON + s(7)
    assert await wake(store, NOON, Room(1, 1)) == NOON + s(7)


async def test_work_that_was_left_for_want_of_room_is_due_at_once(store: Store) -> None:
    for number in range(3):
        await store.put_job(a_job(f"job-{number}", due="1s"), Put.CREATE, NOON)
    wake_at = await wake(store, NOON + s(1), Room(1, 1))
    assert wake_at is not None
    assert wake_at <= NOON + s(1)


async def test_late_work_that_must_wait_does_not_hide_the_next_instant_on_time(store: Store) -> None:
    await store.put_job(a_job("late", due="0s"), Put.CREATE, NOON)
    await store.put_job(a_job("next", due="60200ms"), Put.CREATE, NOON)
    wake_at = await wake(store, NOON + s(60), Room(1, 0))
    assert wake_at is not None
    assert wake_at <= NOON + ms(60_200)


async def test_a_settlement_that_frees_a_busy_job_tells_when_it_is_due(store: Store) -> None:
    await store.put_job(a_job(schedule="@every 1s", **LIKE_DAPR), Put.CREATE, NOON)
    claim = await take_one(store, NOON + s(1))
    assert await wake(store, NOON + s(1), Room(1, 1)) is None, "a busy job is not due"
    assert (await finish(store, claim, NOON + ms(1_100))).wake_at == NOON + s(2)


async def test_a_paused_job_is_not_claimed_whichever_connection_paused_it(store: Store, other: Store) -> None:
    for number in range(30):
        name = f"job-{number}"
        await store.put_job(a_job(name, due="0s"), Put.CREATE, NOON)
        await asyncio.gather(store.set_state(StateChange(key(name), JobState.PAUSED), NOON), take(other, NOON))
        assert await take(other, NOON) == []
    assert len((await store.list_jobs(JobQuery())).items) == 30


async def test_a_job_that_has_room_for_another_run_was_not_busy(store: Store) -> None:
    """Instants that pass while nobody claims are late, not overlapping, unless every slot of the job was taken."""
    job = a_job(schedule="@every 10s", overlap=Overlap.SKIP, catchup=Catchup.ALL, max_running=2)
    await store.put_job(job, Put.CREATE, NOON)
    first = await take_one(store, NOON + s(10))
    second = await take_one(store, NOON + s(20))
    await finish(store, first, NOON + s(21))
    await finish(store, second, NOON + s(21))
    third = await take_one(store, NOON + s(30))
    await finish(store, third, NOON + s(95))

    assert (await take_one(store, NOON + s(96))).run.seq == 4
    assert [run for run in await history(store) if run.state is RunState.SKIPPED] == []

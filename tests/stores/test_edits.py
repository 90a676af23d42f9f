"""Edits: what is due under the old definition is told, who edits a stale one is refused, runs stay what they were."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from support.stores import NOON, a_job, finish, history, key, records, s, take, take_one, the_job
from wakeful.core.errors import ErrorCode, WakefulError
from wakeful.core.explain import explain
from wakeful.core.job import Catchup, Data, Job, JobRecord, JobState, Overlap, RetryPolicy, TargetSpec
from wakeful.core.ports import Claim, Hold, JobQuery, NewRun, Put, Retention, RunQuery, StateChange, Store
from wakeful.core.run import Accepted, Cause, Failed, HandedOn, Run, RunState, run_id

pytestmark = pytest.mark.anyio

AGENTS = "agent/default/report"


def a_task(text: str, **fields: Any) -> Job:
    """A job whose runs agents perform."""
    target = TargetSpec("task", text, {"capability": text})
    job = a_job("tick", "@every 1m", target=target, data=f'"{text}"'.encode())
    return replace(job, **{"overlap": Overlap.ALLOW, "max_running": 9, "retry": RetryPolicy(5, s(1)), **fields})


def a_run(number: int, **more: Any) -> NewRun:
    return NewRun(run_id(NOON, number.to_bytes(10, "big")), NOON, **more)


async def edit(store: Store, job: Job, at: float, revision: int | None = None) -> JobRecord:
    edited = await store.put_job(job, Put.EDIT, NOON + s(at), revision)
    found = (await store.list_jobs(JobQuery(job_id=edited.id, ended=True))).items[0]
    assert edited == found, "what an edit answers is what is stored"
    assert await store.audit() == []
    return edited


async def as_of(store: Store, *runs: Run) -> Sequence[JobRecord]:
    pairs = tuple((run.job_id, run.revision) for run in runs)
    return (await store.list_jobs(JobQuery(as_of=pairs, ended=True))).items


async def hold(store: Store, at: float, **more: Any) -> list[Claim]:
    return list((await store.claim_for(Hold("a", s(30), **more), {AGENTS: 9}, NOON + s(at))).claims)


async def handed_on(store: Store, at: float) -> Run:
    """The run that is due then, which now waits for an agent."""
    claim = await take_one(store, NOON + s(at))
    await finish(store, claim, NOON + s(at), HandedOn(AGENTS))
    return claim.run


async def test_another_schedule_tells_of_what_was_due(store: Store) -> None:
    await store.put_job(a_job(schedule="@every 1m"), Put.CREATE, NOON)
    await finish(store, await take_one(store, NOON + s(60)), NOON + s(60))
    edited = await edit(store, a_job(schedule="0 0 9 * * *", now=NOON + s(640)), 640)
    assert (edited.seq, edited.not_run, edited.next_due_at) == (10, 9, NOON + timedelta(hours=21))
    row, _ = await history(store)
    assert (row.state, row.reason, row.instants, row.seq) == (RunState.SUPERSEDED, "edited", 9, 10)
    assert (row.scheduled_for, row.scheduled_to, row.left_out) == (NOON + s(120), NOON + s(600), True)
    said = explain(edited, [row], NOON + s(180), NOON + s(700), {row.id: (await as_of(store, row))[0]})
    assert "another schedule" in said
    assert (await as_of(store, row))[0].job.schedule.given.schedule == "@every 1m"
    runs = RunQuery(job_id=edited.id, left_out=False, count=True)
    assert [(page.total, len(page.items)) for page in [await store.list_runs(runs)]] == [(1, 1)]


async def test_a_busy_job_that_queues_all_tells_of_what_waited(store: Store) -> None:
    job = a_job(schedule="@every 1m", overlap=Overlap.QUEUE_ALL, catchup=Catchup.ALL)
    await store.put_job(job, Put.CREATE, NOON)
    claim = await take_one(store, NOON + s(60))
    edited = await edit(store, a_job(schedule="@every 2m", now=NOON + s(430)), 430)
    assert (edited.seq, edited.not_run, edited.active) == (7, 6, 1)
    await finish(store, claim, NOON + s(440))
    assert (await take_one(store, NOON + s(550))).run.seq == 8
    assert await store.audit() == []


async def test_a_one_shot_that_was_overdue_and_is_moved_tells_of_it(store: Store) -> None:
    await store.put_job(a_job(due="10s"), Put.CREATE, NOON)
    edited = await edit(store, a_job(due="1h", now=NOON + s(60)), 60)
    assert (edited.seq, edited.next_due_at) == (1, NOON + s(3660))
    (row,) = await history(store)
    assert (row.reason, row.instants, row.scheduled_for) == ("edited", 1, NOON + s(10))


@pytest.mark.parametrize(("repeats", "more"), [(5, 2), (4, 1), (3, 0), (2, 0)])
@pytest.mark.parametrize("schedule", ["@every 1m", "@every 50s"])
async def test_repeats_count_the_runs_of_before(store: Store, schedule: str, repeats: int, more: int) -> None:
    await store.put_job(a_job(schedule="@every 1m", repeats=5), Put.CREATE, NOON)
    for number in (60, 120, 180):
        await finish(store, await take_one(store, NOON + s(number)), NOON + s(number))
    edited = await edit(store, a_job(schedule=schedule, repeats=repeats, now=NOON + s(181)), 181)
    assert edited.state is (JobState.ACTIVE if more else JobState.COMPLETED)
    made = 0
    for number in range(190, 1000):
        for claim in await take(store, NOON + s(number)):
            await finish(store, claim, NOON + s(number))
            made += 1
    assert made == more
    assert await store.audit() == []


async def test_another_end_keeps_the_next_instant(store: Store) -> None:
    await store.put_job(a_job(schedule="@every 10m", ttl="1h"), Put.CREATE, NOON)
    edited = await edit(store, a_job(schedule="@every 10m", ttl="2h", now=NOON + s(330)), 330)
    assert (edited.next_due_at, edited.seq) == (NOON + s(600), 0)
    assert edited.job.schedule.until == NOON + s(330 + 7200)
    paused = await store.set_state(StateChange(key("tick"), JobState.PAUSED), NOON + s(331))
    ended = await edit(store, a_job(schedule="@every 10m", ttl="1m", repeats=3, now=NOON + s(332)), 332)
    assert (ended.next_due_at, ended.state) == (None, paused.state)


async def test_an_edit_of_a_stale_revision_is_refused(store: Store, other: Store) -> None:
    await store.put_job(a_task("a"), Put.CREATE, NOON)
    assert (await edit(store, a_task("b"), 1, 1)).revision == 2
    with pytest.raises(WakefulError) as stale:
        await other.put_job(a_task("c"), Put.EDIT, NOON, 1)
    assert stale.value.code is ErrorCode.STALE_REVISION
    assert (await the_job(store)).job.target.address == "b"
    puts = [side.put_job(a_task("d"), Put.EDIT, NOON, 2) for side in (store, other, store, other)]
    results = await asyncio.gather(*puts, return_exceptions=True)
    assert sum(isinstance(result, JobRecord) for result in results) == 1
    assert (await the_job(store)).revision == 3


async def test_an_agent_gets_a_run_as_it_was_made(store: Store) -> None:
    await store.put_job(a_task("old", timeout=s(500)), Put.CREATE, NOON)
    first = await handed_on(store, 60)
    await edit(store, replace(a_task("new"), data=Data("json", b"n" * 5_000)), 61)
    second = await handed_on(store, 120)
    assert await hold(store, 121, limit=0) == []
    one, two = await hold(store, 121, by_timeout=True)
    assert (one.run.id, one.run.revision, one.job.target.address, one.job.data) == (
        first.id,
        1,
        "old",
        Data("json", b'"old"'),
    )
    assert (two.run.id, two.run.revision, two.job.target.address) == (second.id, 2, "new")
    assert [one.run.lease_until, two.run.lease_until] == [NOON + s(621), NOON + s(151)]
    assert [record.job for record in await as_of(store, one.run, two.run)] == [one.job, two.job]
    assert (await as_of(store, two.run))[0].job == (await the_job(store)).job
    # What it is made of stays when it is tried again, and when it ends.
    await finish(store, one, NOON + s(122), Failed("no"))
    (again,) = await hold(store, 130)
    assert (again.run.attempt, again.job) == (2, one.job)
    await finish(store, again, NOON + s(131))
    assert [record.job for record in await as_of(store, one.run)] == [one.job]
    found = [(await store.list_runs(RunQuery(options=(("capability", text),)))).items for text in ("old", "new")]
    assert [[run.id for run in runs] for runs in found] == [[first.id], [second.id]]


async def test_an_answer_that_does_not_come_is_judged_by_what_the_run_was_made_of(store: Store) -> None:
    await store.put_job(a_task("old", retry=RetryPolicy(0)), Put.CREATE, NOON)
    run = await handed_on(store, 60)
    await edit(store, a_task("new", retry=RetryPolicy(5)), 61)
    (claim,) = await hold(store, 62)
    assert claim.job.retry.max_retries == 0
    await finish(store, claim, NOON + s(63), Accepted(s(100)))
    assert (await as_of(store, run))[0].job.retry.max_retries == 0


async def test_definitions_of_which_there_are_no_runs_are_not_kept(store: Store) -> None:
    await store.put_job(a_task("0"), Put.CREATE, NOON)
    for number in range(1, 4):
        await edit(store, a_task(str(number)), number)
    run = await handed_on(store, 63)
    assert run.revision == 4
    # What says the same keeps nothing, and what was kept holds up to the change.
    await edit(store, a_task("3"), 64)
    await edit(store, replace(a_task("3"), schedule=a_job(schedule="@every 5m").schedule), 65)
    for number in range(5, 9):
        await edit(store, a_task(str(number)), 60 + number)
    assert [record.job.target.address for record in await as_of(store, run)] == ["3"]
    (record,) = await as_of(store, replace_revision(run, 1))
    assert record.job.target.address == "3"
    (record,) = await as_of(store, replace_revision(run, 7))
    assert record.job.target.address == "8"


def replace_revision(run: Run, revision: int) -> Run:
    return Run(run.id, run.job_id, run.seq, run.cause, run.scheduled_for, run.state, run.queue, revision=revision)


async def test_a_node_performs_the_definition_as_it_is(store: Store) -> None:
    await store.put_job(a_task("old"), Put.CREATE, NOON)
    claim = await take_one(store, NOON + s(60))
    await edit(store, a_task("new"), 61)
    await finish(store, claim, NOON + s(62), Failed("no"))
    again = await take_one(store, NOON + s(64))
    assert (again.run.id, again.run.revision, again.job.target.address) == (claim.run.id, 2, "new")
    assert (await as_of(store, again.run))[0].job.target.address == "new"


async def test_a_job_that_was_stored_with_its_run_is_that_run(store: Store) -> None:
    job = replace(a_task("a"), queue=AGENTS, schedule=a_job().schedule)
    record = await store.put_run(job, a_run(1), NOON)
    assert record.asked == 1
    assert record == await the_job(store)
    await edit(store, replace(job, timeout=s(500)), 1)
    (claim,) = await hold(store, 2, by_timeout=True)
    assert (claim.job.timeout, claim.run.lease_until) == (s(500), NOON + s(502))


async def test_pruning_forgets_definitions_with_their_runs(store: Store) -> None:
    await store.put_job(a_task("0"), Put.CREATE, NOON)
    runs = []
    for number in range(1, 4):
        runs.append(await handed_on(store, 60 * number))
        (claim,) = await hold(store, 60 * number)
        await finish(store, claim, NOON + s(60 * number))
        await edit(store, a_task(str(number)), 60 * number)
    assert [record.job.target.address for record in await as_of(store, *runs)] == ["0", "1", "2"]
    assert await store.prune(Retention(runs_per_job=1), NOON + s(300)) == 2
    kept = [record.job.target.address for record in await as_of(store, *runs)]
    assert kept == ["2", "2", "2"], "the oldest definition that is left is nearest"
    await store.end_jobs(JobQuery(name="tick"), JobState.DELETED, NOON + s(301))
    assert (await as_of(store, runs[2]))[0].job.target.address == "2"
    await store.prune(Retention(runs=0), NOON + s(302))
    await store.prune(Retention(age=s(1)), NOON + s(900))
    assert await as_of(store, runs[2]) == []
    assert await records(store) == []


async def test_runs_that_were_asked_for_are_counted(store: Store) -> None:
    await store.put_job(a_job(schedule="@every 1m"), Put.CREATE, NOON)
    await store.add_runs(key("tick"), [a_run(1), a_run(2)], NOON)
    await store.add_runs(key("tick"), [a_run(3, cause=Cause.BACKFILL)], NOON)
    assert ((await the_job(store)).asked, (await the_job(store)).active) == (3, 1)
    await finish(store, await take_one(store, NOON), NOON, Failed("no"))
    record = await the_job(store)
    assert (record.asked, record.seq - record.not_run) == (3, 0)

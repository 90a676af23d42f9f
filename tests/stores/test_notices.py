"""Notices: jobs that are there if, and only if, the end that they tell of is."""

import pytest

from support.stores import NOON, a_job, finish, s, take, take_one, the_job, verdict
from wakeful.core.job import Notify, NotifyOn, RetryPolicy
from wakeful.core.notices import OWNER
from wakeful.core.ports import JobQuery, Put, RunQuery, Store
from wakeful.core.run import Failed, RunState, Skipped, Succeeded

pytestmark = pytest.mark.anyio

TOLD = "notify/default"
NOTIFY = Notify(("slack", "memory"), TOLD, NotifyOn.ALWAYS)


async def test_an_end_and_those_who_are_told_of_it_are_one_commit(store: Store) -> None:
    await store.put_job(a_job(notify=NOTIFY, retry=RetryPolicy(1, s(1))), Put.CREATE, NOON)
    settled = await finish(store, await take_one(store, NOON), NOON, Failed("no"))
    assert await take(store, NOON, 10, queue=TOLD) == []
    assert settled.wake_at == NOON + s(1)

    settled = await finish(store, await take_one(store, NOON + s(1)), NOON + s(1), Failed("no", b'{"output":"x"}'))
    assert settled.wake_at == NOON + s(1)
    notices = await take(store, NOON + s(1), 10, queue=TOLD)
    assert sorted(claim.job.target.address for claim in notices) == ["memory", "slack"]
    assert all(b'"error":"no"' in (claim.job.data.body if claim.job.data else b"") for claim in notices)
    assert {claim.job.key.owner for claim in notices} == {OWNER}
    assert await store.audit() == []


async def test_who_comes_too_late_tells_nobody(store: Store) -> None:
    await store.put_job(a_job("other", "@every 1h", notify=NOTIFY), Put.CREATE, NOON)
    claim = await take_one(store, NOON + s(3600))
    late = verdict(claim, Succeeded(), NOON + s(3600))
    await finish(store, claim, NOON + s(3600))
    assert len(await take(store, NOON + s(3600), 10, queue=TOLD)) == 2

    assert list((await store.settle([late], NOON + s(3601))).stale) == [claim.run.id]
    assert await take(store, NOON + s(3601), 10, queue=TOLD) == []
    told = await store.list_jobs(JobQuery(owner=OWNER, ended=True, count=True))
    assert told.total == 2


async def test_of_an_hour_ago_nobody_is_told_any_more(store: Store) -> None:
    await store.put_job(a_job(notify=NOTIFY), Put.CREATE, NOON)
    await finish(store, await take_one(store, NOON), NOON)
    assert await take(store, NOON + s(3601), 10, queue=TOLD) == []
    rows = (await store.list_runs(RunQuery(owner=OWNER))).items
    assert [row.state for row in rows] == [RunState.MISSED] * 2


async def test_a_skipped_run_is_neither_a_success_nor_a_failure(store: Store) -> None:
    await store.put_job(a_job(schedule="@every 1h", notify=NOTIFY), Put.CREATE, NOON)
    claim = await take_one(store, NOON + s(3600))
    await finish(store, claim, NOON + s(3600), Skipped("the condition was false"))
    run = await store.get_run(claim.run.id)
    assert run is not None
    assert (run.state, run.reason, run.errors) == (RunState.SKIPPED, "the condition was false", ())
    record = await the_job(store)
    assert (record.succeeded, record.failed, record.active) == (0, 0, 0)
    assert await take(store, NOON + s(3600), 10, queue=TOLD) == []
    await take_one(store, NOON + s(7200))

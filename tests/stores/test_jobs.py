"""Definitions: what is put comes back, names and lists are exact, and ends end what they name."""

import os
from dataclasses import replace
from uuid import UUID

import pytest

from support.stores import NOON, a_job, finish, history, key, ms, records, s, take, take_one, the_job
from wakeful.core.errors import ErrorCode, WakefulError
from wakeful.core.job import Catchup, CountedFrom, Data, JobKey, JobState, Overlap, RetryPolicy, TargetSpec
from wakeful.core.ports import JobQuery, Put, RunQuery, StateChange, Store

pytestmark = pytest.mark.anyio

SIZES = (0, 1, 1024, 1025, 64 * 1024, 2 * 1024 * 1024)


async def refused(awaitable: object) -> ErrorCode:
    with pytest.raises(WakefulError) as caught:
        await awaitable  # type: ignore[misc]
    assert caught.value.message
    return caught.value.code


async def test_a_job_comes_back_as_it_was_put(store: Store, other: Store) -> None:
    job = a_job(
        key("Ä 'quoted\" ; -- name", owner="actor/Typ/id", namespace="prod"),
        "TZ=Europe/Rome 0 30 9 * * 1-5",
        due="2026-03-05T08:00:00.123456Z",
        ttl="240h",
        repeats=9,
        data=b'{"a": 1}',
        target=TargetSpec("grpc", "host:1", {"b": "2", "a": "ß"}),
        retry=RetryPolicy(None, ms(1), CountedFrom.DUE),
        overlap=Overlap.ALLOW,
        catchup=Catchup.NONE,
        max_running=7,
        at_most_once=True,
    )
    record = await store.put_job(job, Put.CREATE, NOON)

    assert record.job == job
    assert (record.state, record.revision, record.seq, record.active) == (JobState.ACTIVE, 1, 0, 0)
    assert (record.created_at, record.ended_at, record.last_run) == (NOON, None, None)
    assert record.next_due_at == job.schedule.first_due()
    assert record.remaining == 9
    assert await store.get_job(job.key) == record == await other.get_job(job.key)
    assert list((await store.list_jobs(JobQuery())).items) == [record]


async def test_a_missing_job_is_none(store: Store) -> None:
    assert await store.get_job(key("nobody")) is None
    assert await store.get_run(UUID(int=1)) is None
    assert (await store.list_runs(RunQuery(key=key("nobody")))).items == []


async def test_create_refuses_a_taken_name_and_leaves_the_job_alone(store: Store) -> None:
    record = await store.put_job(a_job(due="1h", data=b"1"), Put.CREATE, NOON)
    assert await refused(store.put_job(a_job(due="2h", data=b"2"), Put.CREATE, NOON)) is ErrorCode.JOB_EXISTS
    assert await the_job(store) == record


async def test_edit_of_a_free_name_is_refused(store: Store) -> None:
    assert await refused(store.put_job(a_job(due="1h"), Put.EDIT, NOON)) is ErrorCode.JOB_NOT_FOUND
    assert await refused(store.set_state(StateChange(key("tick"), JobState.PAUSED), NOON)) is ErrorCode.JOB_NOT_FOUND


async def test_replace_of_a_free_name_creates(store: Store) -> None:
    record = await store.put_job(a_job(due="1h"), Put.REPLACE, NOON)
    assert (record.revision, record.state) == (1, JobState.ACTIVE)
    assert len(await records(store)) == 1


async def test_replace_starts_anew_and_keeps_the_old_record(store: Store) -> None:
    old = await store.put_job(a_job(due="1h"), Put.CREATE, NOON)
    new = await store.put_job(a_job(due="2h", now=NOON + s(9)), Put.REPLACE, NOON + s(9))
    assert new.id != old.id
    assert (await the_job(store)).id == new.id
    assert [(record.id, record.state, record.ended_at) for record in await records(store)] == [
        (old.id, JobState.REPLACED, NOON + s(9)),
        (new.id, JobState.ACTIVE, None),
    ]


async def test_an_edit_of_the_schedule_gives_another_next_due(store: Store) -> None:
    await store.put_job(a_job(schedule="@every 1h"), Put.CREATE, NOON)
    edited = await store.put_job(a_job(schedule="@every 10m", now=NOON + s(60)), Put.EDIT, NOON + s(60))
    assert edited.next_due_at == NOON + s(660)
    assert (await take_one(store, NOON + s(660))).run.scheduled_for == NOON + s(660)


async def test_an_edit_moves_a_job_to_another_queue(store: Store) -> None:
    job = a_job(schedule="@every 1h")
    await store.put_job(job, Put.CREATE, NOON)
    await store.put_job(replace(job, queue="elsewhere"), Put.EDIT, NOON)
    assert await take(store, NOON + s(3600), 5) == []
    assert len(await take(store, NOON + s(3600), 5, queue="elsewhere")) == 1


async def test_an_edit_of_a_paused_job_leaves_it_paused(store: Store) -> None:
    await store.put_job(a_job(due="10s"), Put.CREATE, NOON)
    await store.set_state(StateChange(key("tick"), JobState.PAUSED), NOON)
    edited = await store.put_job(a_job(due="20s"), Put.EDIT, NOON)
    assert edited.state is JobState.PAUSED
    assert await take(store, NOON + s(60), 5) == []


@pytest.mark.parametrize("size", SIZES)
async def test_data_of_any_size_comes_back_byte_for_byte(store: Store, size: int) -> None:
    body = os.urandom(size)
    job = a_job(due="10s", data=body)
    await store.put_job(job, Put.CREATE, NOON)
    assert (await the_job(store)).job.data == Data("json", body)
    listed = (await store.list_jobs(JobQuery())).items[0].job.data
    assert listed == Data("json", body)

    claim = await take_one(store, NOON + s(10))
    assert claim.job.data == Data("json", body)
    await finish(store, claim, NOON + s(10))
    assert (await records(store))[0].job.data == Data("json", body)


@pytest.mark.parametrize("how", [Put.REPLACE, pytest.param(Put.EDIT, marks=pytest.mark.slow)])
@pytest.mark.parametrize("new", [None, *SIZES])
@pytest.mark.parametrize("old", [None, 0, 1024, 1025])
async def test_data_gives_way_to_other_data_of_any_size(
    store: Store, how: Put, new: int | None, old: int | None
) -> None:
    first, second = (None if size is None else os.urandom(size) for size in (old, new))
    await store.put_job(a_job(due="10s", data=first), Put.CREATE, NOON)
    record = await store.put_job(a_job(due="10s", data=second), how, NOON)

    expected = None if second is None else Data("json", second)
    assert record.job.data == expected
    assert (await the_job(store)).job.data == expected
    assert (await take_one(store, NOON + s(10))).job.data == expected
    if how is Put.REPLACE:
        assert (await records(store))[0].job.data == (None if first is None else Data("json", first))


async def test_no_data_is_not_empty_data(store: Store) -> None:
    await store.put_job(a_job("none", due="1h"), Put.CREATE, NOON)
    await store.put_job(a_job("empty", due="1h", data=b""), Put.CREATE, NOON)
    assert (await the_job(store, "none")).job.data is None
    assert (await the_job(store, "empty")).job.data == Data("json", b"")


async def test_the_type_of_data_comes_back(store: Store) -> None:
    job = replace(a_job(due="1h"), data=Data("type.googleapis.com/google.protobuf.StringValue", b"\x00\xff"))
    await store.put_job(job, Put.CREATE, NOON)
    assert (await the_job(store)).job.data == job.data


KEYS = [
    JobKey(namespace, owner, name)
    for namespace in ("a", "a-b", "B", "é")
    for owner in ("app/a", "app/a-1", "client/c")
    for name in ("Z", "a", "a%", "a_", "ab", "a\u00e9", "z", "\u00e9", "\uffff", "\U0001f600")
]


def in_bytes(key: JobKey) -> tuple[bytes, bytes, bytes]:
    return key.namespace.encode(), key.owner.encode(), key.name.encode()


@pytest.mark.parametrize("limit", [1, 7, 1000])
async def test_lists_are_in_byte_order_whatever_the_page(store: Store, limit: int) -> None:
    for one in reversed(KEYS):
        await store.put_job(a_job(one, due="1h"), Put.CREATE, NOON)
    found, cursor = [], None
    for _ in range(len(KEYS) + 1):
        page = await store.list_jobs(JobQuery(limit=limit, after=cursor))
        assert len(page.items) <= limit
        found += [record.job.key for record in page.items]
        cursor = page.cursor
        if cursor is None:
            break
    assert found == sorted(KEYS, key=in_bytes)


async def test_a_page_goes_on_where_the_last_one_ended_although_jobs_came_and_went(store: Store) -> None:
    for name in "bdfh":
        await store.put_job(a_job(name, due="1h"), Put.CREATE, NOON)
    page = await store.list_jobs(JobQuery(limit=2))
    await store.put_job(a_job("a", due="1h"), Put.CREATE, NOON)
    await store.put_job(a_job("e", due="1h"), Put.CREATE, NOON)
    await store.end_jobs(JobQuery(name="d"), JobState.DELETED, NOON)
    rest = await store.list_jobs(JobQuery(limit=10, after=page.cursor))
    assert [record.job.key.name for record in rest.items] == ["e", "f", "h"]
    assert rest.cursor is None


async def test_a_cursor_that_no_page_gave_is_refused(store: Store) -> None:
    for cursor in ("x", "zz", "5b5d", "ff"):
        assert await refused(store.list_jobs(JobQuery(after=cursor))) is ErrorCode.INVALID_JOB


@pytest.mark.parametrize("cursor", ["x", "zz"])
async def test_a_cursor_that_no_page_of_runs_gave_is_refused(store: Store, cursor: str) -> None:
    assert await refused(store.list_runs(RunQuery(after=cursor))) in set(ErrorCode)


async def put_all(store: Store, *keys: JobKey) -> None:
    for one in keys:
        await store.put_job(a_job(one, due="1h"), Put.CREATE, NOON)


async def left(store: Store) -> list[tuple[str, str, str]]:
    found = [record.job.key for record in (await store.list_jobs(JobQuery())).items]
    return [(one.namespace, one.owner, one.name) for one in found]


async def end(store: Store, **query: str) -> int:
    return await store.end_jobs(JobQuery(**query), JobState.DELETED, NOON)  # type: ignore[arg-type]


async def test_a_delete_by_name_is_exact(store: Store) -> None:
    await put_all(store, key("a"), key("a%"), key("a_"), key("ab"), key("A"), key("é"))
    assert await end(store, name="a%") == 1
    assert await end(store, name="a_") == 1
    assert await end(store, name="a_") == 0
    assert [name for _, _, name in await left(store)] == ["A", "a", "ab", "é"]


@pytest.mark.parametrize(
    ("prefix", "gone"),
    [
        ("a", {"a", "a%b", "a_b", "axb", "a\U0010ffffz"}),
        ("a%", {"a%b"}),
        ("a_", {"a_b"}),
        ("A", {"A"}),
        ("é", {"é1"}),
        ("a\U0010ffff", {"a\U0010ffffz"}),
        ("none", set()),
    ],
)
async def test_a_prefix_is_bytes_and_no_pattern(store: Store, prefix: str, gone: set[str]) -> None:
    names = {"a", "a%b", "a_b", "axb", "A", "b", "é1", "e", "a\U0010ffffz"}
    await put_all(store, *map(key, names))
    query = JobQuery(name_prefix=prefix)
    assert {record.job.key.name for record in (await store.list_jobs(query)).items} == gone
    assert await end(store, name_prefix=prefix) == len(gone)
    assert {name for _, _, name in await left(store)} == names - gone


async def test_namespaces_and_owners_are_exact_too(store: Store) -> None:
    keys = [JobKey(ns, owner, "n") for ns in ("test", "test-1", "tes") for owner in ("app/a", "app/a-1", "app/A")]
    await put_all(store, *keys)
    assert await end(store, namespace="test", owner="app/a", name_prefix="n") == 1
    assert await end(store, namespace="test-1") == 3
    assert await end(store, owner="app/a") == 1
    assert await left(store) == [
        ("tes", "app/A", "n"),
        ("tes", "app/a-1", "n"),
        ("test", "app/A", "n"),
        ("test", "app/a-1", "n"),
    ]


async def test_owners_are_found_by_the_beginning_of_their_names(store: Store) -> None:
    owners = ("actor/T/1", "actor/T/10", "actor/T/", "actor/T%/1", "actor/Tx/1", "actor/T")
    await put_all(store, *(JobKey("test", owner, "n") for owner in owners), JobKey("other", "actor/T/1", "n"))
    whole = JobQuery("test", owner_prefix="actor/T/")
    assert {record.job.key.owner for record in (await store.list_jobs(whole)).items} == set(owners[:3])
    assert await end(store, namespace="test", owner_prefix="actor/T/1", name_prefix="n") == 2
    assert {owner for namespace, owner, _ in await left(store) if namespace == "test"} == set(owners[2:])
    assert await end(store, owner_prefix="actor/") == 5


async def test_an_ended_job_is_listed_only_when_asked_for(store: Store) -> None:
    await put_all(store, key("a"), key("b"))
    await end(store, name="a")
    assert [name for _, _, name in await left(store)] == ["b"]
    everything = (await store.list_jobs(JobQuery(ended=True))).items
    assert [(record.job.key.name, record.state) for record in everything] == [
        ("a", JobState.DELETED),
        ("b", JobState.ACTIVE),
    ]
    assert await store.get_job(key("a")) is None


async def test_the_same_name_of_other_owners_is_another_job(store: Store) -> None:
    for owner, due in (("app/a", "1h"), ("app/a-1", "2h")):
        await store.put_job(a_job(key("tick", owner), due=due), Put.CREATE, NOON)
    await store.put_job(a_job(key("tick", "app/a", "other"), due="3h"), Put.CREATE, NOON)
    assert await end(store, namespace="default", owner="app/a", name="tick") == 1
    assert await store.get_job(key("tick", "app/a-1")) is not None
    assert await store.get_job(key("tick", "app/a", "other")) is not None


async def test_runs_are_listed_newest_first_page_by_page(store: Store) -> None:
    await store.put_job(a_job(schedule="@every 1s"), Put.CREATE, NOON)
    await store.put_job(a_job("tock", "@every 1s", queue="elsewhere"), Put.CREATE, NOON)
    for number in range(1, 8):
        for queue in ("app/default/a", "elsewhere"):
            claim = await take_one(store, NOON + s(number), queue=queue)
            await finish(store, claim, NOON + s(number))
    found, cursor = [], None
    while True:
        page = await store.list_runs(RunQuery(key=key("tick"), limit=3, after=cursor))
        found += [run.seq for run in page.items]
        cursor = page.cursor
        if cursor is None:
            break
    assert found == [7, 6, 5, 4, 3, 2, 1]
    everything = (await store.list_runs(RunQuery(limit=100))).items
    assert len(everything) == 14
    assert [run.scheduled_for for run in everything] == sorted((run.scheduled_for for run in everything), reverse=True)


async def test_the_rows_of_one_claim_are_listed_newest_first(store: Store) -> None:
    for number in range(12):
        name = f"job-{number}"
        await store.put_job(a_job(name, "@every 1s"), Put.CREATE, NOON)
        await take_one(store, NOON + s(100 + number))
        assert [run.instants for run in await history(store, name)] == [1, 99 + number]


async def test_a_job_that_is_never_due_ends_at_its_birth_and_leaves_the_name_free(store: Store) -> None:
    for _ in range(2):
        record = await store.put_job(a_job(schedule="@every 1h", ttl="30m"), Put.CREATE, NOON)
        assert (record.next_due_at, record.state, record.ended_at) == (None, JobState.COMPLETED, NOON)
    assert await store.get_job(key("tick")) is None
    assert [record.state for record in await records(store)] == [JobState.COMPLETED] * 2

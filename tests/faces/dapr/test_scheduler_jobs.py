"""The Scheduler service's methods: what they store, find and delete, and how they refuse."""

from typing import Any

import grpc.aio
import pytest

from support.scheduler_door import DROP, SchedulerDoor, of_actor, of_app, value
from wakeful.core.ports import JobQuery
from wakeful.protos import common, well_known
from wakeful.protos import scheduler as messages

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

NO_TARGET = messages.JobMetadata(app_id="app", namespace="default")
DEFAULT_POLICY = common.JobFailurePolicy(
    constant=common.JobFailurePolicyConstant(interval=well_known.Duration(seconds=1), max_retries=3)
)
LATER = messages.Job(due_time="24h")


def constant(**fields: Any) -> Any:
    return common.JobFailurePolicy(constant=common.JobFailurePolicyConstant(**fields))


FIELDS = [
    {"schedule": "@every 1h"},
    {"schedule": "TZ=Europe/Berlin 0 30 9 * * MON-FRI", "repeats": 5, "ttl": "720h"},
    {"due_time": "2099-01-01T00:00:00Z", "schedule": "@daily", "ttl": "P1D"},
    {"due_time": "24h", "data": value(42), "failure_policy": DROP},
    {"due_time": "24h", "failure_policy": constant(interval=well_known.Duration(seconds=2, nanos=500_000_000))},
    {"due_time": "24h", "failure_policy": constant(max_retries=0)},
]


@pytest.mark.parametrize("fields", FIELDS)
async def test_what_is_scheduled_is_what_is_got_and_listed(door: SchedulerDoor, fields: dict[str, Any]) -> None:
    await door.schedule("job", **fields)
    expected = messages.Job(**({"failure_policy": DEFAULT_POLICY} | fields))
    assert (await door.call("GetJob", name="job", metadata=of_app())).job == expected
    (listed,) = (await door.call("ListJobs", metadata=of_app())).jobs
    assert (listed.name, listed.job, listed.metadata) == ("job", expected, of_app())


async def test_a_job_is_unique_by_namespace_app_and_name(door: SchedulerDoor) -> None:
    for metadata in (of_app("a"), of_app("b"), of_app("a", "other"), of_actor("a", "b"), of_actor("a", "c")):
        await door.schedule("job", metadata, due_time="24h")
        assert await door.names(metadata) == ["job"]
    await door.call("DeleteJob", name="job", metadata=of_app("a"))
    assert await door.names(of_app("a")) == []
    assert await door.names(of_app("b")) == ["job"]


async def test_reminders_are_shared_by_all_apps(door: SchedulerDoor) -> None:
    await door.schedule("ring", of_actor("T", "1", "app-1", concurrency_key="key"), due_time="24h")
    (listed,) = (await door.call("ListJobs", metadata=of_actor("T", "1", "app-2"))).jobs
    assert listed.metadata == of_actor("T", "1", "app-1", concurrency_key="key")
    await door.call("DeleteJob", name="ring", metadata=of_actor("T", "1", "app-2"))
    assert await door.names(of_actor("T", "1")) == []


async def test_overwriting_replaces_the_job_whole(door: SchedulerDoor) -> None:
    await door.schedule("job", due_time="24h", data=value(1), failure_policy=DROP)
    await door.schedule("job", overwrite=True, schedule="@daily")
    expected = messages.Job(schedule="@daily", failure_policy=DEFAULT_POLICY)
    assert (await door.call("GetJob", name="job", metadata=of_app())).job == expected


@pytest.mark.parametrize(
    ("metadata", "key"), [(of_app(), "app||default||app||x"), (of_actor("T", "1"), "actorreminder||default||T||1||x")]
)
async def test_a_name_that_is_taken_is_refused_with_the_whole_key(door: SchedulerDoor, metadata: Any, key: str) -> None:
    await door.schedule("x", metadata, due_time="24h")
    refused = await door.refused("ScheduleJob", name="x", job=LATER, metadata=metadata)
    assert refused == ("ALREADY_EXISTS", f"job already exists: '{key}'")


async def test_long_names_stay_whole_in_the_key(door: SchedulerDoor) -> None:
    name = "n" * 512
    await door.schedule(name, of_app(name, name), due_time="24h")
    refused = await door.refused("ScheduleJob", name=name, job=LATER, metadata=of_app(name, name))
    assert refused == ("ALREADY_EXISTS", f"job already exists: 'app||{name}||{name}||{name}'")


async def test_a_job_that_is_not_there_is_not_found_and_deleted_all_the_same(door: SchedulerDoor) -> None:
    assert await door.refused("GetJob", name="x", metadata=of_app()) == ("NOT_FOUND", "job not found: x")
    await door.call("DeleteJob", name="x", metadata=of_app())


@pytest.mark.parametrize("method", ["ScheduleJob", "GetJob", "DeleteJob", "ListJobs"])
@pytest.mark.parametrize("metadata", [of_app(""), of_app("app", ""), None, of_actor("T", "1", "")])
async def test_without_namespace_or_app_every_call_is_refused(door: SchedulerDoor, method: str, metadata: Any) -> None:
    named = {} if method == "ListJobs" else {"name": "x"}
    refused = await door.refused(method, metadata=metadata, **named)
    assert refused == ("INVALID_ARGUMENT", "missing namespace or appID in request")
    assert door.metrics.sidecar_errors == {"auth_failed": 1}


@pytest.mark.parametrize("method", ["DeleteByMetadata", "DeleteByNamePrefix"])
@pytest.mark.parametrize(
    ("metadata", "code", "text"),
    [
        (of_app(""), "INVALID_ARGUMENT", "failed to parse metadata: missing namespace or appID in request"),
        (NO_TARGET, "UNKNOWN", "failed to parse metadata: unknown job type: <nil>"),
    ],
)
async def test_deleting_many_by_wrong_metadata_is_refused(
    door: SchedulerDoor, method: str, metadata: Any, code: str, text: str
) -> None:
    assert await door.refused(method, metadata=metadata) == (code, text)


@pytest.mark.parametrize("method", ["ScheduleJob", "GetJob", "DeleteJob", "ListJobs"])
async def test_without_a_target_every_call_is_refused(door: SchedulerDoor, method: str) -> None:
    named = {} if method == "ListJobs" else {"name": "x"}
    code, text = await door.refused(method, metadata=NO_TARGET, **named)
    assert code == "UNKNOWN"
    assert "unknown job type" in text


INVALID = [
    ({}, "job must have either a due time or a schedule"),
    ({"schedule": ""}, "empty spec string"),
    ({"schedule": "bad"}, "expected exactly 6 fields, found 1"),
    ({"schedule": "@every x"}, "failed to parse duration @every x"),
    ({"schedule": "TZ=Nowhere/Land 0 0 0 * * *"}, "provided bad location Nowhere/Land"),
    ({"due_time": "soon"}, "due time format not recognized"),
    ({"due_time": "1s", "repeats": 2}, "job must have a schedule to repeat"),
    ({"schedule": "@daily", "repeats": 0}, "defined repeats must be greater than 0"),
    ({"due_time": "1s", "ttl": "2s"}, "job must have a schedule to have a ttl"),
    ({"schedule": "@daily", "ttl": "never"}, "ttl format not recognized"),
    ({"schedule": "2099-01-01T00:00:00Z"}, ""),
]


@pytest.mark.parametrize(("fields", "text"), INVALID)
async def test_a_job_that_can_never_be_is_refused_in_the_schedulers_words(
    door: SchedulerDoor, fields: dict[str, Any], text: str
) -> None:
    code, given = await door.refused("ScheduleJob", name="x", job=messages.Job(**fields), metadata=of_app())
    assert code == "UNKNOWN"
    assert given.startswith(f"job failed validation: {text}")
    assert (await door.scheduler.jobs(JobQuery())).items == []


async def test_a_request_without_a_job_is_refused_as_an_empty_one(door: SchedulerDoor) -> None:
    refused = await door.refused("ScheduleJob", name="x", metadata=of_app())
    assert refused == ("UNKNOWN", "job failed validation: job must have either a due time or a schedule")


@pytest.mark.parametrize("name", ["", " ", "a/b", "a\\b", "a#b", "a?b", "a\nb", "a\x7f", ".", "..", "a" * 513])
@pytest.mark.parametrize("method", ["ScheduleJob", "GetJob", "DeleteJob"])
async def test_names_that_may_not_be_are_refused(door: SchedulerDoor, method: str, name: str) -> None:
    more = {"job": LATER} if method == "ScheduleJob" else {}
    assert (await door.refused(method, name=name, metadata=of_app(), **more))[0] == "UNKNOWN"


@pytest.mark.parametrize(
    "metadata",
    [of_app("a/b"), of_app("a", "n/s"), of_actor("T/U", "1"), of_actor("T", "1/2"), of_actor("T", "a" * 513)],
)
async def test_no_part_of_a_key_may_have_what_a_name_may_not(door: SchedulerDoor, metadata: Any) -> None:
    code, text = await door.refused("ScheduleJob", name="x", job=LATER, metadata=metadata)
    assert code == "UNKNOWN"
    assert text.startswith(("app id: ", "namespace: ", "actor type: ", "actor id: "))


@pytest.mark.parametrize("name", ["a||b", "||", "A b:c_d-e.f@g|h", "ü", "x" * 512, "a%2Fb"])
async def test_names_survive_as_they_are(door: SchedulerDoor, name: str) -> None:
    for metadata in (of_app(), of_actor("T", name)):
        await door.schedule(name, metadata, due_time="24h")
        assert await door.names(metadata) == [name]
        await door.call("GetJob", name=name, metadata=metadata)


async def test_ids_with_bars_are_ids_of_their_own(door: SchedulerDoor) -> None:
    await door.schedule("c", of_actor("T", "a||b"), due_time="24h")
    await door.schedule("b||c", of_actor("T", "a"), due_time="24h")
    assert await door.names(of_actor("T", "a||b")) == ["c"]
    assert await door.names(of_actor("T", "a")) == ["b||c"]


async def test_lists_are_in_byte_order_and_of_one_target(door: SchedulerDoor) -> None:
    for name in ("b", "a", "B", "ä", "a1"):
        await door.schedule(name, due_time="24h")
    await door.schedule("other", of_app("app2"), due_time="24h")
    assert await door.names(of_app()) == ["B", "a", "a1", "b", "ä"]


async def test_without_an_id_a_whole_type_of_actors_is_listed(door: SchedulerDoor) -> None:
    for actor_type, actor_id in (("T", "1"), ("T", "2"), ("T", ""), ("T2", "1")):
        await door.schedule(f"{actor_type}-{actor_id}", of_actor(actor_type, actor_id), due_time="24h")
    assert await door.names(of_actor("T")) == ["T-", "T-1", "T-2"]
    assert await door.names(of_actor("T", "1")) == ["T-1"]


ACTORS = [("T", "1"), ("T", "12"), ("T", "2"), ("TT", "1")]


@pytest.mark.parametrize(
    ("metadata", "prefix", "left"),
    [
        (of_app("app"), None, {"app2", *ACTORS}),
        (of_app("app"), False, {"app2", *ACTORS}),
        (of_app("app"), True, {*ACTORS}),
        (of_actor("T", "1"), False, {"app", "app2", ("T", "12"), ("T", "2"), ("TT", "1")}),
        (of_actor("T", "1"), True, {"app", "app2", ("T", "2"), ("TT", "1")}),
        (of_actor("T"), False, {"app", "app2", ("TT", "1")}),
        (of_actor("T"), True, {"app", "app2"}),
    ],
)
async def test_deleting_by_metadata_takes_a_target_or_all_that_begin_so(
    door: SchedulerDoor, metadata: Any, prefix: bool | None, left: set[Any]
) -> None:
    targets: dict[Any, Any] = {"app": of_app("app"), "app2": of_app("app2")}
    targets |= {actor: of_actor(*actor) for actor in ACTORS}
    for target in targets.values():
        await door.schedule("x", target, due_time="24h")
    await door.call("DeleteByMetadata", metadata=metadata, id_prefix_match=prefix)
    assert {name for name, target in targets.items() if await door.names(target)} == left
    assert door.metrics.bulk_deleted == 1


@pytest.mark.parametrize(
    ("metadata", "prefix", "left"),
    [
        (of_app(), "a", ["b"]),
        (of_app(), "a.", ["a", "ab", "b"]),
        (of_app(), "", []),
        (of_actor("T", "1"), "a", ["b"]),
        # Dapr's: without an id, it is the beginning of ids.
        (of_actor("T"), "a", ["a", "a.", "ab", "b"]),
        (of_actor("T"), "1", []),
    ],
)
async def test_deleting_by_the_beginning_of_names(
    door: SchedulerDoor, metadata: Any, prefix: str, left: list[str]
) -> None:
    target = of_actor("T", "1") if metadata.target.HasField("actor") else metadata
    for name in ("a", "ab", "a.", "b"):
        await door.schedule(name, target, due_time="24h")
    await door.schedule("a", of_app("other"), due_time="24h")
    await door.call("DeleteByNamePrefix", name_prefix=prefix, metadata=metadata)
    assert await door.names(target) == left
    assert await door.names(of_app("other")) == ["a"]


@pytest.mark.slow
async def test_a_list_of_a_hundred_jobs_of_two_megabytes_is_answered(door: SchedulerDoor) -> None:
    data = well_known.Any(type_url="x/bytes", value=bytes(2 * 1024 * 1024))
    await door.channel.close()
    door.channel = grpc.aio.insecure_channel(
        f"127.0.0.1:{door.port}", options=[("grpc.max_receive_message_length", -1)]
    )
    for number in range(100):
        await door.schedule(f"big-{number}", due_time="24h", data=data)
    found = await door.call("ListJobs", 60, metadata=of_app())
    assert len(found.jobs) == 100
    assert all(len(job.job.data.value) == len(data.value) for job in found.jobs)


async def test_what_was_done_is_counted_by_type(door: SchedulerDoor) -> None:
    for _ in range(2):
        await door.schedule("ring", of_actor("T", "1"), overwrite=True, due_time="24h")
    await door.schedule("job", due_time="24h")
    await door.refused("ScheduleJob", name="job", job=LATER, metadata=of_app())
    await door.call("DeleteJob", name="job", metadata=of_app())
    await door.call("DeleteJob", name="none", metadata=of_app())
    await door.call("DeleteByNamePrefix", metadata=of_app())
    await door.refused("GetJob", name="x")

    lines = door.metrics.render().splitlines()
    assert [line for line in lines if not line.startswith("#")] == [
        "dapr_scheduler_sidecars_connected 0",
        'dapr_scheduler_jobs_created_total{type="actor"} 2',
        'dapr_scheduler_jobs_created_total{type="job"} 1',
        'dapr_scheduler_jobs_created_failed_total{type="job"} 1',
        'dapr_scheduler_jobs_deleted_total{type="job"} 2',
        "dapr_scheduler_jobs_bulk_deleted_total 1",
        'dapr_scheduler_sidecar_errors_total{reason="auth_failed"} 1',
    ]

"""Reminders over gRPC, as Dapr's own SDK asks for them."""

import json
from base64 import b64encode
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from dapr.proto import api_v1, common_v1
from google.protobuf.empty_pb2 import Empty
from google.protobuf.wrappers_pb2 import BytesValue

from support.grpc_door import NOON, GrpcDoor, error_of, grpc_beside
from wakeful.core.job import CountedFrom, Data, JobKey, RetryPolicy, TargetSpec
from wakeful.faces.dapr.sidecar import Sidecar

HOST = Sidecar("tests", actor_types=lambda: frozenset({"Cat", "Ca"}))


@pytest.fixture(scope="module")
def host(serve: Any) -> Iterator[Any]:
    with serve(HOST) as http:
        yield http


@pytest.fixture(scope="module", name="door")
def open_door(host: Any) -> Iterator[GrpcDoor]:
    with grpc_beside(host, HOST) as door:
        yield door


@pytest.fixture(autouse=True)
def none_before(door: GrpcDoor) -> None:
    for actor_type in ("Cat", "Ca"):
        request = api_v1.UnregisterActorRemindersByTypeRequest(actor_type=actor_type)
        assert door.stub.UnregisterActorRemindersByType(request) == api_v1.UnregisterActorRemindersByTypeResponse()


def asked(name: str = "feed", **fields: Any) -> api_v1.RegisterActorReminderRequest:
    whose = {"actor_type": "Cat", "actor_id": "7", "due_time": "5s"}
    return api_v1.RegisterActorReminderRequest(**whose | {"name": name} | fields)


def get(door: GrpcDoor, name: str = "feed") -> api_v1.GetActorReminderResponse:
    return door.stub.GetActorReminder(api_v1.GetActorReminderRequest(actor_type="Cat", actor_id="7", name=name))


def names(door: GrpcDoor, **which: Any) -> list[tuple[str, str]]:
    found = door.stub.ListActorReminders(api_v1.ListActorRemindersRequest(actor_type="Cat", **which)).reminders
    return [(one.reminder.actor_id, one.name) for one in found]


class TestAReminder:
    def test_is_a_job_that_its_actor_owns(self, door: GrpcDoor, host: Any) -> None:
        policy = common_v1.JobFailurePolicy(constant={"max_retries": 2})
        request = asked(period="1m30s", ttl="2h", data=b"\x00\xff", failure_policy=policy)
        assert door.stub.RegisterActorReminder(request) == Empty()
        record = host.behind(lambda store: store.get_job(JobKey("default", "actor/Cat/7", "feed")))
        options = {"app_id": "tests", "due_time": "5s", "period": "1m30s", "ttl": "2h"}
        assert record.job.target == TargetSpec("actor", "Cat/7", options)
        assert record.job.queue == "actor/default/Cat"
        # A JSON string of base64, as daprd makes it (dapr pkg/api/universal/actors.go).
        assert record.job.data == Data("json", b'"AP8="')
        assert record.job.retry == RetryPolicy(2, timedelta(), CountedFrom.DUE)
        assert record.next_due_at == NOON + timedelta(seconds=5)

    def test_is_shown_as_it_was_given_with_its_data_as_bytes_of_json(self, door: GrpcDoor) -> None:
        door.stub.RegisterActorReminder(asked(period="90s", ttl="2h", data=b"hello"))
        shown = get(door)
        assert (shown.actor_type, shown.actor_id) == ("Cat", "7")
        assert (shown.due_time, shown.period, shown.ttl) == ("5s", "@every 1m30s", "2h")
        data = BytesValue()
        assert shown.data.Unpack(data)
        assert json.loads(data.value) == b64encode(b"hello").decode()

    def test_has_no_field_that_was_not_given(self, door: GrpcDoor) -> None:
        door.stub.RegisterActorReminder(asked())
        assert {field.name for field, _ in get(door).ListFields()} == {"actor_type", "actor_id", "due_time"}

    def test_replaces_one_of_its_name_unless_that_is_ruled_out(self, door: GrpcDoor) -> None:
        door.stub.RegisterActorReminder(asked())
        door.stub.RegisterActorReminder(asked(due_time="6s"))
        door.stub.RegisterActorReminder(asked(due_time="7s", overwrite=True))
        refused = error_of(door.stub.RegisterActorReminder, asked(due_time="8s", overwrite=False))
        assert refused == ("ALREADY_EXISTS", "actor reminder already exists: feed", None, {})
        assert get(door).due_time == "7s"

    def test_can_be_unregistered_when_it_is_not_there(self, door: GrpcDoor) -> None:
        request = api_v1.UnregisterActorReminderRequest(actor_type="Cat", actor_id="7", name="feed")
        door.stub.RegisterActorReminder(asked())
        assert door.stub.UnregisterActorReminder(request) == Empty()
        assert door.stub.UnregisterActorReminder(request) == Empty()
        assert names(door) == []

    def test_is_the_same_over_http(self, door: GrpcDoor, host: Any) -> None:
        path = "/v1.0/actors/Cat/7/reminders/feed"
        door.stub.RegisterActorReminder(asked(period="90s", data=b"hello"))
        shown = {"actorID": "7", "actorType": "Cat", "data": "aGVsbG8=", "dueTime": "5s", "period": "@every 1m30s"}
        assert host.client.get(path).json() == shown
        host.client.post(path, json={"dueTime": "6s", "data": {"a": 1}})
        data = BytesValue()
        assert get(door).data.Unpack(data)
        assert (get(door).due_time, data.value) == ("6s", b'{"a":1}')


class TestManyReminders:
    @pytest.fixture(autouse=True)
    def some(self, door: GrpcDoor) -> None:
        for actor_id in ("7", "77", "8"):
            door.stub.RegisterActorReminder(asked("feed", actor_id=actor_id))
            door.stub.RegisterActorReminder(asked("comb", actor_id=actor_id))
        door.stub.RegisterActorReminder(asked("other", actor_type="Ca"))

    def test_are_listed_by_actor_or_by_type(self, door: GrpcDoor) -> None:
        assert names(door, actor_id="7") == [("7", "comb"), ("7", "feed")]
        assert names(door) == [(actor, name) for actor in ("7", "77", "8") for name in ("comb", "feed")]

    def test_are_ended_by_actor_or_by_type(self, door: GrpcDoor) -> None:
        one = api_v1.UnregisterActorRemindersByTypeRequest(actor_type="Cat", actor_id="7")
        door.stub.UnregisterActorRemindersByType(one)
        assert [actor for actor, _ in names(door)] == ["77", "77", "8", "8"]
        door.stub.UnregisterActorRemindersByType(api_v1.UnregisterActorRemindersByTypeRequest(actor_type="Cat"))
        assert names(door) == []
        left = door.stub.ListActorReminders(api_v1.ListActorRemindersRequest(actor_type="Ca"))
        assert [one.name for one in left.reminders] == ["other"]


class TestARefusal:
    @pytest.mark.parametrize(
        ("fields", "code", "words"),
        [
            ({"name": ""}, "INVALID_ARGUMENT", "invalid request: reminder name cannot be empty"),
            ({"name": "a/b"}, "INVALID_ARGUMENT", "invalid request: name "),
            ({"actor_id": "a/b"}, "INVALID_ARGUMENT", "invalid request: name "),
            ({"period": "P1Y"}, "INTERNAL", "error creating actor reminder: unsupported period format: P1Y"),
            ({"due_time": "soon"}, "INTERNAL", "error creating actor reminder: rpc error: code = Unknown desc = job "),
            (
                {"failure_policy": {"constant": {"interval": {"seconds": 2**40}}}},
                "INVALID_ARGUMENT",
                "invalid request: failure_policy: an interval of ",
            ),
        ],
    )
    def test_of_what_can_not_be(self, door: GrpcDoor, fields: Any, code: str, words: str) -> None:
        given, message, reason, metadata = error_of(door.stub.RegisterActorReminder, asked(**fields))
        assert (given, reason, metadata) == (code, None, {})
        assert message.startswith(words)

    def test_of_a_reminder_that_is_not_there(self, door: GrpcDoor) -> None:
        request = api_v1.GetActorReminderRequest(actor_type="Cat", actor_id="7", name="feed")
        refused = error_of(door.stub.GetActorReminder, request)
        assert refused == ("NOT_FOUND", "actor reminder not found: feed", None, {})

    def test_of_actors_that_the_app_does_not_host(self, door: GrpcDoor) -> None:
        words = "operations on actor reminders are only possible on hosted actor types"
        who = {"actor_type": "Dog", "actor_id": "7"}
        for call, request in (
            (door.stub.RegisterActorReminder, asked(actor_type="Dog")),
            (door.stub.UnregisterActorReminder, api_v1.UnregisterActorReminderRequest(**who, name="x")),
            (door.stub.GetActorReminder, api_v1.GetActorReminderRequest(**who, name="x")),
            (door.stub.ListActorReminders, api_v1.ListActorRemindersRequest(**who)),
            (door.stub.UnregisterActorRemindersByType, api_v1.UnregisterActorRemindersByTypeRequest(**who)),
        ):
            assert error_of(call, request) == ("PERMISSION_DENIED", words, None, {})

    def test_of_a_type_of_daprs_own_before_anything_else(self, host: Any) -> None:
        reserved = "dapr.internal.default.tests.workflow"
        words = "is reserved for the Dapr workflow runtime; direct actor API access is not permitted"
        message = f'actor type "{reserved}" {words}'
        who = {"actor_type": reserved, "actor_id": "7"}
        with grpc_beside(host, Sidecar("tests", actor_types=lambda: frozenset({reserved}))) as door:
            for call, request in (
                (door.stub.RegisterActorReminder, asked(name="", actor_type=reserved)),
                (door.stub.UnregisterActorReminder, api_v1.UnregisterActorReminderRequest(**who, name="a/b")),
                (door.stub.GetActorReminder, api_v1.GetActorReminderRequest(**who, name="x")),
                (door.stub.ListActorReminders, api_v1.ListActorRemindersRequest(**who)),
                (door.stub.UnregisterActorRemindersByType, api_v1.UnregisterActorRemindersByTypeRequest(**who)),
            ):
                refused = ("PERMISSION_DENIED", message, "ERR_ACTOR_TYPE_RESERVED", {"actorType": reserved})
                assert error_of(call, request) == refused


def test_without_reminders_their_methods_are_not_there(dapr: Any) -> None:
    with grpc_beside(dapr, reminders=False) as door:
        code, _, _, _ = error_of(door.stub.RegisterActorReminder, asked())
    assert code == "UNIMPLEMENTED"

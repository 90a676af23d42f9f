"""One store, two doors: what was scheduled over gRPC is right over HTTP, and the other way round."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import pytest
from dapr.proto import api_v1, common_v1
from google.protobuf import json_format
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.protobuf.struct_pb2 import ListValue, Struct, Value
from google.protobuf.timestamp_pb2 import Timestamp
from google.protobuf.wrappers_pb2 import BytesValue, Int64Value, StringValue
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from support.examples import examples
from support.grpc_door import GrpcDoor, grpc_beside
from wakeful.core.job import Data, Job, JobKey, RetryPolicy, TargetSpec
from wakeful.core.ports import Put
from wakeful.core.schedule import ScheduleText, parse_schedule

NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)
EACH = settings(max_examples=examples(150), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module", name="door")
def open_door(dapr: Any) -> Iterator[GrpcDoor]:
    with grpc_beside(dapr) as door:
        yield door


def put(door: GrpcDoor, name: str, **fields: Any) -> None:
    door.stub.ScheduleJob(api_v1.ScheduleJobRequest(job=api_v1.Job(name=name, **fields), overwrite=True))


def shown(door: GrpcDoor, name: str) -> api_v1.Job:
    return door.stub.GetJob(api_v1.GetJobRequest(name=name)).job


def pack(message: Any) -> AnyMessage:
    packed = AnyMessage()
    packed.Pack(message)
    return packed


class TestOverHttpAJobOfGrpc:
    def test_is_protojson_of_the_same_message(self, door: GrpcDoor, dapr: Any) -> None:
        policy = {"constant": {"interval": Duration(seconds=2, nanos=500_000_000), "max_retries": 0}}
        fields = {"schedule": "@every 1h", "due_time": "5m", "repeats": 7, "ttl": "PT10H", "data": pack(Duration())}
        put(door, "typed", **fields, failure_policy=policy)
        response = dapr.client.get("/v1.0/jobs/typed")
        assert response.json() == json_format.MessageToDict(shown(door, "typed"))
        assert response.json()["failurePolicy"] == {"constant": {"interval": "2.500s", "maxRetries": 0}}

    @pytest.mark.parametrize("name", ["a||b", "ä ö", "%", "UPPER"])
    def test_has_the_same_name(self, door: GrpcDoor, dapr: Any, name: str) -> None:
        put(door, name, due_time="1h")
        path = f"/v1.0/jobs/{quote(name, safe='')}"
        assert dapr.client.get(path).json()["name"] == name
        assert dapr.client.delete(path).status_code == 204
        assert name not in {job.name for job in door.stub.ListJobs(api_v1.ListJobsRequest()).jobs}

    @pytest.mark.parametrize(
        ("message", "data"),
        [
            (StringValue(value="hello world"), "hello world"),
            (BytesValue(value=b"\x00\xff"), "AP8="),
            (Int64Value(value=123), "123"),
            (Timestamp(seconds=0), "1970-01-01T00:00:00Z"),
            (Value(string_value="x"), "x"),
            (pack(StringValue(value="x")), {"@type": "type.googleapis.com/google.protobuf.StringValue", "value": "x"}),
        ],
    )
    def test_has_its_data_as_protojson(self, door: GrpcDoor, dapr: Any, message: Any, data: Any) -> None:
        put(door, "data", due_time="1h", data=pack(message))
        kind = f"type.googleapis.com/{message.DESCRIPTOR.full_name}"
        for version in ("v1.0", "v1.0-alpha1"):
            body = dapr.client.get(f"/{version}/jobs/data").json()
            assert body["data"] == {"@type": kind, "value": data}

    @pytest.mark.parametrize("message", [Struct(), ListValue()])
    def test_has_a_struct_and_a_list_as_themselves(self, door: GrpcDoor, dapr: Any, message: Any) -> None:
        put(door, "data", due_time="1h", data=pack(message))
        assert dapr.client.get("/v1.0/jobs/data").json()["data"] == json_format.MessageToDict(pack(message))

    @pytest.mark.parametrize(
        "data",
        [
            AnyMessage(type_url="type.googleapis.com/my.own.Message", value=b"\x08\x01"),
            AnyMessage(type_url="type.googleapis.com/google.protobuf.StringValue", value=b"\xff"),
            AnyMessage(type_url="type.googleapis.com/google.protobuf.Value", value=b"\xff"),
            AnyMessage(type_url="", value=b"x"),
        ],
    )
    def test_cannot_be_shown_with_data_that_has_no_json(
        self, door: GrpcDoor, dapr: Any, check_error: Any, jobs: str, data: AnyMessage
    ) -> None:
        put(door, "opaque", due_time="1h", data=data)
        response = dapr.client.get(f"{jobs}/opaque")
        check_error(response, 500, "ERR_INTERNAL", "failed to encode response as JSON: ", None)
        assert len(response.content) < 1000

    def test_cannot_be_shown_with_any_in_any_without_end(self, door: GrpcDoor, dapr: Any, check_error: Any) -> None:
        data = AnyMessage()
        for _ in range(1_000):
            data = pack(data)
        put(door, "matryoshka", due_time="1h", data=data)
        assert shown(door, "matryoshka").data == data
        check_error(dapr.client.get("/v1.0/jobs/matryoshka"), 500, "ERR_INTERNAL", "failed to encode", None)

    def test_is_taken_for_one_that_exists(self, door: GrpcDoor, dapr: Any) -> None:
        put(door, "taken", due_time="1h")
        assert dapr.client.post("/v1.0/jobs/taken", json={"dueTime": "1h"}).status_code == 409


class TestOverGrpcAJobOfHttp:
    @pytest.mark.parametrize(
        "policy",
        [
            None,
            {"drop": {}},
            {"constant": {}},
            {"constant": {"interval": "3s", "maxRetries": 5}},
            {"constant": {"interval": "0.000001s"}},
            {"constant": {"maxRetries": 4294967295}},
        ],
    )
    def test_has_the_fields_that_were_given(self, door: GrpcDoor, dapr: Any, policy: Any) -> None:
        given = {"schedule": "0 0 9 * * *", "dueTime": "5m", "repeats": 7, "ttl": "20h", "failurePolicy": policy}
        dapr.upsert("/v1.0/jobs/plain", given)
        default = {"constant": {"interval": "1s", "maxRetries": 3}}
        wanted = json_format.ParseDict(given | {"name": "plain", "failurePolicy": policy or default}, api_v1.Job())
        assert shown(door, "plain") == wanted

    def test_has_no_field_that_was_not_given(self, door: GrpcDoor, dapr: Any) -> None:
        dapr.upsert("/v1.0/jobs/bare", {"dueTime": "1h"})
        assert {field.name for field, _ in shown(door, "bare").ListFields()} == {"name", "due_time", "failure_policy"}

    @pytest.mark.parametrize("text", ['"x"', "null", "[]", "{}", "-0.0", '{"a":[1.5,{"b":null}]}', '"\\ud83d\\ude00"'])
    def test_has_its_json_as_a_value(self, door: GrpcDoor, dapr: Any, text: str) -> None:
        dapr.client.put("/v1.0/jobs/json", content=b'{"dueTime":"1h","data":%s}' % text.encode())
        value = Value()
        assert shown(door, "json").data.Unpack(value)
        assert json.dumps(json_format.MessageToDict(value)) == json.dumps(json.loads(text))

    def test_may_be_nested_more_deeply_than_protobuf_goes(self, door: GrpcDoor, dapr: Any) -> None:
        dapr.client.put("/v1.0/jobs/deep", content=b'{"dueTime":"1h","data":%s%s}' % (b"[" * 500, b"]" * 500))
        assert shown(door, "deep").data.value.startswith(b"2")
        assert "deep" in {job.name for job in door.stub.ListJobs(api_v1.ListJobsRequest()).jobs}

    def test_may_be_large_without_holding_up_the_others(self, door: GrpcDoor, dapr: Any) -> None:
        dapr.client.put("/v1.0/jobs/large", json={"dueTime": "1h", "data": list(range(200_000))})
        value = Value()
        assert shown(door, "large").data.Unpack(value)
        assert len(value.list_value.values) == 200_000

    def test_shows_an_instant_in_schedule_as_due_time_so_that_it_can_be_scheduled_again(
        self, door: GrpcDoor, dapr: Any
    ) -> None:
        dapr.upsert("/v1.0-alpha1/jobs/instant", {"schedule": "2030-02-01T09:00:00Z"})
        job = shown(door, "instant")
        assert (job.HasField("schedule"), job.due_time) == (False, "2030-02-01T09:00:00Z")
        door.stub.ScheduleJob(api_v1.ScheduleJobRequest(job=job, overwrite=True))
        assert dapr.record("instant").next_due_at == datetime(2030, 2, 1, 9, tzinfo=UTC)


def test_a_job_of_neither_door_is_shown_within_the_bounds_of_the_message(door: GrpcDoor, dapr: Any) -> None:
    key = JobKey("default", "app/tests", "typed-in")
    text = ScheduleText(schedule="@every 1h", repeats=2**40)
    schedule = parse_schedule(text, "dapr", NOON, lambda _: None)
    retry = RetryPolicy(2**40, timedelta(seconds=1.5), multiplier=2)
    job = Job(key, schedule, TargetSpec("app", "x"), "app/default/tests", Data("json", b"1"), retry)
    dapr.behind(lambda store: store.put_job(job, Put.REPLACE, NOON))
    got = shown(door, "typed-in")
    assert (got.schedule, got.repeats) == ("@every 1h", 2**32 - 1)
    policy = common_v1.JobFailurePolicyConstant(interval=Duration(seconds=1, nanos=500_000_000), max_retries=2**32 - 1)
    assert got.failure_policy.constant == policy


plain = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(data=plain)
@EACH
def test_any_json_is_the_same_through_both_doors(door: GrpcDoor, dapr: Any, data: Any) -> None:
    value = json_format.ParseDict(data, Value()) if data is not None else Value(null_value=0)
    put(door, "same", due_time="1h", data=pack(value))
    assert dapr.client.get("/v1.0/jobs/same").json()["data"]["value"] == data
    dapr.upsert("/v1.0/jobs/same", {"dueTime": "1h", "data": data})
    back = Value()
    assert shown(door, "same").data.Unpack(back)
    assert back == value


@given(kind=st.text(max_size=40).filter(lambda text: text != "json"), content=st.binary(max_size=60))
@EACH
def test_any_data_at_all_comes_back_and_never_breaks_http(door: GrpcDoor, dapr: Any, kind: str, content: bytes) -> None:
    data = AnyMessage(type_url=kind, value=content)
    put(door, "any", due_time="1h", data=data)
    assert shown(door, "any").data == data
    response = dapr.client.get("/v1.0/jobs/any")
    assert response.status_code == 200 or response.json()["errorCode"] == "ERR_INTERNAL"

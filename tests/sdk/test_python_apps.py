"""Apps made with Dapr's Python SDK, beside a real ``wakeful run``: what they schedule, and what reaches them."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from dapr.clients import ConstantFailurePolicy, DaprClient, DropFailurePolicy, Job
from google.protobuf.any_pb2 import Any as GrpcAny
from google.protobuf.struct_pb2 import Value
from google.protobuf.wrappers_pb2 import StringValue

from support.processes import Wakeful, eventually

pytestmark = pytest.mark.slow

Runs = Callable[..., Wakeful]
Events = Callable[..., list[dict[str, Any]]]
Told = Callable[[Wakeful], list[dict[str, Any]]]

STABLE = "/dapr.proto.runtime.v1.AppCallback/OnJobEvent"
ALPHA = "/dapr.proto.runtime.v1.AppCallbackAlpha/OnJobEventAlpha1"
AT_ONCE = ConstantFailurePolicy(max_retries=2, interval_seconds=0)


def schedule(name: str, **job: Any) -> None:
    with DaprClient() as client:
        client.schedule_job(Job(name=name, **job))


def packed(message: Any) -> GrpcAny:
    data = GrpcAny()
    data.Pack(message)
    return data


def calls(told: list[dict[str, Any]]) -> list[str]:
    """The methods of the job callback that were called."""
    return [line["call"] for line in told if "JobEvent" in line.get("call", "")]


def test_a_grpc_app_gets_each_repeat_with_its_data(run_app: Runs, events: Events, ended: Events, told: Told) -> None:
    node = run_app("grpc_app.py", "grpc")
    data = GrpcAny(value=json.dumps({"message": "Hello"}).encode())
    schedule("report", schedule="@every 1s", repeats=2, data=data)

    assert [json.loads(event["data"]) for event in events(node, "report", 2)] == [{"message": "Hello"}] * 2
    assert [(run["state"], run["attempts"]) for run in ended(node, "report", 2)] == [("succeeded", 1)] * 2
    assert calls(told(node)) == [STABLE, STABLE]


def test_each_attempt_says_whose_it_is_and_a_failed_one_is_made_again(
    run_app: Runs, events: Events, ended: Events, told: Told
) -> None:
    node = run_app("grpc_app.py", "grpc")
    schedule("flaky", due_time="0s", failure_policy=AT_ONCE)

    events(node, "flaky", 2)
    (run,) = ended(node, "flaky")
    assert (run["state"], run["attempts"]) == ("succeeded", 2)
    metadata = [line["metadata"] for line in told(node) if line.get("call") == STABLE]
    assert [given["wakeful-attempt"] for given in metadata] == ["1", "2"]
    assert {given["wakeful-run-id"] for given in metadata} == {run["id"]}


def test_an_app_that_fails_every_time_is_asked_as_often_as_the_policy_says(
    run_app: Runs, events: Events, ended: Events
) -> None:
    node = run_app("grpc_app.py", "grpc")
    schedule("broken", due_time="0s", failure_policy=AT_ONCE)

    (run,) = ended(node, "broken")
    assert (run["state"], run["attempts"]) == ("failed", 3)
    assert "never" in json.dumps(run)
    assert len(events(node, "broken")) == 3


def test_after_a_failure_the_policy_drop_asks_no_more(run_app: Runs, events: Events, ended: Events) -> None:
    node = run_app("grpc_app.py", "grpc")
    schedule("broken", due_time="0s", failure_policy=DropFailurePolicy())

    (run,) = ended(node, "broken")
    assert (run["state"], run["attempts"]) == ("failed", 1)
    assert len(events(node, "broken")) == 1


def test_a_job_without_a_handler_is_tried_by_both_names_and_has_failed(
    run_app: Runs, ended: Events, told: Told
) -> None:
    node = run_app("grpc_app.py", "grpc")
    schedule("nobodys", due_time="0s", failure_policy=ConstantFailurePolicy(max_retries=1, interval_seconds=0))

    (run,) = ended(node, "nobodys")
    assert (run["state"], run["attempts"]) == ("failed", 2)
    asked = calls(told(node))
    assert asked[:2] == [STABLE, ALPHA]
    # Whether the second attempt asks by the first name again is wakeful's own choice.
    assert asked[-1] == ALPHA


@pytest.mark.parametrize(
    ("data", "arrives"),
    [
        (None, b""),
        (GrpcAny(value=b"\x00\xff no text"), b"\x00\xff no text"),
        (packed(StringValue(value="hello")), StringValue(value="hello").SerializeToString()),
        (packed(Value(string_value="tea")), Value(string_value="tea").SerializeToString()),
    ],
    ids=["none", "bytes", "a string", "a JSON value"],
)
def test_a_grpc_app_gets_the_data_byte_for_byte(
    run_app: Runs, events: Events, data: GrpcAny | None, arrives: bytes
) -> None:
    node = run_app("grpc_app.py", "grpc")
    schedule("bytes", due_time="0s", data=data)
    (event,) = events(node, "bytes")
    assert bytes.fromhex(event["data"]) == arrives


def test_a_job_of_http_reaches_a_grpc_app_as_a_value(run_app: Runs, events: Events) -> None:
    node = run_app("grpc_app.py", "grpc")
    node.put("bytes", dueTime="0s", data={"message": "Hello"})
    (event,) = events(node, "bytes")
    value = Value.FromString(bytes.fromhex(event["data"]))
    assert dict(value.struct_value) == {"message": "Hello"}


def test_an_app_finds_its_sidecar_by_its_environment(run_app: Runs, events: Events, ended: Events) -> None:
    node = run_app("grpc_app.py", "grpc", SCHEDULE_OWN="1")
    (event,) = events(node, "own")
    assert json.loads(event["data"]) == {"by": "the app"}
    assert ended(node, "own")[0]["state"] == "succeeded"


def test_an_app_finds_its_sidecar_by_its_environment_with_a_token(run_app: Runs, events: Events, told: Told) -> None:
    node = run_app("grpc_app.py", "grpc", SCHEDULE_OWN="1", DAPR_API_TOKEN="secret-7f3a", APP_API_TOKEN="secret-9c1b")
    events(node, "own")
    (metadata,) = [line["metadata"] for line in told(node) if line.get("call") == STABLE]
    assert metadata["dapr-api-token"] == "secret-9c1b"


def test_an_unwell_grpc_app_gets_its_job_when_it_is_well_again(
    run_app: Runs, events: Events, told: Told, tmp_path: Path
) -> None:
    well = tmp_path / "well"
    flags = ["--enable-app-health-check", "--app-health-probe-interval=1", "--app-health-threshold=1"]
    node = run_app("grpc_app.py", "grpc", *flags, WELL=str(well))
    schedule("report", due_time="0s", data=GrpcAny(value=b"late"))

    def probes(healthy: bool) -> int:
        return len([line for line in told(node) if line.get("probed") and line["well"] is healthy])

    asked = probes(False)
    eventually(lambda: probes(False) >= asked + 2, "probes of the unwell app")
    assert not [line for line in told(node) if line.get("job")]

    well.touch()
    (event,) = events(node, "report")
    assert event["data"] == "late"
    assert probes(True) >= 1


@pytest.mark.parametrize(
    ("data", "arrives"),
    [
        (GrpcAny(value=json.dumps({"message": "Hello"}).encode()), '{"message": "Hello"}'),
        (packed(Value(string_value="tea")), '"tea"'),
        (None, ""),
    ],
    ids=["untyped JSON", "a JSON value", "none"],
)
def test_an_http_app_gets_what_the_client_scheduled_over_grpc(
    run_app: Runs, events: Events, ended: Events, data: GrpcAny | None, arrives: str
) -> None:
    node = run_app("http_app.py", "http")
    schedule("report", due_time="0s", data=data)
    (event,) = events(node, "report")
    assert event["data"] == arrives
    assert ended(node, "report")[0]["state"] == "succeeded"

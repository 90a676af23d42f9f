"""Dapr's Python SDK as a client: its sync and its async client against one node, over gRPC."""

import asyncio
import json
from collections.abc import Callable, Iterator
from typing import Any

import grpc
import httpx2
import pytest
from dapr.aio.clients import DaprClient as AsyncDaprClient
from dapr.clients import ConstantFailurePolicy, DaprClient, DropFailurePolicy, Job
from dapr.clients.exceptions import DaprGrpcError
from dapr.conf import settings
from dapr.proto import api_service_v1, api_v1
from google.protobuf.any_pb2 import Any as GrpcAny
from google.protobuf.struct_pb2 import Value
from google.protobuf.wrappers_pb2 import StringValue

from support.processes import Wakeful

pytestmark = pytest.mark.slow


class _EachInALoop:
    """The async client, with methods to call from where no loop runs."""

    def __getattr__(self, method: str) -> Any:
        async def call(*given: Any, **named: Any) -> Any:
            async with AsyncDaprClient() as client:
                return await getattr(client, method)(*given, **named)

        return lambda *given, **named: asyncio.run(call(*given, **named))


@pytest.fixture(params=["sync", "async"])
def client(sidecar: Wakeful, request: pytest.FixtureRequest) -> Iterator[Any]:
    if request.param == "async":
        yield _EachInALoop()
    else:
        with DaprClient() as client:
            yield client


@pytest.fixture
def stub(sidecar: Wakeful) -> Iterator[Any]:
    """What the SDK's clients call, for what they have no method for."""
    with grpc.insecure_channel(f"127.0.0.1:{settings.DAPR_GRPC_PORT}") as channel:
        stub = api_service_v1.DaprStub(channel)
        yield stub
        stub.DeleteJobsByPrefix(api_v1.DeleteJobsByPrefixRequest(), timeout=10)


def json_data(value: Any) -> GrpcAny:
    """Data as the SDK's own examples make it: bytes, without a type."""
    return GrpcAny(value=json.dumps(value).encode())


def packed(message: Any) -> GrpcAny:
    data = GrpcAny()
    data.Pack(message)
    return data


def refusal(call: Any, *given: Any, **named: Any) -> DaprGrpcError:
    with pytest.raises(DaprGrpcError) as caught:
        call(*given, **named)
    return caught.value


def test_a_job_is_read_as_it_was_scheduled(client: Any) -> None:
    job = Job(
        name="whole",
        schedule="0 30 9 * * MON-FRI",
        repeats=7,
        due_time="2031-01-31T09:00:00Z",
        ttl="2032-01-31T09:00:00Z",
        data=json_data({"kind": "weekly", "n": 1.5}),
        failure_policy=ConstantFailurePolicy(max_retries=4, interval_seconds=20),
    )
    client.schedule_job(job, overwrite=True)

    read = client.get_job("whole")
    policy = read.failure_policy
    assert isinstance(policy, ConstantFailurePolicy)
    assert (policy.max_retries, policy.interval_seconds) == (4, 20)
    assert read.data == job.data
    for field in ("name", "schedule", "repeats", "due_time", "ttl"):
        assert getattr(read, field) == getattr(job, field)


def test_a_job_without_a_policy_shows_daprs_own(client: Any) -> None:
    client.schedule_job(Job(name="plain", schedule="@daily"), overwrite=True)

    read = client.get_job("plain")
    assert (read.failure_policy.max_retries, read.failure_policy.interval_seconds) == (3, 1)
    assert (read.due_time, read.repeats, read.ttl, read.data) == (None, None, None, None)


@pytest.mark.parametrize("retries", [0, 1, None])
def test_the_retries_of_a_policy_are_kept_and_none_of_them_is_not_zero(client: Any, retries: int | None) -> None:
    policy = ConstantFailurePolicy(max_retries=retries, interval_seconds=5)
    client.schedule_job(Job(name="retries", schedule="@daily", failure_policy=policy), overwrite=True)
    assert client.get_job("retries").failure_policy.max_retries == retries


def test_the_policy_drop_is_kept(client: Any) -> None:
    job = Job(name="dropped", due_time="2031-01-31T09:00:00Z", failure_policy=DropFailurePolicy())
    client.schedule_job(job, overwrite=True)
    assert isinstance(client.get_job("dropped").failure_policy, DropFailurePolicy)


@pytest.mark.parametrize(
    "data",
    [
        json_data({"a": [1, None, "x"]}),
        GrpcAny(value=b"\x00\xff no text"),
        packed(StringValue(value="hello world")),
        packed(Value(string_value="a JSON value")),
        GrpcAny(type_url="type.googleapis.com/shop.v1.Order", value=b"\x08\x01"),
    ],
    ids=["untyped JSON", "bytes", "a string", "a JSON value", "a type that nobody knows"],
)
def test_data_of_any_type_comes_back_byte_for_byte(client: Any, data: GrpcAny) -> None:
    client.schedule_job(Job(name="data", schedule="@daily", data=data), overwrite=True)
    assert client.get_job("data").data == data


@pytest.mark.parametrize("name", ["a||b", "with space", "UPPER_lower-1.x", "user@host:1", "café", "n" * 480])
def test_a_name_is_what_the_caller_says(client: Any, name: str) -> None:
    client.schedule_job(Job(name=name, schedule="@daily"), overwrite=True)
    assert client.get_job(name).name == name
    client.delete_job(name)
    assert refusal(client.get_job, name).code() == grpc.StatusCode.INTERNAL


def test_an_existing_name_is_refused_and_the_first_job_stays(client: Any) -> None:
    client.schedule_job(Job(name="twice", schedule="@daily"), overwrite=True)

    error = refusal(client.schedule_job, Job(name="twice", schedule="@hourly"))

    assert error.code() == grpc.StatusCode.ALREADY_EXISTS
    assert error.error_code() == "DAPR_SCHEDULER_SCHEDULE_JOB"
    assert "twice" in error.details()
    assert error.status_details().error_info["metadata"]["appID"] == "sdk"
    assert client.get_job("twice").schedule == "@daily"


def test_an_existing_name_is_replaced_when_told_so(client: Any) -> None:
    client.schedule_job(Job(name="replaced", schedule="@daily", data=json_data(1)), overwrite=True)
    client.schedule_job(Job(name="replaced", schedule="@hourly"), overwrite=True)

    read = client.get_job("replaced")
    assert (read.schedule, read.data) == ("@hourly", None)


def test_an_unknown_job_is_an_internal_error_in_daprs_words(client: Any) -> None:
    error = refusal(client.get_job, "nobody")
    assert error.code() == grpc.StatusCode.INTERNAL
    assert error.error_code() == "DAPR_SCHEDULER_GET_JOB"
    assert error.details().startswith("failed to get job due to: ")
    assert error.details().endswith("job not found: nobody")


def test_deleting_is_the_same_whether_there_is_a_job_or_not(client: Any) -> None:
    client.schedule_job(Job(name="gone", schedule="@daily"), overwrite=True)
    client.delete_job("gone")
    client.delete_job("gone")
    assert refusal(client.get_job, "gone").details().endswith("job not found: gone")
    client.schedule_job(Job(name="gone", schedule="@daily"))


@pytest.mark.parametrize(
    ("job", "says"),
    [
        (Job(name="bad", schedule="every day"), "every day"),
        (Job(name="bad", schedule="61 * * * * *"), "61"),
        (Job(name="bad", due_time="tomorrow"), "due"),
        (Job(name="bad", schedule="@daily", ttl="soon"), "ttl"),
        (Job(name="bad", schedule="@daily", repeats=0), "repeats"),
        (Job(name="bad", due_time="1h", ttl="2h"), "ttl"),
        (Job(name="a/b", schedule="@daily"), "a/b"),
    ],
    ids=lambda given: str(given.__dict__) if isinstance(given, Job) else given,
)
def test_a_job_that_can_not_be_is_refused_with_the_reason(client: Any, job: Job, says: str) -> None:
    error = refusal(client.schedule_job, job)
    assert error.code() == grpc.StatusCode.INTERNAL
    assert error.error_code() == "DAPR_SCHEDULER_SCHEDULE_JOB"
    assert error.details().startswith("failed to schedule job due to: ")
    assert says in error.details().lower()


def test_the_deprecated_methods_of_the_client_work(client: Any) -> None:
    with pytest.warns(DeprecationWarning):
        client.schedule_job_alpha1(Job(name="older", schedule="@daily"), overwrite=True)
    with pytest.warns(DeprecationWarning):
        assert client.get_job_alpha1("older").schedule == "@daily"
    with pytest.warns(DeprecationWarning):
        client.delete_job_alpha1("older")
    assert refusal(client.get_job, "older").code() == grpc.StatusCode.INTERNAL


def test_the_client_learns_whose_sidecar_it_is(client: Any) -> None:
    assert client.get_metadata().application_id == "sdk"
    client.set_metadata("mine", "kept")
    assert client.get_metadata().extended_metadata["mine"] == "kept"


def test_the_deprecated_calls_of_older_sdks_are_answered(stub: Any) -> None:
    job = api_v1.Job(name="alpha", schedule="@daily", data=json_data("x"))
    stub.ScheduleJobAlpha1(api_v1.ScheduleJobRequest(job=job), timeout=10)
    with pytest.raises(grpc.RpcError) as caught:
        stub.ScheduleJobAlpha1(api_v1.ScheduleJobRequest(job=job), timeout=10)
    assert caught.value.code() == grpc.StatusCode.ALREADY_EXISTS
    assert stub.GetJobAlpha1(api_v1.GetJobRequest(name="alpha"), timeout=10).job.schedule == "@daily"
    names = [job.name for job in stub.ListJobsAlpha1(api_v1.ListJobsRequestAlpha1(), timeout=10).jobs]
    assert "alpha" in names
    stub.DeleteJobAlpha1(api_v1.DeleteJobRequest(name="alpha"), timeout=10)
    stub.DeleteJobsByPrefixAlpha1(api_v1.DeleteJobsByPrefixRequestAlpha1(name_prefix="alpha"), timeout=10)
    with pytest.raises(grpc.RpcError):
        stub.GetJob(api_v1.GetJobRequest(name="alpha"), timeout=10)


def test_jobs_are_listed_in_the_order_of_their_names_and_deleted_by_prefix(stub: Any) -> None:
    stub.DeleteJobsByPrefix(api_v1.DeleteJobsByPrefixRequest(), timeout=10)
    for name in ("b-2", "a", "b-10", "B"):
        job = api_v1.Job(name=name, schedule="@daily", data=json_data(name))
        stub.ScheduleJob(api_v1.ScheduleJobRequest(job=job), timeout=10)

    listed = stub.ListJobs(api_v1.ListJobsRequest(), timeout=10).jobs
    assert [job.name for job in listed] == ["B", "a", "b-10", "b-2"]
    assert [json.loads(job.data.value) for job in listed] == ["B", "a", "b-10", "b-2"]

    stub.DeleteJobsByPrefix(api_v1.DeleteJobsByPrefixRequest(name_prefix="b-"), timeout=10)
    assert [job.name for job in stub.ListJobs(api_v1.ListJobsRequest(), timeout=10).jobs] == ["B", "a"]


@pytest.mark.parametrize(
    ("request_", "reason"),
    [
        (api_v1.ScheduleJobRequest(), "DAPR_SCHEDULER_EMPTY"),
        (api_v1.ScheduleJobRequest(job=api_v1.Job(schedule="@daily")), "DAPR_SCHEDULER_JOB_NAME_EMPTY"),
        (api_v1.ScheduleJobRequest(job=api_v1.Job(name="x")), "DAPR_SCHEDULER_SCHEDULE_EMPTY"),
    ],
)
def test_what_the_client_would_not_send_is_an_invalid_argument(stub: Any, request_: Any, reason: str) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        stub.ScheduleJob(request_, timeout=10)
    error = DaprGrpcError(caught.value)
    assert (error.code(), error.error_code()) == (grpc.StatusCode.INVALID_ARGUMENT, reason)


def test_a_job_of_http_is_read_with_its_json_as_a_value(client: Any, sidecar: Wakeful) -> None:
    sidecar.put("from-http", schedule="@daily", data={"n": [1, 2.5, None, "x"]})
    value = Value()
    read = client.get_job("from-http")
    assert read.data.Unpack(value)
    assert list(value.struct_value["n"]) == [1, 2.5, None, "x"]


def test_a_job_of_the_client_is_read_over_http(client: Any, sidecar: Wakeful) -> None:
    data = packed(Value(string_value="tea"))
    client.schedule_job(Job(name="to-http", schedule="@daily", data=data), overwrite=True)
    shown = httpx2.get(sidecar.url("/v1.0/jobs/to-http"), timeout=10, trust_env=False).json()
    assert shown["schedule"] == "@daily"
    assert shown["data"] == {"@type": "type.googleapis.com/google.protobuf.Value", "value": "tea"}


def test_two_mebibytes_of_data_pass_and_more_is_refused(client: Any) -> None:
    limit = 2 * 1024 * 1024
    big = GrpcAny(value=b"x" * (limit - 1024))
    client.schedule_job(Job(name="big", schedule="@daily", data=big), overwrite=True)
    assert client.get_job("big").data == big
    bigger = Job(name="bigger", schedule="@daily", data=GrpcAny(value=b"x" * (limit + 1024)))
    error = refusal(client.schedule_job, bigger)
    # daprd has no rule for it: there it is its transport to the scheduler that refuses, with RESOURCE_EXHAUSTED.
    assert error.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert str(limit) in error.details()


def test_a_node_with_a_token_answers_only_those_who_have_it(
    run_nothing: Callable[..., Wakeful], monkeypatch: pytest.MonkeyPatch
) -> None:
    run_nothing(DAPR_API_TOKEN="secret-7f3a")

    with DaprClient() as client:
        assert refusal(client.get_job, "any").code() == grpc.StatusCode.UNAUTHENTICATED
    monkeypatch.setenv("DAPR_API_TOKEN", "secret-7f3a")
    for holder in (DaprClient(), _EachInALoop()):
        holder.schedule_job(Job(name="any", schedule="@daily"), overwrite=True)
        assert holder.get_job("any").schedule == "@daily"
    monkeypatch.setenv("DAPR_API_TOKEN", "secret-7f3b")
    assert refusal(_EachInALoop().get_job, "any").code() == grpc.StatusCode.UNAUTHENTICATED

"""The sidecar over gRPC: metadata, the end, health, tokens, and what is not there."""

import asyncio
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from datetime import timedelta
from typing import Any

import grpc
import pytest
from dapr.proto import api_v1
from google.protobuf.empty_pb2 import Empty

from support.grpc_door import SIDECAR, GrpcDoor, error_of, grpc_beside
from wakeful.core.ports import Health
from wakeful.faces.dapr.grpc_server import GrpcServer
from wakeful.faces.dapr.sidecar import AppConnection, AppHealthCheck, Sidecar
from wakeful.protos import health

TOKEN = (("dapr-api-token", "s3cret"),)


@pytest.fixture(scope="module", name="door")
def open_door(dapr: Any) -> Iterator[GrpcDoor]:
    with grpc_beside(dapr) as door:
        yield door


def check(door: GrpcDoor, service: str = "", **options: Any) -> Any:
    request = health.HealthCheckRequest(service=service)
    answer = door.call("/grpc.health.v1.Health/Check", request, health.HealthCheckResponse, **options)
    return health.HealthCheckResponse.ServingStatus.Name(answer.status)


class TestTheMetadata:
    def test_say_who_the_sidecar_is(self, door: GrpcDoor) -> None:
        assert door.stub.GetMetadata(api_v1.GetMetadataRequest()) == api_v1.GetMetadataResponse(
            id="tests",
            runtime_version="1.18.3",
            extended_metadata={"daprRuntimeVersion": "1.18.3"},
            app_connection_properties={},
            actor_runtime={"runtime_status": "DISABLED"},
            scheduler={"connected_addresses": ["127.0.0.1:50006"]},
        )

    def test_say_how_the_app_is_reached_and_what_it_hosts(self, dapr: Any) -> None:
        check = AppHealthCheck("/healthz", timedelta(seconds=5), timedelta(milliseconds=500), 3)
        app = AppConnection(8000, "grpc", "127.0.0.1", 7, check)
        sidecar = Sidecar("tests", app=lambda: app, actor_types=lambda: frozenset({"Cat"}))
        with grpc_beside(dapr, sidecar) as door:
            told = door.stub.GetMetadata(api_v1.GetMetadataRequest())
        assert told.app_connection_properties == api_v1.AppConnectionProperties(
            port=8000,
            protocol="grpc",
            channel_address="127.0.0.1",
            max_concurrency=7,
            health={
                "health_check_path": "/healthz",
                "health_probe_interval": "5s",
                "health_probe_timeout": "500ms",
                "health_threshold": 3,
            },
        )
        assert [actor.type for actor in told.active_actors_count] == ["Cat"]
        assert told.actor_runtime.runtime_status == api_v1.ActorRuntime.RUNNING
        assert not told.HasField("scheduler")

    def test_can_be_added_to(self, door: GrpcDoor) -> None:
        assert door.stub.SetMetadata(api_v1.SetMetadataRequest(key="k", value="ä")) == Empty()
        assert door.stub.GetMetadata(api_v1.GetMetadataRequest()).extended_metadata["k"] == "ä"
        assert door.metadata.shown()["extended"]["k"] == "ä"

    def test_have_bounds(self, door: GrpcDoor) -> None:
        code, message, _, _ = error_of(door.stub.SetMetadata, api_v1.SetMetadataRequest(key="k", value="x" * 5_000))
        assert code == "INVALID_ARGUMENT"
        assert message.endswith("an attribute may have 4096 characters at most")


def test_shutdown_asks_the_node_to_stop(dapr: Any) -> None:
    with grpc_beside(dapr) as door:
        assert door.stub.Shutdown(api_v1.ShutdownRequest()) == Empty()
        assert door.stopped == 1


class TestTheHealth:
    @pytest.mark.parametrize("service", ["", "dapr.proto.runtime.v1.Dapr", "grpc.health.v1.Health"])
    def test_is_whether_claims_are_on_time(self, door: GrpcDoor, dapr: Any, service: str) -> None:
        assert check(door, service) == "SERVING"
        dapr.idle.well = Health(False, "no claim for 5 s")
        try:
            assert check(door, service) == "NOT_SERVING"
        finally:
            dapr.idle.well = Health(True)

    def test_of_an_unknown_service_is_not_found(self, door: GrpcDoor) -> None:
        with pytest.raises(grpc.RpcError) as refused:
            check(door, "unknown")
        assert refused.value.code() is grpc.StatusCode.NOT_FOUND


@pytest.fixture(scope="module", name="guarded")
def open_guarded(dapr: Any) -> Iterator[GrpcDoor]:
    with grpc_beside(dapr, Sidecar("tests", api_token="s3cret")) as door:
        yield door


class TestATokenThatIsSet:
    @pytest.mark.parametrize(
        "metadata",
        [(), (("dapr-api-token", ""),), (("dapr-api-token", "s3cre"),), (("dapr-api-token", "wrong"), *TOKEN)],
    )
    def test_is_asked_for_by_every_method(self, guarded: GrpcDoor, metadata: Any) -> None:
        for call, request in (
            (guarded.stub.ListJobs, api_v1.ListJobsRequest()),
            (guarded.stub.GetMetadata, api_v1.GetMetadataRequest()),
            (guarded.stub.Shutdown, api_v1.ShutdownRequest()),
        ):
            refused = error_of(call, request, metadata=metadata)
            assert refused == ("UNAUTHENTICATED", "invalid api token", None, {})
        assert guarded.stopped == 0

    def test_lets_who_has_it_pass(self, guarded: GrpcDoor) -> None:
        guarded.stub.ListJobs(api_v1.ListJobsRequest(), metadata=TOKEN)

    def test_is_not_asked_for_by_health(self, guarded: GrpcDoor) -> None:
        assert check(guarded) == "SERVING"


class TestWhatIsNotThere:
    def test_is_unimplemented(self, door: GrpcDoor) -> None:
        code, _, _, _ = error_of(door.stub.GetState, api_v1.GetStateRequest(store_name="s", key="k"))
        assert code == "UNIMPLEMENTED"
        with pytest.raises(grpc.RpcError) as refused:
            door.call("/no.such.Service/Method", b"")
        assert refused.value.code() is grpc.StatusCode.UNIMPLEMENTED


class TestAMessageThatIsTooLarge:
    def test_is_refused_by_its_size(self, dapr: Any) -> None:
        with grpc_beside(dapr, SIDECAR, largest=1024 * 1024) as door:
            job = api_v1.Job(name="x", due_time="1h", data={"type_url": "t", "value": b"x" * 1024 * 1024})
            code, _, _, _ = error_of(door.stub.ScheduleJob, api_v1.ScheduleJobRequest(job=job))
            assert code == "RESOURCE_EXHAUSTED"


@pytest.mark.slow
def test_thousands_of_calls_at_once_are_all_answered(door: GrpcDoor) -> None:
    calls: list[Future[Any]] = [
        door.stub.GetMetadata.future(api_v1.GetMetadataRequest(), timeout=30) for _ in range(4_000)
    ]
    assert {call.result().id for call in calls} == {"tests"}


def test_a_fault_of_ours_tells_the_caller_nothing(serve: Callable[..., Any], caplog: Any) -> None:
    class Faulty:
        async def get_job(self, *_: object) -> None:
            raise RuntimeError("a secret\n" + "x" * 10_000)

        async def close(self) -> None:
            pass

    with serve(store=Faulty()) as dapr, grpc_beside(dapr) as door:
        refused = error_of(door.stub.GetJob, api_v1.GetJobRequest(name="x"))
    assert refused == ("INTERNAL", "an internal error occurred; the log has its place", None, {})
    (record,) = [record for record in caplog.records if record.name.startswith("wakeful")]
    line = record.getMessage()
    assert line.startswith("dapr.proto.runtime.v1.Dapr/GetJob failed in ")
    assert "RuntimeError: a secret" in line
    assert ("\n" in line, record.exc_info, len(line) < 1000) == (False, None, True)


def test_a_port_that_is_taken_is_an_error_of_the_system(door: GrpcDoor) -> None:
    async def start() -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            await GrpcServer([]).start("127.0.0.1", taken.getsockname()[1])

    with pytest.raises(OSError, match="can't listen on 127"):
        asyncio.run(start())

"""Dapr's JavaScript SDK, as a client over HTTP and gRPC, and as an app of both kinds.

Version 3.18 has no methods for jobs: it has the messages, the deprecated calls, and a callback that drops what comes.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from dapr.clients import ConstantFailurePolicy, DaprClient, Job
from google.protobuf.any_pb2 import Any as GrpcAny

from support.processes import Wakeful

# The packages are installed on first use.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

Runs = Callable[..., Wakeful]
Events = Callable[..., list[dict[str, Any]]]

ALREADY_EXISTS = 6
INTERNAL = 13


@pytest.fixture
def steps(sidecar: Wakeful, javascript: Callable[..., Any]) -> Callable[..., list[dict[str, Any]]]:
    """Has a client of the SDK take these steps; what each came to."""

    def take(protocol: str, *steps: dict[str, Any], version: str = "v1.0") -> list[dict[str, Any]]:
        answers: list[dict[str, Any]] = javascript(
            "client.js", {"protocol": protocol, "version": version, "steps": steps}
        )
        return answers

    return take


def test_the_lock_file_pins_every_package_by_its_hash_and_names_no_place() -> None:
    text = (Path(__file__).parent / "js" / "package-lock.json").read_text()
    pinned = {path: entry for path, entry in json.loads(text)["packages"].items() if path}
    assert pinned
    assert all(entry["integrity"].startswith("sha512-") and "resolved" not in entry for entry in pinned.values())
    assert "://" not in text


def test_jobs_over_grpc(steps: Any) -> None:
    job = {
        "name": "js",
        "schedule": "0 30 9 * * MON-FRI",
        "dueTime": "2031-01-31T09:00:00Z",
        "repeats": 7,
        "ttl": "2032-01-31T09:00:00Z",
        "data": {"kind": "weekly"},
        "constant": {"seconds": 20, "maxRetries": 4},
    }
    put, got, again, over, unknown, bad, deleted, twice, gone = steps(
        "grpc",
        {"do": "schedule", **job, "overwrite": True},
        {"do": "get", "name": "js"},
        {"do": "schedule", **job},
        {"do": "schedule", **job, "overwrite": True},
        {"do": "get", "name": "nobody"},
        {"do": "schedule", "name": "bad", "schedule": "every day"},
        {"do": "delete", "name": "js"},
        {"do": "delete", "name": "js"},
        {"do": "get", "name": "js"},
    )
    assert put == over == deleted == twice == {"ok": None}
    assert got == {"ok": job}
    assert again["failed"]["code"] == ALREADY_EXISTS
    assert unknown["failed"]["code"] == gone["failed"]["code"] == INTERNAL
    assert unknown["failed"]["message"].endswith("job not found: nobody")
    assert bad["failed"]["message"].startswith("failed to schedule job due to: ")


def test_jobs_over_http(steps: Any) -> None:
    job = {"schedule": "0 30 9 * * MON-FRI", "repeats": 7, "data": {"kind": "weekly"}}
    put, got, again, over, unknown, bad, deleted, gone = steps(
        "http",
        {"do": "schedule", "name": "js-http", **job, "overwrite": True},
        {"do": "get", "name": "js-http"},
        {"do": "schedule", "name": "js-http", **job},
        {"do": "schedule", "name": "js-http", **job, "overwrite": True},
        {"do": "get", "name": "nobody"},
        {"do": "schedule", "name": "bad", "schedule": "every day"},
        {"do": "delete", "name": "js-http"},
        {"do": "get", "name": "js-http"},
    )
    assert put == over == deleted == {"ok": ""}
    assert (got["ok"]["schedule"], got["ok"]["repeats"]) == (job["schedule"], job["repeats"])
    assert got["ok"]["data"]["value"] == job["data"]
    assert (again["failed"]["status"], again["failed"]["errorCode"]) == (409, "DAPR_SCHEDULER_SCHEDULE_JOB")
    assert (unknown["failed"]["status"], unknown["failed"]["errorCode"]) == (500, "DAPR_SCHEDULER_GET_JOB")
    assert bad["failed"]["errorCode"] == "DAPR_SCHEDULER_SCHEDULE_JOB"
    assert "failed" in gone


def test_jobs_over_the_alpha_routes(steps: Any) -> None:
    put, again, unknown = steps(
        "http",
        {"do": "schedule", "name": "js-alpha", "schedule": "@daily"},
        {"do": "schedule", "name": "js-alpha", "schedule": "@hourly"},
        {"do": "get", "name": "nobody"},
        version="v1.0-alpha1",
    )
    assert put == again == {"ok": ""}
    assert unknown["failed"]["status"] == 404


def test_an_http_app_gets_each_repeat(run_app: Runs, events: Events, ended: Events, javascript: Any) -> None:
    node = run_app("http_app.js", "http")
    node.put("report", schedule="@every 1s", repeats=2, data={"message": "Hello"})

    seen = events(node, "report", 2)
    assert [event["data"] for event in seen] == [{"message": "Hello"}] * 2
    runs = ended(node, "report", 2)
    assert [run["state"] for run in runs] == ["succeeded"] * 2
    assert {event["run"] for event in seen} == {run["id"] for run in runs}


def test_an_http_app_finds_its_sidecar_by_its_environment(run_app: Runs, events: Events, javascript: Any) -> None:
    node = run_app("http_app.js", "http", SCHEDULE_OWN="1")
    assert [event["data"] for event in events(node, "report")] == [{"by": "the app"}]


def test_a_grpc_app_that_knows_only_the_deprecated_callback_gets_its_jobs(
    run_app: Runs, events: Events, ended: Events, javascript: Any
) -> None:
    # To the stable name it answers with HTTP's 404 and nothing of gRPC, which means UNIMPLEMENTED (gRPC's table of HTTP
    # codes); daprd 1.18.3 takes it for INTERNAL, and never gets a job to such an app.
    node = run_app("grpc_app.js", "grpc")
    with DaprClient() as client:
        client.schedule_job(Job(name="report", schedule="@every 1s", repeats=2, data=GrpcAny(value=b'{"n": 1}')))

    seen = events(node, "report", 2)
    assert [json.loads(event["data"]) for event in seen] == [{"n": 1}] * 2
    assert {event["method"] for event in seen} == {"job/report"}
    runs = ended(node, "report", 2)
    assert [(run["state"], run["attempts"]) for run in runs] == [("succeeded", 1)] * 2
    assert {event["run"] for event in seen} == {run["id"] for run in runs}


def test_a_job_of_http_reaches_a_grpc_app_with_its_type(run_app: Runs, events: Events, javascript: Any) -> None:
    node = run_app("grpc_app.js", "grpc")
    node.put("report", dueTime="0s", data={"n": 1})
    (event,) = events(node, "report")
    assert event["type"] == "type.googleapis.com/google.protobuf.Value"


def test_a_grpc_app_that_throws_is_asked_again(run_app: Runs, events: Events, ended: Events, javascript: Any) -> None:
    node = run_app("grpc_app.js", "grpc")
    with DaprClient() as client:
        policy = ConstantFailurePolicy(max_retries=2, interval_seconds=0)
        client.schedule_job(Job(name="flaky", due_time="0s", failure_policy=policy))

    (run,) = ended(node, "flaky")
    assert (run["state"], run["attempts"]) == ("succeeded", 2)
    assert len(events(node, "flaky", 2)) == 2


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_the_client_ends_its_sidecar(run_nothing: Runs, javascript: Any, protocol: str) -> None:
    node = run_nothing()
    argument = {"protocol": protocol, "version": "v1.0", "steps": [{"do": "shutdown"}]}
    assert javascript("client.js", argument) == [{"ok": None}]
    assert node.exit_code() == 0
    assert "Traceback" not in node.err

"""The sample task-executor, against a scripted sidecar and then, with its logs, under wakeful."""

import json
import logging
import re
import shutil
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from fastapi.testclient import TestClient

pytestmark = pytest.mark.slow

SAMPLE = "task-executor/main"
README = Path(__file__).parents[2] / "examples" / "README.md"
SCHEDULE_TASK = "/programmatic/schedule-task"


@pytest.fixture
def sidecar(scripted: Callable[..., Any]) -> Any:
    return scripted(204)


@pytest.fixture
def client(load: Callable[..., ModuleType], sidecar: Any, caplog: pytest.LogCaptureFixture) -> TestClient:
    caplog.set_level(logging.INFO, logger="jobs_lab.main")
    return TestClient(load(SAMPLE, DAPR_HTTP_PORT=str(sidecar.port)).app, raise_server_exceptions=False)


def parameters(client: TestClient) -> dict[str, dict[str, Any]]:
    """The query parameters of the scheduling call, as its OpenAPI document declares them."""
    call = client.get("/openapi.json").json()["paths"][SCHEDULE_TASK]["post"]
    return {field["name"]: field for field in call["parameters"]}


def test_s0_1_title_module_and_logger(client: TestClient, load: Callable[..., ModuleType]) -> None:
    assert client.get("/openapi.json").json()["info"]["title"] == "TaskExecutorService"
    service = load(SAMPLE)
    assert (service.__name__, service.log.name) == ("main", "jobs_lab.main")


def test_s0_2_the_readme_starts_it_on_port_8002() -> None:
    assert re.search(r"--app-port 8002 .* -- uvicorn main:app --port 8002", README.read_text())


def test_s0_3_the_target_answers_success(client: TestClient) -> None:
    answer = client.post("/executeScheduledTask", json={"n": 1})
    assert answer.status_code == 200
    assert answer.json()["status"] == "success"
    assert answer.json()["data_echo"] == {"n": 1}
    assert answer.json().keys() == {"status", "message", "received_at", "data_echo"}


def test_s0_4_each_call_is_logged_with_its_utc_instant(client: TestClient, caplog: pytest.LogCaptureFixture) -> None:
    client.post("/executeScheduledTask")
    instant = r"\[\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}\+00:00\]"
    assert len(caplog.records) == 1
    assert caplog.records[0].levelname == "INFO"
    assert re.fullmatch(f"{instant} /executeScheduledTask was called by a Dapr job", caplog.messages[0])


def test_s0_5_a_call_with_json_logs_the_data_too(client: TestClient, caplog: pytest.LogCaptureFixture) -> None:
    client.post("/executeScheduledTask", json={"message": "grüezi"})
    assert [record.levelname for record in caplog.records] == ["INFO", "INFO"]
    assert caplog.messages[1] == 'Job data: {"message": "grüezi"}'


@pytest.mark.parametrize(
    ("kind", "body", "echo"),
    [
        ("text/plain; charset=utf-8", b"hi", "hi"),
        ("application/octet-stream", b"\x00", None),
        ("application/json", b"", None),
    ],
)
def test_s0_5_other_kinds_of_data(client: TestClient, kind: str, body: bytes, echo: Any) -> None:
    answer = client.post("/executeScheduledTask", content=body, headers={"content-type": kind})
    assert (answer.status_code, answer.json()["data_echo"]) == (200, echo)


@pytest.mark.parametrize("path", ["/executeScheduledTask", "/job/tick"])
def test_s0_5_unreadable_data_fails_the_attempt_with_a_reason(client: TestClient, path: str) -> None:
    answer = client.post(path, content=b"{'n': 1}", headers={"content-type": "application/json"})
    assert answer.status_code == 400
    assert "not JSON" in answer.json()["detail"]


def test_s0_43_a_job_without_a_target_has_a_handler(client: TestClient) -> None:
    answer = client.post("/job/tick", json=[1])
    assert (answer.status_code, answer.json()["data_echo"]) == (200, [1])
    assert "tick" in answer.json()["message"]


def test_healthz(client: TestClient) -> None:
    answer = client.get("/healthz")
    assert (answer.text, answer.headers["content-type"]) == ("OK", "text/plain; charset=utf-8")


def test_s0_7_without_a_name_a_unique_one_is_made_and_told(client: TestClient, sidecar: Any) -> None:
    """The lab made such names in code that nobody could reach."""
    names = [client.post(SCHEDULE_TASK).json()["job_name"] for _ in range(2)]
    assert len(set(names)) == 2
    assert [call.path for call in sidecar.calls] == [f"/v1.0-alpha1/jobs/{name}" for name in names]


def test_s0_8_schedule_defaults_to_every_minute(client: TestClient, sidecar: Any) -> None:
    assert parameters(client)["schedule"]["schema"]["default"] == "@every 1m"
    client.post(SCHEDULE_TASK, params={"job_name": "x"})
    assert sidecar.calls[0].json["schedule"] == "@every 1m"


def test_s0_9_repeats_is_an_integer_that_defaults_to_0(client: TestClient, sidecar: Any) -> None:
    schema = parameters(client)["repeats"]["schema"]
    assert (schema["type"], schema["default"]) == ("integer", 0)
    for wrong in ("many", "-1"):
        answer = client.post(SCHEDULE_TASK, params={"job_name": "x", "repeats": wrong})
        assert (answer.status_code, answer.json()["detail"][0]["loc"]) == (422, ["query", "repeats"])
    assert sidecar.calls == []


def test_s0_10_only_positive_repeats_are_sent(client: TestClient, sidecar: Any) -> None:
    for repeats in ("0", "1", "7"):
        client.post(SCHEDULE_TASK, params={"job_name": "x", "repeats": repeats})
    assert [call.json.get("repeats") for call in sidecar.calls] == [None, 1, 7]


DEFAULT_DATA = {"message": "Programmatically scheduled!", "source": "x"}


@pytest.mark.parametrize(
    ("row", "request_", "data"),
    [
        ("s0_12: an empty object", {"json": {}}, DEFAULT_DATA),
        ("s0_13: no body", {}, DEFAULT_DATA),
        ("s0_15: task_data alone is unwrapped", {"json": {"task_data": {"n": 1}}}, {"n": 1}),
        ("s0_11: any other object is the data", {"json": {"n": 1}}, {"n": 1}),
        ("s0_11: also one that holds task_data", {"json": {"n": 1, "task_data": {}}}, {"n": 1, "task_data": {}}),
        ("s0_14: task_data of null", {"json": {"task_data": None}}, DEFAULT_DATA),
        ("s0_14: null", {"content": b"null", "headers": {"content-type": "application/json"}}, DEFAULT_DATA),
    ],
)
def test_s0_11_to_s0_15_forms_of_the_body(
    client: TestClient, sidecar: Any, row: str, request_: dict[str, Any], data: dict[str, Any]
) -> None:
    answer = client.post(SCHEDULE_TASK, params={"job_name": "x"}, **request_)
    assert answer.status_code == 200, row
    assert sidecar.calls[0].json["data"] == data, row


def test_s0_15_name_schedule_and_repeats_may_stand_in_the_body(client: TestClient, sidecar: Any) -> None:
    form = {"job_name": "y", "schedule": "@every 2s", "repeats": 3, "task_data": {"n": 1}}
    answer = client.post(SCHEDULE_TASK, params={"job_name": "x", "repeats": "9"}, json=form)
    assert answer.json()["job_name"] == "y"
    assert sidecar.calls[0].path == "/v1.0-alpha1/jobs/y"
    job = sidecar.calls[0].json
    assert (job["schedule"], job["repeats"], job["data"]) == ("@every 2s", 3, {"n": 1})


def test_s0_16_the_answer_to_scheduling(client: TestClient) -> None:
    assert client.post(SCHEDULE_TASK, params={"job_name": "x"}).json() == {
        "status": "Job scheduled/updated",
        "job_name": "x",
        "response_status": 204,
        "response_text": "",
    }


def test_s0_17_s0_18_the_job_names_this_apps_method_as_its_target(
    load: Callable[..., ModuleType], sidecar: Any
) -> None:
    client = TestClient(load(SAMPLE, DAPR_HTTP_PORT=str(sidecar.port), APP_ID="another-name").app)
    client.post(SCHEDULE_TASK, params={"job_name": "x", "repeats": "2"})
    assert sidecar.calls[0].json == {
        "schedule": "@every 1m",
        "target": {"appId": "another-name", "method": "executeScheduledTask"},
        "data": DEFAULT_DATA,
        "repeats": 2,
    }


def test_s0_19_s0_20_the_payload_is_posted_to_the_port_of_the_environment(
    load: Callable[..., ModuleType], sidecar: Any
) -> None:
    service = load(SAMPLE, DAPR_HTTP_PORT=str(sidecar.port))
    url = service.JOBS_URL
    assert url == f"http://localhost:{sidecar.port}/v1.0-alpha1/jobs"
    TestClient(service.app).post(SCHEDULE_TASK, params={"job_name": "my job"})
    (call,) = sidecar.calls
    assert (call.method, call.path) == ("POST", "/v1.0-alpha1/jobs/my%20job")


def test_s0_21_status_is_the_sidecars_json_unchanged(client: TestClient, sidecar: Any) -> None:
    sidecar.answers.append((200, '{"name": "x", "status": {"last_run": null}}'))
    assert client.get("/programmatic/task-status/x").json() == {"name": "x", "status": {"last_run": None}}


def test_s0_22_the_answer_to_deleting(client: TestClient) -> None:
    assert client.delete("/programmatic/delete-task/x").json() == {
        "status": "Job deleted",
        "job_name": "x",
        "response_status": 204,
        "response_text": "",
    }


MANAGEMENT = pytest.mark.parametrize(
    ("method", "path", "purpose"),
    [
        ("POST", f"{SCHEDULE_TASK}?job_name=x", "schedule job"),
        ("GET", "/programmatic/task-status/x", "get job status"),
        ("DELETE", "/programmatic/delete-task/x", "delete job"),
    ],
)


@MANAGEMENT
@pytest.mark.parametrize("status", [400, 404, 409, 500])
def test_s0_44_what_the_sidecar_refuses_is_passed_on(
    client: TestClient, sidecar: Any, method: str, path: str, purpose: str, status: int
) -> None:
    sidecar.answers.append((status, '{"errorCode": "ERR"}'))
    answer = client.request(method, path)
    assert answer.status_code == status
    assert answer.json()["detail"] == f'Failed to {purpose}: {{"errorCode": "ERR"}}'


@MANAGEMENT
def test_s0_44_a_sidecar_that_is_not_there_is_told_apart(
    load: Callable[..., ModuleType], unused_port: int, method: str, path: str, purpose: str
) -> None:
    answer = TestClient(load(SAMPLE, DAPR_HTTP_PORT=str(unused_port)).app).request(method, path)
    assert answer.status_code == 500, purpose
    assert answer.json()["detail"].startswith("Internal server error: the sidecar at http://localhost:")


def test_s0_44_anything_else_is_500(client: TestClient, sidecar: Any) -> None:
    sidecar.answers.append((200, "<html>"))
    answer = client.get("/programmatic/task-status/x")
    assert answer.status_code == 500
    assert answer.json()["detail"].startswith("Internal server error: ")


@pytest.mark.parametrize("body", [b"{", b"[1]", b'{"task_data": "text"}', b'{"repeats": -1}'])
def test_s0_44_a_malformed_request_is_422_and_goes_no_further(client: TestClient, sidecar: Any, body: bytes) -> None:
    answer = client.post(SCHEDULE_TASK, content=body, headers={"content-type": "application/json"})
    assert answer.status_code == 422
    assert sidecar.calls == []


def test_s0_60_scheduling_by_get_is_refused_and_says_what_is_allowed(client: TestClient) -> None:
    answer = client.get(SCHEDULE_TASK, params={"job_name": "x"})
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")


# With wakeful: one `wakeful run` for the rest of this module.


@pytest.fixture(scope="module")
def lab(start: Callable[..., Any]) -> Any:
    return start("task-executor-app", SAMPLE)


def executions(lab: Any, marker: str) -> int:
    return lab.output().count(f'Job data: {{"marker": "{marker}"}}')


def schedule(lab: Any, name: str, every: str, **more: str) -> Any:
    """Makes a job whose data has the job's name as its marker."""
    return lab.app.post(
        SCHEDULE_TASK, params={"job_name": name, "schedule": every, **more}, json={"marker": name}
    ).raise_for_status()


def test_s0_3_s0_4_s0_5_a_due_job_calls_the_target_method(lab: Any, wait_for: Any) -> None:
    schedule(lab, "called", "@every 200ms", repeats="1")
    wait_for(lambda: executions(lab, "called") == 1, "the call")
    assert "/executeScheduledTask was called by a Dapr job" in lab.output()
    assert "INFO:jobs_lab.main:[" in lab.output()


def test_s0_6_s0_30_s0_45_the_same_name_again_replaces_the_job(lab: Any, wait_for: Any) -> None:
    first = schedule(lab, "same", "@every 1h").json()
    again = lab.app.post(
        SCHEDULE_TASK,
        params={"job_name": "same", "schedule": "@every 200ms", "repeats": "2"},
        json={"marker": "same again"},
    ).json()
    assert first == again
    assert lab.app.get("/programmatic/task-status/same").json()["schedule"] == "@every 200ms"
    wait_for(lambda: lab.app.get("/programmatic/task-status/same").status_code == 404, "the end of its two repeats")
    assert (executions(lab, "same"), executions(lab, "same again")) == (0, 2)


def test_s0_10_without_repeats_it_goes_on(lab: Any, wait_for: Any) -> None:
    schedule(lab, "endless", "@every 100ms")
    assert wait_for(lambda: executions(lab, "endless") >= 5, "more than a few executions")
    lab.app.delete("/programmatic/delete-task/endless").raise_for_status()


def test_s0_12_s0_13_s0_14_the_default_data_arrives(lab: Any, wait_for: Any) -> None:
    parameters = {"schedule": "@every 100ms", "repeats": "1"}
    lab.app.post(SCHEDULE_TASK, params={"job_name": "no-body", **parameters})
    lab.app.post(SCHEDULE_TASK, params={"job_name": "empty-object", **parameters}, json={})
    for name in ("no-body", "empty-object"):
        data = json.dumps({"message": "Programmatically scheduled!", "source": name})
        assert wait_for(lambda data=data: f"Job data: {data}" in lab.output(), f"the data of {name}")


def test_s0_21_status_tells_the_schedule_and_the_last_execution(lab: Any, wait_for: Any) -> None:
    schedule(lab, "told", "@every 200ms")

    def status() -> Any:
        return lab.app.get("/programmatic/task-status/told").json()

    assert status()["schedule"] == "@every 200ms"
    last = wait_for(lambda: status()["status"]["last_run"], "a last execution")
    assert (last["state"], last["attempts"]) == ("succeeded", 1)
    now = datetime.now(UTC)
    scheduled_for, ended_at = (datetime.fromisoformat(last[key]) for key in ("scheduled_for", "ended_at"))
    assert now - timedelta(minutes=1) < scheduled_for <= ended_at <= now
    assert status()["status"]["succeeded"] >= 1
    lab.app.delete("/programmatic/delete-task/told")


def test_s0_22_s0_23_nothing_of_a_deleted_job_is_executed(lab: Any, wait_for: Any) -> None:
    schedule(lab, "deleted", "@every 100ms")
    wait_for(lambda: executions(lab, "deleted"), "an execution")
    assert lab.app.delete("/programmatic/delete-task/deleted").json()["status"] == "Job deleted"
    # A call that was under way may still end. The witness is made later and slower, so once it has been called,
    # the deleted job would have been, several times.
    schedule(lab, "witness", "@every 300ms", repeats="3")
    wait_for(lambda: executions(lab, "witness") == 1, "the witness")
    after_the_delete = executions(lab, "deleted")
    wait_for(lambda: executions(lab, "witness") == 3, "the witness again")
    assert executions(lab, "deleted") == after_the_delete
    assert lab.app.get("/programmatic/task-status/deleted").status_code == 404


def test_s0_24_three_firings_in_a_little_more_than_three_intervals(lab: Any, wait_for: Any) -> None:
    """The document's three within 65 s for @every 20s, at a twentieth of the time."""
    asked_at = datetime.now(UTC)
    schedule(lab, "often", "@every 1s")
    wait_for(lambda: executions(lab, "often") == 3, "three executions", 20)
    assert timedelta(seconds=3) <= datetime.now(UTC) - asked_at
    lab.app.delete("/programmatic/delete-task/often")


@pytest.mark.parametrize("name", ["myFirstProgrammaticJob", "myProgJob1"])
def test_s0_25_names_of_mixed_case(lab: Any, wait_for: Any, name: str) -> None:
    schedule(lab, name, "@every 100ms", repeats="1")
    assert wait_for(lambda: executions(lab, name) == 1, "the call")


def test_s0_27_one_command_starts_app_and_sidecar_and_shows_both_logs(lab: Any) -> None:
    of_the_app = [line for line in lab.output().splitlines() if "== APP ==" in line]
    assert any("Uvicorn running on" in line for line in of_the_app)
    assert len(of_the_app) < len(lab.output().splitlines())


def test_s0_28_nothing_else_is_needed(lab: Any) -> None:
    """It runs with the programs of a Python environment alone on its path: no Docker, no initialised CLI."""
    path = lab.environment["PATH"]
    assert not any(shutil.which(program, path=path) for program in ("docker", "dapr", "tilt", "kubectl"))
    assert lab.process.poll() is None


def test_s0_61_jobs_are_managed_while_their_target_is_out_of_reach(lab: Any, unused_port: int, start: Any) -> None:
    absent = start("absent", app_port=unused_port)
    assert absent.jobs.post("x", json={"schedule": "@every 100ms"}).status_code == 204
    assert absent.jobs.get("x").json()["schedule"] == "@every 100ms"
    assert absent.jobs.delete("x").status_code == 204
    assert absent.jobs.get("x").status_code == 404

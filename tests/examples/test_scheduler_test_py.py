"""The sample scheduler-test-py, against a scripted sidecar and, at the end, against wakeful."""

import ast
import logging
import re
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from fastapi.testclient import TestClient

pytestmark = pytest.mark.slow

SAMPLE = "scheduler-test-py/main"
EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture
def sidecar(scripted: Callable[..., Any]) -> Any:
    return scripted(204)


@pytest.fixture
def service(load: Callable[..., ModuleType], sidecar: Any, caplog: pytest.LogCaptureFixture) -> ModuleType:
    caplog.set_level(logging.INFO, logger="scheduler-test-py")
    return load(SAMPLE, DAPR_HTTP_PORT=str(sidecar.port))


@pytest.fixture
def client(service: ModuleType) -> TestClient:
    # An exception that the app has answered reaches uvicorn's log, not the caller.
    return TestClient(service.app, raise_server_exceptions=False)


def test_s1_62_scheduling_posts_to_the_alpha_path_with_the_name_alone(client: TestClient, sidecar: Any) -> None:
    """S1.61 has another path in its prose; the code's is the one that exists."""
    client.post("/schedule-job/tick")
    assert [(call.method, call.path) for call in sidecar.calls] == [("POST", "/v1.0-alpha1/jobs/tick")]


def test_s1_62_a_name_with_a_space_stays_one_path_segment(client: TestClient, sidecar: Any) -> None:
    client.post("/schedule-job/every%20day")
    assert sidecar.calls[0].path == "/v1.0-alpha1/jobs/every%20day"


def test_s1_63_constants(load: Callable[..., ModuleType]) -> None:
    service = load(SAMPLE)
    assert (service.APP_ID, service.SCHEDULE, service.REPEATS) == ("scheduler-test-py", "@every 10s", 3)
    assert service.DATA == {"message": "Hello from Python Job!"}
    assert service.JOBS_URL == "http://localhost:3500/v1.0-alpha1/jobs"


@pytest.mark.parametrize("name", ["tick", "any name at all", "Ünïcode"])
def test_s1_64_a_job_of_any_name_is_received(client: TestClient, name: str) -> None:
    answer = client.post(f"/job/{name}", json={"message": "hi"}).json()
    assert (answer["status"], answer["data"]) == ("SUCCESS", {"message": "hi"})
    received_at = datetime.fromisoformat(answer["received_at"])
    assert received_at.utcoffset() == timedelta(0)
    assert abs(datetime.now(UTC) - received_at) < timedelta(minutes=1)


def test_s1_64_a_job_without_data_is_received(client: TestClient) -> None:
    assert client.post("/job/tick").json()["data"] is None


def test_s1_64_data_that_cannot_be_read_fails_the_attempt(client: TestClient) -> None:
    answer = client.post("/job/tick", content=b"{")
    assert answer.status_code == 400
    assert "not JSON" in answer.json()["detail"]


def test_s1_65_the_name_with_a_timestamp_then_the_data_are_logged(
    client: TestClient, caplog: pytest.LogCaptureFixture
) -> None:
    answer = client.post("/job/tick", json={"n": 1}).json()
    assert caplog.messages[-2:] == [f"Received job tick at {answer['received_at']}", 'Job data: {"n": 1}']


def test_s1_66_schedule_repeats_and_data_are_sent(client: TestClient, sidecar: Any) -> None:
    client.post("/schedule-job/tick")
    data = {"message": "Hello from Python Job!"}
    assert sidecar.calls[0].json == {"schedule": "@every 10s", "repeats": 3, "data": data}


def test_s1_67_204_is_success(client: TestClient) -> None:
    answer = client.post("/schedule-job/tick")
    assert answer.json() == {"status": "SUCCESS", "message": "Job tick scheduled successfully", "response": ""}


def test_s1_68_another_2xx_is_reported_as_unexpected(client: TestClient, sidecar: Any) -> None:
    sidecar.answers.append((202, "later"))
    answer = client.post("/schedule-job/tick")
    assert answer.status_code == 200
    assert answer.json() == {"status": "UNEXPECTED_STATUS", "code": 202, "response": "later"}


@pytest.mark.parametrize(
    ("method", "path"), [("POST", "/schedule-job/x"), ("GET", "/get-job/x"), ("DELETE", "/delete-job/x")]
)
class TestErrorsOfEveryCall:
    def test_s1_69_a_sidecar_that_is_not_there(
        self, load: Callable[..., ModuleType], unused_port: int, method: str, path: str
    ) -> None:
        service = load(SAMPLE, DAPR_HTTP_PORT=str(unused_port))
        answer = TestClient(service.app).request(method, path)
        assert answer.status_code == 500
        assert answer.json()["detail"].startswith("HTTP Request error communicating with Dapr sidecar")

    @pytest.mark.parametrize("status", [400, 409, 500, 503])
    def test_s1_70_a_refusal_of_the_sidecar(
        self, client: TestClient, sidecar: Any, method: str, path: str, status: int
    ) -> None:
        sidecar.answers.append((status, '{"errorCode": "ERR"}'))
        answer = client.request(method, path)
        assert answer.status_code == 500
        assert f'{status}: {{"errorCode": "ERR"}}' in answer.json()["detail"]

    def test_s1_71_any_other_exception(
        self, client: TestClient, service: ModuleType, monkeypatch: pytest.MonkeyPatch, method: str, path: str
    ) -> None:
        monkeypatch.setattr(service, "quote", None)
        answer = client.request(method, path)
        assert answer.status_code == 500
        assert answer.json()["detail"].startswith("An unexpected error occurred")


def test_s1_71_a_job_that_is_not_json(client: TestClient, sidecar: Any) -> None:
    sidecar.answers.append((200, "<html>"))
    answer = client.get("/get-job/tick")
    assert answer.status_code == 500
    assert answer.json()["detail"].startswith("An unexpected error occurred")


def test_s1_72_get_answers_with_the_sidecars_json(client: TestClient, sidecar: Any) -> None:
    sidecar.answers.append((200, '{"name": "tick", "schedule": "@every 10s"}'))
    details = {"name": "tick", "schedule": "@every 10s"}
    assert client.get("/get-job/tick").json() == {"status": "SUCCESS", "job_details": details}


def test_s1_73_s1_74_get_of_a_missing_job_is_404_and_stays_404(client: TestClient, sidecar: Any) -> None:
    sidecar.answers.append((404, "{}"))
    answer = client.get("/get-job/gone")
    assert answer.status_code == 404
    assert "gone" in answer.json()["detail"]


def test_s1_75_delete(client: TestClient, sidecar: Any) -> None:
    answer = client.delete("/delete-job/tick")
    assert answer.json() == {"status": "SUCCESS", "message": "Job tick deleted successfully"}
    assert [(call.method, call.path) for call in sidecar.calls] == [("DELETE", "/v1.0-alpha1/jobs/tick")]


def test_s1_76_delete_of_a_missing_job_is_success(client: TestClient, sidecar: Any) -> None:
    sidecar.answers.append((404, "{}"))
    answer = client.delete("/delete-job/tick")
    assert answer.status_code == 200
    assert answer.json() == {"status": "SUCCESS", "message": "Job tick not found or already deleted"}


def test_s1_77_delete_with_another_2xx_is_reported_as_unexpected(client: TestClient, sidecar: Any) -> None:
    sidecar.answers.append((200, "ok"))
    answer = client.delete("/delete-job/tick")
    assert answer.json() == {"status": "UNEXPECTED_STATUS", "code": 200, "response": "ok"}


def test_s1_78_the_root_welcomes_and_lists_the_endpoints(client: TestClient) -> None:
    answer = client.get("/").json()
    assert "Welcome" in answer["message"]
    listed = [endpoint.split() for endpoint in answer["endpoints"]]
    paths = client.get("/openapi.json").json()["paths"]
    assert [path for _, path in listed] == ["/schedule-job/{job_name}", "/get-job/{job_name}", "/delete-job/{job_name}"]
    assert all(method.lower() in paths[path] for method, path in listed)


def test_s1_79_the_openapi_page_offers_the_call_that_makes_a_job(client: TestClient) -> None:
    page = client.get("/docs")
    assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert "/openapi.json" in page.text
    call = client.get("/openapi.json").json()["paths"]["/schedule-job/{job_name}"]["post"]
    # The form of that page has one field, so a click on "Execute" sends what the other tests send.
    assert [(field["name"], field["in"]) for field in call["parameters"]] == [("job_name", "path")]
    assert "requestBody" not in call


def test_s1_80_the_samples_need_only_what_their_readme_installs() -> None:
    imported = {name for sample in EXAMPLES.rglob("*.py") for name in top_level_imports(sample)}
    own = {"sidecar"}
    others = {name for name in imported - own if name not in sys.stdlib_module_names}
    # pydantic and uvicorn are what fastapi[standard] brings.
    assert others == {"fastapi", "httpx2", "pydantic", "uvicorn"}
    assert re.search(r"make setup .*fastapi and httpx2", (EXAMPLES / "README.md").read_text())


def test_s1_82_the_grpc_port_does_not_matter(load: Callable[..., ModuleType], sidecar: Any) -> None:
    service = load(SAMPLE, DAPR_HTTP_PORT=str(sidecar.port), DAPR_GRPC_PORT="55330")
    assert TestClient(service.app).post("/schedule-job/tick").json()["status"] == "SUCCESS"


def test_s1_89_title(client: TestClient) -> None:
    assert client.get("/openapi.json").json()["info"]["title"] == "scheduler-test-py Service"


def test_s1_90_scheduling_logs_three_lines_and_the_caller_sees_200(
    client: TestClient, sidecar: Any, caplog: pytest.LogCaptureFixture
) -> None:
    answer = client.post("/schedule-job/tick")
    assert answer.status_code == 200
    assert [record.message for record in caplog.records if record.name == "scheduler-test-py"] == [
        "Scheduling job tick",
        f"Calling POST http://localhost:{sidecar.port}/v1.0-alpha1/jobs/tick",
        "Sidecar answered 204",
    ]


def test_s1_81_three_callbacks_an_interval_apart_then_none(start: Callable[..., Any], wait_for: Any) -> None:
    """The observed log, with seconds instead of tens of seconds; the callback path is /job/<name> (S1.61, S1.62)."""
    wakeful = start("scheduler-test-py", SAMPLE, environment={"JOB_SCHEDULE": "@every 1s"})
    asked_at = datetime.now(UTC)
    assert wakeful.app.post("/schedule-job/my-job").json()["status"] == "SUCCESS"
    assert wakeful.app.get("/get-job/my-job").json()["job_details"]["repeats"] == 3
    # A job that has had its repeats is gone, so nothing more can come of it.
    wait_for(lambda: wakeful.app.get("/get-job/my-job").status_code == 404, "the job's end")
    output = wakeful.output()
    assert output.count("Sidecar answered 204") == 1
    times = [datetime.fromisoformat(at) for at in re.findall(r"Received job my-job at (\S+)", output)]
    assert len(times) == 3
    assert output.count('Job data: {"message": "Hello from Python Job!"}') == 3
    assert "POST /job/my-job" in output
    for nth, at in enumerate(times, 1):
        assert timedelta(seconds=nth) <= at - asked_at < timedelta(seconds=nth + 5)


def top_level_imports(sample: Path) -> set[str]:
    tree = ast.parse(sample.read_text())
    plain = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    named = {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    return {name.partition(".")[0] for name in plain | named}

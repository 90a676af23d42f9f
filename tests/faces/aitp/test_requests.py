"""Whatever is sent, the answer says what is wrong with it; nothing gives a 500."""

import json
import socket
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from support.examples import examples
from wakeful.core.errors import ErrorCode
from wakeful.faces.aitp.errors import STATUS
from wakeful.faces.asgi import BODY_LIMIT

SCHEDULE = "sched-" + "0" * 31 + "1"
TASK = "task-" + "0" * 32
BODIES = (
    ("POST", "/aitp/tasks/schedule"),
    ("PUT", f"/aitp/tasks/schedule/{SCHEDULE}"),
    ("POST", "/aitp/tasks"),
    ("POST", "/aitp/tasks/batch"),
    ("POST", "/aitp/tasks/batch/status"),
    ("POST", "/aitp/tasks/batch/cancel"),
    ("POST", "/aitp/tasks/claim"),
    ("POST", f"/aitp/tasks/{TASK}/complete"),
    ("POST", f"/aitp/tasks/{TASK}/fail"),
    ("POST", f"/aitp/tasks/{TASK}/renew"),
    ("PUT", f"/aitp/tasks/{TASK}/status"),
    ("POST", "/ains/agents"),
    ("POST", "/ains/agents/x/heartbeat"),
    ("POST", "/ains/agents/x/capabilities"),
)
FIELDS = [
    "client_id",
    "task_type",
    "capability_required",
    "input_data",
    "priority",
    "cron_expression",
    "description",
    "timezone",
    "schedule_type",
    "time",
    "day_of_week",
    "day_of_month",
    "last_day",
    "interval",
    "interval_seconds",
    "recurrence",
    "run_at",
    "start_at",
    "expires_at",
    "max_runs",
    "metadata",
    "misfire_policy",
    "misfire_limit",
    "concurrency_policy",
    "max_concurrent",
    "max_retries",
    "retry_policy",
    "timeout_seconds",
    "pause_after",
    "agent_id",
    "capability",
    "capabilities",
    "limit",
    "lease_seconds",
    "fence",
    "result_data",
    "error_message",
    "status",
    "tasks",
    "task_ids",
    "tags",
    "public_key",
    "signature",
    "name",
    "price",
    "input_schema",
    "type",
    "x",
]
# What makes a request right, so that what is beside it is looked at, too.
RIGHT = {
    "client_id": "c1",
    "task_type": "t",
    "capability_required": "fuzz",
    "input_data": 1,
    "agent_id": "x",
    "fence": 1,
}
WORDS = [
    "daily",
    "weekly",
    "0 9 * * *",
    "2030-01-01T00:00:00Z",
    "UTC",
    "exponential",
    "ACTIVE",
    "c1",
    "last",
    "5",
    "9:00",
]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.sampled_from(WORDS),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(FIELDS), inner, max_size=4),
    max_leaves=8,
)
PATHS = ["/aitp/tasks", "/aitp/tasks/schedule", "/ains/agents", "/ains/search", "/aitp/tasks/batch/status"]
PARAMETERS = ["client_id", "status", "limit", "offset", "tags", "capability", "task_ids", "x"]


def test_each_error_of_the_scheduler_has_a_status() -> None:
    assert set(STATUS) == set(ErrorCode)


@settings(max_examples=examples(400), deadline=None, suppress_health_check=list(HealthCheck))
@given(
    target=st.sampled_from(BODIES),
    body=st.dictionaries(st.sampled_from(FIELDS), JSON, max_size=12),
    right=st.sampled_from([{}, RIGHT]),
)
def test_any_json_is_answered(node: Any, target: tuple[str, str], body: dict[str, Any], right: dict[str, Any]) -> None:
    text = json.dumps({**right, **body}).encode("utf-8", "surrogatepass")
    answer = node.client.request(*target, content=text)
    assert answer.status_code < 500, (target, text, answer.text)
    answer.json()
    if answer.status_code == 422:
        assert all({"type", "loc", "msg"} <= set(entry) for entry in answer.json()["detail"])


@settings(max_examples=examples(100), deadline=None, suppress_health_check=list(HealthCheck))
@given(target=st.sampled_from(BODIES), body=st.binary(max_size=60))
def test_any_bytes_are_answered(node: Any, target: tuple[str, str], body: bytes) -> None:
    answer = node.client.request(*target, content=body)
    assert answer.status_code < 500, (target, body, answer.text)


@settings(max_examples=examples(100), deadline=None, suppress_health_check=list(HealthCheck))
@given(path=st.sampled_from(PATHS), query=st.dictionaries(st.sampled_from(PARAMETERS), st.text(max_size=9)))
def test_any_query_is_answered(node: Any, path: str, query: dict[str, str]) -> None:
    answer = node.client.get(path, params=query)
    assert answer.status_code < 500, (path, query, answer.text)


@pytest.mark.parametrize("part", ["%00", "%ff", "..%2f..", "ü", "x" * 5000, "%", "sched-", "task-", " "])
def test_any_id_is_answered(node: Any, part: str) -> None:
    address = node.listener.getsockname()
    for path in (f"/aitp/tasks/schedule/{part}", f"/aitp/tasks/{part}", f"/ains/agents/{part}"):
        with socket.create_connection(address, timeout=5) as connection:
            connection.sendall(f"GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n".encode())
            answer = connection.recv(65_536)
        assert answer.split()[1] in (b"404", b"400", b"200"), answer


def test_what_is_too_large_is_413_or_422(node: Any) -> None:
    task = {"client_id": "c", "task_type": "t", "capability_required": "big"}
    answer = node.client.post("/aitp/tasks", content=b"x" * (BODY_LIMIT + 1))
    assert (answer.status_code, "larger" in answer.json()["detail"]) == (413, True)
    answer = node.client.post("/aitp/tasks", json={**task, "input_data": "x" * (2 * 1024 * 1024)})
    assert answer.json()["detail"][0]["loc"] == ["body", "input_data"]
    made = node.client.post("/aitp/tasks", json={**task, "input_data": "x" * (2 * 1024 * 1024 - 2)})
    (claimed,) = node.claim(capability="big")
    assert (made.status_code, len(claimed["input_data"])) == (200, 2 * 1024 * 1024 - 2)


def test_unknown_paths_and_methods_are_told_as_fastapi_does(node: Any) -> None:
    for path in ("/", "/aitp", "/aitp/x", "/aitp/tasks/a/b/c/d", "/ains", "/aitp/tasks/schedule/a/b"):
        answer = node.client.get(path)
        assert (answer.status_code, answer.json()) == (404, {"detail": "Not Found"})
    answer = node.client.delete("/aitp/tasks")
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET, POST")


SPEC = {"client_id": "c", "task_type": "t", "capability_required": "r", "input_data": 1}


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("/ains/agents", {"agent_id": "q", "capabilities": [1]}, ["capabilities", 0]),
        ("/ains/agents", {"agent_id": "q", "capabilities": ["a b"]}, ["capabilities", 0]),
        ("/ains/agents", {"agent_id": "q", "capabilities": ["a", {"price": 1}]}, ["capabilities", 1, "name"]),
        ("/ains/agents", {"agent_id": "q", "capabilities": [{"name": "x", "price": -1}]}, ["capabilities", 0, "price"]),
        ("/ains/agents", {"agent_id": "q", "capabilities": "x"}, ["capabilities"]),
        ("/aitp/tasks/schedule", {**SPEC, "recurrence": {"type": "x"}}, ["recurrence", "type"]),
        ("/aitp/tasks/schedule", {**SPEC, "recurrence": {"type": "weekly"}}, ["recurrence", "day_of_week"]),
        (
            "/aitp/tasks/schedule",
            {**SPEC, "recurrence": {"type": "daily", "last_day": True}},
            ["recurrence", "last_day"],
        ),
        ("/aitp/tasks/schedule", {**SPEC, "recurrence": {}}, ["recurrence"]),
        ("/aitp/tasks/schedule", {**SPEC, "recurrence": 5}, ["recurrence"]),
        ("/aitp/tasks/schedule", {**SPEC, "schedule_type": "weekly"}, ["day_of_week"]),
        ("/aitp/tasks/batch", {"client_id": "c", "tasks": [{**SPEC, "priority": 0}]}, ["tasks", 0, "client_id"]),
        ("/aitp/tasks/batch", {"client_id": "c", "tasks": [5]}, ["tasks", 0]),
    ],
)
def test_a_field_within_another_is_told_with_the_way_to_it(node: Any, path: str, body: Any, field: list[Any]) -> None:
    answer = node.client.post(path, json=body)
    assert answer.status_code == 422
    assert answer.json()["detail"][0]["loc"] == ["body", *field]


def test_all_that_is_wrong_is_told_also_beside_what_is_wrong_within(node: Any) -> None:
    answer = node.client.post("/ains/agents", json={"capabilities": [1, {"name": "x", "a": 1, "b": 2}], "tags": [5]})
    assert [entry["loc"][1:] for entry in answer.json()["detail"]] == [
        ["capabilities", 0],
        ["capabilities", 1, "a"],
        ["capabilities", 1, "b"],
        ["tags"],
        ["agent_id"],
    ]


def test_a_comma_is_part_of_a_name_and_lies_between_those_of_a_query(node: Any) -> None:
    made = node.made(capability_required="K,L")
    assert [task["task_id"] for task in node.claim(capability="K,L")] == [made]
    tagged = {"agent_id": "comma", "capabilities": ["K,L"], "tags": ["y,z", "w"]}
    assert node.client.post("/ains/agents", json=tagged).status_code == 200
    for tags, found in (("y,z", 1), ("w", 1), ("w,y", 0), ("y", 0)):
        assert node.client.get("/ains/search", params={"tags": tags}).json()["total"] == found
    one = {"agent_id": "commas", "tags": "a,b"}
    assert node.client.post("/ains/agents", json=one).json()["tags"] == ["a,b"]


def test_input_goes_through_word_for_word(node: Any) -> None:
    text = '{"a":1.10,"b":[1e400,9007199254740993],"c":"\\u00e9/\\/","a":2}'
    body = f'{{"client_id":"c","task_type":"t","capability_required":"exact","input_data":{text}}}'
    made = node.client.post("/aitp/tasks", content=body.encode()).json()["task_id"]
    claim = node.client.post("/aitp/tasks/claim", json={"agent_id": "a", "capability": "exact"})
    assert text in claim.text
    assert text in node.client.get(f"/aitp/tasks/{made}").text

"""``uvicorn ains.api:app --port 8000``, and what the AITP document types at it, but for the port. Its path is S2.76."""

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx2
import pytest

from support.aitp import Aitp, AitpNode, seconds_of
from support.processes import eventually

pytestmark = pytest.mark.slow

CREATE = """curl -X POST http://localhost:8000/aitp/tasks/schedule \\
  -H "Content-Type: application/json" \\
  -d '{
    "client_id": "client-1",
    "task_type": "daily-report",
    "capability_required": "report:v1",
    "input_data": {"report_type": "daily", "format": "pdf"},
    "priority": 7,
    "cron_expression": "0 9 * * *",
    "description": "Daily report",
    "timezone": "America/New_York"
  }'"""
LIST = "curl http://localhost:8000/aitp/tasks/schedule?client_id=client-1"
PAUSE = """curl -X PUT http://localhost:8000/aitp/tasks/schedule/sched-abc123 \\
  -H "Content-Type: application/json" \\
  -d '{"status": "PAUSED"}'"""
EXECUTIONS = "curl http://localhost:8000/aitp/tasks/schedule/sched-abc123/executions"


@pytest.fixture(scope="module")
def aitp(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Aitp]:
    started = Aitp(tmp_path_factory.mktemp("aitp"))
    yield started
    started.close()


@pytest.fixture(scope="module")
def node(aitp: Aitp) -> AitpNode:
    return aitp.node()


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Aitp]:
    """A file of the test's own."""
    started = Aitp(tmp_path)
    yield started
    started.close()


def typed(node: AitpNode, line: str, schedule_id: str = "") -> Any:
    """What a shell prints for that line."""
    line = line.replace("http://localhost:8000", node.url).replace("sched-abc123", schedule_id)
    shell = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "no_proxy": "*"}
    done = subprocess.run(["sh", "-c", f"{line} -sS"], check=True, capture_output=True, timeout=30, env=shell)
    return json.loads(done.stdout)


def every_second(node: AitpNode, **more: Any) -> str:
    """The id of a schedule that is due each second."""
    body = {
        "client_id": "client-2",
        "task_type": "tick",
        "capability_required": "tick-v1",
        "input_data": {"n": 1},
        "cron_expression": "* * * * * *",
        **more,
    }
    return str(node.ask("POST", "/aitp/tasks/schedule", json=body)["schedule_id"])


def executions(node: AitpNode, schedule_id: str) -> list[dict[str, Any]]:
    return list(node.ask("GET", f"/aitp/tasks/schedule/{schedule_id}/executions")["executions"])


def test_s2_72_s2_75_the_documents_curl_lines_work_as_they_stand(node: AitpNode) -> None:
    made = typed(node, CREATE)
    assert {"schedule_id", "status", "cron_expression", "next_run_at", "description", "created_at"} <= made.keys()
    assert (made["status"], made["cron_expression"], made["description"]) == ("ACTIVE", "0 9 * * *", "Daily report")
    due = datetime.fromisoformat(made["next_run_at"])
    assert due.hour in (13, 14)
    assert datetime.now(UTC) < due <= datetime.now(UTC) + timedelta(days=1)

    listed = typed(node, LIST)
    assert (listed["total"], listed["limit"], listed["offset"]) == (1, 20, 0)
    assert [one["schedule_id"] for one in listed["schedules"]] == [made["schedule_id"]]

    paused = typed(node, PAUSE, made["schedule_id"])
    assert (paused["schedule_id"], paused["status"], paused["priority"]) == (made["schedule_id"], "PAUSED", 7)
    assert typed(node, EXECUTIONS, made["schedule_id"])["executions"] == []
    assert typed(node, EXECUTIONS, "sched-abc124") == {"detail": "Schedule not found"}


def test_s2_77_what_is_due_becomes_a_task_an_agent_does_it_and_the_history_says_so(node: AitpNode) -> None:
    schedule_id = every_second(node)
    eventually(lambda: executions(node, schedule_id), "the first execution")
    claimed = node.ask(
        "POST",
        "/aitp/tasks/claim",
        json={"agent_id": "agent-1", "capability": "tick-v1", "lease_seconds": 30, "wait_seconds": 10},
    )["tasks"][0]
    assert (claimed["schedule_id"], claimed["input_data"]) == (schedule_id, {"n": 1})
    said = {"agent_id": "agent-1", "fence": claimed["fence"], "result_data": {"pages": 3}}
    node.ask("POST", f"/aitp/tasks/{claimed['task_id']}/complete", json=said)

    (done,) = [one for one in executions(node, schedule_id) if one["task_id"] == claimed["task_id"]]
    assert (done["status"], done["result_data"], done["error_message"]) == ("COMPLETED", {"pages": 3}, None)
    pending = executions(node, schedule_id)[0]
    assert pending["task_id"] == claimed["task_id"] or (pending["status"], pending["result_data"]) == ("PENDING", None)
    detail = node.ask("GET", f"/aitp/tasks/schedule/{schedule_id}")
    assert detail["total_runs"] >= 1
    assert detail["last_run_at"] is not None
    # Each execution is told, with its schedule and its task.
    assert any(schedule_id in line and claimed["task_id"] in line for line in node.said.splitlines())
    assert node.ask("DELETE", f"/aitp/tasks/schedule/{schedule_id}")["status"] == "DELETED"


def test_s2_77_schedules_outlive_the_process_and_go_on_where_they_were(own: Aitp) -> None:
    node = own.node()
    schedule_id = every_second(node)
    eventually(lambda: executions(node, schedule_id), "the first execution")
    node.kill()

    again = own.node()
    before = len(executions(again, schedule_id))
    eventually(lambda: len(executions(again, schedule_id)) > before, "the schedule to go on")
    assert again.end() in (0, -signal.SIGTERM)
    assert "Traceback" not in again.said


def test_two_workers_on_one_file_execute_each_instant_once(own: Aitp) -> None:
    node = own.node("--workers", "2")
    schedule_id = every_second(node)
    eventually(lambda: len(executions(node, schedule_id)) >= 4, "four executions")
    found = executions(node, schedule_id)
    instants = [one["scheduled_for"] for one in found]
    assert sorted(set(instants), reverse=True) == instants
    # Whichever of the two answers, it tells the same.
    with ThreadPoolExecutor(8) as several:
        asked = [several.submit(httpx2.get, f"{node.url}/aitp/tasks/schedule?client_id=client-2") for _ in range(16)]
        totals = {answer.result().json()["total"] for answer in asked}
    assert totals == {1}
    assert node.end() in (0, -signal.SIGTERM)


def test_s2_74_with_reload_it_is_a_node_as_well(own: Aitp) -> None:
    source = own.home / "source.py"
    source.write_text("")
    node = own.node("--reload", "--reload-dir", str(own.home))
    schedule_id = every_second(node)
    eventually(lambda: executions(node, schedule_id), "the first execution")
    starts = node.said.count("a node runs on")
    later = source.stat().st_mtime + 1
    os.utime(source, (later, later))
    eventually(lambda: node.said.count("a node runs on") > starts, "a new process")
    before = len(executions(node.wait_ready(), schedule_id))
    eventually(lambda: len(executions(node, schedule_id)) > before, "the schedule to go on")
    assert node.end() in (0, -signal.SIGTERM)


def test_who_waits_for_a_task_does_not_hold_the_end_up(own: Aitp) -> None:
    node = own.node()
    asked = {"agent_id": "agent-1", "capability": "nothing-v1", "wait_seconds": 60}
    with ThreadPoolExecutor(1) as waiting:
        answer = waiting.submit(httpx2.post, f"{node.url}/aitp/tasks/claim", json=asked, timeout=70)
        eventually(lambda: node.ask("GET", "/ains/agents")["total"] == 1, "the claim to have come")
        assert seconds_of(node.end) < 15
        assert answer.result().json() == {"tasks": []}


def test_a_store_that_can_not_be_opened_is_told_at_the_start(own: Aitp) -> None:
    (own.home / "wakeful.db").write_text("this is no database, whatever its name says; " * 100)
    node = own.node(ready=False)
    assert node.process.wait(20) == 3
    assert "Traceback" not in node.said
    assert "wakeful.db" in node.said

"""The agents: what they ask for, against a scripted sidecar; then all of them at once with wakeful, in seconds."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from types import ModuleType
from typing import Any

import pytest
from fastapi.testclient import TestClient

pytestmark = pytest.mark.slow

ALPHA = "/v1.0-alpha1/jobs/"


@pytest.fixture
def sidecar(scripted: Callable[..., Any]) -> Any:
    return scripted(204)


@pytest.fixture
def agent(load: Callable[..., ModuleType], sidecar: Any) -> Callable[..., TestClient]:
    def agent(name: str, **environment: str) -> TestClient:
        return TestClient(load(f"agents/{name}", DAPR_HTTP_PORT=str(sidecar.port), **environment).app)

    return agent


def asked(sidecar: Any) -> list[tuple[str, str]]:
    return [(call.method, call.path.removeprefix(ALPHA)) for call in sidecar.calls]


def test_s0_47_a_follow_up_in_hours_is_a_delay(agent: Any, sidecar: Any) -> None:
    agent("follow_up").post("/follow-ups/in/36", params={"customer": "ann", "question": "news?"})
    assert asked(sidecar) == [("POST", "follow-up-ann")]
    assert sidecar.calls[0].json == {"dueTime": "129600.0s", "data": {"to": "ann", "text": "news?"}}


def test_s0_48_a_follow_up_at_a_date_is_an_instant(agent: Any, sidecar: Any) -> None:
    agent("follow_up").post("/follow-ups/at/2030-01-31T09:00:00+05:00", params={"customer": "bob", "question": "q"})
    assert datetime.fromisoformat(sidecar.calls[0].json["dueTime"]) == datetime(2030, 1, 31, 4, tzinfo=UTC)


def test_s0_47_an_answer_ends_the_follow_up(agent: Any, sidecar: Any) -> None:
    agent("follow_up").delete("/follow-ups/ann")
    assert asked(sidecar) == [("DELETE", "follow-up-ann")]


def test_s0_49_the_reports_are_planned_at_the_start(agent: Any, sidecar: Any) -> None:
    sidecar.answers.extend([(404, "{}"), (204, "")] * 3)
    with agent("reports"):
        posted = {call.path.removeprefix(ALPHA): call.json for call in sidecar.calls if call.method == "POST"}
    assert posted == {
        "daily-aggregation": {"schedule": "0 30 2 * * *"},
        "weekly-report": {"schedule": "0 0 8 * * mon"},
        "hourly-check": {"schedule": "@hourly"},
    }


def test_s0_49_a_restart_leaves_the_plan_as_it_is(agent: Any, sidecar: Any) -> None:
    """Replacing the jobs would forget what came due in between."""
    sidecar.default = (200, "{}")
    with agent("reports"):
        assert {call.method for call in sidecar.calls} == {"GET"}


def test_s0_49_s0_56_the_plan_is_changed_at_run_time(agent: Any, sidecar: Any) -> None:
    assert agent("reports").put("/plan/hourly-check", params={"when": "@every 5s"}).status_code == 200
    assert sidecar.calls[0].json == {"schedule": "@every 5s"}
    assert agent("reports").put("/plan/unknown", params={"when": "@every 5s"}).status_code == 404


def test_s0_50_the_second_step_is_asked_for_with_the_delay(agent: Any, sidecar: Any) -> None:
    agent("delayed_step").post("/orders/17")
    assert sidecar.calls[0].json == {"dueTime": "1800.0s", "data": {"order": "17"}}


def test_s0_50_a_cancelled_order_takes_its_second_step_along(agent: Any, sidecar: Any) -> None:
    orders = agent("delayed_step")
    orders.delete("/orders/17")
    assert asked(sidecar) == [("DELETE", "ship-17")]
    orders.post("/job/ship-18", json={"order": "18"})
    assert orders.delete("/orders/18").status_code == 409


def test_s0_50_a_step_that_arrives_twice_is_done_once(agent: Any) -> None:
    orders = agent("delayed_step")
    for _ in range(2):
        assert orders.post("/job/ship-17", json={"order": "17"}).status_code == 200
    assert orders.get("/shipped").json() == ["17"]


def test_s0_51_a_reminder_is_due_its_lead_before_the_event(agent: Any, sidecar: Any) -> None:
    calendar = agent("event_reminder", LEAD_SECONDS="600")
    calendar.put("/events/Team lunch", params={"starts_at": "2030-01-31T12:00:00Z"})
    calendar.delete("/events/Team lunch")
    assert asked(sidecar) == [("POST", "remind-Team%20lunch"), ("DELETE", "remind-Team%20lunch")]
    assert datetime.fromisoformat(sidecar.calls[0].json["dueTime"]) == datetime(2030, 1, 31, 11, 50, tzinfo=UTC)


@pytest.mark.parametrize("notify", [None, "notification"])
def test_s0_52_s0_53_a_tasks_job_names_who_is_to_notify(agent: Any, sidecar: Any, notify: str | None) -> None:
    environment = {"APP_ID": "project-manager"} | ({"NOTIFY_APP": notify} if notify else {})
    manager = agent("project_manager", **environment)
    manager.put("/tasks/report", params={"assignee": "ann", "due_at": "2030-01-31T17:00:00Z"})
    manager.delete("/tasks/report")
    assert asked(sidecar) == [("POST", "task-due-report"), ("DELETE", "task-due-report")]
    job = sidecar.calls[0].json
    assert job["target"] == {"appId": notify or "project-manager", "method": "triggerTaskDueNotification"}
    assert datetime.fromisoformat(job["dueTime"]) == datetime(2030, 1, 31, 16, tzinfo=UTC)
    assert job["data"]["assignee"] == "ann"


def test_s0_44_a_refused_job_is_an_error_with_the_schedulers_words(load: Any, sidecar: Any) -> None:
    sidecar.default = (400, "no such schedule")
    client = TestClient(load("agents/reports", DAPR_HTTP_PORT=str(sidecar.port)).app, raise_server_exceptions=True)
    with pytest.raises(RuntimeError, match="400 no such schedule"):
        client.put("/plan/hourly-check", params={"when": "never"})


# With wakeful: every agent has its own `wakeful run`; the project manager shares its store with the service it calls.


@pytest.fixture(scope="module")
def agents(start: Callable[..., Any]) -> dict[str, Any]:
    seconds = {"GRACE_SECONDS": "0.5", "LEAD_SECONDS": "60"}

    def launch(app_id: str, sample: str, **more: Any) -> Any:
        environment = seconds | more.pop("environment", {})
        return start(app_id, f"agents/{sample}", wait=False, environment=environment, **more)

    samples = ("follow_up", "reports", "delayed_step", "event_reminder", "project_manager")
    agents = {sample: launch(sample.replace("_", "-"), sample) for sample in samples}
    to_the_service = {"store": agents["project_manager"].store, "environment": {"NOTIFY_APP": "notification"}}
    agents["delegating"] = launch("delegating-manager", "project_manager", **to_the_service)
    agents["notification"] = launch("notification", "notification_service", store=agents["project_manager"].store)
    for agent in agents.values():
        agent.wait_ready(app=True)
    return agents


def test_s0_47_s0_48_follow_ups(agents: Any, wait_for: Any) -> None:
    app = agents["follow_up"].app
    date = (datetime.now(UTC) + timedelta(seconds=0.5)).isoformat()
    app.post(f"/follow-ups/in/{0.3 / 3600}", params={"customer": "ann", "question": "in a while"}).raise_for_status()
    app.post(f"/follow-ups/at/{date}", params={"customer": "bob", "question": "at a date"}).raise_for_status()
    sent = wait_for(lambda: (sent := app.get("/sent").json())[1:] and sent, "both follow-ups")
    assert sent == [{"to": "ann", "text": "in a while"}, {"to": "bob", "text": "at a date"}]


def test_s0_49_reports(agents: Any, wait_for: Any) -> None:
    reports = agents["reports"]
    planned = {name: reports.jobs.get(name).json() for name in ("daily-aggregation", "weekly-report", "hourly-check")}
    now = datetime.now(UTC)
    due = {name: datetime.fromisoformat(job["status"]["next_run_at"]) for name, job in planned.items()}
    assert now < due["daily-aggregation"] <= now + timedelta(days=1)
    assert (due["daily-aggregation"].hour, due["daily-aggregation"].minute) == (2, 30)
    assert (due["weekly-report"].strftime("%A"), due["weekly-report"].hour) == ("Monday", 8)
    assert now - timedelta(seconds=5) < due["hourly-check"] <= now + timedelta(hours=1)
    for name in planned:
        reports.app.put(f"/plan/{name}", params={"when": "@every 200ms"}).raise_for_status()
    wait_for(lambda: len([n for n in reports.app.get("/done").json().values() if n >= 2]) == 3, "two of each")


def test_s0_50_the_second_step_comes_after_the_delay_unless_cancelled(agents: Any, wait_for: Any) -> None:
    app = agents["delayed_step"].app
    for order in ("17", "18"):
        app.post(f"/orders/{order}").raise_for_status()
    app.delete("/orders/17").raise_for_status()
    app.post("/orders/19").raise_for_status()
    wait_for(lambda: "19" in app.get("/shipped").json(), "the shipping of the last one")
    assert app.get("/shipped").json() == ["18", "19"]


def test_s0_51_a_reminder_comes_before_its_event_and_moves_with_it(agents: Any, wait_for: Any) -> None:
    app = agents["event_reminder"].app
    in_a_minute = (datetime.now(UTC) + timedelta(seconds=60.5)).isoformat()
    app.put("/events/Lunch", params={"starts_at": "2030-01-31T12:00:00Z"}).raise_for_status()
    app.put("/events/Lunch", params={"starts_at": in_a_minute}).raise_for_status()
    app.put("/events/Already near", params={"starts_at": datetime.now(UTC).isoformat()}).raise_for_status()
    reminded = wait_for(lambda: (got := app.get("/reminded").json())[1:] and got, "both reminders")
    assert datetime.now(UTC) < datetime.fromisoformat(in_a_minute)
    assert [event["title"] for event in reminded] == ["Already near", "Lunch"]


def test_s0_52_the_manager_is_told_shortly_before_a_task_is_due(agents: Any, wait_for: Any) -> None:
    app = agents["project_manager"].app
    due_at = (datetime.now(UTC) + timedelta(seconds=60.3)).isoformat()
    app.put("/tasks/report", params={"assignee": "ann", "due_at": due_at}).raise_for_status()
    app.put("/tasks/report", params={"assignee": "bob", "due_at": due_at}).raise_for_status()
    notified = wait_for(lambda: app.get("/notified").json(), "the notification")
    assert [(task["task"], task["assignee"]) for task in notified] == [("report", "bob")]


def test_s0_53_s0_54_another_service_is_told_in_its_stead(agents: Any, wait_for: Any) -> None:
    manager, service = agents["delegating"].app, agents["notification"].app
    due_at = (datetime.now(UTC) + timedelta(seconds=60.3)).isoformat()
    manager.put("/tasks/slides", params={"assignee": "eve", "due_at": due_at}).raise_for_status()
    notified = wait_for(lambda: service.get("/notified").json(), "the notification")
    assert [task["task"] for task in notified] == ["slides"]
    assert manager.get("/notified").json() == []


def test_s0_46_s0_50_the_second_step_outlives_the_process_that_asked_for_it(start: Any, wait_for: Any) -> None:
    # Long enough for the first process to have gone before the step is due.
    first = start("outlived", "agents/delayed_step", environment={"GRACE_SECONDS": "2"})
    first.app.post("/orders/20").raise_for_status()
    first.stop()
    assert "/job/ship-20" not in first.output()
    again = start("outlived", "agents/delayed_step", store=first.store)
    wait_for(lambda: again.app.get("/shipped").json() == ["20"], "the shipping")

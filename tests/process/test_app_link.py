"""The app beside a node, end to end: its health, its actors, how much it takes, and what it speaks."""

import json
from collections.abc import Callable
from typing import Any

import httpx2
import pytest

from support.processes import PLAIN, App, Processes, Wakeful, eventually, free_port

pytestmark = pytest.mark.slow

HEALTH = ["--enable-app-health-check", "--app-health-probe-interval=1", "--app-health-threshold=1"]


def metadata(node: Wakeful) -> dict[str, Any]:
    return httpx2.get(node.url("/v1.0/metadata"), timeout=5, **PLAIN).json()  # type: ignore[no-any-return]


def remind(node: Wakeful, path: str, **reminder: Any) -> int:
    url = node.url(f"/v1.0/actors/{path}")
    return httpx2.post(url, json=reminder, timeout=5, **PLAIN).status_code


def hosts(node: Wakeful, *types: str) -> Callable[[], bool]:
    return lambda: [actor["type"] for actor in metadata(node)["actors"]] == list(types)


def test_nothing_goes_to_an_unhealthy_app_and_no_attempt_is_spent(processes: Processes) -> None:
    app = processes.app()
    node = processes.serve(app_port=app.port, flags=HEALTH).wait_ready()
    node.put("early", dueTime="0s")
    eventually(lambda: app.asked.count("/healthz") >= 2, "two probes")
    assert not app.calls
    assert metadata(node)["appConnectionProperties"]["health"]["healthProbeInterval"] == "1s"

    app.pages["/healthz"] = b""
    eventually(lambda: app.calls_of("early"), "the callback to the app that is well")

    del app.pages["/healthz"]
    eventually(lambda: "the app is unhealthy" in node.err, "the failed probe")
    node.put("late", dueTime="0s")
    seen = app.asked.count("/healthz")
    eventually(lambda: app.asked.count("/healthz") >= seen + 2, "two more probes")
    assert not app.calls_of("late")

    app.pages["/healthz"] = b""
    eventually(lambda: app.calls_of("late"), "the callback after the recovery")
    eventually(lambda: node.runs("late")[0]["state"] == "succeeded", "its settlement")
    assert node.runs("late")[0]["attempts"] == 1
    assert node.end() == 0
    assert "Traceback" not in node.err


def test_another_node_takes_what_an_unhealthy_app_can_not(processes: Processes) -> None:
    ill, well = processes.app(), processes.app()
    well.pages["/healthz"] = b""
    processes.serve(app_port=ill.port, flags=HEALTH).wait_ready()
    node = processes.serve(app_port=well.port, flags=HEALTH).wait_ready()
    for number in range(5):
        node.put(f"job-{number}", dueTime="0s")
    eventually(lambda: len(well.calls) == 5, "the callbacks")
    assert not ill.calls


def test_a_reminder_reaches_its_actor_as_often_as_it_should(processes: Processes) -> None:
    app = processes.app()
    app.pages["/dapr/config"] = json.dumps({"entities": ["Cat"], "actorIdleTimeout": "1h"}).encode()
    node = processes.serve(app_port=app.port, environment={"APP_API_TOKEN": "s3cret"}).wait_ready()
    eventually(hosts(node, "Cat"), "the app's types")
    assert remind(node, "Dog/1/reminders/x", dueTime="0s") == 403
    assert remind(node, "Cat/1/reminders/feed", dueTime="0s", period="R3/PT0.2S") == 500
    assert remind(node, "Cat/1/reminders/feed", dueTime="0s", period="R3/200ms", data={"what": "fish"}) == 204

    eventually(lambda: len(app.calls) == 3, "three reminders")
    url = node.url("/v1.0/actors/Cat/1/reminders/feed")
    gone = lambda: httpx2.get(url, timeout=5, **PLAIN).status_code == 404  # noqa: E731
    eventually(gone, "the end of the reminder")
    assert len(app.calls) == 3
    (call, *_) = app.calls
    assert (call.method, call.path) == ("PUT", "/actors/Cat/1/method/remind/feed")
    assert json.loads(call.body) == {"data": {"what": "fish"}, "dueTime": "", "period": ""}
    assert call.headers["dapr-api-token"] == "s3cret"
    assert node.end() == 0
    assert "Traceback" not in node.err


def test_an_app_that_comes_back_with_other_types_gets_the_reminders_of_these(processes: Processes) -> None:
    port = free_port()
    first = processes.app(port)
    first.pages["/dapr/config"] = b'{"entities":["Cat"]}'
    node = processes.serve(app_port=port).wait_ready()
    eventually(hosts(node, "Cat"), "the app's types")
    assert remind(node, "Cat/1/reminders/later", dueTime="0s") == 204
    eventually(lambda: first.calls, "the reminder")

    first.close()
    processes.apps.remove(first)
    second = processes.app(port)
    second.pages["/dapr/config"] = b'{"entities":["Dog"]}'
    # Nothing was sent to it meanwhile, so nobody noticed; but who needs a type that is not known asks.
    bark = lambda: remind(node, "Dog/1/reminders/bark", dueTime="0s") == 204  # noqa: E731
    eventually(bark, "the app to be asked again")
    assert hosts(node, "Dog")()
    eventually(lambda: second.calls, "the other reminder")
    assert [call.path for call in second.calls] == ["/actors/Dog/1/method/remind/bark"]
    assert "Traceback" not in node.err


def test_a_type_of_daprs_own_is_not_taken_from_an_app(processes: Processes) -> None:
    app = processes.app()
    reserved = "dapr.internal.default.app.workflow"
    app.pages["/dapr/config"] = json.dumps({"entities": [reserved, "Cat"]}).encode()
    node = processes.serve(app_port=app.port).wait_ready()
    eventually(hosts(node, "Cat"), "the app's types")
    assert f"the app names a type of actors that can't be: {reserved!r} is reserved" in node.err
    assert remind(node, f"{reserved}/1/reminders/x", dueTime="0s") == 403


def test_an_app_takes_no_more_at_a_time_than_it_said(processes: Processes) -> None:
    app = processes.app()
    app.pages["/dapr/config"] = b'{"entities":["Cat"]}'
    app.open.clear()
    node = processes.serve(app_port=app.port, flags=["--app-max-concurrency=2"]).wait_ready()
    eventually(hosts(node, "Cat"), "the app's types")
    assert metadata(node)["appConnectionProperties"]["maxConcurrency"] == 2
    for number in range(4):
        node.put(f"job-{number}", dueTime="0s")
        assert remind(node, f"Cat/{number}/reminders/x", dueTime="0s") == 204
    eventually(lambda: len(app.calls) == 2, "two callbacks")
    # Both queues have claimed what they may by now; all the same nothing more goes out.
    eventually(lambda: node.runs("job-1"), "another claim")
    assert len(app.calls) == 2
    app.open.set()
    eventually(lambda: len(app.calls) == 8, "all callbacks")
    assert node.end() == 0


def test_an_app_that_was_missed_is_asked_when_it_comes_back(processes: Processes) -> None:
    port = free_port()
    node = processes.serve(app_port=port).wait_ready()
    first = processes.app(port)
    first.pages["/dapr/config"] = b'{"entities":["Cat"]}'
    eventually(hosts(node, "Cat"), "the app's types")
    assert first.asked == ["/dapr/config"]
    assert remind(node, "Cat/1/reminders/again", dueTime="0s", period="100ms") == 204
    eventually(lambda: first.calls, "a reminder")

    first.close()
    processes.apps.remove(first)
    eventually(lambda: node.runs("again")[0]["state"] == "waiting", "a reminder that could not be delivered")
    second = processes.app(port)
    second.pages["/dapr/config"] = b'{"entities":["Dog"]}'
    eventually(hosts(node, "Dog"), "the new types")
    assert not second.calls
    assert node.end() == 0


@pytest.mark.parametrize("verb", ["serve", "run"])
def test_a_protocol_that_does_not_exist_is_a_usage_error(processes: Processes, verb: str) -> None:
    node = processes.start(verb, "app", ("--", "true"), flags=["--app-protocol=gopher"])
    assert node.exit_code() == 2
    assert "gopher" in node.err
    assert "Traceback" not in node.err


@pytest.mark.parametrize(
    "flags",
    [
        ["--enable-app-health-check", "--app-health-probe-timeout=5001"],
        ["--app-health-threshold=0"],
        ["--app-max-concurrency=-2"],
        ["--dapr-grpc-port=65536"],
    ],
)
def test_a_setting_that_can_not_be_is_named(processes: Processes, flags: list[str]) -> None:
    node = processes.serve(flags=flags)
    assert node.exit_code() == 2
    assert flags[-1].split("=")[0] in node.err
    assert "Traceback" not in node.err


def test_an_app_is_told_its_protocol_and_its_ports(processes: Processes) -> None:
    app: App = processes.app()
    script = "import os; print('told', os.environ['APP_PROTOCOL'], os.environ['APP_PORT'])"
    node = processes.run("python3", "-c", script, app_port=app.port, flags=["--app-protocol=h2c"])
    node.wait_out(f"told h2c {app.port}")

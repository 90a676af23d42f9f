"""``wakeful serve``: what survives stops and kills, and nodes that share a file."""

import signal
import time

import httpx2
import pytest

from support.processes import PLAIN, Processes, Wakeful, cli, eventually, free_port

pytestmark = pytest.mark.slow

# Six seconds of lease, two to the next heartbeat, and a slow machine.
TAKEN_OVER_S = 15.0


def states(node: Wakeful, name: str) -> list[str]:
    return [run["state"] for run in node.runs(name)]


def test_a_callback_in_flight_when_told_to_stop_ends_and_is_recorded(processes: Processes) -> None:
    app = processes.app()
    app.open.clear()
    node = processes.serve(app_port=app.port).wait_ready()
    node.put("slow", dueTime="0s", data={"n": 1})
    eventually(lambda: app.calls, "the callback")

    node.process.send_signal(signal.SIGTERM)
    eventually(lambda: not node_answers(node), "the API to refuse what is new")
    assert node.process.poll() is None
    app.open.set()

    assert node.exit_code(5) == 0
    (run,) = node.runs("slow")
    assert (run["state"], run["attempts"]) == ("succeeded", 1)
    assert len(app.calls) == 1
    assert "Traceback" not in node.err


def node_answers(node: Wakeful) -> bool:
    try:
        httpx2.get(node.url("/v1.0/healthz"), timeout=1, **PLAIN)
    except httpx2.TransportError:
        return False
    return True


def test_a_busy_node_with_more_to_do_stops_as_soon_as_its_callbacks_end(processes: Processes) -> None:
    app = processes.app()
    app.open.clear()
    node = processes.serve(app_port=app.port).wait_ready()
    for number in range(300):
        node.put(f"job-{number}", schedule="@every 1ms")
    eventually(lambda: len(app.calls) >= 256, "as many callbacks as one app gets")

    node.process.send_signal(signal.SIGTERM)
    app.open.set()

    assert node.exit_code(5) == 0
    assert "Traceback" not in node.err


def test_kill_9_during_a_callback_delivers_that_run_again_and_nothing_else_twice(processes: Processes) -> None:
    app = processes.app()
    node = processes.serve(app_port=app.port).wait_ready()
    for number in range(5):
        node.put(f"done-{number}", dueTime="0s")
    eventually(lambda: all("succeeded" in states(node, f"done-{n}") for n in range(5)), "the first five")
    node.put("later", dueTime="2s")
    app.open.clear()
    node.put("in-flight", dueTime="0s")
    eventually(lambda: app.calls_of("in-flight"), "the callback")
    node.process.kill()
    node.process.wait()
    killed_at = time.monotonic()
    app.open.set()

    again = processes.serve(app_port=app.port).wait_ready()
    eventually(lambda: len(app.calls_of("in-flight")) == 2, "the second delivery", TAKEN_OVER_S)
    eventually(lambda: app.calls_of("later"), "the job that was not due yet")
    eventually(lambda: states(again, "in-flight") == ["succeeded"], "the record")

    first, second = app.calls_of("in-flight")
    assert first.run_id == second.run_id
    assert second.at - killed_at < 15
    others = [call.path for call in app.calls if call.path != "/job/in-flight"]
    assert sorted(others) == sorted(f"/job/{name}" for name in ["later", *(f"done-{n}" for n in range(5))])


def test_a_stopped_node_loses_its_runs_to_a_peer_and_does_no_harm_when_it_goes_on(processes: Processes) -> None:
    app = processes.app()
    app.open.clear()
    first = processes.serve(app_port=app.port).wait_ready()
    first.put("held", dueTime="0s")
    eventually(lambda: app.calls, "the callback")
    first.process.send_signal(signal.SIGSTOP)

    second = processes.serve(app_port=app.port).wait_ready()
    eventually(lambda: len(app.calls) == 2, "the delivery by the peer", TAKEN_OVER_S)
    first.process.send_signal(signal.SIGCONT)
    app.open.set()
    eventually(lambda: states(second, "held") == ["succeeded"], "the record")
    eventually(first.ready, "the first node's health")
    second.put("next", dueTime="0s")
    eventually(lambda: app.calls_of("next"), "the next job")

    assert len({call.run_id for call in app.calls_of("held")}) == 1
    assert len(app.calls) == 3
    assert (first.end(), second.end()) == (0, 0)


def test_a_job_for_another_app_reaches_it_through_the_common_file(processes: Processes) -> None:
    app, other = processes.app(), processes.app()
    mine = processes.serve("mine", app_port=app.port).wait_ready()
    processes.serve("theirs", app_port=other.port).wait_ready()

    mine.put("hello", dueTime="0s", data={"n": 1}, target={"appId": "theirs"})

    eventually(lambda: other.calls_of("hello"), "the callback of the other app")
    assert app.calls == []
    eventually(lambda: "succeeded" in states(mine, "hello"), "the record")


def test_an_app_that_starts_after_its_job_was_due_gets_it(processes: Processes) -> None:
    port = free_port()
    node = processes.serve(app_port=port).wait_ready()
    node.put("early", dueTime="0s")
    eventually(node.ready, "health")

    app = processes.app(port)
    eventually(lambda: app.calls_of("early"), "the callback")

    (call,) = app.calls_of("early")
    assert call.headers["wakeful-attempt"] == "1"
    eventually(lambda: states(node, "early") == ["succeeded"], "the record")


def test_a_job_outlives_the_node_that_took_it(processes: Processes) -> None:
    app = processes.app()
    first = processes.serve(app_port=app.port).wait_ready()
    first.put("tick", dueTime="1s", data="ünï")
    assert first.end() == 0
    assert app.calls == []

    processes.serve(app_port=app.port).wait_ready()
    eventually(lambda: app.calls_of("tick"), "the callback")
    assert app.calls[0].body == '"ünï"'.encode()


def test_what_a_node_could_not_finish_goes_to_its_peer_without_waiting_for_a_lease(processes: Processes) -> None:
    app = processes.app()
    app.open.clear()
    first = processes.serve(app_port=app.port).wait_ready()
    first.put("hangs", dueTime="0s")
    eventually(lambda: app.calls, "the callback")
    processes.serve(app_port=app.port).wait_ready()

    first.process.send_signal(signal.SIGTERM)
    # The grace for callbacks is ten seconds, and the servers may take five before it.
    assert first.exit_code(20) == 0
    ended_at = time.monotonic()
    eventually(lambda: len(app.calls) == 2, "the delivery by the peer", 3)

    assert app.calls[1].at - ended_at < 3
    assert app.calls[0].run_id == app.calls[1].run_id
    assert [call.headers["wakeful-attempt"] for call in app.calls] == ["1", "1"]


def test_the_own_api_tells_the_nodes_health_as_json(processes: Processes) -> None:
    app = processes.app()
    node = processes.serve(app_port=app.port).wait_ready()

    def healthy() -> httpx2.Response | None:
        answer = httpx2.get(f"http://127.0.0.1:{node.own_port}/healthz", timeout=5, **PLAIN)
        return answer if len(answer.json()["queues"]) == 2 else None

    answer = eventually(healthy, "the app's queue")
    assert answer.status_code == 200
    assert answer.json()["status"] == "ok"
    assert sorted(answer.json()["queues"]) == ["app/default/app", "task/default"]
    assert answer.json()["in_flight"] == 0
    assert answer.json()["version"]


def test_commands_work_beside_a_running_node(processes: Processes) -> None:
    app = processes.app()
    node = processes.serve(app_port=app.port).wait_ready()
    node.put("every", schedule="@every 1s")
    store = f"--store={node.store}"

    listed = cli("job", "list", store, home=node.home)
    assert "every" in listed.stdout
    deleted = cli("job", "delete", "every", store, home=node.home)
    assert deleted.returncode == 0
    calls = len(app.calls)
    node.put("after", dueTime="1200ms")
    eventually(lambda: app.calls_of("after"), "a job that is due later")
    # One that was claimed before the delete may still have come.
    assert len(app.calls_of("every")) <= calls + 1
    answer = httpx2.get(node.url("/v1.0-alpha1/jobs/every"), timeout=5, **PLAIN)
    assert answer.status_code == 404

"""``DaemonClient``, row S3.55, and its import path."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

import scripts.common.dbus_base as document
from support.bus import NAME, PATH, PrivateBus
from wakeful.faces.cron.client import DaemonClient

pytestmark = pytest.mark.anyio


@pytest.fixture
async def imported(served: Any, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[DaemonClient]:
    """The client as the document makes it, on the session's bus."""
    monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", served.bus.address)
    client = document.DaemonClient(service_name=NAME, object_path=PATH, interface_name=NAME)
    assert await client.connect() is True
    yield client
    await client.disconnect()


async def test_s3_55_the_documents_client_calls_methods(imported: DaemonClient) -> None:
    assert imported.is_running
    assert (await imported.call_method("run_job", ["daily_standup"]))["execution_id"] == "run-1"
    assert [job["name"] for job in await imported.call_method("list_jobs", [])] == ["daily_standup", "hello_world_test"]
    assert len(await imported.call_method("get_history", [10])) == 10
    assert await imported.call_method("get_config", ["schedules", "timezone"]) == "UTC"
    await imported.disconnect()
    assert not imported.is_running


async def test_s3_55_arguments_need_not_be_texts(imported: DaemonClient, served: Any) -> None:
    assert (await imported.call_method("toggle_job", ["daily_standup", False]))["enabled"] is False
    assert (await imported.call_method("SetJobEnabled", ["daily_standup", True]))["enabled"] is True
    assert (await imported.call_method("toggle_scheduler", [True]))["enabled"] is True
    await imported.call_method("update_config", ["schedules", "jobs", [{"name": "a"}]])
    assert served.daemon.asked[-1] == ("update_config", "schedules", "jobs", [{"name": "a"}])


async def test_s3_55_what_does_not_fit_a_method_goes_through_call_method(imported: DaemonClient) -> None:
    assert len((await imported.call_method("get_history"))["history"]) == 20
    assert (await imported.call_method("get_config", ["schedules"]))["value"]["timezone"] == "UTC"
    assert await imported.call_method("get_state") == {"success": True, "state": {"enabled": True}}
    assert await imported.call_method("nobody", [1]) == {"success": False, "error": "Unknown handler: nobody"}
    assert (await imported.call_method("get_history", [2**40]))["success"] is False


async def test_c2_2_the_clients_own_questions(imported: DaemonClient, served: Any) -> None:
    assert await imported.ping() is True
    assert (await imported.get_status())["job_count"] == 2
    assert (await imported.get_stats())["running"] is True
    assert (await imported.health_check())["healthy"] is True
    assert (await imported.shutdown())["success"] is True
    assert served.stops == [True]


async def test_s3_55_connect_is_false_where_no_daemon_is(private_bus: PrivateBus, client_of: Any) -> None:
    client = client_of(private_bus)
    assert await client.connect() is False
    assert client.problem.startswith(f"{NAME} does not answer: ")
    with pytest.raises(ConnectionError, match=r"not connected to .*: call connect\(\) first"):
        await client.call_method("run_job", ["daily_standup"])
    private_bus.stop()
    assert await client.connect() is False
    assert client.problem.startswith("can't reach the session bus at ")


async def test_connect_is_false_where_the_interface_is_another(served: Any) -> None:
    client = DaemonClient(NAME, PATH, "org.example.Other", address=served.bus.address)
    assert await client.connect() is False
    assert client.problem == f"{NAME} has no interface org.example.Other at {PATH}"


@pytest.mark.parametrize("place", [("no name", PATH, NAME), (NAME, "no path", NAME)])
async def test_connect_is_false_for_names_that_no_bus_takes(served: Any, place: tuple[str, str, str]) -> None:
    client = DaemonClient(*place, address=served.bus.address)
    assert await client.connect() is False
    assert "no " in str(client.problem)


async def test_no_answer_in_time_is_an_error(served: Any) -> None:
    served.daemon.hold.clear()
    with pytest.raises(ConnectionError, match=r"list_jobs: no answer within 0\.01 s"):
        await served.client.call_method("list_jobs", timeout_s=0.01)
    served.daemon.hold.set()
    assert await served.client.ping()


async def test_the_documents_short_names(served: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", served.bus.address)
    assert (await document.check_daemon_status("cron"))["running"] is True
    assert (await document.check_daemon_health("cron"))["healthy"] is True
    with pytest.raises(ValueError, match="there is no service 'slack': it must be one of cron"):
        document.get_client("slack")
    await served.cron.stop()
    status, health = await document.check_daemon_status("cron"), await document.check_daemon_health("cron")
    assert status["running"] is health["healthy"] is False
    assert "does not answer" in status["error"]
    assert "does not answer" in health["message"]

"""The methods of the interface: rows S3.43–S3.50, S3.66, B3.5–B3.7, B3.35, B3.36 and C2.2."""

import json
from typing import Any

import pytest
from dbus_fast import Message, MessageType
from dbus_fast.aio import MessageBus

from support.bus import NAME, PATH

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

# C2.2's table with the document's methods, and the twins.
MEMBERS = {
    "Ping": "",
    "GetStatus": "",
    "GetStats": "",
    "HealthCheck": "",
    "Shutdown": "",
    "CallMethod": "ss",
    "run_job": "s",
    "list_jobs": "",
    "get_history": "i",
    "toggle_scheduler": "s",
    "toggle_job": "ss",
    "get_config": "ss",
    "update_config": "sss",
    "RunJob": "s",
    "ListJobs": "",
    "GetHistory": "i",
    "ToggleScheduler": "s",
    "ToggleJob": "ss",
    "GetConfig": "ss",
    "UpdateConfig": "sss",
    "SetJobEnabled": "sb",
    "SetSchedulerEnabled": "b",
    "RunJobAndWait": "s",
    "ResetJob": "s",
}


async def answer_of(served: Any, member: str, signature: str = "", *body: Any) -> Message:
    """What one call gives, errors of the bus too."""
    bus = await MessageBus(served.bus.address).connect()
    try:
        asked = Message(destination=NAME, path=PATH, interface=NAME, member=member, signature=signature, body=[*body])
        return await bus.call(asked)
    finally:
        bus.disconnect()


async def call(served: Any, member: str, signature: str = "", *body: Any) -> Any:
    """What one call's JSON says."""
    answer = await answer_of(served, member, signature, *body)
    assert answer.message_type is MessageType.METHOD_RETURN, answer.body
    assert answer.signature == "s"
    return json.loads(answer.body[0])


async def named(served: Any, handler: str, text: str) -> Any:
    """What ``CallMethod`` gives."""
    return await call(served, "CallMethod", "ss", handler, text)


async def test_s3_43_and_c2_2_the_interface_has_these_members(served: Any) -> None:
    bus = await MessageBus(served.bus.address).connect()
    node = await bus.introspect(NAME, PATH)
    bus.disconnect()
    (found,) = [each for each in node.interfaces if each.name == NAME]
    assert {each.name: each.in_signature for each in found.methods} == MEMBERS
    assert {each.out_signature for each in found.methods} == {"s"}
    assert {each.name: each.signature for each in found.signals} == {
        "JobStarted": "ss",
        "JobCompleted": "sss",
        "JobFailed": "sss",
        "SchedulerToggled": "b",
        "ConfigReloaded": "",
        "StatusChanged": "s",
        "Event": "ss",
    }
    properties = {each.name: (each.signature, each.access.value) for each in found.properties}
    assert properties == {"Running": ("b", "read"), "Uptime": ("d", "read"), "Stats": ("s", "read")}


async def test_s3_44_run_job_answers_at_once_with_an_execution_id(served: Any) -> None:
    """B3.35, too: the daemon's answer is the call's."""
    expected = {"success": True, "job": "daily_standup", "execution_id": "run-1"}
    assert await call(served, "run_job", "s", "daily_standup") == expected
    assert served.daemon.asked == [("run_job", "daily_standup")]


@pytest.mark.parametrize("name", ["nobody", "", " ", "x" * 5_000, "a\nb"])
async def test_s3_44_a_job_that_is_not_there_is_an_answer_and_no_error(served: Any, name: str) -> None:
    answer = await call(served, "run_job", "s", name)
    assert answer["success"] is False
    assert answer["error"]


async def test_s3_45_list_jobs_is_an_array(served: Any) -> None:
    assert [job["name"] for job in await call(served, "list_jobs")] == ["daily_standup", "hello_world_test"]


async def test_s3_46_get_history_is_an_array_of_so_many(served: Any) -> None:
    assert await call(served, "get_history", "i", 2) == served.daemon.history[:2]
    assert await call(served, "get_history", "i", 0) == []


@pytest.mark.parametrize("limit", [-1, 1_001, 2**31 - 1, -(2**31)])
async def test_s3_46_a_limit_has_limits(served: Any, limit: int) -> None:
    answer = await call(served, "get_history", "i", limit)
    assert answer == {"success": False, "error": f"limit must be a whole number from 0 to 1000, not {limit}"}


@pytest.mark.parametrize("text", ["true", "1", "on", "yes", "TRUE", " Yes "])
async def test_b3_5_these_texts_are_true(served: Any, text: str) -> None:
    served.daemon.jobs["daily_standup"] = False
    assert (await call(served, "toggle_job", "ss", "daily_standup", text))["enabled"] is True
    assert (await call(served, "toggle_scheduler", "s", text))["enabled"] is True
    assert served.daemon.jobs["daily_standup"] is served.daemon.enabled is True


@pytest.mark.parametrize("text", ["false", "0", "off", "no", "FALSE", " Off "])
async def test_b3_5_these_texts_are_false(served: Any, text: str) -> None:
    assert (await call(served, "toggle_job", "ss", "daily_standup", text))["enabled"] is False
    assert (await call(served, "toggle_scheduler", "s", text))["enabled"] is False
    assert served.daemon.jobs["daily_standup"] is served.daemon.enabled is False


@pytest.mark.parametrize("text", ["", "maybe", "falsch", "2", "none", "null"])
async def test_b3_5_any_other_text_is_refused_and_changes_nothing(served: Any, text: str) -> None:
    for member, signature, body in (("toggle_job", "ss", ["daily_standup", text]), ("toggle_scheduler", "s", [text])):
        answer = await call(served, member, signature, *body)
        assert answer["success"] is False
        assert answer["error"].startswith("enabled must be true, 1, on or yes, or else false, 0, off or no; not '")
    assert served.daemon.asked == []


async def test_b3_5_the_typed_twins_take_booleans(served: Any) -> None:
    assert (await call(served, "SetJobEnabled", "sb", "daily_standup", False))["enabled"] is False
    assert (await call(served, "SetSchedulerEnabled", "b", False))["enabled"] is False
    assert served.daemon.asked == [("toggle_job", "daily_standup", False), ("toggle_scheduler", False)]


async def test_s3_49_get_config_gives_the_value(served: Any) -> None:
    assert await call(served, "get_config", "ss", "schedules", "timezone") == "UTC"
    assert await call(served, "get_config", "ss", "schedules", "") == {"timezone": "UTC", "jobs": []}
    assert (await call(served, "get_config", "ss", "slack", "token"))["success"] is False


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('"Europe/Berlin"', "Europe/Berlin"),
        ("Europe/Berlin", "Europe/Berlin"),
        ('[{"name": "a"}]', [{"name": "a"}]),
        ("true", True),
        ("7", 7),
        ("null", None),
        ('{"half', '{"half'),
        ("", ""),
        ("[" * 50_000, "[" * 50_000),
    ],
)
async def test_s3_50_update_config_takes_json_or_else_text(served: Any, text: str, value: Any) -> None:
    assert await call(served, "update_config", "sss", "schedules", "timezone", text) == {"success": True}
    assert served.daemon.asked == [("update_config", "schedules", "timezone", value)]


@pytest.mark.parametrize(
    ("twin", "member", "signature", "body"),
    [
        ("RunJob", "run_job", "s", ["daily_standup"]),
        ("ListJobs", "list_jobs", "", []),
        ("GetHistory", "get_history", "i", [3]),
        ("ToggleScheduler", "toggle_scheduler", "s", ["off"]),
        ("ToggleJob", "toggle_job", "ss", ["daily_standup", "off"]),
        ("GetConfig", "get_config", "ss", ["schedules", "timezone"]),
        ("UpdateConfig", "update_config", "sss", ["schedules", "timezone", "UTC"]),
    ],
)
async def test_b3_7_both_spellings_do_the_same(served: Any, twin: str, member: str, signature: str, body: Any) -> None:
    answers = [await call(served, name, signature, *body) for name in (twin, member)]
    for answer in answers:
        if isinstance(answer, dict):
            answer.pop("execution_id", None)
    assert answers[0] == answers[1]
    assert served.daemon.asked[0] == served.daemon.asked[1]


async def test_b3_12_reset_job(served: Any) -> None:
    assert await call(served, "ResetJob", "s", "daily_standup") == {"success": True, "job": "daily_standup"}


async def test_c2_2_ping_status_stats_and_health(served: Any) -> None:
    assert (await answer_of(served, "Ping")).body == ["pong"]
    assert await call(served, "GetStatus") == {"service_name": NAME, "running": True, "uptime": 12.5, "job_count": 2}
    assert await call(served, "GetStats") == {"service_name": NAME, "running": True, "uptime": 12.5}
    assert await call(served, "HealthCheck") == {"healthy": True, "checks": {"running": True}}


async def test_c2_2_properties(served: Any) -> None:
    assert await served.client.get_property("Running") is True
    assert await served.client.get_property("Uptime") == 12.5
    assert json.loads(await served.client.get_property("Stats")) == {
        "service_name": NAME,
        "running": True,
        "uptime": 12.5,
    }


async def test_c2_2_shutdown_is_answered_and_told_to_the_process(served: Any) -> None:
    assert (await call(served, "Shutdown"))["success"] is True
    assert served.stops == [True]


async def test_c2_2_call_method_takes_arguments_by_place_by_name_or_one(served: Any) -> None:
    for text in ('["daily_standup", false]', '{"enabled": "false", "job_name": "daily_standup"}'):
        assert (await named(served, "toggle_job", text))["enabled"] is False
    for text in ('"daily_standup"', '["daily_standup"]', '{"job_name": "daily_standup"}'):
        assert (await named(served, "run_job", text))["success"] is True
    assert served.daemon.asked == [("toggle_job", "daily_standup", False)] * 2 + [("run_job", "daily_standup")] * 3


@pytest.mark.parametrize("text", ["", " ", "null", "[]", "{}"])
async def test_c2_2_call_method_without_arguments(served: Any, text: str) -> None:
    assert (await named(served, "get_history", text))["history"] == served.daemon.history[:20]


async def test_c2_2_the_answers_of_call_method_are_objects(served: Any) -> None:
    assert [job["name"] for job in (await named(served, "list_jobs", ""))["jobs"]] == list(served.daemon.jobs)
    assert await named(served, "get_history", "1") == {"success": True, "history": served.daemon.history[:1]}
    by_name = '{"section": "schedules", "key": "timezone"}'
    assert await named(served, "get_config", by_name) == {"success": True, "value": "UTC"}
    assert (await named(served, "get_config", '["schedules"]'))["value"] == served.daemon.config
    assert await named(served, "get_state", "") == {"success": True, "state": {"enabled": True}}
    assert await named(served, "write_state", "") == {"success": True, "file": "cron_state.json"}
    assert await named(served, "update_config", '["schedules", "jobs", [1]]') == {"success": True}
    assert served.daemon.asked[-1] == ("update_config", "schedules", "jobs", [1])


@pytest.mark.parametrize("name", ["", "nobody", "__init__", "_run_job", "shutdown", "update_config_text", "perform"])
async def test_c2_2_what_is_no_handler_is_unknown(served: Any, name: str) -> None:
    assert await named(served, name, "[]") == {"success": False, "error": f"Unknown handler: {name}"}


@pytest.mark.parametrize(
    ("handler", "text", "error"),
    [
        ("run_job", "[]", "run_job takes (job_name): missing a required argument: 'job_name'"),
        ("run_job", '["a", "b"]', "run_job takes (job_name): too many positional arguments"),
        ("run_job", '{"name": "a"}', "run_job takes (job_name): missing a required argument: 'job_name'"),
        ("run_job", '{"job_name": "a", "x": 1}', "run_job takes (job_name): got an unexpected keyword argument 'x'"),
        ("run_job", '{"here": 1, "job_name": "a"}', "run_job takes (job_name): multiple values for argument 'here'"),
        ("run_job", "[7]", "job_name must be a text, not 7"),
        ("run_job", "[[]]", "job_name must be a text, not a list"),
        ("toggle_job", '["a", null]', "not None"),
        ("toggle_job", '["a", 1.0]', "not 1.0"),
        ("get_history", '["10"]', "limit must be a whole number from 0 to 1000, not '10'"),
        ("get_history", "[true]", "not True"),
        ("run_job", "daily_standup", "the arguments are not JSON"),
        ("run_job", "[" * 100_000, "the arguments are not JSON"),
        ("run_job", '"\\ud800"', "the arguments are not JSON"),
    ],
)
async def test_c2_2_wrong_arguments_are_told(served: Any, handler: str, text: str, error: str) -> None:
    answer = await named(served, handler, text)
    assert answer["success"] is False
    assert error in answer["error"]
    assert served.daemon.asked == []


async def test_b3_36_arguments_of_over_a_mebibyte_are_refused(served: Any) -> None:
    much = "ü" * 524_289
    for answer in (await named(served, "run_job", much), await call(served, "update_config", "sss", "a", "b", much)):
        assert answer["success"] is False
        assert "1048576 are the most" in answer["error"]
    assert served.daemon.asked == []
    assert (await call(served, "update_config", "sss", "a", "", "x" * 1_048_575))["success"] is True


@pytest.mark.parametrize(("member", "signature", "body"), [("run_job", "i", [1]), ("get_history", "s", ["1"])])
async def test_types_that_no_method_has_are_an_error_of_the_bus(
    served: Any, member: str, signature: str, body: Any
) -> None:
    answer = await answer_of(served, member, signature, *body)
    assert answer.message_type is MessageType.ERROR
    assert answer.error_name == "org.freedesktop.DBus.Error.UnknownMethod"


async def test_a_failure_of_the_daemon_costs_one_call(served: Any, caplog: pytest.LogCaptureFixture) -> None:
    served.daemon.failing = RuntimeError("a secret place")
    error = "run_job failed in the daemon (RuntimeError); its log says more"
    assert await call(served, "run_job", "s", "daily_standup") == {"success": False, "error": error}
    (record,) = [each for each in caplog.records if each.levelname == "ERROR"]
    assert record.exc_info
    served.daemon.failing = None
    assert (await call(served, "run_job", "s", "daily_standup"))["success"] is True


async def test_b3_36_the_log_says_who_asked_for_what_and_no_secret(
    served: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "wakeful.cron.bus")
    await call(served, "update_config", "sss", "schedules", "timezone", "hunter2")
    served.daemon.failing = ValueError("a time zone is no 'hunter2'")
    answer = await call(served, "update_config", "sss", "schedules", "timezone", "hunter2")
    assert "hunter2" in answer["error"]
    served.daemon.failing = None
    await call(served, "run_job", "s", "a\nforged line")
    done, asked, refused, _, forged = [record.getMessage() for record in caplog.records]
    assert "(pid " in done
    assert done.endswith("asks for update_config('schedules', 'timezone', …)")
    assert asked.endswith("…)")
    assert refused.endswith("is refused update_config: see its answer")
    assert "hunter2" not in caplog.text
    assert "\n" not in forged

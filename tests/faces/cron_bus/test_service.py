"""The service on its bus: signals S3.51–S3.54 and B3.8, its name, who may call, and what happens when the bus goes."""

import asyncio
import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest
from dbus_fast import Message, MessageType
from dbus_fast.aio import MessageBus
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from faces.cron_bus.scripted import ScriptedDaemon
from support.bus import NAME, PATH, PrivateBus, hearing, until
from wakeful.faces.cron.bus import CronBus, NameTakenError, Service
from wakeful.faces.cron.bus_calls import Caller, Calls
from wakeful.faces.cron.bus_connection import BusError, ask_bus, connected
from wakeful.faces.cron.bus_handlers import HANDLERS, Place

pytestmark = [pytest.mark.anyio, pytest.mark.slow]


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("JobStarted", ["daily_standup", "e1"]),
        ("JobCompleted", ["daily_standup", "e1", '{"output": "ü"}']),
        ("JobFailed", ["daily_standup", "e1", "exit code 1"]),
        ("SchedulerToggled", [False]),
        ("ConfigReloaded", []),
        ("StatusChanged", ["paused"]),
        ("Event", ["sleep", '{"slept_s": 3}']),
    ],
)
async def test_s3_51_to_s3_54_and_b3_8_signals_are_heard(served: Any, name: str, arguments: list[Any]) -> None:
    async with hearing(served.bus.address) as heard:
        served.daemon.tell(name, *arguments)
        await until(lambda: heard.signals, "the signal")
        assert heard.signals == [(name, arguments)]


async def test_s3_54_a_toggle_over_the_bus_is_told_to_all(served: Any) -> None:
    async with hearing(served.bus.address) as heard:
        await served.client.call_method("toggle_scheduler", ["false"])
        await until(lambda: heard.signals, "the signal")
        assert heard.signals == [("SchedulerToggled", [False])]


async def test_signals_carry_any_text_and_have_an_end(served: Any) -> None:
    async with hearing(served.bus.address) as heard:
        served.daemon.tell("JobFailed", "a\0b", "e\ud800", "ü" * 1_000_000)
        served.daemon.tell("NobodyKnows", 1, 2, 3)
        served.daemon.tell("JobStarted", "too few")
        served.daemon.tell("StatusChanged", "well")
        await until(lambda: heard.named("StatusChanged"), "the last signal")
    assert heard.named("JobFailed") == [["a\ufffdb", "e?", "ü" * 131_072]]
    assert len(heard.signals) == 2


async def test_a_second_daemon_is_told_who_has_the_name(served: Any, private_bus: PrivateBus) -> None:
    other = CronBus(ScriptedDaemon(), lambda: None, private_bus.address)
    with pytest.raises(NameTakenError) as refused:
        await other.start()
    assert str(refused.value).startswith(f"the process {os.getpid()} has the name {NAME} on the session bus already: ")
    assert await served.client.ping()
    elsewhere = Service("org.example.Cron", "/org/example/Cron", "org.example.Cron1")
    third = CronBus(ScriptedDaemon(), lambda: None, private_bus.address, elsewhere)
    await third.start()
    await third.stop()


async def test_the_name_is_free_after_a_stop(served: Any, private_bus: PrivateBus) -> None:
    await served.cron.stop()
    again = CronBus(ScriptedDaemon(), lambda: None, private_bus.address)
    await again.start()
    await again.stop()


async def test_no_session_bus_is_one_sentence(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("DBUS_SESSION_BUS_ADDRESS", raising=False)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    with pytest.raises(BusError, match="there is no session bus: DBUS_SESSION_BUS_ADDRESS is not set"):
        await CronBus(ScriptedDaemon(), lambda: None).start()
    monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", f"unix:path={tmp_path}/none")
    with pytest.raises(BusError, match=r"can.t reach the session bus at unix:path=.*/none: No such file or directory"):
        await CronBus(ScriptedDaemon(), lambda: None).start()
    monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", "nonsense")
    with pytest.raises(BusError, match="can't reach the session bus at nonsense"):
        await CronBus(ScriptedDaemon(), lambda: None).start()


async def test_the_usual_place_of_the_bus_is_found(monkeypatch: pytest.MonkeyPatch, private_bus: PrivateBus) -> None:
    monkeypatch.delenv("DBUS_SESSION_BUS_ADDRESS", raising=False)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(private_bus.socket.parent))
    cron = CronBus(ScriptedDaemon(), lambda: None)
    await cron.start()
    await cron.stop()


async def test_b3_36_only_the_daemons_own_user_may_call(
    private_bus: PrivateBus, client_of: Any, caplog: pytest.LogCaptureFixture
) -> None:
    daemon = ScriptedDaemon()
    cron = CronBus(daemon, lambda: None, private_bus.address, uid=os.getuid() + 1)
    await cron.start()
    client = client_of(private_bus)
    assert await client.connect()
    for member, arguments in (("run_job", ["daily_standup"]), ("CallMethod", ["run_job", "a"]), ("GetStatus", [])):
        with pytest.raises(ConnectionError, match="AccessDenied: only processes of the daemon's own user may call it"):
            await client.call_method(member, arguments)
    assert daemon.asked == []
    assert f"uid {os.getuid()}) are refused: this daemon is for uid {os.getuid() + 1}" in caplog.text
    await client.disconnect()
    await cron.stop()


async def test_who_is_gone_before_it_can_be_asked_is_refused(served: Any, caplog: pytest.LogCaptureFixture) -> None:
    assert await served.cron._caller(":1.4711") is None
    assert "which can't be asked whose it is" in caplog.text
    assert await served.client.ping()


async def test_200_calls_at_once_are_all_answered(served: Any) -> None:
    buses = [await connected(served.bus.address) for _ in range(8)]

    def asked(n: int) -> Message:
        body = ["run_job", json.dumps(["daily_standup"])] if n % 2 else ["get_history", str(n)]
        return Message(destination=NAME, path=PATH, interface=NAME, member="CallMethod", signature="ss", body=body)

    served.daemon.hold.clear()
    calls = [asyncio.ensure_future(buses[n % 8].call(asked(n))) for n in range(200)]
    await until(lambda: len(served.daemon.asked) == 200, "all the calls")
    served.daemon.hold.set()
    answers = [json.loads(answer.body[0]) for answer in await asyncio.gather(*calls)]
    assert all(answer["success"] for answer in answers)
    assert [len(answer["history"]) for answer in answers[:60:2]] == list(range(0, 60, 2))[:15] + [30] * 15
    ids = {answer["execution_id"] for answer in answers[1::2]}
    assert len(ids) == 100
    for bus in buses:
        bus.disconnect()


async def test_of_more_than_a_thousand_calls_the_rest_is_refused(served: Any) -> None:
    served.daemon.hold.clear()
    calls = [asyncio.ensure_future(served.client.call_method("list_jobs")) for _ in range(1_001)]
    refused, _ = await asyncio.wait(calls, return_when=asyncio.FIRST_COMPLETED)
    served.daemon.hold.set()
    assert refused.pop().result()["error"].startswith("1000 calls are under way")
    answers = await asyncio.gather(*calls)
    assert sum(isinstance(answer, list) for answer in answers) == 1_000


async def test_the_service_comes_back_when_the_bus_does(private_bus: PrivateBus, client_of: Any) -> None:
    daemon, pauses, go_on = ScriptedDaemon(), [], asyncio.Event()

    async def pause(seconds: float) -> None:
        pauses.append(seconds)
        await (go_on.wait() if len(pauses) > 9 else asyncio.sleep(0))

    cron = CronBus(daemon, lambda: None, private_bus.address, pause=pause)
    await cron.start()
    client = client_of(private_bus)
    assert await client.connect()
    daemon.hold.clear()
    lost = asyncio.ensure_future(client.call_method("run_job", ["daily_standup"]))
    await until(lambda: daemon.asked, "the call")
    private_bus.stop()
    with pytest.raises(ConnectionError):
        await lost
    assert not client.is_running
    await until(lambda: len(pauses) > 9, "many tries")
    # What happens meanwhile harms nobody: a signal, and the end of a call whose caller is gone.
    daemon.tell("JobStarted", "daily_standup", "e1")
    daemon.hold.set()
    assert pauses[:7] == [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0]
    private_bus.start()
    go_on.set()
    while not await client.connect():
        await asyncio.sleep(0.01)
    assert (await client.call_method("run_job", ["daily_standup"]))["success"] is True
    async with hearing(private_bus.address) as heard:
        daemon.tell("JobStarted", "daily_standup", "e2")
        await until(lambda: heard.signals, "a signal after the return")
        assert heard.signals == [("JobStarted", ["daily_standup", "e2"])]
    await client.disconnect()
    await cron.stop()


async def test_a_bus_that_does_not_listen_is_waited_for_and_fills_no_memory(served: Any) -> None:
    async with hearing(served.bus.address) as heard:
        served.bus.signal(signal.SIGSTOP)
        for n in range(5_000):
            served.daemon.tell("Event", f"{n}", "x" * 1_000)
        assert served.cron._bus.connected
        assert served.cron._bus.unsent <= 1_000
        served.bus.signal(signal.SIGCONT)
        assert await served.client.ping()
        await until(lambda: len(heard.signals) >= 1_000, "what was kept")
        assert [int(kind) for kind, _ in heard.named("Event")] == list(range(len(heard.signals)))
        served.daemon.tell("StatusChanged", "well")
        await until(lambda: heard.named("StatusChanged"), "the next one")


async def test_what_is_said_on_a_dead_connection_harms_no_other(private_bus: PrivateBus) -> None:
    """Its descriptor's number is that of the next connection."""
    dead = await connected(private_bus.address)
    number = dead._fd
    private_bus.stop()
    await until(lambda: not dead.connected, "the end of the connection")
    private_bus.start()
    alive = await connected(private_bus.address)
    assert alive._fd == number
    await dead.send(Message.new_signal("/a", "a.b", "C"))
    dead._finalize(OSError())
    assert await ask_bus(alive, "GetId")
    with pytest.raises(BusError, match="GetId: the connection to the bus is closed"):
        await ask_bus(dead, "GetId")
    alive.disconnect()


async def test_a_name_that_another_took_meanwhile_is_taken_again_when_it_is_free(
    private_bus: PrivateBus, caplog: pytest.LogCaptureFixture
) -> None:
    tries = asyncio.Semaphore(0)

    async def pause(seconds: float) -> None:
        await tries.acquire()

    cron = CronBus(ScriptedDaemon(), lambda: None, private_bus.address, pause=pause)
    await cron.start()
    private_bus.stop()
    private_bus.start()
    other = CronBus(ScriptedDaemon(), lambda: None, private_bus.address)
    await other.start()
    tries.release()
    await until(lambda: "on the session bus already" in caplog.text, "the refusal")
    await other.stop()
    caplog.set_level("INFO", "wakeful.cron.bus")
    tries.release()
    await until(lambda: "is on the session bus again" in caplog.text, "the return")
    await cron.stop()


async def test_a_stop_without_a_bus_ends(private_bus: PrivateBus) -> None:
    cron = CronBus(ScriptedDaemon(), lambda: None, private_bus.address)
    await cron.start()
    private_bus.stop()
    await asyncio.wait_for(cron.stop(), 10)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)
_KEYS = st.sampled_from(["job_name", "enabled", "limit", "section", "key", "value", "here", "self"])
_ARGUMENTS = st.one_of(
    st.text(),
    _JSON.map(json.dumps),
    st.dictionaries(_KEYS, _JSON, max_size=4).map(json.dumps),
    st.lists(_JSON).map(json.dumps),
)


@given(name=st.sampled_from(sorted(HANDLERS)) | st.text(max_size=20), text=_ARGUMENTS)
@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_b3_36_any_arguments_get_an_object_and_nothing_breaks(name: str, text: str) -> None:
    async def answer() -> str:
        daemon = ScriptedDaemon()
        daemon.ends["run-1"] = asyncio.get_running_loop().create_future()
        daemon.ends["run-1"].set_result({"success": True})
        calls = Calls(Place(daemon, NAME, lambda: None))
        return await calls.perform_named(name, text, Caller(":1.1", 1, 0))

    said = json.loads(asyncio.run(answer()))
    assert isinstance(said, dict)
    assert said["success"] is True or (said["success"] is False and said["error"])
    assert "failed in the daemon" not in said.get("error", "") or name in {"get_config", "update_config"}


async def test_b3_36_junk_over_the_bus_gets_an_answer_each_time(served: Any) -> None:
    junk = ['{"a"', "\x01", "[[[", '{"job_name": {"a": 1}}', "[1, 2, 3, 4]", "NaN", "\U0001f600", "1e999", '"\\u0000"']
    for handler in (*sorted(HANDLERS.keys() - {"shutdown"}), "nobody", "\U0001f600"):
        for text in junk:
            answer = await served.client.call_method("CallMethod", [handler, text])
            assert isinstance(answer, dict), (handler, text)
    # Names with a dot are no members: the library of the client says so.
    with pytest.raises(ConnectionError):
        await served.client._called("not.a.member", "", [], 1)
    bad = Message(destination=NAME, path="/elsewhere", interface=NAME, member="Ping")
    bus = await MessageBus(served.bus.address).connect()
    assert (await bus.call(bad)).message_type is MessageType.ERROR
    bus.disconnect()
    assert await served.client.ping()

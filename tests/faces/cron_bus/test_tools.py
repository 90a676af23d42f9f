"""The command lines that people type, run by the real tools: rows S3.56–S3.59 and C2.2's line of the extension."""

import asyncio
import contextlib
import json
import os
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest

from faces.cron_bus.scripted import ScriptedDaemon
from support.bus import NAME, PATH, PrivateBus, hearing, until
from wakeful.faces.cron.bus import CronBus

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

BUSCTL = ("busctl", "--user", "call", NAME, PATH, NAME)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def said(served: Any, *argv: str) -> str:
    """What a tool prints."""
    done = await served.bus.run(*argv)
    assert done.returncode == 0, done.stderr
    return str(done.stdout)


def json_of(printed: str) -> Any:
    """What ``busctl`` prints of one text: its type, and it in quotes."""
    kind, text = printed.strip().split(" ", 1)
    assert kind == "s"
    return json.loads(json.loads(text))


async def test_s3_56_busctl_toggles_a_job(served: Any) -> None:
    answer = json_of(await said(served, *BUSCTL, "toggle_job", "ss", "daily_standup", "false"))
    assert answer == {"success": True, "job": "daily_standup", "enabled": False}
    assert served.daemon.jobs["daily_standup"] is False
    assert json_of(await said(served, *BUSCTL, "toggle_job", "ss", "daily_standup", "true"))["enabled"] is True


async def test_s3_57_busctl_runs_a_job(served: Any) -> None:
    answer = json_of(await said(served, *BUSCTL, "run_job", "s", "daily_standup"))
    assert answer == {"success": True, "job": "daily_standup", "execution_id": "run-1"}


async def test_s3_58_busctl_gets_the_history(served: Any) -> None:
    assert json_of(await said(served, *BUSCTL, "get_history", "i", "10")) == served.daemon.history[:10]


@pytest.mark.parametrize(
    ("line", "answer"),
    [
        (["list_jobs"], list),
        (["list_jobs", ""], list),
        (["toggle_scheduler", "s", "off"], dict),
        (["get_config", "ss", "schedules", "timezone"], str),
        (["update_config", "sss", "schedules", "timezone", "UTC"], dict),
        (["SetJobEnabled", "sb", "daily_standup", "false"], dict),
        (["GetStatus"], dict),
        (["CallMethod", "ss", "get_history", '{"limit": 1}'], dict),
    ],
)
async def test_s3_59_busctl_calls_the_methods_by_these_names(served: Any, line: list[str], answer: type) -> None:
    assert isinstance(json_of(await said(served, *BUSCTL, *line)), answer)


async def test_busctl_with_an_address_reads_the_properties(served: Any) -> None:
    line = ("busctl", f"--address={served.bus.address}", "get-property", NAME, PATH, NAME, "Running", "Uptime", "Stats")
    printed = (await said(served, *line)).splitlines()
    assert printed[:2] == ["b true", "d 12.5"]
    assert json_of(printed[2])["service_name"] == NAME


async def test_b3_35_busctl_waits_for_a_run(served: Any) -> None:
    argv = ("busctl", "--user", "--timeout=1h", *BUSCTL[2:], "RunJobAndWait", "s", "daily_standup")
    line = asyncio.ensure_future(said(served, *argv))
    await until(lambda: "run-1" in served.daemon.ends, "the call")
    served.daemon.ends["run-1"].set_result({"success": True, "status": "success"})
    assert json_of(await line)["status"] == "success"


async def test_busctl_introspects(served: Any) -> None:
    printed = await said(served, "busctl", "--user", "introspect", NAME, PATH)
    for line in (
        ".run_job method s s",
        ".toggle_job method ss s",
        ".Running property b true",
        ".JobFailed signal sss -",
    ):
        assert line in [" ".join(each.split()[:4]) for each in printed.splitlines()]


async def test_c2_2_the_extensions_line_by_dbus_send(served: Any) -> None:
    line = ("dbus-send", "--session", "--print-reply=literal", f"--dest={NAME}", PATH, f"{NAME}.CallMethod")
    asked = json.dumps({"section": "schedules", "key": "timezone"})
    printed = await said(served, *line, "string:get_config", f"string:{asked}")
    assert json.loads(printed) == {"success": True, "value": "UTC"}


async def test_gdbus_reads_the_introspection_and_calls(served: Any) -> None:
    where = ("--session", "--dest", NAME, "--object-path", PATH)
    printed = await said(served, "gdbus", "introspect", *where)
    assert "run_job(in  s job_name," in printed
    root = ET.fromstring(await said(served, "gdbus", "introspect", "--xml", *where))
    assert NAME in {each.get("name") for each in root.iter("interface")}
    called = await said(served, "gdbus", "call", *where, "--method", f"{NAME}.toggle_job", "daily_standup", "no")
    assert '"enabled":false' in called


async def test_s3_54_a_toggle_by_busctl_is_heard(served: Any) -> None:
    async with hearing(served.bus.address) as heard:
        await said(served, *BUSCTL, "toggle_scheduler", "s", "false")
        await until(lambda: heard.signals, "the signal")
        assert heard.signals == [("SchedulerToggled", [False])]


@pytest.mark.skipif(os.getuid() != 0, reason="only root can call as somebody else")
async def test_b3_36_another_user_is_refused_on_a_bus_that_lets_all_in(tmp_path: Path) -> None:
    rules = '<allow user="*"/><allow own="*"/><allow send_destination="*"/><allow receive_sender="*"/>'
    config = tmp_path / "open.conf"
    # Nobody else can reach a path in the test's own folder.
    address = f"unix:abstract=wakeful-tests-{os.getpid()}"
    policy = f'<auth>EXTERNAL</auth><policy context="default">{rules}</policy>'
    config.write_text(f"<busconfig><listen>{address}</listen>{policy}</busconfig>")
    daemon = ScriptedDaemon()
    with contextlib.closing(PrivateBus(tmp_path, f"--config-file={config}", address)) as bus:
        cron = CronBus(daemon, lambda: None, bus.address)
        await cron.start()
        call = ("busctl", f"--address={bus.address}", "call", NAME, PATH, NAME, "run_job", "s", "daily_standup")
        refused = await bus.run("setpriv", "--reuid=65534", "--clear-groups", *call)
        assert (refused.returncode, refused.stderr) == (1, "Call failed: Access denied\n")
        assert daemon.asked == []
        assert (await bus.run(*call)).returncode == 0
        await cron.stop()

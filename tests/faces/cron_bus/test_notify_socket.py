"""sd_notify: C2.3.2, on sockets of the test's own."""

import asyncio
import os
import socket
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from wakeful.faces.cron.notify_socket import NotifySocket

PID = 4711


@pytest.fixture(params=["path", "abstract"])
def systemd(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, socket.socket]]:
    """What is in NOTIFY_SOCKET, and the socket where systemd listens."""
    name = str(tmp_path / "notify") if request.param == "path" else f"@wakeful-tests-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(name.replace("@", "\0"))
        listening.settimeout(5)
        yield name, listening


def test_c2_3_2_systemd_is_told(systemd: tuple[str, socket.socket]) -> None:
    name, listening = systemd
    notify = NotifySocket({"NOTIFY_SOCKET": name}, PID)
    notify.ready("3 jobs\nnext\tat 9")
    assert listening.recv(4096) == b"READY=1\nSTATUS=3 jobs next at 9"
    notify.status("ü" * 5_000)
    assert listening.recv(4096).decode() == "STATUS=" + "ü" * 500
    notify.stopping()
    assert listening.recv(4096) == b"STOPPING=1"
    notify.status("\n")
    notify.ready()
    assert listening.recv(4096) == b"READY=1"


@pytest.mark.anyio
async def test_c2_3_2_the_watchdog_is_told_only_when_all_is_well(systemd: tuple[str, socket.socket]) -> None:
    name, listening = systemd
    listening.setblocking(False)
    notify = NotifySocket({"NOTIFY_SOCKET": name, "WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(PID)}, PID)
    pauses: list[float] = []
    moods = iter([True, False, None, True])
    told: list[bytes] = []

    def healthy() -> bool:
        mood = next(moods)
        if mood is None:
            raise RuntimeError("who knows")
        return mood

    async def pause(seconds: float) -> None:
        pauses.append(seconds)
        try:
            told.append(listening.recv(4096))
        except BlockingIOError:
            told.append(b"")
        if len(pauses) == 4:
            raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await notify.watchdog(healthy, pause)
    assert pauses == [15.0] * 4
    assert told == [b"WATCHDOG=1", b"", b"", b"WATCHDOG=1"]


@pytest.mark.parametrize(
    ("more", "interval"),
    [
        ({"WATCHDOG_USEC": "30000000"}, timedelta(seconds=15)),
        ({"WATCHDOG_USEC": "3", "WATCHDOG_PID": str(PID)}, timedelta(microseconds=2)),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "-1"}, None),
        ({"WATCHDOG_USEC": "³"}, None),
        ({"WATCHDOG_USEC": "9" * 20}, None),
        ({"WATCHDOG_USEC": ""}, None),
        ({}, None),
    ],
)
@pytest.mark.anyio
async def test_c2_3_2_the_interval_is_half_of_systemds(more: dict[str, str], interval: timedelta | None) -> None:
    notify = NotifySocket({"NOTIFY_SOCKET": "/nowhere", **more}, PID)
    assert notify.watchdog_interval == interval
    if interval is None:
        await notify.watchdog(lambda: True, asyncio.sleep)


@pytest.mark.parametrize("environment", [{}, {"NOTIFY_SOCKET": ""}, {"NOTIFY_SOCKET": "vsock:2:1"}])
@pytest.mark.anyio
async def test_without_systemd_nothing_happens(environment: dict[str, str], caplog: pytest.LogCaptureFixture) -> None:
    notify = NotifySocket({**environment, "WATCHDOG_USEC": "10"}, PID)
    notify.ready("well")
    notify.stopping()
    await notify.watchdog(lambda: True, asyncio.sleep)
    assert not caplog.records


def test_a_socket_that_is_gone_is_told_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    notify = NotifySocket({"NOTIFY_SOCKET": str(tmp_path / "gone")}, PID)
    notify.ready()
    notify.stopping()
    assert [each.getMessage() for each in caplog.records] == [
        "systemd can't be told READY=1: No such file or directory"
    ]
    NotifySocket({"NOTIFY_SOCKET": "/" + "x" * 200}, PID).ready()
    assert "AF_UNIX path too long" in caplog.text

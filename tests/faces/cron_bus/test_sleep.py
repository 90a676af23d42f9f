"""Sleep and wake: rows S3.27, S3.29 and B3.33, with a logind of the test's own on a private bus, and clocks that the
test turns."""

import asyncio
import signal
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest
from dbus_fast import Message
from dbus_fast.aio import MessageBus

from support.bus import PrivateBus, logind, until
from wakeful.faces.cron.sleep import Sleepers, SleepWatch

pytestmark = [pytest.mark.anyio, pytest.mark.slow]


@dataclass
class Machine:
    """Its clocks, who is told of its sleep, and the pauses of who watches them."""

    boot: timedelta = timedelta(hours=9)
    monotonic: timedelta = timedelta(hours=2)
    told: list[Any] = field(default_factory=list)
    ready: asyncio.Event = field(default_factory=asyncio.Event)
    failing: Exception | None = None
    looks: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(0))
    tries: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.ready.set()

    def readings(self) -> tuple[timedelta, timedelta]:
        return self.boot, self.monotonic

    def goes_on(self, **units: float) -> None:
        self.boot += timedelta(**units)
        self.monotonic += timedelta(**units)

    def sleeps(self, **units: float) -> None:
        self.boot += timedelta(**units)

    async def on_sleep(self) -> None:
        self.told.append("sleep")
        await self.ready.wait()
        if self.failing is not None:
            raise self.failing

    async def on_wake(self, slept: timedelta) -> None:
        self.told.append(slept.total_seconds())
        if self.failing is not None:
            raise self.failing

    async def pause(self, seconds: float) -> None:
        """The looks at the clocks, each 5 s, happen when the test says; tries to connect are not waited for."""
        if seconds != 5.0:
            self.tries.append(seconds)
            await asyncio.sleep(0.005)
            return
        await self.looks.acquire()

    def watch(self, address: str) -> SleepWatch:
        return SleepWatch(Sleepers(self.on_sleep, self.on_wake), self.readings, address, self.pause)

    async def look(self, watch: SleepWatch, times: int = 1) -> None:
        """The watch looks at the clocks, and is done with that."""
        for _ in range(times):
            self.looks.release()
            for _ in range(20):
                await asyncio.sleep(0)
            await until(watch._heard.empty, "the look")
        await asyncio.sleep(0.01)


@pytest.fixture
def machine() -> Machine:
    return Machine()


@pytest.fixture
async def there(private_bus: PrivateBus, machine: Machine) -> AsyncIterator[tuple[Any, SleepWatch]]:
    """A logind, and a watch that has its lock."""
    async with logind(private_bus.address) as manager:
        watch = machine.watch(private_bus.address)
        await watch.start()
        assert manager.asked == [("sleep", "wakeful", "jobs are put on hold", "delay")]
        await until(lambda: manager.held() == 1, "the lock")
        yield manager, watch
        await watch.stop()
        await until(lambda: manager.held() == 0, "no lock after the stop")


async def test_b3_33_the_sleep_waits_until_jobs_are_on_hold(there: Any, machine: Machine) -> None:
    manager, _ = there
    machine.ready.clear()
    manager.prepare_for_sleep(True)
    await until(lambda: machine.told == ["sleep"], "the word")
    assert manager.held() == 1
    machine.ready.set()
    await until(lambda: manager.held() == 0, "the lock to be given back")
    machine.sleeps(hours=8)
    manager.prepare_for_sleep(False)
    await until(lambda: machine.told == ["sleep", 28_800.0], "the wake")
    await until(lambda: manager.held() == 1, "a lock for the next time")
    assert len(manager.asked) == 2


async def test_s3_29_each_sleep_is_told_with_its_length(there: Any, machine: Machine) -> None:
    manager, watch = there
    for seconds in (3_600.0, 2.0, 0.0, 60.0):
        machine.told.clear()
        manager.prepare_for_sleep(True)
        await until(lambda: manager.held() == 0, "the lock to be given back")
        machine.sleeps(seconds=seconds)
        manager.prepare_for_sleep(False)
        await until(lambda: manager.held() == 1, "the lock to be taken again")
        await machine.look(watch)
        assert machine.told == ["sleep", seconds]


async def test_b3_33_one_sleep_is_told_once_whoever_sees_it_first(there: Any, machine: Machine) -> None:
    manager, watch = there
    manager.prepare_for_sleep(True)
    await until(lambda: manager.held() == 0, "the lock to be given back")
    machine.sleeps(hours=1)
    await machine.look(watch, 2)
    assert machine.told == ["sleep", 3_600.0]
    manager.prepare_for_sleep(False)
    await machine.look(watch, 2)
    assert machine.told == ["sleep", 3_600.0]
    assert manager.held() == 1


async def test_b3_33_a_sleep_that_logind_says_nothing_of_is_seen_by_the_clocks(there: Any, machine: Machine) -> None:
    _, watch = there
    machine.sleeps(minutes=10)
    await machine.look(watch, 3)
    assert machine.told == [600.0]


async def test_b3_33_a_sleep_that_does_not_come_ends_after_a_minute(there: Any, machine: Machine) -> None:
    manager, watch = there
    manager.prepare_for_sleep(True)
    await until(lambda: manager.held() == 0, "the lock to be given back")
    machine.goes_on(seconds=60)
    await machine.look(watch)
    assert machine.told == ["sleep"]
    machine.goes_on(seconds=1)
    await machine.look(watch)
    assert machine.told == ["sleep", 0.0]


async def test_b3_33_who_is_not_ready_in_4_s_delays_no_longer(
    there: Any, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("wakeful.faces.cron.sleep._ON_SLEEP_LIMIT_S", 0.01)
    manager, _ = there
    machine.ready.clear()
    manager.prepare_for_sleep(True)
    await until(lambda: manager.held() == 0, "the lock to be given back")


async def test_what_fails_at_sleep_or_wake_delays_nothing(
    there: Any, machine: Machine, caplog: pytest.LogCaptureFixture
) -> None:
    manager, watch = there
    machine.failing = RuntimeError("no")
    for told in (["sleep", 60.0], ["sleep", 60.0] * 2):
        manager.prepare_for_sleep(True)
        await until(lambda: manager.held() == 0, "the lock to be given back")
        machine.sleeps(seconds=60)
        manager.prepare_for_sleep(False)
        await until(lambda: manager.held() == 1, "the lock to be taken again")
        await machine.look(watch)
        assert machine.told == told
    assert "something was not ready for that" in caplog.text


async def test_only_logind_is_believed(there: Any, machine: Machine, private_bus: PrivateBus) -> None:
    manager, watch = there
    stranger = await MessageBus(private_bus.address).connect()
    signal = Message.new_signal(
        "/org/freedesktop/login1", "org.freedesktop.login1.Manager", "PrepareForSleep", "b", [True]
    )
    await stranger.send(signal)
    to_us = Message.new_signal(
        "/org/freedesktop/login1", "org.freedesktop.login1.Manager", "PrepareForSleep", "b", [True]
    )
    to_us.destination = watch._bus.unique_name
    await stranger.send(to_us)
    await stranger.introspect("org.freedesktop.DBus", "/org/freedesktop/DBus")
    await machine.look(watch)
    assert machine.told == []
    assert manager.held() == 1
    stranger.disconnect()


async def test_b3_33_without_a_system_bus_the_clocks_are_enough(
    machine: Machine, tmp_path: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "wakeful.cron.sleep")
    watch = machine.watch(f"unix:path={tmp_path}/none")
    await watch.start()
    await machine.look(watch)
    machine.goes_on(hours=5)
    await machine.look(watch)
    machine.sleeps(seconds=4)
    await machine.look(watch)
    assert machine.told == []
    machine.sleeps(seconds=2)
    await machine.look(watch, 3)
    assert machine.told == [6.0]
    machine.sleeps(hours=8)
    await machine.look(watch, 3)
    assert machine.told == [6.0, 28_800.0]
    await until(lambda: len(machine.tries) > 8, "tries to reach it")
    assert machine.tries[:8] == [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0]
    lines = [each.getMessage() for each in caplog.records if "no logind" in each.getMessage()]
    assert len(lines) == 1
    assert "No such file or directory" in lines[0]
    await watch.stop()


async def test_b3_33_without_logind_on_the_bus_the_clocks_are_enough(
    machine: Machine, private_bus: PrivateBus, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "wakeful.cron.sleep")
    watch = machine.watch(private_bus.address)
    await watch.start()
    assert "no sleep can be delayed" in caplog.text
    machine.sleeps(hours=8)
    await machine.look(watch, 2)
    assert machine.told == [28_800.0]
    await watch.stop()


async def test_who_may_not_delay_hears_all_the_same(machine: Machine, private_bus: PrivateBus) -> None:
    async with logind(private_bus.address) as manager:
        manager.refuses = True
        watch = machine.watch(private_bus.address)
        await watch.start()
        manager.prepare_for_sleep(True)
        await until(lambda: machine.told == ["sleep"], "the word")
        await watch.stop()


async def test_the_watch_comes_back_with_the_bus(machine: Machine, private_bus: PrivateBus) -> None:
    async with logind(private_bus.address) as manager:
        watch = machine.watch(private_bus.address)
        await watch.start()
        manager.prepare_for_sleep(True)
        await until(lambda: manager.held() == 0, "the lock to be given back")
        private_bus.stop()
        await until(lambda: len(machine.tries) > 2, "tries to reach it")
        # Nobody would say any more that it did not sleep.
        assert machine.told == ["sleep", 0.0]
        private_bus.start()
    async with logind(private_bus.address) as manager:
        machine.sleeps(minutes=5)
        await until(lambda: watch._bus is not None, "the return")
        await machine.look(watch)
        assert machine.told == ["sleep", 0.0, 300.0]
        await until(lambda: manager.held() == 1, "its lock")
        manager.prepare_for_sleep(True)
        await until(lambda: machine.told[3:] == ["sleep"], "the word")
        await watch.stop()


async def test_a_watch_that_stops_before_it_found_a_bus(machine: Machine, tmp_path: Any) -> None:
    watch = machine.watch(f"unix:path={tmp_path}/none")
    await watch.stop()
    await watch.start()
    await watch.stop()


async def test_a_system_bus_that_does_not_answer_keeps_nobody_from_starting(
    machine: Machine, private_bus: PrivateBus, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("wakeful.faces.cron.sleep._FIRST_TRY_S", 0.05)
    caplog.set_level("INFO", "wakeful.cron.sleep")
    private_bus.signal(signal.SIGSTOP)
    watch = machine.watch(private_bus.address)
    await watch.start()
    assert "no logind (no answer in time)" in caplog.text
    machine.sleeps(hours=1)
    await machine.look(watch)
    assert machine.told == [3_600.0]
    await watch.stop()

"""An app's health: what makes it well and unwell, and what its sink does meanwhile."""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from support.claims import claim
from wakeful.core.ports import Claim
from wakeful.core.run import Outcome, Succeeded, Unavailable
from wakeful.targets.health import AppHealth, WhileWell
from wakeful.targets.http import HttpApp, open_client

pytestmark = pytest.mark.anyio

Open = Callable[..., Any]


class Probed:
    """An app's answers to its probes, one for each interval that the test lets pass."""

    def __init__(self, threshold: int = 3) -> None:
        self.answer: bool | Exception = True
        self.slept: list[float] = []
        self.recoveries = 0
        self._pass = asyncio.Semaphore(0)
        self.health = AppHealth(
            self._probe, timedelta(seconds=5), threshold, recovered=self._recovered, sleep=self._sleep
        )

    async def probes(self, *answers: bool | Exception) -> bool:
        """Whether the app is well after these."""
        for answer in answers:
            self.answer = answer
            if self.health._task is None:
                self.health.start()
            else:
                self._pass.release()
            for _ in range(10):
                await asyncio.sleep(0)
        return self.health.well

    async def _probe(self) -> bool:
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    def _recovered(self) -> None:
        self.recoveries += 1

    async def _sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        await self._pass.acquire()


async def test_an_app_is_unwell_until_it_says_otherwise_and_asked_at_once() -> None:
    probed = Probed()
    assert not probed.health.well
    assert await probed.probes(True)
    assert probed.slept == [5.0]
    await probed.health.aclose()


async def test_only_failures_in_a_row_make_it_unwell_and_one_success_well_again() -> None:
    probed = Probed(threshold=3)
    assert await probed.probes(True, False, False, True, False, False)
    assert not await probed.probes(False)
    assert not await probed.probes(False, False)
    assert await probed.probes(True, False, False)
    assert probed.recoveries == 2
    await probed.health.aclose()


async def test_an_app_that_never_was_well_is_not_after_fewer_failures() -> None:
    probed = Probed(threshold=3)
    assert not await probed.probes(False)
    await probed.health.aclose()


async def test_a_probe_that_raises_is_a_failure_and_not_the_last_one() -> None:
    probed = Probed(threshold=1)
    assert not await probed.probes(True, RuntimeError("a bug"))
    assert await probed.probes(True)
    await probed.health.aclose()


class There:
    """A sink that takes everything."""

    def __init__(self) -> None:
        self.go = asyncio.Event()
        self.go.set()
        self.begun = 0

    async def deliver(self, claim: Claim) -> Outcome:
        self.begun += 1
        await self.go.wait()
        return Succeeded()

    async def available(self) -> None:
        """At once."""


async def test_nothing_goes_out_while_the_app_is_unwell_and_what_is_under_way_ends() -> None:
    probed, there = Probed(threshold=1), There()
    sink = WhileWell(there, probed.health)
    assert await sink.deliver(claim()) == Unavailable("the app is unhealthy")
    await probed.probes(True)
    there.go.clear()
    under_way = asyncio.ensure_future(sink.deliver(claim()))
    await probed.probes(False)
    assert isinstance(await sink.deliver(claim()), Unavailable)
    there.go.set()
    assert await under_way == Succeeded()
    assert there.begun == 1
    await probed.health.aclose()


async def test_the_sink_is_available_once_the_app_is_well() -> None:
    probed = Probed(threshold=1)
    sink = WhileWell(There(), probed.health)
    waiting = asyncio.ensure_future(sink.available())
    await probed.probes(False)
    assert not waiting.done()
    await probed.probes(True)
    await asyncio.wait_for(waiting, 20)
    await probed.health.aclose()


@pytest.mark.parametrize("protocol", ["http", "https", "h2c"])
@pytest.mark.parametrize(
    ("answer", "well"), [(200, True), (204, True), (302, False), (404, False), (500, False), (None, False)]
)
async def test_an_http_app_is_well_if_it_answers_its_path_in_time_with_2xx(
    far_side: Open, protocol: str, answer: Any, well: bool
) -> None:
    far = await far_side(answer, protocol=protocol)
    app = HttpApp(open_client(protocol, "127.0.0.1", far.port, "s3cret"), timedelta(seconds=5), "s3cret")
    assert await app.healthy("/healthz", 0.1 if answer is None else 5) is well
    assert far.received[0].line.split()[:2] == ["GET", "/healthz"]
    await app.aclose()


async def test_an_app_that_is_not_there_is_not_well() -> None:
    app = HttpApp(open_client("http", "127.0.0.1", 1), timedelta(seconds=5))
    assert not await app.healthy("/healthz", 1)

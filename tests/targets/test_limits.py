"""The limit over all that is sent to an app."""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from support.claims import claim
from wakeful.core.ports import Claim
from wakeful.core.run import Failed, Outcome, Succeeded, Unavailable
from wakeful.targets.http import HttpApp, open_client
from wakeful.targets.limits import Limited

pytestmark = pytest.mark.anyio

Open = Callable[..., Any]


class Held:
    """A sink that holds what it gets until it is let go."""

    def __init__(self) -> None:
        self.under_way = self.most = self.begun = 0
        self.go = asyncio.Event()

    async def deliver(self, claim: Claim) -> Outcome:
        self.begun += 1
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        try:
            await self.go.wait()
        finally:
            self.under_way -= 1
        return Succeeded()

    async def available(self) -> None:
        """At once."""


async def turns(number: int = 20) -> None:
    for _ in range(number):
        await asyncio.sleep(0)


async def test_sinks_that_share_the_permits_share_the_limit() -> None:
    held, permits = Held(), asyncio.Semaphore(2)
    sinks = [Limited(held, permits), Limited(held, permits)]
    deliveries = [asyncio.ensure_future(sinks[n % 2].deliver(claim(number=n))) for n in range(9)]
    await turns()
    assert held.begun == 2
    held.go.set()
    assert await asyncio.gather(*deliveries) == [Succeeded()] * 9
    assert held.most == 2


async def test_the_time_out_begins_when_the_run_is_let_through(far_side: Open) -> None:
    far = await far_side(None, 200)
    app = HttpApp(open_client("http", "127.0.0.1", far.port), timedelta(seconds=0.2))
    sink = Limited(app, asyncio.Semaphore(1))
    first, second = (asyncio.ensure_future(sink.deliver(claim(number=n))) for n in (1, 2))
    # Together they take longer than the time-out of one.
    assert isinstance(await first, Failed)
    assert await second == Succeeded()
    await app.aclose()


async def test_a_run_that_is_cut_off_while_it_waits_takes_no_permit() -> None:
    held = Held()
    sink = Limited(held, asyncio.Semaphore(1))
    first, second, third = (asyncio.ensure_future(sink.deliver(claim(number=n))) for n in (1, 2, 3))
    await turns()
    second.cancel()
    held.go.set()
    assert await first == await third == Succeeded()
    assert second.cancelled()
    assert held.begun == 2


async def test_a_run_that_may_happen_only_once_and_never_went_out_is_given_back() -> None:
    held = Held()
    sink = Limited(held, asyncio.Semaphore(1))
    first, second = (asyncio.ensure_future(sink.deliver(claim(number=n, at_most_once=True))) for n in (1, 2))
    await turns()
    for delivery in (first, second):
        delivery.cancel()
    assert isinstance(await second, Unavailable)
    # Of the one that was under way nobody knows.
    with pytest.raises(asyncio.CancelledError):
        await first

"""The two names that an app's callback has over gRPC: which is called, and how long that is remembered."""

import asyncio
from collections.abc import Callable
from typing import Any

import grpc
import pytest

from support.claims import claim
from support.grpc_far_side import OK, app_on, gone
from wakeful.core.run import Failed, Succeeded

pytestmark = pytest.mark.slow

Open = Callable[..., Any]
BOTH = ("OnJobEvent", "OnJobEventAlpha1")


@pytest.mark.anyio
async def test_the_older_name_is_tried_when_the_newer_is_not_there_and_remembered(grpc_far_side: Open) -> None:
    far = await grpc_far_side(OK, (grpc.StatusCode.INTERNAL, "why"), OK, methods=["OnJobEventAlpha1"])
    async with app_on(far.port) as app:
        outcomes = [await app.deliver(claim()) for _ in range(3)]
    assert outcomes == [Succeeded(), Failed("INTERNAL from OnJobEvent job/tick: why"), Succeeded()]
    assert [received.method for received in far.received] == ["OnJobEventAlpha1"] * 3


@pytest.mark.anyio
async def test_an_app_with_both_names_is_called_by_the_newer(grpc_far_side: Open) -> None:
    far = await grpc_far_side(methods=BOTH)
    async with app_on(far.port) as app:
        await app.deliver(claim())
        await app.deliver(claim())
    assert [received.method for received in far.received] == ["OnJobEvent"] * 2


@pytest.mark.anyio
@pytest.mark.parametrize(("first", "second"), [BOTH, BOTH[::-1]])
async def test_an_app_that_comes_back_with_the_other_name_is_understood(
    grpc_far_side: Open, first: str, second: str
) -> None:
    old = await grpc_far_side(methods=[first])
    async with app_on(old.port) as app:
        assert await app.deliver(claim()) == Succeeded()
        await old.close()
        await gone(app)
        new = await grpc_far_side(methods=[second], port=old.port)
        await app.available()
        assert await app.deliver(claim()) == Succeeded()
        assert await app.deliver(claim()) == Succeeded()
    assert [received.method for received in new.received] == [second] * 2


@pytest.mark.anyio
async def test_an_app_that_comes_back_with_both_names_is_called_by_the_newer(grpc_far_side: Open) -> None:
    old = await grpc_far_side(methods=["OnJobEventAlpha1"])
    async with app_on(old.port) as app:
        assert await app.deliver(claim()) == Succeeded()
        await old.close()
        await gone(app)
        new = await grpc_far_side(methods=BOTH, port=old.port)
        await app.available()
        assert await app.deliver(claim()) == Succeeded()
    assert [received.method for received in new.received] == ["OnJobEvent"]


@pytest.mark.anyio
async def test_what_an_old_connection_still_answers_says_nothing_of_the_app_that_came_back(grpc_far_side: Open) -> None:
    ended = asyncio.Event()
    old = await grpc_far_side(OK, ended, methods=["OnJobEventAlpha1"])
    async with app_on(old.port) as app:
        assert await app.deliver(claim()) == Succeeded()
        delivery = asyncio.ensure_future(app.deliver(claim()))
        while len(old.received) < 2:
            await asyncio.sleep(0.001)
        assert old.server is not None
        stopping = asyncio.ensure_future(old.server.stop(5))
        await gone(app)
        new = await grpc_far_side(methods=BOTH, port=old.port)
        await app.available()
        ended.set()
        assert await delivery == Succeeded()
        await stopping
        assert await app.deliver(claim()) == Succeeded()
    assert [received.method for received in new.received] == ["OnJobEvent"]


@pytest.mark.anyio
async def test_after_a_call_that_broke_the_newer_name_is_tried_first_again(grpc_far_side: Open) -> None:
    no, broken = (grpc.StatusCode.UNIMPLEMENTED, ""), (grpc.StatusCode.UNAVAILABLE, "broken")
    far = await grpc_far_side(no, OK, broken, OK, methods=BOTH)
    async with app_on(far.port) as app:
        outcomes = [await app.deliver(claim()) for _ in range(3)]
    assert outcomes == [Succeeded(), Failed("UNAVAILABLE from OnJobEvent job/tick: broken"), Succeeded()]
    names = ["OnJobEvent", "OnJobEventAlpha1", "OnJobEventAlpha1", "OnJobEvent"]
    assert [received.method for received in far.received] == names


@pytest.mark.anyio
async def test_an_app_with_neither_name_has_failed(grpc_far_side: Open) -> None:
    far = await grpc_far_side(methods=[])
    async with app_on(far.port) as app:
        for _ in range(2):
            outcome = await app.deliver(claim())
            assert outcome == Failed("UNIMPLEMENTED from OnJobEvent job/tick: Method not found!")


@pytest.mark.anyio
async def test_a_name_that_answers_too_late_leaves_no_time_for_the_other(grpc_far_side: Open) -> None:
    far = await grpc_far_side(None)
    async with app_on(far.port, timeout_s=0.2) as app:
        assert await app.deliver(claim()) == Failed("OnJobEvent job/tick: no answer within 0.2 s")
    assert len(far.received) == 1

"""What holds for an app whatever it speaks: each claim for each protocol."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import grpc
import pytest

from support.claims import claim
from support.far_sides import FarSide, Reply
from support.grpc_far_side import self_signed, unused_port
from wakeful.core.job import Data, TargetSpec
from wakeful.core.run import Failed, Rejected, Succeeded, Unavailable
from wakeful.targets.grpc import GrpcApp
from wakeful.targets.http import HttpApp, open_client

Open = Callable[..., Any]
pytestmark = [pytest.mark.anyio, pytest.mark.slow]
# What an app may answer, as HTTP and as gRPC says it.
ANSWERS: dict[str, tuple[Any, Any]] = {
    "done": (204, True),
    "no such job": (404, (grpc.StatusCode.NOT_FOUND, "")),
    "failed": (Reply(500, b"why"), (grpc.StatusCode.INTERNAL, "why")),
    "failed at length": (
        Reply(500, b"\x1b[31mbad\r\n " + b"x" * 4000),
        (grpc.StatusCode.UNKNOWN, "\x1b[31mbad\r\n " + "x" * 4000),
    ),
    "token": (Reply(500, b"token: s3cret!"), (grpc.StatusCode.INTERNAL, "token: s3cret!")),
    "nothing": (None, None),
}


@pytest.fixture(params=["http", "https", "h2c", "grpc", "grpcs"])
def protocol(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def open_far_side(far_side: Open, grpc_far_side: Open, protocol: str) -> Open:
    """Opens the far side of an app that gives these answers."""

    async def open_it(*answers: str, port: int = 0) -> Any:
        if protocol.startswith("grpc"):
            key = self_signed() if protocol == "grpcs" else None
            return await grpc_far_side(*(ANSWERS[one][1] for one in answers), port=port, key=key)
        return await far_side(*(ANSWERS[one][0] for one in answers), port=port, protocol=protocol)

    return open_it


@pytest.fixture
def app_on(protocol: str) -> Open:
    """The app on a port."""

    @asynccontextmanager
    async def open_app(port: int, timeout_s: float = 5, api_token: str | None = None) -> AsyncIterator[Any]:
        timeout = timedelta(seconds=timeout_s)
        if protocol.startswith("grpc"):
            app: Any = GrpcApp("127.0.0.1", port, timeout, api_token, tls=protocol == "grpcs")
        else:
            app = HttpApp(open_client(protocol, "127.0.0.1", port, api_token), timeout, api_token)
        yield app
        await app.aclose()

    return open_app


async def test_an_answer_says_what_came_of_the_run(open_far_side: Open, app_on: Open) -> None:
    far = await open_far_side("done", "no such job", "failed", "done")
    async with app_on(far.port) as app:
        outcomes = [await app.deliver(claim()) for _ in range(4)]
    assert outcomes[0] == outcomes[3] == Succeeded()
    assert isinstance(outcomes[1], Rejected)
    assert isinstance(outcomes[2], Failed)
    assert outcomes[2].error.endswith("job/tick: why")
    assert len(far.received) == 4


async def test_a_failure_is_kept_as_one_short_line(open_far_side: Open, app_on: Open) -> None:
    far = await open_far_side("failed at length")
    async with app_on(far.port) as app:
        outcome = await app.deliver(claim(target=TargetSpec("app", "job/\x1b" + "n" * 300)))
    assert isinstance(outcome, Failed)
    assert outcome.error.isprintable()
    assert ": [31mbad xxx" in outcome.error
    assert len(outcome.error) < 400


async def test_no_answer_in_time_has_failed(open_far_side: Open, app_on: Open) -> None:
    far = await open_far_side("nothing")
    async with app_on(far.port, timeout_s=0.2) as app:
        await app.available()
        outcome = await app.deliver(claim())
    assert isinstance(outcome, Failed)
    assert outcome.error.endswith("job/tick: no answer within 0.2 s")
    assert len(far.received) == 1


async def test_a_job_may_have_less_time_than_the_app_has(open_far_side: Open, app_on: Open) -> None:
    far = await open_far_side("nothing")
    async with app_on(far.port, timeout_s=30) as app:
        await app.available()
        outcome = await app.deliver(claim(timeout=timedelta(seconds=0.2)))
    assert isinstance(outcome, Failed)
    assert outcome.error.endswith("no answer within 0.2 s")


async def test_a_closed_port_makes_the_app_unavailable_every_time(app_on: Open) -> None:
    port = unused_port()
    async with app_on(port) as app:
        for _ in range(3):
            outcome = await app.deliver(claim())
            assert isinstance(outcome, Unavailable)
            assert outcome.error.startswith(f"no connection to 127.0.0.1:{port}")


async def test_an_app_is_available_once_its_port_opens_and_not_before(open_far_side: Open, app_on: Open) -> None:
    port = unused_port()
    async with app_on(port) as app:
        assert isinstance(await app.deliver(claim()), Unavailable)
        waiting = asyncio.ensure_future(app.available())
        await asyncio.sleep(0.08)
        assert not waiting.done()
        far = await open_far_side("done", port=port)
        await asyncio.wait_for(waiting, 20)
        assert await app.deliver(claim()) == Succeeded()
    assert len(far.received) == 1


async def test_what_is_no_app_is_rejected_and_nothing_sent(app_on: Open) -> None:
    async with app_on(unused_port()) as app:
        outcome = await app.deliver(claim(target=TargetSpec("command", "ls")))
    assert outcome == Rejected("an app can't be the target of kind 'command'")


async def test_the_app_is_told_which_run_it_is_and_by_whom(open_far_side: Open, app_on: Open) -> None:
    far = await open_far_side("done")
    async with app_on(far.port, api_token="s3cret") as app:
        await app.deliver(claim())
    headers = far.received[0].headers if isinstance(far, FarSide) else far.received[0].metadata
    told = {key: value for key, value in headers.items() if key.startswith(("wakeful", "dapr"))}
    assert told == {
        "dapr-api-token": "s3cret",
        "wakeful-run-id": "00000000-0000-0000-0000-000000000007",
        "wakeful-attempt": "2",
        "wakeful-scheduled-for": "2026-03-01T12:00:00Z",
    }


@pytest.mark.parametrize("token", [None, ""])
async def test_without_a_token_none_is_sent(open_far_side: Open, app_on: Open, token: str | None) -> None:
    far = await open_far_side("done")
    async with app_on(far.port, api_token=token) as app:
        await app.deliver(claim())
    headers = far.received[0].headers if isinstance(far, FarSide) else far.received[0].metadata
    assert "dapr-api-token" not in headers


async def test_the_token_does_not_come_back_in_an_error(open_far_side: Open, app_on: Open) -> None:
    far = await open_far_side("token")
    async with app_on(far.port, api_token="s3cret") as app:
        outcome = await app.deliver(claim())
    assert isinstance(outcome, Failed)
    assert outcome.error.endswith(": token: ***!")


@pytest.mark.parametrize("token", ["a\r\nevil: 1", "a\x00", "ключ", "a\x7f"])
async def test_a_token_that_can_not_be_sent_is_refused_and_not_shown(app_on: Open, token: str) -> None:
    with pytest.raises(ValueError, match="dapr-api-token") as refusal:
        async with app_on(1, api_token=token):
            pass
    assert token not in str(refusal.value)


async def test_a_cancelled_delivery_leaves_the_app(open_far_side: Open, app_on: Open) -> None:
    far = await open_far_side("nothing")
    async with app_on(far.port) as app:
        delivery = asyncio.ensure_future(app.deliver(claim()))
        while not far.received:
            await asyncio.sleep(0.001)
        delivery.cancel()
        await far.client_left()
        assert delivery.cancelled()


async def test_a_hundred_runs_are_in_flight_at_once(open_far_side: Open, app_on: Open) -> None:
    far = await open_far_side(*["nothing"] * 100)
    async with app_on(far.port) as app:
        await app.available()
        deliveries = [asyncio.ensure_future(app.deliver(claim(str(number)))) for number in range(100)]
        while len(far.received) < 100:
            await asyncio.sleep(0.001)
        for delivery in deliveries:
            delivery.cancel()
        await asyncio.wait(deliveries)
        assert all(delivery.cancelled() for delivery in deliveries)


async def test_two_mebibytes_of_data_arrive(open_far_side: Open, app_on: Open) -> None:
    text = "x" * (2 * 1024 * 1024 - 2)
    far = await open_far_side("done")
    async with app_on(far.port) as app:
        assert await app.deliver(claim(data=Data("json", f'"{text}"'.encode()))) == Succeeded()
    (received,) = far.received
    body = received.body if isinstance(far, FarSide) else received.request.data.value
    assert text.encode() in body

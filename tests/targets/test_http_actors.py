"""Reminders as an app gets them: what is put, what its answers come to, and whose turn it is."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any
from urllib.parse import unquote

import pytest

from support.claims import claim
from support.far_sides import Reply
from wakeful.core.job import Data, TargetSpec
from wakeful.core.ports import Claim
from wakeful.core.run import Failed, Outcome, Rejected, Succeeded, Unavailable
from wakeful.targets.http import HttpApp, open_client
from wakeful.targets.http_actors import HttpActors, OneTurn, reminder_body

Open = Callable[..., Any]


def reminder(actor_id: str = "7", name: str = "wake", data: Data | None = None, number: int = 7) -> Claim:
    target = TargetSpec("actor", f"Cat/{actor_id}", {"app_id": "a"})
    return claim(name, data, owner=f"actor/Cat/{actor_id}", target=target, number=number)


@asynccontextmanager
async def actors_on(port: int, protocol: str = "http", token: str | None = None) -> AsyncIterator[HttpActors]:
    app = HttpApp(open_client(protocol, "127.0.0.1", port, token), timedelta(seconds=5), token)
    yield HttpActors(app)
    await app.aclose()


@pytest.mark.anyio
@pytest.mark.parametrize("protocol", ["http", "https", "h2c"])
async def test_a_reminder_is_one_put_to_its_actor(far_side: Open, protocol: str) -> None:
    far = await far_side(200, protocol=protocol)
    async with actors_on(far.port, protocol, "s3cret") as actors:
        await actors.available()
        assert await actors.deliver(reminder(data=Data("json", b'{"a":1}'))) == Succeeded()
    (request,) = far.received
    assert request.line.split()[:2] == ["PUT", "/actors/Cat/7/method/remind/wake"]
    assert json.loads(request.body) == {"data": {"a": 1}, "dueTime": "", "period": ""}
    assert request.headers["content-type"] == "application/json"
    assert request.headers["dapr-api-token"] == "s3cret"
    assert request.headers["wakeful-run-id"] == "00000000-0000-0000-0000-000000000007"


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        (200, Succeeded()),
        (Reply(200, headers=(("X-DaprReminderCancel", "true"),)), Succeeded()),
        (204, Failed("HTTP 204 from PUT /actors/Cat/7/method/remind/wake")),
        (404, Failed("HTTP 404 from PUT /actors/Cat/7/method/remind/wake")),
        (Reply(500, b"not now"), Failed("HTTP 500 from PUT /actors/Cat/7/method/remind/wake: not now")),
    ],
)
async def test_only_200_is_a_success_and_everything_else_is_tried_again(
    far_side: Open, answer: Any, outcome: object
) -> None:
    far = await far_side(answer)
    async with actors_on(far.port) as actors:
        assert await actors.deliver(reminder()) == outcome


@pytest.mark.anyio
async def test_without_an_app_the_reminder_waits() -> None:
    async with actors_on(1) as actors:
        assert isinstance(await actors.deliver(reminder()), Unavailable)


@pytest.mark.anyio
async def test_a_target_that_is_no_actor_is_rejected() -> None:
    async with actors_on(1) as actors:
        assert isinstance(await actors.deliver(claim()), Rejected)


@pytest.mark.anyio
async def test_any_id_and_name_stay_parts_of_the_path(far_side: Open) -> None:
    far = await far_side(200)
    async with actors_on(far.port) as actors:
        await actors.deliver(reminder("a b%2F|ü", 'x" y'))
    path = far.received[0].line.split()[1]
    assert path.isascii()
    assert unquote(path) == '/actors/Cat/a b%2F|ü/method/remind/x" y'


@pytest.mark.parametrize(
    ("data", "body"),
    [
        (None, {"dueTime": "", "period": ""}),
        (Data("json", b"null"), {"data": None, "dueTime": "", "period": ""}),
        (Data("json", b'"x"'), {"data": "x", "dueTime": "", "period": ""}),
        (Data("bytes", b"\xff\x00"), {"data": "/wA=", "dueTime": "", "period": ""}),
    ],
)
def test_the_body_has_the_data_only_if_there_is_any(data: Data | None, body: object) -> None:
    assert json.loads(reminder_body(data)) == body


class Slow:
    """A sink whose deliveries end when the test says."""

    def __init__(self) -> None:
        self.begun: list[int] = []
        self.end = asyncio.Event()

    async def deliver(self, claim: Claim) -> Outcome:
        self.begun.append(claim.run.id.int)
        await self.end.wait()
        return Succeeded()

    async def available(self) -> None:
        """At once."""


@pytest.mark.anyio
async def test_an_actor_does_one_thing_at_a_time_and_others_do_not_wait_for_it() -> None:
    slow = Slow()
    sink = OneTurn(slow)
    claims = [reminder("1", "a", number=1), reminder("1", "b", number=2), reminder("2", "a", number=3)]
    deliveries = [asyncio.ensure_future(sink.deliver(one)) for one in claims]
    for _ in range(10):
        await asyncio.sleep(0)
    assert slow.begun == [1, 3]
    slow.end.set()
    assert await asyncio.gather(*deliveries) == [Succeeded()] * 3
    assert slow.begun == [1, 3, 2]
    assert not sink._turns


@pytest.mark.anyio
async def test_who_is_cut_off_while_waiting_for_a_turn_lets_the_next_have_it() -> None:
    slow = Slow()
    sink = OneTurn(slow)
    first, second, third = (asyncio.ensure_future(sink.deliver(reminder(number=n))) for n in (1, 2, 3))
    await asyncio.sleep(0)
    second.cancel()
    slow.end.set()
    assert await first == await third == Succeeded()
    assert slow.begun == [1, 3]

"""A whole node and an app that speaks one protocol or another, over real sockets."""

import asyncio
import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
import httpx2
import pytest

from support.far_sides import FarSide, H2FarSide, Reply
from support.processes import PLAIN
from wakeful.config import Config, HealthCheck
from wakeful.node import running

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

CONFIG = Reply(200, json.dumps({"entities": ["Cat"]}).encode())


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, bool]]:
    return "asyncio", {"use_uvloop": True}


def config(store: Path, port: int, protocol: str) -> Config:
    return Config(
        app_id="app",
        app_port=port,
        namespace="default",
        http_port=0,
        grpc_port=0,
        port=0,
        address="127.0.0.1",
        store=store,
        app_timeout=timedelta(seconds=5),
        late_rate=100,
        api_token=None,
        app_token="s3cret",
        app_protocol=protocol,
        app_health=HealthCheck() if protocol == "grpc" else None,
    )


def never() -> None:
    raise AssertionError("the app did not ask for the end")


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.005)


@pytest.mark.parametrize("protocol", ["http", "https", "h2c"])
async def test_jobs_and_reminders_reach_the_app(tmp_path: Path, protocol: str) -> None:
    answers = (CONFIG, 200)
    far = H2FarSide(answers) if protocol == "h2c" else FarSide(answers, tls=protocol == "https")
    await far.listen()
    async with (
        running(config(tmp_path / "wakeful.db", far.port, protocol), never) as ports,
        httpx2.AsyncClient(**PLAIN) as client,
    ):
        await until(lambda: far.received)
        sidecar = f"http://127.0.0.1:{ports.http}/v1.0"
        job = await client.post(f"{sidecar}/jobs/tick", json={"dueTime": "0s", "data": {"a": 1}})
        reminder = await client.post(f"{sidecar}/actors/Cat/7/reminders/feed", json={"dueTime": "0s"})
        assert (job.status_code, reminder.status_code) == (204, 204)
        await until(lambda: len(far.received) == 3)
    assert far.server is not None
    far.server.close()
    asked, *called = far.received
    assert asked.line.split()[:2] == ["GET", "/dapr/config"]
    assert asked.headers["dapr-app-id"] == "app"
    assert {(*one.line.split()[:2], one.body) for one in called} == {
        ("POST", "/job/tick", b'{"a":1}'),
        ("PUT", "/actors/Cat/7/method/remind/feed", b'{"dueTime":"","period":""}'),
    }
    assert {one.headers["dapr-api-token"] for one in far.received} == {"s3cret"}


class Called(grpc.GenericRpcHandler):
    """Answers every method with an empty message, and keeps which it was."""

    def __init__(self) -> None:
        self.methods: list[str] = []

    def service(self, details: Any) -> Any:
        async def answer(_request: bytes, _context: object) -> bytes:
            self.methods.append(details.method.rpartition("/")[2])
            return b""

        return grpc.unary_unary_rpc_method_handler(answer)


async def test_jobs_reach_a_grpc_app_that_is_well(tmp_path: Path) -> None:
    called = Called()
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((called,))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with (
        running(config(tmp_path / "wakeful.db", port, "grpc"), never) as ports,
        httpx2.AsyncClient(**PLAIN) as client,
    ):
        url = f"http://127.0.0.1:{ports.http}/v1.0/jobs/tick"
        assert (await client.post(url, json={"dueTime": "0s"})).status_code == 204
        await until(lambda: "OnJobEvent" in called.methods)
    await server.stop(None)
    assert called.methods == ["HealthCheck", "OnJobEvent"]

"""An app called over gRPC: what it is sent, and what the ends of a connection come to."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import grpc
import pytest
from dapr.ext.grpc import App
from google.protobuf.struct_pb2 import Value
from google.protobuf.wrappers_pb2 import StringValue

from support.claims import claim
from support.grpc_far_side import OK, app_on, gone, unused_port
from wakeful.core.job import Data, TargetSpec
from wakeful.core.run import Failed, Rejected, Succeeded, Unavailable

pytestmark = pytest.mark.slow

Open = Callable[..., Any]
STRING_VALUE = "type.googleapis.com/google.protobuf.StringValue"
VALUE = "type.googleapis.com/google.protobuf.Value"


# What is sent (dapr pkg/channel/grpc/grpc_channel.go, TriggerJob).


@pytest.mark.anyio
async def test_a_run_is_one_job_event(grpc_far_side: Open) -> None:
    far = await grpc_far_side()
    data = Data(STRING_VALUE, StringValue(value="hello").SerializeToString())
    async with app_on(far.port) as app:
        assert await app.deliver(claim("tick", data)) == Succeeded()
    (received,) = far.received
    event = received.request
    assert (received.method, event.name, event.method) == ("OnJobEvent", "tick", "job/tick")
    assert (event.data.type_url, event.content_type) == (STRING_VALUE, STRING_VALUE)
    assert event.data.value == data.body
    assert event.http_extension.Verb.Name(event.http_extension.verb) == "POST"


@pytest.mark.anyio
async def test_json_is_sent_as_a_value(grpc_far_side: Open) -> None:
    far = await grpc_far_side()
    async with app_on(far.port) as app:
        await app.deliver(claim(data=Data("json", b'{"a":[1,null]}')))
    event, value = far.received[0].request, Value()
    assert event.content_type == VALUE
    assert event.data.Unpack(value)
    assert value.struct_value["a"][0] == 1


@pytest.mark.anyio
async def test_a_run_without_data_has_no_data_and_no_content_type(grpc_far_side: Open) -> None:
    far = await grpc_far_side()
    async with app_on(far.port) as app:
        await app.deliver(claim())
    event = far.received[0].request
    assert (event.HasField("data"), event.content_type) == (False, "")


@pytest.mark.anyio
async def test_a_job_with_another_method_names_it(grpc_far_side: Open) -> None:
    far = await grpc_far_side()
    async with app_on(far.port) as app:
        await app.deliver(claim("tick", target=TargetSpec("app", "run/it")))
    event = far.received[0].request
    assert (event.name, event.method) == ("tick", "run/it")


@pytest.mark.anyio
async def test_data_that_no_message_can_hold_is_rejected(grpc_far_side: Open) -> None:
    far = await grpc_far_side()
    async with app_on(far.port) as app:
        outcome = await app.deliver(claim(data=Data("json", b"1" * 400)))
    assert isinstance(outcome, Rejected)
    assert far.received == []


# What an answer means.


@pytest.mark.anyio
@pytest.mark.parametrize("code", [code for code in grpc.StatusCode if code is not grpc.StatusCode.OK])
async def test_every_code_but_not_found_has_failed(grpc_far_side: Open, code: grpc.StatusCode) -> None:
    far = await grpc_far_side((code, "why"))
    async with app_on(far.port) as app:
        outcome = await app.deliver(claim())
    kind = Rejected if code is grpc.StatusCode.NOT_FOUND else Failed
    if code is grpc.StatusCode.UNIMPLEMENTED:
        # What its older name came to: there is none.
        assert outcome == Failed("UNIMPLEMENTED from OnJobEvent job/tick: Method not found!")
    else:
        assert outcome == kind(f"{code.name} from OnJobEvent job/tick: why")


@pytest.mark.anyio
async def test_an_apps_own_trouble_with_another_service_is_a_failure_and_no_absence(grpc_far_side: Open) -> None:
    words = "failed to connect to all addresses; last error: UNKNOWN: Failed to connect to remote host"
    far = await grpc_far_side((grpc.StatusCode.UNAVAILABLE, words))
    async with app_on(far.port) as app:
        outcome = await app.deliver(claim())
    assert outcome == Failed(f"UNAVAILABLE from OnJobEvent job/tick: {words}")


# The SDK's own app.


@pytest.mark.anyio
async def test_the_sdks_own_app_gets_its_jobs() -> None:
    events: list[Any] = []
    sdk = App()
    sdk.job_event("tick")(events.append)
    port = sdk._server.add_insecure_port("127.0.0.1:0")
    sdk._server.start()
    try:
        async with app_on(port) as app:
            await app.available()
            assert await app.deliver(claim("tick", Data("json", b'{"a":1}'))) == Succeeded()
            unknown = await app.deliver(claim("other"))
    finally:
        sdk._server.stop(0)
    assert [(event.name, Value.FromString(event.data).struct_value["a"]) for event in events] == [("tick", 1)]
    assert isinstance(unknown, Failed)
    assert unknown.error.startswith("UNIMPLEMENTED from OnJobEvent job/other")


# The ends of a connection.

_DYING_APP = """
import os, sys, grpc
from concurrent.futures import ThreadPoolExecutor
from dapr.proto import appcallback_service_v1, appcallback_v1

class Servicer(appcallback_service_v1.AppCallbackServicer):
    def OnJobEvent(self, request, context):
        if request.name == "die":
            os._exit(1)
        if request.name == "wait":
            print("waiting", flush=True)
            while context.is_active(): pass
        return appcallback_v1.JobEventResponse()

server = grpc.server(ThreadPoolExecutor(4), options=(("grpc.so_reuseport", 0),))
appcallback_service_v1.add_AppCallbackServicer_to_server(Servicer(), server)
print(server.add_insecure_port("127.0.0.1:" + sys.argv[1]), flush=True)
server.start()
server.wait_for_termination()
"""


class AppProcess:
    """A far side that can be killed."""

    def __init__(self, port: int = 0) -> None:
        command = [sys.executable, "-c", _DYING_APP, str(port)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self.port = int(self.line())

    def line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline()

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(10)
        assert self.process.stdout is not None
        self.process.stdout.close()


@pytest.fixture
def app_process() -> Any:
    opened: list[AppProcess] = []

    def start(port: int = 0) -> AppProcess:
        opened.append(AppProcess(port))
        return opened[-1]

    yield start
    for one in opened:
        one.kill()


@pytest.mark.anyio
async def test_an_app_that_dies_of_a_run_has_failed_it_and_is_then_away_until_it_is_back(app_process: Any) -> None:
    far = app_process()
    async with app_on(far.port) as app:
        assert await app.deliver(claim("fine")) == Succeeded()
        outcome = await app.deliver(claim("die"))
        assert isinstance(outcome, Failed)
        assert outcome.error.startswith("UNAVAILABLE from OnJobEvent job/die: ")
        for _ in range(3):
            assert isinstance(await app.deliver(claim("fine")), Unavailable)
        far.kill()
        app_process(far.port)
        await asyncio.wait_for(app.available(), 20)
        assert await app.deliver(claim("fine")) == Succeeded()


@pytest.mark.anyio
async def test_an_app_that_is_killed_in_the_middle_of_a_run_has_failed_it(app_process: Any) -> None:
    far = app_process()
    async with app_on(far.port) as app:
        delivery = asyncio.ensure_future(app.deliver(claim("wait")))
        assert await asyncio.to_thread(far.line) == "waiting\n"
        far.kill()
        assert isinstance(await asyncio.wait_for(delivery, 20), Failed)


@pytest.mark.anyio
async def test_of_an_app_that_was_killed_between_runs_only_the_next_run_can_fail(app_process: Any) -> None:
    for _ in range(5):
        far = app_process()
        async with app_on(far.port) as app:
            assert await app.deliver(claim("fine")) == Succeeded()
            os.kill(far.process.pid, signal.SIGKILL)
            await asyncio.to_thread(far.process.wait, 10)
            # Whether gRPC has seen the end by now is chance; if not, nobody knows what became of what was sent.
            assert isinstance(await app.deliver(claim("fine")), Unavailable | Failed)
            assert isinstance(await app.deliver(claim("fine")), Unavailable)


@pytest.mark.anyio
async def test_what_is_under_way_goes_on_when_another_run_found_the_app_unavailable(grpc_far_side: Open) -> None:
    ended = asyncio.Event()
    far = await grpc_far_side(ended, (grpc.StatusCode.UNAVAILABLE, "busy"), OK)
    async with app_on(far.port) as app:
        first = asyncio.ensure_future(app.deliver(claim()))
        while not far.received:
            await asyncio.sleep(0.001)
        assert await app.deliver(claim()) == Failed("UNAVAILABLE from OnJobEvent job/tick: busy")
        assert await app.deliver(claim()) == Succeeded()
        ended.set()
        assert await first == Succeeded()
    assert len({received.peer for received in far.received}) == 2


@pytest.mark.anyio
async def test_an_app_that_stops_may_end_its_run_and_is_then_away(grpc_far_side: Open) -> None:
    ended = asyncio.Event()
    far = await grpc_far_side(ended)
    async with app_on(far.port) as app:
        delivery = asyncio.ensure_future(app.deliver(claim()))
        while not far.received:
            await asyncio.sleep(0.001)
        stopping = asyncio.ensure_future(far.server.stop(5))
        await gone(app)
        ended.set()
        assert await delivery == Succeeded()
        await stopping
    assert len(far.received) == 1


@pytest.mark.anyio
async def test_a_port_that_takes_connections_and_says_nothing_is_no_app() -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        async with app_on(mute.getsockname()[1]) as app:
            assert not await app.healthy(0.2)
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(app.available(), 0.2)


@pytest.mark.anyio
async def test_an_app_that_speaks_http_is_no_app() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(10)
        writer.write(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with app_on(server.sockets[0].getsockname()[1]) as app:
        assert isinstance(await app.deliver(claim()), Unavailable)
    server.close()


@pytest.mark.anyio
async def test_a_proxy_of_the_environment_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.set()
        writer.close()

    asked = asyncio.Event()
    proxy = await asyncio.start_server(refuse, "127.0.0.1", 0)
    for name in ("http_proxy", "grpc_proxy", "https_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.sockets[0].getsockname()[1]}")
    for name in ("no_proxy", "NO_PROXY", "no_grpc_proxy"):
        monkeypatch.delenv(name, raising=False)
    async with app_on(unused_port()) as app:
        assert isinstance(await app.deliver(claim()), Unavailable)
    assert not asked.is_set()
    proxy.close()


# Whether it is well.


@pytest.mark.anyio
@pytest.mark.parametrize(("well", "healthy"), [(True, True), (False, False), (None, False)])
async def test_an_app_is_healthy_when_its_health_check_says_so(grpc_far_side: Open, well: Any, healthy: bool) -> None:
    far = await grpc_far_side(well=well)
    async with app_on(far.port, api_token="s3cret") as app:
        assert await app.healthy(2) is healthy


@pytest.mark.anyio
async def test_an_app_that_is_not_there_is_not_healthy_and_is_so_once_it_is(grpc_far_side: Open) -> None:
    port = unused_port()
    async with app_on(port) as app:
        assert not await app.healthy(0.5)
        await grpc_far_side(port=port)
        await app.available()
        assert await app.healthy(0.5)

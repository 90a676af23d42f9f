"""What the sidecar serves beside jobs: health, metadata, the token; and its limits."""

import asyncio
import json
import os
import socket
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from support.clock import VirtualClock
from wakeful.core.ports import Health
from wakeful.faces.asgi import BODY_LIMIT
from wakeful.faces.dapr.answers import Refused
from wakeful.faces.dapr.http import DaprHttp
from wakeful.faces.dapr.sidecar import Metadata, Sidecar
from wakeful.faces.dapr.wire import read_body
from wakeful.scheduler import Scheduler
from wakeful.stores.sqlite import SqliteStore
from wakeful.zones import load_zone

NOW = datetime(2030, 1, 1, 12, tzinfo=UTC)

TOKEN = "token-of-the-tests-ä"


@pytest.fixture(scope="module")
def guarded(serve: Any) -> Iterator[Any]:
    with serve(Sidecar("tests", api_token=TOKEN)) as door:
        yield door


@pytest.fixture
def ill(dapr: Any) -> Iterator[None]:
    dapr.idle.well = Health(False, "no claim turn for 5 s")
    yield
    dapr.idle.well = Health(True)


class TestHealth:
    @pytest.mark.parametrize("path", ["/v1.0/healthz", "/v1.0/healthz/outbound", "/v1.0/healthz?appid=tests"])
    def test_is_204_while_claims_are_made_on_time(self, dapr: Any, path: str) -> None:
        response = dapr.client.get(path)
        assert (response.status_code, response.content) == (204, b"")

    @pytest.mark.usefixtures("ill")
    def test_is_500_with_the_reason_otherwise(self, dapr: Any) -> None:
        response = dapr.client.get("/v1.0/healthz")
        assert response.status_code == 500
        message = "dapr is not ready: [no claim turn for 5 s]"
        assert response.json() == {"errorCode": "ERR_HEALTH_NOT_READY", "message": message}
        response = dapr.client.get("/v1.0/healthz/outbound")
        assert response.status_code == 500
        assert response.json()["errorCode"] == "ERR_OUTBOUND_HEALTH_NOT_READY"

    @pytest.mark.parametrize("query", ["appid=other", "appid="])
    def test_of_another_app_is_500(self, dapr: Any, query: str) -> None:
        response = dapr.client.get(f"/v1.0/healthz?{query}")
        assert response.status_code == 500
        assert response.json()["errorCode"] == "ERR_HEALTH_APPID_NOT_MATCH"


class TestMetadata:
    def test_has_daprs_shape(self, dapr: Any) -> None:
        shown = dapr.client.get("/v1.0/metadata").json()
        assert shown["id"] == "tests"
        assert shown["runtimeVersion"] == shown["extended"]["daprRuntimeVersion"] == "1.18.3"
        assert shown["actors"] == shown["components"] == []
        assert shown["appConnectionProperties"] == {"port": 8000, "protocol": "http", "channelAddress": "127.0.0.1"}
        assert shown["scheduler"] == {"connected_addresses": ["127.0.0.1:50006"]}

    def test_names_no_scheduler_and_no_app_where_there_is_none(self, guarded: Any) -> None:
        shown = guarded.client.get("/v1.0/metadata", headers={"dapr-api-token": TOKEN.encode()}).json()
        assert "scheduler" not in shown
        assert shown["appConnectionProperties"] == {}

    def test_takes_attributes(self, dapr: Any) -> None:
        response = dapr.client.put("/v1.0/metadata/cli%20PID", content="1234")
        assert (response.status_code, response.content) == (204, b"")
        assert dapr.client.get("/v1.0/metadata").json()["extended"]["cli PID"] == "1234"

    def test_is_bounded(self, serve: Any) -> None:
        with serve() as dapr:
            assert dapr.client.put("/v1.0/metadata/long", content="x" * 5000).status_code == 400
            answers = [dapr.client.put(f"/v1.0/metadata/{n}", content="x").status_code for n in range(65)]
            assert answers == [204] * 64 + [400]
            assert dapr.client.put("/v1.0/metadata/0", content="changed").status_code == 204
            assert dapr.client.put("/v1.0/metadata/%FF", content="x").status_code == 400


class TestShutdown:
    def test_asks_the_node_to_stop(self, serve: Any) -> None:
        with serve() as dapr:
            response = dapr.client.post("/v1.0/shutdown")
            assert (response.status_code, response.content) == (204, b"")
            assert dapr.client.get("/v1.0/shutdown").headers["allow"] == "POST"
            assert dapr.stopped == 1

    def test_needs_the_token(self, guarded: Any) -> None:
        assert guarded.client.post("/v1.0/shutdown").status_code == 401
        assert guarded.stopped == 0

    def test_is_answered_before_anything_stops(self, tmp_path: Path) -> None:
        seen = []

        async def receive() -> Any:
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message: Any) -> None:
            seen.append(message["type"])

        async def ask() -> None:
            store = SqliteStore(tmp_path / "wakeful.db", load_zone, os.urandom)
            scheduler, sidecar = Scheduler(store, VirtualClock(NOW), os.urandom), Sidecar("tests")
            dapr = DaprHttp(scheduler, sidecar, load_zone, Metadata(sidecar), lambda: seen.append("stop"))
            await dapr({"type": "http", "method": "POST", "path": "/v1.0/shutdown", "headers": []}, receive, send)
            await store.close()

        asyncio.run(ask())
        assert seen == ["http.response.start", "http.response.body", "stop"]


class TestTheToken:
    @pytest.mark.parametrize("token", [None, "", "wrong", TOKEN + "x", TOKEN[:-1]])
    @pytest.mark.parametrize(
        ("method", "path"),
        [("POST", "/v1.0/jobs/a"), ("GET", "/v1.0-alpha1/jobs/a"), ("GET", "/v1.0/metadata"), ("GET", "/elsewhere")],
    )
    def test_is_asked_for_wherever_there_is_one(self, guarded: Any, method: str, path: str, token: Any) -> None:
        headers = {} if token is None else {"dapr-api-token": token.encode()}
        response = guarded.client.request(method, path, headers=headers)
        assert (response.status_code, response.text) == (401, "invalid api token\n")
        assert response.headers["content-type"] == "text/plain; charset=utf-8"

    def test_lets_pass(self, guarded: Any) -> None:
        headers = {"Dapr-Api-Token": TOKEN.encode()}
        assert guarded.client.post("/v1.0/jobs/a", json={"dueTime": "1h"}, headers=headers).status_code == 204

    @pytest.mark.parametrize("path", ["/v1.0/healthz", "/v1.0/healthz/outbound", "/v1.0/healthz/"])
    def test_is_not_asked_for_health(self, guarded: Any, path: str) -> None:
        assert guarded.client.get(path).status_code == 204

    def test_is_not_shown_where_the_sidecar_is(self) -> None:
        assert TOKEN not in repr(Sidecar("tests", api_token=TOKEN))


class TestAPath:
    @pytest.mark.parametrize(
        "path", ["/", "/v1.0", "/v1.0/jobs", "/v1.0/jobs/a/b/c", "/v2.0/jobs/a", "/v1.0/state/x", "/%FF"]
    )
    def test_that_leads_nowhere_is_404(self, dapr: Any, path: str) -> None:
        response = dapr.client.get(path)
        assert response.status_code == 404
        assert response.json()["errorCode"] == "ERR_NOT_FOUND"

    def test_of_any_length_gets_a_short_answer(self, dapr: Any) -> None:
        response = dapr.client.get("/" + "long" * 4000)
        assert response.status_code == 404
        assert len(response.content) < 1000

    @pytest.mark.parametrize(
        ("method", "path", "allowed"),
        [
            ("PATCH", "/v1.0/jobs/a", "DELETE, GET, POST, PUT"),
            ("OPTIONS", "/v1.0-alpha1/jobs/a", "DELETE, GET, POST, PUT"),
            ("POST", "/v1.0/healthz", "GET"),
            ("DELETE", "/v1.0/metadata", "GET"),
            ("GET", "/v1.0/metadata/key", "PUT"),
        ],
    )
    def test_with_another_method_is_405(self, dapr: Any, method: str, path: str, allowed: str) -> None:
        response = dapr.client.request(method, path)
        assert response.status_code == 405
        assert response.headers["allow"] == allowed
        assert response.json()["errorCode"] == "ERR_METHOD_NOT_ALLOWED"

    def test_in_raw_bytes_beyond_ascii_leaves_the_server_standing(self, dapr: Any) -> None:
        answer = dapr.raw("GET /v1.0/jobs/tâche HTTP/1.1\r\nhost: x\r\n\r\n".encode())
        assert answer.startswith(b"HTTP/1.1 400")
        assert dapr.client.get("/v1.0/healthz").status_code == 204


class TestABodyBeyondTheLimit:
    def test_is_refused_by_its_declared_length_before_a_byte_of_it_came(self, dapr: Any) -> None:
        answer = dapr.raw(b"POST /v1.0/jobs/big HTTP/1.1\r\nhost: x\r\ncontent-length: 10000000\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 413")
        body = json.loads(answer.split(b"\r\n\r\n")[1])
        assert body["errorCode"] == "ERR_MALFORMED_REQUEST"

    def test_gets_no_go_ahead(self, dapr: Any) -> None:
        head = b"POST /v1.0/jobs/big HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: 10000000\r\n\r\n"
        assert dapr.raw(head).startswith(b"HTTP/1.1 413")

    def test_is_refused_where_it_passes_the_limit_when_no_length_was_declared(self, dapr: Any) -> None:
        head = b"POST /v1.0/jobs/big HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n"
        # One byte more than is allowed, and no end.
        chunk = b"%x\r\n" % (BODY_LIMIT + 1) + b" " * (BODY_LIMIT + 1)
        assert dapr.raw(head + chunk).startswith(b"HTTP/1.1 413")

    def test_is_told_to_a_client_that_sends_all_of_it_first(self, dapr: Any) -> None:
        response = dapr.client.post("/v1.0/jobs/big", content=b"x" * 10_000_000)
        assert response.status_code == 413
        assert dapr.client.get("/v1.0/healthz").status_code == 204

    def test_is_read_no_further_than_the_limit(self) -> None:
        taken = []

        async def receive() -> dict[str, Any]:
            taken.append(64 * 1024)
            return {"type": "http.request", "body": b"x" * taken[-1], "more_body": True}

        with pytest.raises(Refused) as refused:
            asyncio.run(read_body({"headers": []}, receive))
        assert refused.value.answer.status == 413
        assert BODY_LIMIT < sum(taken) <= BODY_LIMIT + 64 * 1024

    def test_begins_after_the_last_byte_that_is_allowed(self, dapr: Any) -> None:
        body = b'{"dueTime":"1h"}'
        response = dapr.client.post("/v1.0/jobs/full", content=body + b" " * (BODY_LIMIT - len(body)))
        assert response.status_code == 204


def test_a_caller_that_leaves_in_the_middle_stores_nothing(dapr: Any) -> None:
    with socket.create_connection(dapr.address) as connection:
        connection.sendall(b'POST /v1.0/jobs/gone HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n{"dueTime":"1h"}')
    assert dapr.client.get("/v1.0/healthz").status_code == 204
    assert dapr.record("gone") is None

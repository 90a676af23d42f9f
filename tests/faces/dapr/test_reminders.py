"""Reminders of actors over HTTP: what is stored, shown, refused and deleted."""

import asyncio
import os
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from support.clock import VirtualClock
from wakeful.core.job import Catchup, CountedFrom, Data, JobKey, JobRecord, Overlap, RetryPolicy, TargetSpec
from wakeful.core.ports import JobQuery
from wakeful.faces.dapr.reminders import Fault, ReminderError, ReminderRequest, Reminders
from wakeful.faces.dapr.sidecar import AppConnection, AppHealthCheck, Sidecar
from wakeful.scheduler import Scheduler
from wakeful.stores.sqlite import SqliteStore
from wakeful.zones import load_zone

NOW = datetime(2030, 1, 1, 12, tzinfo=UTC)
RESERVED = "dapr.internal.default.tests.workflow"
HOST = Sidecar("tests", actor_types=lambda: frozenset({"Cat", "Ca", "Cat|t"}))
CAT = "/v1.0/actors/Cat/7/reminders"


@pytest.fixture(scope="module")
def host(serve: Any) -> Iterator[Any]:
    with serve(HOST) as door:
        yield door


def stored(door: Any, name: str, owner: str = "actor/Cat/7") -> JobRecord:
    record = door.behind(lambda store: store.get_job(JobKey("default", owner, name)))
    assert record is not None
    return record  # type: ignore[no-any-return]


class TestAReminder:
    @pytest.mark.parametrize("method", ["POST", "PUT"])
    def test_is_a_job_that_its_actor_owns(self, host: Any, method: str) -> None:
        body = {"dueTime": "5s", "period": "1m30s", "ttl": "2h", "data": {"a": [1, 2.5]}}
        response = host.client.request(method, f"{CAT}/feed", json=body)
        assert (response.status_code, response.content) == (204, b"")
        record = stored(host, "feed")
        job = record.job
        options = {"app_id": "tests", "due_time": "5s", "period": "1m30s", "ttl": "2h"}
        assert job.target == TargetSpec("actor", "Cat/7", options)
        assert job.queue == "actor/default/Cat"
        assert job.data == Data("json", b'{"a":[1,2.5]}')
        assert (job.overlap, job.catchup) == (Overlap.QUEUE_ALL, Catchup.ALL)
        assert job.retry == RetryPolicy(3, timedelta(seconds=1), CountedFrom.DUE)
        assert record.next_due_at == NOW + timedelta(seconds=5)
        assert job.schedule.next_due(NOW + timedelta(seconds=5), 1) == NOW + timedelta(seconds=95)
        assert job.schedule.until == NOW + timedelta(seconds=5, hours=2)

    def test_without_a_period_is_due_once(self, host: Any) -> None:
        assert host.client.post(f"{CAT}/once", json={"dueTime": "PT1H"}).status_code == 204
        schedule = stored(host, "once").job.schedule
        assert (schedule.recurrence, schedule.first) == (None, NOW + timedelta(hours=1))

    @pytest.mark.parametrize(
        ("period", "shown", "repeats"),
        [
            ("1s", "@every 1s", None),
            ("0h0m5s0ms0\u03bcs", "@every 5s", None),
            ("90m", "@every 1h30m0s", None),
            ("1500ms", "@every 1.5s", None),
            ("PT15M", "@every 15m0s", None),
            ("R3/PT30S", "@every 30s", 3),
            ("R4/1s", "@every 1s", 4),
            ("R0/PT1S", "@every 1s", None),
            ("R-1/PT1S", "@every 1s", None),
        ],
    )
    def test_has_its_period_as_a_schedule(self, host: Any, period: str, shown: str, repeats: int | None) -> None:
        assert host.client.post(f"{CAT}/period", json={"dueTime": "1s", "period": period}).status_code == 204
        record = stored(host, "period")
        assert (record.job.schedule.given.schedule, record.job.schedule.repeats) == (shown, repeats)
        assert record.job.target.options["period"] == period

    @pytest.mark.parametrize("period", ["P1Y", "P1M", "P1D", "P1W", "P1DT1S", "x", "R5", "R99999999999/PT1S", "@daily"])
    def test_with_any_other_period_is_refused(self, host: Any, period: str, check_error: Any) -> None:
        response = host.client.post(f"{CAT}/bad", json={"period": period})
        message = f"error creating actor reminder: unsupported period format: {period}"
        check_error(response, 500, "ERR_ACTOR_REMINDER_CREATE", message, None)

    @pytest.mark.parametrize(
        ("body", "message"),
        [
            ({}, "job must have either a due time or a schedule"),
            ({"dueTime": "soon"}, "due time format not recognized"),
            ({"dueTime": "1s", "ttl": "1h"}, "job must have a schedule to have a ttl"),
            ({"period": "0s"}, "an interval of zero"),
            ({"period": "-1s"}, "an interval cannot be negative"),
            ({"period": "1ns"}, "failed to parse duration @every 1ns: an interval must be at least 1ms"),
            ({"period": "R3/0.0015us"}, "failed to parse duration @every 0.0015us: an interval must be at least 1ms"),
            ({"period": "R3/-1ns"}, "failed to parse duration @every -1ns: an interval cannot be negative"),
        ],
    )
    def test_that_is_no_schedule_is_refused(self, host: Any, body: object, message: str, check_error: Any) -> None:
        response = host.client.post(f"{CAT}/bad", json=body)
        check_error(
            response, 500, "ERR_ACTOR_REMINDER_CREATE", "error creating actor reminder: rpc error: code =", None
        )
        assert message in response.json()["message"]

    def test_is_replaced_unless_it_must_not_be(self, host: Any, check_error: Any) -> None:
        for overwrite in ({}, {"overwrite": True}, {"overwrite": None}):
            assert host.client.post(f"{CAT}/again", json={"dueTime": "1h", **overwrite}).status_code == 204
        response = host.client.post(f"{CAT}/again", json={"dueTime": "2h", "overwrite": False})
        check_error(
            response, 409, "ERR_ACTOR_REMINDER_ALREADY_EXISTS", "actor reminder already exists: again", metadata=None
        )
        assert stored(host, "again").next_due_at == NOW + timedelta(hours=1)

    @pytest.mark.parametrize("name", ["failure_policy", "failurePolicy"])
    def test_may_have_a_failure_policy(self, host: Any, name: str) -> None:
        policy = {"constant": {"interval": "3s", "maxRetries": 5}}
        assert host.client.post(f"{CAT}/policy", json={"dueTime": "1h", name: policy}).status_code == 204
        assert stored(host, "policy").job.retry == RetryPolicy(5, timedelta(seconds=3), CountedFrom.DUE)

    @pytest.mark.parametrize("body", [b"", b"[]", b"{", b'{"dueTime":1}', b'{"dueTime":"\xff"}', b'{"data":' * 9999])
    def test_that_is_malformed_is_400(self, host: Any, body: bytes, check_error: Any) -> None:
        check_error(host.client.post(f"{CAT}/bad", content=body), 400, "ERR_MALFORMED_REQUEST", "failed deserial", None)

    @pytest.mark.parametrize(
        "path", ["Cat/7/reminders/a%2Fb", "Cat/7/reminders/%00", "Cat/a%3Fb/reminders/x", "Cat/%2E%2E/reminders/x"]
    )
    @pytest.mark.parametrize("method", ["PUT", "GET", "DELETE"])
    def test_has_a_name_and_an_id_as_jobs_have(self, host: Any, method: str, path: str, check_error: Any) -> None:
        response = host.client.request(method, f"/v1.0/actors/{path}", content=b'{"dueTime":"1h"}')
        check_error(response, 400, "ERR_BAD_REQUEST", "invalid request: ", None)

    @pytest.mark.parametrize("actor_type", ["Dog", "cat", "Cat%2F7", "C", "Catt"])
    @pytest.mark.parametrize("method", ["POST", "PUT", "GET", "DELETE"])
    def test_belongs_to_a_type_that_is_hosted_here(
        self, host: Any, method: str, actor_type: str, check_error: Any
    ) -> None:
        path = f"/v1.0/actors/{actor_type}/7/reminders/x"
        response = host.client.request(method, path, content=b'{"dueTime":"1h"}')
        message = "operations on actor reminders are only possible on hosted actor types"
        check_error(response, 403, "ERR_ACTOR_REMINDER_NON_HOSTED", message, None)

    @pytest.mark.parametrize("method", ["POST", "PUT", "GET", "DELETE"])
    def test_of_a_type_of_daprs_own_is_refused_before_anything_else(
        self, serve: Any, method: str, check_error: Any
    ) -> None:
        # Even if it were hosted.
        with serve(Sidecar("tests", actor_types=lambda: frozenset({RESERVED}))) as host:
            response = host.client.request(method, f"/v1.0/actors/{RESERVED}/7/reminders/x", content=b"[]")
        words = "is reserved for the Dapr workflow runtime; direct actor API access is not permitted"
        message = f'actor type "{RESERVED}" {words}'
        check_error(response, 403, "ERR_ACTOR_TYPE_RESERVED", message, {"actorType": RESERVED})

    def test_of_a_type_that_only_looks_reserved_is_one_of_an_app(self, serve: Any) -> None:
        with serve(Sidecar("tests", actor_types=lambda: frozenset({"dapr.internals"}))) as host:
            path = "/v1.0/actors/dapr.internals/7/reminders/x"
            assert host.client.post(path, json={"dueTime": "1h"}).status_code == 204

    def test_has_no_other_methods(self, host: Any) -> None:
        response = host.client.patch(f"{CAT}/x")
        assert (response.status_code, response.headers["allow"]) == (405, "DELETE, GET, POST, PUT")


class TestGet:
    def test_shows_what_was_given_and_the_schedule(self, host: Any) -> None:
        body = {"dueTime": "0h0m5s0ms0\u03bcs", "period": "1s", "ttl": "1h", "data": {"a": None}}
        host.client.post(f"{CAT}/shown", json=body)
        response = host.client.get(f"{CAT}/shown")
        assert response.status_code == 200
        shown = {"actorID": "7", "actorType": "Cat", "period": "@every 1s"}
        assert response.json() == {**body, **shown}

    def test_leaves_out_what_there_is_not(self, host: Any) -> None:
        host.client.post(f"{CAT}/bare", json={"dueTime": "1h", "data": None})
        assert host.client.get(f"{CAT}/bare").json() == {
            "actorID": "7",
            "actorType": "Cat",
            "data": None,
            "dueTime": "1h",
        }

    def test_of_none_is_404(self, host: Any, check_error: Any) -> None:
        response = host.client.get(f"{CAT}/nobody")
        check_error(response, 404, "ERR_ACTOR_REMINDER_NOT_FOUND", "actor reminder not found: nobody", None)


class TestDelete:
    def test_ends_it_and_none_is_no_error(self, host: Any) -> None:
        host.client.post(f"{CAT}/gone", json={"dueTime": "1h"})
        for _ in range(2):
            response = host.client.delete(f"{CAT}/gone")
            assert (response.status_code, response.content) == (204, b"")
        assert host.client.get(f"{CAT}/gone").status_code == 404


class Neutral:
    """The part that every protocol shares, over a store of its own."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def run(self, work: Any) -> Any:
        async def whole() -> Any:
            store = SqliteStore(self._path, load_zone, os.urandom)
            scheduler = Scheduler(store, VirtualClock(NOW), os.urandom)
            try:
                return await work(Reminders(scheduler, HOST, load_zone), scheduler)
            finally:
                await store.close()

        return asyncio.run(whole())


@pytest.fixture
def neutral(tmp_path: Path) -> Neutral:
    return Neutral(tmp_path / "wakeful.db")


async def fill(reminders: Reminders) -> None:
    for actor_type, actor_id, name in (("Cat", "a", "1"), ("Cat", "a", "2"), ("Cat", "ab", "1"), ("Ca", "a", "1")):
        await reminders.register(ReminderRequest(actor_type, actor_id, name, due_time="1h"))


def names(reminders: Any) -> list[str]:
    return [f"{one.actor_type}/{one.actor_id}/{one.name}" for one in reminders]


class TestMany:
    def test_are_listed_by_type_and_by_actor(self, neutral: Neutral) -> None:
        async def work(reminders: Reminders, _scheduler: Scheduler) -> Any:
            await fill(reminders)
            return [names(await reminders.list(*which)) for which in (("Cat",), ("Cat", "a"), ("Ca",), ("Cat|t",))]

        cat = ["Cat/a/1", "Cat/a/2", "Cat/ab/1"]
        assert neutral.run(work) == [cat, cat[:2], ["Ca/a/1"], []]

    @pytest.mark.parametrize(
        ("which", "left"),
        [
            (("Cat",), ["actor/Ca/a"]),
            (("Cat", "a"), ["actor/Ca/a", "actor/Cat/ab"]),
            (("Cat", "nobody"), ["actor/Ca/a", "actor/Cat/a", "actor/Cat/a", "actor/Cat/ab"]),
        ],
    )
    def test_are_deleted_by_type_and_by_actor(self, neutral: Neutral, which: tuple[str, ...], left: list[str]) -> None:
        async def work(reminders: Reminders, scheduler: Scheduler) -> Any:
            await fill(reminders)
            await reminders.delete_all(*which)
            return [record.job.key.owner for record in (await scheduler.jobs(JobQuery())).items]

        assert neutral.run(work) == left

    @pytest.mark.parametrize("what", ["list", "delete_all"])
    def test_of_a_type_that_is_not_hosted_are_refused(self, neutral: Neutral, what: str) -> None:
        async def work(reminders: Reminders, _scheduler: Scheduler) -> Any:
            with pytest.raises(ReminderError) as error:
                await getattr(reminders, what)("Dog")
            return error.value

        error = neutral.run(work)
        assert (error.fault, error.status, error.grpc) == (Fault.NON_HOSTED, 403, "PermissionDenied")


def test_the_bytes_of_a_grpc_caller_become_a_json_string(neutral: Neutral) -> None:
    async def work(reminders: Reminders, _scheduler: Scheduler) -> Any:
        await reminders.register(ReminderRequest("Cat", "a", "b", due_time="1h", data=b"\x00\xff"))
        return (await reminders.get("Cat", "a", "b")).data

    assert neutral.run(work) == Data("json", b'"AP8="')


class TestMetadata:
    def test_names_the_types_of_actors(self, host: Any) -> None:
        shown = host.client.get("/v1.0/metadata").json()
        actors = [{"type": name, "count": 0} for name in ("Ca", "Cat", "Cat|t")]
        assert shown["actors"] == actors
        assert shown["actorRuntime"] == {"runtimeStatus": "RUNNING", "hostReady": True, "activeActors": actors}

    def test_tells_how_the_app_is_called_and_watched(self, serve: Any) -> None:
        check = AppHealthCheck("/ok", timedelta(seconds=90), timedelta(milliseconds=1500), 2)
        with serve(replace(HOST, app=lambda: AppConnection(8000, "h2c", "127.0.0.1", 7, check))) as door:
            shown = door.client.get("/v1.0/metadata").json()
        assert shown["appConnectionProperties"] == {
            "port": 8000,
            "protocol": "h2c",
            "channelAddress": "127.0.0.1",
            "maxConcurrency": 7,
            "health": {
                "healthCheckPath": "/ok",
                "healthProbeInterval": "1m30s",
                "healthProbeTimeout": "1.5s",
                "healthThreshold": 2,
            },
        }

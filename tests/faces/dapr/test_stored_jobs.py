"""Jobs that are there, or not: replaced, shown, deleted, another app's; and a store that fails."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from wakeful.core.errors import ErrorCode, WakefulError
from wakeful.core.job import Data
from wakeful.core.ports import BootTime, Node, Put, Room, Store
from wakeful.core.run import Succeeded
from wakeful.core.settlement import settle
from wakeful.faces.dapr.errors import CAUSES
from wakeful.faces.dapr.sidecar import Sidecar

NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)
EVERY = {"schedule": "@every 1h"}
SCHEDULE = "DAPR_SCHEDULER_SCHEDULE_JOB"


class TestANameThatIsTaken:
    @pytest.fixture(autouse=True)
    def taken(self, dapr: Any) -> Iterator[None]:
        dapr.upsert("/v1.0/jobs/taken", {"dueTime": "1h", "data": "old"})
        yield
        dapr.client.delete("/v1.0/jobs/taken")

    @pytest.mark.parametrize(
        ("version", "method", "overwrite", "status"),
        [
            ("v1.0", "POST", None, 409),
            ("v1.0", "POST", False, 409),
            ("v1.0", "POST", True, 204),
            ("v1.0-alpha1", "POST", None, 204),
            ("v1.0-alpha1", "POST", True, 204),
            ("v1.0-alpha1", "POST", False, 409),
            ("v1.0", "PUT", None, 204),
            ("v1.0-alpha1", "PUT", None, 204),
            ("v1.0", "PUT", False, 409),
        ],
    )
    def test_is_replaced_or_refused(
        self, dapr: Any, check_error: Any, version: str, method: str, overwrite: Any, status: int
    ) -> None:
        body = {**EVERY, "data": "new"} | ({} if overwrite is None else {"overwrite": overwrite})
        response = dapr.client.request(method, f"/{version}/jobs/taken", json=body)
        assert response.status_code == status
        if status == 409:
            words = "rpc error: code = AlreadyExists desc = job already exists: 'app||default||tests||taken'"
            check_error(response, 409, SCHEDULE, "failed to schedule job due to: " + words)
        kept = dapr.record("taken").job
        assert kept.data.body == (b'"new"' if status == 204 else b'"old"')


class TestAnUnknownJob:
    def test_is_an_error_500_in_the_stable_api_as_in_dapr(self, dapr: Any, check_error: Any) -> None:
        words = "failed to get job due to: rpc error: code = NotFound desc = job not found: unknown"
        check_error(dapr.client.get("/v1.0/jobs/unknown"), 500, "DAPR_SCHEDULER_GET_JOB", words)

    def test_is_404_with_the_same_body_in_the_alpha_api(self, dapr: Any, check_error: Any) -> None:
        words = "failed to get job due to: rpc error: code = NotFound desc = job not found: unknown"
        check_error(dapr.client.get("/v1.0-alpha1/jobs/unknown"), 404, "DAPR_SCHEDULER_GET_JOB", words)

    def test_can_be_deleted(self, dapr: Any, jobs: str) -> None:
        response = dapr.client.delete(f"{jobs}/unknown")
        assert (response.status_code, response.content) == (204, b"")


@pytest.mark.parametrize("letter", ["n", "\u00e4", "\U0001f600"])
def test_a_long_name_stays_whole_where_it_is_told(serve: Any, check_error: Any, letter: str) -> None:
    name = letter * (512 // len(letter.encode()))
    with serve(Sidecar(name)) as dapr:
        path = f"/v1.0/jobs/{name}"
        words = f"failed to get job due to: rpc error: code = NotFound desc = job not found: {name}"
        own = {"appID": name, "namespace": "default"}
        check_error(dapr.client.get(path), 500, "DAPR_SCHEDULER_GET_JOB", words, own)
        assert dapr.client.post(path, json={"dueTime": "1h"}).status_code == 204
        cause = f"rpc error: code = AlreadyExists desc = job already exists: 'app||default||{name}||{name}'"
        again = dapr.client.post(path, json={"dueTime": "1h"})
        check_error(again, 409, SCHEDULE, f"failed to schedule job due to: {cause}", own)


class TestAJobThatIsShown:
    def test_has_the_fields_of_dapr_and_no_other_in_the_stable_api(self, dapr: Any) -> None:
        dapr.upsert("/v1.0/jobs/shown", {"dueTime": "1h", "data": {"n": 1}})
        response = dapr.client.get("/v1.0/jobs/shown")
        assert response.status_code == 200
        assert response.headers["content-type"] == "application/json"
        assert response.json() == {
            "name": "shown",
            "dueTime": "1h",
            "data": {"@type": "type.googleapis.com/google.protobuf.Value", "value": {"n": 1}},
            "failurePolicy": {"constant": {"interval": "1s", "maxRetries": 3}},
        }

    def test_has_its_status_in_the_alpha_api(self, dapr: Any) -> None:
        dapr.upsert("/v1.0/jobs/status", {**EVERY, "repeats": 5})
        assert dapr.client.get("/v1.0-alpha1/jobs/status").json()["status"] == {
            "next_run_at": "2030-01-01T13:00:00Z",
            "last_run": None,
            "succeeded": 0,
            "failed": 0,
            "remaining": 5,
        }

    def test_tells_of_its_last_run(self, dapr: Any) -> None:
        path = "/v1.0-alpha1/jobs/ran"
        dapr.upsert(path, {**EVERY, "dueTime": "0s", "repeats": 5, "target": {"appId": "runner"}})

        async def run(store: Store) -> None:
            queue, node = (
                "app/default/runner",
                Node(1, "tests", ("app/default/runner",), BootTime("tests", timedelta())),
            )
            await store.heartbeat(node, NOON)
            (claim,) = (await store.claim_due(node.id, {queue: Room(1, 1)}, NOON)).claims
            done = settle(claim.run, Succeeded(), claim.job.retry, NOON + timedelta(milliseconds=500))
            await store.settle([done], NOON + timedelta(seconds=1))

        dapr.behind(run)
        assert dapr.client.get(path).json()["status"] == {
            "next_run_at": "2030-01-01T13:00:00Z",
            "last_run": {
                "scheduled_for": "2030-01-01T12:00:00Z",
                "state": "succeeded",
                "attempts": 1,
                "ended_at": "2030-01-01T12:00:00.500000Z",
            },
            "succeeded": 1,
            "failed": 0,
            "remaining": 4,
        }


class TestAnAppInTheAddress:
    def test_owns_the_job_and_is_called_back(self, dapr: Any, jobs: str) -> None:
        path = f"{jobs}/other-app/errand"
        assert dapr.upsert(path, {**EVERY, "data": 1})["name"] == "errand"
        job = dapr.record("errand", "other-app").job
        assert (job.key.owner, job.queue, job.target.address) == (
            "app/other-app",
            "app/default/other-app",
            "job/errand",
        )
        assert dapr.record("errand") is None
        assert dapr.upsert(path, {**EVERY, "data": 2})["data"]["value"] == 2
        assert dapr.client.delete(path).status_code == 204
        assert dapr.record("errand", "other-app") is None

    def test_is_named_in_the_errors(self, dapr: Any, check_error: Any) -> None:
        metadata = {"appID": "other-app", "namespace": "default"}
        response = dapr.client.get("/v1.0/jobs/other-app/unknown")
        check_error(response, 500, "DAPR_SCHEDULER_GET_JOB", "failed to get job due to: ", metadata)

    def test_must_be_a_name_too(self, dapr: Any, check_error: Any) -> None:
        response = dapr.client.put("/v1.0/jobs/a%2Fb/errand", json=EVERY)
        check_error(response, 500, SCHEDULE, "failed to schedule job due to: rpc error: code = Unknown desc = name ")

    def test_takes_no_post(self, dapr: Any, jobs: str) -> None:
        response = dapr.client.post(f"{jobs}/other-app/errand", json=EVERY)
        assert response.status_code == 405
        assert response.headers["allow"] == "DELETE, GET, PUT"


class Broken:
    """A store that raises what it was given."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    async def put_job(self, *_: object) -> None:
        raise self._error

    get_job = end_jobs = put_job

    async def close(self) -> None:
        pass


class TestAStoreThatFails:
    def test_is_503_for_scheduling_and_500_for_the_rest(self, serve: Any, check_error: Any, jobs: str) -> None:
        with serve(store=Broken(WakefulError(ErrorCode.STORE_UNAVAILABLE, "the disk is full"))) as dapr:
            cause = "job due to: rpc error: code = Unavailable desc = the disk is full"
            response = dapr.client.post(f"{jobs}/x", json=EVERY)
            check_error(response, 503, SCHEDULE, f"failed to schedule {cause}")
            response = dapr.client.get(f"{jobs}/x")
            check_error(response, 500, "DAPR_SCHEDULER_GET_JOB", f"failed to get {cause}")
            response = dapr.client.delete(f"{jobs}/x")
            check_error(response, 500, "DAPR_SCHEDULER_DELETE_JOB", f"failed to delete {cause}")

    def test_tells_the_caller_nothing_and_the_log_one_short_line(
        self, serve: Any, check_error: Any, caplog: Any
    ) -> None:
        with serve(store=Broken(RuntimeError("a secret\n" + "x" * 10_000))) as dapr:
            response = dapr.client.post("/v1.0/jobs/x%0Ay", json={**EVERY, "data": "private"})
            check_error(response, 500, SCHEDULE, "failed to schedule job due to: ")
            response = dapr.client.post("/v1.0/jobs/x", json={**EVERY, "data": "private"})
            check_error(response, 500, "ERR_INTERNAL", "an internal error occurred", None)
            assert "secret" not in response.text
        (line,) = [record.getMessage() for record in caplog.records if record.name.startswith("wakeful")]
        assert "RuntimeError" in line
        assert "\n" not in line
        assert len(line) < 1000
        assert "private" not in line

    def test_has_an_answer_for_every_error(self) -> None:
        assert set(CAUSES) == set(ErrorCode)


def test_data_of_a_type_without_json_cannot_be_shown(serve: Any, check_error: Any) -> None:
    with serve() as dapr:
        dapr.upsert("/v1.0/jobs/typed", EVERY)
        job = replace(dapr.record("typed").job, data=Data("type.googleapis.com/my.Message", b"\x08\x01"))
        dapr.behind(lambda store: store.put_job(job, Put.REPLACE, NOON))
        response = dapr.client.get("/v1.0/jobs/typed")
        check_error(response, 500, "ERR_INTERNAL", "failed to encode response as JSON: ", None)

"""Scheduling over HTTP: what is taken, what is stored, and what is refused in which words."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import pytest
from dapr.proto import api_v1

from support.grpc_door import grpc_beside
from wakeful.core.job import Catchup, CountedFrom, Overlap, RetryPolicy

NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)
EVERY = {"schedule": "@every 1h"}
SCHEDULE = "DAPR_SCHEDULER_SCHEDULE_JOB"


class TestASchedulingThatSucceeds:
    def test_is_answered_204_without_a_body(self, dapr: Any, jobs: str) -> None:
        response = dapr.client.post(f"{jobs}/new-{len(jobs)}", json=EVERY)
        assert (response.status_code, response.content) == (204, b"")
        assert "content-type" not in response.headers

    def test_makes_a_job_with_daprs_policies(self, dapr: Any) -> None:
        dapr.client.post("/v1.0/jobs/policies", json={**EVERY, "data": {"n": 1}})
        job = dapr.record("policies").job
        assert job.key.owner == "app/tests"
        assert (job.target.kind, job.target.address, job.queue) == ("app", "job/policies", "app/default/tests")
        assert (job.overlap, job.catchup, job.max_running) == (Overlap.QUEUE_ALL, Catchup.ALL, 1)
        assert job.retry == RetryPolicy(3, timedelta(seconds=1), CountedFrom.DUE)
        assert not job.at_most_once

    def test_ignores_the_content_type(self, dapr: Any) -> None:
        body = json.dumps({"dueTime": "10s"})
        response = dapr.client.post("/v1.0/jobs/typed", content=body, headers={"content-type": "text/plain"})
        assert response.status_code == 204

    def test_may_come_in_pieces(self, dapr: Any) -> None:
        pieces = [b'{"dueTime":', b'"10s","data":"', b"x" * 100_000, b'"}']
        assert dapr.client.put("/v1.0/jobs/pieces", content=iter(pieces)).status_code == 204
        assert len(dapr.record("pieces").job.data.body) == 100_002

    def test_ignores_a_trailing_and_a_doubled_slash(self, dapr: Any) -> None:
        assert dapr.client.put("/v1.0//jobs/slashed/", json=EVERY).status_code == 204
        assert dapr.record("slashed") is not None


class TestTheName:
    @pytest.mark.parametrize(
        "name",
        ["a|b", "a||b", "||", "@x", "UPPER", "two words", "a:b", "a_b", "a-b", "a.b", "...", "ä/ö".replace("/", "")],
    )
    def test_may_hold_what_dapr_allows_and_comes_back_unchanged(self, dapr: Any, jobs: str, name: str) -> None:
        path = f"{jobs}/{quote(name, safe='')}"
        assert dapr.upsert(path, EVERY)["name"] == name
        assert dapr.record(name) is not None
        assert dapr.client.delete(path).status_code == 204
        assert dapr.record(name) is None

    @pytest.mark.parametrize(
        "path",
        [
            "a%2Fb",
            "%2F",
            "a%5Cb",
            "a%23b",
            "a%3Fb",
            "a%00b",
            "a%1Fb",
            "a%7Fb",
            "%2E",
            "%2e%2E",
            "a" * 600,
            "%FF",
            "a%zz",
        ],
    )
    def test_is_refused_by_the_scheduler_where_it_is_not_allowed(
        self, dapr: Any, check_error: Any, jobs: str, path: str
    ) -> None:
        prefix = "job due to: rpc error: code = Unknown desc = name "
        response = dapr.client.post(f"{jobs}/{path}", json=EVERY)
        check_error(response, 500, SCHEDULE, f"failed to schedule {prefix}")
        assert len(response.text) < 1500
        response = dapr.client.get(f"{jobs}/{path}")
        check_error(response, 500, "DAPR_SCHEDULER_GET_JOB", f"failed to get {prefix}")
        response = dapr.client.delete(f"{jobs}/{path}")
        check_error(response, 500, "DAPR_SCHEDULER_DELETE_JOB", f"failed to delete {prefix}")

    @pytest.mark.parametrize("path", ["%20", "%20%09%20"])
    def test_is_empty_when_it_is_blank(self, dapr: Any, check_error: Any, jobs: str, path: str) -> None:
        for method in ("POST", "PUT", "GET", "DELETE"):
            content = json.dumps(EVERY) if method.startswith("P") else None
            response = dapr.client.request(method, f"{jobs}/{path}", content=content)
            check_error(response, 400, "DAPR_SCHEDULER_JOB_NAME_EMPTY", "Name is empty")

    def test_is_trimmed_where_it_is_given_and_where_it_is_asked_for(self, dapr: Any, jobs: str) -> None:
        assert dapr.upsert(f"{jobs}/%20trimmed%20", EVERY)["name"] == "trimmed"
        assert dapr.client.delete(f"{jobs}/%20trimmed%20").status_code == 204
        assert dapr.record("trimmed") is None

    def test_with_outer_blanks_is_another_one(self, dapr: Any, jobs: str) -> None:
        # Over gRPC nothing is trimmed.
        with grpc_beside(dapr) as door:
            job = api_v1.Job(name=" lead ", **EVERY)
            door.stub.ScheduleJob(api_v1.ScheduleJobRequest(job=job, overwrite=True))
        dapr.upsert(f"{jobs}/lead", EVERY)
        assert dapr.client.get(f"{jobs}/%20lead%20").json()["name"] == " lead "
        assert dapr.client.delete(f"{jobs}/%20lead%20").status_code == 204
        assert dapr.record(" lead ") is None
        assert dapr.client.get(f"{jobs}/lead").json()["name"] == "lead"

    def test_stands_in_the_address_only(self, dapr: Any, check_error: Any, jobs: str) -> None:
        response = dapr.client.post(f"{jobs}/twice", json={**EVERY, "name": "twice"})
        words = "Set the job name in the url only"
        check_error(response, 400, "DAPR_SCHEDULER_JOB_NAME", words, {"appID": "tests"})

    @pytest.mark.parametrize("name", ["", None])
    def test_may_be_empty_in_the_body(self, dapr: Any, jobs: str, name: str | None) -> None:
        assert dapr.client.put(f"{jobs}/unnamed", json={**EVERY, "name": name}).status_code == 204


class TestTheTimes:
    @pytest.mark.parametrize("spelling", ["dueTime", "due_time"])
    def test_are_shown_as_they_were_given(self, dapr: Any, jobs: str, spelling: str) -> None:
        given = {"schedule": "@every 1h", spelling: "2030-06-01T00:00:00.5+02:00", "ttl": "P1Y", "repeats": 3}
        shown = dapr.upsert(f"{jobs}/times", given)
        assert shown["dueTime"] == "2030-06-01T00:00:00.5+02:00"
        assert (shown["schedule"], shown["ttl"], shown["repeats"]) == ("@every 1h", "P1Y", 3)
        record = dapr.record("times")
        assert record.next_due_at == datetime(2030, 5, 31, 22, 0, 0, 500_000, tzinfo=UTC)

    def test_count_from_the_moment_of_receipt(self, dapr: Any, jobs: str) -> None:
        dapr.upsert(f"{jobs}/soon", {"dueTime": "1m30s"})
        assert dapr.record("soon").next_due_at == NOON + timedelta(seconds=90)

    @pytest.mark.parametrize("repeats", [3, "3", 3.0, "3.0", 30e-1])
    def test_repeats_may_be_written_in_all_the_ways_of_protojson(self, dapr: Any, jobs: str, repeats: Any) -> None:
        assert dapr.upsert(f"{jobs}/repeats", {**EVERY, "repeats": repeats})["repeats"] == 3
        assert dapr.upsert(f"{jobs}/repeats", {**EVERY, "repeats": 2**32 - 1})["repeats"] == 2**32 - 1

    @pytest.mark.parametrize("body", [b"", b"{}", b" {} ", b'{"data":1}', b'{"schedule":null,"dueTime":null}'])
    def test_must_be_there(self, dapr: Any, check_error: Any, jobs: str, body: bytes) -> None:
        response = dapr.client.post(f"{jobs}/never", content=body)
        check_error(response, 400, "DAPR_SCHEDULER_SCHEDULE_EMPTY", "Schedule is empty")

    @pytest.mark.parametrize(
        ("fields", "text"),
        [
            ({"schedule": ""}, "empty spec string"),
            ({"schedule": "nonsense"}, "expected exactly 6 fields"),
            ({"schedule": "TZ=Nowhere/City 0 0 * * * *"}, "provided bad location"),
            ({"schedule": "0 0 0 30 2 *"}, ""),
            ({"schedule": "@sometimes"}, "unrecognized descriptor"),
            ({"dueTime": ""}, "due time format not recognized"),
            ({"dueTime": "tomorrow"}, "due time format not recognized"),
            ({**EVERY, "ttl": "soon"}, "ttl format not recognized"),
            ({**EVERY, "repeats": 0}, "defined repeats must be greater than 0"),
            ({"dueTime": "1s", "repeats": 2}, "job must have a schedule to repeat"),
            ({"dueTime": "1s", "ttl": "10s"}, "job must have a schedule to have a ttl"),
            (
                {**EVERY, "dueTime": "2031-01-01T00:00:00Z", "ttl": "2030-06-01T00:00:00Z"},
                "ttl must be greater than due",
            ),
        ],
    )
    def test_are_judged_by_the_scheduler(
        self, dapr: Any, check_error: Any, jobs: str, fields: dict[str, Any], text: str
    ) -> None:
        response = dapr.client.post(f"{jobs}/misjudged", json=fields)
        prefix = "failed to schedule job due to: rpc error: code = Unknown desc = job failed validation: "
        check_error(response, 500, SCHEDULE, prefix + text)
        assert dapr.record("misjudged") is None

    def test_are_one_instant_in_schedule_for_the_alpha_api_only(self, dapr: Any, check_error: Any) -> None:
        fields = {"schedule": "2030-02-01T09:00:00Z", "repeats": 1}
        shown = dapr.upsert("/v1.0-alpha1/jobs/instant", fields)
        assert shown["schedule"] == shown["dueTime"] == "2030-02-01T09:00:00Z"
        assert dapr.record("instant").next_due_at == datetime(2030, 2, 1, 9, tzinfo=UTC)
        check_error(
            dapr.client.put("/v1.0/jobs/instant", json=fields), 500, SCHEDULE, "failed to schedule job due to: "
        )

    def test_may_be_a_crontab_line(self, dapr: Any, jobs: str) -> None:
        assert dapr.upsert(f"{jobs}/crontab", {"schedule": "30 9 * * *"})["schedule"] == "30 9 * * *"
        assert dapr.record("crontab").next_due_at == datetime(2030, 1, 2, 9, 30, tzinfo=UTC)


class TestTheData:
    @pytest.mark.parametrize(
        "text",
        [
            '{"a":[1,2,{"b":null}],"@type":"type.googleapis.com/google.protobuf.StringValue","value":"x"}',
            '"text \\u00e9 \\ud83d\\ude00"',
            "null",
            "true",
            "0",
            "-1.50",
            "12345678901234567890123456789.0123456789",
            "1e-400",
            "[]",
            '""',
        ],
    )
    def test_is_kept_as_it_was_written(self, dapr: Any, jobs: str, text: str) -> None:
        dapr.client.put(f"{jobs}/data", content=b'{"schedule":"@every 1h","data": %s }' % text.encode())
        record = dapr.record("data")
        assert (record.job.data.type, record.job.data.body) == ("json", text.encode())
        shown = dapr.client.get(f"{jobs}/data")
        assert f'"data":{{"@type":"type.googleapis.com/google.protobuf.Value","value":{text}}}' in shown.text

    def test_loses_its_white_space(self, dapr: Any) -> None:
        dapr.client.put("/v1.0/jobs/spaced", content=b'{"dueTime":"1h","data":{ "a b" : [ 1 , 2 ]\n}}')
        assert dapr.record("spaced").job.data.body == b'{"a b":[1,2]}'

    def test_is_absent_when_it_was_not_given(self, dapr: Any, jobs: str) -> None:
        assert "data" not in dapr.upsert(f"{jobs}/no-data", EVERY)
        assert dapr.record("no-data").job.data is None

    @pytest.mark.parametrize(
        "number", ["1e999", "-1e309", "9" * 400, "1" * 250 + "e99", "NaN", "Infinity", "-Infinity"]
    )
    def test_must_hold_no_number_beyond_a_double(self, dapr: Any, check_error: Any, jobs: str, number: str) -> None:
        response = dapr.client.post(f"{jobs}/huge", content=f'{{"dueTime":"1h","data":[{number}]}}')
        check_error(response, 400, "ERR_MALFORMED_REQUEST", "failed deserializing HTTP body: ", None)

    def test_may_hold_digits_that_only_look_like_a_huge_number(self, dapr: Any) -> None:
        data = ["9" * 400, "1e999", 1e308]
        assert dapr.upsert("/v1.0/jobs/digits", {**EVERY, "data": data})["data"]["value"] == data

    def test_is_refused_beyond_two_mebibytes(self, dapr: Any, check_error: Any, jobs: str) -> None:
        response = dapr.client.post(f"{jobs}/heavy", json={**EVERY, "data": "x" * (2 * 1024 * 1024)})
        prefix = "failed to schedule job due to: rpc error: code = InvalidArgument desc = data is "
        check_error(response, 400, SCHEDULE, prefix)
        fits = "x" * (2 * 1024 * 1024 - 2)
        assert dapr.client.post(f"{jobs}/heavy", json={**EVERY, "data": fits, "overwrite": True}).status_code == 204


class TestTheFailurePolicy:
    @pytest.mark.parametrize(
        ("policy", "shown", "retry"),
        [
            (None, {"constant": {"interval": "1s", "maxRetries": 3}}, (3, 1.0)),
            ({}, {"constant": {"interval": "1s", "maxRetries": 3}}, (3, 1.0)),
            ({"constant": {}}, {"constant": {}}, (None, 0.0)),
            (
                {"constant": {"interval": "3s", "maxRetries": 5}},
                {"constant": {"interval": "3s", "maxRetries": 5}},
                (5, 3.0),
            ),
            (
                {"constant": {"interval": "0.25s", "max_retries": "0"}},
                {"constant": {"interval": "0.250s", "maxRetries": 0}},
                (0, 0.25),
            ),
            ({"constant": {"interval": "0.000001s"}}, {"constant": {"interval": "0.000001s"}}, (None, 0.000001)),
            ({"constant": {"interval": "-1s", "maxRetries": None}}, {"constant": {}}, (None, 0.0)),
            ({"constant": {"maxRetries": 0}}, {"constant": {"maxRetries": 0}}, (0, 0.0)),
            ({"drop": {}}, {"drop": {}}, (0, 0.0)),
            ({"drop": {}, "constant": None}, {"drop": {}}, (0, 0.0)),
        ],
    )
    @pytest.mark.parametrize("spelling", ["failurePolicy", "failure_policy"])
    def test_is_understood_and_shown(self, dapr: Any, spelling: str, policy: Any, shown: Any, retry: Any) -> None:
        assert dapr.upsert("/v1.0/jobs/policy", {**EVERY, spelling: policy})["failurePolicy"] == shown
        job = dapr.record("policy").job
        assert (job.retry.max_retries, job.retry.interval.total_seconds()) == retry
        assert job.retry.counted_from is CountedFrom.DUE

    @pytest.mark.parametrize(
        "policy",
        [
            "drop",
            {"drop": {}, "constant": {}},
            {"constant": {"interval": 3}},
            {"constant": {"interval": "3"}},
            {"constant": {"interval": "1m"}},
            {"constant": {"interval": ".s"}},
            {"constant": {"interval": "0.0000000001s"}},
            {"constant": {"interval": "999999999999s"}},
            {"constant": {"maxRetries": -1}},
            {"constant": {"maxRetries": 1, "max_retries": 1}},
        ],
    )
    def test_is_refused_when_it_is_malformed(self, dapr: Any, check_error: Any, jobs: str, policy: Any) -> None:
        response = dapr.client.post(f"{jobs}/bad-policy", json={**EVERY, "failurePolicy": policy})
        check_error(response, 400, "ERR_MALFORMED_REQUEST", "failed deserializing HTTP body: ", None)


class TestTheTarget:
    def test_sends_the_runs_to_another_app_and_method(self, dapr: Any, jobs: str) -> None:
        target = {"appId": "task-executor-app", "method": "executeScheduledTask"}
        assert dapr.upsert(f"{jobs}/targeted", {**EVERY, "target": target, "contentType": "x"})["target"] == target
        job = dapr.record("targeted").job
        assert (job.target.address, job.queue) == ("executeScheduledTask", "app/default/task-executor-app")
        assert job.key.owner == "app/tests"

    def test_may_name_the_app_alone_or_the_method_alone(self, dapr: Any) -> None:
        assert dapr.upsert("/v1.0/jobs/half", {**EVERY, "target": {"app_id": "x"}})["target"] == {"appId": "x"}
        job = dapr.record("half").job
        assert (job.target.address, job.queue) == ("job/half", "app/default/x")
        assert dapr.upsert("/v1.0/jobs/half", {**EVERY, "target": {"method": "/a/b"}})["target"] == {"method": "/a/b"}
        job = dapr.record("half").job
        assert (job.target.address, job.queue) == ("a/b", "app/default/tests")

    @pytest.mark.parametrize("target", [None, {}])
    def test_is_not_shown_when_it_says_nothing(self, dapr: Any, target: Any) -> None:
        assert "target" not in dapr.upsert("/v1.0/jobs/untargeted", {**EVERY, "target": target})

    @pytest.mark.parametrize(
        "target",
        [
            {"appId": "a/b"},
            {"appId": " "},
            {"method": ""},
            {"method": "a/../b"},
            {"method": "a?b"},
            {"method": "a\r\nb"},
        ],
    )
    def test_cannot_leave_the_app(self, dapr: Any, check_error: Any, jobs: str, target: Any) -> None:
        response = dapr.client.post(f"{jobs}/stray", json={**EVERY, "target": target})
        prefix = "failed to schedule job due to: rpc error: code = InvalidArgument desc = target."
        check_error(response, 400, SCHEDULE, prefix)


class TestABody:
    @pytest.mark.parametrize(
        "body",
        [
            b"[]",
            b"null",
            b'"text"',
            b"1",
            b"{",
            b"{} {}",
            b'{"schedule":1}',
            b'{"schedule":["@every 1h"]}',
            b'{"schedule":"@every 1h","repeats":-1}',
            b'{"schedule":"@every 1h","repeats":4294967296}',
            b'{"schedule":"@every 1h","repeats":1.5}',
            b'{"schedule":"@every 1h","repeats":" 1"}',
            b'{"schedule":"@every 1h","repeats":"one"}',
            b'{"schedule":"@every 1h","repeats":1e999999999}',
            b'{"schedule":"@every 1h","repeats":true}',
            b'{"schedule":"@every 1h","overwrite":"true"}',
            b'{"schedule":"@every 1h","dueTime":"1s","due_time":"1s"}',
            b'{"schedule":"@every 1h","target":"app"}',
            b'{"schedule":"@every 1h","name":5}',
            b'{"schedule":"@every 1h","other":"\xff"}',
            b'{"schedule":"@every 1h","data":"\xc3"}',
            b'{"schedule":"@every 1h","data":"\\ud800"}',
            b'{"schedule":"@every 1h","data":[1,]}',
            b"\xef\xbb\xbf{}",
            b'{"schedule":"@every 1h","data":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
            b'{"schedule":"@every 1h","other":' + b'{"a":' * 100_000 + b"1" + b"}" * 100_000 + b"}",
            b"[" * 1_000_000,
        ],
    )
    def test_that_is_malformed_is_refused(self, dapr: Any, check_error: Any, jobs: str, body: bytes) -> None:
        response = dapr.client.post(f"{jobs}/malformed", content=body)
        check_error(response, 400, "ERR_MALFORMED_REQUEST", "failed deserializing HTTP body: ", None)
        assert len(response.content) < 1000
        assert dapr.record("malformed") is None

    def test_may_have_unknown_fields_and_nulls(self, dapr: Any, jobs: str) -> None:
        fields = {"repeats": None, "ttl": None, "overwrite": None, "failurePolicy": None, "contentType": {"a": [1]}}
        shown = dapr.upsert(f"{jobs}/lenient", {**EVERY, **fields})
        shown.pop("status", None)
        assert set(shown) == {"name", "schedule", "failurePolicy"}

"""Jobs over gRPC, as Dapr's own SDK sends them: what is stored, what is shown, and what is refused in which words."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
import pytest
from dapr.proto import api_v1, common_v1
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.protobuf.struct_pb2 import Value
from google.protobuf.wrappers_pb2 import StringValue

from support.grpc_door import NOON, GrpcDoor, error_of, grpc_beside
from wakeful.core.errors import ErrorCode, WakefulError
from wakeful.core.job import Catchup, CountedFrom, Data, Overlap, RetryPolicy
from wakeful.faces.dapr.sidecar import Sidecar
from wakeful.protos import runtime

OWN = {"appID": "tests", "namespace": "default"}
SCHEDULE, GET, DELETE = "DAPR_SCHEDULER_SCHEDULE_JOB", "DAPR_SCHEDULER_GET_JOB", "DAPR_SCHEDULER_DELETE_JOB"
DEFAULT = common_v1.JobFailurePolicy(
    constant=common_v1.JobFailurePolicyConstant(interval=Duration(seconds=1), max_retries=3)
)


@pytest.fixture(scope="module", name="door")
def open_door(dapr: Any) -> Iterator[GrpcDoor]:
    with grpc_beside(dapr) as door:
        yield door


@pytest.fixture(params=["", "Alpha1"])
def alpha(request: pytest.FixtureRequest) -> str:
    """What the names of the methods end with: each has two."""
    return str(request.param)


def text(content: str) -> AnyMessage:
    packed = AnyMessage()
    packed.Pack(StringValue(value=content))
    return packed


def job(name: str, **fields: Any) -> api_v1.Job:
    return api_v1.Job(name=name, **({"schedule": "@every 1h"} if "due_time" not in fields else {}) | fields)


def upsert(door: GrpcDoor, wanted: api_v1.Job, alpha: str = "") -> api_v1.Job:
    """Schedules a job, whether there is one or not; how it is shown."""
    request = api_v1.ScheduleJobRequest(job=wanted, overwrite=True)
    assert getattr(door.stub, f"ScheduleJob{alpha}")(request) == api_v1.ScheduleJobResponse()
    return getattr(door.stub, f"GetJob{alpha}")(api_v1.GetJobRequest(name=wanted.name)).job


def refusal(door: GrpcDoor, wanted: api_v1.Job) -> tuple[Any, ...]:
    return error_of(door.stub.ScheduleJob, api_v1.ScheduleJobRequest(job=wanted))


class TestAJob:
    def test_is_shown_as_it_was_given_under_both_names(self, door: GrpcDoor, alpha: str) -> None:
        wanted = job(
            "whole",
            due_time="2030-06-01T00:00:00.5+02:00",
            schedule="TZ=Europe/Rome 0 30 9 * * *",
            repeats=3,
            ttl="P1Y",
            data=text("hello"),
            failure_policy=DEFAULT,
        )
        assert upsert(door, wanted, alpha) == wanted

    def test_has_daprs_policies_and_its_default_is_written_into_it(self, door: GrpcDoor, dapr: Any) -> None:
        assert upsert(door, job("plain")) == job("plain", failure_policy=DEFAULT)
        kept = dapr.record("plain").job
        assert kept.key.owner == "app/tests"
        assert (kept.target.kind, kept.target.address, kept.queue) == ("app", "job/plain", "app/default/tests")
        assert (kept.overlap, kept.catchup, kept.max_running) == (Overlap.QUEUE_ALL, Catchup.ALL, 1)
        assert kept.retry == RetryPolicy(3, timedelta(seconds=1), CountedFrom.DUE)

    def test_counts_from_the_moment_of_receipt(self, door: GrpcDoor, dapr: Any) -> None:
        upsert(door, job("soon", due_time="1m30s"))
        assert dapr.record("soon").next_due_at == NOON + timedelta(seconds=90)

    @pytest.mark.parametrize("name", ["a|b", "a||b", "||", "@x", "UPPER", "two words", "a:b", "...", "ä", " spaced "])
    def test_may_have_any_name_that_dapr_allows(self, door: GrpcDoor, dapr: Any, name: str, alpha: str) -> None:
        assert upsert(door, job(name), alpha).name == name
        assert dapr.record(name) is not None
        getattr(door.stub, f"DeleteJob{alpha}")(api_v1.DeleteJobRequest(name=name))
        assert dapr.record(name) is None

    def test_that_has_run_out_before_its_first_instant_is_over_at_once(self, door: GrpcDoor) -> None:
        request = api_v1.ScheduleJobRequest(job=job("over", schedule="@daily", ttl="10s"))
        assert door.stub.ScheduleJob(request) == api_v1.ScheduleJobResponse()
        code, message, _, _ = error_of(door.stub.GetJob, api_v1.GetJobRequest(name="over"))
        assert (code, "job not found: over" in message) == ("INTERNAL", True)

    def test_may_be_a_crontab_line(self, door: GrpcDoor, dapr: Any) -> None:
        assert upsert(door, job("crontab", schedule="30 9 * * *")).schedule == "30 9 * * *"
        assert dapr.record("crontab").next_due_at == datetime(2030, 1, 2, 9, 30, tzinfo=UTC)

    def test_can_be_deleted_when_it_is_not_there(self, door: GrpcDoor, alpha: str) -> None:
        call = getattr(door.stub, f"DeleteJob{alpha}")
        assert call(api_v1.DeleteJobRequest(name="unknown")) == api_v1.DeleteJobResponse()


class TestTheFailurePolicy:
    @pytest.mark.parametrize(
        ("given", "retry"),
        [
            ({"drop": {}}, (0, 0.0)),
            ({"constant": {}}, (None, 0.0)),
            ({"constant": {"max_retries": 0}}, (0, 0.0)),
            ({"constant": {"max_retries": 2**32 - 1}}, (2**32 - 1, 0.0)),
            ({"constant": {"interval": {"seconds": 3}}}, (None, 3.0)),
            ({"constant": {"interval": {"nanos": 1_000}, "max_retries": 5}}, (5, 0.000001)),
            ({"constant": {"interval": {"seconds": 36_500 * 86_400}}}, (None, 36_500 * 86_400.0)),
        ],
    )
    def test_is_kept_with_what_was_not_given(self, door: GrpcDoor, dapr: Any, given: Any, retry: Any) -> None:
        policy = common_v1.JobFailurePolicy(**given)
        assert upsert(door, job("policy", failure_policy=policy)).failure_policy == policy
        kept = dapr.record("policy").job.retry
        assert (kept.max_retries, kept.interval.total_seconds(), kept.counted_from) == (*retry, CountedFrom.DUE)

    def test_is_the_default_when_it_says_nothing(self, door: GrpcDoor) -> None:
        assert upsert(door, job("policy", failure_policy={})).failure_policy == DEFAULT

    @pytest.mark.parametrize("interval", [{"seconds": -5}, {"nanos": -1}, {"nanos": 999}, {}])
    def test_without_a_microsecond_of_interval_tries_again_at_once(
        self, door: GrpcDoor, dapr: Any, interval: Any
    ) -> None:
        shown = upsert(door, job("policy", failure_policy={"constant": {"interval": interval}}))
        assert shown.failure_policy == common_v1.JobFailurePolicy(constant={})
        assert dapr.record("policy").job.retry.interval == timedelta()

    @pytest.mark.parametrize(
        "interval", [{"seconds": 36_500 * 86_400, "nanos": 1}, {"seconds": 2**63 - 1}, {"nanos": 1_000_000_000}]
    )
    def test_is_refused_with_an_interval_beyond_its_bound(self, door: GrpcDoor, interval: Any) -> None:
        code, message, reason, metadata = refusal(
            door, job("bad-policy", failure_policy={"constant": {"interval": interval}})
        )
        assert (code, reason, metadata) == ("INVALID_ARGUMENT", SCHEDULE, OWN)
        assert message.startswith(
            "failed to schedule job due to: rpc error: code = InvalidArgument desc = failure_policy: an interval of "
        )


class TestTheData:
    @pytest.mark.parametrize(
        "given",
        [
            AnyMessage(type_url="type.googleapis.com/my.own.Message", value=b"\x08\x01"),
            AnyMessage(type_url="type.googleapis.com/google.protobuf.StringValue", value=b"\xff no message"),
            AnyMessage(type_url="", value=b"raw"),
            AnyMessage(type_url="text", value=b""),
            AnyMessage(),
            text("x" * 100_000),
        ],
    )
    def test_is_kept_as_it_came_whatever_it_is(self, door: GrpcDoor, dapr: Any, given: AnyMessage) -> None:
        shown = upsert(door, job("typed", data=given))
        assert (shown.HasField("data"), shown.data) == (True, given)
        assert dapr.record("typed").job.data == Data(given.type_url, given.value)

    def test_is_absent_when_it_was_not_given(self, door: GrpcDoor) -> None:
        assert not upsert(door, job("no-data")).HasField("data")

    def test_that_is_a_json_value_is_kept_as_json(self, door: GrpcDoor, dapr: Any) -> None:
        value = Value()
        value.struct_value.update({"a": [1, 2.5, None, True, {"b": "é"}], "n": 10**15})
        packed = AnyMessage()
        packed.Pack(value)
        shown = upsert(door, job("value", data=packed))
        back = Value()
        assert shown.data.Unpack(back)
        assert back == value
        kept = dapr.record("value").job.data
        assert kept == Data("json", '{"a":[1,2.5,null,true,{"b":"é"}],"n":1000000000000000}'.encode())

    def test_cannot_pass_for_json_by_its_type(self, door: GrpcDoor) -> None:
        code, message, reason, _ = refusal(door, job("false-json", data={"type_url": "json", "value": b"}"}))
        assert (code, reason) == ("INVALID_ARGUMENT", SCHEDULE)
        assert message.endswith("desc = data: 'json' is no type URL")

    def test_is_refused_beyond_two_mebibytes(self, door: GrpcDoor) -> None:
        limit = 2 * 1024 * 1024
        assert upsert(door, job("heavy", data={"type_url": "x", "value": b"x" * limit})).data.ByteSize() > limit
        code, message, reason, _ = refusal(door, job("heavier", data={"type_url": "x", "value": b"x" * (limit + 1)}))
        assert (code, reason) == ("INVALID_ARGUMENT", SCHEDULE)
        assert message.startswith("failed to schedule job due to: rpc error: code = InvalidArgument desc = data is ")


class TestARefusal:
    """dapr pkg/api/universal/jobs.go and pkg/api/errors/scheduler.go."""

    def test_of_no_job(self, door: GrpcDoor, alpha: str) -> None:
        call = getattr(door.stub, f"ScheduleJob{alpha}")
        assert error_of(call, api_v1.ScheduleJobRequest()) == (
            "INVALID_ARGUMENT",
            "Job is empty",
            "DAPR_SCHEDULER_EMPTY",
            OWN,
        )

    @pytest.mark.parametrize("name", ["", " ", "\t \n"])
    def test_of_no_name(self, door: GrpcDoor, alpha: str, name: str) -> None:
        refused = ("INVALID_ARGUMENT", "Name is empty", "DAPR_SCHEDULER_JOB_NAME_EMPTY", OWN)
        schedule, get, delete = (getattr(door.stub, f"{verb}Job{alpha}") for verb in ("Schedule", "Get", "Delete"))
        assert error_of(schedule, api_v1.ScheduleJobRequest(job=job(name))) == refused
        assert error_of(get, api_v1.GetJobRequest(name=name)) == refused
        assert error_of(delete, api_v1.DeleteJobRequest(name=name)) == refused

    @pytest.mark.parametrize("fields", [{}, {"repeats": 1, "ttl": "1h"}])
    def test_of_neither_schedule_nor_due_time(self, door: GrpcDoor, alpha: str, fields: Any) -> None:
        call = getattr(door.stub, f"ScheduleJob{alpha}")
        request = api_v1.ScheduleJobRequest(job=api_v1.Job(name="x", **fields))
        refused = ("INVALID_ARGUMENT", "Schedule is empty", "DAPR_SCHEDULER_SCHEDULE_EMPTY", OWN)
        assert error_of(call, request) == refused

    @pytest.mark.parametrize(
        ("fields", "words"),
        [
            ({"schedule": ""}, "empty spec string"),
            ({"due_time": ""}, "due time format not recognized"),
            ({"schedule": "nonsense"}, "expected exactly 6 fields"),
            ({"schedule": "TZ=Nowhere/City 0 0 * * * *"}, "provided bad location"),
            ({"schedule": "@sometimes"}, "unrecognized descriptor"),
            ({"schedule": "2030-02-01T09:00:00Z"}, "schedule is a single instant"),
            ({"due_time": "tomorrow"}, "due time format not recognized"),
            ({"ttl": "soon"}, "ttl format not recognized"),
            ({"ttl": ""}, "ttl format not recognized"),
            ({"repeats": 0}, "defined repeats must be greater than 0"),
            ({"due_time": "1s", "repeats": 2}, "job must have a schedule to repeat"),
            ({"due_time": "1s", "ttl": "10s"}, "job must have a schedule to have a ttl"),
            (
                {"schedule": "@daily", "due_time": "2031-01-01T00:00:00Z", "ttl": "2030-06-01T00:00:00Z"},
                "ttl must be greater than due time",
            ),
        ],
    )
    def test_of_what_the_scheduler_cannot_understand(
        self, door: GrpcDoor, dapr: Any, fields: dict[str, Any], words: str
    ) -> None:
        code, message, reason, metadata = refusal(door, job("misjudged", **fields))
        assert (code, reason, metadata) == ("INTERNAL", SCHEDULE, OWN)
        prefix = "failed to schedule job due to: rpc error: code = Unknown desc = job failed validation: "
        assert message.startswith(prefix + words)
        assert dapr.record("misjudged") is None

    @pytest.mark.parametrize("name", ["a/b", "a\\b", "a#b", "a?b", "a\0b", "a\x1fb", "a\x7fb", ".", "..", "a" * 600])
    def test_of_a_name_that_is_not_allowed(self, door: GrpcDoor, name: str) -> None:
        for verb, call, request, reason in (
            ("schedule", door.stub.ScheduleJob, api_v1.ScheduleJobRequest(job=job(name)), SCHEDULE),
            ("get", door.stub.GetJob, api_v1.GetJobRequest(name=name), GET),
            ("delete", door.stub.DeleteJob, api_v1.DeleteJobRequest(name=name), DELETE),
        ):
            code, message, given, metadata = error_of(call, request)
            assert (code, given, metadata) == ("INTERNAL", reason, OWN)
            assert message.startswith(f"failed to {verb} job due to: rpc error: code = Unknown desc = name ")
            assert len(message) < 600

    def test_of_a_name_that_is_taken_unless_it_is_overwritten(self, door: GrpcDoor, dapr: Any, alpha: str) -> None:
        upsert(door, job("taken", data=text("old")))
        call = getattr(door.stub, f"ScheduleJob{alpha}")
        request = api_v1.ScheduleJobRequest(job=job("taken", data=text("new")))
        cause = "rpc error: code = AlreadyExists desc = job already exists: 'app||default||tests||taken'"
        refused = ("ALREADY_EXISTS", f"failed to schedule job due to: {cause}", SCHEDULE, OWN)
        assert error_of(call, request) == refused
        assert dapr.record("taken").job.data.body == text("old").value
        request.overwrite = True
        call(request)
        assert dapr.record("taken").job.data.body == text("new").value

    @pytest.mark.parametrize("letter", ["n", "\u00e4", "\U0001f600"])
    def test_has_a_long_name_in_it_whole(self, dapr: Any, letter: str) -> None:
        name = letter * (512 // len(letter.encode()))
        own = {"appID": name, "namespace": "default"}
        with grpc_beside(dapr, Sidecar(name)) as door:
            cause = f"rpc error: code = NotFound desc = job not found: {name}"
            refused = ("INTERNAL", f"failed to get job due to: {cause}", GET, own)
            assert error_of(door.stub.GetJob, api_v1.GetJobRequest(name=name)) == refused
            upsert(door, job(name))
            cause = f"rpc error: code = AlreadyExists desc = job already exists: 'app||default||{name}||{name}'"
            refused = ("ALREADY_EXISTS", f"failed to schedule job due to: {cause}", SCHEDULE, own)
            assert error_of(door.stub.ScheduleJob, api_v1.ScheduleJobRequest(job=job(name))) == refused

    def test_of_an_unknown_job_is_internal_as_in_dapr(self, door: GrpcDoor, alpha: str) -> None:
        cause = "rpc error: code = NotFound desc = job not found: unknown"
        refused = ("INTERNAL", f"failed to get job due to: {cause}", GET, OWN)
        assert error_of(getattr(door.stub, f"GetJob{alpha}"), api_v1.GetJobRequest(name="unknown")) == refused

    @pytest.mark.parametrize("body", [b"\xff", b"\x0a\x02\x0a\xff"], ids=["no message", "no UTF-8"])
    def test_of_what_is_no_message(self, door: GrpcDoor, body: bytes) -> None:
        with pytest.raises(grpc.RpcError) as refused:
            door.call("/dapr.proto.runtime.v1.Dapr/ScheduleJob", body)
        assert refused.value.code() is grpc.StatusCode.INTERNAL


class TestManyJobs:
    @pytest.fixture(autouse=True)
    def none_before(self, door: GrpcDoor, dapr: Any) -> None:
        door.stub.DeleteJobsByPrefix(api_v1.DeleteJobsByPrefixRequest())
        assert self.names(door) == []

    def names(self, door: GrpcDoor, alpha: str = "") -> list[str]:
        request = getattr(api_v1, f"ListJobsRequest{alpha}")()
        return [shown.name for shown in getattr(door.stub, f"ListJobs{alpha}")(request).jobs]

    def put(self, door: GrpcDoor, *names: str) -> None:
        for name in names:
            door.stub.ScheduleJob(api_v1.ScheduleJobRequest(job=job(name)))

    def test_are_listed_in_byte_order_of_their_names(self, door: GrpcDoor, alpha: str) -> None:
        names = ["b", "a", "B", "ä", "a||b", "a b", "Z", "\U0001f600", "\uffee", "10", "9"]
        self.put(door, *names)
        assert self.names(door, alpha) == sorted(names, key=str.encode)

    def test_are_listed_as_each_is_shown(self, door: GrpcDoor) -> None:
        one = upsert(door, job("one", data=text("x"), failure_policy={"drop": {}}))
        two = upsert(door, job("two", due_time="10s", repeats=1))
        assert list(door.stub.ListJobs(api_v1.ListJobsRequest()).jobs) == [one, two]

    @pytest.mark.slow
    def test_are_all_listed_when_they_are_more_than_a_page(self, door: GrpcDoor, dapr: Any) -> None:
        names = [f"n{number:04}" for number in range(2_100)]
        futures = [door.stub.ScheduleJob.future(api_v1.ScheduleJobRequest(job=job(name))) for name in names]
        for future in futures:
            future.result(20)
        assert self.names(door) == names

    def test_of_another_app_or_namespace_are_never_seen(self, door: GrpcDoor, dapr: Any) -> None:
        dapr.upsert("/v1.0/jobs/tests2/theirs", {"dueTime": "1h"})
        dapr.upsert("/v1.0/jobs/test/theirs", {"dueTime": "1h"})
        self.put(door, "ours")
        assert self.names(door) == ["ours"]
        door.stub.DeleteJobsByPrefix(api_v1.DeleteJobsByPrefixRequest())
        door.stub.DeleteJob(api_v1.DeleteJobRequest(name="theirs"))
        assert dapr.record("theirs", "tests2") is not None
        assert dapr.record("theirs", "test") is not None
        code, _, _, _ = error_of(door.stub.GetJob, api_v1.GetJobRequest(name="theirs"))
        assert code == "INTERNAL"

    @pytest.mark.parametrize(
        ("prefix", "left"),
        [
            ("a", ["b", "ä"]),
            ("a||", ["a", "ab", "b", "ä"]),
            ("a%", ["a", "ab", "a||x", "b", "ä"]),
            ("_", ["a", "ab", "a||x", "b", "ä"]),
            ("ä", ["a", "ab", "a||x", "b"]),
            ("a\0", ["a", "ab", "a||x", "b", "ä"]),
            ("\U0010ffff", ["a", "ab", "a||x", "b", "ä"]),
            ("", []),
            (None, []),
        ],
    )
    def test_are_deleted_by_the_beginning_of_their_names(
        self, door: GrpcDoor, alpha: str, prefix: str | None, left: list[str]
    ) -> None:
        self.put(door, "a", "ab", "a||x", "b", "ä")
        request = getattr(api_v1, f"DeleteJobsByPrefixRequest{alpha}")(name_prefix=prefix)
        getattr(door.stub, f"DeleteJobsByPrefix{alpha}")(request)
        assert self.names(door) == left


class Broken:
    """A store that can't be used now."""

    async def put_job(self, *_: object) -> None:
        raise WakefulError(ErrorCode.STORE_UNAVAILABLE, "the disk is full")

    get_job = end_jobs = list_jobs = put_job

    async def close(self) -> None:
        pass


def test_a_store_that_fails_is_unavailable_for_scheduling_and_internal_for_the_rest(serve: Any) -> None:
    with serve(store=Broken()) as dapr, grpc_beside(dapr) as door:
        calls = [
            (door.stub.ScheduleJob, runtime.ScheduleJobRequest(job=runtime.Job(name="x", due_time="1s"))),
            (door.stub.GetJob, runtime.GetJobRequest(name="x")),
            (door.stub.DeleteJob, runtime.DeleteJobRequest(name="x")),
            (door.stub.DeleteJobsByPrefix, runtime.DeleteJobsByPrefixRequest()),
            (door.stub.ListJobs, runtime.ListJobsRequest()),
        ]
        cause = "due to: rpc error: code = Unavailable desc = the disk is full"
        assert [error_of(call, request) for call, request in calls] == [
            ("UNAVAILABLE", f"failed to schedule job {cause}", SCHEDULE, OWN),
            ("INTERNAL", f"failed to get job {cause}", GET, OWN),
            ("INTERNAL", f"failed to delete job {cause}", DELETE, OWN),
            ("INTERNAL", f"failed to delete job {cause}", DELETE, OWN),
            ("INTERNAL", f"failed to list jobs {cause}", "DAPR_SCHEDULER_LIST_JOBS", OWN),
        ]

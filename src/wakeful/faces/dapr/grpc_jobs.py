"""Jobs as Dapr's messages, both ways.

The runtime's ``Job`` and the Scheduler's have the same fields by name. What they mean is said in ``jobs.py``.
"""

from datetime import timedelta
from typing import Any

from wakeful.core.errors import ErrorCode, WakefulError
from wakeful.core.job import Data, Job, JobRecord, RetryPolicy
from wakeful.core.schedule import ScheduleText
from wakeful.faces.dapr.jobs import (
    DEFAULT_RETRY,
    DROP,
    LONGEST_INTERVAL,
    NO_RETRY,
    UINT32_MAX,
    JobRequest,
    drops,
)
from wakeful.protos import common, well_known
from wakeful.protos.values import packed, unpacked

_MICROSECOND = timedelta(microseconds=1)


async def request_of(given: Any, *, overwrite: bool) -> JobRequest:
    """What a ``Job`` message asks for.

    Raises:
        WakefulError: ``INVALID_JOB``.
    """
    text = ScheduleText(
        schedule=given.schedule if given.HasField("schedule") else None,
        due_time=given.due_time if given.HasField("due_time") else None,
        ttl=given.ttl if given.HasField("ttl") else None,
        repeats=given.repeats if given.HasField("repeats") else None,
    )
    data = await data_in(given.data) if given.HasField("data") else None
    retry = retry_of(given.failure_policy) if given.HasField("failure_policy") else DEFAULT_RETRY
    options = dict(DROP) if retry is NO_RETRY else {}
    return JobRequest(text, data, retry, overwrite, name=None, app_id=None, method=None, options=options)


async def data_in(given: Any) -> Data:
    """The data in an ``Any``.

    Raises:
        WakefulError: ``INVALID_JOB``.
    """
    try:
        return await unpacked(given)
    except ValueError as error:
        raise WakefulError(ErrorCode.INVALID_JOB, str(error)) from None


def retry_of(policy: Any) -> RetryPolicy:
    """What a ``JobFailurePolicy`` means; one that says nothing means Dapr's default, as none at all does.

    Raises:
        WakefulError: ``INVALID_JOB``.
    """
    match policy.WhichOneof("policy"):
        case "drop":
            return NO_RETRY
        case "constant":
            constant = policy.constant
            retries = constant.max_retries if constant.HasField("max_retries") else None
            return RetryPolicy(retries, _interval(constant.interval), DEFAULT_RETRY.counted_from)
    return DEFAULT_RETRY


def _interval(duration: Any) -> timedelta:
    seconds, nanos = duration.seconds, duration.nanos
    # Dapr tries again at once after a negative interval, and so does zero.
    if seconds < 0 or nanos < 0:
        return timedelta()
    # Compared in parts: as one timedelta, the seconds might be too many.
    if nanos > 999_999_999 or (seconds, nanos) > (LONGEST_INTERVAL.days * 86_400, 0):
        raise WakefulError(
            ErrorCode.INVALID_JOB, f"failure_policy: an interval of {seconds} s and {nanos} ns is out of range"
        )
    return timedelta(seconds=seconds, microseconds=nanos // 1000)


async def fields_of(record: JobRecord) -> dict[str, Any]:
    """The fields of a ``Job`` message that shows this job, but its name; the times are the strings that were given.

    Raises:
        ValueError: the data is no JSON that a ``google.protobuf.Value`` can hold.
    """
    job, given = record.job, record.job.schedule.given
    schedule, due_time = given.schedule, given.due_time
    if due_time is None and job.schedule.recurrence is None:
        # A single instant in `schedule` means `dueTime`; and what is read here may be scheduled again.
        schedule, due_time = None, schedule
    fields: dict[str, Any] = {
        "schedule": schedule,
        "due_time": due_time,
        "ttl": given.ttl,
        "repeats": None if given.repeats is None else min(given.repeats, UINT32_MAX),
        "data": None if job.data is None else await packed(job.data),
        "failure_policy": policy_of(job),
    }
    return {name: value for name, value in fields.items() if value is not None}


def policy_of(job: Job) -> Any:
    """The ``JobFailurePolicy`` of a job."""
    if drops(job):
        return common.JobFailurePolicy(drop=common.JobFailurePolicyDrop())
    constant = common.JobFailurePolicyConstant()
    if job.retry.interval:
        seconds, micros = divmod(job.retry.interval // _MICROSECOND, 1_000_000)
        constant.interval.CopyFrom(well_known.Duration(seconds=seconds, nanos=micros * 1000))
    if job.retry.max_retries is not None:
        constant.max_retries = min(job.retry.max_retries, UINT32_MAX)
    return common.JobFailurePolicy(constant=constant)

"""Retries and who is told of their end (S3.14, S3.80–S3.83, S3.88, B3.18, B3.20)."""

import json
from itertools import pairwise
from typing import Any

import pytest

from wakeful.core.ports import JobQuery
from wakeful.core.run import Failed, RunState

pytestmark = pytest.mark.anyio

RETRY = {"max_attempts": 3, "delay_seconds": 60, "backoff_multiplier": 2.0}


async def notices(here: Any) -> list[dict[str, Any]]:
    """What is to be told, and to whom: nobody takes it here."""
    query = JobQuery("default", "system/notify")
    records = (await here.world.scheduler.jobs(query)).items
    assert {record.job.queue for record in records} <= {f"notify/default/{here.config}"}
    return [{"to": record.job.target.address, **json.loads(record.job.data.body)} for record in records]


async def test_s3_14_a_failed_job_without_retry_is_not_tried_again(here: Any, job: Any) -> None:
    here.answers["a"] = Failed("no")
    await here.load(job("a", "0 14 * * *"))
    await here.advance(hours=2)
    (run,) = await here.runs("a")
    assert (run.state, run.attempt) == (RunState.FAILED, 1)


async def test_s3_80_s3_81_retries_come_until_they_are_exhausted_each_later_than_the_one_before(
    here: Any, job: Any
) -> None:
    here.answers["a"] = Failed("no")
    await here.load(job("a", "0 14 * * *", retry=RETRY))
    await here.advance(minutes=10)
    times = [one.at for one in here.delivered]
    assert [round((later - first).total_seconds()) for first, later in pairwise(times)] == [60, 120]
    (run,) = await here.runs("a")
    assert (run.state, run.attempt, run.reason) == (RunState.FAILED, 3, "attempts_exhausted")
    assert (await here.daemon.get_history(1))[0]["error"] == "no"


async def test_s3_82_notification_of_failure_comes_after_the_last_retry_and_at_once_without_one(
    here: Any, job: Any
) -> None:
    here.answers |= {"a": Failed("no"), "b": Failed("no")}
    await here.load(
        job("a", "0 14 * * *", retry=RETRY, notify=["slack:#ops", "memory"]), job("b", "0 14 * * *", notify=["memory"])
    )
    await here.advance(minutes=2)
    assert [(each["job"], each["to"], each["state"]) for each in await notices(here)] == [("b", "memory", "failed")]
    await here.advance(minutes=5)
    told = sorted((each["job"], each["to"], each["attempts"]) for each in await notices(here))
    assert told == [("a", "memory", 3), ("a", "slack:#ops", 3), ("b", "memory", 1)]


async def test_s3_83_b3_18_without_notify_nobody_is_told(here: Any, job: Any) -> None:
    here.answers["a"] = Failed("no")
    await here.load(job("a"), job("b"))
    await here.advance(minutes=3)
    assert await notices(here) == []


async def test_s3_88_successes_are_told_too_unless_only_failures_are_asked_for(here: Any, job: Any) -> None:
    await here.load(
        job("a", "0 14 * * *", notify=["slack"]), job("b", "0 14 * * *", notify=["slack"], notify_on="failure")
    )
    await here.advance(minutes=2)
    assert [(each["job"], each["state"]) for each in await notices(here)] == [("a", "succeeded")]


async def test_b3_39_a_job_that_runs_is_not_begun_again_until_it_ends(here: Any, job: Any) -> None:
    here.takes = {"one": 250, "many": 250, "every": 250}
    await here.load(job("one"), job("many", max_instances=3), job("every", coalesce=False))
    await here.advance(minutes=3, seconds=30)
    assert (here.names().count("one"), here.names().count("many"), here.names().count("every")) == (1, 3, 1)
    await here.advance(minutes=18)
    one, every = here.names().count("one"), here.names().count("every")
    assert one == every
    instants = {
        name: [str(each.claim.run.scheduled_for) for each in here.delivered if each.name == name]
        for name in ("one", "every")
    }
    # The newest of what passed meanwhile; or each, one after the other.
    assert instants["one"][1] > instants["every"][1] == "2026-01-26 14:01:00+00:00"

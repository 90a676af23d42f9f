"""Whom a run's end is told, and what they are told."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import msgspec
import pytest
from msgspec import structs

from wakeful.core.job import Job, JobKey, Notify, NotifyOn, RetryPolicy, TargetSpec
from wakeful.core.notices import OLDEST, OWNER, conclude
from wakeful.core.run import Cause, Failed, Outcome, Rejected, Run, RunState, Skipped, Succeeded, Unavailable
from wakeful.core.schedule import ScheduleText, parse_schedule
from wakeful.zones import load_zone

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
TO = ("slack:#ops", "memory")
RUN = Run(UUID(int=7), 3, 5, Cause.SCHEDULE, NOON, RunState.CLAIMED, "q", run_at=NOON, attempt=1, fence=4)


def a_job(on: NotifyOn | None = NotifyOn.ALWAYS, owner: str = "file/c", retries: int = 0) -> Job:
    return Job(
        JobKey("n", owner, "report"),
        parse_schedule(ScheduleText("@daily"), "crontab", NOON, load_zone),
        TargetSpec("skill", "report"),
        "q",
        retry=RetryPolicy(retries),
        notify=None if on is None else Notify(TO, "notify/n", on),
    )


@pytest.mark.parametrize("on", NotifyOn)
@pytest.mark.parametrize("outcome", [Succeeded(), Failed("no"), Rejected("no"), Skipped("no"), Unavailable("no")])
def test_who_wants_to_hear_of_such_an_end_is_told_of_it(on: NotifyOn, outcome: Outcome) -> None:
    failed = isinstance(outcome, Failed | Rejected)
    told = on is not NotifyOn.SUCCESS if failed else isinstance(outcome, Succeeded) and on is not NotifyOn.FAILURE
    notices = conclude(a_job(on), RUN, outcome, NOON).notices
    assert [notice.target.address for notice in notices] == (list(TO) if told else [])


def test_s3_82_nobody_is_told_while_a_retry_follows() -> None:
    job = a_job(retries=1)
    assert conclude(job, RUN, Failed("no"), NOON).notices == ()
    assert len(conclude(job, structs.replace(RUN, attempt=2), Failed("no"), NOON).notices) == 2


def test_s3_83_without_notify_nothing_is_sent() -> None:
    assert conclude(a_job(None), RUN, Failed("no"), NOON).notices == ()


def test_a_notice_is_a_job_that_is_due_at_once_and_soon_too_old() -> None:
    first, second = conclude(a_job(), RUN, Failed("out of paper", b'{"exit_code":3}'), NOON).notices
    assert (first.key.namespace, first.key.owner, first.queue) == ("n", OWNER, "notify/n")
    assert first.key.name != second.key.name
    assert first.schedule.first_due() == NOON
    assert first.catchup_window == first.retry.max_age == OLDEST == timedelta(hours=1)
    assert first.data is not None
    assert msgspec.json.decode(first.data.body) == {
        "job": "report",
        "owner": "file/c",
        "target": "report",
        "run_id": RUN.id.hex,
        "scheduled_for": "2026-03-02T12:00:00+00:00",
        "ended_at": "2026-03-02T12:00:00+00:00",
        "state": "failed",
        "attempts": 1,
        "error": "out of paper",
        "result": {"exit_code": 3},
    }


def test_nobody_is_told_of_the_telling() -> None:
    assert conclude(a_job(owner=OWNER), RUN, Failed("no"), NOON).notices == ()

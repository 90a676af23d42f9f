"""Who is told of a run that ended: one-shot jobs, made in the transaction that writes its end."""

from datetime import datetime, timedelta
from typing import Any

import msgspec
from msgspec.structs import replace

from wakeful.core.job import Data, Job, JobKey, Notify, NotifyOn, RetryPolicy, TargetSpec
from wakeful.core.run import Outcome, Run, RunState
from wakeful.core.schedule import Schedule, ScheduleText
from wakeful.core.settlement import Settlement, settle

OWNER = "system/notify"
KIND = "notify"
# What is older is of no use to the one who is told.
OLDEST = timedelta(hours=1)
RETRY = RetryPolicy(
    None, timedelta(seconds=5), multiplier=2.0, max_interval=timedelta(minutes=5), jitter=0.2, max_age=OLDEST
)
TIMEOUT = timedelta(minutes=1)
_TOLD = {
    NotifyOn.FAILURE: (RunState.FAILED,),
    NotifyOn.SUCCESS: (RunState.SUCCEEDED,),
    NotifyOn.ALWAYS: (RunState.FAILED, RunState.SUCCEEDED),
}


def is_told(job: Job, state: RunState) -> bool:
    """Whether anybody is told of a run of the job that ends so."""
    # Who is told of a run is not told of the telling.
    return job.notify is not None and state in _TOLD[job.notify.on] and job.key.owner != OWNER


def conclude(job: Job, run: Run, outcome: Outcome, now: datetime) -> Settlement:
    """What became of a claimed run, and the jobs that tell of it: none while it is to be tried again."""
    settlement = settle(run, outcome, job.retry, now)
    told = job.notify
    if told is None or not is_told(job, settlement.state):
        return settlement
    content = Data("json", msgspec.json.encode(_content(job, run, settlement)))
    notices = tuple(_notice(job, told, run, number, content, now) for number in range(len(told.targets)))
    return replace(settlement, notices=notices)


def _content(job: Job, run: Run, settlement: Settlement) -> dict[str, Any]:
    return {
        "job": job.key.name,
        "owner": job.key.owner,
        "target": job.target.address,
        "run_id": run.id.hex,
        "scheduled_for": run.scheduled_for.isoformat(),
        "ended_at": None if settlement.ended_at is None else settlement.ended_at.isoformat(),
        "state": settlement.state.value,
        "attempts": settlement.attempt,
        "error": settlement.error,
        "result": None if settlement.result is None else msgspec.Raw(settlement.result),
    }


def _notice(job: Job, told: Notify, run: Run, number: int, content: Data, now: datetime) -> Job:
    return Job(
        JobKey(job.key.namespace, OWNER, f"{run.id.hex}.{number}"),
        Schedule(None, now, now, None, None, ScheduleText(due_time=now.isoformat()), "crontab"),
        TargetSpec(KIND, told.targets[number]),
        told.queue,
        content,
        RETRY,
        timeout=TIMEOUT,
        catchup_window=OLDEST,
    )

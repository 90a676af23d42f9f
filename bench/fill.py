"""Puts pending one-shots straight into a store: ``fill.py FILE COUNT DUE_US``.

They are due at random between 30 and 60 days from now; and one, ``early``, is due at DUE_US. Prints how long it took.
"""

import asyncio
import os
import random
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import uvloop

from wakeful import zones
from wakeful.core.job import Catchup, CountedFrom, Data, Job, JobKey, Overlap, RetryPolicy, TargetSpec, app_queue
from wakeful.core.ports import Put
from wakeful.core.schedule import ScheduleText, parse_schedule
from wakeful.stores.sqlite import SqliteStore

BATCH = 5_000


def _job(name: str, due: datetime, now: datetime) -> Job:
    """What the Dapr face makes of a one-shot."""
    text = ScheduleText(due_time=due.isoformat().replace("+00:00", "Z"))
    schedule = parse_schedule(text, "dapr", now, zones.load_zone)
    return Job(
        key=JobKey("default", "app/bench", name),
        schedule=schedule,
        target=TargetSpec("app", f"job/{name}"),
        queue=app_queue("default", "bench"),
        data=Data("json", b'"' + b"x" * 198 + b'"'),
        retry=RetryPolicy(counted_from=CountedFrom.DUE),
        overlap=Overlap.QUEUE_ALL,
        catchup=Catchup.ALL,
    )


async def _fill(path: Path, count: int, due_us: int) -> float:
    store = SqliteStore(path, zones.load_zone, os.urandom)
    now, chance = datetime.now(UTC), random.Random(1)
    begin = time.monotonic()
    early = _job("early", datetime.fromtimestamp(due_us // 1_000_000, UTC), now)
    await store.put_job(early, Put.CREATE, now)
    for first in range(0, count, BATCH):
        jobs = []
        for i in range(first, min(count, first + BATCH)):
            jobs.append(_job(f"pending-{i}", now + timedelta(seconds=chance.uniform(30, 60) * 86_400), now))
        await asyncio.gather(*(store.put_job(job, Put.CREATE, now) for job in jobs))
    took = time.monotonic() - begin
    await store.close()
    return took


if __name__ == "__main__":
    print(uvloop.run(_fill(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))), flush=True)

"""One cron job, run once: by the daemon if there is one, else in this process, without anything else being run."""

import asyncio
import logging
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from uuid import UUID

from wakeful.core.errors import ErrorCode, WakefulError
from wakeful.core.job import JobKey
from wakeful.core.notices import is_told
from wakeful.core.ports import Hold
from wakeful.core.run import Run, RunState, Unavailable
from wakeful.cron_config import CronSettings, holder, locked
from wakeful.cron_parts import Parts
from wakeful.faces.cron.daemon import CronDaemon
from wakeful.faces.cron.definitions import NAMESPACE, Place
from wakeful.node import open_scheduler
from wakeful.rooms import opened
from wakeful.scheduler import Scheduler

log = logging.getLogger("wakeful.cron")

# How often a run of another process is looked at.
_LOOK_EVERY_S = 0.1
# A daemon that is started anew is there again after so many looks.
_ALONE = 100
# Above every job's own: what is asked for goes first.
_FIRST = 1_000_000
# A job that sets no time-out has the sink's.
_USUAL_TIMEOUT = timedelta(minutes=10)
_BEYOND_TIMEOUT = timedelta(minutes=1)


async def run_once(settings: CronSettings, name: str, environment: Mapping[str, str]) -> Run:
    """The run, ended, after all attempts that its job allows. Cancelled, it cancels the run.

    Raises:
        ConfigError: a daemon begins or ends at this very moment.
        WakefulError: there is no such job; or another run of it is under way, which this one would have to wait for.
    """
    if holder(settings.lock) is not None:
        async with open_scheduler(settings.store) as scheduler:
            daemon = Parts(settings, scheduler, environment).daemon
            run = await _asked(daemon, scheduler, _key(settings, name))
            return await _followed(scheduler, run, settings.lock)
    with locked(settings.lock):
        async with opened(settings.store) as rooms:
            parts = Parts(settings, rooms.scheduler, environment)
            # The engine stays still: nothing but this run is taken.
            await parts.daemon.start(watch=False)
            try:
                return await _performed(parts, rooms.scheduler, _key(settings, name))
            finally:
                await parts.daemon.stop()


def _key(settings: CronSettings, name: str) -> JobKey:
    return JobKey(NAMESPACE, Place.of(str(settings.config)).owner, name)


async def _followed(scheduler: Scheduler, run: UUID, lock: Path) -> Run:
    alone = 0
    try:
        while not (now := await _there(scheduler, run)).state.ended:
            await asyncio.sleep(_LOOK_EVERY_S)
            alone = alone + 1 if holder(lock) is None else 0
            if alone > _ALONE:
                why = f"the daemon ended: the next one performs run {run.hex}"
                raise WakefulError(ErrorCode.STORE_UNAVAILABLE, why)
    except asyncio.CancelledError:
        await scheduler.cancel(run)
        raise
    return now


async def _asked(daemon: CronDaemon, scheduler: Scheduler, key: JobKey) -> UUID:
    try:
        return await scheduler.run_now(key)
    except WakefulError as error:
        if error.code is not ErrorCode.JOB_NOT_FOUND:
            raise
        # The file knows whether there was one.
        await daemon.look()
        raise WakefulError(error.code, daemon.absent(key.name)) from None


async def _performed(parts: Parts, scheduler: Scheduler, key: JobKey) -> Run:
    run = await _asked(parts.daemon, scheduler, key)
    record = await scheduler.get(key)
    timeout = record.job.timeout if record is not None else None
    try:
        await scheduler.prioritise(run, _FIRST)
        while not (now := await _there(scheduler, run)).state.ended:
            if now.state is RunState.BLOCKED:
                raise WakefulError(
                    ErrorCode.INVALID_JOB, f"another run of {key.name!r} waits; it is the daemon's to end"
                )
            wait = (now.run_at or scheduler.now()) - scheduler.now()
            await asyncio.sleep(max(_LOOK_EVERY_S if now.attempt else 0.0, wait.total_seconds()))
            await _attempt(parts, scheduler, now, (timeout or _USUAL_TIMEOUT) + _BEYOND_TIMEOUT)
    except BaseException:
        await _forget(scheduler, run)
        raise
    if record is not None and record.job.notify is not None and is_told(record.job, now.state):
        targets = ", ".join(record.job.notify.targets)
        log.info("%s is told of it by the next daemon, if that runs within the hour", targets)
    return now


async def _attempt(parts: Parts, scheduler: Scheduler, run: Run, lease: timedelta) -> None:
    """One attempt, if the run can be had now."""
    hold = Hold("wakeful cron", lease, limit=1)
    for claim in await scheduler.claim(hold, {run.queue: 1}, timedelta(0)):
        if claim.run.id != run.id:
            await scheduler.report(claim.run, Unavailable("another run was asked for"), claim.job)
            continue
        await scheduler.report(claim.run, await parts.sink.deliver(claim), claim.job)


async def _forget(scheduler: Scheduler, run: UUID) -> None:
    try:
        await scheduler.cancel(run)
    except WakefulError as error:
        if error.code is not ErrorCode.RUN_NOT_FOUND:
            raise


async def _there(scheduler: Scheduler, run: UUID) -> Run:
    found = await scheduler.run(run)
    if found is None:
        raise WakefulError(ErrorCode.RUN_NOT_FOUND, f"run {run} is gone: history is kept for a bounded time")
    return found

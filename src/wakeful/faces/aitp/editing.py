"""Changes of jobs that others may change at the same time: read, changed, put, and again if it was stale."""

from collections.abc import Awaitable, Callable

from wakeful.core.errors import ErrorCode, WakefulError
from wakeful.core.job import Job, JobRecord
from wakeful.core.ports import Put
from wakeful.faces.aitp.errors import Refused
from wakeful.scheduler import Scheduler

# With each turn one of those who change the same job gets through.
_TRIES = 10


async def edited(
    scheduler: Scheduler, read: Callable[[], Awaitable[JobRecord]], change: Callable[[Job], Job]
) -> JobRecord:
    """The job with the change, as it is stored.

    Raises:
        Refused: 409: others were faster, each time.
    """
    for _ in range(_TRIES):
        record = await read()
        try:
            return await scheduler.put(change(record.job), Put.EDIT, scheduler.now(), record.revision)
        except WakefulError as error:
            # Of a job that has ended meanwhile, the next reading says so.
            if error.code not in (ErrorCode.STALE_REVISION, ErrorCode.JOB_NOT_FOUND):
                raise
    raise Refused(409, "it is being changed by others: try again")

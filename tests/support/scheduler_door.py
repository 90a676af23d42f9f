"""The Scheduler service over a real store and engine, on a free port; and sidecars that watch it."""

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
import grpc.aio

from wakeful.clock import SystemClock
from wakeful.core.job import JobKey
from wakeful.core.ports import Put, RunQuery
from wakeful.core.run import Run
from wakeful.engine import Engine, Limits
from wakeful.faces.dapr.grpc_server import GrpcServer
from wakeful.faces.dapr.hosts import Hosts
from wakeful.faces.dapr.scheduler_metrics import SchedulerMetrics
from wakeful.faces.dapr.scheduler_service import SCHEDULER, scheduler_service
from wakeful.faces.dapr.watch import Watch
from wakeful.protos import common, well_known
from wakeful.protos import scheduler as messages
from wakeful.scheduler import Scheduler
from wakeful.stores.sqlite import SqliteStore
from wakeful.zones import load_zone

DEADLINE_S = 10.0
# What nothing happens in, when nothing is to happen: no test waits for it that could wait for something.
QUIET_S = 0.3
_ANSWERS = {
    "ScheduleJob": messages.ScheduleJobResponse,
    "GetJob": messages.GetJobResponse,
    "DeleteJob": messages.DeleteJobResponse,
    "ListJobs": messages.ListJobsResponse,
    "DeleteByMetadata": messages.DeleteByMetadataResponse,
    "DeleteByNamePrefix": messages.DeleteByNamePrefixResponse,
}
# Tried again at once, without end.
AT_ONCE = common.JobFailurePolicy(constant=common.JobFailurePolicyConstant())
DROP = common.JobFailurePolicy(drop=common.JobFailurePolicyDrop())


def of_app(app_id: str = "app", namespace: str = "default") -> Any:
    """The metadata of an app's jobs."""
    target = messages.JobTargetMetadata(job=messages.TargetJob())
    return messages.JobMetadata(app_id=app_id, namespace=namespace, target=target)


def of_actor(actor_type: str = "T", actor_id: str = "", app_id: str = "app", **more: Any) -> Any:
    """The metadata of an actor's reminders, or of those of a type."""
    actor = messages.TargetActorReminder(type=actor_type, id=actor_id)
    target = messages.JobTargetMetadata(actor=actor)
    return messages.JobMetadata(app_id=app_id, namespace="default", target=target, **more)


def limit(actor_type: str, most: int, name: str | None = None) -> Any:
    """A limit as a stream declares it."""
    return messages.ConcurrencyLimit(
        max_concurrent=most, name=name, actor=messages.ConcurrencyLimitActor(type=actor_type)
    )


async def until(condition: Callable[[], bool | Awaitable[bool]], what: str, deadline_s: float = DEADLINE_S) -> None:
    """Returns once the condition holds."""
    async with asyncio.timeout(deadline_s):
        while True:
            holds = condition()
            if await holds if isinstance(holds, Awaitable) else holds:
                return
            await asyncio.sleep(0.01)
    raise AssertionError(what)


class Sidecar:
    """One stream, on a connection of its own."""

    def __init__(self, port: int, **initial: Any) -> None:
        self._channel = grpc.aio.insecure_channel(f"127.0.0.1:{port}")
        self.call = self._channel.stream_stream(f"/{SCHEDULER}/WatchJobs")()
        self._initial = initial
        self.closed = False
        self._reading: asyncio.Future[Any] | None = None

    async def begin(self) -> "Sidecar":
        await self.send(initial=messages.WatchJobsRequestInitial(**self._initial))
        return self

    async def send(self, **request: Any) -> None:
        await self.call.write(messages.WatchJobsRequest(**request).SerializeToString())

    async def next(self, deadline_s: float = DEADLINE_S) -> Any:
        """The next run that it is sent."""
        # A read that is cut off would end the call.
        if self._reading is None:
            self._reading = asyncio.ensure_future(self.call.read())
        message = await asyncio.wait_for(asyncio.shield(self._reading), deadline_s)
        self._reading = None
        assert message is not grpc.aio.EOF, await self.call.code()
        return messages.WatchJobsResponse.FromString(message)

    async def several(self, count: int) -> list[Any]:
        return [await self.next() for _ in range(count)]

    async def answer(self, number: int, status: int = 0) -> None:
        """0 is success, 1 is failure."""
        await self.send(result=messages.WatchJobsRequestResult(id=number, status=status))

    async def answer_all(self, seen: list[str]) -> None:
        """Answers whatever comes, until it is ended; the names go into ``seen``."""
        while (message := await self.call.read()) is not grpc.aio.EOF:
            run = messages.WatchJobsResponse.FromString(message)
            seen.append(run.name)
            await self.answer(run.id)

    async def ended(self) -> tuple[str, str]:
        """The code and the text with which the server ends it."""
        async with asyncio.timeout(DEADLINE_S):
            code = await self.call.code()
        return code.name, await self.call.details()

    async def close(self) -> None:
        """Ends it without a word, as a process that dies does."""
        self.closed = True
        self.call.cancel()
        await self._channel.close()


class SchedulerDoor:
    """One scheduler, and the sidecars that watch it."""

    def __init__(self, path: Path, token: str | None = None) -> None:
        self.store = SqliteStore(path, load_zone, os.urandom)
        clock, self.metrics, self.hosts = SystemClock(), SchedulerMetrics(), Hosts()
        self.engine = Engine(self.store, clock, os.urandom, "test", Limits(most_running=20_000))
        self.scheduler = Scheduler(self.store, clock, os.urandom, self.engine, records=self.store.records)
        self.hosts.enter("127.0.0.1:1")
        self.hosts.update(())
        self.watch = Watch(self.scheduler, self.hosts, self.metrics, token)
        service = scheduler_service(self.scheduler, load_zone, self.metrics, self.watch)
        self.server = GrpcServer([service], token)
        self.sidecars: list[Sidecar] = []
        self.port = 0

    async def start(self) -> None:
        self.port = await self.server.start("127.0.0.1", 0)
        self.channel = grpc.aio.insecure_channel(f"127.0.0.1:{self.port}")
        self.engine.start()

    async def close(self) -> None:
        for sidecar in self.sidecars:
            await sidecar.close()
        # gRPC has one queue of events for all loops: what is still to come must find this one open.
        await asyncio.gather(*_TASKS, return_exceptions=True)
        await until(lambda: not self.metrics.connected, "the streams' end on this side")
        await self.channel.close()
        self.watch.close()
        await self.server.stop(0)
        await self.engine.stop(timedelta(0))
        await self.store.close()

    # ── asking ──

    async def call(self, method: str, deadline_s: float = DEADLINE_S, **fields: Any) -> Any:
        """Calls a method with a request of these fields."""
        request = getattr(messages, f"{method}Request")(**fields)
        answer = await self.channel.unary_unary(f"/{SCHEDULER}/{method}")(
            request.SerializeToString(), timeout=deadline_s
        )
        return _ANSWERS[method].FromString(answer)

    async def refused(self, method: str, **fields: Any) -> tuple[str, str]:
        """The code and the text of a call that fails."""
        try:
            answer = await self.call(method, **fields)
        except grpc.aio.AioRpcError as error:
            return error.code().name, error.details() or ""
        raise AssertionError(f"it did not fail: {answer}")

    async def schedule(self, name: str, metadata: Any = None, *, overwrite: bool = False, **job: Any) -> None:
        """Schedules a job, due now unless told otherwise."""
        if not job.keys() & {"schedule", "due_time"}:
            job["due_time"] = "0s"
        fields = {"name": name, "job": messages.Job(**job), "metadata": metadata or of_app(), "overwrite": overwrite}
        await self.call("ScheduleJob", **fields)

    async def names(self, metadata: Any) -> list[str]:
        """The names of a target's jobs."""
        return [job.name for job in (await self.call("ListJobs", metadata=metadata)).jobs]

    # ── watching ──

    async def sidecar(self, app_id: str = "app", **initial: Any) -> Sidecar:
        """A stream that the engine knows of."""
        sidecar = Sidecar(self.port, app_id=app_id, namespace=initial.pop("namespace", "default"), **initial)
        self.sidecars.append(sidecar)
        await sidecar.begin()
        # Those that were closed are gone first: the server learns of it a little later.
        alive = sum(not each.closed for each in self.sidecars)
        await until(lambda: self.metrics.connected == alive, "the stream to be open")
        return sidecar

    async def runs(self, name: str, owner: str = "app/app") -> Sequence[Run]:
        """What became of a job, newest first."""
        return (await self.scheduler.runs(RunQuery(key=JobKey("default", owner, name)))).items


@asynccontextmanager
async def scheduler_door(path: Path, token: str | None = None) -> AsyncIterator[SchedulerDoor]:
    """A scheduler for the time of the block."""
    door = SchedulerDoor(path, token)
    await door.start()
    try:
        yield door
    finally:
        await door.close()


def value(number: int) -> Any:
    """An ``Any`` that is no JSON."""
    packed = well_known.Int32Value(value=number).SerializeToString()
    return well_known.Any(type_url="type.googleapis.com/google.protobuf.Int32Value", value=packed)


_TASKS: set["asyncio.Task[None]"] = set()


def answering(sidecar: Sidecar) -> list[str]:
    """Answers whatever the sidecar is sent; the names, as they come."""
    seen: list[str] = []
    task = asyncio.create_task(sidecar.answer_all(seen))
    _TASKS.add(task)
    task.add_done_callback(_TASKS.discard)
    task.add_done_callback(lambda done: done.cancelled() or done.exception())
    return seen


async def nothing_for(*sidecars: Sidecar) -> None:
    """Nothing comes in a while in which anything else would have."""
    for sidecar in sidecars:
        with suppress(TimeoutError):
            raise AssertionError(f"it was sent {await sidecar.next(QUIET_S)}")


async def settled(
    door: SchedulerDoor, name: str, state: str = "succeeded", attempts: int = 1, owner: str = "app/app"
) -> None:
    """Returns once the newest run of a job has come to this."""
    runs: Sequence[Run] = ()

    async def so() -> bool:
        nonlocal runs
        runs = await door.runs(name, owner)
        return bool(runs) and (runs[0].state.value, runs[0].attempt) == (state, attempts)

    try:
        await until(so, name)
    except TimeoutError:
        raise AssertionError(f"{name} is not {state} after {attempts}: {runs}") from None


async def change(door: SchedulerDoor, name: str, **fields: Any) -> None:
    """Changes what Dapr's API can't say of a job, and runs it now."""
    key = JobKey("default", "app/app", name)
    record = await door.scheduler.get(key)
    assert record is not None
    await door.scheduler.put(replace(record.job, **fields), Put.REPLACE, door.scheduler.now())
    await door.scheduler.run_now(key)

"""The load on a Scheduler service: callers that schedule, and streams that answer whatever they are sent.

Run as a process with one JSON argument; prints one JSON line. ``kind`` says what it does:

- ``schedule``: jobs due in a day by ``callers`` at a time, for ``seconds`` after ``warm_s``.
- ``at``: ``count`` one-shots due at ``start_us``.
- ``watch``: ``streams`` of one app, until ``count`` runs came; a line ``ready`` first, once all are open.
"""

import asyncio
import gc
import json
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import grpc.aio
import uvloop
from generator import DATA, instant

from wakeful.protos import scheduler as messages
from wakeful.protos import well_known

SERVICE = "/dapr.proto.scheduler.v1.Scheduler"
_TARGET = messages.JobTargetMetadata(job=messages.TargetJob())
METADATA = messages.JobMetadata(app_id="bench", namespace="default", target=_TARGET)


def _job(name: str, due_time: str) -> bytes:
    value = well_known.Value(string_value=DATA).SerializeToString()
    data = well_known.Any(type_url="type.googleapis.com/google.protobuf.Value", value=value)
    job = messages.Job(due_time=due_time, data=data)
    encoded: bytes = messages.ScheduleJobRequest(name=name, job=job, metadata=METADATA).SerializeToString()
    return encoded


def _requests(spec: dict[str, Any]) -> Iterator[bytes]:
    due = instant(spec["start_us"]) if spec["kind"] == "at" else "24h"
    return (_job(f"{spec['prefix']}-{i}", due) for i in range(spec.get("count", 1 << 40)))


def _summary(latencies_ns: list[int], seconds: float) -> dict[str, Any]:
    ordered = sorted(latencies_ns)
    at = [ordered[min(len(ordered) - 1, int(part * len(ordered)))] / 1e6 if ordered else 0.0 for part in (0.5, 0.99)]
    return {"rate": len(ordered) / max(seconds, 1e-6), "p50_ms": at[0], "p99_ms": at[1], "errors": 0}


async def schedule(spec: dict[str, Any]) -> dict[str, Any]:
    """Callers that each wait for their answer."""
    requests = _requests(spec)
    latencies: list[int] = []
    begin = time.perf_counter_ns() + int(spec.get("warm_s", 0) * 1e9)
    end = begin + int(spec.get("seconds", 1e6) * 1e9)

    async def caller(call: Any) -> None:
        while (sent := time.perf_counter_ns()) < end and (request := next(requests, None)) is not None:
            await call(request)
            if sent >= begin:
                latencies.append(time.perf_counter_ns() - sent)

    async with grpc.aio.insecure_channel(f"127.0.0.1:{spec['port']}") as channel:
        call = channel.unary_unary(f"{SERVICE}/ScheduleJob")
        await asyncio.gather(*(caller(call) for _ in range(spec["callers"])))
    ended = min(end, time.perf_counter_ns())
    return {**_summary(latencies, (ended - begin) / 1e9), "ended_us": time.time_ns() // 1000}


async def watch(spec: dict[str, Any]) -> dict[str, Any]:
    """Streams that read, answer, and keep when each job came."""
    arrivals: dict[str, int] = {}
    again = 0
    done = asyncio.Event()
    initial = messages.WatchJobsRequestInitial(app_id="bench", namespace="default", accept_job_types=[0])

    async def stream(call: Any) -> None:
        nonlocal again
        while (message := await call.read()) is not grpc.aio.EOF:
            trigger = messages.WatchJobsResponse.FromString(message)
            result = messages.WatchJobsRequestResult(id=trigger.id)
            await call.write(messages.WatchJobsRequest(result=result).SerializeToString())
            again += trigger.name in arrivals
            arrivals.setdefault(trigger.name, time.time_ns() // 1000)
            if len(arrivals) >= spec["count"]:
                done.set()

    async with grpc.aio.insecure_channel(f"127.0.0.1:{spec['port']}") as channel:
        method = channel.stream_stream(f"{SERVICE}/WatchJobs")
        calls = [method() for _ in range(spec["streams"])]
        for call in calls:
            await call.write(messages.WatchJobsRequest(initial=initial).SerializeToString())
        print("ready", flush=True)
        tasks = [asyncio.create_task(stream(call)) for call in calls]
        with suppress(TimeoutError):
            await asyncio.wait_for(done.wait(), spec["limit_s"])
        # What comes twice comes soon, and the last answers are still on their way.
        await asyncio.sleep(spec.get("after_s", 0.5))
        for task in tasks:
            task.cancel()
    times = sorted(arrivals.values())
    return {"came": len(arrivals), "again": again, "first_us": times[0], "last_us": times[-1], "times_us": times}


async def _run(spec: dict[str, Any]) -> dict[str, Any]:
    gc.disable()
    return await (watch(spec) if spec["kind"] == "watch" else schedule(spec))


if __name__ == "__main__":
    print(json.dumps(uvloop.run(_run(json.loads(sys.argv[1])))), flush=True)

"""A Scheduler service without a scheduler: answers at once, and sends ``COUNT`` runs over its streams from memory.

What the load generator gets here, it can at most get anywhere. ``grpc_null.py COUNT STREAMS``; prints its port.
"""

import asyncio
import sys
from typing import Any

import grpc
import grpc.aio
import uvloop
from grpc_generator import METADATA

from wakeful.protos import scheduler as messages

# As many without an answer as wakeful allows a stream.
_ROOM = 256


async def _schedule(_: bytes, __: object) -> bytes:
    return b""


def _watch(count: int, streams: int) -> Any:
    names = iter(range(count))
    opened: list[object] = []
    all_there = asyncio.Event()

    async def watch(_: object, context: Any) -> None:
        await context.read()
        opened.append(context)
        if len(opened) == streams:
            all_there.set()
        await all_there.wait()
        # Until its reader is ready.
        await asyncio.sleep(0.3)
        room = asyncio.Semaphore(_ROOM)

        async def read() -> None:
            while await context.read() is not grpc.aio.EOF:
                room.release()

        reading = asyncio.create_task(read())
        for number, i in enumerate(names, 1):
            await room.acquire()
            trigger = messages.WatchJobsResponse(name=f"burst-{i}", id=number, metadata=METADATA)
            await context.write(trigger.SerializeToString())
        await reading

    return watch


async def _serve(count: int, streams: int) -> None:
    server = grpc.aio.server()
    handlers = {
        "ScheduleJob": grpc.unary_unary_rpc_method_handler(_schedule),
        "WatchJobs": grpc.stream_stream_rpc_method_handler(_watch(count, streams)),
    }
    generic = grpc.method_handlers_generic_handler("dapr.proto.scheduler.v1.Scheduler", handlers)
    server.add_generic_rpc_handlers((generic,))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    print(port, flush=True)
    await server.wait_for_termination()


if __name__ == "__main__":
    uvloop.run(_serve(int(sys.argv[1]), int(sys.argv[2])))

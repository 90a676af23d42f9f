"""PGQueuer: ``with_pgqueuer.py DSN PORT COMMAND ARGUMENT…``; see ../compare.py for the commands."""

import asyncio
import json
import signal
import sys
import time
from datetime import timedelta

import asyncpg
import uvloop
from pgqueuer import PgQueuer
from pgqueuer.db import AsyncpgPoolDriver
from pgqueuer.models import Job, Schedule
from pgqueuer.queries import Queries
from post import DATA, Pool, rate_of_tasks

BATCH = 500


def _payload(name: str, due_us: int) -> bytes:
    return json.dumps({"name": name, "due_us": due_us, "data": DATA}).encode()


def _in(due_us: int) -> timedelta:
    return timedelta(seconds=due_us / 1e6 - time.time())


async def _create(queries: Queries, count: int, due_us: int) -> str:
    begin = time.monotonic()
    for first in range(0, count, 1000):
        names = [f"burst-{i}" for i in range(first, min(count, first + 1000))]
        payloads: list[bytes | None] = [_payload(name, due_us) for name in names]
        size = len(names)
        await queries.enqueue(["once"] * size, payloads, [0] * size, [_in(due_us)] * size)
    return json.dumps({"seconds": time.monotonic() - begin})


async def _work(pool: asyncpg.Pool, port: int, recurring: int) -> None:
    pgq, far_side = PgQueuer.from_asyncpg_pool(pool), Pool(port)

    @pgq.entrypoint("once")
    async def once(job: Job) -> None:
        told = json.loads(job.payload or b"{}")
        await far_side.post(told["name"], told["due_us"])

    for i in range(recurring):

        async def each(schedule: Schedule) -> None:
            # Its own instant is not told: the whole second at which it began is taken for it.
            await far_side.post(schedule.entrypoint, int(time.time()) * 1_000_000)

        pgq.schedule(f"each-{i}", "* * * * * *")(each)
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, pgq.shutdown.set)
    print("ready", flush=True)
    await pgq.run(batch_size=BATCH)


async def _main() -> None:
    dsn, port, command, *rest = sys.argv[1:]
    numbers = [float(text) for text in rest]
    async with asyncpg.create_pool(dsn, min_size=4, max_size=16) as pool:
        queries = Queries(AsyncpgPoolDriver(pool))
        if command == "setup":
            await pool.execute("DROP SCHEMA public CASCADE")
            await pool.execute("CREATE SCHEMA public")
            await queries.install()
        elif command == "rate":
            due_us = int((time.time() + 86_400) * 1e6)

            async def add(number: int) -> None:
                await queries.enqueue("once", _payload(f"far-{number}", due_us), 0, _in(due_us))

            print(await rate_of_tasks(add, int(numbers[0]), numbers[1]), flush=True)
        elif command == "create":
            print(await _create(queries, int(numbers[0]), int(numbers[1])), flush=True)
        elif command == "work":
            await _work(pool, int(port), 0)
        elif command == "recur":
            await _work(pool, int(port), int(numbers[0]))


if __name__ == "__main__":
    uvloop.run(_main())

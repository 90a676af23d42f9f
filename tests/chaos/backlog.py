"""Backlogs: what waits in the file before any node is there, and the watch over those beside it."""

import asyncio
import os
import subprocess
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from chaos.world import World, api, health, rss_mib
from support.judge import DONE, Call, S, now_us, seconds
from support.processes import Wakeful
from support.receiver import EPOCH, US, Arrival, Receiver
from support.stores import LIKE_DAPR, a_job, key
from wakeful.core.job import Job, TargetSpec, app_queue
from wakeful.core.ports import Put
from wakeful.stores.sqlite import SqliteStore
from wakeful.zones import load_zone

AT_A_TIME = 2_000
# An answered callback has left so many in the ledger: it came, it is being answered, it was.
LINES = 3


def in_us(at: datetime) -> int:
    return (at - EPOCH) // US


def a_jobs_app(app_id: str, name: str, received: datetime, schedule: str | None, due: str | None) -> Job:
    """The job that the Dapr face would have made of it, had it been asked at ``received``."""
    return a_job(
        key(name, owner=f"app/{app_id}"),
        schedule,
        due=due,
        now=received,
        target=TargetSpec("app", f"job/{name}", {}),
        queue=app_queue("default", app_id),
        **LIKE_DAPR,
    )


async def store_all(world: World, jobs: Iterable[Job], received: datetime) -> None:
    """Stores jobs as a node would have, long ago."""
    store = SqliteStore(world.file, load_zone, os.urandom)
    batch: list[Job] = []

    async def write() -> None:
        await asyncio.gather(*(store.put_job(job, Put.CREATE, received) for job in batch))
        batch.clear()

    for job in jobs:
        batch.append(job)
        if len(batch) == AT_A_TIME:
            await write()
    await write()
    await store.close()


def away_for(world: World, app_id: str, name: str, how_long: timedelta) -> int:
    """An ``@every 1s`` job of an app that has been away for so long; its first instant."""
    received = datetime.now(UTC) - how_long
    asyncio.run(store_all(world, [a_jobs_app(app_id, name, received, "@every 1s", None)], received))
    first = in_us(received) + S
    world.journal.add(Call("put", name, first - S, first - S, DONE, first, S, 1 << 40))
    return first


def overdue(world: World, app_id: str, count: int) -> None:
    """So many one-shots, all due an hour ago."""
    received = datetime.now(UTC) - timedelta(hours=2)
    due = received + timedelta(hours=1)
    jobs = (a_jobs_app(app_id, f"{app_id}-{n}", received, None, due.isoformat()) for n in range(count))
    asyncio.run(store_all(world, jobs, received))
    at = in_us(received)
    world.journal.calls += [Call("put", f"{app_id}-{n}", at, at, DONE, in_us(due)) for n in range(count)]


def beside(world: World, node: Wakeful, for_s: float, prefix: str = "beside") -> None:
    """Ten jobs of another app, each due twice a second for so long."""
    with api(node) as client:
        start = now_us() + S // 2
        for number in range(10):
            first = start + number * S // 20
            count = int(seconds(for_s) // (S // 2))
            assert world.journal.put(client, f"{prefix}-{number}", first, every_us=S // 2, count=count) == DONE


@dataclass
class Watch:
    """Looks at nodes twice a second: their memory, their slots, their health."""

    nodes: Sequence[Wakeful]
    rss: list[float] = field(default_factory=list)
    in_flight: list[int] = field(default_factory=list)
    red: list[str] = field(default_factory=list)

    def look(self) -> None:
        self.rss.append(sum(rss_mib(node) for node in self.nodes))
        states = [health(node) for node in self.nodes]
        self.in_flight.append(sum(int(said.get("in_flight", 0)) for _, said in states))
        self.red += [f"{status} {said['reason']}" for status, said in states if status != 200]

    def look_for(self, how_long_s: float) -> None:
        end = time.monotonic() + how_long_s
        while time.monotonic() < end:
            self.look()
            time.sleep(0.5)

    def __str__(self) -> str:
        return (
            f"{self.rss[0]:.0f} to {max(self.rss):.0f} MiB, {self.growth_mib:+.1f} when warm; "
            f"at most {max(self.in_flight)} in flight"
        )

    @property
    def growth_mib(self) -> float:
        """From the end of the first quarter, when caches are warm, to the last look."""
        return self.rss[-1] - self.rss[len(self.rss) // 4]


def drained(receiver: Receiver, count: int, watch: Watch, deadline_s: float) -> None:
    """Watches until so many callbacks have come, by the length of the ledger; the judge reads it afterwards."""
    end = time.monotonic() + deadline_s
    while (lines := int(subprocess.check_output(["wc", "-l", receiver.ledger]).split()[0])) < LINES * count:
        assert time.monotonic() < end, f"{lines // LINES} of {count} in {deadline_s:g} s"
        watch.look_for(0.5 if count < 200_000 else 3)


def lateness_of(arrivals: Iterable[Arrival], prefix: str) -> list[float]:
    """Seconds, sorted, of the first attempts."""
    return sorted((a.at - a.due) / S for a in arrivals if a.job.startswith(prefix) and a.attempt == 1)


def p99(values: Sequence[float]) -> float:
    return values[int(len(values) * 0.99)]

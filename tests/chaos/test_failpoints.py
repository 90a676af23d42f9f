"""A crash at every commit boundary, and between the steps of a run: each is one node that dies there under load."""

import asyncio
import os
import signal
from datetime import UTC, datetime, timedelta

import pytest

from chaos.world import TAKEN_OVER_S, Load, World, ready_s, seeded, sound
from support.judge import S, now_us
from support.processes import Wakeful, eventually, free_port
from support.stores import a_job, finish, key, take
from wakeful.core.ports import Put
from wakeful.stores.sqlite import SqliteStore
from wakeful.zones import load_zone

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

BOUNDARIES = ("before_begin", "before_commit", "after_commit")
MIGRATION = ("migration.before_begin", "migration.in_script", "migration.before_commit", "migration.after_commit")
WRITES = [
    f"{work}.{where}:{number}"
    for work, number in (("put_jobs", 9), ("claim", 12), ("settle_runs", 7), ("heartbeat", 2), ("prune", 1))
    for where in BOUNDARIES
]
DELIVERIES = [
    "HttpApp.deliver.before:15",
    "HttpApp.deliver.after:15",
    "Engine._settle_now.before:15",
    "Engine._settle_now.after:15",
    "end_jobs.before_commit:2",
    "end_jobs.after_commit:2",
]
LEAVING = ("leave.before_begin", "leave.before_commit", "leave.after_commit")


def dies(world: World, node: Wakeful, point: str) -> None:
    code = node.exit_code()
    world.journal.fault(now_us())
    assert code == -signal.SIGKILL, f"{point}: ended with {code}\n{node.err}"
    assert f"failpoint {point.partition(':')[0]}: kill" in node.err


async def _long_ago(world: World) -> None:
    """Runs so old that pruning removes them."""
    then = datetime.now(UTC) - timedelta(days=40)
    store = SqliteStore(world.file, load_zone, os.urandom)
    for number in range(20):
        await store.put_job(a_job(key(f"old-{number}", owner="app/app"), now=then), Put.CREATE, then)
    for claim in await take(store, then, 100):
        await finish(store, claim, then)
    await store.close()


def test_a_crash_in_the_first_migration_leaves_a_file_that_the_next_node_opens(world: World) -> None:
    for point in MIGRATION:
        dies(world, world.node(failpoint=f"{point}:1:kill"), point)
    assert ready_s(world.node()) < 3
    assert sound(world.file)


def test_a_crash_at_any_commit_of_any_kind_loses_nothing(world: World) -> None:
    asyncio.run(_long_ago(world))
    crashes(world, WRITES)


def test_a_crash_between_the_steps_of_a_run_loses_nothing(world: World) -> None:
    crashes(world, DELIVERIES)


def crashes(world: World, points: list[str]) -> None:
    rng = seeded()
    rng.shuffle(points := list(points))
    receiver, http_port = world.receiver(), free_port()
    with Load(world.journal, lambda: (http_port,), rng, 200):
        for point in points:
            dies(world, world.node(receiver, failpoint=f"{point}:kill", http_port=http_port), point)
        node = world.node(receiver, http_port=http_port).wait_ready()
        eventually(lambda: len(world.journal.acknowledged()) > 300, "load")
    verdict = world.quiet(TAKEN_OVER_S + 15, now_us() + 3 * S)
    print(f"{len(points)} crashes: {verdict}")
    world.in_flight_is_zero(node)
    verdict.assert_clean()
    assert node.end() == 0
    assert sound(world.file)


def test_a_crash_while_leaving_loses_nothing(world: World) -> None:
    receiver, http_port = world.receiver(), free_port()
    with Load(world.journal, lambda: (http_port,), seeded(), 100):
        for point in LEAVING:
            node = world.node(receiver, failpoint=f"{point}:1:kill", http_port=http_port).wait_ready()
            before = len(receiver.arrivals())
            eventually(lambda before=before: len(receiver.arrivals()) > before, "runs")
            node.process.send_signal(signal.SIGTERM)
            dies(world, node, point)
        world.node(receiver, http_port=http_port).wait_ready()
    verdict = world.quiet(TAKEN_OVER_S + 15, now_us() + 3 * S)
    print(f"3 crashes while leaving: {verdict}")
    verdict.assert_clean()

"""Health means claims on time; a store that is away for a while, or a part that breaks, loses nothing."""

import asyncio
import os
from datetime import timedelta

import pytest

from engine.scripted import Cluster, Member, ScriptedSink
from support.clock import VirtualClock
from support.stores import LIKE_DAPR, NOON, QUEUE, a_job, ms, s
from wakeful.clock import SystemClock
from wakeful.core.job import RetryPolicy
from wakeful.core.ports import Put
from wakeful.core.run import RunState
from wakeful.engine.engine import Engine

pytestmark = pytest.mark.anyio


# ── health ──


async def test_an_idle_node_is_healthy(node: Member, clock: VirtualClock) -> None:
    node.sink()
    await clock.advance(30)

    health = node.engine.health()
    assert (health.ok, health.reason) == (True, "")
    assert health.details["queues"] == [QUEUE]
    assert health.details["in_flight"] == 0


async def test_an_engine_that_was_not_started_or_has_stopped_is_not_healthy(
    cluster: Cluster, clock: VirtualClock
) -> None:
    node = cluster.node()
    await node.stop()
    assert not node.engine.health().ok


async def test_a_slow_app_does_not_make_a_node_ill(node: Member, clock: VirtualClock) -> None:
    sink = node.sink(limit=2)
    sink.hold()
    await node.put(*(a_job(f"job-{number}", "@every 1s") for number in range(5)))

    await clock.advance(60)

    assert node.engine.health().ok
    assert node.engine.health().details["in_flight"] == 2


async def test_a_job_whose_app_is_absent_does_not_make_a_node_ill(node: Member, clock: VirtualClock) -> None:
    node.sink("app/default/b")
    await node.put(a_job("waits", "@every 1s"))
    await clock.advance(60)
    assert node.engine.health().ok


@pytest.mark.parametrize("method", ["claim_due", "heartbeat"])
async def test_health_turns_red_when_claim_turns_stop_completing(
    node: Member, clock: VirtualClock, method: str
) -> None:
    sink = node.sink()
    await clock.advance(1)
    go_on = asyncio.Event()
    node.store.before[method] = go_on.wait
    await clock.advance(3)
    assert node.engine.health().ok

    await clock.advance(6)
    health = node.engine.health()
    assert not health.ok
    assert "claim turn" in health.reason

    go_on.set()
    await node.put(a_job(now=clock.now()))
    await clock.until(lambda: sink.given and node.engine.health().ok, trickle=ms(50))


@pytest.mark.parametrize("part", ["claim_due", "heartbeat", "settle", "prune", "changes"])
async def test_health_is_red_while_a_part_of_the_engine_keeps_raising_and_green_again_after(
    cluster: Cluster, clock: VirtualClock, part: str
) -> None:
    node = cluster.node()
    # What the part does on start-up is over only after its first await: the fault comes before it.
    node.store.fail(part, error=ValueError("a bug"))
    sink = node.sink()
    await node.put(a_job())
    await clock.until(lambda: not node.engine.health().ok, trickle=ms(50))
    assert "ValueError: a bug" in node.engine.health().reason

    node.store.heal()
    await clock.until(lambda: node.engine.health().ok, trickle=ms(50))
    await clock.until(lambda: sink.given, trickle=ms(50))


# ── a store that is away ──


@pytest.mark.parametrize("methods", [("claim_due",), ("settle",), ("heartbeat",), ("claim_due", "settle", "heartbeat")])
@pytest.mark.parametrize("outage_s", [2.5, pytest.param(20, marks=pytest.mark.slow)])
async def test_while_the_store_is_away_nothing_is_lost(
    node: Member, clock: VirtualClock, methods: tuple[str, ...], outage_s: float
) -> None:
    sink = node.sink(takes_s=0.1)
    await node.put(*(a_job(f"every-{number}", "@every 1s", **LIKE_DAPR) for number in range(3)))
    await clock.advance(3.05)

    node.store.fail(*methods)
    ends = clock.now() + s(outage_s)
    while clock.now() < ends:
        await clock.advance(0.25)
        await asyncio.sleep(0.001)
    assert not node.engine.health().ok
    node.store.heal()
    await clock.until(lambda: node.engine.health().ok, trickle=ms(50))
    await clock.advance(15)

    last = int(outage_s) + 3
    for number in range(3):
        runs = await node.history(f"every-{number}")
        assert [run.scheduled_for for run in runs][:last] == [NOON + s(n) for n in range(1, last + 1)]
        assert {run.state for run in runs[:last]} == {RunState.SUCCEEDED}
    # At least once; more than once only with the same id, for what was in flight when the lease ran out.
    instants = {(one.name, one.run.seq): one.run.id for one in sink.given}
    assert {(one.name, one.run.seq, one.run.id) for one in sink.given} == {(*k, run) for k, run in instants.items()}
    if outage_s < 4:
        assert len(sink.given) == len(instants)


async def test_an_outcome_that_could_not_be_written_is_written_later_and_not_performed_again(
    node: Member, clock: VirtualClock
) -> None:
    sink = node.sink()
    node.store.fail("settle")
    await node.put(a_job())
    await clock.until(lambda: sink.given)
    await clock.advance(2)
    assert [run.state for run in await node.history()] == [RunState.CLAIMED]

    node.store.heal()
    await clock.until(lambda: node.engine.health().ok, trickle=ms(50))
    await clock.advance(1)

    assert len(sink.given) == 1
    assert [run.state for run in await node.history()] == [RunState.SUCCEEDED]


async def test_a_claim_whose_answer_was_lost_is_delivered_all_the_same(node: Member, clock: VirtualClock) -> None:
    """The commit was made, and then the call raised: the run belongs to a node that does not know of it."""
    sink = node.sink()
    await clock.advance(0.1)

    async def lost() -> None:
        node.store.heal()
        raise OSError("disk I/O error")

    node.store.after["claim_due"] = lost
    await node.put(a_job(retry=RetryPolicy(0)))
    await clock.advance(15)

    assert [one.run.attempt for one in sink.given] == [1]
    assert [run.state for run in await node.history()] == [RunState.SUCCEEDED]


# ── the real clock ──


async def test_a_full_node_that_stops_leaves_the_event_loop_to_its_deliveries(cluster: Cluster) -> None:
    """More waits than there is room for, and one run ends before the other."""
    clock = SystemClock()
    store = cluster.open()
    engine = Engine(store, clock, os.urandom, "real")
    sinks = [ScriptedSink(cluster.clock), ScriptedSink(cluster.clock)]
    for sink in sinks:
        sink.hold()
        engine.attach(QUEUE, sink, 1)
    now = clock.now()
    for number in range(4):
        await store.put_job(a_job(f"job-{number}", "@every 1ms", now=now, **LIKE_DAPR), Put.CREATE, now)
    engine.start()
    while not all(sink.given for sink in sinks):
        await asyncio.sleep(0.005)

    stopping = asyncio.create_task(engine.stop(timedelta(seconds=5)))
    loop = asyncio.get_running_loop()
    began = loop.time()
    sinks[0].let_go()
    for _ in range(20):
        await asyncio.sleep(0.01)
    sinks[1].let_go()
    await stopping

    assert loop.time() - began < 1.5
    assert all(len(sink.given) == 1 for sink in sinks)

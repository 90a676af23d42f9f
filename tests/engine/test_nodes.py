"""Several engines on one file: each instant once, and nobody acts on a lease that has gone."""

import asyncio
from collections import Counter

import pytest

from engine.scripted import Cluster, Member, ScriptedSink
from support.clock import VirtualClock
from support.stores import LIKE_DAPR, NOON, QUEUE, a_job, ms, records, s
from wakeful.core.job import RetryPolicy
from wakeful.core.run import RunState
from wakeful.engine import Limits

pytestmark = pytest.mark.anyio

OTHER = "app/default/b"


def node_id(member: Member) -> object:
    return member.engine.health().details["node"]


# ── together ──


async def test_two_engines_on_one_file_deliver_each_instant_exactly_once(cluster: Cluster, clock: VirtualClock) -> None:
    nodes = [cluster.node(), cluster.node()]
    sinks = [node.sink(limit=20, takes_s=0.02) for node in nodes]
    for node in nodes:
        await node.put(*(a_job(f"{node_id(node)}-{number}", due=f"{number * 5}ms") for number in range(100)))
        await node.put(a_job(f"{node_id(node)}-every", "@every 100ms", **LIKE_DAPR))

    await clock.advance(3)
    await clock.until(lambda: sum(len(sink.given) for sink in sinks) >= 260)

    instants = Counter((one.name, one.run.seq) for sink in sinks for one in sink.given)
    assert set(instants.values()) == {1}
    assert len([name for name, _ in instants if not name.endswith("every")]) == 200
    assert {one.run.attempt for sink in sinks for one in sink.given} == {1}
    assert all(sink.given for sink in sinks)


async def test_a_run_goes_only_to_nodes_that_serve_its_queue(cluster: Cluster, clock: VirtualClock) -> None:
    first, second = cluster.node(), cluster.node()
    mine, theirs = first.sink(), second.sink(OTHER)

    await first.put(a_job("for-b", due="1s", queue=OTHER))
    await second.put(a_job("for-a", due="1s"))
    await clock.advance(2.5)

    assert mine.names == ["for-a"]
    assert theirs.names == ["for-b"]


# ── stopping ──


async def test_stopping_waits_for_what_is_in_flight_and_records_it(node: Member, clock: VirtualClock) -> None:
    sink = node.sink()
    sink.hold()
    await node.put(a_job())
    await clock.until(lambda: sink.given)

    stopping = asyncio.create_task(node.stop(60))
    await clock.rest()
    assert not stopping.done()
    sink.let_go()
    await asyncio.wait_for(stopping, 20)

    assert sink.cancelled == []
    assert [(run.state, run.attempt) for run in await node.history()] == [(RunState.SUCCEEDED, 1)]


async def test_a_node_that_stops_claims_nothing_more(node: Member, clock: VirtualClock) -> None:
    sink = node.sink()
    sink.hold()
    await node.put(a_job("held"))
    await clock.until(lambda: sink.given)

    stopping = asyncio.create_task(node.stop(60))
    await clock.rest()
    await node.put(a_job("new"))
    await clock.advance(1.5)
    sink.let_go()
    await stopping

    assert sink.names == ["held"]


async def test_what_does_not_end_in_time_goes_to_another_node_at_once(cluster: Cluster, clock: VirtualClock) -> None:
    first, second = cluster.node(), cluster.node()
    sink = first.sink()
    sink.hold()
    await first.put(*(a_job(f"job-{number}", retry=RetryPolicy(0)) for number in range(3)))
    await clock.until(lambda: len(sink.given) == 3)
    other = second.sink()
    await clock.advance(0.1)
    stopped_at = clock.now()

    await first.stop(0.05)
    await clock.until(lambda: len(other.given) == 3)

    assert sorted(sink.cancelled) == sorted(sink.runs) == sorted(other.runs)
    assert {one.run.attempt for one in other.given} == {1}
    # No lease has to run out first.
    assert max(one.at for one in other.given) - stopped_at < s(1)


async def test_stopping_returns_only_once_the_cancelled_deliveries_have_ended(
    node: Member, clock: VirtualClock
) -> None:
    ended = asyncio.Event()

    class Tidy(ScriptedSink):
        async def deliver(self, claim):  # type: ignore[no-untyped-def]
            try:
                return await super().deliver(claim)
            finally:
                await asyncio.sleep(0.02)
                ended.set()

    sink = Tidy(clock)
    sink.hold()
    node.engine.attach(QUEUE, sink, 1)
    await node.put(a_job())
    await clock.until(lambda: sink.given)

    await node.stop(0.01)

    assert ended.is_set()


async def test_a_run_claimed_while_the_node_stops_is_not_cut_off_within_the_grace(
    node: Member, clock: VirtualClock
) -> None:
    first, second = node.sink(limit=1), node.sink(OTHER, limit=1)
    first.hold()
    await node.put(a_job("first"))
    await clock.until(lambda: first.given)
    claimed, go_on = node.store.hold_after("claim_due")
    second.hold()
    await node.put(a_job("second", queue=OTHER))
    await clock.until(claimed.is_set)

    stopping = asyncio.create_task(node.stop(60))
    await clock.rest()
    go_on.set()
    await clock.rest()
    first.let_go()
    await clock.rest()
    second.let_go()
    await asyncio.wait_for(stopping, 20)

    # It was not begun at all, or it was let finish.
    assert second.cancelled == []
    assert {run.state for run in await node.all_runs()} <= {RunState.SUCCEEDED, RunState.WAITING}


async def test_a_settlement_that_the_store_refused_as_the_node_stops_leaves_the_run_to_another(
    cluster: Cluster, clock: VirtualClock
) -> None:
    first = cluster.node()
    sink = first.sink()
    sink.hold()
    await first.put(a_job())
    await clock.until(lambda: sink.given)
    first.store.fail("settle", "leave")
    sink.let_go()
    await clock.rest()
    await first.stop(0.05)

    other = cluster.node().sink()
    await clock.advance(8)

    assert other.runs == sink.runs


# ── leases ──


async def stopped_with_a_run(cluster: Cluster, **fields: object) -> tuple[Member, ScriptedSink]:
    """A node on a clock of its own, with one run in flight: when its clock stands still, its process does."""
    own = VirtualClock()
    member = cluster.node(clock=own)
    sink = member.sink(**fields)
    sink.hold()
    await member.put(a_job())
    await own.until(lambda: sink.given)
    return member, sink


async def test_the_runs_of_a_stopped_process_are_taken_after_its_lease_and_not_before(
    cluster: Cluster, clock: VirtualClock
) -> None:
    _, sink = await stopped_with_a_run(cluster)
    other = cluster.node().sink()

    await clock.advance(5)
    assert other.given == []
    await clock.advance(4)

    assert other.runs == sink.runs


async def test_a_process_that_went_on_after_its_lease_cancels_its_deliveries_and_comes_back_as_another_node(
    cluster: Cluster, clock: VirtualClock
) -> None:
    stopped, sink = await stopped_with_a_run(cluster)
    before = node_id(stopped)
    second = cluster.node()
    other = second.sink()
    await clock.advance(10)
    assert other.runs == sink.runs

    stopped.clock.leap(10)
    await stopped.clock.advance(0.1)

    assert sink.cancelled == sink.runs
    assert node_id(stopped) != before
    assert stopped.engine.health().details["in_flight"] == 0
    assert [run.state for run in await second.history()] == [RunState.SUCCEEDED]
    # And it works again, for as long as it lives.
    sink.let_go()
    second.engine.attach(OTHER, ScriptedSink(clock), 1)
    await second.stop()
    await stopped.put(a_job("next", now=stopped.clock.now()))
    await stopped.clock.advance(15)
    assert sink.names == ["tick", "next"]
    assert stopped.engine.health().ok


async def test_an_outcome_that_comes_after_the_run_was_taken_changes_nothing(
    cluster: Cluster, clock: VirtualClock
) -> None:
    stopped, sink = await stopped_with_a_run(cluster)
    second = cluster.node()
    other = second.sink()
    other.hold()
    await clock.advance(10)

    # The answer lay in the socket when the process went on.
    sink.let_go()
    stopped.clock.leap(10)
    await stopped.clock.advance(0.5)

    (run,) = await second.history()
    assert run.state is RunState.CLAIMED
    other.let_go()
    await clock.until(lambda: not other.in_flight)
    await clock.advance(0.1)
    (run,) = await second.history()
    assert run.state is RunState.SUCCEEDED
    (job,) = await records(second.store)
    assert job.succeeded == 1


async def test_a_suspended_machine_cancels_and_delivers_again_under_the_same_run_id(
    node: Member, clock: VirtualClock
) -> None:
    sink = node.sink(limit=1)
    sink.hold()
    await node.put(a_job())
    await clock.until(lambda: sink.given)
    before = node_id(node)

    clock.leap(3600)
    sink.let_go()
    await clock.advance(8)

    assert node_id(node) != before
    assert set(sink.runs) == {sink.runs[0]}
    assert [run.state for run in await node.history()] == [RunState.SUCCEEDED]
    assert node.engine.health().ok


async def test_boot_time_alone_ends_a_lease(node: Member, clock: VirtualClock) -> None:
    before = node_id(node)
    await clock.advance(0.1)

    clock.skip_boot(10)
    await clock.advance(1.1)

    assert node_id(node) != before


async def test_claims_that_return_after_the_lease_has_gone_are_not_delivered(
    cluster: Cluster, clock: VirtualClock
) -> None:
    """The process was stopped between the commit of its claim and the first byte."""
    own = VirtualClock()
    stopped = cluster.node(clock=own)
    sink = stopped.sink()
    await own.advance(0.1)
    claimed, go_on = stopped.store.hold_after("claim_due")
    await stopped.put(a_job())
    await own.until(claimed.is_set)
    other = cluster.node().sink()
    await clock.advance(10)
    assert len(other.given) == 1

    own.leap(10)
    go_on.set()
    await own.advance(1)

    assert sink.given == [], "a run that another node has taken was delivered"


async def test_losing_the_lease_leaves_no_slot_taken(cluster: Cluster) -> None:
    """Whatever a delivery was doing at that moment: it hangs, or its outcome is just being written."""
    own = VirtualClock()
    node = cluster.node(Limits(most_running=2), clock=own)
    sink = node.sink(limit=2)
    sink.hold()
    await node.put(a_job("settling", retry=RetryPolicy(0)), a_job("hanging", retry=RetryPolicy(0)))
    await own.until(lambda: len(sink.given) == 2)
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def outage() -> None:
        begun.set()
        await go_on.wait()
        node.store.heal()
        raise OSError("the disk is gone")

    node.store.before["settle"] = outage
    sink.let_go()
    await own.until(begun.is_set)
    before = node_id(node)
    own.leap(10)
    await own.until(lambda: node_id(node) != before, trickle=ms(20))
    go_on.set()
    await own.until(lambda: not node.store.before)
    await own.advance(20)

    await node.put(*(a_job(f"after-{number}", now=own.now()) for number in range(6)))
    await own.advance(0.5)
    assert {f"after-{number}" for number in range(6)} <= set(sink.names)
    assert node.engine.health().details["in_flight"] == 0


async def test_a_process_killed_in_flight_loses_nothing(cluster: Cluster, clock: VirtualClock) -> None:
    dead, sink = await stopped_with_a_run(cluster)
    await dead.put(a_job("later", due="3s"))

    node = cluster.node()
    other = node.sink()
    await clock.advance(10)

    assert sorted(other.names) == ["later", "tick"]
    assert other.given[0].at == NOON + s(3)
    assert other.given[1].run.id == sink.given[0].run.id


async def test_an_at_most_once_run_of_a_dead_node_is_recorded_and_not_delivered_again(
    cluster: Cluster, clock: VirtualClock
) -> None:
    own = VirtualClock()
    dead = cluster.node(clock=own)
    sink = dead.sink()
    sink.hold()
    await dead.put(a_job(at_most_once=True))
    await own.until(lambda: sink.given)

    node = cluster.node()
    other = node.sink()
    await clock.advance(10)

    assert other.given == []
    assert [(run.state, run.reason) for run in await node.history()] == [(RunState.FAILED, "lost_with_node")]


async def test_a_renewed_lease_keeps_a_long_delivery(cluster: Cluster, clock: VirtualClock) -> None:
    first, second = cluster.node(), cluster.node()
    sink = first.sink(takes_s=60)
    await first.put(a_job())
    await clock.until(lambda: sink.given, trickle=ms(1))
    other = second.sink()

    await clock.advance(61)

    assert other.given == []
    assert sink.cancelled == []
    assert [(run.state, run.attempt) for run in await first.history()] == [(RunState.SUCCEEDED, 1)]

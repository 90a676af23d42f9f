"""The engine: at the instant and not before it, within limits, and in turns."""

from datetime import datetime

import pytest

from engine.scripted import Cluster, Member, ScriptedSink
from support.clock import VirtualClock
from support.stores import NOON, QUEUE, a_job, key, ms, s
from wakeful.core.job import JobState, RetryPolicy
from wakeful.core.ports import Put, StateChange
from wakeful.core.run import Failed
from wakeful.engine import Limits

pytestmark = pytest.mark.anyio

OTHER = "app/default/b"
# The engine leaves this much between two turns.
PACE = ms(5)


def on_time(at: datetime, due: datetime) -> bool:
    return due <= at <= due + PACE


# ── at the instant ──


async def test_a_job_is_delivered_at_its_instant_and_never_before(node: Member, clock: VirtualClock) -> None:
    sink = node.sink()
    await node.put(a_job(due="10s"), a_job("odd", due="12.3456s"))

    await clock.advance(9.999999)
    assert sink.given == []
    await clock.advance(0.000001)
    assert [(one.name, one.at) for one in sink.given] == [("tick", NOON + s(10))]
    await clock.advance(10)
    assert [(one.name, one.at) for one in sink.given[1:]] == [("odd", NOON + s(12.3456))]


async def test_every_instant_of_a_recurrence_is_delivered_when_it_comes(node: Member, clock: VirtualClock) -> None:
    sink = node.sink()
    await node.put(a_job(schedule="@every 700ms"))

    await clock.advance(7)

    assert [one.at for one in sink.given] == [NOON + ms(700) * number for number in range(1, 11)]
    assert len(set(sink.runs)) == 10


async def test_a_job_put_while_the_engine_sleeps_for_a_later_one_fires_at_its_time(
    node: Member, clock: VirtualClock
) -> None:
    sink = node.sink()
    await node.put(a_job("late", due="900ms"))
    await clock.advance(0.1)

    await node.put(a_job("soon", due="300ms"), a_job("now"))
    await clock.advance(1)

    assert sink.names == ["now", "soon", "late"]
    assert on_time(sink.given[0].at, NOON + ms(100))
    assert [one.at for one in sink.given[1:]] == [NOON + ms(300), NOON + ms(900)]


async def test_a_job_that_another_process_put_is_delivered_without_waiting_for_the_next_look(
    node: Member, cluster: Cluster, clock: VirtualClock
) -> None:
    sink = node.sink()
    await clock.advance(1.5)
    other = cluster.open()

    await other.put_job(a_job(now=clock.now()), Put.CREATE, clock.now())
    put_at = clock.now()
    await clock.until(lambda: sink.given)

    assert sink.given[0].at - put_at < ms(400)


async def test_a_job_that_came_due_before_there_was_a_sink_is_delivered_once_there_is_one(
    node: Member, clock: VirtualClock
) -> None:
    await node.put(a_job(due="1s"))
    await clock.advance(3)
    assert await node.all_runs() == []

    sink = node.sink()
    await clock.advance(0.01)

    assert [one.run.scheduled_for for one in sink.given] == [NOON + s(1)]
    assert on_time(sink.given[0].at, NOON + s(3))


@pytest.mark.parametrize("end", ["delete", "pause"])
async def test_a_job_that_was_ended_or_paused_is_not_delivered_any_more(
    node: Member, clock: VirtualClock, end: str
) -> None:
    sink = node.sink(answers=[Failed("no")])
    retry = RetryPolicy(5, s(3))
    await node.put(a_job(schedule="@every 10s"), a_job("failing", due="9s", retry=retry), a_job("other", due="15s"))
    await clock.advance(9.5)
    assert sink.names == ["failing"]

    for name in ("tick", "failing"):
        if end == "delete":
            await node.delete(key(name))
        else:
            await node.store.set_state(StateChange(key(name), JobState.PAUSED), clock.now())
    await clock.advance(30)

    # A run that had begun before its job was paused goes on to its end.
    assert sink.names[1:] == (["other"] if end == "delete" else ["failing", "other"])


async def test_setting_the_wall_clock_moves_jobs_and_not_leases(node: Member, clock: VirtualClock) -> None:
    sink = node.sink(limit=2)
    sink.hold()
    await node.put(a_job("held"), a_job("later", due="1h"))
    await clock.advance(0.1)
    before = node.engine.health().details["node"]

    clock.set_wall(NOON + s(3600))
    await clock.advance(1.1)

    assert sink.names == ["held", "later"]
    assert sink.cancelled == []
    assert node.engine.health().details["node"] == before
    assert node.engine.health().ok


# ── within limits, in turns ──


async def test_a_sink_gets_no_more_than_its_limit_at_a_time(node: Member, clock: VirtualClock) -> None:
    sink = node.sink(limit=3)
    sink.hold()
    await node.put(*(a_job(f"job-{number}") for number in range(10)))

    await clock.advance(3)
    assert len(sink.given) == 3
    sink.let_go()
    await clock.until(lambda: len(sink.given) == 10)

    assert sink.most == 3
    assert len(set(sink.names)) == 10


async def test_a_node_runs_no_more_than_its_limit_in_all(cluster: Cluster, clock: VirtualClock) -> None:
    node = cluster.node(Limits(most_running=4))
    sinks = [node.sink(), node.sink(OTHER), node.sink("app/default/c")]
    for sink in sinks:
        sink.hold()
    await node.put(*(a_job(f"{q}-{n}", queue=f"app/default/{q}") for q in "abc" for n in range(4)))

    await clock.advance(2)
    assert sum(len(sink.given) for sink in sinks) == 4
    assert all(sink.given for sink in sinks)
    for sink in sinks:
        sink.takes_s = 0.01
        sink.let_go()
    running: list[int] = []
    while sum(len(sink.given) for sink in sinks) < 12:
        running.append(sum(sink.in_flight for sink in sinks))
        await clock.until(lambda: True)
        await clock.advance(0.001)

    assert max(running) <= 4


async def test_the_sinks_of_one_queue_take_turns(node: Member, clock: VirtualClock) -> None:
    sinks = [node.sink(), node.sink(), node.sink()]
    await node.put(*(a_job(f"job-{number}", due="1s") for number in range(9)))

    await clock.advance(2)

    assert [len(sink.given) for sink in sinks] == [3, 3, 3]


async def test_with_room_for_one_run_the_queues_take_turns(cluster: Cluster, clock: VirtualClock) -> None:
    node = cluster.node(Limits(most_running=1))
    order: list[str] = []

    class Noting(ScriptedSink):
        async def deliver(self, claim):  # type: ignore[no-untyped-def]
            order.append(claim.run.queue[-1])
            return await super().deliver(claim)

    await node.put(*(a_job(f"{q}-{n}", queue=f"app/default/{q}") for q in "ab" for n in range(8)))
    for queue in (QUEUE, OTHER):
        node.engine.attach(queue, Noting(clock, takes_s=0.01), 10)
    await clock.until(lambda: len(order) == 16)

    for served in range(2, 17, 2):
        assert abs(order[:served].count("a") - order[:served].count("b")) <= 2, f"one queue waits: {''.join(order)}"


@pytest.mark.parametrize("limit", [1, 100])
async def test_a_sink_that_hangs_does_not_delay_another_queue(node: Member, clock: VirtualClock, limit: int) -> None:
    slow, quick = node.sink(limit=limit), node.sink(OTHER)
    slow.hold()
    await node.put(*(a_job(f"slow-{number}") for number in range(3)), a_job("quick", "@every 1s", queue=OTHER))

    await clock.advance(10)

    assert [one.at for one in quick.given] == [NOON + s(number) for number in range(1, 11)]
    assert node.engine.health().ok


async def test_what_is_on_time_goes_before_what_is_overdue_but_leaves_it_a_share(
    node: Member, clock: VirtualClock
) -> None:
    await node.put(*(a_job(f"late-{number}") for number in range(20)))
    await clock.advance(60)
    await node.put(*(a_job(f"now-{number}", now=clock.now()) for number in range(20)))

    sink = node.sink(limit=4)
    sink.hold()
    await clock.advance(0.1)

    first = [name.split("-")[0] for name in sink.names]
    assert len(first) == 4
    assert first.count("now") >= 2
    assert first.count("late") >= 1
    sink.let_go()
    await clock.until(lambda: len(sink.given) == 40)


async def test_a_full_queue_goes_on_at_once_beside_one_that_has_room(node: Member, clock: VirtualClock) -> None:
    await node.put(*(a_job(f"one-{number:02}") for number in range(30)))
    idle, busy = node.sink(queue="app/test/idle", limit=10), node.sink(limit=2)
    await clock.advance(0.5)
    assert len(busy.given) == 30
    assert not idle.given


async def test_overdue_runs_are_paced_and_do_not_delay_those_on_time(cluster: Cluster, clock: VirtualClock) -> None:
    node = cluster.node(Limits(late_per_s=10))
    await node.put(*(a_job(f"late-{number:02}") for number in range(30)))
    await clock.advance(60)
    sink = node.sink()
    await clock.advance(0.05)
    start = clock.now() - ms(50)
    await node.put(a_job("now", due="500ms", now=clock.now()))

    assert len(sink.given) == 10
    await clock.advance(1)
    assert 19 <= len(sink.given) <= 22
    (punctual,) = [one for one in sink.given if one.name == "now"]
    assert on_time(punctual.at, start + ms(550))
    await clock.advance(1.2)
    assert len(set(sink.names)) == len(sink.given) == 31
    assert node.engine.health().ok

"""What runs wait for when the clock was set: each store reckons with each step once, whoever tells of it."""

from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from support.stores import NOON, a_job, a_node, finish, s, take, take_one, the_job
from wakeful.core.job import RetryPolicy
from wakeful.core.ports import BootTime, Heartbeat, Node, Put, Store
from wakeful.core.retiming import Reading
from wakeful.core.run import Accepted, Failed

pytestmark = pytest.mark.anyio

HOUR = timedelta(hours=1)
NO_STEP = timedelta(0)


class Machine:
    """One machine with a wall clock that can be set; nodes on it beat, and tell of its steps."""

    def __init__(self, now: datetime = NOON, boot_id: str = "boot-1") -> None:
        self.now = now
        self.boot = BootTime(boot_id, s(100))

    def passes(self, by: timedelta) -> None:
        self.now += by
        self.boot = replace(self.boot, elapsed=self.boot.elapsed + by)

    async def beat(self, store: Store, number: int = 1) -> Heartbeat:
        node: Node = replace(a_node(number, 0), boot=self.boot)
        return await store.heartbeat(node, self.now)

    async def tell(self, store: Store) -> None:
        await store.retime((), Reading(self.now, self.boot.boot_id, self.boot.elapsed))


async def a_retry(store: Store, now: datetime = NOON) -> None:
    """After a minute."""
    await store.put_job(a_job("failing", due="0s", retry=RetryPolicy(3, s(60)), now=now), Put.CREATE, now)
    await finish(store, await take_one(store, now), now, Failed("no"))


@pytest.mark.parametrize("step", [-HOUR, HOUR, timedelta(days=-400)])
async def test_a_retry_comes_after_the_time_that_it_was_to_come_after(store: Store, step: timedelta) -> None:
    machine = Machine()
    await machine.beat(store)
    await a_retry(store)
    machine.passes(s(10))
    machine.now += step
    assert (await machine.beat(store)).step == step
    await machine.tell(store)
    assert (await machine.beat(store)).step == NO_STEP

    assert await take(store, machine.now + s(49)) == []
    assert (await take_one(store, machine.now + s(50))).run.attempt == 2


async def test_two_who_tell_of_one_step_move_runs_once(store: Store, other: Store) -> None:
    machine = Machine()
    await machine.beat(store)
    await machine.beat(other, 2)
    await a_retry(store)
    machine.now += HOUR
    await machine.tell(store)
    await machine.tell(other)
    await machine.tell(store)

    assert (await machine.beat(other, 2)).step == NO_STEP
    assert await take(store, machine.now + s(59)) == []
    await take_one(store, machine.now + s(60))


@pytest.mark.parametrize("step", [-HOUR, HOUR])
async def test_an_answer_has_the_time_that_it_was_given(store: Store, step: timedelta) -> None:
    machine = Machine()
    await machine.beat(store)
    await store.put_job(a_job(due="0s", retry=RetryPolicy(3, s(1))), Put.CREATE, NOON)
    claim = await take_one(store, NOON)
    await finish(store, claim, NOON, Accepted(s(60)))
    machine.now += step
    # Before it is reckoned with, nothing is taken for late.
    await machine.beat(store)
    await machine.tell(store)

    machine.passes(s(59))
    await machine.beat(store)
    assert (await the_job(store)).active == 1
    assert await take(store, machine.now + s(30)) == []
    machine.passes(s(2))
    await machine.beat(store)
    assert (await take_one(store, machine.now + s(2))).run.attempt == 2


async def test_what_a_dead_node_held_comes_back_once_the_step_is_reckoned_with(store: Store) -> None:
    machine = Machine()
    await machine.beat(store)
    await store.put_job(a_job(due="0s"), Put.CREATE, NOON)
    await take_one(store, NOON)
    machine.passes(s(30))
    machine.now += HOUR
    assert (await machine.beat(store, 2)).reclaimed == 0
    await machine.tell(store)
    assert (await machine.beat(store, 2)).reclaimed == 1
    await take_one(store, machine.now, node=2)


async def test_many_small_steps_are_followed_and_never_look_like_a_large_one(store: Store) -> None:
    machine = Machine()
    await machine.beat(store)
    for _ in range(20):
        machine.now += s(1)
        assert (await machine.beat(store)).step == NO_STEP
    await a_retry(store, machine.now)
    await machine.tell(store)
    assert await take(store, machine.now + s(59)) == []
    await take_one(store, machine.now + s(60))


async def test_after_another_start_of_the_machine_only_runs_from_the_future_tell_of_a_step(store: Store) -> None:
    await Machine().beat(store)
    await a_retry(store)
    later = Machine(NOON + s(30), "boot-2")
    assert (await later.beat(store)).step == NO_STEP
    assert await take(store, NOON + s(59)) == []

    # Without a battery, the machine's clock has to be set after each start.
    sooner = Machine(NOON - HOUR, "boot-3")
    assert (await sooner.beat(store)).step == -HOUR
    await sooner.tell(store)
    assert (await sooner.beat(store)).step == NO_STEP
    assert await take(store, sooner.now + s(59)) == []
    sooner.now = NOON + HOUR
    await sooner.tell(store)
    assert await take(store, sooner.now + s(59)) == []
    await take_one(store, sooner.now + s(60))


async def test_since_when_a_job_is_busy_moves_too(store: Store) -> None:
    machine = Machine()
    await machine.beat(store)
    await store.put_job(a_job("busy", schedule="@every 10s"), Put.CREATE, NOON)
    await store.put_job(a_job("free", schedule="@every 1h"), Put.CREATE, NOON)
    await take_one(store, NOON + s(10))
    before = (await the_job(store, "busy")).busy_at
    assert before == NOON + s(10)
    machine.passes(s(10))
    machine.now -= HOUR
    await machine.tell(store)
    assert (await the_job(store, "busy")).busy_at == before - HOUR
    assert await store.audit() == []

"""Limits on reminders under way at once, as streams declare them and the schedulers share them."""

from pathlib import Path
from typing import Any

import pytest

from support.scheduler_door import (
    DROP,
    SchedulerDoor,
    Sidecar,
    limit,
    nothing_for,
    of_actor,
    scheduler_door,
    settled,
    until,
)

pytestmark = [pytest.mark.anyio, pytest.mark.slow]


async def host(door: SchedulerDoor, *limits: Any, types: tuple[str, ...] = ("T",)) -> Sidecar:
    """A stream for reminders of these types, with these limits."""
    return await door.sidecar("app", actor_types=types, accept_job_types=[1], concurrency_limits=limits)


async def ring(door: SchedulerDoor, name: str, key: str | None = None, actor_type: str = "T", **job: Any) -> None:
    """Schedules a reminder, due now."""
    await door.schedule(name, of_actor(actor_type, name, concurrency_key=key), **job)


async def pending(door: SchedulerDoor, count: int) -> None:
    """Returns once so many wait before the gate of T."""
    await until(lambda: f'dapr_scheduler_concurrency_pending{{concurrency_key="T"}} {count}\n' in text(door), "waiting")


def text(door: SchedulerDoor) -> str:
    return door.metrics.render()


async def test_no_more_than_the_limit_are_sent_until_one_is_answered(door: SchedulerDoor) -> None:
    sidecar = await host(door, limit("T", 2))
    for number in range(5):
        await ring(door, f"r{number}")
    runs = await sidecar.several(2)
    await nothing_for(sidecar)
    for run in runs:
        await sidecar.answer(run.id)
    runs = await sidecar.several(2)
    await nothing_for(sidecar)
    # A failure frees as a success does.
    await sidecar.answer(runs[0].id, 1)
    assert (await sidecar.next()).id == 5


async def test_one_that_fails_for_good_makes_room(door: SchedulerDoor) -> None:
    sidecar = await host(door, limit("T", 1))
    await ring(door, "first", failure_policy=DROP)
    run = await sidecar.next()
    await ring(door, "second")
    await sidecar.answer(run.id, 1)
    assert (await sidecar.next()).name == "second"


async def test_a_stream_that_ends_makes_room_and_what_it_had_comes_again(door: SchedulerDoor) -> None:
    first = await host(door, limit("T", 1))
    await ring(door, "a")
    await first.next()
    await ring(door, "b")
    second = await host(door, limit("T", 1))
    await nothing_for(second)

    await first.close()

    run = await second.next()
    await second.answer(run.id)
    assert {run.name, (await second.next()).name} == {"a", "b"}


async def test_a_limit_is_for_all_streams_together_and_the_last_declared_is_right(door: SchedulerDoor) -> None:
    sidecars = [await host(door, limit("T", 1)), await host(door, limit("T", 2))]
    for number in range(4):
        await ring(door, f"r{number}")
    await until(lambda: 'concurrency_inflight{concurrency_key="T"} 2\n' in text(door), "two under way")
    await pending(door, 1)
    for _ in range(4):
        name, sidecar = await _next_of(sidecars)
        await settled(door, name, owner=f"actor/T/{name}")
        assert sidecar in sidecars


async def _next_of(sidecars: list[Sidecar]) -> tuple[str, Sidecar]:
    """Whatever comes to any of them, answered."""
    while True:
        for sidecar in sidecars:
            try:
                run = await sidecar.next(0.05)
            except TimeoutError:
                continue
            await sidecar.answer(run.id)
            return run.name, sidecar


async def test_a_name_has_a_gate_of_its_own_within_the_type(door: SchedulerDoor) -> None:
    sidecar = await host(door, limit("T", 1, "hot"))
    for number in range(3):
        await ring(door, f"hot-{number}", "hot")
        await ring(door, f"free-{number}", "cold")
    runs = await sidecar.several(4)
    names = sorted(run.name for run in runs)
    assert names == ["free-0", "free-1", "free-2", "hot-0"]
    await nothing_for(sidecar)
    await sidecar.answer(next(run.id for run in runs if run.name == "hot-0"))
    assert (await sidecar.next()).name == "hot-1"


async def test_jobs_and_other_types_are_not_held_up(door: SchedulerDoor) -> None:
    sidecar = await door.sidecar("app", actor_types=["T", "U"], concurrency_limits=[limit("T", 1), limit("job", 1)])
    await ring(door, "held")
    await sidecar.next()
    await ring(door, "waits")
    for number in range(3):
        await ring(door, f"u-{number}", actor_type="U")
        await door.schedule(f"job-{number}")
    assert {run.name for run in await sidecar.several(6)} == {f"{kind}-{n}" for kind in ("u", "job") for n in range(3)}


async def test_elders_keep_their_place_while_fresh_ones_pass(door: SchedulerDoor) -> None:
    # dapr tests/integration/suite/scheduler/concurrency/seniority.go, step by step.
    sidecar = await host(door, limit("T", 2), limit("T", 1, "hot"))
    await ring(door, "hold-hot", "hot")
    hold_hot = await sidecar.next()
    await ring(door, "hold-type")
    hold_type = await sidecar.next()
    for count, (name, key) in enumerate([("w1", "hot"), ("f1", None), ("w2", "hot")], 1):
        await ring(door, name, key)
        await pending(door, count)

    await sidecar.answer(hold_type.id)
    f1 = await sidecar.next()
    assert f1.name == "f1"
    await sidecar.answer(hold_hot.id)
    await sidecar.answer(f1.id)
    first = await sidecar.next()
    assert first.name == "w1"
    await sidecar.answer(first.id)
    second = await sidecar.next()
    assert second.name == "w2"
    assert 'dapr_scheduler_concurrency_throttled_total{concurrency_key="T"} 3\n' in text(door)


async def test_what_waits_here_while_its_stream_ends_is_not_lost(door: SchedulerDoor) -> None:
    sidecar = await host(door, limit("T", 1, "hot"))
    for number in range(4):
        await ring(door, f"r{number}", "hot")
    await sidecar.next()
    await pending(door, 3)
    await sidecar.close()
    again = await host(door)
    runs = await again.several(4)
    for run in runs:
        await again.answer(run.id)
        await settled(door, run.name, owner=f"actor/T/{run.name}")


@pytest.mark.slow
async def test_several_schedulers_share_a_limit_and_no_one_hoards(tmp_path: Path) -> None:
    path = tmp_path / "wakeful.db"
    async with scheduler_door(path) as one, scheduler_door(path) as two, scheduler_door(path) as three:
        doors = [one, two, three]
        addresses = [f"127.0.0.1:{number}" for number in (1, 2, 3)]
        for door, own in zip(doors, addresses, strict=True):
            door.hosts.enter(own)
            door.hosts.update(addresses)
        sidecars = [await host(door, limit("T", 6)) for door in doors]
        for number in range(12):
            await ring(doors[number % 3], f"r{number}")
        for sidecar in sidecars:
            await sidecar.several(2)
        await nothing_for(*sidecars)

        # One of them goes: the others let more through.
        for door, own in zip(doors[:2], addresses, strict=False):
            door.hosts.update([address for address in addresses[:2] if address != own])
        for sidecar in sidecars[:2]:
            await sidecar.next()
        await nothing_for(*sidecars[:2])

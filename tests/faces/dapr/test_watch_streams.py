"""Streams of due jobs: who is sent what, what becomes of it, and what happens when somebody goes away."""

import asyncio
from datetime import timedelta

import pytest

from support.scheduler_door import (
    AT_ONCE,
    DROP,
    SchedulerDoor,
    answering,
    change,
    nothing_for,
    of_app,
    settled,
    until,
    value,
)
from wakeful.core.job import JobKey, TargetSpec
from wakeful.faces.dapr.watch_stream import MOST_HELD, ROOM
from wakeful.protos import common, well_known

pytestmark = [pytest.mark.anyio, pytest.mark.slow]


async def test_a_watched_job_is_sent_as_it_was_scheduled_and_its_run_is_history(door: SchedulerDoor) -> None:
    sidecar = await door.sidecar()
    metadata = of_app()
    metadata.concurrency_key = "kept"
    await door.schedule("tick", metadata, data=value(7))

    run = await sidecar.next()

    assert (run.name, run.id, run.data, run.metadata) == ("tick", 1, value(7), metadata)
    await sidecar.answer(1)
    await settled(door, "tick")


async def test_json_arrives_as_a_value_and_no_data_as_none(door: SchedulerDoor) -> None:
    sidecar = await door.sidecar()
    text = well_known.Value(string_value="hello").SerializeToString()
    await door.schedule("text", data=well_known.Any(type_url="type.googleapis.com/google.protobuf.Value", value=text))
    run = await sidecar.next()
    assert run.data.value == text
    await door.schedule("nothing")
    assert not (await sidecar.next()).HasField("data")


async def test_ids_count_from_one_on_each_stream_and_answers_come_in_any_order(door: SchedulerDoor) -> None:
    sidecar = await door.sidecar()
    for number in range(5):
        await door.schedule(f"job-{number}")
    runs = await sidecar.several(5)
    assert [run.id for run in runs] == [1, 2, 3, 4, 5]

    for run in reversed(runs):
        await sidecar.answer(run.id)
    for number in range(5):
        await settled(door, f"job-{number}")
    other = await door.sidecar("other")
    await door.schedule("first", of_app("other"))
    assert (await other.next()).id == 1


async def test_several_streams_of_an_app_take_turns(door: SchedulerDoor) -> None:
    seen = [answering(await door.sidecar()) for _ in range(3)]
    for number in range(9):
        await door.schedule(f"job-{number}")
        await settled(door, f"job-{number}")
    turns = [next(place for place, names in enumerate(seen) if f"job-{number}" in names) for number in range(9)]
    assert turns[:3] * 3 == turns
    assert sorted(turns[:3]) == [0, 1, 2]


async def test_an_app_never_gets_the_jobs_of_another_or_of_another_namespace(door: SchedulerDoor) -> None:
    wrong = [await door.sidecar("other"), await door.sidecar("app", namespace="elsewhere")]
    right = await door.sidecar()
    await door.schedule("mine")
    assert (await right.next()).name == "mine"
    await nothing_for(*wrong)


async def test_without_a_stream_a_job_waits_and_no_attempt_is_spent(door: SchedulerDoor) -> None:
    await door.sidecar("other")
    await door.schedule("lonely")
    await door.schedule("settled", of_app("other"))
    assert await door.runs("lonely") == []
    record = await door.scheduler.get(JobKey("default", "app/app", "lonely"))
    assert record is not None

    sidecar = await door.sidecar()
    run = await sidecar.next()
    assert run.name == "lonely"
    await sidecar.answer(run.id)
    await settled(door, "lonely")


async def test_what_a_stream_that_ends_has_not_answered_goes_to_another_at_once(door: SchedulerDoor) -> None:
    first = await door.sidecar()
    for number in range(10):
        await door.schedule(f"job-{number}")
    runs = await first.several(10)
    await first.answer(runs[0].id)
    await settled(door, "job-0")
    second = await door.sidecar()

    await first.close()

    again = await second.several(9)
    assert sorted(run.name for run in again) == [f"job-{number}" for number in range(1, 10)]
    for run in again:
        await second.answer(run.id)
    for number in range(1, 10):
        # The same attempt: nobody said that it failed.
        await settled(door, f"job-{number}")
    assert door.metrics.connected == 1


async def test_a_stream_that_is_closed_by_the_client_ends_in_peace(door: SchedulerDoor) -> None:
    first = await door.sidecar()
    await door.schedule("job")
    await first.next()
    second = await door.sidecar()

    await first.call.done_writing()

    assert (await second.next()).name == "job"
    assert await first.ended() == ("OK", "")


async def test_what_may_run_only_once_is_not_sent_again(door: SchedulerDoor) -> None:
    first = await door.sidecar()
    await door.schedule("once", due_time="1h")
    await change(door, "once", at_most_once=True)
    await first.next()
    second = await door.sidecar()

    await first.close()

    await settled(door, "once", "failed", 1)
    await nothing_for(second)


async def test_unknown_and_repeated_answers_are_nothing(door: SchedulerDoor) -> None:
    sidecar = await door.sidecar()
    await sidecar.answer(99)
    await sidecar.answer(0)
    await door.schedule("one")
    run = await sidecar.next()
    await sidecar.answer(run.id)
    await sidecar.answer(run.id, 1)
    await sidecar.answer(run.id)
    await settled(door, "one")

    await door.schedule("two")
    assert (await sidecar.next()).id == 2


@pytest.mark.parametrize(
    ("policy", "attempts"),
    [
        (AT_ONCE, None),
        (DROP, 1),
        (common.JobFailurePolicy(constant=common.JobFailurePolicyConstant(max_retries=4)), 5),
    ],
)
async def test_a_failure_is_tried_again_as_the_job_says(door: SchedulerDoor, policy: object, attempts: int) -> None:
    sidecar = await door.sidecar()
    await door.schedule("flaky", failure_policy=policy)
    for number in range(1, (attempts or 8) + 1):
        assert (await sidecar.next()).id == number
        await sidecar.answer(number, 1)
    if attempts is not None:
        await settled(door, "flaky", "failed", attempts)
        await nothing_for(sidecar)
    else:
        await sidecar.next()
        await sidecar.answer(9)
        await settled(door, "flaky", "succeeded", 9)


async def test_a_recurring_job_goes_on_after_its_failure_and_is_never_sent_twice_at_once(door: SchedulerDoor) -> None:
    sidecar = await door.sidecar()
    await door.schedule("often", schedule="@every 1ms", repeats=3, failure_policy=DROP)
    for number in (1, 2, 3):
        run = await sidecar.next()
        assert (run.name, run.id) == ("often", number)
        assert len(await door.runs("often")) == number
        await sidecar.answer(number, 1)
    await settled(door, "often", "failed", 1)
    assert [run.seq for run in await door.runs("often")] == [3, 2, 1]
    await until(lambda: _gone(door, "often"), "the job to end")


async def _gone(door: SchedulerDoor, name: str) -> bool:
    return await door.scheduler.get(JobKey("default", "app/app", name)) is None


async def test_what_is_replaced_while_it_is_under_way_runs_anew(door: SchedulerDoor) -> None:
    sidecar = await door.sidecar()
    await door.schedule("job")
    run = await sidecar.next()
    await door.schedule("job", overwrite=True, data=value(2))
    again = await sidecar.next()
    assert again.data == value(2)
    await sidecar.answer(run.id)
    await sidecar.answer(again.id)
    await settled(door, "job")


async def test_a_sidecar_that_never_reads_harms_nobody_and_what_it_has_is_delivered_when_it_dies(
    door: SchedulerDoor,
) -> None:
    deaf = await door.sidecar()
    seen = answering(await door.sidecar())
    # Twice as large as the window of a stream: the first message to the deaf one is never written to its end.
    data = well_known.Any(type_url="x/bytes", value=bytes(128 * 1024))
    for number in range(20):
        await door.schedule(f"fat-{number}", data=data)
    await until(lambda: len(seen) >= 10, "the half of the other")

    await deaf.close()

    await until(lambda: len(set(seen)) == 20, "all of them")
    await door.schedule("final")
    await until(lambda: "final" in seen, "the other to be well")


async def test_a_sidecar_that_never_reads_holds_only_so_many_bytes(door: SchedulerDoor) -> None:
    await door.sidecar()
    size = 1024 * 1024
    for number in range(MOST_HELD // size + 10):
        await door.schedule(f"fat-{number}", data=well_known.Any(type_url="x/bytes", value=bytes(size)))
    seen = answering(await door.sidecar())
    # All but what the first one has, and it takes no more than that.
    await until(lambda: len(seen) >= 5, "the other to get what the first does not take", 30)


@pytest.mark.slow
async def test_a_stream_gets_no_more_than_its_room_until_it_answers(door: SchedulerDoor) -> None:
    sidecar = await door.sidecar()
    for number in range(ROOM + 10):
        await door.schedule(f"job-{number}")
    runs = await sidecar.several(ROOM)
    await nothing_for(sidecar)
    for run in runs[:10]:
        await sidecar.answer(run.id)
    assert {run.id for run in await sidecar.several(10)} == set(range(ROOM + 1, ROOM + 11))


async def test_an_answer_that_does_not_come_in_the_time_that_the_job_gives_is_a_failure(door: SchedulerDoor) -> None:
    sidecar = await door.sidecar()
    await door.schedule("slow", due_time="1h", failure_policy=DROP)
    await change(door, "slow", timeout=timedelta(milliseconds=50))
    run = await sidecar.next()
    await settled(door, "slow", "failed", 1)
    await sidecar.answer(run.id)


@pytest.mark.slow
async def test_what_is_given_up_before_it_could_be_sent_is_not_kept_for_a_sidecar_that_never_reads(
    door: SchedulerDoor,
) -> None:
    deaf = await door.sidecar()
    data = well_known.Any(type_url="x/bytes", value=bytes(1024 * 1024))
    await door.schedule("blocks", data=data)
    for number in range(30):
        name = f"given-up-{number}"
        await door.schedule(name, due_time="1h", failure_policy=DROP, data=data)
        await change(door, name, timeout=timedelta(milliseconds=1))
        await settled(door, name, "failed")
    # Together they would be more than a stream holds: it would take nothing any more.
    await door.schedule("last")
    await until(lambda: _begun(door, "last"), "the last to be taken")
    assert not deaf.closed


async def _begun(door: SchedulerDoor, name: str) -> bool:
    return [run.state.value for run in await door.runs(name)] == ["claimed"]


async def test_a_run_that_is_cancelled_frees_its_place(door: SchedulerDoor) -> None:
    sidecar = await door.sidecar()
    await door.schedule("job")
    number = (await sidecar.next()).id
    (run,) = await door.runs("job")
    await door.scheduler.cancel(run.id)
    await sidecar.answer(number)
    await settled(door, "job", "cancelled", 1)


async def test_a_job_that_no_sidecar_can_do_is_rejected(door: SchedulerDoor) -> None:
    sidecar = await door.sidecar()
    await door.schedule("odd", due_time="1h")
    await change(door, "odd", target=TargetSpec("app", "reports/build"))
    await settled(door, "odd", "failed", 1)
    (run,) = await door.runs("odd")
    assert "job/<name>" in run.errors[-1]["error"]
    await nothing_for(sidecar)


@pytest.mark.slow
async def test_five_hundred_streams_share_a_burst_and_any_may_die(door: SchedulerDoor) -> None:
    sidecars = [await door.sidecar() for _ in range(500)]
    seen = [answering(sidecar) for sidecar in sidecars]
    assert door.metrics.connected == 500
    await asyncio.gather(*(door.schedule(f"job-{number}", due_time="1s") for number in range(1_000)))
    for sidecar in sidecars[:250]:
        await sidecar.close()
    await until(lambda: len({name for names in seen for name in names}) == 1_000, "all of them", 30)
    await until(lambda: door.metrics.connected == 250, "the dead to be gone")

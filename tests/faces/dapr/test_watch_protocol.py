"""What a stream may ask for, in which words it is refused, and how it ends."""

from collections import Counter
from pathlib import Path

import pytest

from support.scheduler_door import SchedulerDoor, Sidecar, nothing_for, of_actor, of_app, scheduler_door, settled
from wakeful.protos import scheduler as messages

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("actor_id", ["a", "", "a||b"])
async def test_reminders_go_to_whoever_hosts_the_type(door: SchedulerDoor, actor_id: str) -> None:
    await door.sidecar("app", accept_job_types=[0])
    host = await door.sidecar("host", actor_types=["T"], accept_job_types=[1])
    await door.schedule("ring", of_actor("T", actor_id, "scheduled-by"))
    run = await host.next()
    assert (run.name, run.metadata) == ("ring", of_actor("T", actor_id, "scheduled-by"))
    await host.answer(run.id)
    await settled(door, "ring", owner=f"actor/T/{actor_id}")


async def test_an_empty_list_of_accepted_types_means_both(door: SchedulerDoor) -> None:
    sidecar = await door.sidecar("app", actor_types=["T", "T", "U"])
    await door.schedule("job")
    await door.schedule("ring", of_actor("T", "a"))
    await door.schedule("ring", of_actor("U", "a"))
    runs = await sidecar.several(3)
    assert Counter(run.name for run in runs) == {"ring": 2, "job": 1}


async def test_a_stream_for_reminders_without_types_is_idle(door: SchedulerDoor) -> None:
    idle = await door.sidecar("app", accept_job_types=[1])
    sidecar = await door.sidecar("app", accept_job_types=[0])
    await door.schedule("job")
    assert (await sidecar.next()).name == "job"
    await nothing_for(idle)


# ── what a stream is refused ──


def request(**fields: object) -> bytes:
    encoded: bytes = messages.WatchJobsRequest(**fields).SerializeToString()
    return encoded


INITIAL = messages.WatchJobsRequestInitial
REFUSED = [
    (request(), "UNKNOWN", "initial request is required on stream connection"),
    (
        request(result=messages.WatchJobsRequestResult(id=1)),
        "UNKNOWN",
        "initial request is required on stream connection",
    ),
    (request(initial=INITIAL(app_id="a")), "INVALID_ARGUMENT", "missing namespace or appID in request"),
    (request(initial=INITIAL(namespace="a")), "INVALID_ARGUMENT", "missing namespace or appID in request"),
    (
        request(initial=INITIAL(app_id="a", namespace="n", accept_job_types=[1, 1])),
        "UNKNOWN",
        "duplicate target type specified: JOB_TARGET_TYPE_ACTOR_REMINDER",
    ),
    (
        request(initial=INITIAL(app_id="a", namespace="n", actor_types=["T"] * 1_001)),
        "INVALID_ARGUMENT",
        "at most 1000 actor types and as many limits are allowed on a stream",
    ),
    (b"\xff", "INTERNAL", "the request is no WatchJobsRequest: "),
]


@pytest.mark.parametrize(("first", "code", "text"), REFUSED)
async def test_a_stream_that_begins_wrongly_is_told_why(
    door: SchedulerDoor, first: bytes, code: str, text: str
) -> None:
    sidecar = Sidecar(door.port)
    door.sidecars.append(sidecar)
    await sidecar.call.write(first)
    given = await sidecar.ended()
    assert (given[0], given[1][: len(text)]) == (code, text)


async def test_a_second_message_that_is_no_result_ends_the_stream(door: SchedulerDoor) -> None:
    sidecar = await door.sidecar()
    await sidecar.begin()
    assert await sidecar.ended() == ("UNKNOWN", "a result is required after the initial request")
    assert door.metrics.sidecar_errors == {"recv_failed": 1}


async def test_with_a_token_streams_and_calls_must_show_it(tmp_path: Path) -> None:
    async with scheduler_door(tmp_path / "wakeful.db", "secret") as door:
        sidecar = Sidecar(door.port, app_id="a", namespace="n")
        door.sidecars.append(sidecar)
        assert await sidecar.ended() == ("UNAUTHENTICATED", "invalid api token")
        assert (await door.refused("ListJobs", metadata=of_app()))[0] == "UNAUTHENTICATED"


async def test_at_the_end_streams_are_told_those_too_that_said_nothing(door: SchedulerDoor) -> None:
    sidecar = await door.sidecar()
    silent = Sidecar(door.port)
    door.sidecars.append(silent)
    # Its call has begun once the server has sent its headers, or after another on the same connection.
    await silent.call.wait_for_connection()
    door.watch.close()
    assert await sidecar.ended() == ("UNKNOWN", "server is closing")
    assert await silent.ended() == ("UNKNOWN", "server is closing")
    assert door.metrics.connected == 0

"""``RunJobAndWait``, the variant of B3.35 that answers when the run has ended."""

import asyncio
from typing import Any

import pytest

from faces.cron_bus.scripted import ScriptedDaemon
from support.bus import until
from wakeful.faces.cron.bus_calls import Caller, Calls
from wakeful.faces.cron.bus_handlers import Place

pytestmark = pytest.mark.anyio

BEGUN = {"job": "daily_standup", "execution_id": "run-1"}


@pytest.fixture
async def waiting(served: Any) -> Any:
    """A call that waits for the run ``run-1``."""
    asked = served.client.call_method("RunJobAndWait", ["daily_standup"], timeout_s=None)
    call = asyncio.ensure_future(asked)
    await until(lambda: "run-1" in served.daemon.ends, "the call")
    return call


@pytest.mark.parametrize(
    "row",
    [{"success": True, "status": "success", "error": None}, {"success": False, "status": "failed", "error": "no"}],
)
async def test_b3_35_it_answers_with_the_row_of_history(served: Any, waiting: Any, row: dict[str, Any]) -> None:
    # Another call's answer would come after it, if it had one.
    assert await served.client.ping()
    assert not waiting.done()
    served.daemon.ends["run-1"].set_result(row)
    assert await waiting == BEGUN | row


async def test_b3_35_a_job_that_is_not_there_is_not_waited_for(served: Any) -> None:
    answer = await served.client.call_method("RunJobAndWait", ["nobody"])
    assert answer == {"success": False, "error": "there is no job 'nobody'"}


async def test_who_waits_gets_an_answer_when_the_daemon_stops(served: Any, waiting: Any) -> None:
    await served.cron.stop()
    answer = await waiting
    assert answer["success"] is False
    assert answer["error"].startswith("the daemon stops")
    assert answer["execution_id"] == "run-1"


async def test_a_client_that_waits_no_longer_leaves_the_run_alone(served: Any) -> None:
    with pytest.raises(ConnectionError, match="no answer within"):
        await served.client.call_method("RunJobAndWait", ["daily_standup"], timeout_s=0.01)
    await until(lambda: "run-1" in served.daemon.ends, "the call")
    served.daemon.ends["run-1"].set_result({"success": True})
    assert await served.client.ping()


async def test_so_many_may_wait_and_no_more() -> None:
    daemon = ScriptedDaemon()
    place = Place(daemon, "org.example.Cron", lambda: None)
    calls, caller = Calls(place), Caller(":1.1", 1, 0)
    asked = [asyncio.ensure_future(calls.perform("run_job_and_wait", ["daily_standup"], caller)) for _ in range(200)]
    while len(daemon.ends) < 200:
        await asyncio.sleep(0)
    assert "200 callers wait for runs already" in await calls.perform("run_job_and_wait", ["daily_standup"], caller)
    place.closing.set()
    assert all("the daemon stops" in answer for answer in await asyncio.gather(*asked))
    await calls.all_answered()
    assert not place.waiting

"""Who hears of what a node performs, and sinks that are given nothing for a while."""

import pytest

from engine.scripted import Member
from support.clock import VirtualClock
from support.stores import NOON, QUEUE, a_job, key, s
from wakeful.core.job import Notify, RetryPolicy
from wakeful.core.ports import Claim
from wakeful.core.run import Failed, Rejected, Skipped, Succeeded
from wakeful.core.settlement import Settlement

pytestmark = pytest.mark.anyio


class Heard:
    def __init__(self, *, raises: bool = False) -> None:
        self.lines: list[str] = []
        self._raises = raises

    def started(self, claim: Claim) -> None:
        self.lines.append(f"{claim.job.key.name} {claim.run.attempt}")
        if self._raises:
            raise ValueError("deaf")

    def settled(self, claim: Claim, settlement: Settlement) -> None:
        self.lines.append(f"{claim.job.key.name} {settlement.state}")
        if self._raises:
            raise ValueError("deaf")


async def test_each_attempt_is_told_when_it_begins_and_once_its_end_is_written(
    node: Member, clock: VirtualClock
) -> None:
    node.sink(answers=[Failed("no"), Succeeded()])
    deaf, heard = Heard(raises=True), Heard()
    node.scheduler.observe(deaf)
    stop = node.scheduler.observe(heard)
    await node.put(a_job(due="1s", retry=RetryPolicy(1, s(1))))
    await clock.advance(5)
    assert heard.lines == ["tick 1", "tick waiting", "tick 2", "tick succeeded"]
    assert deaf.lines == heard.lines

    stop()
    await node.put(a_job("more"))
    await clock.advance(1)
    assert len(heard.lines) == 4


async def test_who_is_to_be_told_of_a_failure_is_told_by_another_run(node: Member, clock: VirtualClock) -> None:
    node.sink(answers=[Rejected("never")])
    told = node.sink(queue="notify/default")
    await node.put(a_job(due="1s", notify=Notify(("slack",), "notify/default")))
    await clock.advance(2)
    assert [one.claim.job.target.address for one in told.given] == ["slack"]


async def test_a_place_that_is_held_back_gets_nothing_new_and_finishes_what_it_has(
    node: Member, clock: VirtualClock
) -> None:
    sink = node.sink(takes_s=1.5)
    (place,) = node.engine._places
    await node.put(a_job(schedule="@every 1s", max_running=5))
    await clock.advance(1.2)
    place.hold()
    await clock.advance(10)
    assert len(sink.given) == 1
    assert sink.cancelled == []
    assert node.engine.health().ok
    place.resume()
    await clock.advance(0.1)
    assert len(sink.given) == 2
    assert QUEUE in node.engine.health().details["queues"]  # type: ignore[operator]


async def test_why_of_a_run_that_was_begun_and_left_is_its_reason(node: Member, clock: VirtualClock) -> None:
    node.sink(default=Skipped("the condition {count > 0} was false"))
    await node.put(a_job(schedule="@every 1h"))
    # The hour before has a heartbeat every two seconds, and nothing else.
    clock.leap(3590)
    await clock.advance(11)
    said = await node.scheduler.why(key("tick"), NOON + s(3600))
    assert said == "2026-03-02T13:00:00Z: its run was begun and left: the condition {count > 0} was false."

"""Deliveries: what an unavailable sink, a failure, and a bug in a sink cost."""

import asyncio
import logging

import pytest

from engine.scripted import Member, ScriptedSink
from support.clock import VirtualClock
from support.stores import LIKE_DAPR, NOON, QUEUE, a_job, ms, records, s, the_job
from wakeful.core.job import CountedFrom, JobState, RetryPolicy
from wakeful.core.run import Failed, Rejected, RunState, Unavailable
from wakeful.engine import places

pytestmark = pytest.mark.anyio

OTHER = "app/default/b"


# ── unavailable, detached ──


async def test_a_sink_gets_nothing_before_it_says_that_it_is_available(node: Member, clock: VirtualClock) -> None:
    sink = ScriptedSink(clock)
    sink.up.clear()
    node.engine.attach(QUEUE, sink, 10)
    await node.put(a_job())
    await clock.advance(5)
    assert sink.given == []
    assert await node.all_runs() == []

    sink.up.set()
    await clock.advance(0.01)

    assert [one.run.attempt for one in sink.given] == [1]


async def test_a_sink_that_becomes_unavailable_costs_no_attempt_and_gets_the_same_run_once_it_is_back(
    node: Member, clock: VirtualClock
) -> None:
    sink = node.sink(answers=[Unavailable("refused"), Unavailable("refused")])
    await node.put(a_job(retry=RetryPolicy(0)))
    sink.up.clear()
    await clock.advance(30)
    assert len(sink.given) == 1
    (waiting,) = await node.history()
    assert (waiting.state, waiting.attempt) == (RunState.WAITING, 0)

    for _ in range(2):
        sink.up.set()
        await clock.advance(0.05)

    assert [one.run.attempt for one in sink.given] == [1, 1, 1]
    assert len(set(sink.runs)) == 1
    (run,) = await node.history()
    assert (run.state, run.attempt, run.errors) == (RunState.SUCCEEDED, 1, ())


async def test_a_sink_whose_available_raises_is_asked_again(
    node: Member, clock: VirtualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    # This pause is real time.
    monkeypatch.setattr(places, "PROBE_AGAIN_S", 0.01)

    class Stumbling(ScriptedSink):
        async def available(self) -> None:
            await super().available()
            if self.asked == 1:
                raise OSError("no such host")

    sink = Stumbling(clock)
    node.engine.attach(QUEUE, sink, 1)
    await node.put(a_job())

    await clock.until(lambda: sink.given, trickle=ms(20))


async def test_while_one_sink_is_unavailable_the_other_of_its_queue_gets_the_runs(
    node: Member, clock: VirtualClock
) -> None:
    down, up = node.sink(), node.sink()
    down.default = Unavailable("refused")
    await clock.advance(0.1)
    down.up.clear()
    await node.put(*(a_job(f"job-{number}") for number in range(6)))

    await clock.until(lambda: len(up.given) == 6)

    assert len(down.given) <= 3
    assert {one.run.attempt for one in up.given} == {1}


async def test_detaching_a_sink_cancels_its_delivery_and_the_run_goes_to_the_other(
    node: Member, clock: VirtualClock
) -> None:
    first = ScriptedSink(clock)
    first.hold()
    place = node.engine.attach(QUEUE, first, 1)
    await node.put(a_job(retry=RetryPolicy(0)))
    await clock.until(lambda: first.given)

    second = node.sink()
    place.detach()
    await clock.advance(0.05)

    assert first.cancelled == first.runs == second.runs
    assert second.given[0].run.attempt == 1
    assert not place.attached
    assert [run.state for run in await node.history()] == [RunState.SUCCEEDED]


async def test_a_run_claimed_for_a_sink_that_has_just_gone_waits_for_the_next(
    node: Member, clock: VirtualClock
) -> None:
    place = node.engine.attach(QUEUE, ScriptedSink(clock), 1)
    await clock.advance(0.1)

    async def detach() -> None:
        node.store.heal()
        place.detach()

    node.store.after["claim_due"] = detach
    await node.put(a_job(retry=RetryPolicy(0)))
    await clock.advance(0.1)
    sink = node.sink()
    await clock.advance(2)

    assert [one.run.attempt for one in sink.given] == [1]


async def test_a_sink_that_goes_in_the_moment_of_the_claim_leaves_the_run_to_the_next(
    node: Member, clock: VirtualClock
) -> None:
    """Its delivery is a task that has not taken its first step."""
    place = node.engine.attach(QUEUE, ScriptedSink(clock), 1)
    await clock.advance(0.1)

    async def detach_soon() -> None:
        node.store.heal()
        asyncio.get_running_loop().call_soon(place.detach)

    node.store.after["claim_due"] = detach_soon
    await node.put(a_job(retry=RetryPolicy(0)))
    await clock.advance(0.1)
    sink = node.sink()
    await clock.advance(2)

    assert [one.run.attempt for one in sink.given] == [1]
    assert node.engine.health().details["in_flight"] == 0


# ── again ──


async def test_a_failed_attempt_comes_again_an_interval_after_it_was_due(node: Member, clock: VirtualClock) -> None:
    sink = node.sink(answers=[Failed("one"), Failed("two"), Failed("three")])
    await node.put(a_job(schedule="@every 10s", **LIKE_DAPR | {"retry": RetryPolicy(2, s(1), CountedFrom.DUE)}))

    await clock.advance(20)

    first = sink.given[:3]
    assert [one.at for one in first] == [NOON + s(10), NOON + s(11), NOON + s(12)]
    assert [one.run.attempt for one in first] == [1, 2, 3]
    assert len({one.run.id for one in first}) == 1
    failed, succeeded = await node.history()
    assert (failed.state, failed.reason, failed.attempt) == (RunState.FAILED, "attempts_exhausted", 3)
    assert [error["error"] for error in failed.errors] == ["one", "two", "three"]
    # The job's next instant came all the same.
    assert (succeeded.state, succeeded.scheduled_for) == (RunState.SUCCEEDED, NOON + s(20))
    assert sink.given[3].at == NOON + s(20)


@pytest.mark.parametrize(("counted_from", "again_at"), [(CountedFrom.DUE, 3), (CountedFrom.FAILURE, 4)])
async def test_after_a_slow_failure_the_policy_says_from_when_the_interval_counts(
    node: Member, clock: VirtualClock, counted_from: CountedFrom, again_at: int
) -> None:
    sink = node.sink(answers=[Failed("slow")], takes_s=3)
    await node.put(a_job(retry=RetryPolicy(1, s(1), counted_from)))

    await clock.advance(5)

    first, second = sink.given
    # The engine leaves a few milliseconds between two turns.
    assert s(0) <= second.at - first.at - s(again_at) <= ms(5)


@pytest.mark.parametrize(
    ("answer", "retry", "reason"),
    [
        pytest.param(Failed("no"), RetryPolicy(0), "attempts_exhausted", id="drop"),
        pytest.param(Rejected("no handler"), RetryPolicy(5), "rejected", id="rejected"),
    ],
)
async def test_what_is_not_to_be_retried_is_tried_once(
    node: Member, clock: VirtualClock, answer: Failed | Rejected, retry: RetryPolicy, reason: str
) -> None:
    sink = node.sink(answers=[answer])
    await node.put(a_job(retry=retry))

    await clock.advance(30)

    assert len(sink.given) == 1
    (run,) = await node.history()
    assert (run.state, run.reason) == (RunState.FAILED, reason)


async def test_a_sink_that_raises_costs_one_attempt_and_not_the_engine(node: Member, clock: VirtualClock) -> None:
    sink, beside = node.sink(answers=[RuntimeError("bug in the sink")]), node.sink(OTHER)
    await node.put(a_job(retry=RetryPolicy(1, s(1))), a_job("beside", "@every 1s", queue=OTHER))

    await clock.advance(3)

    assert [one.run.attempt for one in sink.given] == [1, 2]
    assert len(beside.given) == 3
    (run,) = await node.history()
    assert run.state is RunState.SUCCEEDED
    assert [error["error"] for error in run.errors] == ["RuntimeError: bug in the sink"]
    assert node.engine.health().ok


async def test_an_error_text_that_can_not_be_encoded_costs_one_attempt_and_not_the_engine(
    node: Member, clock: VirtualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The log would bring that text into the test's report, which can't be encoded either.
    monkeypatch.setattr(logging.getLogger("wakeful.engine"), "disabled", True)
    sink = node.sink(answers=[OSError("no such file: caf\udce9")])
    await node.put(a_job(retry=RetryPolicy(1, s(1))), a_job("beside", "@every 1s"))

    await clock.advance(5)

    assert sink.names.count("beside") == 5
    assert [run.state for run in await node.history()] == [RunState.SUCCEEDED]
    assert node.engine.health().ok


# ── scenarios ──


async def test_ten_ticks_of_a_millisecond_reach_a_slow_app_one_after_the_other(
    node: Member, clock: VirtualClock
) -> None:
    sink = node.sink(takes_s=0.05)
    await node.put(a_job(schedule="@every 1ms", ttl="10ms", **LIKE_DAPR))

    await clock.advance(2)

    assert [one.run.scheduled_for for one in sink.given] == [NOON + ms(number) for number in range(1, 11)]
    assert sink.most == 1
    (job,) = await records(node.store)
    assert (job.state, job.succeeded, job.next_due_at) == (JobState.COMPLETED, 10, None)


async def test_an_interval_of_zero_is_due_as_often_as_it_repeats(node: Member, clock: VirtualClock) -> None:
    sink = node.sink()
    await node.put(a_job(schedule="@every 0s", repeats=5, **LIKE_DAPR))

    await clock.advance(1)

    assert [(one.run.seq, one.run.scheduled_for) for one in sink.given] == [(seq, NOON) for seq in range(1, 6)]
    (job,) = await records(node.store)
    assert (job.state, job.succeeded) == (JobState.COMPLETED, 5)


async def test_the_name_of_a_finished_job_is_free_at_once(node: Member, clock: VirtualClock) -> None:
    sink = node.sink()
    await node.put(a_job())
    await clock.advance(0.1)

    await node.put(a_job(now=clock.now()))
    await clock.advance(0.1)

    assert len(sink.given) == 2
    with pytest.raises(AssertionError):
        await the_job(node.store)

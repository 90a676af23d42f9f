"""Polling: what is new counts, and is dealt with once."""

import asyncio
import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from wakeful.targets.poll import REMEMBERED, Poller
from wakeful.targets.poll_fetch import PollError
from wakeful.targets.poll_source import read_source

pytestmark = pytest.mark.anyio

Open = Callable[..., Any]


def mr(number: int, days: float = 0, watch: Any = None) -> dict[str, Any]:
    made = {"iid": number, "title": f"!{number}"}
    return made if watch is None else {**made, "created_at": (watch.now - timedelta(days=days)).isoformat()}


async def test_c2_6_any_item_triggers(watch: Open) -> None:
    job = watch("any")
    found = await job.look(mr(1), mr(2))
    assert (found.triggered, found.items, found.count, found.reason) == (True, [mr(1), mr(2)], 2, "")
    nothing = await job.look()
    assert (nothing.triggered, nothing.items, nothing.count) == (False, [], 0)
    assert nothing.reason == "any: 0 of 0 items count"


async def test_c2_6_a_count_triggers(watch: Open) -> None:
    job = watch("count > 2")
    assert not (await job.look(mr(1), mr(2))).triggered
    found = await job.look(mr(1), mr(2), mr(3))
    assert (found.triggered, found.count) == (True, 3)


async def test_c2_6_an_age_triggers_and_only_those_items_are_handed_on(watch: Open) -> None:
    job = watch("age > 3d")
    young, old = mr(1, 2, job), mr(2, 4, job)
    found = await job.look(young, old, {"iid": 3})
    assert (found.triggered, found.items, found.count) == (True, [old], 1)
    assert (await job.look(young)).reason == "age > 3d: 0 of 1 items count"


async def test_c2_6_an_item_that_was_dealt_with_is_not_counted_for_a_day(watch: Open) -> None:
    job = watch("any")
    await job.mark(await job.look(mr(1), mr(2)))
    again = await job.look(mr(1), mr(2))
    assert (again.triggered, again.count) == (False, 0)
    assert again.reason == "any: 0 of 2 items count, 2 were dealt with before"
    job.now += timedelta(hours=1)
    assert (await job.look(mr(1), mr(3))).items == [mr(3)]
    job.now += timedelta(hours=22, minutes=59)
    assert not (await job.look(mr(1))).triggered
    job.now += timedelta(minutes=1)
    assert (await job.look(mr(1))).items == [mr(1)]


async def test_an_item_is_remembered_only_once_its_run_has_succeeded(watch: Open) -> None:
    job = watch("any")
    assert (await job.look(mr(1))).triggered
    assert (await job.look(mr(1))).triggered
    assert not job.kept.texts


async def test_what_one_job_has_dealt_with_is_new_to_another(watch: Open) -> None:
    job = watch("any")
    await job.mark(await job.look(mr(1)))
    assert (await watch("any", kept=job.kept, job="other").look(mr(1))).triggered


@pytest.mark.parametrize(
    ("first", "second", "same"),
    [
        ({"id": 1, "title": "a"}, {"id": 1, "title": "b"}, True),
        ({"id": 1}, {"id": "1"}, True),
        ({"id": 1, "iid": 7}, {"id": 2, "iid": 7}, False),
        ({"iid": 7, "key": "A"}, {"iid": 7, "key": "B"}, True),
        ({"key": "AAP-1", "n": 1}, {"key": "AAP-1", "n": 2}, True),
        ({"id": None, "key": "A"}, {"id": "", "key": "A"}, True),
        ({"id": 0}, {"id": 0, "x": 1}, True),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}, True),
        ({"a": 1}, {"a": 2}, False),
        ("line", "line", True),
        ("line", "other line", False),
        ([1, 2], [1, 2], True),
        ("1", 1, False),
    ],
)
async def test_an_item_is_told_by_its_id_or_else_by_its_content(
    watch: Open, first: object, second: object, same: bool
) -> None:
    job = watch("any")
    await job.mark(await job.look(first))
    assert (await job.look(second)).triggered is not same


async def test_an_item_that_is_there_twice_is_one(watch: Open) -> None:
    found = await watch("count = 2").look(mr(1), mr(2), mr(1))
    assert (found.triggered, found.count) == (True, 2)


async def test_a_condition_that_asks_for_few_is_about_all_that_is_there(watch: Open) -> None:
    job = watch("any")
    await job.mark(await job.look(*(mr(number) for number in range(5))))
    few = watch("count < 3", kept=job.kept)
    assert not (await few.look(*(mr(number) for number in range(5)))).triggered
    found = await few.look(mr(1))
    assert (found.triggered, found.items, found.count, found.keys) == (True, [mr(1)], 1, ())
    assert (await watch("count = 0", kept=job.kept).look()).triggered


async def test_a_thousand_are_handed_on_and_the_rest_comes_next(watch: Open) -> None:
    job = watch("any")
    items = [mr(number) for number in range(REMEMBERED + 7)]
    found = await job.look(*items)
    assert (found.count, found.items) == (REMEMBERED + 7, items[:REMEMBERED])
    await job.mark(found)
    rest = await job.look(*items)
    assert rest.items == items[REMEMBERED:]
    job.now += timedelta(minutes=1)
    await job.mark(rest)
    # The newest thousand are remembered: seven of the first batch are not.
    assert len(json.loads(job.kept.texts["triage"])) == REMEMBERED
    assert (await job.look(*items)).count == 7


async def test_what_was_kept_and_makes_no_sense_is_forgotten(watch: Open) -> None:
    job = watch("any")
    found = await job.look(mr(1))
    (key,) = found.keys
    far = (job.now + timedelta(days=400)).isoformat()
    for at in ("yesterday", "2026-01-26", far):
        job.kept.texts["triage"] = json.dumps({key: at})
        assert (await job.look(mr(1))).triggered
    await job.mark(found)
    assert json.loads(job.kept.texts["triage"]) == {key: job.now.isoformat()}


async def test_two_runs_that_end_at_once_are_both_remembered(watch: Open) -> None:
    job = watch("any")
    first, second = await job.look(mr(1)), await job.look(mr(2))
    poller = Poller(job.kept, {})
    await asyncio.gather(*(poller.mark(found, job.job, job.now) for found in (first, second)))
    assert not (await job.look(mr(1), mr(2))).triggered


async def test_a_source_that_says_nothing_is_no_source_without_items(watch: Open) -> None:
    poller = Poller(watch().kept, {"PATH": "/usr/bin:/bin"})
    source = read_source({"type": "command", "command": ["false"], "condition": "count = 0"})
    with pytest.raises(PollError, match=r"^false: exit code 1$"):
        await poller.check(source, "triage", watch().now)


async def test_a_command_does_not_see_what_is_withheld(watch: Open) -> None:
    environment = {"PATH": "/usr/bin:/bin", "SLACK_TOKEN": "xoxb-1", "PLAIN": "1"}
    poller = Poller(watch().kept, environment, withheld=lambda: ["SLACK_TOKEN"])
    source = read_source({"type": "command", "command": ["printenv"], "condition": "any"})
    found = await poller.check(source, "triage", watch().now)
    assert "PLAIN=1" in found.items
    assert not any("SLACK_TOKEN" in item for item in found.items)

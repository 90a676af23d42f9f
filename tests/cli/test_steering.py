"""Pause, resume, run, backfill, cancel, retry: what they do to a job, and what they say."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest

from support.stores import a_job
from wakeful.core.job import Catchup
from wakeful.core.run import Failed

pytestmark = pytest.mark.slow

Command = Callable[..., Any]
Fill = Callable[..., None]

NOBODY = "01936a7e-0000-7000-8000-000000000000"


def runs(wakeful: Command, name: str = "tick") -> list[dict[str, Any]]:
    return wakeful("job", "runs", name, "--json").json  # type: ignore[no-any-return]


def test_a_paused_job_shows_its_note_until_it_is_resumed(wakeful: Command, fill: Fill) -> None:
    fill(a_job("tick", "@every 10m"))

    paused = wakeful("job", "pause", "tick", "--note", "the printer is on fire")
    assert paused.out == "paused tick of app/a: the printer is on fire\n"
    shown = wakeful("job", "show", "tick", "--json").json
    assert (shown["state"], shown["note"]) == ("paused", "the printer is on fire")
    assert "on fire" in wakeful("job", "show", "tick").out

    resumed = wakeful("job", "resume", "tick", "--json").json
    assert (resumed["state"], resumed["note"]) == ("active", None)


def test_resuming_replays_nothing_unless_asked(wakeful: Command, fill: Fill) -> None:
    jobs = (a_job(name, "@every 10m", catchup=Catchup.ALL) for name in ("tick", "tock"))
    fill(*jobs, paused=True)

    assert "next due 2026-03-02 13:10:00Z" in wakeful("job", "resume", "tick").out
    (skipped,) = runs(wakeful)
    assert (skipped["state"], skipped["reason"], skipped["instants"]) == ("skipped", "paused", 6)

    assert "next due 2026-03-02 12:10:00Z" in wakeful("job", "resume", "tock", "--replay").out
    assert runs(wakeful, "tock") == []


def test_what_was_due_before_a_pause_is_not_lost_by_it(wakeful: Command, fill: Fill) -> None:
    fill(a_job("tick", "@every 10m", catchup=Catchup.ALL))
    wakeful("job", "pause", "tick")

    assert "next due 2026-03-02 12:10:00Z" in wakeful("job", "resume", "tick").out
    assert runs(wakeful) == []


def test_a_run_beside_the_schedule_leaves_it_alone(wakeful: Command, fill: Fill) -> None:
    fill(a_job("tick", "@every 2h"))
    before = wakeful("job", "show", "tick", "--json").json

    printed = wakeful("job", "run", "tick").out.strip()

    (run,) = runs(wakeful)
    assert (run["id"], run["cause"], run["state"]) == (str(UUID(printed)), "manual", "waiting")
    assert wakeful("job", "show", "tick", "--json").json["next_run_at"] == before["next_run_at"]
    assert printed in wakeful("job", "runs", "tick").out
    assert set(wakeful("job", "run", "tick", "--json").json) == {"run"}


def test_a_backfill_is_tried_dry_first_and_then_made(wakeful: Command, fill: Fill) -> None:
    fill(a_job("tick", "0 */10 * * * *"))
    span = ["--from=2026-03-02T12:00:01Z", "--to=2026-03-02T12:30:00Z"]
    wanted = [f"2026-03-02T12:{minute}:00Z" for minute in (10, 20, 30)]

    dry = wakeful("job", "backfill", "tick", *span, "--dry-run")
    assert dry.out.splitlines() == [*wanted, "3 runs would be made"]
    assert wakeful("job", "backfill", "tick", *span, "--dry-run", "--json").json == {"instants": wanted}
    assert runs(wakeful) == []

    made = wakeful("job", "backfill", "tick", *span, "--json").json["runs"]
    backfilled = [run for run in runs(wakeful) if run["cause"] == "backfill"]
    assert sorted(run["id"] for run in backfilled) == sorted(made)
    assert sorted(run["scheduled_for"] for run in backfilled) == wanted


def test_a_backfill_reaches_back_before_the_definition(wakeful: Command, fill: Fill) -> None:
    fill(a_job("tick", "0 0 9 * * *"), a_job("every", "@every 10m"))
    span = ["--from=2026-02-01T00:00:00Z", "--to=2026-02-02T23:00:00Z"]

    dry = wakeful("job", "backfill", "tick", *span, "--dry-run")
    assert dry.out.splitlines() == ["2026-02-01T09:00:00Z", "2026-02-02T09:00:00Z", "2 runs would be made"]
    assert dry.err == ""
    assert len(wakeful("job", "backfill", "tick", *span, "--json").json["runs"]) == 2

    refused = wakeful("job", "backfill", "every", *span, "--dry-run")
    assert (refused.code, refused.out) == (2, "")
    assert "the schedule begins at 2026-03-02T12:10:00Z" in refused.err
    some = wakeful("job", "backfill", "every", span[0], "--to=2026-03-02T12:20:00Z", "--dry-run", "--json")
    assert some.json == {"instants": ["2026-03-02T12:10:00Z", "2026-03-02T12:20:00Z"]}
    assert "the schedule begins at 2026-03-02T12:10:00Z" in some.err


@pytest.mark.parametrize(
    ("flags", "word"),
    [
        ("--from=2026-03-02T12:00:00Z --to=2026-03-02T12:59:00Z --limit=2", "more than 2"),
        ("--from=2026-03-02T12:00:00Z --to=2026-03-02T12:59:00Z --limit=0", "limit"),
        ("--from=2026-03-02T12:00:00Z --to=2026-03-02T12:59:00Z --limit=99999", "limit"),
        ("--from=2026-03-02T12:00:00Z --to=2036-03-02T12:59:00Z", "past"),
        ("--from=2026-03-02T12:00:00Z --to=2026-03-01T12:00:00Z", "--to"),
        ("--from=yesterday --to=2026-03-01T12:00:00Z", "--from 'yesterday'"),
        ("--from=2026-03-01T12:00:00Z --to=2026-03-01", "--to"),
    ],
)
def test_a_backfill_that_can_not_be_makes_nothing(wakeful: Command, fill: Fill, flags: str, word: str) -> None:
    fill(a_job("tick", "0 */10 * * * *"))
    result = wakeful("job", "backfill", "tick", *flags.split())
    assert result.code == 2
    assert word in result.err
    assert runs(wakeful) == []


def test_a_run_is_cancelled_once(wakeful: Command, fill: Fill) -> None:
    fill(a_job("tick", due="2h"))
    run = wakeful("job", "run", "tick").out.strip()

    assert wakeful("job", "cancel", run).out == f"cancelled {run}\n"
    assert runs(wakeful)[0]["state"] == "cancelled"
    again = wakeful("job", "cancel", run)
    assert again.code == 3
    assert run in again.err


def test_a_failed_run_is_done_again_as_a_new_one(wakeful: Command, fill: Fill) -> None:
    fill(a_job("tick", "@every 1s", at_most_once=True), outcomes={"tick": Failed("HTTP 500")})
    (old,) = [run for run in runs(wakeful) if run["state"] == "failed"]

    new = wakeful("job", "retry", old["id"], "--json").json

    assert new["retry_of"] == old["id"]
    (run,) = [run for run in runs(wakeful) if run["id"] == new["run"]]
    assert (run["cause"], run["retry_of"], run["scheduled_for"]) == ("retry", old["id"], old["scheduled_for"])
    assert wakeful("job", "retry", new["run"]).code == 3


@pytest.mark.parametrize("verb", ["cancel", "retry"])
@pytest.mark.parametrize(("run", "code"), [(NOBODY, 3), ("tick", 2), ("", 2), ("\x1b[2J", 2)])
def test_a_run_that_is_none_is_a_plain_error(wakeful: Command, verb: str, run: str, code: int) -> None:
    result = wakeful("job", verb, run)
    assert result.code == code
    assert result.out == ""
    assert result.err.startswith("wakeful: ")
    assert result.err.strip().isprintable()


@pytest.mark.parametrize("verb", ["pause", "resume", "run"])
def test_a_job_that_is_not_there_is_exit_code_3(wakeful: Command, verb: str) -> None:
    result = wakeful("job", verb, "nothing")
    assert (result.code, result.out) == (3, "")
    assert "'nothing'" in result.err


def test_a_note_has_a_bound_and_moves_no_cursor(wakeful: Command, fill: Fill) -> None:
    fill(a_job("tick", due="2h"))
    assert wakeful("job", "pause", "tick", "--note", "x" * 1001).code == 2
    said = wakeful("job", "pause", "tick", "--note", "\x1b[2J\u2028").out + wakeful("job", "show", "tick").out
    assert said.replace("\n", "").isprintable()

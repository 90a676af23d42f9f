"""`wakeful why`, `simulate` and `doctor`."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import apsw
import pytest

from support.stores import a_job, key
from wakeful.core.run import Failed, Succeeded

Command = Callable[..., Any]
Fill = Callable[..., None]

NOON = "2026-03-02T12:00:00Z"


# ── why ──


def test_why_says_in_a_sentence_what_became_of_an_instant(wakeful: Command, fill: Fill) -> None:
    fill(a_job("good"), a_job("later", due="4h"), outcomes={"good": Succeeded()})

    assert "ran and succeeded" in wakeful("why", "good", NOON).out
    assert "still to come" in wakeful("why", "later", "2026-03-02T16:00:00Z").out
    assert wakeful("why", "good", "2026-03-02T13:00:00+01:00", "--json").json == {
        "namespace": "default",
        "owner": "app/a",
        "name": "good",
        "instant": NOON,
        "why": wakeful("why", "good", NOON).out.strip(),
    }


def test_why_of_a_failure_tells_the_error_without_moving_the_cursor(wakeful: Command, fill: Fill) -> None:
    fill(a_job("bad", at_most_once=True), outcomes={"bad": Failed("out of cheese \x1b[2J\u202e")})
    said = wakeful("why", "bad", NOON).out.strip()
    assert "out of cheese" in said
    assert said.isprintable()


@pytest.mark.parametrize(
    ("name", "instant", "code"),
    [("nothing", NOON, 3), ("tick", "noon", 2), ("tick", "2026-03-02T12:00:00", 2), ("tick", "", 2)],
)
def test_why_of_nothing_is_a_plain_error(wakeful: Command, fill: Fill, name: str, instant: str, code: int) -> None:
    fill(a_job("tick", due="1h"))
    result = wakeful("why", name, instant)
    assert (result.code, result.out) == (code, "")
    assert result.err.startswith("wakeful: ")


# ── simulate ──


def test_a_week_of_all_jobs_is_counted_and_nothing_runs(wakeful: Command, fill: Fill) -> None:
    fill(a_job("hourly", "0 0 * * * *"), a_job(key("daily", owner="app/z", namespace="other"), "0 0 9 * * *"))

    found = wakeful("simulate", "--json").json

    assert (found["from"], found["through"]) == ("2026-03-02T13:00:00Z", "2026-03-09T13:00:00Z")
    counted = {job["name"]: (job["instants"], job["first"], job["last"]) for job in found["jobs"]}
    assert counted == {
        "hourly": (168, "2026-03-02T14:00:00Z", "2026-03-09T13:00:00Z"),
        "daily": (7, "2026-03-03T09:00:00Z", "2026-03-09T09:00:00Z"),
    }
    assert found["busiest"][0] == {"minute": "2026-03-03T09:00:00Z", "instants": 2}
    assert wakeful("job", "runs", "hourly", "--json").json == []


def test_a_simulation_has_a_time_and_may_be_of_some_jobs(wakeful: Command, fill: Fill) -> None:
    fill(a_job("hourly", "0 0 * * * *"), a_job(key("daily", owner="app/z", namespace="other"), "0 0 9 * * *"))

    flags = ["--from=2026-04-01T00:00:00Z", "--for=3h30m"]
    page = wakeful("simulate", *flags, "--app-id=a").out
    assert page.splitlines()[1].split()[:4] == ["hourly", "app/a", "default", "3"]
    assert "daily" not in page
    assert [job["name"] for job in wakeful("simulate", "--json", "--namespace=other").json["jobs"]] == ["daily"]


@pytest.mark.slow
def test_a_simulation_ends_with_the_repeats_and_says_where_it_was_cut_off(wakeful: Command) -> None:
    wakeful("job", "put", "b", "R3/PT1M", "--app-id=x")
    wakeful("job", "put", "c", "@every 1m", "--repeats=2", "--app-id=x")
    wakeful("job", "put", "e", "@every 1ms", "--app-id=x")

    found = wakeful("simulate", "--for=7d", "--json").json
    counted = {job["name"]: (job["instants"], job["last"], job["cut_off"]) for job in found["jobs"]}
    assert counted == {
        "b": (3, "2026-03-02T13:03:00Z", False),
        "c": (2, "2026-03-02T13:02:00Z", False),
        "e": (1_000_000, None, True),
    }
    page = wakeful("simulate", "--for=7d").out
    assert "over 1000000" in page
    assert "Counting ended after 1000000 instants of e" in page
    assert "Counting ended" not in wakeful("simulate", "--for=1m").out


def test_a_simulation_of_nothing_says_so(wakeful: Command) -> None:
    assert wakeful("simulate").out == "No jobs.\n"


@pytest.mark.parametrize("flag", ["--for=0s", "--for=367d", "--for=-1h", "--for=week", "--from=today"])
def test_a_time_that_can_not_be_simulated_is_named(wakeful: Command, flag: str) -> None:
    result = wakeful("simulate", flag)
    assert (result.code, result.out) == (2, "")
    assert flag.split("=", maxsplit=1)[0] in result.err


# ── doctor ──


def test_the_doctor_makes_no_file(wakeful: Command, path: Path) -> None:
    result = wakeful("doctor")
    assert result.code == 0
    assert str(path) in result.out
    assert list(path.parent.iterdir()) == []
    assert wakeful("doctor", "--json").json["new"] is True


def test_the_doctor_finds_a_sound_store_sound(wakeful: Command, fill: Fill, path: Path) -> None:
    fill(a_job("tick", "@every 1s"), outcomes={"tick": Succeeded()})

    result = wakeful("doctor", "--json")

    assert result.code == 0
    assert set(result.json) == {"ok", "version", "tzdata", "sqlite", "store", "new", "findings"}
    assert (result.json["ok"], result.json["findings"], result.json["store"]) == (True, [], str(path))
    assert "all is well" in wakeful("doctor").out


def test_the_doctor_finds_a_file_that_is_no_store(wakeful: Command, path: Path) -> None:
    path.write_bytes(b"hello, I am a text file\n" * 50)
    result = wakeful("doctor")
    assert result.code == 1
    assert "wrong: " in result.out
    assert wakeful("doctor", "--json").json["ok"] is False


def test_the_doctor_finds_a_ledger_that_does_not_add_up(wakeful: Command, fill: Fill, path: Path) -> None:
    fill(a_job("tick", "@every 1s"), outcomes={"tick": Succeeded()})
    apsw.Connection(str(path)).execute("UPDATE jobs SET seq = seq + 5")
    result = wakeful("doctor", "--json")
    assert result.code == 1
    assert len(result.json["findings"]) == 1

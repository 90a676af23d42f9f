"""`wakeful next`: when a schedule is due, what was understood, and what may surprise."""

import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Command = Callable[..., Any]

LINE = 'next "30 2 * * *" --dialect crontab --zone America/New_York --dst once --from 2026-03-07T00:00:00Z --count 5'


def test_the_clocks_change_and_the_job_is_due_once_each_day(wakeful: Command) -> None:
    result = wakeful(*shlex.split(LINE), "--json")

    assert result.code == 0
    assert result.json == [
        "2026-03-07T07:30:00Z",  # 02:30 EST
        "2026-03-08T07:00:00Z",  # 02:30 does not exist: 03:00 EDT is the first instant after it
        "2026-03-09T06:30:00Z",  # 02:30 EDT
        "2026-03-10T06:30:00Z",
        "2026-03-11T06:30:00Z",
    ]
    assert "warning: the clocks go forward" in result.err


def test_the_plain_form_tells_what_was_understood_each_instant_twice_and_the_warnings(wakeful: Command) -> None:
    result = wakeful(*shlex.split(LINE))

    understood, head, *instants, warning = result.out.splitlines()
    assert "02:30" in understood
    assert "America/New_York" in understood
    assert head.split("  ")[0] == "ON THE CLOCK"
    assert [line.split()[2:5] for line in instants] == [
        ["02:30:00", "EST", "2026-03-07T07:30:00Z"],
        ["03:00:00", "EDT", "2026-03-08T07:00:00Z"],
        ["02:30:00", "EDT", "2026-03-09T06:30:00Z"],
        ["02:30:00", "EDT", "2026-03-10T06:30:00Z"],
        ["02:30:00", "EDT", "2026-03-11T06:30:00Z"],
    ]
    assert instants[0].endswith("in 4 d 18 h")
    assert warning.startswith("warning: the clocks go forward")
    assert result.err == ""


@pytest.mark.parametrize(
    ("dst", "instants"),
    [
        ("once", ["2026-03-08T07:00:00Z", "2026-03-09T06:30:00Z"]),
        ("skip", ["2026-03-09T06:30:00Z", "2026-03-10T06:30:00Z"]),
        ("raw", ["2026-03-09T06:30:00Z", "2026-03-10T06:30:00Z"]),
    ],
)
def test_the_policy_decides_about_a_missing_time(wakeful: Command, dst: str, instants: list[str]) -> None:
    flags = f"--zone America/New_York --dst {dst} --from 2026-03-08T00:00:00Z --count 2 --json"
    assert wakeful("next", "30 2 * * *", *flags.split()).json == instants


def test_without_from_it_is_now_and_without_a_zone_utc(wakeful: Command) -> None:
    assert wakeful("next", "0 14 * * *", "--count=1", "--json").json == ["2026-03-02T14:00:00Z"]
    assert "Mon 2026-03-02 14:00:00 UTC  2026-03-02T14:00:00Z  in 1 h\n" in wakeful("next", "0 14 * * *").out


def test_from_itself_is_not_among_the_instants(wakeful: Command) -> None:
    flags = ["--from=2026-03-02T14:00:00+00:00", "--count=1", "--json"]
    assert wakeful("next", "0 14 * * *", *flags).json == ["2026-03-03T14:00:00Z"]


@pytest.mark.parametrize(
    ("schedule", "flags", "first"),
    [
        ("15 30 9 * * *", "--dialect dapr", "2026-03-03T09:30:15Z"),
        ("@every 90s", "--dialect dapr", "2026-03-02T13:01:30Z"),
        ("@daily", "--zone Asia/Kolkata", "2026-03-02T18:30:00Z"),
        ("CRON_TZ=Europe/Rome 0 9 * * *", "", "2026-03-03T08:00:00Z"),
        ("2026-03-05T10:00:00+01:00", "", "2026-03-05T09:00:00Z"),
    ],
)
def test_other_forms_of_schedules(wakeful: Command, schedule: str, flags: str, first: str) -> None:
    assert wakeful("next", schedule, *flags.split(), "--json").json[0] == first


@pytest.mark.parametrize(
    ("schedule", "word"),
    [
        ("0 0 13 * 5", "either is enough"),
        ("*/7 * * * *", "uneven"),
        ("0 0 29 2 *", "more than a year away"),
        ("2020-01-01T00:00:00Z", "has passed"),
    ],
)
def test_what_may_surprise_is_a_warning(wakeful: Command, schedule: str, word: str) -> None:
    plain, json = wakeful("next", schedule), wakeful("next", schedule, "--json")
    assert (plain.code, json.code) == (0, 0)
    assert "warning: " in plain.out
    assert word in plain.out
    assert word in json.err
    assert isinstance(json.json, list)


def test_an_instant_that_has_passed_is_due_at_once_and_not_never(wakeful: Command) -> None:
    result = wakeful("next", "2020-12-01T10:00:00Z")
    assert "Due at once." in result.out
    assert "Never due" not in result.out
    assert "warning: 2020-12-01 10:00:00 UTC has passed: it is due at once" in result.out


def test_a_schedule_without_surprises_has_no_warning(wakeful: Command) -> None:
    result = wakeful("next", "0 9 * * 1-5", "--json")
    assert (result.code, result.err) == (0, "")


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["61 * * * *"], "61"),
        (["0 0 30 2 *"], "never"),
        (["0 0 0 30 2 *", "--dialect=dapr"], "never"),
        (["@daily", "--zone=Nowhere/Atall"], "Nowhere/Atall"),
        (["@daily", "--dialect=dapr", "--zone=Europe/Rome"], "zone"),
        (["@daily", "--from=tomorrow"], "--from 'tomorrow'"),
        (["@daily", "--from=2026-03-07"], "2030-01-31T09:00:00Z"),
        (["@daily", "--from=2026-03-07T00:00:00"], "offset"),
        (["@daily", "--from=2026-02-30T00:00:00Z"], "February 2026 ends with day 28"),
        (["@daily", "--from=0001-01-01T00:00:00+23:00"], "no such date"),
        (["@daily", "--from=9999-01-01T00:00:00Z"], "1970 to 2200"),
        (["x" * 5000], "long"),
        (["\x1b[2J"], "printable"),
        ([""], "empty"),
    ],
)
def test_a_mistake_is_named_on_stderr(wakeful: Command, arguments: list[str], word: str) -> None:
    result = wakeful("next", *arguments)
    assert result.code == 2
    assert result.out == ""
    assert word in result.err
    assert result.err.replace("\n", "").isprintable()


def test_it_needs_no_store(wakeful: Command, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WAKEFUL_STORE", "sqlite:////nowhere/at/all.db")
    assert wakeful("next", "@daily").code == 0
    assert list(path.parent.iterdir()) == []

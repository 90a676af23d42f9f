"""`wakeful calendar`: named dates, and the jobs that follow them."""

import sys
from collections.abc import Callable
from typing import Any

import pytest

pytestmark = pytest.mark.slow

Command = Callable[..., Any]


def test_a_calendar_is_stored_listed_shown_and_deleted(wakeful: Command) -> None:
    stored = wakeful("calendar", "put", "feasts", "--dates=2026-12-26, 2026-12-25,2026-12-26")
    assert stored.out == "stored feasts: 2 dates, 2026-12-25 to 2026-12-26; jobs leave them out\n"

    fields = {"name": "feasts", "dates": ["2026-12-25", "2026-12-26"], "keep": False, "source": None}
    assert wakeful("calendar", "list", "--json").json == [fields]
    assert wakeful("calendar", "show", "feasts", "--json").json == fields
    assert "feasts" in wakeful("calendar", "list").out
    assert wakeful("calendar", "show", "feasts").out.splitlines()[1:] == ["Fri 2026-12-25", "Sat 2026-12-26"]

    assert wakeful("calendar", "delete", "feasts").out == "deleted feasts\n"
    assert wakeful("calendar", "list").out == "No calendars.\n"


def test_putting_again_changes_it(wakeful: Command) -> None:
    wakeful("calendar", "put", "days", "--dates=2026-12-25")
    changed = wakeful("calendar", "put", "days", "--dates=2027-01-01", "--keep", "--json").json
    assert wakeful("calendar", "list", "--json").json == [changed]
    assert changed == {"name": "days", "dates": ["2027-01-01"], "keep": True, "source": None}


def test_the_holidays_of_a_country_and_of_a_part_of_it(wakeful: Command) -> None:
    country = wakeful("calendar", "put", "us", "--holidays=US", "--years=2026-2027", "--json").json
    assert country["source"] == "holidays:US"
    assert {"2026-12-25", "2027-12-25", "2026-11-26"} <= set(country["dates"])
    assert all(day[:4] in ("2026", "2027") for day in country["dates"])
    part = wakeful("calendar", "put", "ca", "--holidays=US", "--subdiv=CA", "--years=2026", "--json").json
    assert part["source"] == "holidays:US-CA"
    assert "2026-03-31" in part["dates"]


def test_holidays_are_of_this_year_and_the_next_ten_if_nobody_says(wakeful: Command) -> None:
    dates = wakeful("calendar", "put", "de", "--holidays=DE", "--json").json["dates"]
    assert (dates[0][:4], dates[-1][:4]) == ("2026", "2036")


def test_without_the_package_it_says_what_to_install(wakeful: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "holidays", None)
    result = wakeful("calendar", "put", "us", "--holidays=US")
    assert result.code == 2
    assert "wakeful[calendar]" in result.err


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        ([], "--dates"),
        (["--dates=2026-12-25", "--holidays=US"], "--holidays"),
        (["--dates=Christmas"], "'Christmas'"),
        (["--dates=2026-02-30"], "2026-02-30"),
        (["--dates=,"], "--dates"),
        (["--dates=2026-12-25", "--years=2026"], "--years"),
        (["--holidays=Atlantis"], "Atlantis"),
        (["--holidays=US", "--subdiv=Mars"], "US-Mars"),
        (["--holidays=US", "--years=soon"], "--years"),
        (["--holidays=US", "--years=2030-2026"], "--years"),
        (["--holidays=US", "--years=1000-3000"], "--years"),
        (["--holidays=__class__"], "__class__"),
        (["--holidays=country_holidays"], "country_holidays"),
    ],
)
def test_a_mistake_is_named_and_nothing_is_stored(wakeful: Command, arguments: list[str], word: str) -> None:
    result = wakeful("calendar", "put", "x", *arguments)
    assert (result.code, result.out) == (2, "")
    assert word in result.err
    assert wakeful("calendar", "list", "--json").json == []


@pytest.mark.parametrize("name", ["", "a/b", "\x1b[2J", "x" * 600])
def test_a_name_that_can_not_be_is_refused(wakeful: Command, name: str) -> None:
    result = wakeful("calendar", "put", name, "--dates=2026-12-25")
    assert result.code == 2
    assert result.err.strip().isprintable()


@pytest.mark.parametrize("verb", ["show", "delete"])
def test_a_calendar_that_is_not_there_is_exit_code_3(wakeful: Command, verb: str) -> None:
    result = wakeful("calendar", verb, "nothing")
    assert (result.code, result.out) == (3, "")
    assert "'nothing'" in result.err


def test_a_job_leaves_out_the_days_of_its_calendar(wakeful: Command) -> None:
    wakeful("calendar", "put", "feasts", "--dates=2026-03-03,2026-03-05")
    job = wakeful("job", "put", "report", "0 9 * * *", "--app-id=a", "--calendar=feasts", "--json").json
    assert job["calendars"] == ["feasts"]
    assert job["next"] == ["2026-03-04T09:00:00Z", "2026-03-06T09:00:00Z", "2026-03-07T09:00:00Z"]


def test_a_job_may_run_on_the_days_of_its_calendar_only(wakeful: Command) -> None:
    wakeful("calendar", "put", "audits", "--dates=2026-06-30,2026-12-31", "--keep")
    job = wakeful("job", "put", "report", "0 9 * * *", "--app-id=a", "--calendar=audits", "--json").json
    assert job["next"] == ["2026-06-30T09:00:00Z", "2026-12-31T09:00:00Z"]


def test_a_day_is_that_of_the_jobs_zone(wakeful: Command) -> None:
    wakeful("calendar", "put", "feasts", "--dates=2026-03-03")
    flags = ["--app-id=a", "--calendar=feasts", "--zone=Pacific/Auckland", "--json"]
    job = wakeful("job", "put", "report", "0 9 * * *", *flags).json
    assert job["next"][0] == "2026-03-03T20:00:00Z"  # 4 March there


def test_a_calendar_that_a_job_names_stays(wakeful: Command) -> None:
    wakeful("calendar", "put", "feasts", "--dates=2026-03-03")
    wakeful("job", "put", "report", "0 9 * * *", "--app-id=a", "--calendar=feasts")
    refused = wakeful("calendar", "delete", "feasts")
    assert refused.code == 4
    assert "report of app/a" in refused.err
    assert wakeful("job", "show", "report", "--json").json["calendars"] == ["feasts"]
    wakeful("job", "delete", "report")
    assert wakeful("calendar", "delete", "feasts").code == 0

"""``wakeful import config``: the file of the APScheduler-based daemon, in this daemon's words."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cli.conftest import Result
from cli.cron_desk import Desk, desk, job, state
from wakeful.core.civil import Dst
from wakeful.core.cron import Dialect
from wakeful.core.cron_text import parse_cron
from wakeful.faces.cli.importing_config import our_schedules
from wakeful.faces.cli.importing_report import Report
from wakeful.zones import load_zone

__all__ = ["desk", "state"]
Wakeful = Callable[..., Result]
THEIR_RETRY = {
    "max_retries": 2,
    "backoff": "exponential",
    "initial_delay_seconds": 30,
    "max_delay_seconds": 300,
    "retry_on": ["auth", "network"],
}


@pytest.fixture
def put(wakeful: Wakeful, desk: Desk, tmp_path: Path) -> Callable[..., Result]:
    """Imports a section ``schedules``, or a text."""

    def imported(schedules: Any, *flags: str) -> Result:
        path = tmp_path / "theirs.json"
        text = schedules if isinstance(schedules, str) else json.dumps({"jira": {}, "schedules": schedules})
        path.write_text(text)
        return wakeful("import", "config", str(path), *flags)

    return imported


def schedules_of(state: Path) -> dict[str, Any]:
    return json.loads((state / "config.json").read_text())["schedules"]  # type: ignore[no-any-return]


def theirs(*jobs: Any, **more: Any) -> dict[str, Any]:
    return {"enabled": True, "timezone": "Europe/Dublin", "execution_mode": "claude_cli", "jobs": list(jobs), **more}


def test_c2_5_a_file_of_theirs_becomes_one_of_ours(put: Any, state: Path) -> None:
    told = put(theirs(job(persona="", inputs={"days": 5}, timeout_seconds=900, interval_minutes=5, notify=["slack"])))
    assert told.code == 0
    assert schedules_of(state) == {
        **theirs(job(inputs={"days": 5}, timeout_seconds=900, notify=["slack"])),
        "default_retry": THEIR_RETRY,
    }
    assert "interval_minutes" in told.out
    assert "max_retries 2" in told.out
    assert "misfire_grace_time" in told.out


def test_b3_19_a_jobs_retry_is_merged_with_the_default_as_it_was_there(put: Any, state: Path) -> None:
    put(
        theirs(
            job("own", retry={"max_attempts": 3, "backoff": "linear"}),
            job("none", retry=False),
            job("ours", retry={"max_attempts": 3, "delay_seconds": 60, "backoff_multiplier": 2.0}),
            default_retry={"initial_delay_seconds": 10},
        )
    )
    made = schedules_of(state)
    usual = {**THEIR_RETRY, "initial_delay_seconds": 10}
    assert made["default_retry"] == usual
    own, none, ours = made["jobs"]
    assert own["retry"] == {**usual, "max_retries": 3, "backoff": "linear"}
    assert none["retry"] is False
    # The words of the document, which the daemon did not have: they mean what they mean here.
    assert ours["retry"] == {"max_attempts": 3, "delay_seconds": 60, "backoff_multiplier": 2.0}


def test_a_scheduler_that_was_off_by_default_stays_off(put: Any, state: Path) -> None:
    without = theirs(job())
    del without["enabled"]
    assert "missing meant false" in put(without).out
    assert schedules_of(state)["enabled"] is False


def test_modes_and_targets_of_no_meaning_are_replaced_or_left_out(put: Any, state: Path) -> None:
    told = put(theirs(job(notify=["slack", "toast"], execution_mode="mcp"), execution_mode="direct"))
    (made,) = schedules_of(state)["jobs"]
    assert (made["notify"], made["execution_mode"]) == (["slack"], "skill_direct")
    assert schedules_of(state)["execution_mode"] == "direct"
    assert "'toast' is left out" in told.out


def test_b3_25_numbers_of_weekdays_need_a_decision(put: Any, state: Path) -> None:
    file = theirs(job(cron="30 8 * * 1-5"), job("named", cron="0 9 * * MON"))
    refused = put(file)
    assert (refused.code, "TUE-SAT" in refused.err, "--weekdays" in refused.err) == (2, True, True)
    assert "named" not in refused.err
    assert not (state / "config.json").exists()
    assert put(file, "--weekdays=apscheduler").code == 0
    assert [each["cron"] for each in schedules_of(state)["jobs"]] == ["30 8 * * TUE-SAT", "0 9 * * MON"]
    assert put(file, "--weekdays=cron", "--replace").code == 0
    assert [each["cron"] for each in schedules_of(state)["jobs"]] == ["30 8 * * 1-5", "0 9 * * MON"]


_NUMBER = st.integers(0, 6)
_RANGE = st.tuples(_NUMBER, _NUMBER).map(sorted).map(lambda pair: f"{pair[0]}-{pair[1]}")
_STEP = st.one_of(st.just(""), st.integers(1, 6).map(lambda step: f"/{step}"))
_ITEM = st.builds(lambda item, step: item + step, st.one_of(st.just("*"), _NUMBER.map(str), _RANGE), _STEP)


def apscheduler_days(field: str) -> set[int]:
    """The days that APScheduler 3 means, 0 is Monday (apscheduler/triggers/cron/expressions.py)."""
    days: set[int] = set()
    for item in field.split(","):
        span, _, step = item.partition("/")
        first, _, last = ("0", "", "6") if span == "*" else span.partition("-")
        last = last or ("6" if step else first)
        days |= set(range(int(first), int(last) + 1, int(step or 1)))
    return days


@given(st.lists(_ITEM, min_size=1, max_size=3).map(",".join))
def test_b3_25_translated_weekdays_are_the_days_on_which_it_ran(field: str) -> None:
    ours = our_schedules(theirs(job(cron=f"0 9 * * {field}")), "apscheduler", Report())
    cron = parse_cron(ours["jobs"][0]["cron"], dialect=Dialect.CRONTAB, zone=load_zone("UTC"), dst=Dst.ONCE)  # type: ignore[arg-type]
    sunday_first = {(day + 1) % 7 for day in apscheduler_days(field)}
    assert {day for day in range(7) if cron.weekdays >> day & 1} == sunday_first


def test_b3_26_days_that_had_to_match_both_fields_need_a_decision(put: Any, state: Path) -> None:
    file = theirs(job("thirteenth", cron="0 9 13 * FRI"), job())
    refused = put(file)
    assert (refused.code, "thirteenth" in refused.err, "either is enough" in refused.err) == (2, True, True)
    told = put(file, "--skip-bad")
    assert (told.code, [each["name"] for each in schedules_of(state)["jobs"]]) == (0, ["standup"])


def test_the_last_day_is_written_as_l(put: Any, state: Path) -> None:
    put(theirs(job(cron="0 9 last * *")))
    assert schedules_of(state)["jobs"][0]["cron"] == "0 9 L * *"


def test_what_the_daemon_could_not_use_is_named_and_can_be_left_out(put: Any, state: Path) -> None:
    file = theirs(
        job("wrong", cron="61 * * * *"),
        job("fine"),
        job("polls", cron=None, trigger="poll", poll_interval="1h", condition="broken"),
        "no job",
        poll_sources={"broken": {"type": "gitlab_mr_list"}, "prs": {"type": "command", "command": ["glab", "mr"]}},
    )
    refused = put(file)
    assert refused.code == 2
    for place in ("schedules.jobs[0].cron", "schedules.poll_sources.broken", "schedules.jobs[2]", "schedules.jobs[3]"):
        assert place in refused.err
    # What could take its place is said.
    assert "glab" in refused.err
    assert not (state / "config.json").exists()
    assert put(file, "--skip-bad").code == 0
    made = schedules_of(state)
    assert [each["name"] for each in made["jobs"]] == ["fine"]
    assert list(made["poll_sources"]) == ["prs"]


def test_what_is_wrong_beside_the_jobs_can_not_be_left_out(put: Any, state: Path) -> None:
    refused = put(theirs(job(), timezone="Mars/Base"), "--skip-bad")
    assert (refused.code, "schedules.timezone" in refused.err) == (2, True)
    assert not (state / "config.json").exists()


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ('{\n"schedules": }', "line 2 is no JSON"),
        ("[]", '"schedules"'),
        ('{"schedules": 7}', '"schedules"'),
        ('{"schedules": {"jobs": {}}}', "must be a list"),
        ("[" * 200_000, "too deeply"),
        ('{"schedules": {"jobs": [{"name": "\\ud800"}]}}', "half a character"),
    ],
)
def test_a_file_that_is_none_is_refused(put: Any, state: Path, text: str, word: str) -> None:
    refused = put(text)
    assert (refused.code, word in refused.err) == (2, True), refused.err


def test_a_dry_run_prints_the_section_and_writes_nothing(put: Any, state: Path) -> None:
    told = put(theirs(job()), "--dry-run")
    assert '"default_retry"' in told.out
    assert list(state.iterdir()) == []


def test_the_same_again_changes_nothing_and_others_need_a_word(put: Any, state: Path) -> None:
    put(theirs(job()))
    before = (state / "config.json").stat().st_ino
    assert "as they were" in put(theirs(job())).out
    assert (state / "config.json").stat().st_ino == before
    refused = put(theirs(job("other")))
    assert (refused.code, "--replace" in refused.err) == (4, True)
    assert put(theirs(job("other")), "--replace").code == 0
    assert [each["name"] for each in schedules_of(state)["jobs"]] == ["other"]


def test_the_daemons_own_file_can_be_taken_over_in_its_place_and_twice(
    wakeful: Wakeful, desk: Desk, state: Path
) -> None:
    config = state / "config.json"
    file = theirs(job(cron="0 9 * * 0", retry={"max_attempts": 1}))
    config.write_text(json.dumps({"jira": {"url": "x"}, "schedules": file}))
    arguments = ("import", "config", str(config), "--weekdays=apscheduler", "--replace")
    assert wakeful(*arguments).code == 0
    once = config.read_text()
    assert json.loads(once)["jira"] == {"url": "x"}
    assert json.loads(once)["schedules"]["jobs"][0]["cron"] == "0 9 * * MON"
    assert wakeful(*arguments).code == 0
    assert config.read_text() == once


def test_it_can_be_written_elsewhere(put: Any, state: Path, tmp_path: Path) -> None:
    path = tmp_path / "new" / "ours.json"
    assert put(theirs(job()), f"--output={path}").code == 0
    assert json.loads(path.read_text())["schedules"]["jobs"][0]["name"] == "standup"
    assert not (state / "config.json").exists()

"""`wakeful job put`: every flag reaches the job, and every mistake is named."""

from collections.abc import Callable
from typing import Any

import pytest

pytestmark = pytest.mark.slow

Command = Callable[..., Any]


def put(wakeful: Command, *flags: str, schedule: str = "0 14 * * *") -> dict[str, Any]:
    result = wakeful("job", "put", "report", schedule, "--app-id=a", "--json", *flags)
    assert result.code == 0, result.err
    return result.json  # type: ignore[no-any-return]


def test_what_was_understood_and_the_next_three_instants_are_printed(wakeful: Command) -> None:
    result = wakeful("job", "put", "report", "0 9 * * *", "--app-id=a", "--zone=Europe/Rome")

    assert result.code == 0
    understood, _, *instants = result.out.splitlines()
    assert understood.startswith("stored report of app/a: ")
    assert "Europe/Rome" in understood
    assert [line.split()[4] for line in instants] == [f"2026-03-0{day}T08:00:00Z" for day in (3, 4, 5)]
    assert wakeful("job", "show", "report", "--json").json["zone"] == "Europe/Rome"


def test_a_job_has_the_defaults_that_the_readme_promises(wakeful: Command) -> None:
    job = put(wakeful)
    assert job["target"] == {"kind": "app", "address": "job/report", "queue": "app/default/a"}
    assert (job["owner"], job["overlap"], job["catchup"], job["max_running"]) == ("app/a", "queue_one", "latest", 1)
    assert (job["syntax"], job["next"][0], job["warnings"]) == ("crontab", "2026-03-02T14:00:00Z", [])
    assert job["retry"]["max_retries"] == 3


@pytest.mark.parametrize(
    ("flags", "fields"),
    [
        ("--overlap queue_all", {"overlap": "queue_all"}),
        ("--overlap allow --max-running 4", {"overlap": "allow", "max_running": 4}),
        ("--overlap replace", {"overlap": "replace"}),
        ("--catchup all --catchup-window 1h --catchup-limit 7", {"catchup_window_s": 3600, "catchup_limit": 7}),
        ("--catchup none", {"catchup": "none"}),
        ("--jitter 30s", {"jitter_s": 30}),
        ("--priority -5", {"priority": -5}),
        ("--timeout 1m30s", {"timeout_s": 90}),
        ("--pause-after 3", {"pause_after": 3}),
        ("--at-most-once", {"at_most_once": True}),
        ("--start 2026-04-01T00:00:00Z", {"start_at": "2026-04-01T00:00:00Z", "next_run_at": "2026-04-01T14:00:00Z"}),
        ("--until 2026-03-03T15:00:00Z", {"next": ["2026-03-02T14:00:00Z", "2026-03-03T14:00:00Z"]}),
        ("--start 30d", {"start_at": "30d", "next_run_at": "2026-04-01T14:00:00Z"}),
        ("--until 1d2h", {"until_at": "1d2h", "next": ["2026-03-02T14:00:00Z", "2026-03-03T14:00:00Z"]}),
        ("--jitter 1.5d --catchup-window 1w", {"jitter_s": 129_600, "catchup_window_s": 604_800}),
        ("--repeats 1", {"repeats": 1, "remaining": 1, "next": ["2026-03-02T14:00:00Z"]}),
        ("--zone America/New_York --dst skip", {"zone": "America/New_York", "dst": "skip"}),
        ("--namespace other", {"namespace": "other"}),
    ],
)
def test_a_flag_reaches_the_job(wakeful: Command, flags: str, fields: dict[str, Any]) -> None:
    answered = put(wakeful, *flags.split())
    namespace = fields.get("namespace", "default")
    stored = wakeful("job", "show", "report", "--json", f"--namespace={namespace}").json
    for name, value in fields.items():
        assert answered[name] == value
        assert name == "next" or stored[name] == value


def test_every_flag_of_retries_reaches_the_job(wakeful: Command) -> None:
    flags = "--retries 9 --retry-interval 2s --retry-multiplier 2.5 --retry-max-interval 5m --retry-jitter 0.2"
    put(wakeful, *flags.split(), "--retry-max-age=1d12h")
    assert wakeful("job", "show", "report", "--json").json["retry"] == {
        "max_retries": 9,
        "interval_s": 2,
        "counted_from": "failure",
        "multiplier": 2.5,
        "max_interval_s": 300,
        "jitter": 0.2,
        "max_age_s": 129_600,
    }


def test_the_dialect_of_dapr_can_be_chosen(wakeful: Command) -> None:
    job = put(wakeful, "--dialect=dapr", schedule="15 0 14 * * *")
    assert (job["syntax"], job["next_run_at"]) == ("dapr", "2026-03-02T14:00:15Z")


def test_warnings_stand_below_and_in_the_json(wakeful: Command) -> None:
    assert "either is enough" in wakeful("job", "put", "x", "0 0 13 * 5", "--app-id=a").out
    (warning,) = put(wakeful, schedule="0 0 13 * 5")["warnings"]
    assert "either is enough" in warning


def test_a_name_that_is_taken_is_replaced_unless_it_must_be_new(wakeful: Command) -> None:
    put(wakeful)
    put(wakeful, schedule="0 15 * * *")
    refused = wakeful("job", "put", "report", "0 16 * * *", "--app-id=a", "--if-new")
    assert refused.code == 4
    assert "'report'" in refused.err
    assert [job["schedule"] for job in wakeful("job", "list", "--json").json] == ["0 15 * * *"]


def test_the_app_may_be_left_out_only_for_a_job_that_one_app_owns(wakeful: Command) -> None:
    nobody = wakeful("job", "put", "report", "@daily")
    assert nobody.code == 2
    assert "--app-id" in nobody.err
    put(wakeful)
    assert wakeful("job", "put", "report", "@hourly", "--json").json["owner"] == "app/a"
    wakeful("job", "put", "report", "@daily", "--app-id=b")
    two = wakeful("job", "put", "report", "@daily")
    assert two.code == 2
    assert "a, b" in two.err


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["a/b", "@daily"], "'/'"),
        (["x", "@nope"], "@nope"),
        (["x", "0 0 30 2 *"], "never"),
        (["x", "@daily", "--app-id="], "--app-id"),
        (["x", "@daily", "--app-id=a/b"], "--app-id"),
        (["x", "@daily", "--data={"], "--data"),
        (["x", "@daily", "--data=NaN"], "--data"),
        (["x", "@daily", "--data=" + "[" * 100_000], "--data"),
        (["x", "@daily", '--data="' + "x" * 2_200_000 + '"'], "at most"),
        (["x", "@daily", "--timeout=0s"], "--timeout"),
        (["x", "@daily", "--timeout=-5s"], "--timeout"),
        (["x", "@daily", "--timeout=5"], "--timeout"),
        (["x", "@daily", "--jitter=soon"], "--jitter"),
        (["x", "@daily", "--jitter="], "--jitter"),
        (["x", "@daily", "--jitter=99999w"], "--jitter"),
        (["x", "@daily", "--catchup-window=1x"], "--catchup-window"),
        (["x", "@daily", "--catchup-limit=0"], "--catchup-limit"),
        (["x", "@daily", "--max-running=0"], "--max-running"),
        (["x", "@daily", "--max-running=99999999999999999999"], "--max-running"),
        (["x", "@daily", "--priority=99999999999999999999"], "--priority"),
        (["x", "@daily", "--pause-after=0"], "--pause-after"),
        (["x", "@daily", "--retries=-1"], "--retries"),
        (["x", "@daily", "--retry-jitter=1.5"], "--retry-jitter"),
        (["x", "@daily", "--retry-jitter=nan"], "--retry-jitter"),
        (["x", "@daily", "--retry-multiplier=0.5"], "--retry-multiplier"),
        (["x", "@daily", "--retry-multiplier=inf"], "--retry-multiplier"),
        (["x", "@daily", "--repeats=0"], "repeats"),
        (["x", "@daily", "--start=soon"], "start"),
        (["x", "@daily", "--until=2020-01-01T00:00:00Z"], "never"),
        (["x", "@daily", "--dialect=dapr", "--start=1h"], "start"),
        (["x", "@daily", "--calendar=none"], "--calendar 'none'"),
    ],
)
def test_a_mistake_is_named_and_nothing_is_stored(wakeful: Command, arguments: list[str], word: str) -> None:
    result = wakeful("job", "put", *arguments, *([] if "--app-id" in " ".join(arguments) else ["--app-id=a"]))
    assert result.code == 2
    assert result.out == ""
    assert word in result.err
    assert len(result.err) < 10_000
    assert result.err.replace("\n", "").isprintable()
    assert wakeful("job", "list", "--json").json == []

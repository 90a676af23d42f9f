"""The config file, row by row (S3.1–S3.23, B3.19, B3.23–B3.27, B3.39, B3.42, C2.5, C2.6, D3): whole or not at all."""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wakeful.core.job import Catchup, Notify, NotifyOn, Overlap, RetryPolicy
from wakeful.faces.cron.config_file import ConfigFileError, CronConfig, Reading, read_config
from wakeful.faces.cron.definitions import _KEYS as JOB_KEYS
from wakeful.faces.cron.definitions import JobSpec, Place
from wakeful.zones import load_zone

# A Monday.
NOW = datetime(2026, 1, 26, 13, 59, tzinfo=UTC)
PLACE = Place.of("/home/u/.config/aa-workflow/config.json")


def read(schedules: Any, root: Mapping[str, Any] | None = None, **more: Any) -> CronConfig:
    content = json.dumps({**(root or {}), "schedules": schedules}).encode()
    return read_config(content, Reading(PLACE, load_zone, NOW, **more))


def problems(schedules: Any, **more: Any) -> tuple[str, ...]:
    with pytest.raises(ConfigFileError) as caught:
        read(schedules, **more)
    return caught.value.problems


def one(shared: Mapping[str, Any] | None = None, **keys: Any) -> JobSpec:
    """The one job of a file; a key that is ``...`` is left out."""
    made = {"name": "tick", "cron": "0 9 * * *", "skill": "s", **keys}
    config = read({**(shared or {}), "jobs": [{key: value for key, value in made.items() if value is not ...}]})
    return config.jobs["tick"]


def wrong(shared: Mapping[str, Any] | None = None, **keys: Any) -> dict[str, str]:
    """The problems of a file's one job, by key."""
    made = {"name": "tick", "cron": "0 9 * * *", "skill": "s", **keys}
    made = {key: value for key, value in made.items() if value is not ...}
    found = dict(each.split(": ", 1) for each in problems({**(shared or {}), "jobs": [made]}))
    return {path.removeprefix("schedules.jobs[0]."): text for path, text in found.items()}


def odd(shared: Mapping[str, Any] | None = None, **keys: Any) -> Sequence[str]:
    made = {"name": "tick", "cron": "0 9 * * *", "skill": "s", **keys}
    return read({**(shared or {}), "jobs": [made]}).warnings


def due(spec: JobSpec, count: int = 1, after: datetime = NOW) -> list[str]:
    """Its next instants, in UTC."""
    found: list[str] = []
    at = spec.job.schedule.first_due()
    while at is not None and len(found) < count:
        found.append(at.astimezone(UTC).strftime("%a %d %H:%M:%S"))
        at = spec.job.schedule.next_due(at, len(found))
    return found


# ── the file ──


def test_s3_16_the_documents_jobs_load(example: Any) -> None:
    config = read_config(json.dumps(example).encode(), Reading(PLACE, load_zone, NOW))
    names = ["daily_standup", "hello_world_test", "weekly_summary", "env_health", "nightly_tests", "important_job"]
    assert list(config.jobs) == names
    assert config.jobs["weekly_summary"].inputs == {"days": 5}
    assert config.jobs["nightly_tests"].inputs == {"project": "backend"}
    assert config.jobs["important_job"].job.retry == RetryPolicy(2, timedelta(seconds=60), multiplier=2.0)
    assert not config.warnings


def test_s3_1_to_s3_5_the_section_and_what_holds_for_all_its_jobs() -> None:
    config = read({"enabled": False, "timezone": "America/New_York", "execution_mode": "skill_direct", "jobs": []})
    assert (config.enabled, config.timezone, config.execution_mode) == (False, "America/New_York", "skill_direct")
    assert config.jobs == {}
    usual = read({"jobs": []})
    assert (usual.enabled, usual.timezone, usual.execution_mode) == (True, "UTC", "claude_cli")
    assert due(one({"timezone": "America/New_York"})) == ["Mon 26 14:00:00"]
    assert one({"execution_mode": "skill_direct"}).job.target.options["mode"] == "skill_direct"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "empty"),
        (b" \n", "empty"),
        (b"[]", "must hold a JSON object"),
        (b"null", "must hold a JSON object"),
        (b'{"schedules": {', "no JSON"),
        (b"{}", "schedules: missing"),
        (b"\xff\xfe", "no JSON"),
        (b"[" * 100_000, "no JSON"),
        (b'{"schedules": {"jobs": [' + b" " * (4 * 1024 * 1024) + b"]}}", "at most 4194304"),
    ],
)
def test_b3_15_an_empty_half_written_or_foreign_text_is_a_problem_and_not_an_empty_set(
    content: bytes, said: str
) -> None:
    with pytest.raises(ConfigFileError, match=said):
        read_config(content, Reading(PLACE, load_zone, NOW))


def test_a_byte_order_mark_and_other_sections_are_left_alone() -> None:
    content = b'\xef\xbb\xbf{"jira": 5, "schedules": {"jobs": []}, "gitlab": [null]}'
    assert read_config(content, Reading(PLACE, load_zone, NOW)).jobs == {}


def test_every_problem_is_told_with_its_path() -> None:
    found = problems(
        {
            "enabled": "yes",
            "timezone": "Mars/Olympus",
            "jobs": [
                {"name": "a", "cron": "61 * * * *", "skil": "s"},
                {"name": "b", "cron": "* * * * *", "skill": "s"},
                {"name": "b", "cron": "* * * * *", "skill": 5},
                "c",
                {"cron": "* * * * *", "skill": "s"},
            ],
        }
    )
    assert [each.split(": ")[0] for each in found] == [
        "schedules.timezone",
        "schedules.enabled",
        "schedules.jobs[0].cron",
        "schedules.jobs[0].skill",
        "schedules.jobs[2].skill",
        "schedules.jobs[2].name",
        "schedules.jobs[3]",
        "schedules.jobs[4].name",
    ]
    assert "61 in the minute field" in found[2]
    assert "'b' is the name of schedules.jobs[1] already" in found[5]


def test_unknown_keys_are_warnings_with_the_key_that_may_have_been_meant() -> None:
    config = read({"jobs": [{"name": "a", "cron": "* * * * *", "skill": "s", "enabledd": False}], "timezon": "UTC"})
    assert any(each == "schedules.timezon: nobody reads this key: did you mean 'timezone'?" for each in config.warnings)
    assert any("jobs[0].enabledd" in each and "'enabled'" in each for each in config.warnings)


def test_ten_thousand_jobs_are_the_most() -> None:
    jobs = [{"name": f"j{n}", "cron": "0 9 * * *", "skill": "s"} for n in range(10_000)]
    assert len(read({"jobs": jobs}).jobs) == 10_000
    assert "at most 10000" in problems({"jobs": [*jobs, jobs[0]]})[0]


def test_sections_that_others_understand_are_checked_by_them_and_given_as_they_are() -> None:
    def check(value: object) -> Sequence[str]:
        assert isinstance(value, dict)
        if "bad" in value:
            raise ValueError("bad is not good")
        return ["odd: nobody reads this key"] if "odd" in value else ()

    paths = ("schedules.claude", "notifications", "schedules.poll_sources.*")
    checks = dict.fromkeys(paths, check)
    good = {"jobs": [], "claude": {"a": 1}, "poll_sources": {"mrs": {"b": 2}}}
    config = read(good, {"notifications": {"c": 3}}, checks=checks)
    assert (config.claude, config.poll_sources, config.notifications) == ({"a": 1}, {"mrs": {"b": 2}}, {"c": 3})
    odd = {"jobs": [], "claude": {}, "poll_sources": {"mrs": {"odd": 2}}}
    assert read(odd, {"notifications": {"odd": 3}}, checks=checks).warnings == (
        "notifications: odd: nobody reads this key",
        "schedules.poll_sources.mrs: odd: nobody reads this key",
    )
    bad: Any = {"jobs": [], "claude": {"bad": 1}, "poll_sources": {"mrs": {"bad": 2}, "x": 5}}
    assert problems(bad, root={"notifications": {"bad": 3}}, checks=checks) == (
        "schedules.claude: bad is not good",
        "notifications: bad is not good",
        "schedules.poll_sources.mrs: bad is not good",
        "schedules.poll_sources.x: must be an object in braces, not 5",
    )


def test_b3_17_a_notice_that_can_not_be_sent_is_told_when_the_file_is_read() -> None:
    def untold(section: object, targets: Sequence[str]) -> Mapping[str, str]:
        assert section == {"slack": {}}
        return {each: f"no {each}" for each in targets if each not in ("memory", "slack")}

    jobs: list[Any] = [{"name": name, "cron": "* * * * *", "skill": "s"} for name in ("a", "b", "c")]
    jobs[1]["notify"] = ["memory", "email", "slack"]
    given = {"jobs": jobs, "default_notify": ["desktop"]}
    assert read(given, {"notifications": {"slack": {}}}, untold=untold).warnings == (
        "schedules.default_notify: nobody is told: no desktop",
        "schedules.jobs[1].notify: nobody is told: no email",
    )


@pytest.mark.parametrize("section", [{}, {"jobs": None}, {"enabled": True}])
def test_b3_15_a_section_without_jobs_is_no_section_with_none(section: Any) -> None:
    assert problems(section) == ("schedules.jobs: missing: write [] if there are none",)


# ── a job ──


def test_s3_6_names_are_unique_texts() -> None:
    assert "missing" in wrong(name=...)["name"]
    for name in (5, "", "  ", "a/b", "a\x00", "x" * 513, ".."):
        assert "name" in wrong(name=name)


def test_s3_8_to_s3_12_skill_persona_inputs_notify_and_enabled() -> None:
    spec = one(skill="coffee", persona="developer", inputs={"a": [1, None]}, notify=["slack", "memory"], enabled=False)
    assert (spec.job.target.kind, spec.job.target.address) == ("skill", "coffee")
    assert spec.job.target.options == {"mode": "claude_cli", "persona": "developer"}
    assert spec.job.data is not None
    assert (spec.job.data.type, json.loads(spec.job.data.body)) == ("json", {"a": [1, None]})
    notices = "notify/default//home/u/.config/aa-workflow/config.json"
    assert spec.job.notify == Notify(("slack", "memory"), notices, NotifyOn.ALWAYS)
    assert not spec.enabled
    plain = one()
    assert (plain.enabled, plain.job.notify, plain.inputs, plain.persona) == (True, None, {}, None)
    assert wrong(skill=["x"], persona=5, inputs=[], notify="slack", enabled="true").keys() == {
        "skill",
        "persona",
        "inputs",
        "notify",
        "enabled",
    }
    assert "pager" in wrong(notify=["pager"])["notify"]


def test_the_key_and_the_queues_are_the_files_own() -> None:
    job = one().job
    assert (job.key.namespace, job.key.owner) == ("default", "file//home/u/.config/aa-workflow/config.json")
    assert job.queue == "cron/default//home/u/.config/aa-workflow/config.json"


def test_b3_18_no_notify_is_nobody_unless_the_file_says_so() -> None:
    assert one().job.notify is None
    assert one({"default_notify": ["memory"]}).notify == ("memory",)
    assert one({"default_notify": ["memory"]}, notify=[]).job.notify is None


def test_s3_88_who_is_notified_of_what() -> None:
    def on(**keys: Any) -> NotifyOn:
        notify = one(notify=["slack:#ops"], **keys).job.notify
        assert notify is not None
        return notify.on

    assert on() is NotifyOn.ALWAYS
    assert on(notify_on="failure") is NotifyOn.FAILURE
    assert on(notify_on="success") is NotifyOn.SUCCESS
    assert "notify_on" in wrong(notify_on="never")


@pytest.mark.parametrize(
    ("mode", "meant"),
    [
        ("claude_cli", "claude_cli"),
        ("skill_direct", "skill_direct"),
        ("direct", "skill_direct"),
        ("skill_run", "skill_direct"),
        ("mcp_direct", "skill_direct"),
    ],
)
def test_b3_24_modes_and_their_other_names(mode: str, meant: str) -> None:
    assert one(execution_mode=mode).job.target.options["mode"] == meant
    assert one({"execution_mode": mode}).mode == meant


def test_b3_24_there_is_no_fallback_unless_it_is_configured() -> None:
    assert "fallback_mode" not in one().job.target.options
    assert one(fallback_mode="skill_direct").job.target.options["fallback_mode"] == "skill_direct"
    assert one({"fallback_mode": "direct"}).job.target.options["fallback_mode"] == "skill_direct"
    assert "fallback_mode" not in one({"fallback_mode": "direct"}, execution_mode="direct").job.target.options
    assert "fallback_mode" in wrong(fallback_mode="claude_cli")
    assert "did you mean 'claude_cli'" in wrong(execution_mode="claude_cil")["execution_mode"]


def test_b3_23_a_script_with_its_arguments_inside_the_folder() -> None:
    script = {"skill": ..., "script": "jobs/report.py", "args": ["--day", "5"], "persona": "devops", "inputs": {"a": 1}}
    spec = one(**script)
    assert (spec.job.target.kind, spec.job.target.address, spec.mode) == ("command", "jobs/report.py", "python_script")
    assert json.loads(spec.job.target.options["args"]) == ["--day", "5"]
    assert spec.job.target.options["persona"] == "devops"
    assert one(skill=..., command=["report.py", "--day"]).job.target.options["args"] == '["--day"]'
    assert one({"execution_mode": "python_script"}, skill=..., script="a.py").mode == "python_script"
    assert "leave out one" in wrong(script="a.py")["skill"]
    assert "missing" in wrong(execution_mode="python_script")["script"]
    assert "python_script only" in wrong(skill=..., script="a.py", execution_mode="claude_cli")["script"]
    assert "python_script only" in wrong(args=["x"])["args"]
    assert "command says it already" in wrong(skill=..., command=["a.py"], args=["x"])["args"]
    for path in ("/etc/x.py", "../x.py", "a/../../x.py", "~/x.py", "a\\b.py", "", ".", 5):
        assert "script" in wrong(skill=..., script=path), path
    assert "args" in wrong(skill=..., script="a.py", args=[5])


def test_b3_31_what_is_wrong_with_a_skills_inputs_is_kept_with_the_job_and_what_is_odd_is_a_warning() -> None:
    def validate(skill: str, inputs: Mapping[str, Any], mode: str) -> list[tuple[str, str]]:
        assert mode == "claude_cli"
        missing = [("error", "namespace is required")] if "namespace" not in inputs else []
        return missing + [("warning", f"{skill} has no input {name}") for name in inputs if name != "namespace"]

    jobs = [
        {"name": "env_health", "cron": "0 9 * * *", "skill": "env", "inputs": {}},
        {"name": "nightly_tests", "cron": "0 9 * * *", "skill": "env", "inputs": {"namespace": "x", "project": "y"}},
    ]
    config = read({"jobs": jobs}, validate=validate)
    assert config.jobs["env_health"].problems == ("namespace is required",)
    assert config.jobs["nightly_tests"].problems == ()
    assert config.warnings == ("schedules.jobs[1].inputs: env has no input project",)


# ── when ──


@pytest.mark.parametrize(
    ("cron", "next_ones"),
    [
        ("0 9 * * MON-FRI", ["Tue 27 09:00:00", "Wed 28 09:00:00", "Thu 29 09:00:00", "Fri 30 09:00:00"]),
        ("30 8 * * *", ["Tue 27 08:30:00", "Wed 28 08:30:00"]),
        ("0 */2 * * *", ["Mon 26 14:00:00", "Mon 26 16:00:00"]),
        ("0 */4 * * *", ["Mon 26 16:00:00", "Mon 26 20:00:00", "Tue 27 00:00:00"]),
        ("0 9,17 * * MON-FRI", ["Mon 26 17:00:00", "Tue 27 09:00:00", "Tue 27 17:00:00"]),
        ("0 15 * * *", ["Mon 26 15:00:00"]),
        ("0 17 * * FRI", ["Fri 30 17:00:00", "Fri 06 17:00:00"]),
        ("0 2 * * *", ["Tue 27 02:00:00"]),
        ("0 10 * * *", ["Tue 27 10:00:00"]),
        ("0 9 31 JAN *", ["Sat 31 09:00:00"]),
    ],
)
def test_s3_17_to_s3_22_the_documents_expressions(cron: str, next_ones: list[str]) -> None:
    assert due(one(cron=cron), len(next_ones)) == next_ones


def test_s3_17_limits_of_the_fields() -> None:
    for cron in ("60 * * * *", "* 24 * * *", "* * 32 * *", "* * 0 * *", "* * * 13 *", "* * * * 8", "* * * FOO *"):
        assert "cron" in wrong(cron=cron), cron


@pytest.mark.parametrize(
    ("cron", "first"),
    [
        ("30 0 9 * * *", "Tue 27 09:00:30"),
        ("*/10 * * * * *", "Mon 26 13:59:10"),
        ("@daily", "Tue 27 00:00:00"),
        ("@hourly", "Mon 26 14:00:00"),
        ("@every 90s", "Mon 26 14:00:30"),
        ("0 9 L * *", "Sat 31 09:00:00"),
        ("0 9 15W * *", "Mon 16 09:00:00"),
        ("0 9 * * MON#1", "Mon 02 09:00:00"),
        ("0 9 * * FRIL", "Fri 30 09:00:00"),
    ],
)
def test_s3_23_b3_27_extended_expressions(cron: str, first: str) -> None:
    assert due(one(cron=cron)) == [first]


def test_b3_27_what_is_no_crontab_line_is_refused_in_a_sentence() -> None:
    assert "cron" in wrong(cron="0 0 9 * * * 2030")
    assert "write it as at" in wrong(cron="2030-01-31T09:00:00Z")["cron"]
    assert "crontab line" in wrong(cron="FREQ=DAILY;COUNT=3")["cron"]
    assert "crontab line" in wrong(cron="R5/PT1H")["cron"]
    assert "never be due" in wrong(cron="0 0 30 2 *")["cron"]
    assert "cron" in wrong(cron=5)
    assert "cron" in wrong(cron="@every 100ms")


def test_b3_25_zero_and_seven_are_sunday() -> None:
    sunday = ["Sun 01 09:00:00", "Sun 08 09:00:00"]
    assert due(one(cron="0 9 * * 0"), 2) == due(one(cron="0 9 * * 7"), 2) == due(one(cron="0 9 * * SUN"), 2) == sunday
    assert due(one(cron="0 9 * * 1-5"), 5) == due(one(cron="0 9 * * MON-FRI"), 5)


def test_b3_26_either_day_is_enough_and_that_is_told() -> None:
    assert due(one(cron="0 9 31 * MON"), 2) == ["Sat 31 09:00:00", "Mon 02 09:00:00"]
    assert any("either is enough" in each for each in odd(cron="0 9 31 * MON"))


def test_b3_42_a_job_may_have_a_zone_of_its_own() -> None:
    new_york = {"timezone": "America/New_York"}
    assert due(one(new_york, timezone="Europe/Berlin")) == ["Tue 27 08:00:00"]
    assert due(one(new_york, cron="CRON_TZ=Europe/Berlin 0 9 * * *")) == ["Tue 27 08:00:00"]
    assert "timezone" in wrong(timezone="Mars/Olympus")
    assert "cron" in wrong(cron="CRON_TZ=Europe/Berlin 0 9 * * *", timezone="UTC")


@pytest.mark.parametrize(
    ("every", "first"),
    [
        ("90s", "Mon 26 14:00:30"),
        ("5m", "Mon 26 14:04:00"),
        ("1h30m", "Mon 26 15:29:00"),
        ("2 hours", "Mon 26 15:59:00"),
        ("1d", "Tue 27 13:59:00"),
        ("1w", "Mon 02 13:59:00"),
        ("PT15M", "Mon 26 14:14:00"),
        ("P1D", "Tue 27 13:59:00"),
        (120, "Mon 26 14:01:00"),
        (1.5, "Mon 26 13:59:01"),
    ],
)
def test_d3_intervals(every: str | float, first: str) -> None:
    assert due(one(cron=..., every=every)) == [first]


def test_d3_one_instant() -> None:
    assert due(one(cron=..., at="2026-01-31T09:00:00Z"), 5) == ["Sat 31 09:00:00"]
    assert due(one({"timezone": "America/New_York"}, cron=..., at="2026-01-31T09:00:00")) == ["Sat 31 14:00:00"]
    for at in ("10m", "PT10M", "tomorrow", 5, "2026-02-30T09:00:00Z"):
        assert "at" in wrong(cron=..., at=at), at


def test_when_is_said_once() -> None:
    assert "missing" in wrong(cron=...)["cron"]
    assert "leave out one" in wrong(every="5m")["every"]
    assert "leave out one" in wrong(at="2026-01-31T09:00:00Z")["at"]
    assert "but cron says" in wrong(trigger="every")["trigger"]
    for every in ("1x", "", "0s", "0.5s", "5", "-5m", 0, -1, True, [], "1h 2", "200000000h"):
        assert "every" in wrong(cron=..., every=every), every


# ── policies ──


def retry(value: Any, shared: Any = ...) -> RetryPolicy:
    return one(
        {} if shared is ... else {"default_retry": shared}, **({} if value is ... else {"retry": value})
    ).job.retry


def test_s3_14_without_retry_there_is_none() -> None:
    assert retry(...).max_retries == 0
    assert retry(False).max_retries == 0
    assert retry(False, {"max_attempts": 5}).max_retries == 0


def test_s3_13_b3_19_attempts_count_the_first_one() -> None:
    document = retry({"max_attempts": 3, "delay_seconds": 60, "backoff_multiplier": 2.0})
    assert document == RetryPolicy(2, timedelta(seconds=60), multiplier=2.0)
    assert retry({}) == retry(True) == document
    assert retry({"max_attempts": 1}).max_retries == 0
    assert retry({"max_retries": 2}).max_retries == retry({"max_retries": 2, "max_attempts": 3}).max_retries == 2
    contradiction = wrong(retry={"max_retries": 3, "max_attempts": 3})
    assert "3 attempts in all are 2 retries" in contradiction["retry.max_attempts"]


def test_b3_19_the_daemons_own_words() -> None:
    source = {"max_attempts": 3, "backoff": "exponential", "initial_delay_seconds": 30, "max_delay_seconds": 300}
    assert retry(source) == RetryPolicy(2, timedelta(seconds=30), multiplier=2.0, max_interval=timedelta(seconds=300))
    assert retry({"backoff": "constant", "delay_seconds": 5}).multiplier == 1.0
    linear = retry({"backoff": "linear", "delay_seconds": 5})
    assert (linear.multiplier, linear.step) == (1.0, timedelta(seconds=5))
    assert retry({"jitter": 0.5}).jitter == 0.5
    assert retry(..., {"max_retries": 7}).max_retries == retry(True, {"max_retries": 7}).max_retries == 7
    spec = one(retry={"retry_on": ["auth", "network"]})
    assert json.loads(spec.job.target.options["retry_on"]) == ["auth", "network"]
    assert "retry_on" not in one(retry={}).job.target.options
    assert any("retry_on: 'nettwork'" in each for each in odd(retry={"retry_on": ["nettwork"]}))


def test_b3_19_wrong_retries_are_refused_by_their_path() -> None:
    bad = {
        "max_attempts": 0,
        "max_retries": -1,
        "delay_seconds": "60",
        "backoff_multiplier": 0.5,
        "backoff": "fibonacci",
        "max_delay_seconds": -1,
        "jitter": 2,
        "retry_on": "auth",
    }
    assert wrong(retry=bad).keys() == {f"retry.{key}" for key in bad}
    assert "retry" in wrong(retry=5)
    assert "schedules.default_retry" in wrong({"default_retry": []})
    assert "retry.initial_delay_seconds" in wrong(retry={"delay_seconds": 1, "initial_delay_seconds": 2})
    assert "retry.backoff_multiplier" in wrong(retry={"backoff": "constant", "backoff_multiplier": 3})


def test_b3_39_instances_and_coalescing() -> None:
    usual = one().job
    assert (usual.max_running, usual.overlap, usual.catchup) == (1, Overlap.QUEUE_ONE, Catchup.LATEST)
    each = one(coalesce=False).job
    assert (each.max_running, each.overlap, each.catchup, each.catchup_limit) == (
        1,
        Overlap.QUEUE_ALL,
        Catchup.ALL,
        100,
    )
    many = one(max_instances=3).job
    assert (many.max_running, many.overlap) == (3, Overlap.ALLOW)
    assert one(overlap="skip").job.overlap is Overlap.SKIP
    assert "overlap" in wrong(overlap="allow")
    assert "overlap" in wrong(overlap="skip", max_instances=2)
    assert wrong(max_instances=0, coalesce=1).keys() == {"max_instances", "coalesce"}


def test_d3_misfire_timeout_priority_and_jitter() -> None:
    usual = one().job
    assert (usual.timeout, usual.priority, usual.catchup_window) == (timedelta(seconds=600), 5, None)
    job = one(misfire_grace_time=300, timeout_seconds=30, priority=9, jitter_seconds=20).job
    assert (job.catchup_window, job.timeout) == (timedelta(seconds=300), timedelta(seconds=30))
    assert (job.priority, job.jitter) == (9, timedelta(seconds=20))
    assert one(misfire_grace_time=0).job.catchup is Catchup.NONE
    bad = {"misfire_grace_time": -1, "timeout_seconds": 0, "priority": 11, "jitter_seconds": "x"}
    assert wrong(**bad).keys() == bad.keys()


def test_c2_6_poll_jobs() -> None:
    sources = {"poll_sources": {"mrs": {"type": "command", "command": ["glab", "mr"], "condition": "count > 3"}}}
    spec = one(sources, cron=..., trigger="poll", condition="mrs", poll_interval="30m")
    assert (spec.when.trigger, due(spec)) == ("poll", ["Mon 26 14:29:00"])
    assert json.loads(spec.job.target.options["poll"]) == sources["poll_sources"]["mrs"]
    assert due(one(sources, cron=..., trigger="poll", condition="mrs")) == ["Mon 26 14:59:00"]
    assert due(one(sources, trigger="poll", condition="mrs")) == ["Tue 27 09:00:00"]
    assert "did you mean 'mrs'" in wrong(sources, cron=..., trigger="poll", condition="mr")["condition"]
    assert "missing" in wrong(sources, cron=..., trigger="poll")["condition"]
    assert "there are no" in wrong(cron=..., trigger="poll", condition="mrs")["condition"]
    assert "poll" in wrong(condition="mrs")["condition"]
    assert "poll" in wrong(poll_interval="5m")["poll_interval"]
    assert "leave it out" in wrong(sources, cron=..., at="2027-01-01T00:00:00Z", trigger="poll", condition="mrs")["at"]
    assert "poll_interval" in wrong(sources, trigger="poll", condition="mrs", poll_interval="5m")


# ── anything at all ──

SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4)
)
KEYS = st.sampled_from(JOB_KEYS)
GOOD = st.sampled_from(["a", "* * * * *", "@daily", "UTC", "5m", "poll", "mrs", "skill_direct", ["slack"], True, 5, {}])
JOBS = st.dictionaries(KEYS, GOOD | VALUES, max_size=10) | VALUES
SCHEDULES = st.fixed_dictionaries(
    {},
    optional={
        "enabled": st.booleans() | VALUES,
        "timezone": st.just("UTC") | VALUES,
        "execution_mode": VALUES,
        "default_retry": VALUES,
        "default_notify": VALUES,
        "poll_sources": st.just({"mrs": {"a": 1}}) | VALUES,
        "claude": VALUES,
        "jobs": st.lists(JOBS, max_size=4) | VALUES,
    },
)


def accepted_or_refused(content: bytes) -> None:
    try:
        config = read_config(content, Reading(PLACE, load_zone, NOW))
    except ConfigFileError as error:
        assert error.problems
        assert all(each.startswith("the file ") or ": " in each for each in error.problems)
    else:
        for spec in config.jobs.values():
            assert spec.job.schedule.first_due() is not None
            json.dumps(spec.job.target.options)


@settings(max_examples=400, deadline=None)
@given(st.dictionaries(st.sampled_from(["schedules", "notifications", "x"]), SCHEDULES | VALUES))
def test_any_json_is_accepted_or_refused_with_paths(root: Any) -> None:
    accepted_or_refused(json.dumps(root).encode())


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200) | st.text().map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_any_bytes_are_accepted_or_refused(content: bytes) -> None:
    accepted_or_refused(content)


def test_a_file_cut_off_anywhere_is_refused(example: Any) -> None:
    content = json.dumps(example, indent=1).encode()
    for end in range(len(content) - 1):
        with pytest.raises(ConfigFileError):
            read_config(content[:end], Reading(PLACE, load_zone, NOW))


def test_the_programs_that_skills_may_start_are_names() -> None:
    assert read({"jobs": [], "skill_programs": ["git", "gh"]}).skill_programs == ("git", "gh")
    assert read({"jobs": []}).skill_programs == ()
    assert problems({"jobs": [], "skill_programs": "git"})[0].startswith("schedules.skill_programs: must be a list")

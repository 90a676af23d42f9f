"""What programs may read and change of the config file (B3.36, B3.37, S3.49, S3.50)."""

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wakeful.core.redaction import MARK
from wakeful.faces.cron.config_file import ConfigFileError
from wakeful.faces.cron.settings import with_section

pytestmark = pytest.mark.anyio

FILE = """{
  "jira":   {"token": "j-secret", "big": 1.10, "list": [1,2 ,3]},
  "schedules": {"timezone": "UTC", "jobs": [{"name": "a", "cron": "0 9 * * *", "skill": "s"}],
                "claude": {"command": ["claude"]},
                "poll_sources": {"mrs": {"url": "https://u:pass1234@example.com",
                                          "headers": {"Authorization": "x y"}}}},
  "notifications": {"slack": {"webhook_url": "https://hooks.slack.com/services/T0/B0/abc", "token_env": "SLACK_TOKEN",
                              "channel": "#ops"},
                    "email": {"host": "mail", "password": 12345678}, "apprise": {"ops": "ntfy://topic"}},

  "gitlab" : null
}
"""


@pytest.fixture
async def there(here: Any) -> Any:
    here.write_text(FILE)
    assert (await here.reload())["success"]
    return here


async def test_s3_49_values_are_read_by_section_and_dotted_key(there: Any) -> None:
    get = there.daemon.get_config
    assert await get("schedules", "timezone") == "UTC"
    assert await get("schedules", "jobs.0.cron") == await get("schedules", "jobs.a.cron") == "0 9 * * *"
    assert await get("schedules", "claude.command") == ["claude"]
    assert (await get("schedules"))["jobs"][0]["skill"] == "s"
    for key in ("nothing", "jobs.5", "jobs.b", "timezone.x", "jobs.-1", "..", "jobs.0.cron.x"):
        with pytest.raises(ValueError, match="has no"):
            await get("schedules", key)


async def test_a_name_with_a_dot_or_of_digits_is_reached_in_quotes(there: Any) -> None:
    names = ("0", "nightly.tests", 'a "b".c')
    jobs = [{"name": name, "cron": f"{n} 1 * * *", "skill": "s"} for n, name in enumerate(names)]
    assert (await there.daemon.update_config("schedules", "jobs", jobs[::-1]))["success"]
    get = there.daemon.get_config
    assert await get("schedules", "jobs.0.name") == 'a "b".c'
    assert await get("schedules", 'jobs."0".cron') == "0 1 * * *"
    assert await get("schedules", 'jobs."a \\"b\\".c".cron') == "2 1 * * *"
    assert (await there.daemon.update_config("schedules", 'jobs."nightly.tests".cron', "9 1 * * *"))["success"]
    assert await get("schedules", 'jobs."nightly.tests".cron') == "9 1 * * *"
    assert await get("schedules", '"timezone"') == "UTC"
    for key, said in (('jobs."0', "no second quote"), ('jobs."0"cron', "no dot"), ('jobs."1"', "has no '1'")):
        with pytest.raises(ValueError, match=said):
            await get("schedules", key)


async def test_b3_36_only_two_sections_are_read_and_secrets_are_covered(there: Any) -> None:
    get = there.daemon.get_config
    for section in ("jira", "gitlab", "", "nothing"):
        with pytest.raises(ValueError, match="can't be read here"):
            await get(section)
    notifications = await get("notifications")
    assert notifications == {
        "slack": {"webhook_url": MARK, "token_env": "SLACK_TOKEN", "channel": "#ops"},
        "email": {"host": "mail", "password": MARK},
        "apprise": {"ops": MARK},
    }
    assert await get("notifications", "slack.webhook_url") == MARK
    assert await get("notifications", "apprise.ops") == MARK
    source = await get("schedules", "poll_sources.mrs")
    assert "pass1234" not in json.dumps(source)
    assert source["headers"] == {"Authorization": MARK}


async def test_s3_50_a_change_is_written_and_applied_before_the_answer(there: Any) -> None:
    answer = await there.daemon.update_config("schedules", "jobs.a.cron", "30 9 * * *")
    assert answer == {"success": True, "section": "schedules", "key": "jobs.a.cron"}
    assert (await there.row("a"))["next_run"] == "2026-01-27T09:30:00+00:00"
    assert (await there.daemon.update_config("schedules", "timezone", "America/New_York"))["success"]
    assert (await there.row("a"))["next_run"] == "2026-01-26T09:30:00-05:00"
    assert (await there.daemon.update_config("schedules", "default_retry.max_attempts", 4))["success"]
    assert (await there.row("a"))["max_attempts"] == 4
    changed = [json.loads(text) for kind, text in there.events("Event") if kind == "config_changed"]
    assert changed[0] == {"section": "schedules", "key": "jobs.a.cron"}


async def test_b3_36_the_rest_of_the_file_stays_to_the_letter(there: Any) -> None:
    before, mode = FILE.partition('"schedules"')[0], 0o600
    there.config.chmod(mode)
    await there.daemon.update_config("schedules", "enabled", False)
    text = there.config.read_text()
    assert text.startswith(before)
    assert text.endswith(FILE[FILE.index(',\n  "notifications"') :])
    assert json.loads(text)["schedules"] == {**json.loads(FILE)["schedules"], "enabled": False}
    assert there.config.stat().st_mode & 0o777 == mode


async def test_an_empty_key_replaces_the_section(there: Any) -> None:
    section = {**json.loads(FILE)["schedules"], "jobs": []}
    assert (await there.daemon.update_config("schedules", "", section))["success"]
    assert await there.daemon.list_jobs() == []


@pytest.mark.parametrize(
    ("section", "key", "value", "said"),
    [
        ("notifications", "slack.channel", "#x", "can't be changed here: only schedules"),
        ("jira", "", {}, "can't be changed here"),
        ("schedules", "jobs.a.cron", "61 * * * *", "schedules.jobs[0].cron"),
        ("schedules", "", [], "schedules"),
        ("schedules", "", {"jobs": []}, "claude can't be changed here"),
        ("schedules", "claude.command", ["rm"], "claude can't be changed here"),
        ("schedules", "poll_sources.mrs.command", ["rm"], "poll_sources can't be changed here"),
        ("schedules", "jobs.a.inputs", {"token": MARK}, "schedules.jobs.0.inputs.token is"),
        ("schedules", "jobs.b.cron", "* * * * *", "has no 'b'"),
        ("schedules", "timezone.x", 1, "has no 'x'"),
        ("schedules", "timezone", "Mars", "unknown time zone"),
    ],
)
async def test_b3_36_what_may_not_be_changed_or_would_be_wrong_is_refused_and_nothing_is_written(
    there: Any, section: str, key: str, value: Any, said: str
) -> None:
    answer = await there.daemon.update_config(section, key, value)
    assert answer["success"] is False
    assert said in answer["error"]
    assert there.config.read_text() == FILE
    assert (await there.row("a"))["cron"] == "0 9 * * *"


async def test_who_is_told_so_may_change_commands_and_other_sections(there: Any) -> None:
    await there.stop()
    there.habits(writable=frozenset({"schedules", "schedules.claude", "notifications"}))
    await there.start()
    assert (await there.daemon.update_config("schedules", "claude.command", ["other"]))["success"]
    assert (await there.daemon.update_config("notifications", "slack.channel", "#x"))["success"]
    assert json.loads(there.config.read_text())["notifications"]["slack"]["channel"] == "#x"


async def test_a_file_that_is_a_link_stays_one(there: Any, tmp_path: Any) -> None:
    real = tmp_path / "dotfiles.json"
    there.config.rename(real)
    there.config.symlink_to(real)
    assert (await there.daemon.update_config("schedules", "enabled", False))["success"]
    assert there.config.is_symlink()
    assert json.loads(real.read_text())["schedules"]["enabled"] is False


async def test_a_file_that_can_not_be_read_is_not_written(there: Any) -> None:
    there.config.write_text("{")
    assert "no JSON" in (await there.daemon.update_config("schedules", "enabled", False))["error"]
    assert there.config.read_text() == "{"
    there.config.unlink()
    assert "no file" in (await there.daemon.update_config("schedules", "enabled", False))["error"]
    with pytest.raises(ValueError, match="no file"):
        await there.daemon.get_config("schedules")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(st.dictionaries(st.text(), JSON), st.text(), JSON, st.sampled_from([None, 0, 3, "\t"]))
def test_a_section_is_put_into_any_object(root: dict[str, Any], section: str, value: Any, indent: Any) -> None:
    text = with_section(json.dumps(root, indent=indent), section, value)
    assert json.loads(text) == {**root, section: value}


@pytest.mark.parametrize(
    "text", ["", "{", "[{}]", "x{}", '{"a": 1', '{"a" 1}', '{"a": 1} x', '{"a": 1 "b": 2}', "{a: 1}"]
)
def test_what_is_no_object_is_refused(text: str) -> None:
    with pytest.raises(ConfigFileError):
        with_section(text, "a", 1)


async def test_b3_36_a_known_secret_is_covered_wherever_it_stands(there: Any) -> None:
    there.rules = replace(there.rules, clean=lambda text: text.replace("0 9 * * *", MARK))
    there.habits()
    await there.start()
    assert await there.daemon.get_config("schedules", "jobs.0.cron") == MARK
    assert (await there.daemon.get_config("schedules"))["jobs"][0]["cron"] == MARK

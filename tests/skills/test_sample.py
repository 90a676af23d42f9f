"""The document's sample skill, as it is printed, and its rows S3.73–S3.79."""

from dataclasses import replace

import pytest

from skills.kitchen import SESSION, Kitchen

pytestmark = pytest.mark.anyio

SAMPLE = """
name: {kind}_aware
description: Behaves differently when it is run by cron

steps:
  - {key}: check_source
    description: Where does this come from?
    compute: |
      is_cron = "{{{{ session.source }}}}" == "cron"
      job_name = "{{{{ session.job_name }}}}"

  - {key}: send_notification
    condition: "{{{{ check_source.is_cron }}}}"
    tool: slack_send_message
    args:
      channel: "#notifications"
      text: "Cron job {{{{ session.job_name }}}} completed"
"""


@pytest.mark.parametrize("key", ["id", "name"])
async def test_s3_74_to_79_the_sample_runs_with_id_and_with_name(kitchen: Kitchen, key: str) -> None:
    """B3.28: no `result`, a session in the context, `text` for the message."""
    result = await kitchen.run(SAMPLE.format(kind="cron", key=key))
    assert (result.success, result.error, result.warnings) == (True, None, ())
    assert kitchen.sent == [("#notifications", "Cron job morning_coffee completed")]
    assert [(step.name, step.state) for step in result.steps] == [
        ("check_source", "done"),
        ("send_notification", "done"),
    ]


async def test_s3_78_a_false_condition_skips_the_step(kitchen: Kitchen) -> None:
    kitchen.write("sample", SAMPLE.format(kind="chat", key="id"))
    result = await kitchen.engine().run("sample", {}, replace(SESSION, source="chat"))
    assert result.success
    assert kitchen.sent == []
    assert result.steps[1].state == "skipped"


async def test_s3_73_the_session_is_there_with_all_its_fields(kitchen: Kitchen) -> None:
    fields = ("session_id", "source", "job_name", "persona", "scheduled_at")
    template = " ".join(f"{{{{ session.{name} }}}}" for name in fields)
    said = await kitchen.value(f"- {{id: it, compute: 'result = \"{template}\"'}}")
    assert said == "cron-coffee-20260126-090000 cron morning_coffee developer 2026-01-26T09:00:00-05:00"
    moment = await kitchen.value("- {id: it, compute: 'result = datetime.fromisoformat(session.scheduled_at).hour'}")
    assert moment == 9


async def test_s3_76_s3_77_assigned_variables_are_attributes_for_later_steps(kitchen: Kitchen) -> None:
    value = await kitchen.value("""
        - id: first
          compute: |
            count = 3
            items = ["a", "b"]
        - id: second
          compute: |
            result = "no matter"
            doubled = first.count * 2 + len(first.items)
        - id: it
          compute: |
            result = ["{{ first.count }}", {{ first.items }}, {{ second.doubled }}, second.doubled, second, first.items]
        """)
    assert value == ["3", ["a", "b"], 8, 8, "no matter", ["a", "b"]]


async def test_s3_79_message_is_another_name_for_text(kitchen: Kitchen) -> None:
    await kitchen.value("- {id: it, tool: slack_send_message, args: {channel: '#a', message: hello}}")
    assert kitchen.sent == [("#a", "hello")]

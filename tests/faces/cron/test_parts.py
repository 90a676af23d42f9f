"""A daemon's parts, put together: the real sink, its polls, its jobs' environment, and what a file is read by."""

import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec
import pytest

from targets.cron.jobs import result, script_claim
from wakeful.core.ports import Claim
from wakeful.core.run import Cause, Failed, Outcome, Rejected, Skipped, Succeeded
from wakeful.cron_config import CronSettings
from wakeful.cron_parts import Parts
from wakeful.faces.cron.config_file import CronConfig
from wakeful.testing import World, world

pytestmark = pytest.mark.anyio

PRINTS = """
import json, os, sys
given = json.load(sys.stdin)
print(json.dumps([given.get("_triggered_items"), given.get("_triggered_count"), dict(os.environ)]))
sys.exit(os.path.exists("fail"))
"""


@dataclass
class Whole:
    """The parts of a daemon that never starts: what is delivered, is delivered by hand."""

    world: World
    folder: Path
    environment: dict[str, str] = field(default_factory=lambda: {"PATH": "/usr/bin:/bin"})

    def __post_init__(self) -> None:
        self.settings = CronSettings(
            self.folder / "config.json",
            self.folder / "scripts",
            self.folder / "skills",
            self.folder,
            self.folder / "wakeful.db",
        )
        for name in ("scripts", "skills"):
            (self.folder / name).mkdir()
        (self.folder / "scripts" / "prints.py").write_text(PRINTS)
        self.items = self.folder / "items.json"
        self.poll = json.dumps({"type": "command", "command": ["cat", str(self.items)]})
        self.renew()

    def renew(self) -> None:
        """As another process would find it."""
        self.parts = Parts(self.settings, self.world.scheduler, self.environment)

    async def read(self, schedules: Mapping[str, Any] = {}, **sections: Any) -> CronConfig:
        text = json.dumps({"schedules": {"jobs": [], **schedules}, **sections})
        self.settings.config.write_text(text)
        await self.parts.daemon.look()
        assert self.parts.daemon.config is not None
        return self.parts.daemon.config

    async def deliver(self, number: int = 1, attempt: int = 1, **more: Any) -> Outcome:
        """An attempt of a run; of one that has failed, with its error."""
        made = script_claim("prints.py", attempt=attempt, **more)
        errors = ({"error": "exit code 1"},) if attempt > 1 else ()
        run = msgspec.structs.replace(made.run, id=UUID(int=number), errors=errors)
        return await self.parts.sink.deliver(Claim(run, made.job))

    def fails(self, yes: bool) -> None:
        mark = self.folder / "scripts" / "fail"
        mark.touch() if yes else mark.unlink()


@pytest.fixture
async def whole(tmp_path: Path) -> AsyncIterator[Whole]:
    async with world("2026-01-26T13:59:00Z", path=tmp_path / "wakeful.db") as made:
        yield Whole(made, tmp_path)


def printed(outcome: Outcome) -> Any:
    return json.loads(result(outcome)["output"])


async def test_a_polls_retry_has_the_items_of_its_first_attempt_whatever_the_source_has_by_then(whole: Whole) -> None:
    items = [{"id": 1, "title": "half \ud800"}, {"id": 2}]
    whole.items.write_text(json.dumps(items))
    whole.fails(True)
    first = await whole.deliver(poll=whole.poll)
    assert isinstance(first, Failed)
    whole.items.write_text("[]")
    whole.renew()
    whole.fails(False)
    second = await whole.deliver(attempt=2, poll=whole.poll)
    assert isinstance(second, Succeeded)
    assert printed(second)[:2] == printed(first)[:2]
    assert printed(second)[1] == 2
    # They have been dealt with, and are not kept any longer.
    whole.items.write_text(json.dumps(items))
    assert isinstance(await whole.deliver(2, poll=whole.poll), Skipped)
    assert await whole.world.scheduler.documents.list("cron-poll-found") == []


async def test_what_a_job_finds_is_kept_for_as_many_runs_as_it_may_have(whole: Whole) -> None:
    whole.fails(True)
    for number in (1, 2):
        whole.items.write_text(json.dumps([{"id": number}]))
        assert isinstance(await whole.deliver(number, poll=whole.poll), Failed)
    whole.items.write_text("[]")
    assert isinstance(await whole.deliver(2, attempt=2, poll=whole.poll), Failed)
    lost = await whole.deliver(1, attempt=2, poll=whole.poll)
    assert lost == Rejected("exit code 1; not tried again: any: 0 of 0 items count")


async def test_jobs_see_no_variable_that_a_secret_of_notices_or_of_a_polled_url_is_in(whole: Whole) -> None:
    whole.environment |= {"PHONE_URL": "json://localhost/phone", "MAIL": "m", "REVIEWS_AUTH": "r", "MINE": "mine"}
    await whole.read(
        {
            "poll_sources": {
                "reviews": {
                    "type": "url",
                    "url": "https://example.org/r",
                    "headers": {"authorization_env": "REVIEWS_AUTH"},
                }
            }
        },
        notifications={
            "apprise": {"phone": {"url_env": "PHONE_URL"}},
            "email": {"host": "localhost", "from": "a@example.org", "user": "u", "password_env": "MAIL"},
        },
    )
    seen = printed(await whole.deliver(cause=Cause.MANUAL))[2]
    assert seen.keys() & whole.environment.keys() == {"PATH", "MINE"}


async def test_b3_17_what_nobody_reads_and_whom_nobody_can_tell_is_told_at_once(whole: Whole) -> None:
    whole.environment["SLACK_TOKEN"] = "xoxb-1-2-3"
    job = {"name": "a", "cron": "* * * * *", "script": "prints.py", "notify": ["email", "slack"]}
    sources = {"mrs": {"type": "command", "command": ["true"], "timeout": 3}}
    config = await whole.read(
        {"jobs": [job], "poll_sources": sources, "default_notify": ["apprise:phone"]},
        notifications={"slack": {"token_env": "SLACK_TOKEN", "chanel": "#ops"}},
    )
    untold = "nobody is told: the target"
    assert config.warnings == (
        "notifications: slack.chanel: nobody reads this key: did you mean 'channel'?",
        "schedules.poll_sources.mrs: timeout: nobody reads this key: did you mean 'timeout_seconds'?",
        f"schedules.default_notify: {untold} apprise needs notifications.apprise, with a URL by its name",
        f"schedules.jobs[0].notify: {untold} email needs notifications.email, with host and from",
        f"schedules.jobs[0].notify: {untold} slack needs notifications.slack.channel, or is written as slack:#channel",
    )


async def test_a_webhook_in_the_place_of_a_channel_is_not_shown(whole: Whole) -> None:
    hook = "https://hooks.slack.com/services/T00000000/B00000000/abcdefgh12345678"
    slack = {"slack": {"webhook_url": hook}}
    (warning,) = (await whole.read({"default_notify": [f"slack:{hook}"]}, notifications=slack)).warnings
    assert "abcdefgh12345678" not in warning

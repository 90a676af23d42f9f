"""What a cron daemon performs its jobs with: modes, skills, polls and notices, as its config file sets them up."""

import asyncio
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime, tzinfo
from typing import Any

from wakeful import zones
from wakeful.core.ports import Attachment, Claim
from wakeful.core.redaction import redact
from wakeful.cron_config import CronSettings
from wakeful.cron_polls import Polls
from wakeful.faces.cron.config_source import Rules
from wakeful.faces.cron.daemon import CronDaemon
from wakeful.faces.cron.definitions import Place
from wakeful.faces.cron.keeping import CronPaths
from wakeful.scheduler import Scheduler
from wakeful.skills import Session, SkillEngine, SkillResult, Tools, built_in
from wakeful.skills.errors import ToolError
from wakeful.skills.memory import session_log
from wakeful.targets.claude import ClaudeMode, ClaudeSettings
from wakeful.targets.claude import read_settings as read_claude
from wakeful.targets.command import ScriptMode
from wakeful.targets.cron_sink import CronSink, Surroundings
from wakeful.targets.notices import slack
from wakeful.targets.notices.settings import NotifySettings
from wakeful.targets.notices.settings import read_settings as read_notify
from wakeful.targets.notify import NotifySink, validate_target
from wakeful.targets.poll_source import read_source
from wakeful.targets.sessions import CronSession, Sessions
from wakeful.targets.skill import SkillMode
from wakeful.targets.web import Request, ask
from wakeful.targets.work import EXECUTION, Perform

# Skills, scripts and what they start share a desktop's few processors.
MOST_JOBS = 8
MOST_NOTICES = 16
# A skill reads no more than this of an answer.
ANSWER_LIMIT = 1024 * 1024


def rules(skills: SkillEngine, environment: Mapping[str, str]) -> Rules:
    """What a config file is read by: each section by those who use it."""

    def claude(section: object) -> Sequence[str]:
        read_claude(section)
        return ()

    def notifications(section: object) -> Sequence[str]:
        return read_notify(section, environment).warnings

    def poll_source(section: object) -> Sequence[str]:
        return read_source(section).warnings

    def untold(section: object, targets: Sequence[str]) -> Mapping[str, str]:
        settings = read_notify(section, environment)
        return {each: why for each in targets if (why := validate_target(each, settings)) is not None}

    def problems(skill: str, inputs: Mapping[str, Any], mode: str) -> Sequence[tuple[str, str]]:
        # A skill that the CLI runs may be one of the CLI's own: only those that are here can be looked at.
        return skills.problems(skill, inputs) if mode == "skill_direct" or skills.has(skill) else ()

    checks = {"schedules.claude": claude, "notifications": notifications, "schedules.poll_sources.*": poll_source}
    return Rules(zones.load_zone, checks, problems, untold)


class Parts:
    """The daemon of one config file, and the sinks of its queues."""

    def __init__(self, settings: CronSettings, scheduler: Scheduler, environment: Mapping[str, str]) -> None:
        self._settings = settings
        self._scheduler = scheduler
        self._environment = environment
        self._memory = settings.state / "memory"
        self._notifications: tuple[Mapping[str, Any], NotifySettings] = {}, NotifySettings()
        self._skills = SkillEngine(settings.skills, built_in(self._tools()))
        self.place = Place.of(str(settings.config))
        paths = CronPaths.beside(settings.config, settings.state)
        read_by = replace(rules(self._skills, environment), clean=self._clean)
        self.daemon = CronDaemon(scheduler, paths, read_by, self._attach)
        self.sink = self._cron_sink()

    def _attach(self) -> Sequence[Attachment]:
        notices = NotifySink(self._notify_settings, self._memory / "state" / "notifications.yaml")
        attach = self._scheduler.attach
        return attach(self.place.queue, self.sink, MOST_JOBS), attach(self.place.notices, notices, MOST_NOTICES)

    def _cron_sink(self) -> CronSink:
        modes: dict[str, Perform] = {
            "claude_cli": ClaudeMode(self._claude_settings, self._environment, self._withheld),
            "skill_direct": SkillMode(self._run_skill),
            "python_script": ScriptMode(self._settings.scripts, self._environment, self._withheld),
        }
        around = Surroundings(
            self._scheduler.now,
            enabled=self.daemon.enabled_now,
            zone=_zone_of,
            poll=Polls(self._scheduler, self._environment, self._notice_secrets, _zone_of),
            begins=self.daemon.begun,
            log_run=self._log_run,
            redact=self._clean,
        )
        return CronSink(modes, Sessions(self._settings.state / "cron_logs"), around)

    # ── what the config file says ──

    def _claude_settings(self) -> ClaudeSettings:
        config = self.daemon.config
        return read_claude(None if config is None else config.claude)

    def _notify_settings(self) -> NotifySettings:
        config = self.daemon.config
        section = {} if config is None else config.notifications
        # A text is looked through for these secrets again and again.
        if section is not self._notifications[0]:
            self._notifications = section, read_notify(section, self._environment)
        return self._notifications[1]

    def _clean(self, text: str) -> str:
        return redact(text, self._notify_settings().secrets())

    def _notice_secrets(self) -> Collection[str]:
        """The variables that hold the secrets of notices: nobody else's business."""
        config = self.daemon.config
        return () if config is None else tuple(_variables(config.notifications))

    def _withheld(self) -> Collection[str]:
        """The variables that no job sees: the secrets of notices, and those that URLs are polled with."""
        config = self.daemon.config
        headers = () if config is None else _variables(config.poll_sources)
        return (*self._notice_secrets(), *headers)

    # ── skills ──

    def _tools(self) -> Tools:
        return Tools(
            send=self._send_to_slack,
            fetch=fetch,
            memory=self._memory,
            now=self._local_now,
            programs=_Programs(self),
            # By the run, the next daemon finds what a killed one left.
            environment=lambda session: {"PATH": self._environment.get("PATH", ""), EXECUTION: session.run_id},
        )

    async def _run_skill(self, name: str, inputs: Mapping[str, Any], session: CronSession) -> SkillResult:
        return await self._skills.run(name, inputs, Session(**asdict(session)))

    async def _send_to_slack(self, channel: str, text: str) -> None:
        settings = self._notify_settings()
        if settings.slack is None:
            raise ToolError("there is no Slack to send to: config.json has no notifications.slack")
        try:
            await slack.post(settings.slack, text, channel)
        except slack.SlackError as error:
            raise ToolError(str(error)) from None

    async def _log_run(self, action: str, details: str) -> None:
        await asyncio.to_thread(session_log, self._memory, action, details, self._local_now())

    def _local_now(self) -> datetime:
        config = self.daemon.config
        zone = None if config is None else zones.load_zone(config.timezone)
        return self._scheduler.now().astimezone(zone or UTC)


def _zone_of(claim: Claim) -> tzinfo:
    """The job's zone; that of a single instant has nothing to do with when it is."""
    return zones.load_zone(claim.job.schedule.given.zone or "UTC") or UTC


def _variables(section: Mapping[str, Any]) -> Iterator[str]:
    """The variables of the environment that a section names, however deep."""
    for key, value in section.items():
        if isinstance(value, Mapping):
            yield from _variables(value)
        elif key.endswith("_env") and isinstance(value, str):
            yield value


class _Programs(Collection[str]):
    """The programs that skills may start, as the config file has them now."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def _now(self) -> tuple[str, ...]:
        config = self._parts.daemon.config
        return () if config is None else config.skill_programs

    def __contains__(self, program: object) -> bool:
        return program in self._now()

    def __iter__(self) -> Iterator[str]:
        return iter(self._now())

    def __len__(self) -> int:
        return len(self._now())


async def fetch(
    method: str, url: str, headers: Mapping[str, str], body: bytes, timeout_s: float
) -> tuple[int, Mapping[str, str], bytes]:
    """What skills do HTTP with: status, headers and body.

    Raises:
        WebError, ValueError: as ``ask``.
    """
    answer = await ask(Request(url, method, headers, body), timeout_s, ANSWER_LIMIT)
    return answer.status, answer.headers, answer.body

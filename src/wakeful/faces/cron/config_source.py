"""The config file as it is watched: what it said when it could be used last, and what is wrong with it now."""

import asyncio
import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

from wakeful.core.recurrence import Zones
from wakeful.core.redaction import redact
from wakeful.faces.cron.config_file import (
    FILE_LIMIT,
    Check,
    ConfigFileError,
    CronConfig,
    Reading,
    Untold,
    Validator,
    read_config,
)
from wakeful.faces.cron.definitions import Place
from wakeful.faces.cron.files import Seen, look

log = logging.getLogger("wakeful.cron")

_MOST_LOGGED = 20
# How often jobs are looked at anew whose skills did not take their inputs.
_LOOK_AGAIN = timedelta(seconds=30)


@dataclass(frozen=True, slots=True)
class Rules:
    """What a config file is read by: zone data, and the checks of those who use its sections (see ``Reading``).

    ``clean`` takes secrets out of a text.
    """

    zones: Zones
    checks: Mapping[str, Check] = field(default_factory=dict)
    validate: Validator | None = None
    untold: Untold | None = None
    clean: Callable[[str], str] = redact


class ConfigSource:
    """``config`` is the last one that could be used; ``error`` says what is wrong with the file as it is now."""

    def __init__(self, path: Path, rules: Rules, now: Callable[[], datetime]) -> None:
        self.path = path
        self.place = Place.of(str(path))
        self.config: CronConfig | None = None
        self.error: str | None = None
        self._rules = rules
        self._now = now
        self._seen: Seen | None = None
        self._read_at = now()
        self._warned: frozenset[str] = frozenset()

    async def recall(self, content: str) -> None:
        """Uses what a file said that was good once, until the file can be read."""
        try:
            self.config = await asyncio.to_thread(self.read, content.encode())
        except ConfigFileError as error:
            log.warning("the config that was used last is of no use any more: %s", error)

    async def look(self, *, anyway: bool = False) -> bool:
        """Reads the file if it has changed, or ``anyway``; whether there is a new config."""
        seen = await asyncio.to_thread(look, self.path, FILE_LIMIT)
        if seen == self._seen and not anyway:
            return await self._mended()
        same = self._seen is not None and seen.content is not None and seen.content == self._seen.content
        self._seen = seen
        if same and not anyway:
            # Written again, and not changed.
            return False
        if seen.content is None:
            self._complain(seen.problem or "it can't be read")
            return False
        try:
            config = await asyncio.to_thread(self.read, seen.content)
        except ConfigFileError as error:
            self._complain(f"{self.path} can't be used: {error}")
            return False
        self._warn(config)
        self.config, self.error, self._read_at = config, None, self._now()
        return True

    def read(self, content: bytes) -> CronConfig:
        """What a file with that content would say.

        Raises:
            ConfigFileError: it could not be used.
        """
        rules = self._rules
        reading = Reading(self.place, rules.zones, self._now(), rules.checks, rules.validate, rules.untold)
        return read_config(content, reading)

    async def _mended(self) -> bool:
        """Whether jobs whose inputs were wrong are right now: their skills may have been written since."""
        content = None if self._seen is None else self._seen.content
        if self.config is None or self.error is not None or content is None:
            return False
        before = {name: spec.problems for name, spec in self.config.jobs.items() if spec.problems}
        if not before or self._now() - self._read_at < _LOOK_AGAIN:
            return False
        self._read_at = self._now()
        try:
            config = await asyncio.to_thread(self.read, content)
        except ConfigFileError as error:
            # What was good when it was read stays in use.
            log.warning("%s could not be used if it were read now: %s", self.path, error)
            return False
        if {name: spec.problems for name, spec in config.jobs.items() if spec.problems} == before:
            return False
        self.config = config
        return True

    def _complain(self, error: str) -> None:
        if error != self.error:
            log.error("%s; the jobs stay as they were", error)
        self.error = error

    def _warn(self, config: CronConfig) -> None:
        news = [sentence for sentence in config.warnings if sentence not in self._warned]
        for sentence in news[:_MOST_LOGGED]:
            log.warning("%s", sentence)
        if len(news) > _MOST_LOGGED:
            log.warning("and %d more", len(news) - _MOST_LOGGED)
        self._warned = frozenset(config.warnings)


def remembered(config: CronConfig) -> str:
    """What ``recall`` wants."""
    sections = {"schedules": config.schedules, "notifications": config.notifications}
    return json.dumps(sections, ensure_ascii=False)

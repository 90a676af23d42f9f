"""Keeps the store's jobs as the config file and the switches say, whenever one of them has changed."""

import asyncio
import logging
from dataclasses import dataclass
from pathlib import Path

import msgspec

from wakeful.core.ports import Claim
from wakeful.core.run import Cause
from wakeful.faces.cron.applying import Applying, Difference, Wanted
from wakeful.faces.cron.config_file import ConfigFileError, CronConfig
from wakeful.faces.cron.config_source import ConfigSource, Rules, remembered
from wakeful.faces.cron.events import Listeners
from wakeful.faces.cron.precedence import held_by, scheduler_on, settled_switches
from wakeful.faces.cron.state_file import StateFile
from wakeful.faces.cron.switches import Switch, Switches
from wakeful.faces.cron.timing import too_late
from wakeful.scheduler import Scheduler

log = logging.getLogger("wakeful.cron")

# The kinds of the documents that hold what the files of a path said when they could be read last.
_CONFIG, _SWITCHES = "cron-config", "cron-switches"


@dataclass(frozen=True, slots=True)
class CronPaths:
    """Files of the daemon: what people write, the switches that programs set, and what the daemon tells."""

    config: Path
    state: Path
    snapshot: Path

    @classmethod
    def beside(cls, config: Path, folder: Path) -> "CronPaths":
        """With the usual names in the state folder."""
        return cls(config.absolute(), folder.absolute() / "state.json", folder.absolute() / "cron_state.json")


class Keeper:
    """The jobs of one config file."""

    def __init__(self, scheduler: Scheduler, paths: CronPaths, rules: Rules, listeners: Listeners) -> None:
        self.source = ConfigSource(paths.config, rules, scheduler.now)
        self.state = StateFile(paths.state, scheduler.now)
        self.applying = Applying(scheduler, self.source.place.owner)
        # Of jobs whose only instant had passed when they came, in sentences.
        self.late: tuple[str, ...] = ()
        self._scheduler = scheduler
        self._listeners = listeners
        self._refreshing = asyncio.Lock()
        self._applied: tuple[CronConfig, Switches] | None = None
        self._told: tuple[str | None, str | None] = (None, None)
        self._unwritable = False

    @property
    def config(self) -> CronConfig | None:
        """The last config that could be used."""
        return self.source.config

    async def recall(self) -> None:
        """What the files said when another process read them last counts until they can be read."""
        documents, key = self._scheduler.documents, str(self.source.path)
        content, switches = await documents.get(_CONFIG, key), await documents.get(_SWITCHES, key)
        if content is not None:
            await self.source.recall(content.value)
        if switches is not None:
            try:
                self.state.recall(switches.value.encode())
            except ConfigFileError as error:
                log.warning("the switches that were used last are of no use any more: %s", error)

    async def refresh(self, *, anyway: bool = False) -> Difference | None:
        """Looks at the files, and applies what is new; what that came to, ``None`` if there was nothing.

        Raises:
            WakefulError: the store can't be used now; the next call does it.
        """
        async with self._refreshing:
            news = await self.source.look(anyway=anyway)
            self.state.look()
            self._tell_problems()
            config, before = self.config, self._applied
            if config is None or (before and before[0] is config and before[1] == self.state.switches):
                return None
            await self._settle(config)
            switches = self.state.switches
            await self._remember(config, switches, before)
            found = await self.applying.apply(self.wanted(config, switches))
            self._applied = (config, switches)
            self._tell_late(config, found)
            self._tell(before, found, news=news)
            return found

    async def look(self) -> None:
        """Looks at the files, and applies nothing."""
        await self.source.look()
        self.state.look()

    async def switch(self, place: tuple[str, str], enabled: bool | None) -> None:
        """Sets a switch, or takes it away; the jobs follow before it returns.

        Raises:
            OSError: ``state.json`` can't be written.
            WakefulError: the store can't be used now.
        """
        config, name = self.config, place[1]
        base = None
        if config is not None:
            base = config.enabled if place[0] == "services" else config.jobs[name].enabled
        await self.state.change({place: None if enabled is None else Switch(enabled, base)})
        await self.refresh()

    def held(self, claim: Claim) -> str | None:
        """Why a run may not be done now, by a fresh look at the switches; ``None`` if it may.

        Whoever asks for a run himself gets it: only those of the schedule are held.
        """
        if claim.run.cause is not Cause.SCHEDULE or self.config is None:
            return None
        name = claim.job.key.name
        if name not in self.config.jobs:
            return "the job is no longer in the config file"
        self.state.look()
        return held_by(self.config, self.state.switches, name)

    def reason(self, name: str) -> str | None:
        """Why a job of the file does not run by itself; ``None`` if it does."""
        return None if self.config is None else held_by(self.config, self.state.switches, name)

    def wanted(self, config: CronConfig, switches: Switches) -> dict[str, Wanted]:
        """The jobs as they are to be."""
        return {name: Wanted(spec.job, held_by(config, switches, name)) for name, spec in config.jobs.items()}

    async def _settle(self, config: CronConfig) -> None:
        """Switches that the file has overruled go; the others note what the file says, so that an edit can be told."""
        changes = settled_switches(config, self.state.switches)
        if not changes or self.state.problem is not None:
            return
        try:
            await self.state.change(changes)
            self._unwritable = False
        except OSError as error:
            # The switches stand as they are read; only what the file says later can't be told from now.
            if not self._unwritable:
                log.warning("the switches can't be written: %s", error)
            self._unwritable = True

    async def _remember(
        self, config: CronConfig, switches: Switches, before: tuple[CronConfig, Switches] | None
    ) -> None:
        documents, key = self._scheduler.documents, str(self.source.path)
        if before is None or before[0] is not config:
            await documents.put(_CONFIG, key, remembered(config))
        if before is None or before[1] != switches:
            await documents.put(_SWITCHES, key, self.state.content())

    def _tell_problems(self) -> None:
        told = self.source.error, self.state.problem
        for kind, was, now in zip(("config_error", "state_error"), self._told, told, strict=True):
            if was != now:
                self._listeners.tell("Event", kind, msgspec.json.encode({"error": now}).decode())
        self._told = told

    def _tell_late(self, config: CronConfig, found: Difference) -> None:
        late = tuple(f"job {name!r}: {too_late(config.jobs[name].job.schedule)}" for name in found.late)
        for sentence in late:
            if sentence not in self.late:
                log.warning("%s", sentence)
        self.late = late

    def _tell(self, before: tuple[CronConfig, Switches] | None, found: Difference, *, news: bool) -> None:
        if news or found:
            log.info("%s: %s", self.source.path, found)
        if news and before is not None:
            self._listeners.tell("ConfigReloaded")
        if before is not None and self._applied is not None:
            was, now = scheduler_on(*before)[0], scheduler_on(*self._applied)[0]
            if was != now:
                self._listeners.tell("SchedulerToggled", now)

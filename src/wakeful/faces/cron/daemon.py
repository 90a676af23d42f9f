"""The cron daemon: a config file and its switches, kept in the store; and what may be asked of it."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any

import msgspec

from wakeful.core.errors import WakefulError
from wakeful.core.job import JobKey, JobState
from wakeful.core.ports import Attachment, Claim, JobQuery
from wakeful.faces.cron.asking import AskedRuns
from wakeful.faces.cron.config_file import CronConfig
from wakeful.faces.cron.config_source import Rules
from wakeful.faces.cron.definitions import NAMESPACE
from wakeful.faces.cron.events import Listener, Listeners
from wakeful.faces.cron.following import RunFollower
from wakeful.faces.cron.history import HistoryReader, Row, told
from wakeful.faces.cron.keeping import CronPaths, Keeper
from wakeful.faces.cron.precedence import scheduler_on
from wakeful.faces.cron.reports import Jobs, Life, health_report
from wakeful.faces.cron.settings import WRITABLE, Settings
from wakeful.faces.cron.snapshot import HISTORY, Snapshot
from wakeful.faces.cron.switches import SCHEDULER
from wakeful.faces.cron.untold import UntoldNotices
from wakeful.faces.cron.views import AHEAD, Shown, job_rows
from wakeful.faces.cron.watching import FileWatch
from wakeful.scheduler import Scheduler

log = logging.getLogger("wakeful.cron")


@dataclass(frozen=True, slots=True)
class Habits:
    """How often the files are looked at without a hint, and the snapshot is written without a change.

    ``writable`` are the sections that ``update_config`` may change.
    """

    poll: timedelta = timedelta(seconds=2)
    write: timedelta = timedelta(seconds=30)
    writable: frozenset[str] = WRITABLE


class CronDaemon:
    """The jobs of one config file, and their history.

    ``attach`` lets the engine deliver; it is called once the store's jobs are those of the file, so that nothing
    of an older file runs. What it returns is held while the machine sleeps.
    """

    def __init__(
        self,
        scheduler: Scheduler,
        paths: CronPaths,
        rules: Rules,
        attach: Callable[[], Sequence[Attachment]] = tuple,
        habits: Habits | None = None,
    ) -> None:
        habits = habits or Habits()
        self._scheduler = scheduler
        self._attach = attach
        self._zones = rules.zones
        self._listeners = Listeners()
        self._keeper = Keeper(scheduler, paths, rules, self._listeners)
        owner = self._keeper.source.place.owner
        self._history = HistoryReader(scheduler, owner, self._zone)
        self._follower = RunFollower(owner, self._listeners, self._keeper.held)
        self._asked = AskedRuns(scheduler, self._keeper, self._history, self._follower)
        self._untold = UntoldNotices(scheduler, self._keeper.source.place.notices, self._listeners)
        self._settings = Settings(self._keeper.source, habits.writable, rules.clean)
        self._snapshot = Snapshot(paths.snapshot, self.get_state, habits.write)
        self._watch = FileWatch((paths.config, paths.state), self._look, habits.poll)
        self._attachments: Sequence[Attachment] = ()
        self._tasks: list[asyncio.Task[None]] = []
        self._endings: list[Callable[[], None]] = []
        self._started_at: datetime | None = None
        self._asleep_since: datetime | None = None
        self._sleeps = 0

    # ── life ──

    async def start(self, *, watch: bool = True) -> None:
        """Reads the files, makes the store's jobs theirs, lets them run, and watches the files, unless told not to.

        A file that can't be used, or a scheduler that is off, is told, and keeps nobody from starting.

        Raises:
            WakefulError: the store can't be used.
        """
        self._started_at = self._scheduler.now()
        await self._keeper.recall()
        await self._keeper.refresh()
        changed = self._listeners.add(lambda *_: self._snapshot.changed())
        self._endings = [changed, *(self._scheduler.observe(each) for each in (self._follower, self._untold))]
        await self._untold.look()
        self._attachments = self._attach()
        loop = asyncio.get_running_loop()
        self._tasks = [loop.create_task(self._snapshot.run(), name="wakeful-cron-snapshot")]
        if watch:
            self._tasks.append(loop.create_task(self._watch.run(), name="wakeful-cron-files"))
        self._snapshot.changed()
        self._listeners.tell("StatusChanged", "running")

    async def stop(self) -> None:
        """Watches no more, and writes the snapshot for the last time; what runs is the engine's to end."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for end in self._endings:
            end()
        self._tasks, self._endings, self._started_at = [], [], None
        self._listeners.tell("StatusChanged", "stopped")
        await self._snapshot.try_to_write()

    async def look(self) -> None:
        """Reads the files, for ``list_jobs`` of a daemon that is not started; nothing in the store is changed."""
        await self._keeper.look()

    def listen(self, listener: Listener) -> Callable[[], None]:
        """From now on the listener hears of everything; call what is returned to end that."""
        return self._listeners.add(listener)

    async def on_system_sleep(self) -> None:
        """The machine is about to sleep: nothing new is begun; what runs goes on."""
        if self._asleep_since is None:
            self._asleep_since = self._scheduler.now()
            self._sleeps += 1
            self._event("system_sleep", at=told(self._asleep_since, self._zone()), sleeps=self._sleeps)
            self._listeners.tell("StatusChanged", "sleeping")
        for attachment in self._attachments:
            attachment.hold()

    async def on_system_wake(self, slept: timedelta | None = None) -> None:
        """The machine is awake: the jobs go on, those that were missed by their catch-up policies.

        ``slept`` is for how long it slept, where nobody had announced that.
        """
        now = self._scheduler.now()
        if self._asleep_since is None:
            self._sleeps += 1
        elif slept is None:
            slept = max(now - self._asleep_since, timedelta(0))
        self._asleep_since = None
        for attachment in self._attachments:
            attachment.resume()
        seconds = None if slept is None else round(slept.total_seconds(), 3)
        self._event("system_wake", at=told(now, self._zone()), slept_seconds=seconds, sleeps=self._sleeps)
        self._listeners.tell("StatusChanged", "running")

    # ── what others connect to ──

    @property
    def config(self) -> CronConfig | None:
        """The config in use, with the sections that others understand; ``None`` until there was one."""
        return self._keeper.config

    def enabled_now(self, claim: Claim) -> str | None:
        """Why a run may not be done now, by a fresh look at the switches; ``None`` if it may."""
        return self._keeper.held(claim)

    def begun(self, claim: Claim) -> None:
        """Of a job that polls: there is something to do, or that can't be told. Others begin at their delivery."""
        self._follower.begun(claim)

    # ── jobs ──

    async def run_job(self, name: str) -> Row:
        """Runs a job once, beside its schedule, be it on or off; its execution id, at once."""
        return await self._asked.run(name)

    def absent(self, name: str) -> str:
        """Why there is no such job to run."""
        return self._asked.absent(name)

    async def wait_for_run(self, execution_id: str) -> Row:
        """What became of an execution, as a row of history, once it has ended: after its last attempt.

        Raises:
            ValueError: there is none of the daemon's jobs.
        """
        return await self._asked.wait(execution_id)

    async def list_jobs(self) -> list[Row]:
        """All jobs in the order of the file, with their next five runs and what is wrong with them."""
        shown = await self._shown()
        return await asyncio.to_thread(job_rows, shown, AHEAD)

    async def get_history(self, limit: int = 20, *, include_skipped: bool = False) -> list[Row]:
        """The newest runs, newest first, at most 1,000; with ``include_skipped`` also those that were not run."""
        return await self._history.read(limit, include_skipped=include_skipped)

    async def toggle_job(self, name: str, enabled: bool) -> Row:
        """Switches a job on or off, over what the file says; the store knows when it returns."""
        return await self._toggle_job(name, enabled)

    async def reset_job(self, name: str) -> Row:
        """Takes a job's switch away: the file's ``enabled`` counts again."""
        return await self._toggle_job(name, None)

    async def toggle_scheduler(self, enabled: bool) -> Row:
        """Switches all jobs on or off, over what the file says; the store knows when it returns."""
        return await self._toggle_scheduler(enabled)

    async def reset_scheduler(self) -> Row:
        """Takes the scheduler's switch away: the file's ``schedules.enabled`` counts again."""
        return await self._toggle_scheduler(None)

    async def _toggle_job(self, name: str, enabled: bool | None) -> Row:
        said = {"job": name, "job_name": name}
        if self.config is None or name not in self.config.jobs:
            return {"success": False, **said, "error": f"there is no job {name!r} in the config file"}
        error = await self._switched(("jobs", name), enabled)
        if error is not None:
            return {"success": False, **said, "error": error}
        record = await self._scheduler.get(self._key(name))
        if enabled and record is not None and record.state is JobState.PAUSED and self._keeper.reason(name) is None:
            # Whoever paused it by other means did not mean this.
            await self._scheduler.resume(record.job.key)
        log.info("job %r: its switch is %s", name, _word(enabled))
        shown = await self._shown()
        row = next(row for row in job_rows(shown) if row["name"] == name)
        return {"success": True, **said, **{key: row[key] for key in ("enabled", "active", "reason", "next_run")}}

    async def _toggle_scheduler(self, enabled: bool | None) -> Row:
        error = await self._switched(("services", SCHEDULER), enabled)
        if error is not None:
            return {"success": False, "error": error}
        log.info("the scheduler's switch is %s", _word(enabled))
        on, switch = self._on()
        return {"success": True, "enabled": on, "reason": switch}

    async def _switched(self, place: tuple[str, str], enabled: bool | None) -> str | None:
        """Sets a switch; what went wrong."""
        try:
            await self._keeper.switch(place, enabled)
        except (OSError, WakefulError) as error:
            return str(error)
        self._snapshot.changed()
        return None

    # ── config and state ──

    async def reload_config(self) -> Row:
        """Reads the files now, whether they have changed or not, and applies what they say."""
        found = await self._keeper.refresh(anyway=True)
        config, error = self.config, self._keeper.source.error
        warnings = () if config is None or error else (*config.warnings, *self._keeper.late)
        count = 0 if config is None else len(config.jobs)
        changes = "no difference" if found is None else str(found)
        return {"success": error is None, "error": error, "jobs": count, "changes": changes, "warnings": list(warnings)}

    async def get_config(self, section: str, key: str = "") -> Any:
        """A value of the config file, without secrets.

        Raises:
            ValueError: that may not be read, or there is none.
        """
        return await self._settings.get(section, key)

    async def update_config(self, section: str, key: str, value: Any) -> Row:
        """Changes a value of the config file, if the file can be used then; the jobs follow before it returns."""
        said = {"section": section, "key": key}
        try:
            await self._settings.update(section, key, value)
            await self._keeper.refresh()
        except (ValueError, OSError, RecursionError, WakefulError) as error:
            log.warning("a change of %s %s is refused: %s", section, key, error)
            return {"success": False, **said, "error": str(error)}
        log.warning("the config file was changed, as asked: %s %s", section, key)
        self._event("config_changed", **said)
        return {"success": True, **said}

    async def get_state(self) -> Row:
        """What the snapshot holds."""
        shown = await self._shown()
        rows = await asyncio.to_thread(job_rows, shown)
        config, (on, _) = self.config, self._on()
        return {
            "enabled": on,
            "timezone": "UTC" if config is None else config.timezone,
            "execution_mode": None if config is None else config.execution_mode,
            "jobs": rows,
            "history": await self._history.read(HISTORY),
            "total_history": await self._history.total(),
            "updated_at": told(shown.now, shown.zone),
            "running": self._started_at is not None,
            "config_error": self._keeper.source.error,
            "state_error": self._keeper.state.problem,
        }

    async def write_state(self) -> Row:
        """Writes the snapshot now.

        Raises:
            OSError: it can't be written.
        """
        return {"success": True, "file": str(await self._snapshot.write())}

    # ── how it is ──

    async def status(self) -> Row:
        """What ``GetStatus`` of the document tells."""
        state, life = await self.get_state(), self._life()
        return {
            **await self.stats(),
            "enabled": state["enabled"],
            "execution_mode": state["execution_mode"],
            "timezone": state["timezone"],
            "jobs": [{"name": row["name"], "next_run": row["next_run"]} for row in state["jobs"]],
            "job_count": len(state["jobs"]),
            "recent_executions": state["history"],
            "running_jobs": await self._asked.under_way(),
            "config_error": life.config_error,
            "state_error": life.state_error,
        }

    async def stats(self) -> Row:
        """What the property ``Stats`` of the document tells; the counts are those since the start."""
        life = self._life()
        return {
            "running": life.running,
            "uptime": life.uptime.total_seconds(),
            "jobs_executed": life.executed,
            "jobs_failed": life.failed,
            "sleeps": life.sleeps,
        }

    async def health(self) -> Row:
        """Whether jobs are claimed on time, and everything that the documents' health reports tell beside that."""
        shown = await self._shown()
        jobs = Jobs(shown.records, shown.ever, shown.zone, shown.now)
        return health_report(self._life(), jobs, self._scheduler.health())

    def _life(self) -> Life:
        now, started = self._scheduler.now(), self._started_at
        return Life(
            running=started is not None,
            uptime=timedelta(0) if started is None else max(now - started, timedelta(0)),
            executed=self._follower.executed,
            failed=self._follower.failed,
            sleeping=self._asleep_since is not None,
            sleeps=self._sleeps,
            config_error=self._keeper.source.error,
            state_error=self._keeper.state.problem,
            enabled=self._on()[0],
        )

    # ── within ──

    async def _look(self) -> None:
        if await self._keeper.refresh() is not None:
            self._snapshot.changed()

    async def _shown(self) -> Shown:
        query = JobQuery(NAMESPACE, self._keeper.source.place.owner, ended=True)
        ever = [record async for record in self._scheduler.all_jobs(query)]
        # The newest of a name comes last.
        live = {record.job.key.name: record for record in ever if record.ended_at is None}
        complete = {record.job.key.name: record for record in ever if record.state is JobState.COMPLETED}
        switches = self._keeper.state.switches
        return Shown(self.config, switches, live, self._zone(), self._scheduler.now(), complete, ever)

    def _on(self) -> tuple[bool, str]:
        config = self.config
        return (True, "no config") if config is None else scheduler_on(config, self._keeper.state.switches)

    def _zone(self) -> tzinfo:
        config = self.config
        return (None if config is None else self._zones(config.timezone)) or UTC

    def _key(self, name: str) -> JobKey:
        return JobKey(NAMESPACE, self._keeper.source.place.owner, name)

    def _event(self, kind: str, **facts: object) -> None:
        self._listeners.tell("Event", kind, msgspec.json.encode(facts).decode())


def _word(enabled: bool | None) -> str:
    return "taken away" if enabled is None else "on" if enabled else "off"

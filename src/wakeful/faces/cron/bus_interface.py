"""The D-Bus interface: its methods, properties and signals, under the document's names and those of its siblings."""

from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import Annotated

import msgspec
from dbus_fast import DBusError, ErrorType, Message, PropertyAccess
from dbus_fast.annotations import DBusBool, DBusDouble, DBusInt32, DBusSignature, DBusStr
from dbus_fast.service import ServiceInterface, dbus_method, dbus_property, dbus_signal

from wakeful.faces.cron.bus_calls import Caller, Calls
from wakeful.faces.cron.bus_handlers import Daemon

TwoTexts = Annotated[tuple[str, str], DBusSignature("ss")]
ThreeTexts = Annotated[tuple[str, str, str], DBusSignature("sss")]

# Whose message is handled now: the library starts each method's task while it handles the message.
_sender: ContextVar[str] = ContextVar("sender", default="")


def note_sender(message: Message) -> None:
    """A handler of messages that leaves them to others, and notes who sent them."""
    _sender.set(message.sender or "")


class CronInterface(ServiceInterface):
    """The daemon on the bus. Every method answers with JSON text, refusals too: ``{"success": false, "error": …}``.

    Only arguments of the wrong types, and callers that are somebody else, get a D-Bus error.
    """

    def __init__(
        self, name: str, calls: Calls, daemon: Daemon, caller_of: Callable[[str], Awaitable[Caller | None]]
    ) -> None:
        super().__init__(name)
        self._calls = calls
        self._daemon = daemon
        self._caller_of = caller_of

    # The document's methods, each under its sibling's name, too.

    async def _run_job(self, job_name: DBusStr) -> DBusStr:
        return await self._answer("run_job", job_name)

    async def _list_jobs(self) -> DBusStr:
        return await self._answer("list_jobs")

    async def _get_history(self, limit: DBusInt32) -> DBusStr:
        return await self._answer("get_history", limit)

    async def _toggle_scheduler(self, enabled: DBusStr) -> DBusStr:
        return await self._answer("toggle_scheduler", enabled)

    async def _toggle_job(self, job_name: DBusStr, enabled: DBusStr) -> DBusStr:
        return await self._answer("toggle_job", job_name, enabled)

    async def _get_config(self, section: DBusStr, key: DBusStr) -> DBusStr:
        return await self._answer("get_config", section, key)

    async def _update_config(self, section: DBusStr, key: DBusStr, value: DBusStr) -> DBusStr:
        return await self._answer("update_config_text", section, key, value)

    run_job, run_job_twin = dbus_method("run_job")(_run_job), dbus_method("RunJob")(_run_job)
    list_jobs, list_jobs_twin = dbus_method("list_jobs")(_list_jobs), dbus_method("ListJobs")(_list_jobs)
    get_history, get_history_twin = dbus_method("get_history")(_get_history), dbus_method("GetHistory")(_get_history)
    toggle_scheduler = dbus_method("toggle_scheduler")(_toggle_scheduler)
    toggle_scheduler_twin = dbus_method("ToggleScheduler")(_toggle_scheduler)
    toggle_job, toggle_job_twin = dbus_method("toggle_job")(_toggle_job), dbus_method("ToggleJob")(_toggle_job)
    get_config, get_config_twin = dbus_method("get_config")(_get_config), dbus_method("GetConfig")(_get_config)
    update_config = dbus_method("update_config")(_update_config)
    update_config_twin = dbus_method("UpdateConfig")(_update_config)

    # Those that the document's types leave no room for.

    @dbus_method("SetJobEnabled")
    async def set_job_enabled(self, job_name: DBusStr, enabled: DBusBool) -> DBusStr:
        """``toggle_job`` with a boolean."""
        return await self._answer("toggle_job", job_name, enabled)

    @dbus_method("SetSchedulerEnabled")
    async def set_scheduler_enabled(self, enabled: DBusBool) -> DBusStr:
        """``toggle_scheduler`` with a boolean."""
        return await self._answer("toggle_scheduler", enabled)

    @dbus_method("ResetJob")
    async def reset_job(self, job_name: DBusStr) -> DBusStr:
        """Takes back what was toggled: the config file decides again."""
        return await self._answer("reset_job", job_name)

    @dbus_method("RunJobAndWait")
    async def run_job_and_wait(self, job_name: DBusStr) -> DBusStr:
        """``run_job`` that answers when the run has ended, retries included.

        That takes as long as the job does, and clients give up after 25 s unless told otherwise, as by
        ``busctl --timeout=1h``. The run goes on when they do.
        """
        return await self._answer("run_job_and_wait", job_name)

    # Those of every daemon of that family.

    @dbus_method("Ping")
    async def ping(self) -> DBusStr:
        """``pong``, and no JSON."""
        return "pong"

    @dbus_method("GetStatus")
    async def get_status(self) -> DBusStr:
        """What the daemon does, and its jobs."""
        return await self._answer("get_status")

    @dbus_method("GetStats")
    async def get_stats(self) -> DBusStr:
        """Counts."""
        return await self._answer("get_stats")

    @dbus_method("HealthCheck")
    async def health_check(self) -> DBusStr:
        """Whether it is well, and what was looked at."""
        return await self._answer("health_check")

    @dbus_method("Shutdown")
    async def shutdown(self) -> DBusStr:
        """Makes the process stop in good order."""
        return await self._answer("shutdown")

    @dbus_method("CallMethod")
    async def call_method(self, method_name: DBusStr, args_json: DBusStr) -> DBusStr:
        """Any handler by its name, with its arguments as JSON."""
        return await self._calls.perform_named(method_name, args_json, await self._caller())

    @dbus_property(PropertyAccess.READ, "Running")
    async def running(self) -> DBusBool:
        """Whether it schedules."""
        return bool((await self._daemon.stats()).get("running", False))

    @dbus_property(PropertyAccess.READ, "Uptime")
    async def uptime(self) -> DBusDouble:
        """Seconds since its start."""
        return float((await self._daemon.stats()).get("uptime", 0.0))

    @dbus_property(PropertyAccess.READ, "Stats")
    async def stats(self) -> DBusStr:
        """Counts, as JSON."""
        return msgspec.json.encode({"service_name": self.name, **await self._daemon.stats()}, enc_hook=str).decode()

    @dbus_signal("JobStarted")
    def job_started(self, job_name: str, execution_id: str) -> TwoTexts:
        """A run begins."""
        return job_name, execution_id

    @dbus_signal("JobCompleted")
    def job_completed(self, job_name: str, execution_id: str, result: str) -> ThreeTexts:
        """It ended well; the result is JSON."""
        return job_name, execution_id, result

    @dbus_signal("JobFailed")
    def job_failed(self, job_name: str, execution_id: str, error: str) -> ThreeTexts:
        """It did not."""
        return job_name, execution_id, error

    @dbus_signal("SchedulerToggled")
    def scheduler_toggled(self, enabled: bool) -> DBusBool:
        """The whole scheduler was switched."""
        return enabled

    @dbus_signal("ConfigReloaded")
    def config_reloaded(self) -> None:
        """Another configuration is in force."""

    @dbus_signal("StatusChanged")
    def status_changed(self, status: str) -> DBusStr:
        """What the daemon does, in a word."""
        return status

    @dbus_signal("Event")
    def event(self, kind: str, data: str) -> TwoTexts:
        """Anything else, as JSON."""
        return kind, data

    async def _answer(self, handler: str, *arguments: object) -> str:
        return await self._calls.perform(handler, arguments, await self._caller())

    async def _caller(self) -> Caller:
        caller = await self._caller_of(_sender.get())
        if caller is None:
            raise DBusError(ErrorType.ACCESS_DENIED, "only processes of the daemon's own user may call it")
        return caller

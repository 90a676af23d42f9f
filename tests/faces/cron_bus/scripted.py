"""A daemon for the bus whose doings are the test's."""

import asyncio
from typing import Any

from wakeful.core.errors import ErrorCode, WakefulError
from wakeful.faces.cron.events import Listener, Listeners


class ScriptedDaemon:
    """Has two jobs, keeps what it was asked, and tells what a test wants told."""

    def __init__(self) -> None:
        self.asked: list[tuple[Any, ...]] = []
        self.jobs = {"daily_standup": True, "hello_world_test": True}
        self.enabled = True
        self.config: dict[str, Any] = {"timezone": "UTC", "jobs": []}
        self.history: list[dict[str, Any]] = [{"job": "daily_standup", "execution_id": f"{n}"} for n in range(30)]
        self.failing: Exception | None = None
        self.hold = asyncio.Event()
        self.hold.set()
        self.ends: dict[str, asyncio.Future[dict[str, Any]]] = {}
        self._listeners = Listeners()
        self._runs = 0

    def listen(self, listener: Listener) -> Any:
        return self._listeners.add(listener)

    def tell(self, name: str, *arguments: object) -> None:
        self._listeners.tell(name, *arguments)

    async def run_job(self, name: str) -> dict[str, Any]:
        await self._asked("run_job", name)
        self._known(name)
        self._runs += 1
        return {"success": True, "job": name, "execution_id": f"run-{self._runs}"}

    async def wait_for_run(self, execution_id: str) -> dict[str, Any]:
        return await self.ends.setdefault(execution_id, asyncio.get_running_loop().create_future())

    async def list_jobs(self) -> list[dict[str, Any]]:
        await self._asked("list_jobs")
        return [{"name": name, "enabled": on, "next_run": None} for name, on in self.jobs.items()]

    async def toggle_job(self, name: str, enabled: bool) -> dict[str, Any]:
        await self._asked("toggle_job", name, enabled)
        self._known(name)
        self.jobs[name] = enabled
        return {"success": True, "job": name, "enabled": enabled}

    async def reset_job(self, name: str) -> dict[str, Any]:
        await self._asked("reset_job", name)
        return {"success": True, "job": name}

    async def toggle_scheduler(self, enabled: bool) -> dict[str, Any]:
        await self._asked("toggle_scheduler", enabled)
        self.enabled = enabled
        self.tell("SchedulerToggled", enabled)
        return {"success": True, "enabled": enabled}

    async def reset_scheduler(self) -> dict[str, Any]:
        await self._asked("reset_scheduler")
        return {"success": True}

    async def get_history(self, limit: int) -> list[dict[str, Any]]:
        await self._asked("get_history", limit)
        return self.history[:limit]

    async def get_config(self, section: str, key: str) -> Any:
        await self._asked("get_config", section, key)
        if section != "schedules":
            raise ValueError(f"the section {section!r} is not for the bus: schedules is")
        return self.config[key] if key else self.config

    async def update_config(self, section: str, key: str, value: Any) -> dict[str, Any]:
        await self._asked("update_config", section, key, value)
        self.config[key] = value
        return {"success": True}

    async def reload_config(self) -> dict[str, Any]:
        await self._asked("reload_config")
        return {"success": True}

    async def status(self) -> dict[str, Any]:
        return {"running": True, "uptime": 12.5, "job_count": len(self.jobs)}

    async def stats(self) -> dict[str, Any]:
        return {"running": True, "uptime": 12.5}

    async def health(self) -> dict[str, Any]:
        return {"healthy": True, "checks": {"running": True}}

    async def get_state(self) -> dict[str, Any]:
        return {"enabled": self.enabled}

    async def write_state(self) -> dict[str, Any]:
        return {"success": True, "file": "cron_state.json"}

    async def _asked(self, *what: Any) -> None:
        self.asked.append(what)
        await self.hold.wait()
        if self.failing is not None:
            raise self.failing

    def _known(self, name: str) -> None:
        if name not in self.jobs:
            raise WakefulError(ErrorCode.JOB_NOT_FOUND, f"there is no job {name!r}")

"""What may be asked of the daemon over D-Bus, by name: HANDLERS. Each checks its arguments and asks the daemon."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import msgspec

from wakeful.faces.cron.events import Listener

_MOST_HISTORY = 1_000
_USUAL_HISTORY = 20
_MOST_WAITING = 200
_SHOWN = 80
_TRUE = frozenset({"true", "1", "on", "yes"})
_FALSE = frozenset({"false", "0", "off", "no"})

Answer = Mapping[str, Any]


class Daemon(Protocol):
    """What the bus needs of the daemon. A refusal is a ``ValueError``, a ``WakefulError`` or ``success: false``."""

    async def run_job(self, name: str) -> Answer: ...
    async def wait_for_run(self, execution_id: str) -> Answer: ...
    async def list_jobs(self) -> Sequence[Answer]: ...
    async def toggle_job(self, name: str, enabled: bool) -> Answer: ...
    async def reset_job(self, name: str) -> Answer: ...
    async def toggle_scheduler(self, enabled: bool) -> Answer: ...
    async def reset_scheduler(self) -> Answer: ...
    async def get_history(self, limit: int) -> Sequence[Answer]: ...
    async def get_config(self, section: str, key: str) -> Any: ...
    async def update_config(self, section: str, key: str, value: Any) -> Answer: ...
    async def reload_config(self) -> Answer: ...
    async def status(self) -> Answer: ...
    async def stats(self) -> Answer: ...
    async def health(self) -> Answer: ...
    async def get_state(self) -> Answer: ...
    async def write_state(self) -> Answer: ...
    def listen(self, listener: Listener) -> Callable[[], None]: ...


@dataclass(frozen=True, slots=True)
class Place:
    """Where calls are performed: the daemon under its name on the bus, and what makes its process stop.

    Who waits for the end of a run is not waited for once ``closing`` is set.
    """

    daemon: Daemon
    service_name: str
    shutdown: Callable[[], None]
    closing: asyncio.Event = field(default_factory=asyncio.Event)
    waiting: set[asyncio.Task[Answer]] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class Handler:
    """One thing that may be asked.

    ``wrapped`` is the answer's key where ``CallMethod`` was asked, which answers with objects only; ``internal`` ones
    it does not find. ``notable`` ones get a line in the log, without the argument ``secret``; the log has the name
    ``told``, where that is another.
    """

    perform: Callable[..., Awaitable[object]]
    wrapped: str | None = None
    notable: bool = True
    internal: bool = False
    secret: str | None = None
    told: str | None = None


async def _run_job(here: Place, job_name: object) -> Answer:
    return await here.daemon.run_job(_name("job_name", job_name))


async def _run_job_and_wait(here: Place, job_name: object) -> object:
    if len(here.waiting) >= _MOST_WAITING:
        raise ValueError(f"{_MOST_WAITING} callers wait for runs already: call run_job, and look at the history")
    begun = await _run_job(here, job_name)
    if not begun.get("success"):
        return begun
    closing = asyncio.ensure_future(here.closing.wait())
    ended: asyncio.Task[Answer] = asyncio.ensure_future(_end_of(here, str(begun["execution_id"])))
    here.waiting.add(ended)
    try:
        await asyncio.wait({ended, closing}, return_when=asyncio.FIRST_COMPLETED)
        if not ended.done():
            return {**begun, "success": False, "error": "the daemon stops; the history will tell what came of the run"}
        return {**begun, **ended.result()}
    finally:
        here.waiting.discard(ended)
        ended.cancel()
        closing.cancel()


async def _end_of(here: Place, execution_id: str) -> Answer:
    return await here.daemon.wait_for_run(execution_id)


async def _list_jobs(here: Place) -> object:
    return await here.daemon.list_jobs()


async def _get_history(here: Place, limit: object = _USUAL_HISTORY) -> object:
    if isinstance(limit, bool) or not isinstance(limit, int) or not 0 <= limit <= _MOST_HISTORY:
        raise ValueError(f"limit must be a whole number from 0 to {_MOST_HISTORY}, not {_shown(limit)}")
    return await here.daemon.get_history(limit)


async def _toggle_scheduler(here: Place, enabled: object) -> object:
    return await here.daemon.toggle_scheduler(truth(enabled))


async def _reset_scheduler(here: Place) -> object:
    return await here.daemon.reset_scheduler()


async def _toggle_job(here: Place, job_name: object, enabled: object) -> object:
    return await here.daemon.toggle_job(_name("job_name", job_name), truth(enabled))


async def _reset_job(here: Place, job_name: object) -> object:
    return await here.daemon.reset_job(_name("job_name", job_name))


async def _get_config(here: Place, section: object, key: object = "") -> object:
    return await here.daemon.get_config(_text("section", section), _text("key", "" if key is None else key))


async def _update_config(here: Place, section: object, key: object, value: object) -> object:
    return await here.daemon.update_config(_text("section", section), _text("key", key), value)


async def _update_config_text(here: Place, section: object, key: object, value: str) -> object:
    try:
        meant = msgspec.json.decode(value)
    except (msgspec.DecodeError, RecursionError):
        meant = value
    return await _update_config(here, section, key, meant)


async def _reload_config(here: Place) -> object:
    return await here.daemon.reload_config()


async def _get_state(here: Place) -> object:
    return await here.daemon.get_state()


async def _write_state(here: Place) -> object:
    return await here.daemon.write_state()


async def _get_status(here: Place) -> object:
    return {"service_name": here.service_name, **await here.daemon.status()}


async def _get_stats(here: Place) -> object:
    return {"service_name": here.service_name, **await here.daemon.stats()}


async def _health_check(here: Place) -> object:
    return await here.daemon.health()


async def _shutdown(here: Place) -> object:
    here.shutdown()
    return {"success": True, "message": "the daemon stops; what is under way is given time to end"}


HANDLERS: Mapping[str, Handler] = {
    "run_job": Handler(_run_job),
    "run_job_and_wait": Handler(_run_job_and_wait),
    "list_jobs": Handler(_list_jobs, "jobs", notable=False),
    "get_history": Handler(_get_history, "history", notable=False),
    "toggle_scheduler": Handler(_toggle_scheduler),
    "reset_scheduler": Handler(_reset_scheduler),
    "toggle_job": Handler(_toggle_job),
    "reset_job": Handler(_reset_job),
    "get_config": Handler(_get_config, "value"),
    "update_config": Handler(_update_config, secret="value"),  # noqa: S106
    "update_config_text": Handler(_update_config_text, internal=True, secret="value", told="update_config"),  # noqa: S106
    "reload_config": Handler(_reload_config),
    "get_state": Handler(_get_state, "state", notable=False),
    "write_state": Handler(_write_state),
    "get_status": Handler(_get_status, notable=False, internal=True),
    "get_stats": Handler(_get_stats, notable=False, internal=True),
    "health_check": Handler(_health_check, notable=False, internal=True),
    "shutdown": Handler(_shutdown, internal=True),
}


def truth(value: object) -> bool:
    """True or false, also as a text, as ``busctl`` and the document send it.

    Raises:
        ValueError: it is neither.
    """
    said = str(value).strip().lower() if isinstance(value, bool | int | str) else ""
    if said not in _TRUE | _FALSE:
        raise ValueError(f"enabled must be true, 1, on or yes, or else false, 0, off or no; not {_shown(value)}")
    return said in _TRUE


def _name(what: str, value: object) -> str:
    text = _text(what, value)
    if not text.strip():
        raise ValueError(f"{what} must be the name of a job, not empty")
    return text


def _text(what: str, value: object) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{what} must be a text, not {_shown(value)}")
    return value


def _shown(value: object) -> str:
    text = repr(value) if isinstance(value, str | int | float | None) else f"a {type(value).__name__}"
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "…"

"""Calls of the daemon, whoever makes them: checked, told to the log, performed, and answered with JSON text."""

import asyncio
import inspect
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec

from wakeful.core.errors import WakefulError
from wakeful.faces.cron.bus_handlers import HANDLERS, Handler, Place

log = logging.getLogger("wakeful.cron.bus")

ARGUMENTS_LIMIT = 1024 * 1024
MOST_UNDER_WAY = 1_000
_SHOWN = 100
_REASON_SHOWN = 500


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks: a connection of the bus, and the process and the user behind it."""

    connection: str
    pid: int | None
    uid: int | None

    def __str__(self) -> str:
        return f"{self.connection} (pid {self.pid}, uid {self.uid})"


@dataclass(frozen=True, slots=True)
class _Given:
    """The arguments of one call."""

    by_place: Sequence[object] = ()
    by_name: Mapping[str, object] | None = None


class Calls:
    """Performs the handlers by name. Whatever the arguments are and whatever fails, there is an answer."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._under_way = 0
        self._quiet = asyncio.Event()
        self._quiet.set()

    async def perform(self, name: str, arguments: Sequence[object], caller: Caller) -> str:
        """What a method of the interface answers: JSON of whatever the handler gives."""
        if too_large := _too_large(arguments):
            return _refusal(name, too_large, caller)
        handler = HANDLERS[name]
        return await self._guarded(handler.told or name, handler, _Given(arguments), caller)

    async def perform_named(self, name: str, text: str, caller: Caller) -> str:
        """What ``CallMethod`` answers: JSON, always an object.

        ``text`` is JSON: an array has the arguments by place, an object has them by name, anything else is the only
        one; no text and ``null`` are no arguments.
        """
        handler = HANDLERS.get(name)
        if handler is None or handler.internal:
            return _refusal(_shown(name), f"Unknown handler: {_shown(name)}", caller)
        if too_large := _too_large((text,)):
            return _refusal(name, too_large, caller)
        try:
            given = _given(text)
        except ValueError as error:
            return _refusal(name, str(error), caller)
        return await self._guarded(name, handler, given, caller, wrap=True)

    async def all_answered(self) -> None:
        """Returns when no call is under way."""
        await self._quiet.wait()

    async def _guarded(self, name: str, handler: Handler, given: _Given, caller: Caller, *, wrap: bool = False) -> str:
        if self._under_way >= MOST_UNDER_WAY:
            return _refusal(name, f"{MOST_UNDER_WAY} calls are under way: ask again when some are answered", caller)
        self._under_way += 1
        self._quiet.clear()
        try:
            bound = _bound(name, handler, self._place, given)
            level = logging.INFO if handler.notable else logging.DEBUG
            log.log(level, "%s asks for %s(%s)", caller, name, _listing(bound, handler.secret))
            answer = await handler.perform(*bound.args, **bound.kwargs)
            return _json({"success": True, handler.wrapped: answer} if wrap and handler.wrapped else answer)
        except (WakefulError, ValueError, OSError) as error:
            # What is wrong with a secret may be said to who gave it, and to nobody else.
            return _refusal(name, str(error), caller, tell=handler.secret is None)
        except Exception as error:
            # A handler's bug must cost one call, not the service.
            log.exception("%s failed, which %s asked for", name, caller)
            return _json(_refused(f"{name} failed in the daemon ({type(error).__name__}); its log says more"))
        finally:
            self._under_way -= 1
            if not self._under_way:
                self._quiet.set()


def _given(text: str) -> _Given:
    if not text.strip():
        return _Given()
    try:
        value = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError) as error:
        raise ValueError(
            f'the arguments are not JSON ({error}): write ["name", 1], {{"job_name": "name"}} or "name"'
        ) from None
    if isinstance(value, dict):
        return _Given(by_name=value)
    return _Given(value if isinstance(value, list) else () if value is None else (value,))


def _bound(name: str, handler: Handler, place: Place, given: _Given) -> inspect.BoundArguments:
    takes = inspect.signature(handler.perform)
    try:
        return takes.bind(place, *given.by_place, **(given.by_name or {}))
    except TypeError as error:
        listed = ", ".join(list(takes.parameters)[1:])
        raise ValueError(f"{name} takes ({listed}): {error}") from None


def _listing(bound: inspect.BoundArguments, secret: str | None) -> str:
    values = list(bound.arguments.items())[1:]
    return ", ".join("…" if name == secret else _shown(repr(value)) for name, value in values)


def _too_large(arguments: Sequence[object]) -> str | None:
    size = sum(len(each.encode("utf-8", "replace")) for each in arguments if isinstance(each, str))
    if size <= ARGUMENTS_LIMIT:
        return None
    return f"the arguments have {size} bytes; {ARGUMENTS_LIMIT} are the most"


def _refusal(name: str, reason: str, caller: Caller, *, tell: bool = True) -> str:
    log.info("%s is refused %s: %s", caller, name, _shown(reason, _REASON_SHOWN) if tell else "see its answer")
    return _json(_refused(reason))


def _refused(reason: str) -> dict[str, object]:
    return {"success": False, "error": reason}


def _json(value: object) -> str:
    return msgspec.json.encode(value, enc_hook=str).decode()


def _shown(text: str, most: int = _SHOWN) -> str:
    clean = "".join(each if each.isprintable() else "\ufffd" for each in text[:most])
    return clean if len(text) <= most else clean + "…"

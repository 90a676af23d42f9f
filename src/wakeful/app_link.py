"""The app beside a node: how it is called, how much at a time, whether it is well, and which actors it has."""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from functools import partial
from math import inf
from typing import Protocol

import msgspec

from wakeful.config import Config, HealthCheck
from wakeful.core.errors import ErrorCode, WakefulError
from wakeful.core.job import actor_queue, app_queue, check_name
from wakeful.core.ports import Attachment, Claim, Sink
from wakeful.core.run import Outcome, Unavailable
from wakeful.faces.dapr.sidecar import RESERVED_TYPES
from wakeful.scheduler import Scheduler
from wakeful.targets.health import AppHealth, WhileWell
from wakeful.targets.http import HttpApp, open_client
from wakeful.targets.http_actors import HttpActors, OneTurn
from wakeful.targets.http_client import NoAnswerError, NotSentError, Response
from wakeful.targets.limits import Limited

log = logging.getLogger("wakeful.app")

APP_HOST = "127.0.0.1"
# Callbacks to one app at a time, of its jobs and of each type of its actors, where the app sets no limit of its own.
APP_LIMIT = 256
_CONFIG_TIMEOUT_S = 5.0
_ASK_AGAIN_S = 5.0
_PATIENCE_S = 1.0


class _App(Sink, Protocol):
    """A sink that can be closed."""

    async def aclose(self) -> None: ...


class _AppConfig(msgspec.Struct):
    """What an app answers at /dapr/config, as far as it is used here."""

    entities: list[str] | None = None


class AppLink:
    """Attaches the app's sinks to a scheduler, and its actors' too once the app has said which types it hosts."""

    def __init__(self, scheduler: Scheduler, config: Config, port: int) -> None:
        self._scheduler = scheduler
        self._config = config
        self._app: _App
        self._http: HttpApp | None = None
        # What is asked of the app itself goes by connections of its own: runs that hang must not make it look unwell.
        self._control: HttpApp | None = None
        self._healthy: Callable[[str, float], Awaitable[bool]]
        self._open(port)
        self._limit = config.app_max_concurrency or APP_LIMIT
        self._permits = asyncio.Semaphore(config.app_max_concurrency) if config.app_max_concurrency else None
        self._health = None if config.app_health is None else self._health_of(config.app_health)
        self._actors: dict[str, Attachment] = {}
        self._asking: asyncio.Task[None] | None = None
        self._asked_at = -inf

    def actor_types(self) -> frozenset[str]:
        """The types of actors that the app hosts, as it said last."""
        return frozenset(self._actors)

    def attach(self) -> None:
        """From now on the app's jobs go to it, whenever it is there; needs the running event loop."""
        if self._health is not None:
            self._health.start()
        queue = app_queue(self._config.namespace, self._config.app_id)
        self._scheduler.attach(queue, self._guarded(self._app), self._limit)

    async def aclose(self) -> None:
        """Asks the app nothing more, and leaves it; call it when no run is under way any more."""
        if self._health is not None:
            await self._health.aclose()
        if self._asking is not None:
            self._asking.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._asking
        await self._app.aclose()
        if self._control is not None:
            await self._control.aclose()

    def gone(self) -> None:
        """The app was not there, or not well: when it comes back it may be another version of itself."""
        if self._asking is not None and self._asking.done():
            self._asking = None

    async def arrived(self) -> None:
        """Returns once the app that is there has been asked what it hosts."""
        if self._control is not None:
            # Shielded: of those who wait, one may be an attachment that the answer takes away.
            await asyncio.shield(self._begin_to_ask(self._control))

    async def ask_again(self) -> None:
        """Asks once more what the app hosts, if that was not a moment ago: it may have been started anew, unnoticed.

        Returns after a second at the latest: the app may be busy with waiting for an answer of ours.
        """
        now = asyncio.get_running_loop().time()
        if now - self._asked_at >= _ASK_AGAIN_S:
            self.gone()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_PATIENCE_S):
                    await self.arrived()

    def _open(self, port: int) -> None:
        config = self._config
        if config.app_protocol in ("grpc", "grpcs"):
            # Only who has such an app pays for gRPC's import.
            from wakeful.targets.grpc import GrpcApp  # noqa: PLC0415

            tls = config.app_protocol == "grpcs"
            grpc = GrpcApp(APP_HOST, port, config.app_timeout, config.app_token, tls=tls)
            self._app, self._healthy = grpc, lambda _path, timeout_s: grpc.healthy(timeout_s)
            return
        self._app = self._http = self._http_app(port)
        self._control = self._http_app(port)
        self._healthy = self._control.healthy

    def _http_app(self, port: int) -> HttpApp:
        config = self._config
        client = open_client(config.app_protocol, APP_HOST, port, config.app_token)
        return HttpApp(client, config.app_timeout, config.app_token)

    def _health_of(self, check: HealthCheck) -> AppHealth:
        probe = partial(self._healthy, check.path, check.timeout.total_seconds())
        return AppHealth(probe, check.interval, check.threshold, recovered=self._recovered)

    def _recovered(self) -> None:
        # Without a delivery meanwhile nobody noticed that the app was away.
        self.gone()
        if self._control is not None:
            self._begin_to_ask(self._control)

    def _guarded(self, sink: Sink) -> Sink:
        """The sink behind all that holds for everything that is sent to the app."""
        if self._health is not None:
            sink = WhileWell(sink, self._health)
        if self._permits is not None:
            sink = Limited(sink, self._permits)
        return _Watched(sink, self)

    def _begin_to_ask(self, control: HttpApp) -> "asyncio.Task[None]":
        if self._asking is None:
            loop = asyncio.get_running_loop()
            self._asked_at = loop.time()
            self._asking = loop.create_task(self._ask(control), name="wakeful-app-config")
        return self._asking

    async def _ask(self, control: HttpApp) -> None:
        """Asks for the app's types, and attaches those that are new (dapr pkg/channel/http/http_channel.go)."""
        try:
            answer = await control.ask("dapr/config", {"dapr-app-id": self._config.app_id}, _CONFIG_TIMEOUT_S)
            types = _types_in(answer)
        except (NotSentError, NoAnswerError, msgspec.DecodeError) as error:
            log.warning("the app's /dapr/config can't be read, so nothing of its actors changes: %s", error)
            self._asking = None
            return
        for gone in self._actors.keys() - types:
            self._actors.pop(gone).detach()
        for new in sorted(types - self._actors.keys()):
            log.info("the app hosts actors of type %s", new)
            self._actors[new] = self._attach_actors(new)

    def _attach_actors(self, actor_type: str) -> Attachment:
        assert self._http is not None, "only HTTP apps are asked for their actors"  # noqa: S101
        sink = OneTurn(self._guarded(HttpActors(self._http)))
        return self._scheduler.attach(actor_queue(self._config.namespace, actor_type), sink, self._limit)


class _Watched:
    """A sink that tells the link when the app was not there, and when it has come."""

    def __init__(self, sink: Sink, link: AppLink) -> None:
        self._sink = sink
        self._link = link

    async def deliver(self, claim: Claim) -> Outcome:
        outcome = await self._sink.deliver(claim)
        if isinstance(outcome, Unavailable):
            self._link.gone()
        return outcome

    async def available(self) -> None:
        await self._sink.available()
        await self._link.arrived()


def _types_in(answer: Response) -> frozenset[str]:
    """The types that an app names; one that does not know the path has none.

    Raises:
        NoAnswerError: the app can't say.
        msgspec.DecodeError: what it says can't be understood.
    """
    if answer.status >= 500 and answer.status != 501:
        raise NoAnswerError(f"HTTP {answer.status}")
    if answer.status != 200:
        return frozenset()
    types = set()
    for name in msgspec.json.decode(answer.body, type=_AppConfig).entities or ():
        try:
            types.add(_checked(name))
        except WakefulError as error:
            log.warning("the app names a type of actors that can't be: %s", error.message)
    return frozenset(types)


def _checked(actor_type: str) -> str:
    check_name(actor_type)
    if actor_type.startswith(RESERVED_TYPES):
        raise WakefulError(ErrorCode.INVALID_NAME, f"{actor_type!r} is reserved: {RESERVED_TYPES}… is Dapr's own")
    return actor_type

"""The face as one ASGI application: plain for speed, a router would cost as much as all the rest."""

import logging
from collections.abc import Mapping
from typing import Any

from starlette.types import Receive, Scope, Send

from wakeful.core.errors import WakefulError
from wakeful.core.ports import Entropy
from wakeful.faces.aitp.access import Access, Caller
from wakeful.faces.aitp.agent_routes import AgentRoutes
from wakeful.faces.aitp.agents import Agents
from wakeful.faces.aitp.claims import Claims
from wakeful.faces.aitp.definitions import Zones
from wakeful.faces.aitp.errors import Refused, clip, refused
from wakeful.faces.aitp.schedules import ScheduleRoutes
from wakeful.faces.aitp.tasks import TaskRoutes
from wakeful.faces.aitp.wire import Call, Handler, respond
from wakeful.faces.asgi import ClientGone, log_fault
from wakeful.scheduler import Scheduler

log = logging.getLogger("wakeful.aitp")

# The first parts of the paths that are this face's.
PREFIXES = frozenset({"aitp", "ains", "health"})
_Route = Mapping[str, tuple[str, Handler]]


def aitp_app(scheduler: Scheduler, namespace: str, zones: Zones, entropy: Entropy) -> "AitpHttp":
    """The API of one namespace; ``zones`` gives the zone of an IANA name, or ``None``.

    Beside it a ``Desk`` is to be attached to ``task_queue(namespace)``: it hands the runs of schedules on.
    """
    return AitpHttp(scheduler, namespace, zones, entropy)


class AitpHttp:
    """The application; see ``aitp_app``."""

    def __init__(self, scheduler: Scheduler, namespace: str, zones: Zones, entropy: Entropy) -> None:
        self._scheduler = scheduler
        self._access = Access(scheduler)
        agents = Agents(scheduler.documents, namespace)
        claims = Claims(scheduler, agents, namespace)
        self.drain = claims.drain
        self._routes: Mapping[tuple[str, ...], _Route] = {
            **ScheduleRoutes(scheduler, agents, namespace, zones, entropy).handlers(),
            **claims.handlers(),
            **TaskRoutes(scheduler, agents, claims, namespace, entropy).handlers(),
            **AgentRoutes(scheduler, agents).handlers(),
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request, whatever becomes of it inside."""
        if scope["type"] != "http":
            raise NotImplementedError("this application speaks HTTP only")
        status = 200
        headers: tuple[tuple[bytes, bytes], ...] = ()
        try:
            status, body = await self._answer(scope, receive)
        except ClientGone:
            return
        except (Refused, WakefulError) as error:
            answer = refused(error) if isinstance(error, WakefulError) else error
            status, body, headers = answer.status, {"detail": answer.detail}, answer.headers
        except Exception as error:
            status, body = 500, {"detail": "an internal error occurred; the log has its place"}
            log_fault(log, f"{scope['method']} {clip(scope['path'])}", error, 300)
        await respond(send, status, body, headers)

    async def _answer(self, scope: Scope, receive: Receive) -> tuple[int, Any]:
        path = tuple(part for part in scope["path"].split("/") if part)
        if path in (("health",), ("health", "aitp")):
            return self._health()
        route, part = self._find(path)
        if route is None:
            raise Refused(404, "Not Found")
        found = route.get(scope["method"])
        if found is None:
            raise Refused(405, "Method Not Allowed", ((b"allow", ", ".join(sorted(route)).encode()),))
        needed, handler = found
        caller: Caller = await self._access.caller(scope)
        caller.check_scope(needed)
        return 200, await handler(Call(scope, receive, part, caller))

    def _find(self, path: tuple[str, ...]) -> tuple[_Route | None, str]:
        """The route of a path, static ones first, and the path's variable part."""
        route = self._routes.get(path)
        if route is not None:
            return route, ""
        for place in (3, 2):
            if len(path) > place:
                route = self._routes.get((*path[:place], "*", *path[place + 1 :]))
                if route is not None:
                    return route, path[place]
        return None, ""

    def _health(self) -> tuple[int, Any]:
        """200 while claims are made on time, else 503 with the reason."""
        health = self._scheduler.health()
        body = {"status": "healthy" if health.ok else "unhealthy", "reason": health.reason or None}
        return (200 if health.ok else 503), body

"""wakeful's own HTTP API; for now its health."""

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from wakeful.scheduler import Scheduler


def rest_app(scheduler: Scheduler, facts: dict[str, str]) -> Starlette:
    """The API of one node; ``facts`` (versions, store) stand in its health answer."""

    async def healthz(_: Request) -> JSONResponse:
        """200 while claims are made on time, else 503; the reason is in the body."""
        health = scheduler.health()
        body = {"status": "ok" if health.ok else "failing", "reason": health.reason, **health.details, **facts}
        return JSONResponse(body, status_code=200 if health.ok else 503)

    return Starlette(routes=[Route("/healthz", healthz)])

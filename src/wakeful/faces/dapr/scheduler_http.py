"""The small HTTP servers beside the Scheduler service: its health, and its metrics."""

from collections.abc import Callable

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

_TEXT = "text/plain; version=0.0.4; charset=utf-8"


def health_app(well: Callable[[], bool]) -> Starlette:
    """GET /healthz: 200 or 503, without a body."""

    async def healthz(_: Request) -> Response:
        return Response(status_code=200 if well() else 503)

    return Starlette(routes=[Route("/healthz", healthz)])


def metrics_app(render: Callable[[], str]) -> Starlette:
    """GET /metrics."""

    async def metrics(_: Request) -> Response:
        return Response(render(), media_type=_TEXT)

    return Starlette(routes=[Route("/metrics", metrics)])

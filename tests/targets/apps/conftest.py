"""One event loop for all tests of a module, and gRPC's far sides."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from support.grpc_far_side import GrpcFarSide, far_sides


@pytest.fixture(scope="module", params=[False, True], ids=["asyncio", "uvloop"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, bool]]:
    return "asyncio", {"use_uvloop": request.param}


@pytest.fixture(scope="module", autouse=True)
async def one_loop(anyio_backend: object) -> AsyncIterator[None]:
    """Keeps the loop open: gRPC hands out what is left of a call after its end, to a loop that would be closed."""
    yield
    await asyncio.sleep(0.1)


@pytest.fixture
async def grpc_far_side() -> AsyncIterator[Callable[..., Awaitable[GrpcFarSide]]]:
    """Opens a far side that gives these answers, with gRPC."""
    async with far_sides() as opener:
        yield opener

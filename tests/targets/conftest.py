"""Far sides for targets, opened and closed."""

from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from support.far_sides import Answer, FarSide, H2FarSide


@pytest.fixture(params=[False, True], ids=["asyncio", "uvloop"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, bool]]:
    return "asyncio", {"use_uvloop": request.param}


@pytest.fixture
async def far_side() -> AsyncIterator[Callable[..., Awaitable[FarSide]]]:
    """Opens a far side that gives these answers."""
    opened: list[FarSide] = []

    async def open_far_side(*answers: Answer, port: int = 0, protocol: str = "http", **more: int) -> FarSide:
        far = H2FarSide(answers, **more) if protocol == "h2c" else FarSide(answers, tls=protocol == "https")
        opened.append(far)
        await far.listen(port)
        return far

    yield open_far_side
    for far in opened:
        assert far.server is not None
        far.server.close()

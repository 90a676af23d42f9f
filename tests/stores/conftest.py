"""One suite, every store."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from support.stores import STORES, Opener
from wakeful.core.ports import Store


@pytest.fixture(params=STORES)
async def opener(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Opener]:
    opener = Opener(request.param, tmp_path)
    yield opener
    await opener.close_all()


@pytest.fixture
async def store(opener: Opener) -> Store:
    return await opener.open()


@pytest.fixture
async def other(opener: Opener, store: Store) -> Store:
    """A second connection to the same jobs, as another process has it."""
    return await opener.open()

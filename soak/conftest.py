"""A world of its own for each test."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from chaos.world import World, a_world


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with a_world(tmp_path / "world") as world:
        yield world

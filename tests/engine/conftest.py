"""Engines on real files, in time that stands still."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from engine.scripted import Cluster, Member
from support.clock import VirtualClock


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[Cluster]:
    cluster = Cluster(tmp_path)
    yield cluster
    await cluster.close()


@pytest.fixture
def clock(cluster: Cluster) -> VirtualClock:
    return cluster.clock


@pytest.fixture
async def node(cluster: Cluster) -> Member:
    """The one node of most tests."""
    return cluster.node()

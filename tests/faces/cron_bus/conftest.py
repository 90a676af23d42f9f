"""A scripted daemon, served on a bus of the test's own."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from faces.cron_bus.scripted import ScriptedDaemon
from support.bus import NAME, PATH, PrivateBus, private_bus
from wakeful.faces.cron.bus import CronBus
from wakeful.faces.cron.client import DaemonClient

__all__ = ["private_bus"]


@dataclass
class Served:
    """What is on the bus, who reaches it, and how often it was asked to stop."""

    bus: PrivateBus
    daemon: ScriptedDaemon
    cron: CronBus
    client: DaemonClient
    stops: list[bool] = field(default_factory=list)


@pytest.fixture(params=[False, True], ids=["asyncio", "uvloop"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, bool]]:
    return "asyncio", {"use_uvloop": request.param}


@pytest.fixture
def client_of() -> Callable[..., DaemonClient]:
    """A client of the service on a bus."""

    def made(bus: PrivateBus) -> DaemonClient:
        return DaemonClient(service_name=NAME, object_path=PATH, interface_name=NAME, address=bus.address)

    return made


@pytest.fixture
async def served(private_bus: PrivateBus, client_of: Callable[..., Any]) -> AsyncIterator[Served]:
    """The service and a client that is connected."""
    daemon = ScriptedDaemon()
    stops: list[bool] = []
    cron = CronBus(daemon, lambda: stops.append(True), private_bus.address)
    await cron.start()
    client = client_of(private_bus)
    assert await client.connect(), client.problem
    yield Served(private_bus, daemon, cron, client, stops)
    await client.disconnect()
    await cron.stop()

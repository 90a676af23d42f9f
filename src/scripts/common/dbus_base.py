"""``DaemonClient`` and what goes with it, under the document's import path: adapters over wakeful's client."""

from typing import Any

from wakeful.faces.cron.bus import Service
from wakeful.faces.cron.client import DaemonClient

__all__ = ["DaemonClient", "check_daemon_health", "check_daemon_status", "get_client"]

_SERVICES = {"cron": Service()}


def get_client(service: str) -> DaemonClient:
    """A client, not connected yet, of a daemon by its short name. ``cron`` is the one that there is.

    Raises:
        ValueError: there is no such daemon.
    """
    if service not in _SERVICES:
        raise ValueError(f"there is no service {service!r}: it must be one of {', '.join(_SERVICES)}")
    found = _SERVICES[service]
    return DaemonClient(service_name=found.name, object_path=found.path, interface_name=found.interface)


async def check_daemon_status(service: str) -> dict[str, Any]:
    """The daemon's status; ``running`` False and ``error`` if it can't be asked. Raises as ``get_client``."""
    client = get_client(service)
    try:
        if not await client.connect():
            return {"running": False, "error": client.problem}
        return await client.get_status()
    except ConnectionError as error:
        return {"running": False, "error": str(error)}
    finally:
        await client.disconnect()


async def check_daemon_health(service: str) -> dict[str, Any]:
    """The daemon's health; ``healthy`` False and ``message`` if it can't be asked. Raises as ``get_client``."""
    client = get_client(service)
    try:
        if not await client.connect():
            return {"healthy": False, "checks": {"connection": False}, "message": client.problem}
        return await client.health_check()
    except ConnectionError as error:
        return {"healthy": False, "checks": {"connection": False}, "message": str(error)}
    finally:
        await client.disconnect()

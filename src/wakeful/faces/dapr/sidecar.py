"""The sidecar that wakeful is to an app: who it is, and what it tells about itself."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from wakeful.faces.dapr.go_duration import go_duration

# The types of actors of daprd's own workflow engine (dapr pkg/acl/workflow/identity.go, IsInternalActorType).
RESERVED_TYPES = "dapr.internal."
_MOST_ATTRIBUTES = 64
_LONGEST_ATTRIBUTE = 4096


async def _nothing() -> None:
    """Without an app there is nobody to ask."""


@dataclass(frozen=True, slots=True)
class AppHealthCheck:
    """How the app is asked whether it is well."""

    path: str
    interval: timedelta
    timeout: timedelta
    threshold: int


@dataclass(frozen=True, slots=True)
class AppConnection:
    """How the app is reached; ``max_concurrency`` of 0 is no limit, and without ``health`` it is not asked."""

    port: int
    protocol: str = "http"
    address: str = "127.0.0.1"
    max_concurrency: int = 0
    health: AppHealthCheck | None = None


@dataclass(frozen=True, slots=True)
class Sidecar:
    """One sidecar. ``app`` gives its connection now, ``actor_types`` what actors it hosts, as far as is known.

    ``ask_app`` has the app asked once more what it hosts, if there is reason to think that it was not asked of late.
    Without an ``api_token`` anybody may call.
    """

    app_id: str
    namespace: str = "default"
    version: str = ""
    api_token: str | None = field(default=None, repr=False)
    app: Callable[[], AppConnection | None] = lambda: None
    scheduler_addresses: tuple[str, ...] = ()
    actor_types: Callable[[], frozenset[str]] = frozenset
    ask_app: Callable[[], Awaitable[None]] = _nothing


class Metadata:
    """What ``GET /v1.0/metadata`` answers (dapr pkg/api/http/metadata.go)."""

    def __init__(self, sidecar: Sidecar) -> None:
        self._sidecar = sidecar
        self._extended: dict[str, str] = {}

    def set(self, key: str, value: str) -> None:
        """Adds an attribute, or changes it.

        Raises:
            ValueError: beyond a bound.
        """
        if len(key) > _LONGEST_ATTRIBUTE or len(value) > _LONGEST_ATTRIBUTE:
            raise ValueError(f"an attribute may have {_LONGEST_ATTRIBUTE} characters at most")
        if key not in self._extended and len(self._extended) >= _MOST_ATTRIBUTES:
            raise ValueError(f"at most {_MOST_ATTRIBUTES} attributes are kept")
        self._extended[key] = value

    def shown(self) -> dict[str, Any]:
        """The answer as JSON."""
        sidecar, app = self._sidecar, self._sidecar.app()
        connection: dict[str, Any] = {}
        if app is not None:
            connection = {"port": app.port, "protocol": app.protocol, "channelAddress": app.address}
            if app.max_concurrency:
                connection["maxConcurrency"] = app.max_concurrency
            if app.health is not None:
                connection["health"] = _health(app.health)
        # What is counted are active actors: wakeful reminds actors, and does not hold them.
        actors = [{"type": name, "count": 0} for name in sorted(sidecar.actor_types())]
        shown: dict[str, Any] = {
            "id": sidecar.app_id,
            "runtimeVersion": sidecar.version,
            "enabledFeatures": [],
            "actors": actors,
            "components": [],
            "extended": self._extended | {"daprRuntimeVersion": sidecar.version},
            "appConnectionProperties": connection,
            "actorRuntime": _actor_runtime(actors),
        }
        if sidecar.scheduler_addresses:
            shown["scheduler"] = {"connected_addresses": list(sidecar.scheduler_addresses)}
        return shown


def _health(check: AppHealthCheck) -> dict[str, Any]:
    return {
        "healthCheckPath": check.path,
        "healthProbeInterval": go_duration(check.interval),
        "healthProbeTimeout": go_duration(check.timeout),
        "healthThreshold": check.threshold,
    }


def _actor_runtime(actors: list[dict[str, Any]]) -> dict[str, Any]:
    if not actors:
        return {"runtimeStatus": "DISABLED", "hostReady": False}
    return {"runtimeStatus": "RUNNING", "hostReady": True, "activeActors": actors}

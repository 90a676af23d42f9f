"""The sidecar that wakeful is to an app: who it is, and what it tells about itself."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from wakeful.faces.dapr.answers import Refused, malformed

_MOST_ATTRIBUTES = 64
_LONGEST_ATTRIBUTE = 4096


@dataclass(frozen=True, slots=True)
class AppConnection:
    """How the app is reached."""

    port: int
    protocol: str = "http"
    address: str = "127.0.0.1"
    max_concurrency: int = 0


@dataclass(frozen=True, slots=True)
class Sidecar:
    """One sidecar. ``app`` gives its connection now; without a ``token`` anybody may call."""

    app_id: str
    namespace: str = "default"
    version: str = ""
    api_token: str | None = field(default=None, repr=False)
    app: Callable[[], AppConnection | None] = lambda: None
    scheduler_addresses: tuple[str, ...] = ()


class Metadata:
    """What ``GET /v1.0/metadata`` answers (dapr pkg/api/http/metadata.go)."""

    def __init__(self, sidecar: Sidecar) -> None:
        self._sidecar = sidecar
        self._extended: dict[str, str] = {}

    def set(self, key: str, value: str) -> None:
        """Adds an attribute, or changes it.

        Raises:
            Refused: 400, beyond a bound.
        """
        if len(key) > _LONGEST_ATTRIBUTE or len(value) > _LONGEST_ATTRIBUTE:
            raise Refused(malformed(f"an attribute may have {_LONGEST_ATTRIBUTE} characters at most"))
        if key not in self._extended and len(self._extended) >= _MOST_ATTRIBUTES:
            raise Refused(malformed(f"at most {_MOST_ATTRIBUTES} attributes are kept"))
        self._extended[key] = value

    def shown(self) -> dict[str, Any]:
        """The answer as JSON."""
        sidecar, app = self._sidecar, self._sidecar.app()
        connection: dict[str, Any] = {}
        if app is not None:
            connection = {"port": app.port, "protocol": app.protocol, "channelAddress": app.address}
            if app.max_concurrency:
                connection["maxConcurrency"] = app.max_concurrency
        shown: dict[str, Any] = {
            "id": sidecar.app_id,
            "runtimeVersion": sidecar.version,
            "enabledFeatures": [],
            "actors": [],
            "components": [],
            "extended": self._extended | {"daprRuntimeVersion": sidecar.version},
            "appConnectionProperties": connection,
            "actorRuntime": {"runtimeStatus": "DISABLED", "hostReady": False},
        }
        if sidecar.scheduler_addresses:
            shown["scheduler"] = {"connected_addresses": list(sidecar.scheduler_addresses)}
        return shown

"""What ``wakeful scheduler`` needs to know, from flags and environment."""

import re
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from wakeful.config import ConfigError, is_loopback, store_path

LOOPBACK = "127.0.0.1"
# A name or an address; one with colons stands in brackets. No URL, and no list.
_HOST_PORT = re.compile(r"(?:[^\s:,/\[\]]+|\[[0-9A-Fa-f:.]+(?:%\w+)?\]):([0-9]{1,5})")
_EVERYWHERE = ("0.0.0.0", "::")  # noqa: S104 - compared, not bound


@dataclass(frozen=True, slots=True)
class SchedulerConfig:
    """Ports are 0 for any free one; without a ``metrics_port`` there are no metrics.

    Callers must have the ``token``; it is asked for where others than this machine can call. An empty ``broadcast``
    is none.
    """

    name: str
    address: str
    port: int
    health_address: str
    health_port: int
    metrics_address: str
    metrics_port: int | None
    store: Path
    token: str | None = field(repr=False)
    broadcast: str | None = None

    def __post_init__(self) -> None:
        if self.broadcast and not _is_host_port(self.broadcast):
            raise ConfigError(
                f"--override-broadcast-host-port {self.broadcast!r}: give host:port, such as scheduler.example:50006 "
                "or [::1]:50006"
            )
        for flag, address in (
            ("--listen-address", self.address),
            ("--healthz-listen-address", self.health_address),
            ("--metrics-listen-address", self.metrics_address),
        ):
            if not is_loopback(address) and not self.token:
                raise ConfigError(
                    f"{flag} {address}: others could reach this scheduler; set DAPR_API_TOKEN, or bind {LOOPBACK}"
                )

    @property
    def required_token(self) -> str | None:
        """The token that callers must show: daprd has none to show, and on loopback needs none."""
        return None if is_loopback(self.address) else self.token

    def broadcast_address(self, port: int, environment: Mapping[str, str]) -> str:
        """What sidecars are told to connect to, of the ``port`` that was bound.

        dapr pkg/scheduler/server/server.go: the loopback address as it is, else this machine's.
        """
        if self.broadcast:
            return self.broadcast
        host = self.address
        if not is_loopback(host):
            given = environment.get("DAPR_HOST_IP")
            host = given or (_own_address() if host in _EVERYWHERE else host)
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def scheduler_store(url: str | None, folder: str | None, environment: Mapping[str, str]) -> Path:
    """The store's file: at ``url``, or ``wakeful.db`` in a folder, which is made, or where every node's is.

    Raises:
        ConfigError: it can't be there.
    """
    if folder is None:
        return store_path(url, environment)
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"--etcd-data-dir {folder}: {error.strerror}") from error
    return (Path(folder) / "wakeful.db").absolute()


def _is_host_port(text: str) -> bool:
    match = _HOST_PORT.fullmatch(text)
    return match is not None and 1 <= int(match[1]) <= 65_535


def _own_address() -> str:
    """The address from which this machine reaches others; nothing is sent to find it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            # An address of TEST-NET-1, RFC 5737: connecting a datagram socket only looks up the route.
            probe.connect(("192.0.2.1", 9))
        except OSError:
            return LOOPBACK
        return str(probe.getsockname()[0])

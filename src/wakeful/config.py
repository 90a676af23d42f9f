"""One frozen Config, from flags and environment."""

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from urllib.parse import unquote

import platformdirs

LONGEST_S = 365 * 24 * 3600


class ConfigError(Exception):
    """A setting that can't be; the message says which, and what would be right."""


APP_PROTOCOLS = ("http", "https", "h2c", "grpc", "grpcs")


@dataclass(frozen=True, slots=True)
class HealthCheck:
    """How an app is asked whether it is well; the path means nothing to a gRPC app."""

    path: str = "/healthz"
    interval: timedelta = timedelta(seconds=5)
    timeout: timedelta = timedelta(milliseconds=500)
    threshold: int = 3

    def __post_init__(self) -> None:
        if not timedelta(0) < self.timeout <= self.interval:
            raise ConfigError(
                f"--app-health-probe-timeout {self.timeout / timedelta(milliseconds=1):g}: a number of milliseconds "
                f"above 0 and up to the interval, which is {self.interval.total_seconds():g} s"
            )
        if self.threshold < 1:
            raise ConfigError(f"--app-health-threshold {self.threshold}: a number from 1 up")


@dataclass(frozen=True, slots=True)
class Config:
    """What a node needs to know. Port 0 is any free one; without ``app_port`` the app's jobs wait.

    ``app_max_concurrency`` is how many callbacks may be under way, 0 for no limit; without ``app_health`` the app is
    taken for well whenever its port is open.
    """

    app_id: str
    app_port: int | None
    namespace: str
    http_port: int
    grpc_port: int
    port: int
    address: str
    store: Path
    app_timeout: timedelta
    late_rate: int
    api_token: str | None = field(repr=False)
    app_token: str | None = field(repr=False)
    app_protocol: str = "http"
    app_max_concurrency: int = 0
    app_health: HealthCheck | None = None

    def __post_init__(self) -> None:
        if not self.app_id.strip() or "/" in self.app_id:
            raise ConfigError(f"--app-id {self.app_id!r}: an id is not empty and has no '/'")
        if self.app_protocol not in APP_PROTOCOLS:
            raise ConfigError(f"--app-protocol {self.app_protocol!r}: one of {', '.join(APP_PROTOCOLS)}")
        if self.app_max_concurrency < 0:
            raise ConfigError(f"--app-max-concurrency {self.app_max_concurrency}: a number from 0 up")
        for flag, port in (
            ("--app-port", self.app_port),
            ("--dapr-http-port", self.http_port),
            ("--dapr-grpc-port", self.grpc_port),
            ("--port", self.port),
        ):
            if port is not None and not 0 <= port <= 65535:
                raise ConfigError(f"{flag} {port}: a port is a number from 0 to 65535")
        if not is_loopback(self.address) and not self.api_token:
            raise ConfigError(
                f"--listen-address {self.address}: others could reach this node; set DAPR_API_TOKEN, or bind 127.0.0.1"
            )


def seconds(flag: str, number: float) -> timedelta:
    """A time in which something must happen.

    Raises:
        ConfigError: it is not above zero, or beyond a year.
    """
    if not 0 < number <= LONGEST_S:
        raise ConfigError(f"{flag} {number}: a number of seconds above 0 and up to {LONGEST_S}")
    return timedelta(seconds=number)


def is_loopback(address: str) -> bool:
    """Whether only this machine reaches the address."""
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return address == "localhost"


def store_path(url: str | None, environment: Mapping[str, str]) -> Path:
    """The file of a store's URL: ``sqlite:///file.db`` from here, ``sqlite:////file.db`` from the root.

    Without one, ``WAKEFUL_STORE``; without that, ``wakeful.db`` in the user's state folder, which is made.

    Raises:
        ConfigError: the URL is none of a store.
    """
    url = url or environment.get("WAKEFUL_STORE")
    if url is None:
        return platformdirs.user_state_path("wakeful", appauthor=False, ensure_exists=True) / "wakeful.db"
    scheme, slashes, rest = url.partition(":///")
    if scheme != "sqlite" or not slashes or not rest:
        raise ConfigError(f"--store {url!r}: a store is sqlite:///file.db, or sqlite:////absolute/path/file.db")
    path = Path(unquote(rest)).absolute()
    if not path.parent.is_dir():
        raise ConfigError(f"--store {url!r}: there is no folder {path.parent}")
    return path

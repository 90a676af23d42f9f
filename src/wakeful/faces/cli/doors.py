"""What main lends the commands: the other rooms, each behind a function."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import date, datetime
from typing import Annotated, Literal
from zoneinfo import ZoneInfo

from cyclopts import Parameter
from cyclopts.validators import Number

from wakeful.faces.cli.agent_options import AgentOptions
from wakeful.faces.cli.cron_doors import CronDoors
from wakeful.faces.cli.scheduler_options import SchedulerOptions
from wakeful.scheduler import Scheduler


@Parameter(name="*")
@dataclass(frozen=True, slots=True)
class NodeOptions:
    """What ``run`` and ``serve`` share."""

    app_id: str
    """The app's id: its jobs are its own, and their callbacks go to it."""
    app_port: int | None = None
    """The port on which the app listens for callbacks; without one, its jobs wait."""
    app_protocol: Literal["http", "https", "h2c", "grpc", "grpcs"] = "http"
    """What the app speaks on its port; the certificate of https and grpcs is not verified."""
    app_max_concurrency: Annotated[int, Parameter(validator=Number(gte=-1))] = 0
    """Callbacks that may be under way at a time. 0 or -1: no limit."""
    enable_app_health_check: bool = False
    """Ask the app whether it is well; while it is not, its jobs wait."""
    app_health_check_path: str = "/healthz"
    """The path that is asked, of an HTTP app."""
    app_health_probe_interval: Annotated[int, Parameter(validator=Number(gte=1))] = 5
    """Seconds from probe to probe."""
    app_health_probe_timeout: Annotated[int, Parameter(validator=Number(gte=1))] = 500
    """Milliseconds in which a probe must be answered."""
    app_health_threshold: Annotated[int, Parameter(validator=Number(gte=1))] = 3
    """Failed probes in a row that make the app unhealthy."""
    dapr_http_port: int = 3500
    """The port of the Dapr HTTP API."""
    dapr_grpc_port: int | None = None
    """The port of the Dapr gRPC API. serve: 50001; run: a free one."""
    port: int | None = None
    """The port of wakeful's own API. serve: 7710; run: a free one."""
    namespace: str = "default"
    """The namespace of the app and its jobs."""
    app_timeout: float = 300.0
    """Seconds after which a callback without an answer has failed."""
    late_rate: Annotated[int, Parameter(validator=Number(gte=1))] = 5_000
    """Overdue runs begun in a second, at most: after an outage they come back at this pace."""
    listen_address: str = "127.0.0.1"
    """The address to bind. Any but a loopback address needs DAPR_API_TOKEN to be set."""
    store: str | None = None
    """sqlite:///file.db (four slashes: an absolute path). Without it, a file in the user's state folder."""


@dataclass(frozen=True, slots=True)
class Doors:
    """``holidays`` gives those of a country, a part of it or none, and years; ``facts`` are about a store's URL."""

    version: str
    now: Callable[[], datetime]
    zone: Callable[[str], ZoneInfo | None]
    holidays: Callable[[str, str | None, range], Sequence[date]]
    facts: Callable[[str | None], Mapping[str, str]]
    open_scheduler: Callable[[str | None], AbstractAsyncContextManager[Scheduler]]
    serve: Callable[[NodeOptions], Awaitable[int]]
    run: Callable[[NodeOptions, tuple[str, ...]], Awaitable[int]]
    serve_scheduler: Callable[[SchedulerOptions], Awaitable[int]]
    run_agent: Callable[[AgentOptions, tuple[str, ...]], Awaitable[int]]
    entropy: Callable[[int], bytes]
    cron: CronDoors

"""The options of ``wakeful scheduler``: those of Dapr's scheduler, most of which have nothing to set here."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Annotated, Literal

from cyclopts import Group, Parameter
from cyclopts.validators import Number

_PORT = Parameter(validator=Number(gte=0, lte=65_535))
_NO_ETCD = "there is no etcd here: all jobs lie in one SQLite file, whose place --etcd-data-dir or --store says"
_NO_TLS = "it does nothing without --tls-enabled, which is not served"
_NO_WORKERS = "nothing here has a number of workers: a run waits for its answer without a thread"


# dapr cmd/scheduler/options/options.go; defaults are Dapr's, but that nobody else is let in without a token.
@Parameter(name="*")
@dataclass(frozen=True, slots=True)
class SchedulerOptions:
    """What has an effect."""

    port: Annotated[int, _PORT] = 50006
    """The port of the Scheduler service."""
    listen_address: str = ""
    """The address to bind. Without it 127.0.0.1; any but a loopback address needs DAPR_API_TOKEN to be set."""
    healthz_port: Annotated[int, _PORT] = 8080
    """The port of GET /healthz."""
    healthz_listen_address: str = ""
    """The address of the health port; without it, that of the service."""
    metrics_port: Annotated[int, _PORT] = 9090
    """The port of GET /metrics."""
    metrics_listen_address: str = ""
    """The address of the metrics port; without it, that of the service."""
    enable_metrics: bool = True
    """Serve metrics. --enable-metrics=false turns them off."""
    override_broadcast_host_port: str | None = None
    """The host:port that sidecars are told to connect to."""
    id: str = "dapr-scheduler-server-0"
    """The name of this scheduler, in its log."""
    log_level: Literal["debug", "info", "warn", "error", "fatal"] = "info"
    """The least that is logged."""
    log_as_json: bool = False
    """Write the log as JSON lines."""
    etcd_data_dir: str | None = None
    """The folder of the store's file, wakeful.db; made if missing."""
    store: str | None = None
    """sqlite:///file.db (four slashes: an absolute path), in place of --etcd-data-dir."""
    mode: str = "standalone"
    """standalone: kubernetes is not served."""
    tls_enabled: bool = False
    """Not served: put a proxy in front that speaks TLS."""


@Parameter(name="*", group=Group("Accepted for Dapr's sake, and without effect"))
@dataclass(frozen=True, slots=True)
class IgnoredOptions:
    """What Dapr's scheduler takes and this one has no use for."""

    kubeconfig: str | None = None
    trust_domain: str | None = None
    trust_anchors_file: str | None = None
    sentry_address: str | None = None
    identity_directory_write: str | None = None
    workers: int | None = None
    etcd_embed: bool | None = None
    etcd_initial_cluster: str | None = None
    etcd_client_port: int | None = None
    etcd_client_listen_address: str | None = None
    etcd_client_endpoints: str | None = None
    etcd_client_username: str | None = None
    etcd_client_password: str | None = None
    etcd_space_quota: str | None = None
    etcd_compaction_mode: str | None = None
    etcd_compaction_retention: str | None = None
    etcd_snapshot_count: int | None = None
    etcd_max_snapshots: int | None = None
    etcd_max_wals: int | None = None
    etcd_backend_batch_limit: int | None = None
    etcd_backend_batch_interval: str | None = None
    etcd_max_txn_ops: int | None = None
    etcd_experimental_bootstrap_defrag_threshold_megabytes: int | None = None
    etcd_initial_election_tick_advance: bool | None = None
    etcd_metrics: str | None = None


DEFAULTS, NONE_IGNORED = SchedulerOptions(), IgnoredOptions()


def refusal(options: SchedulerOptions, ignored: IgnoredOptions) -> str | None:
    """Why a scheduler can't be started so; what Dapr's scheduler refuses too is said in its words."""
    if ignored.kubeconfig is not None and options.mode != "kubernetes":
        return "kubeconfig flag is only valid in --mode=kubernetes"
    return _wrong_about_etcd(ignored) or _not_served(options)


def _wrong_about_etcd(ignored: IgnoredOptions) -> str | None:
    external = {
        "--etcd-client-endpoints": ignored.etcd_client_endpoints,
        "--etcd-client-username": ignored.etcd_client_username,
        "--etcd-client-password": ignored.etcd_client_password,
    }
    if ignored.etcd_embed is not False:
        given = next((flag for flag, value in external.items() if value), None)
        return None if given is None else f"cannot use {given} with --etcd-embed"
    if not ignored.etcd_client_endpoints:
        return "must specify --etcd-client-endpoints when not using embedded etcd"
    return None


def _not_served(options: SchedulerOptions) -> str | None:
    if options.mode == "kubernetes":
        return "--mode=kubernetes is not served: several schedulers that share a store are all there is to a cluster"
    if options.mode != "standalone":
        return f"--mode {options.mode}: standalone is the only mode"
    if options.tls_enabled:
        return "--tls-enabled is not served: there are no identities of Dapr's control plane here; use a proxy for TLS"
    if options.store is not None and options.etcd_data_dir is not None:
        return "--store and --etcd-data-dir both say where the store is: leave out one of them"
    return None


def without_effect(ignored: IgnoredOptions) -> Sequence[str]:
    """A line for each option that was given and does nothing."""
    given = [field.name for field in fields(ignored) if getattr(ignored, field.name) is not None]
    return [f"--{name.replace('_', '-')} is ignored: {_why(name)}" for name in given]


def _why(name: str) -> str:
    if name.startswith("etcd_"):
        return _NO_ETCD
    if name == "workers":
        return _NO_WORKERS
    return _NO_TLS

"""``wakeful scheduler`` from its options to its end."""

import logging
import os
import sys

import msgspec

from wakeful.faces.cli.calls import OK
from wakeful.faces.cli.scheduler_options import SchedulerOptions
from wakeful.node import told_to_stop
from wakeful.scheduler_config import LOOPBACK, SchedulerConfig, scheduler_store
from wakeful.scheduler_node import running_scheduler


class _JsonLines(logging.Formatter):
    """A log line as JSON, its fields named as in Dapr's (dapr/kit logger)."""

    def format(self, record: logging.LogRecord) -> str:
        """One line."""
        line = {
            "time": self.formatTime(record, "%Y-%m-%dT%H:%M:%S%z"),
            "level": record.levelname.lower(),
            "scope": record.name,
            "msg": record.getMessage() + (f"\n{self.formatException(record.exc_info)}" if record.exc_info else ""),
            "type": "log",
        }
        return msgspec.json.encode(line).decode()


async def serve_scheduler(options: SchedulerOptions) -> int:
    """Serves until it is told to stop; the exit code.

    Raises:
        ConfigError: an option can't be.
        WakefulError: the store can't be used.
    """
    _log(options.log_level, as_json=options.log_as_json)
    config = _config(options)
    told = told_to_stop()
    async with running_scheduler(config) as ports:
        metrics = "" if ports.metrics is None else f" Metrics Port: {ports.metrics}."
        print(
            f"ℹ️  wakeful scheduler {config.name} serves {ports.broadcast}. gRPC Port: {ports.grpc}. "
            f"Healthz Port: {ports.health}.{metrics} Store: {config.store}"
        )
        await told
    return OK


def _config(options: SchedulerOptions) -> SchedulerConfig:
    address = options.listen_address or LOOPBACK
    return SchedulerConfig(
        name=options.id,
        address=address,
        port=options.port,
        health_address=options.healthz_listen_address or address,
        health_port=options.healthz_port,
        metrics_address=options.metrics_listen_address or address,
        metrics_port=options.metrics_port if options.enable_metrics else None,
        store=scheduler_store(options.store, options.etcd_data_dir, os.environ),
        token=os.environ.get("DAPR_API_TOKEN") or None,
        broadcast=options.override_broadcast_host_port,
    )


def _log(level: str, *, as_json: bool) -> None:
    handler = logging.StreamHandler(sys.stderr)
    plain = logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s")
    handler.setFormatter(_JsonLines() if as_json else plain)
    logging.basicConfig(handlers=[handler], level=level.upper())
    logging.getLogger("uvicorn").setLevel(logging.WARNING)

"""What the Scheduler service counts, as Prometheus reads it; the names are Dapr's.

dapr pkg/scheduler/monitoring/metrics.go; the text format is
https://prometheus.io/docs/instrumenting/exposition_formats/.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Mapping

from wakeful.faces.dapr.gates import Gates

_LATENCIES_MS = (100, 500, 1_000, 5_000, 10_000)
_BY_TYPE = {
    "jobs_created_total": "The total number of jobs scheduled.",
    "jobs_created_failed_total": "The total number of failed job creation attempts.",
    "jobs_deleted_total": "The total number of deleted jobs.",
    "jobs_triggered_total": "The total number of successfully triggered jobs.",
    "jobs_failed_total": "The total number of failed jobs.",
    "jobs_undelivered_total": "The total number of undelivered jobs.",
}


class _Latencies:
    """A histogram."""

    def __init__(self) -> None:
        self.counts = [0] * (len(_LATENCIES_MS) + 1)
        self.sum_ms = 0.0

    def add(self, milliseconds: float) -> None:
        self.counts[bisect_left(_LATENCIES_MS, milliseconds)] += 1
        self.sum_ms += milliseconds

    def lines(self, name: str, label: str) -> Iterable[str]:
        below = 0
        for count, bound in zip(self.counts, (*_LATENCIES_MS, "+Inf"), strict=True):
            below += count
            yield f'{name}_bucket{{type="{label}",le="{bound}"}} {below}'
        yield f'{name}_sum{{type="{label}"}} {self.sum_ms:g}'
        yield f'{name}_count{{type="{label}"}} {below}'


class SchedulerMetrics:
    """Counters and gauges of one scheduler. A job's ``kind`` is job, actor or unknown."""

    def __init__(self) -> None:
        self.connected = 0
        self.bulk_deleted = 0
        self.gates: Callable[[], Iterable[Gates]] = tuple
        self.throttled: Counter[str] = Counter()
        self.sidecar_errors: Counter[str] = Counter()
        self._by_type: dict[str, Counter[str]] = {name: Counter() for name in _BY_TYPE}
        self._latencies: dict[str, _Latencies] = {}

    def created(self, kind: str, *, well: bool) -> None:
        """A job was scheduled, or refused."""
        self._by_type["jobs_created_total" if well else "jobs_created_failed_total"][kind] += 1

    def deleted(self, kind: str) -> None:
        """A job was deleted by its name."""
        self._by_type["jobs_deleted_total"][kind] += 1

    def answered(self, kind: str, milliseconds: float, *, well: bool) -> None:
        """A sidecar said what came of a run, so long after it was sent."""
        self._by_type["jobs_triggered_total" if well else "jobs_failed_total"][kind] += 1
        if kind not in self._latencies:
            self._latencies[kind] = _Latencies()
        self._latencies[kind].add(milliseconds)

    def undelivered(self, kind: str) -> None:
        """A stream ended before it said what came of a run."""
        self._by_type["jobs_undelivered_total"][kind] += 1

    def render(self) -> str:
        """All of it; what has never been counted is left out, as by Dapr."""
        lines: list[str] = []
        single = {"": self.connected}
        _show(lines, "sidecars_connected", "gauge", "The number of dapr sidecars actively connected.", "", single)
        for name, text in _BY_TYPE.items():
            _show(lines, name, "counter", text, "type", self._by_type[name])
        single = {"": self.bulk_deleted} if self.bulk_deleted else {}
        text = "The total number of bulk job deletion operations."
        _show(lines, "jobs_bulk_deleted_total", "counter", text, "", single)
        text = "The total number of sidecar communication and authorization errors."
        _show(lines, "sidecar_errors_total", "counter", text, "reason", self.sidecar_errors)
        self._show_gates(lines)
        name = "dapr_scheduler_trigger_latency"
        if self._latencies:
            text = "The total time it takes to trigger a job from the scheduler service."
            lines += [f"# HELP {name} {text}", f"# TYPE {name} histogram"]
        for kind, latencies in sorted(self._latencies.items()):
            lines += latencies.lines(name, kind)
        return "\n".join(lines) + "\n"

    def _show_gates(self, lines: list[str]) -> None:
        inside: Counter[str] = Counter()
        waiting: Counter[str] = Counter()
        for gates in self.gates():
            inside.update(gates.inside())
            waiting.update(gates.waiting())
        for name, form, text, values in (
            ("concurrency_inflight", "gauge", "Triggers in flight subject to concurrency limits.", inside),
            ("concurrency_pending", "gauge", "Triggers waiting for a concurrency slot.", waiting),
            ("concurrency_throttled_total", "counter", "Triggers throttled by concurrency limits.", self.throttled),
        ):
            _show(lines, name, form, text, "concurrency_key", values)


def _show(lines: list[str], name: str, form: str, text: str, label: str, values: Mapping[str, int]) -> None:
    if values:
        lines += [f"# HELP dapr_scheduler_{name} {text}", f"# TYPE dapr_scheduler_{name} {form}"]
    for value, number in sorted(values.items()):
        labels = f'{{{label}="{_escaped(value)}"}}' if label else ""
        lines.append(f"dapr_scheduler_{name}{labels} {number}")


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')

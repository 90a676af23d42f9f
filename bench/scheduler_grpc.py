"""Measures ``wakeful scheduler``: schedules a second, and runs delivered a second over streams that answer all.

``bench/scheduler_grpc.py [--quick]`` prints the tables; ``bench/run.py scheduler`` writes them down as well.
"""

import re
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from alone import alone
from figures import Figures, Table, lateness
from harness import HERE, START_LIMIT_S, WAKEFUL, Bench, BenchError, Child, Generator, cpu_s, say, sleep_until

CALLERS = 64
STREAMS = 3
_GENERATOR = "grpc_generator.py"
_PORT = re.compile(r"gRPC Port: (\d+)")
_STREAMED = (
    ("rate", "runs/s", ",.0f"),
    ("per_cpu_s", "runs per CPU second", ",.0f"),
    ("p50_ms", "late p50 ms", ".0f"),
    ("p99_ms", "p99 ms", ".0f"),
    ("max_ms", "max ms", ".0f"),
    ("missing", "missing", "d"),
    ("duplicates", "duplicates", "d"),
)


class SchedulerNode(Child):
    """``wakeful scheduler`` on a file of its own."""

    def __init__(self, folder: Path) -> None:
        ports = ("--port=0", "--healthz-port=0", "--metrics-port=0")
        super().__init__([WAKEFUL, "scheduler", *ports, "--etcd-data-dir", folder], folder / "scheduler.log")
        self.port = int(_PORT.search(self.line(START_LIMIT_S))[1])  # type: ignore[index]


class Null(Child):
    """The service without a scheduler; see grpc_null.py."""

    def __init__(self, folder: Path, count: int) -> None:
        super().__init__([sys.executable, HERE / "grpc_null.py", str(count), str(STREAMS)], folder / "null.log")
        self.port = int(self.line(START_LIMIT_S))


def _load(folder: Path, limit_s: float, **spec: Any) -> Figures:
    with Generator(_GENERATOR, folder, **spec) as generator:
        return generator.result(limit_s)


def _schedules(folder: Path, server: Child, port: int, seconds: float) -> Figures:
    cpu = cpu_s(server.process.pid)
    spec = {"port": port, "kind": "schedule", "callers": CALLERS, "prefix": "far", "warm_s": 0.5, "seconds": seconds}
    result = _load(folder, seconds + START_LIMIT_S, **spec)
    used = cpu_s(server.process.pid) - cpu
    return {**result, "per_cpu_s": result["rate"] * (seconds + 0.5) / max(used, 0.01)}


def _streamed(folder: Path, count: int) -> Figures:
    """A burst: all jobs are due at one instant."""
    with SchedulerNode(folder) as node:
        # Far below what it takes, so that they are there in time.
        start_us = (int(time.time() + count / 1_000) + 4) * 1_000_000
        made = _load(
            folder, 120, port=node.port, kind="at", callers=CALLERS, count=count, start_us=start_us, prefix="burst"
        )
        if made["ended_us"] > start_us - 500_000:
            raise BenchError(f"{count} jobs took too long to schedule: {made['rate']:.0f}/s")
        spec = {"port": node.port, "kind": "watch", "streams": STREAMS, "count": count, "limit_s": 60 + count / 500}
        with Generator(_GENERATOR, folder, **spec) as watching:
            watching.line(START_LIMIT_S)
            sleep_until(start_us - 100_000)
            cpu = cpu_s(node.process.pid)
            came = watching.result(spec["limit_s"] + START_LIMIT_S)
            used = cpu_s(node.process.pid) - cpu
    return {
        "rate": came["came"] / max(1e-6, (came["last_us"] - start_us) / 1e6),
        "per_cpu_s": came["came"] / max(used, 0.01),
        "missing": count - came["came"],
        "duplicates": came["again"],
        **lateness(at - start_us for at in came["times_us"]),
    }


def _null_streamed(folder: Path, count: int) -> Figures:
    with Null(folder, count) as null:
        spec = {"port": null.port, "kind": "watch", "streams": STREAMS, "count": count, "limit_s": 120}
        with Generator(_GENERATOR, folder, **spec) as watching:
            watching.line(START_LIMIT_S)
            came = watching.result(120 + START_LIMIT_S)
    seconds = (came["last_us"] - came["first_us"]) / 1e6
    return {"rate": came["came"] / seconds, "missing": count - came["came"], "duplicates": came["again"]}


def scheduler(bench: Bench) -> list[Table]:
    """Both measures, and the generator's own ceiling in each."""
    seconds, count = bench.size(5.0, 1.0), bench.size(20_000, 2_000)
    rest = (("rate", "calls/s", ",.0f"), ("p50_ms", "p50 ms", ".1f"), ("p99_ms", "p99 ms", ".1f"))
    columns = (("what", "", ""), *rest, ("per_cpu_s", "calls per CPU second", ",.0f"))
    unary = Table(f"ScheduleJob over gRPC, {CALLERS} callers: due in 24 h, answered after the commit", columns)
    streamed = Table(f"{count:,} jobs due at once, {STREAMS} streams that answer all", (("what", "", ""), *_STREAMED))
    for what in ("wakeful scheduler", "an empty grpc.aio server"):
        unary_runs: list[Figures] = []
        streamed_runs: list[Figures] = []
        for _ in range(bench.times(3)):
            say(f"  scheduler: {what}")
            with tempfile.TemporaryDirectory(dir=bench.folder) as name:
                folder = Path(name)
                ours = what.startswith("wakeful")
                with SchedulerNode(folder) if ours else Null(folder, count) as server:
                    unary_runs.append(_schedules(folder, server, server.port, seconds))
            with tempfile.TemporaryDirectory(dir=bench.folder) as name:
                streamed_runs.append((_streamed if ours else _null_streamed)(Path(name), count))
        unary.add({"what": what}, unary_runs)
        streamed.add({"what": what}, streamed_runs)
    return [unary, streamed]


if __name__ == "__main__":
    alone(__doc__, scheduler)

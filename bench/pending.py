"""A node with a great many jobs that are not due: start-up, memory, idle cost, and whether the rest stays quick."""

import sys
import tempfile
import time
from pathlib import Path

from figures import Figures, Table
from harness import HERE, Bench, BenchError, Child, Node, Receiver, Stage, cpu_s, memory_mb, say
from workloads import schedule_once, steady_once

FILL_LIMIT_S = 300


def pending(bench: Bench) -> list[Table]:
    """One store with pending one-shots, and one without, by the same measure."""
    columns = (
        ("jobs", "pending", ",d"),
        ("file_mb", "file MB", ",.0f"),
        ("ready_s", "start → ready s", ".2f"),
        ("first_s", "start → first callback s", ".2f"),
        ("rss_mb", "RSS MB idle", ".0f"),
        ("idle", "idle CPU %", ".2f"),
        ("schedules", "schedules/s, 64 callers", ",.0f"),
        ("p50_ms", "1,000/s p50 ms", ".2f"),
        ("p99_ms", "p99 ms", ".2f"),
        ("max_ms", "max ms", ".1f"),
        ("missing", "missing", "d"),
        ("duplicates", "duplicates", "d"),
        ("max_rss_mb", "RSS MB at most", ".0f"),
    )
    table = Table("Pending: one-shots that are due in 30 to 60 days", columns)
    table.notes.append("The first callback is of a job that fell due while no node ran; start is the process's.")
    for count in (0, bench.size(1_000_000, 20_000)):
        say(f"  pending: {count}")
        with tempfile.TemporaryDirectory(dir=bench.folder) as name:
            table.add({"jobs": count}, [_measure(bench, Path(name), count)])
    return [table]


def fill(folder: Path, count: int) -> Path:
    """The store, with ``count`` pending jobs and one that is due by now."""
    store = folder / "bench.db"
    due_us = int(time.time() + 1) * 1_000_000
    with Child([sys.executable, HERE / "fill.py", store, str(count), str(due_us)], folder / "fill.log") as child:
        took_s = float(child.line(FILL_LIMIT_S))
        child.process.wait(60)
    say(f"    filled in {took_s:.0f} s")
    time.sleep(max(0.0, due_us / 1e6 + 0.1 - time.time()))
    return store


def _measure(bench: Bench, folder: Path, count: int) -> Figures:
    store = fill(folder, count)
    size_mb = sum(path.stat().st_size for path in folder.glob("bench.db*") if path.suffix != ".log") / 1e6
    with Receiver(folder) as receiver:
        began = time.time()
        with Node(store, receiver.port) as node:
            ready_s = time.time() - began
            if not receiver.wait(1, 60):
                raise BenchError("the job that was due did not come")
            first_s = receiver.arrivals()[0].at_us / 1e6 - began
            started = {"file_mb": size_mb, "ready_s": ready_s, "first_s": first_s, **_idle(bench, node)}
            return {**started, **_work(bench, Stage(folder, receiver, node))}


def _idle(bench: Bench, node: Node) -> Figures:
    time.sleep(2)
    pid, seconds = node.process.pid, bench.size(20, 4)
    before = cpu_s(pid)
    time.sleep(seconds)
    return {"idle": 100 * (cpu_s(pid) - before) / seconds, "rss_mb": memory_mb(pid)}


def _work(bench: Bench, on: Stage) -> Figures:
    on.warm_up()
    rate = schedule_once(64, bench.size(2.5, 1.0))(on)["rate"]
    on.margin = 2.0
    late = steady_once(1_000, bench.size(15, 4))(on)
    return {"schedules": rate, **late, "max_rss_mb": memory_mb(on.node.process.pid, "VmHWM")}

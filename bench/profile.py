"""Where a run's time goes: ``bench/profile.py [--jobs N]`` samples a node that takes schedules, then one in a burst.

Writes the stacks, folded, and the table of stages to bench/results.
"""

import argparse
import os
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import report
from figures import Figures, Table
from harness import Bench, BenchError, Stage, say, sleep_until, stage

# The innermost frame that begins like this names the stage; each thread has its own.
STAGES = (
    ("wakeful.stores.sqlite.writer.Writer._next_group", "idle"),
    ("concurrent.futures.thread._worker", "idle"),
    ("asyncio.runners", "the loop itself: waiting, sockets"),
    ("wakeful.core.planning", "claim: plan"),
    ("wakeful.stores.sqlite.rows.job_record", "claim: decode the definition"),
    ("wakeful.stores.sqlite.claims.prepare_claim", "claim: read"),
    ("wakeful.stores.sqlite.claims.claim", "claim: write"),
    ("wakeful.engine.engine.Engine._claim_turn", "claim: the engine's part"),
    ("wakeful.targets", "deliver: HTTP out"),
    ("wakeful.engine.engine.Engine._deliver", "deliver: the engine's part"),
    ("wakeful.core.settlement", "settle: decide"),
    ("wakeful.stores.sqlite.settling.settle", "settle: write"),
    ("wakeful.engine.engine.Engine._settle", "settle: the engine's part"),
    ("wakeful.faces.dapr.jobs", "schedule: decode and validate"),
    ("wakeful.stores.sqlite.definitions.PutItem", "schedule: encode and hand over"),
    ("wakeful.stores.sqlite.definitions", "schedule: write"),
    ("wakeful.stores.sqlite.store.SqliteStore.put_job", "schedule: encode and hand over"),
    ("wakeful.faces", "schedule: HTTP in, our part"),
    ("uvicorn", "schedule: HTTP in, uvicorn"),
    ("wakeful.stores.sqlite.writer._answer", "hand back to the loop"),
    ("wakeful.stores.sqlite.writer.Writer._commit", "commit: BEGIN, COMMIT and its fsync"),
    ("wakeful.stores.sqlite.writer.Writer._run", "the writer's own"),
)


def stage_of(frames: list[str]) -> str:
    """The stage of a stack; the outermost frame comes first."""
    for frame in reversed(frames):
        for begin, name in STAGES:
            if frame.startswith(begin):
                return name
    return "the loop itself: waiting, sockets" if frames[0].startswith("MainThread") else "other"


def table(title: str, stacks: Path, runs: int) -> Table:
    """The share of each stage in what a thread did, and its time for one run."""
    counts: Counter[tuple[str, str]] = Counter()
    threads: Counter[str] = Counter()
    for line in stacks.read_text().splitlines():
        stack, count = line.rsplit(" ", 1)
        frames = stack.split(";")
        counts[frames[0], stage_of(frames)] += int(count)
        threads[frames[0]] += int(count)
    columns = (("thread", "thread", ""), ("stage", "stage", ""), ("share", "% of its time", ".1f"))
    result = Table(f"{title}: {runs:,}", columns)
    order = sorted(counts.items(), key=lambda item: (item[0][0], -item[1]))
    for (thread, name), count in order:
        if count >= 0.002 * threads[thread]:
            result.rows.append({"thread": thread, "stage": name, "share": 100 * count / threads[thread]})
    for line in stacks.with_suffix(".cpu").read_text().splitlines():
        thread, used = line.rsplit(" ", 1)
        if thread in threads:
            per_run = float(used) * 1e6 / max(1, runs)
            result.notes.append(f"{thread}: {used} s of CPU, {per_run:.0f} µs each.")
    return result


def _sampled(on: Stage, stacks: Path, work: Callable[[], Figures]) -> Figures:
    pid = on.node.process.pid
    os.kill(pid, signal.SIGUSR1)
    result = work()
    os.kill(pid, signal.SIGUSR2)
    until = time.monotonic() + 10
    while not stacks.exists():
        if time.monotonic() > until:
            raise BenchError("the node wrote no stacks")
        time.sleep(0.05)
    return result


def _schedules(on: Stage, stacks: Path, _count: int) -> int:
    result = _sampled(on, stacks, lambda: on.generate(kind="far", callers=64, seconds=4, prefix="profile"))
    return int(result["total"])


def _burst(on: Stage, stacks: Path, count: int) -> int:
    due_us = on.create(count, 0, kind="at", prefix="burst")
    sleep_until(due_us - 20_000)

    def work() -> Figures:
        on.receiver.wait(count, 60)
        time.sleep(0.05)
        return {}

    _sampled(on, stacks, work)
    return count


def main() -> None:
    """Samples both, and writes what was seen."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=20_000, help="due at one instant")
    arguments = parser.parse_args()
    report.RESULTS.mkdir(exist_ok=True)
    name = f"{datetime.now(UTC):%Y-%m-%d}-{report.revision()}-profile"
    tables: list[Table] = []
    with tempfile.TemporaryDirectory(prefix="wakeful-bench-") as folder:
        facts = report.machine(Path(folder))
        for what, title, work in (("schedule", "Schedules", _schedules), ("burst", "Burst, runs", _burst)):
            say(what)
            stacks = Path(folder) / f"{what}.folded"
            with stage(Bench(Path(folder), False, 1), ("--sample", str(stacks))) as on:
                on.margin = 2.0
                runs = work(on, stacks, arguments.jobs)
            tables.append(table(title, stacks, runs))
            (report.RESULTS / f"{name}-{what}.folded").write_bytes(stacks.read_bytes())
            print(tables[-1].text(), flush=True)
    tables[0].notes.append("Samples are wall time: a thread that waits for the interpreter is seen where it waits.")
    report.write(name, facts, {"Where a run's time goes": tables})


if __name__ == "__main__":
    main()

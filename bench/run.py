"""Measures wakeful on this machine: ``bench/run.py [--quick] [WORKLOAD…]``; figures go to bench/results."""

import argparse
import signal
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import aitp
import compare
import pending
import report
import scheduler_grpc
import workloads
from figures import Table
from harness import Bench, BenchError, say

WORKLOADS: dict[str, Callable[[Bench], list[Table]]] = {
    "ceiling": workloads.ceiling,
    "schedule": workloads.schedule,
    "burst": workloads.burst,
    "recurring": workloads.recurring,
    "steady": workloads.steady,
    "pending": pending.pending,
    "commit-delay": workloads.commit_delay,
    "scheduler": scheduler_grpc.scheduler,
    "aitp": aitp.aitp,
    "peers": compare.peers,
}


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("workload", nargs="*", help=f"of {', '.join(WORKLOADS)}; all of them without any")
    parser.add_argument("--quick", action="store_true", help="small sizes, each once: shows that it works, no more")
    parser.add_argument("--repeat", type=int, help="repetitions of everything (usually 3, 1 where a run is long)")
    parser.add_argument("--limit", type=int, default=30, help="minutes after which it gives up")
    parser.add_argument("--folder", type=Path, help="where the stores lie meanwhile; any temporary folder without it")
    arguments = parser.parse_args()
    unknown = set(arguments.workload) - WORKLOADS.keys()
    if unknown:
        parser.error(f"no such workload: {', '.join(sorted(unknown))}")
    return arguments


def _stop(number: int, _frame: object) -> None:
    # From here on a second signal must not interrupt the stopping of the processes.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise KeyboardInterrupt(signal.Signals(number).name)


def main() -> int:
    """Runs the workloads; what was measured before a failure is written all the same."""
    arguments = _arguments()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGALRM):
        signal.signal(number, _stop)
    signal.alarm(arguments.limit * 60)
    results: dict[str, list[Table]] = {}
    failed = 0
    with tempfile.TemporaryDirectory(prefix="wakeful-bench-", dir=arguments.folder) as folder:
        bench = Bench(Path(folder), arguments.quick, arguments.repeat)
        facts = report.machine(bench.folder)
        try:
            for name in ["ceiling", *arguments.workload] if arguments.workload else WORKLOADS:
                if name in results:
                    continue
                say(name)
                try:
                    results[name] = WORKLOADS[name](bench)
                except BenchError as error:
                    say(f"  {name} failed: {error}")
                    results[name] = [Table(f"{name} was not measured", (), notes=[str(error)])]
                    failed = 1
                print("\n".join(table.text() for table in results[name]), flush=True)
        except KeyboardInterrupt as error:
            say(f"stopped: {error}")
            failed = 130
    if results:
        what = [*arguments.workload, *["quick"] * arguments.quick, *["stopped"] * (failed > 1)]
        name = "-".join([f"{datetime.now(UTC):%Y-%m-%d}", report.revision(), *what])
        say(f"written: {report.write(name, facts, results).name}")
    return failed


if __name__ == "__main__":
    raise SystemExit(main())

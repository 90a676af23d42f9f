"""Measures tasks of agents: made, claimed in batches of 20, and completed, each a second; durable SQLite.

``bench/aitp.py [--quick]`` prints the table; ``bench/run.py aitp`` writes it down as well.
"""

import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

from alone import alone
from figures import Figures, Table
from harness import HERE, START_LIMIT_S, Bench, BenchError, Child, Generator, cpu_s, free_port, say

UVICORN = Path(sys.executable).parent / "uvicorn"
MAKERS, AGENTS = 32, 16
COLUMNS = (
    ("what", "", ""),
    ("measure", "", ""),
    ("rate", "tasks/s", ",.0f"),
    ("calls_rate", "calls/s", ",.0f"),
    ("per_cpu_s", "tasks per CPU second", ",.0f"),
    ("make_p99_ms", "make p99 ms", ".0f"),
    ("claim_p99_ms", "claim p99 ms", ".0f"),
    ("complete_p99_ms", "complete p99 ms", ".0f"),
    ("duplicates", "duplicates", "d"),
)
KINDS = {"make": "made", "work": "claimed and completed", "all": "made, claimed and completed at once"}


class AitpNode(Child):
    """``uvicorn ains.api:app`` on a file of its own."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        command = [UVICORN, "ains.api:app", "--port", str(self.port), "--no-access-log", "--log-level", "warning"]
        # Each schedule's execution is told; here none is made by one.
        super().__init__(command, folder / "node.log", {"WAKEFUL_STORE": f"sqlite:///{folder / 'bench.db'}"})
        end = time.monotonic() + START_LIMIT_S
        while not self._answers():
            if time.monotonic() > end or self.process.poll() is not None:
                self.stop()
                raise BenchError(f"the node did not start: {self.log.read_text()[-600:]}")
            time.sleep(0.02)

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/health", timeout=5) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False


class Null(Child):
    """The routes without anything behind them; see aitp_null.py."""

    def __init__(self, folder: Path) -> None:
        super().__init__([sys.executable, HERE / "aitp_null.py"], folder / "null.log")
        self.port = int(self.line(START_LIMIT_S))


def _load(folder: Path, server: AitpNode | Null, kind: str, count: int) -> Figures:
    limit_s = 60 + count / 200
    spec = {"port": server.port, "kind": kind, "count": count, "makers": MAKERS, "agents": AGENTS, "limit_s": limit_s}
    used = cpu_s(server.process.pid)
    with Generator("aitp_generator.py", folder, **spec) as generator:
        result = generator.result(limit_s + START_LIMIT_S)
    used = cpu_s(server.process.pid) - used
    return {
        **result,
        "rate": count / result["seconds"],
        "calls_rate": result["calls"] / result["seconds"],
        "per_cpu_s": count / max(used, 0.01),
    }


def aitp(bench: Bench) -> list[Table]:
    """Three measures on a node, and on nothing: the load's own ceiling."""
    count = bench.size(20_000, 2_000)
    table = Table(f"{count:,} tasks of agents over HTTP, {MAKERS} clients and {AGENTS} agents, 20 to a claim", COLUMNS)
    for what in ("wakeful", "no node: the load alone"):
        runs: dict[str, list[Figures]] = {kind: [] for kind in KINDS}
        for _ in range(bench.times(3)):
            say(f"  aitp: {what}")
            with tempfile.TemporaryDirectory(dir=bench.folder) as name:
                folder = Path(name)
                with AitpNode(folder) if what == "wakeful" else Null(folder) as server:
                    if what == "wakeful":
                        _load(folder, server, "all", 100)
                    for kind, made in runs.items():
                        made.append(_load(folder, server, kind, count))
        for kind, measure in KINDS.items():
            table.add({"what": what, "measure": measure}, runs[kind])
    return [table]


if __name__ == "__main__":
    alone(__doc__, aitp)

"""What was measured, on what: written to bench/results."""

import json
import os
import platform
import re
import subprocess
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

import apsw
from figures import Table
from harness import HERE

RESULTS = HERE / "results"
_URL = re.compile(r"\b[a-z+]+://[^\s\"'|]+")
_PATH = re.compile(r"(?<![\w.…])/(?:[\w.+-]+/)+")


def revision() -> str:
    """The commit, and whether the tree differs from it."""

    def git(*arguments: str) -> str:
        run = subprocess.run(["git", *arguments], cwd=HERE, capture_output=True, text=True, check=False)
        return run.stdout.strip()

    changed = git("status", "--porcelain", "--untracked-files=no", "--", "../src")
    return (git("rev-parse", "--short", "HEAD") or "unknown") + ("-changed" if changed else "")


def sync_speed(folder: Path) -> dict[str, float]:
    """How quickly a small append gets onto the disk."""
    took = []
    with tempfile.TemporaryFile(dir=folder, buffering=0) as file:
        until = time.monotonic() + 0.5
        while time.monotonic() < until:
            begin = time.perf_counter()
            file.write(b"x" * 4096)
            os.fdatasync(file.fileno())
            took.append(time.perf_counter() - begin)
    took.sort()
    return {"per_s": len(took) / sum(took), "p50_us": median(took) * 1e6, "p99_us": took[int(len(took) * 0.99)] * 1e6}


def machine(folder: Path) -> dict[str, Any]:
    """What the figures were measured on; the load is that of before."""
    cpu = re.search(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text())
    memory = re.search(r"MemTotal:\s+(\d+)", Path("/proc/meminfo").read_text())
    return {
        "cpu": cpu[1] if cpu else platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(int(memory[1]) / 1024**2, 1) if memory else None,
        "kernel": platform.release(),
        "python": platform.python_version(),
        "sqlite": apsw.sqlite_lib_version(),
        "sync": sync_speed(folder),
        "load_before": os.getloadavg()[0],
    }


def _machine_text(facts: dict[str, Any]) -> str:
    sync = facts["sync"]
    return "\n".join(
        (
            f"- {facts['cores']} cores of {facts['cpu']}, {facts['memory_gib']} GiB; Linux {facts['kernel']}",
            f"- append of 4 KiB with fdatasync: {sync['per_s']:,.0f}/s, "
            f"p50 {sync['p50_us']:.0f} µs, p99 {sync['p99_us']:.0f} µs",
            f"- Python {facts['python']}, SQLite {facts['sqlite']} (WAL, synchronous FULL)",
            f"- load average (1 minute) {facts['load_before']:.2f} before, {facts['load_after']:.2f} after",
        )
    )


HEAD = """All processes (wakeful, the far side, the load generator, a peer's database) share one machine, over loopback.
Lateness is from the due instant to the arrival at the far side, both by the wall clock of this machine.
Each row is the median of its repetitions; what is missing or came twice is their sum, *max* the greatest of all.
A quick run shows that it all works, no more.
"""


def anonymous(text: str) -> str:
    """Without the folders and addresses of this machine, which an error's text may have brought along."""
    return _PATH.sub("…/", _URL.sub("…", text))


def write(name: str, facts: dict[str, Any], results: dict[str, list[Table]], folder: Path = RESULTS) -> Path:
    """The tables as Markdown, and all single runs as JSON beside it."""
    facts = {**facts, "load_after": os.getloadavg()[0]}
    folder.mkdir(exist_ok=True)
    title = f"# Measured {datetime.now(UTC):%Y-%m-%d %H:%M} UTC, commit {revision()}"
    parts = [title, "", _machine_text(facts), "", HEAD]
    for workload, tables in results.items():
        parts += [f"## {workload}", ""] + [table.text() for table in tables]
    path = folder / f"{name}.md"
    path.write_text(anonymous("\n".join(parts)))
    record = {
        "revision": revision(),
        "machine": facts,
        "results": {
            workload: [{"title": t.title, "rows": t.rows, "runs": t.raw, "notes": t.notes} for t in tables]
            for workload, tables in results.items()
        },
    }
    path.with_suffix(".json").write_text(anonymous(json.dumps(record, indent=1) + "\n"))
    return path

"""The same work by other schedulers, in the same run: each in an environment of its own, with pinned versions.

The programs in peers/ know these commands: ``rate CALLERS SECONDS`` and ``create COUNT DUE_US`` print JSON; ``work``
and ``recur COUNT SECONDS START_US`` print ``ready`` and work until SIGTERM; ``setup`` empties the store.
"""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from figures import Figures, Table, accounted, first_arrivals, gaps, lateness
from harness import HERE, Bench, BenchError, Child, Receiver, cpu_s, measured, say, sleep_until
from postgres import Cluster, cluster
from workloads import SECOND_US, burst_once, recurring_once, schedule_once

ENVS = HERE / ".envs"
INSTALL_LIMIT_S = 300


@dataclass(frozen=True)
class Peer:
    """A scheduler to compare with."""

    name: str
    script: str
    packages: tuple[str, ...]
    settings: str
    recurring: bool = True
    # Whether a call is told its instant, or it can be known: else there is no lateness to tell.
    tells_instant: bool = True
    python: Path = Path()
    database: Cluster | None = None


PEERS = (
    Peer(
        "APScheduler 3.11.3, SQLite",
        "with_apscheduler3.py",
        ("APScheduler==3.11.3", "SQLAlchemy==2.1.9"),
        "misfire_grace_time=None, coalesce=False, max_instances=1000: by default it drops what is late; "
        "10 threads; its SQLAlchemy store as it comes",
    ),
    Peer(
        "Huey 3.5.4, SQLite",
        "with_huey.py",
        ("huey==3.5.4",),
        "fsync=True: by default its commits are not on disk; 4 threads; it looks for due tasks once a second, and has "
        "recurrences by the minute only",
        recurring=False,
    ),
    Peer(
        "PGQueuer 1.6.0, PostgreSQL",
        "with_pgqueuer.py",
        ("pgqueuer==1.6.0", "asyncpg==0.32.0", "uvloop==0.23.0"),
        "batch_size=500 (10 by default), uvloop, 16 connections; PostgreSQL with fsync and synchronous_commit "
        "on, its CPU counted in; its schedules look no oftener than the next instant and a second more",
        tells_instant=False,
    ),
)


def installed(peer: Peer) -> Path:
    """The Python of the peer's environment, which is made if it is not there."""
    folder = ENVS / peer.script.removeprefix("with_").removesuffix(".py")
    stamp, python = folder / "packages", folder / "bin" / "python"
    if stamp.exists() and stamp.read_text().split() == list(peer.packages):
        return python
    say(f"    installing {', '.join(peer.packages)}")
    pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *peer.packages]
    for command in ([sys.executable, "-m", "venv", "--clear", folder], pip):
        try:
            subprocess.run(command, check=True, capture_output=True, text=True, timeout=INSTALL_LIMIT_S)
        except subprocess.CalledProcessError as error:
            raise BenchError(f"can't install it: {(error.stderr or '').strip().splitlines()[-1:]}") from None
        except subprocess.TimeoutExpired:
            raise BenchError(f"can't install it within {INSTALL_LIMIT_S} s") from None
    stamp.write_text("\n".join(peer.packages))
    return python


@contextmanager
def ready(peer: Peer) -> Iterator[Peer]:
    """The peer, with what it needs."""
    peer = replace(peer, python=installed(peer))
    if "asyncpg" in " ".join(peer.packages):
        with cluster() as database:
            yield replace(peer, database=database)
    else:
        yield peer


class At:
    """A peer's empty store, and the far side."""

    def __init__(self, peer: Peer, folder: Path, receiver: Receiver) -> None:
        self._peer, self._folder, self.receiver = peer, folder, receiver
        self._store = peer.database.dsn if peer.database else str(folder / "peer.db")
        if peer.database:
            child = self.start("setup")
            if child.process.wait(60):
                raise BenchError(f"setup failed: {child.log.read_text()[-300:]}")

    def start(self, command: str, *numbers: float) -> Child:
        arguments = [self._store, self.receiver.port, command, *numbers]
        script = HERE / "peers" / self._peer.script
        return Child([self._peer.python, script, *map(str, arguments)], self._folder / f"{command}.log")

    def told(self, command: str, *numbers: float, limit_s: float = 120) -> Figures:
        with self.start(command, *numbers) as child:
            answer: Figures = json.loads(child.line(limit_s))
            child.process.wait(30)
            return answer

    def cpu_s(self, child: Child) -> float:
        database = self._peer.database
        return cpu_s(child.process.pid) + (database.cpu_s() if database else 0.0)


@contextmanager
def place(bench: Bench, peer: Peer) -> Iterator[At]:
    """An empty store and a far side for one measurement."""
    with tempfile.TemporaryDirectory(dir=bench.folder) as name, Receiver(Path(name)) as receiver:
        yield At(peer, Path(name), receiver)


def peer_schedule(bench: Bench, peer: Peer, callers: int) -> Figures:
    """Single calls by so many at a time."""
    with place(bench, peer) as at:
        return at.told("rate", callers, bench.size(2.5, 1.0))


def peer_burst(bench: Bench, peer: Peer, count: int, rate: float) -> Figures:
    """Everything due at one instant; created first, then the worker is started, as one of them needs it."""
    with place(bench, peer) as at:
        due_us = int(time.time() + count / rate * 1.5 + 4) * SECOND_US
        at.told("create", count, due_us, limit_s=180)
        with at.start("work") as child:
            child.line(60)
            if time.time() * 1e6 > due_us - 200_000:
                raise BenchError("the jobs could not be created in time")
            sleep_until(due_us - 100_000)
            cpu = at.cpu_s(child)
            at.receiver.wait(count, 60)
            time.sleep(1.0)
            used = at.cpu_s(child) - cpu
        arrivals = at.receiver.arrivals()
    first = first_arrivals(arrivals)
    last_us = max(first.values(), default=due_us)
    return {
        "rate": len(first) / max(1e-6, (last_us - due_us) / 1e6),
        "per_cpu_s": len(first) / max(used, 0.01),
        **lateness(at_us - due for (_, due), at_us in first.items()),
        **accounted(arrivals, {f"burst-{i}": (due_us,) for i in range(count)}),
    }


def peer_recurring(bench: Bench, peer: Peer, count: int, seconds: int, rate: float) -> Figures:
    """Jobs every second."""
    with place(bench, peer) as at:
        start_us = int(time.time() + count / rate * 1.5 + 3) * SECOND_US
        with at.start("recur", count, seconds, start_us) as child:
            child.line(120)
            if time.time() * 1e6 > start_us - 50_000:
                raise BenchError("the jobs could not be created in time")
            sleep_until(start_us)
            cpu = at.cpu_s(child)
            sleep_until(start_us + seconds * SECOND_US)
            used = at.cpu_s(child) - cpu
            # A second of grace: what is late by more, in a rate that it has to hold, is missed.
            time.sleep(1.0)
        arrivals = [a for a in at.receiver.arrivals() if start_us <= a.due_us < start_us + seconds * SECOND_US]
    step_us = SECOND_US / count if peer.tells_instant else 0
    anchors = {f"each-{i}": start_us + int(i * SECOND_US // count if step_us else 0) for i in range(count)}
    dues = {name: [first + k * SECOND_US for k in range(seconds)] for name, first in anchors.items()}
    late = lateness(at_us - due for (_, due), at_us in first_arrivals(arrivals).items()) if peer.tells_instant else {}
    return {**late, **gaps(arrivals), **accounted(arrivals, dues), "cores": used / seconds}


def _tables(bench: Bench) -> tuple[Table, Table, Table]:
    late = (("p50_ms", "p50 ms", ",.1f"), ("p99_ms", "p99 ms", ",.1f"), ("max_ms", "max ms", ",.1f"))
    who, account = ("who", "", ""), (("missing", "missing", "d"), ("duplicates", "duplicates", "d"))
    count, jobs = bench.size((10_000, 1_000), (500, 100))
    single = (("rate", "schedules/s in series", ",.0f"), ("rate16", "16 at a time", ",.0f"))
    seen = (("expected", "instants", ",d"), ("seen", "seen", ",d"), ("missing", "missed", ",d"), account[1])
    gap = (("gap_p50_ms", "gap p50 ms", ",.0f"), ("gap_p99_ms", "gap p99 ms", ",.0f"))
    return (
        Table("Side by side: schedules, single calls", (who, *single, ("p99_ms", "in series p99 ms", ",.2f"))),
        Table(
            f"Side by side: {count:,} one-shots due at one instant",
            (who, ("rate", "calls/s", ",.0f"), *late, ("per_cpu_s", "calls per CPU second", ",.0f"), *account),
        ),
        Table(
            f"Side by side: {jobs:,} jobs every second for {bench.size(30, 6)} s",
            (who, *seen, *gap, *late, ("cores", "cores used", ".2f")),
        ),
    )


def _ours(bench: Bench, tables: tuple[Table, Table, Table], count: int, jobs: int) -> None:
    name, seconds = {"who": "wakeful, SQLite, over HTTP"}, bench.size(2.5, 1.0)
    alone, many = (measured(bench, schedule_once(callers, seconds)) for callers in (1, 16))
    tables[0].add(name, [{**alone, "rate16": many["rate"]}])
    tables[1].add(name, [measured(bench, burst_once(count))])
    tables[2].add(name, [measured(bench, recurring_once(jobs, bench.size(30, 6)))])


def _theirs(bench: Bench, tables: tuple[Table, Table, Table], peer: Peer, count: int, jobs: int) -> None:
    name = {"who": peer.name}
    alone, many = (peer_schedule(bench, peer, callers) for callers in (1, 16))
    tables[0].add(name, [{**alone, "rate16": many["rate"]}])
    tables[1].add(name, [peer_burst(bench, peer, count, alone["rate"])])
    if peer.recurring:
        tables[2].add(name, [peer_recurring(bench, peer, jobs, bench.size(30, 6), alone["rate"])])
    else:
        tables[2].notes.append(f"{peer.name}: has no recurrence by the second.")


def peers(bench: Bench) -> list[Table]:
    """wakeful and the peers, one after the other; one that can't be had is left out, and the table says why."""
    tables = _tables(bench)
    count, jobs = bench.size((10_000, 1_000), (500, 100))
    say("  peers: wakeful")
    _ours(bench, tables, count, jobs)
    for peer in PEERS:
        say(f"  peers: {peer.name}")
        try:
            with ready(peer) as it:
                _theirs(bench, tables, it, count, jobs)
            tables[0].notes.append(f"{peer.name}: {peer.settings}.")
        except (BenchError, OSError, ValueError, subprocess.SubprocessError) as error:
            say(f"    left out: {error}")
            tables[0].notes.append(f"{peer.name}: left out of what is missing here: {error}")
    tables[0].notes.append(
        "wakeful is called over HTTP, the peers in-process; all of them call the far side over HTTP."
    )
    tables[2].notes.append("A gap is the time between two calls of one job.")
    tables[2].notes.append("The jobs of wakeful and APScheduler are spread over the second, PGQueuer's can't be.")
    return list(tables)

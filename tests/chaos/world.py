"""What the fault tests share: nodes that are started again, load that keeps coming, and the wait for quiet."""

import os
import random
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import apsw
import httpx2

from support.judge import Journal, S, Verdict, judge, now_us, seconds
from support.processes import PLAIN, Processes, Wakeful, eventually, free_port
from support.receiver import Receiver

# Six seconds of lease, two to the next renewal, and a slow machine.
TAKEN_OVER_S = 12.0
READY_WITHIN_S = 15.0
FAILPOINTS = Path(__file__).with_name("failpoint_node.py")


def seeded() -> random.Random:
    """Randomness of this test; the seed is printed, and CHAOS_SEED repeats it."""
    seed = int(os.environ.get("CHAOS_SEED") or time.time_ns() % 1_000_000)
    print(f"CHAOS_SEED={seed}")
    return random.Random(seed)


@dataclass
class World:
    """One file, its nodes and receivers, and the test's own records."""

    home: Path
    journal: Journal = field(init=False)
    processes: Processes = field(init=False)
    receivers: list[Receiver] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.home.mkdir(parents=True, exist_ok=True)
        self.journal = Journal(self.home / "journal")
        self.processes = Processes(self.home)

    @property
    def file(self) -> Path:
        return self.home / "wakeful.db"

    def receiver(self, name: str = "receiver") -> Receiver:
        self.receivers.append(Receiver(self.home / name))
        return self.receivers[-1]

    def node(
        self,
        receiver: Receiver | None = None,
        app_id: str = "app",
        *,
        failpoint: str = "",
        inside: Sequence[str] = (),
        **options: Any,
    ) -> Wakeful:
        """A node; with ``failpoint``, one that meets it; ``inside`` is what it is started through."""
        if failpoint or inside:
            options["program"] = (*inside, sys.executable, str(FAILPOINTS), failpoint)
        return self.processes.serve(app_id, app_port=None if receiver is None else receiver.port, **options)

    def kill(self, node: Wakeful) -> None:
        """SIGKILL, and the note that it excuses what was in flight."""
        self.journal.fault(now_us())
        node.process.kill()
        node.process.wait(10)

    def stand_still(self, node: Wakeful, how_long_s: float) -> None:
        """SIGSTOP, and SIGCONT that much later."""
        since = now_us()
        node.process.send_signal(signal.SIGSTOP)
        time.sleep(how_long_s)
        node.process.send_signal(signal.SIGCONT)
        self.journal.fault(since, now_us())

    def judge(self, until: int | None = None) -> Verdict:
        return judge(self.journal, [a for receiver in self.receivers for a in receiver.arrivals()], until)

    def quiet(self, deadline_s: float = TAKEN_OVER_S + 10, until: int | None = None) -> Verdict:
        """Waits until everything due has come, then judges; it is asked again a moment later for what comes twice."""
        until = now_us() if until is None else until
        # The judge's own verdict says what is lost, if this is in vain.
        with suppress(AssertionError):
            eventually(lambda: time.sleep(0.2) or not self.judge(until).lost, "what is due", deadline_s)
        return self.judge(until)

    def in_flight_is_zero(self, node: Wakeful, deadline_s: float = 10) -> None:
        eventually(lambda: health(node)[1].get("in_flight") == 0, "slots to return to zero", deadline_s)

    def close(self) -> None:
        self.processes.close()
        for receiver in self.receivers:
            receiver.close()


@contextmanager
def a_world(home: Path) -> Iterator[World]:
    world = World(home)
    try:
        yield world
    finally:
        world.close()


def api(node: Wakeful) -> httpx2.Client:
    """A client of the node's Dapr face."""
    return httpx2.Client(base_url=node.url(""), timeout=10, **PLAIN)


def health(node: Wakeful) -> tuple[int, dict[str, Any]]:
    """The status of the node's health, and what it says; zero if it says nothing in two seconds."""
    try:
        answer = httpx2.get(f"http://127.0.0.1:{node.own_port}/healthz", timeout=2, **PLAIN)
    except httpx2.TransportError as error:
        return 0, {"reason": repr(error)}
    return answer.status_code, answer.json()


def ready_s(node: Wakeful) -> float:
    """Seconds from the node's start until its API answers."""
    node.wait_ready()
    return time.monotonic() - node.began


def rss_mib(node: Wakeful) -> float:
    line = next(line for line in Path(f"/proc/{node.pid}/status").read_text().splitlines() if "VmRSS" in line)
    return int(line.split()[1]) / 1024


def sound(file: Path) -> bool:
    """Whether SQLite finds nothing wrong in the file."""
    db = apsw.Connection(str(file))
    try:
        return db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    finally:
        db.close()


class Load:
    """Jobs that keep coming, from a thread of their own, to whichever node is named; each is journalled."""

    def __init__(self, journal: Journal, ports: Callable[[], Sequence[int]], rng: random.Random, rate: float) -> None:
        self._journal = journal
        self._ports = ports
        self._rng = random.Random(rng.random())
        self._pause_s = 1 / rate
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> "Load":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(30)

    def _run(self) -> None:
        clients: dict[int, httpx2.Client] = {}
        number = 0
        while not self._stop.wait(self._pause_s * self._rng.uniform(0.5, 1.5)):
            port = self._rng.choice(self._ports())
            if port not in clients:
                clients[port] = httpx2.Client(base_url=f"http://127.0.0.1:{port}", timeout=5, **PLAIN)
            number += 1
            self._one(clients[port], number)

    def _one(self, client: httpx2.Client, number: int) -> None:
        chance = self._rng.random()
        if chance < 0.9:
            self._journal.put(client, f"once-{number}", now_us() + seconds(self._rng.uniform(0, 2)))
        elif chance < 0.95:
            step = seconds(self._rng.choice((0.05, 0.2, 0.5)))
            count = 2 * S // step
            self._journal.put(client, f"every-{number}", now_us() + step, every_us=step, count=count)
        elif chance < 0.98:
            self._journal.put(client, f"far-{number}", now_us() + seconds(86_400))
        elif self._journal.put(client, f"gone-{number}", now_us() + seconds(5)) == "ok":
            self._journal.delete(client, f"gone-{number}")


def kill_rounds(world: World, rounds: int, rng: random.Random, rate: float = 150) -> tuple[Verdict, list[float]]:
    """Kills the one node at random instants under load and starts it again; the verdict, and how soon it was ready."""
    receiver = world.receiver()
    http_port = free_port()
    node = world.node(receiver, http_port=http_port)
    ready = [ready_s(node)]
    with Load(world.journal, lambda: (http_port,), rng, rate):
        for _ in range(rounds):
            time.sleep(rng.uniform(0.02, 1.2))
            world.kill(node)
            node = world.node(receiver, http_port=http_port)
            ready.append(ready_s(node))
    verdict = world.quiet(TAKEN_OVER_S + 20, now_us() + 3 * S)
    world.in_flight_is_zero(node)
    missing = [job for job in _kept(world.journal) if not _exists(node, job)]
    assert not missing, f"acknowledged, and not there: {missing[:5]}"
    assert node.end() == 0
    assert sound(world.file)
    return verdict, ready


def _kept(journal: Journal) -> list[str]:
    return [job for job in journal.acknowledged() if job.startswith("far-")]


def _exists(node: Wakeful, job: str) -> bool:
    with api(node) as client:
        return client.get(f"/v1.0/jobs/{job}").status_code == 200

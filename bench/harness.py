"""The processes of a measurement: started, asked, and stopped whatever happens."""

import json
import os
import re
import select
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec
from figures import Arrival, Figures

HERE = Path(__file__).parent
WAKEFUL = Path(sys.executable).parent / "wakeful"
START_LIMIT_S = 60
STOP_LIMIT_S = 20
_TICKS = os.sysconf("SC_CLK_TCK")
_PORT = re.compile(r"HTTP Port: (\d+)")
_TROUBLE = re.compile(r" (?:WARNING|ERROR|CRITICAL) |Traceback")

# Given to the nodes of every measurement; see serve_with.py.
NodeWrap = Sequence[str]


class BenchError(Exception):
    """A measurement that could not be made, and why."""


class CreatedTooLateError(BenchError):
    """The jobs were not all there before the first of them was due."""


@dataclass(frozen=True)
class Bench:
    """What all measurements share."""

    folder: Path
    quick: bool
    repeat: int | None

    def times(self, usual: int) -> int:
        """How often a measurement is made."""
        return self.repeat or (1 if self.quick else usual)

    def size(self, usual: Any, quick: Any) -> Any:
        """The size of a measurement."""
        return quick if self.quick else usual


def say(text: str) -> None:
    """A line for whoever waits."""
    print(text, file=sys.stderr, flush=True)


class Child:
    """A process in a session of its own, so that it can be stopped with all that it started; ``with`` stops it."""

    def __init__(self, command: Sequence[str], log: Path, env: Mapping[str, str] | None = None) -> None:
        self.log = log
        with log.open("ab") as errors:
            self.process = subprocess.Popen(
                [str(part) for part in command],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                start_new_session=True,
                env={**os.environ, **(env or {})},
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def line(self, limit_s: float) -> str:
        """Its next line."""
        assert self.process.stdout is not None
        ready, _, _ = select.select([self.process.stdout], [], [], limit_s)
        line = self.process.stdout.readline() if ready else ""
        if not line:
            raise BenchError(f"{self.process.args[:2]} said nothing: {self.log.read_text()[-600:]}")
        return line.strip()

    def ask(self, line: str, limit_s: float = START_LIMIT_S) -> str:
        """Its answer to a line."""
        assert self.process.stdin is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        return self.line(limit_s)

    def stop(self) -> None:
        """Asks it to end, then ends it."""
        with suppress(ProcessLookupError):
            self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(STOP_LIMIT_S)
        except subprocess.TimeoutExpired:
            say(f"killed after {STOP_LIMIT_S} s: {self.process.args[0]}")
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            with suppress(OSError):
                pipe and pipe.close()


def cpu_s(pid: int) -> float:
    """CPU seconds that a process has used, with its threads."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def free_port() -> int:
    """A port that nobody has."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def memory_mb(pid: int, field_name: str = "VmRSS") -> float:
    """Resident memory; ``VmHWM`` is the most there was."""
    text = Path(f"/proc/{pid}/status").read_text()
    return int(re.search(rf"{field_name}:\s+(\d+)", text)[1]) / 1024  # type: ignore[index]


class Receiver(Child):
    """The far side; see receiver.py."""

    def __init__(self, folder: Path, null: bool = False) -> None:
        super().__init__([sys.executable, HERE / "receiver.py", *(["--null"] if null else [])], folder / "receiver.log")
        self._dump = folder / "arrivals"
        self.port = int(self.line(START_LIMIT_S))

    def reset(self) -> None:
        self.ask("reset")

    def wait(self, count: int, limit_s: float) -> int:
        return int(self.ask(f"wait {count} {limit_s}", limit_s + START_LIMIT_S))

    def arrivals(self) -> list[Arrival]:
        self.ask(f"dump {self._dump}", 120)
        return [Arrival(*row) for row in msgspec.msgpack.decode(self._dump.read_bytes())]


class Node(Child):
    """``wakeful serve`` on a file of its own."""

    def __init__(self, store: Path, app_port: int, wrap: NodeWrap = ()) -> None:
        begin = [sys.executable, HERE / "serve_with.py", *wrap] if wrap else [WAKEFUL]
        options = ["--app-id=bench", f"--app-port={app_port}", "--dapr-http-port=0", "--dapr-grpc-port=0", "--port=0"]
        super().__init__([*begin, "serve", *options, "--store", f"sqlite:///{store}"], store.with_suffix(".log"))
        self.store = store
        try:
            self.port = int(_PORT.search(self.line(START_LIMIT_S))[1])  # type: ignore[index]
        except BaseException:
            self.stop()
            raise

    def cpu_s(self) -> float:
        return cpu_s(self.process.pid)

    def trouble(self) -> list[str]:
        """What it complained of."""
        return [line for line in self.log.read_text().splitlines() if _TROUBLE.search(line)]


class Generator(Child):
    """A load, by a program that takes its spec as JSON and tells its figures as JSON."""

    def __init__(self, script: str, folder: Path, **spec: Any) -> None:
        command = [sys.executable, HERE / script, json.dumps(spec)]
        super().__init__(command, folder / f"generator-{spec['kind']}.log")

    def result(self, limit_s: float) -> Figures:
        """Its figures."""
        result: Figures = json.loads(self.line(limit_s))
        return result


def generate(folder: Path, **spec: Any) -> Figures:
    """Runs the load generator to its end."""
    seconds = spec.get("limit_s", spec.get("warm_s", 0) + spec.get("seconds", 120))
    with Generator("generator.py", folder, **spec) as generator:
        result = generator.result(seconds + START_LIMIT_S)
    if result["errors"]:
        say(f"    {result['errors']} errors: {result['first_error'][:200]}")
    return result


@dataclass
class Stage:
    """A node, its far side, and what the load generator needs to know."""

    folder: Path
    receiver: Receiver
    node: Node
    create_rate: float = 3_000.0
    margin: float = 1.4
    notes: list[str] = field(default_factory=list)

    def generate(self, **spec: Any) -> Figures:
        return generate(self.folder, port=self.node.port, **spec)

    def warm_up(self) -> None:
        """Pages, connections and code paths that a first request would pay for."""
        self.create_rate = max(500.0, self.generate(kind="far", callers=64, seconds=0.7, prefix="warm")["rate"])
        start_us = time.time_ns() // 1000 + 300_000
        self.generate(kind="at", callers=16, count=200, start_us=start_us, step_ns=2_000_000, prefix="warm-due")
        if self.receiver.wait(200, 15) < 200:
            raise BenchError("the warm-up was not delivered")
        time.sleep(0.3)
        self.receiver.reset()

    def create(self, count: int, step_ns: int, **spec: Any) -> int:
        """Creates jobs that are due later; when the first of them will be. ``step_ns`` lies between two of them."""
        lead_s = count / self.create_rate * self.margin + 1.5
        start_us = -(-(time.time_ns() // 1000 + int(lead_s * 1e6)) // 1_000_000) * 1_000_000
        made = self.generate(callers=64, count=count, start_us=start_us, step_ns=step_ns, limit_s=lead_s + 60, **spec)
        if made["errors"]:
            raise BenchError(f"{made['errors']} jobs were refused: {made['first_error'][:200]}")
        if made["ended_us"] > start_us - 200_000:
            raise CreatedTooLateError(f"{count} jobs took {made['seconds']:.1f} s to create")
        return start_us


# One measurement on a fresh node.
Measure = Callable[[Stage], Figures]


@contextmanager
def stage(bench: Bench, wrap: NodeWrap = (), store: Path | None = None) -> Iterator[Stage]:
    """A node on an empty file, warmed up; or on ``store``, as it is."""
    with tempfile.TemporaryDirectory(dir=bench.folder) as name:
        folder = Path(name)
        with Receiver(folder) as receiver:
            node = Node(store or folder / "bench.db", receiver.port, wrap)
            try:
                on = Stage(folder, receiver, node)
                on.warm_up()
                yield on
            finally:
                node.stop()
                on.notes.extend(node.trouble()[:3])


def measured(bench: Bench, once: Measure, wrap: NodeWrap = ()) -> Figures:
    """One measurement on a fresh node; made anew, with more time, if the jobs were not there in time."""
    for margin in (1.4, 4.0):
        try:
            with stage(bench, wrap) as on:
                on.margin = margin
                result = once(on)
            result["log_lines"] = len(on.notes)
            for line in on.notes:
                say(f"    the node said: {line[:200]}")
            return result
        except CreatedTooLateError as error:
            say(f"    again, with more time: {error}")
    raise BenchError("the jobs could not be created in time")


def sleep_until(us: int) -> None:
    """Sleeps until that instant."""
    time.sleep(max(0.0, us / 1e6 - time.time()))

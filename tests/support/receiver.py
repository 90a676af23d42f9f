"""The receiver: an app in a process of its own that writes each arrival down before it answers.

It is also the far side of every fault: by rule it answers late, slowly, with a failure, never, or drops the connection.
Its ledger is the only evidence of what came; the judge reads nothing of wakeful's own.
"""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zlib import crc32

import httpx2

from support.processes import PLAIN, eventually

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
US = timedelta(microseconds=1)
# What an arrival came to; anything else is the rule that spoiled it.
OK, CUT, UNANSWERED = "ok", "cut", "unanswered"
# Killed while it answered: nobody knows whether the answer went out.
ANSWERING = "answering"


@dataclass(frozen=True, slots=True)
class Arrival:
    """One callback as it came: ``at`` and ``due`` in microseconds since the epoch, and what it came to at ``ended``."""

    at: int
    job: str
    run: str
    attempt: int
    due: int
    did: str = UNANSWERED
    ended: int | None = None


@dataclass(frozen=True)
class Rule:
    """What jobs whose names begin with ``prefix`` meet, in ``share`` of their runs and the first ``attempts`` only.

    ``do``: ``fail`` (with ``status``), ``hang``, ``drop`` (reset after it was written down), ``slow`` (an answer after
    ``delay_s``), ``drip`` (a byte of the answer every ``delay_s``).
    """

    prefix: str
    do: str
    status: int = 500
    delay_s: float = 0.0
    share: float = 1.0
    attempts: int = 1 << 30

    def applies(self, job: str, run: str, attempt: int) -> bool:
        chance = crc32(f"{run}/{attempt}".encode()) / 2**32
        return job.startswith(self.prefix) and attempt <= self.attempts and chance < self.share


def read_ledger(path: Path) -> list[Arrival]:
    """Every arrival of a ledger, in the order in which they came."""
    return parse_ledger(path.read_text().splitlines()) if path.exists() else []


def parse_ledger(lines: Iterable[str]) -> list[Arrival]:
    came: dict[str, list[Any]] = {}
    for line in lines:
        kind, at, serial, *rest = line.split("\t")
        if kind == "came":
            job, run, attempt, due = rest
            came[serial] = [int(at), job, run, int(attempt), int(due)]
        elif serial in came:
            came[serial][5:] = [rest[0], int(at)]
    return [Arrival(*values) for values in came.values()]


class Receiver:
    """The test's handle on a receiver's process; it can be killed, stopped and started again on its port."""

    def __init__(self, home: Path, port: int = 0, ledger: Path | None = None) -> None:
        home.mkdir(parents=True, exist_ok=True)
        self.ledger = ledger or home / "ledger"
        self.port = port
        self._home = home
        self._rules: tuple[Rule, ...] = ()
        self.start()

    def start(self) -> None:
        """Starts the process, and waits until it listens."""
        told = self._home / "port"
        told.unlink(missing_ok=True)
        command = [sys.executable, __file__, str(self.port), str(self.ledger), str(told)]
        environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])}
        with (self._home / "receiver.err").open("ab") as err:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=err, env=environment)
        self.port = int(eventually(lambda: told.exists() and told.read_text(), "the receiver's port"))
        self.rule(*self._rules)

    def rule(self, *rules: Rule) -> None:
        """From now on these rules hold, the first that applies; without any, every answer is 200 at once."""
        self._rules = rules
        body = json.dumps([vars(rule) for rule in rules])
        answer = httpx2.post(f"http://127.0.0.1:{self.port}/rules", content=body, timeout=10, **PLAIN)
        assert answer.status_code == 200

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(10)

    def close(self) -> None:
        with suppress(ProcessLookupError):
            self.kill()

    def arrivals(self) -> list[Arrival]:
        return read_ledger(self.ledger)


class _Connection(asyncio.Protocol):
    """One connection of the node's; one request at a time."""

    def __init__(self, far: "_FarSide") -> None:
        self._far = far
        self._buffer = b""
        self._open: tuple[str, str] | None = None
        self._later: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def connection_lost(self, _: Exception | None) -> None:
        if self._later is not None:
            self._later.cancel()
        if self._open is not None:
            serial, rule = self._open
            self._far.write("done", serial, rule or CUT)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            lines = self._buffer[:end].decode("latin-1").split("\r\n")
            headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
            length = end + 4 + int(headers.get("content-length", "0"))
            if len(self._buffer) < length:
                return
            body, self._buffer = self._buffer[end + 4 : length], self._buffer[length:]
            self._request(lines[0].split(" ")[1], headers, body)

    def _request(self, path: str, headers: dict[str, str], body: bytes) -> None:
        if path == "/rules":
            self._far.rules = [Rule(**rule) for rule in json.loads(body)]
            self._respond(200)
            return
        if "wakeful-run-id" not in headers:
            # It knows nothing of actors, and says so, as an app would.
            self._respond(404)
            return
        job = path.rpartition("/")[2]
        run, attempt = headers["wakeful-run-id"], int(headers["wakeful-attempt"])
        due = (datetime.fromisoformat(headers["wakeful-scheduled-for"]) - EPOCH) // US
        serial = self._far.serial()
        self._far.write("came", serial, job, run, str(attempt), str(due))
        rule = next((rule for rule in self._far.rules if rule.applies(job, run, attempt)), None)
        self._open = (serial, rule.do if rule else "")
        self._behave(rule)

    def _behave(self, rule: Rule | None) -> None:
        later = asyncio.get_running_loop().call_later
        match rule and rule.do:
            case None:
                self._respond(200)
            case "fail":
                assert rule is not None
                self._respond(rule.status)
            case "drop":
                self._transport.abort()
            case "hang":
                pass
            case "slow":
                assert rule is not None
                self._later = later(rule.delay_s, self._respond, 200)
            case "drip":
                assert rule is not None
                self._drip(b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n", rule.delay_s)
            case other:
                raise ValueError(other)

    def _drip(self, rest: bytes, delay_s: float) -> None:
        self._transport.write(rest[:1])
        self._later = asyncio.get_running_loop().call_later(delay_s, self._drip, rest[1:] or b" ", delay_s)

    def _respond(self, status: int) -> None:
        if self._open is not None and status < 300:
            self._far.write("done", self._open[0], ANSWERING)
        self._transport.write(b"HTTP/1.1 %d -\r\ncontent-length: 0\r\n\r\n" % status)
        if self._open is not None:
            self._far.write("done", self._open[0], OK if status < 300 else f"fail {status}")
            self._open = None


class _FarSide:
    """The receiver's process: its rules and its ledger."""

    def __init__(self, ledger: str) -> None:
        self.rules: list[Rule] = []
        self._file = os.open(ledger, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        self._count = 0

    def serial(self) -> str:
        self._count += 1
        return f"{os.getpid()}-{self._count}"

    def write(self, kind: str, serial: str, *rest: str) -> None:
        """One line, handed to the kernel at once: killing this process takes nothing back."""
        line = "\t".join((kind, str(time.time_ns() // 1000), serial, *rest)) + "\n"
        os.write(self._file, line.encode())


async def _serve(port: str, ledger: str, told: str) -> None:
    far = _FarSide(ledger)
    server = await asyncio.get_running_loop().create_server(
        lambda: _Connection(far), "127.0.0.1", int(port), backlog=1024, reuse_address=True
    )
    Path(told).with_suffix(".new").write_text(str(server.sockets[0].getsockname()[1]))
    Path(told).with_suffix(".new").rename(told)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_serve(*sys.argv[1:]))

"""Nodes with the AITP face as real processes, and agents beside them."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import httpx2

from support.processes import BIN, PLAIN, WAKEFUL, alive, eventually, free_port, without_secrets


@dataclass
class Started:
    """A process with its output in a file."""

    process: "subprocess.Popen[bytes]"
    log: Path

    @property
    def said(self) -> str:
        return self.log.read_text(errors="replace")

    @property
    def pid(self) -> int:
        return self.process.pid

    def wait_said(self, text: str, deadline_s: float = 20.0) -> None:
        eventually(lambda: text in self.said, f"{text!r} in what was said:\n{self.said}", deadline_s)

    def kill(self) -> None:
        """SIGKILL, to it alone."""
        self.process.kill()
        self.process.wait(10)

    def end(self, number: signal.Signals = signal.SIGTERM, deadline_s: float = 15.0) -> int:
        """Sends a signal; the exit code."""
        self.process.send_signal(number)
        try:
            return self.process.wait(deadline_s)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"it did not end within {deadline_s:g} s:\n{self.said}") from None


@dataclass
class AitpNode(Started):
    """``uvicorn ains.api:app``, and a client of it."""

    url: str = ""
    port: int = 0
    client: httpx2.Client = field(init=False)

    def __post_init__(self) -> None:
        self.client = httpx2.Client(base_url=self.url, timeout=30, **PLAIN)

    def answers(self) -> bool:
        assert self.process.poll() is None, f"it ended with {self.process.returncode}:\n{self.said}"
        with suppress(httpx2.TransportError):
            return httpx2.get(f"{self.url}/health", timeout=5, **PLAIN).status_code == 200
        return False

    def wait_ready(self) -> "AitpNode":
        eventually(self.answers, "the node's API")
        return self

    def ask(self, method: str, path: str, **request: Any) -> Any:
        answer = self.client.request(method, path, **request)
        assert answer.is_success, (answer.status_code, answer.text)
        return answer.json()

    def make(self, capability: str = "report-v1", **more: Any) -> str:
        """The id of a new task."""
        task = {"client_id": "client-1", "task_type": "test", "capability_required": capability, "input_data": {"n": 1}}
        return str(self.ask("POST", "/aitp/tasks", json={**task, **more})["task_id"])

    def task(self, task_id: str) -> dict[str, Any]:
        return dict(self.ask("GET", f"/aitp/tasks/{task_id}"))

    def wait_status(self, task_id: str, status: str, deadline_s: float = 20.0) -> dict[str, Any]:
        """The task, once it has that status."""

        def there() -> dict[str, Any] | None:
            task = self.task(task_id)
            return task if task["status"] == status else None

        return eventually(there, f"{task_id} to be {status}", deadline_s) or {}


@dataclass
class Aitp:
    """Starts nodes and agents on one file, and ends what a test left."""

    home: Path
    started: list[Started] = field(default_factory=list)
    # Several threads may start processes: a log is one's own.
    _numbers: Iterator[int] = field(default_factory=count)

    @property
    def store(self) -> str:
        return f"sqlite:///{self.home / 'wakeful.db'}"

    def node(self, *flags: str, ready: bool = True, port: int | None = None) -> AitpNode:
        """``uvicorn ains.api:app`` on that port, or on a free one."""
        port = port or free_port()
        command = [str(BIN / "uvicorn"), "ains.api:app", "--port", str(port), "--no-access-log", *flags]
        process, log = self._start(command, {"WAKEFUL_STORE": self.store})
        node = AitpNode(process, log, f"http://127.0.0.1:{port}", port)
        self.started.append(node)
        return node.wait_ready() if ready else node

    def agent(self, url: str, *command: str, flags: Sequence[str] = (), **environment: str) -> Started:
        """``wakeful agent run … -- command``, of report-v1 unless the flags say otherwise."""
        ability = () if any(flag.startswith("--capability") for flag in flags) else ("--capability=report-v1",)
        return self.program([WAKEFUL, "agent", "run", f"--url={url}", *ability, *flags, "--", *command], **environment)

    def python(self, code: str, *arguments: str, **environment: str) -> Started:
        """A Python program."""
        file = self.home / f"program-{next(self._numbers)}.py"
        file.write_text(code)
        return self.program([sys.executable, str(file), *arguments], **environment)

    def program(self, command: Sequence[str], **environment: str) -> Started:
        started = Started(*self._start(command, environment))
        self.started.append(started)
        return started

    def _start(self, command: Sequence[str], environment: Mapping[str, str]) -> "tuple[subprocess.Popen[bytes], Path]":
        log = self.home / f"log-{next(self._numbers)}"
        with log.open("wb") as out:
            process = subprocess.Popen(
                command,
                cwd=self.home,
                env=without_secrets(self.home, **environment),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        return process, log

    def close(self) -> None:
        for one in self.started:
            if isinstance(one, AitpNode):
                one.client.close()
            with suppress(ProcessLookupError):
                os.killpg(one.pid, signal.SIGKILL)
            one.process.wait(10)


def gone(pid: int, deadline_s: float = 10.0) -> None:
    """Waits until no such process runs."""
    eventually(lambda: not alive(pid), f"process {pid} to end", deadline_s)


def seconds_of(work: Any) -> float:
    """How long it takes."""
    began = time.monotonic()
    work()
    return time.monotonic() - began

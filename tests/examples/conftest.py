"""What the tests of the samples share: a scripted HTTP server, a running wakeful, and waiting for a condition."""

import importlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import cycle
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx2
import pytest

from support.processes import BIN, WAKEFUL, eventually

EXAMPLES = Path(__file__).parents[2] / "examples"
SUPPORT = Path(__file__).parents[1] / "support"


# Below the range from which the system takes ports for outgoing connections, and each process of the tests elsewhere
# in it: between the choice of a port and its use nobody else may take it.
PORTS = cycle(range(18_000 + os.getpid() * 211 % 12_000, 32_000))


def free_port() -> int:
    for port in PORTS:
        with suppress(OSError), socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
            return port
    raise AssertionError("unreachable: the ports never end")


def children(pid: int) -> list[int]:
    """The processes that this one has started, where the system tells."""
    with suppress(OSError):
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return []


def listening(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A test that starts wakeful is slow."""
    for item in items:
        if Path(__file__).parent in item.path.parents and "start" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.slow)


@dataclass(frozen=True)
class Call:
    """One request as it came in."""

    at: datetime
    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def scheduled_for(self) -> datetime:
        return datetime.fromisoformat(self.headers["wakeful-scheduled-for"])


class ScriptedServer:
    """A real HTTP server. It gives the ``answers`` that a test wrote down, then ``default``, and keeps every call."""

    def __init__(self, default: tuple[int, str], port: int = 0) -> None:
        self.default = default
        self.answers: deque[tuple[int, str]] = deque()
        self.calls: list[Call] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", port), self._handler())
        self.port = int(self._server.server_address[1])
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def calls_of(self, path: str) -> list[Call]:
        return [call for call in list(self.calls) if call.path == path]

    def _answer(self, call: Call) -> tuple[int, str]:
        self.calls.append(call)
        return self.answers.popleft() if self.answers else self.default

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        scripted = self

        class Handler(BaseHTTPRequestHandler):
            def handle_any(self) -> None:
                now = datetime.now(UTC)
                body = self.rfile.read(int(self.headers.get("content-length") or 0))
                headers = {name.lower(): value for name, value in self.headers.items()}
                status, text = scripted._answer(Call(now, self.command, self.path, headers, body))
                self.send_response(status)
                self.end_headers()
                self.wfile.write(text.encode())

            do_GET = do_POST = do_DELETE = do_PUT = do_OPTIONS = handle_any  # noqa: N815

            def log_message(self, *_: object) -> None:
                """Silent."""

        return Handler


@pytest.fixture(scope="session")
def wait_for() -> Callable[..., Any]:
    return eventually


@pytest.fixture
def unused_port() -> int:
    return free_port()


@contextmanager
def scripted_servers() -> Iterator[Callable[..., ScriptedServer]]:
    """Starts scripted servers, and stops them at the end."""
    servers: list[ScriptedServer] = []

    def start(status: int, text: str = "", port: int = 0) -> ScriptedServer:
        servers.append(ScriptedServer((status, text), port))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


@pytest.fixture
def scripted() -> Iterator[Callable[..., ScriptedServer]]:
    with scripted_servers() as start:
        yield start


@pytest.fixture(scope="module")
def scripted_for_module() -> Iterator[Callable[..., ScriptedServer]]:
    with scripted_servers() as start:
        yield start


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., ModuleType]]:
    """Imports a sample as uvicorn would from its folder, under an environment of its own."""
    for name in ("APP_ID", "DAPR_HTTP_PORT", "TICK", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    # The samples make a client for each call: with all the roots of this machine, which none of them needs here, most
    # of the time would go there.
    monkeypatch.setenv("SSL_CERT_FILE", str(SUPPORT / "self_signed.pem"))

    def load(sample: str, **environment: str) -> ModuleType:
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        folder, _, module = sample.rpartition("/")
        monkeypatch.syspath_prepend(EXAMPLES / folder)
        return importlib.import_module(module)

    yield load
    for name, module in list(sys.modules.items()):
        if EXAMPLES in Path(getattr(module, "__file__", None) or "/").parents:
            del sys.modules[name]


@dataclass
class Wakeful:
    """One started ``wakeful run`` (with the sample it started) or ``wakeful serve``."""

    process: subprocess.Popen[bytes]
    log: Path
    app_port: int
    http_port: int
    store: str
    environment: dict[str, str]

    @property
    def app(self) -> httpx2.Client:
        return httpx2.Client(base_url=f"http://127.0.0.1:{self.app_port}", trust_env=False)

    @property
    def jobs(self) -> httpx2.Client:
        base_url = f"http://127.0.0.1:{self.http_port}/v1.0-alpha1/jobs/"
        return httpx2.Client(base_url=base_url, trust_env=False, timeout=10)

    def output(self) -> str:
        return self.log.read_text(errors="replace")

    def ready(self) -> bool:
        assert self.process.poll() is None, f"wakeful ended with {self.process.returncode}:\n{self.output()}"
        with suppress(httpx2.TransportError):
            return self.jobs.get("there-is-no-such-job").status_code == 404
        return False

    def wait_ready(self, *, app: bool) -> None:
        eventually(self.ready, "wakeful's API", 30)
        if app:
            eventually(lambda: listening(self.app_port), "the app's port", 30)

    def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        """Ends it. Should it not end, or leave its app behind, both are made to."""
        groups = [self.process.pid, *children(self.process.pid)]
        self.process.send_signal(how)
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(10)
        for group in groups:
            with suppress(ProcessLookupError):
                os.killpg(group, signal.SIGKILL)
        self.process.wait(10)


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Wakeful]]:
    """Starts ``wakeful run`` with a sample, or ``wakeful serve`` without one, on free ports and in a new home."""
    started: list[Wakeful] = []

    def start(app_id: str, sample: str | None = None, *, wait: bool = True, **given: Any) -> Wakeful:
        home = tmp_path_factory.mktemp(app_id)
        app_port = given.get("app_port") or free_port()
        http_port = free_port()
        store = given.get("store") or f"sqlite:///{home / 'wakeful.db'}"
        options = [f"--app-id={app_id}", f"--app-port={app_port}", f"--dapr-http-port={http_port}", f"--store={store}"]
        folder, _, module = (sample or "").rpartition("/")
        app = [sys.executable, "-m", "uvicorn", f"{module}:app", "--port", str(app_port)]
        command = [
            WAKEFUL,
            *(["run", *options, "--", *app] if sample else ["serve", "--port=0", "--dapr-grpc-port=0", *options]),
        ]
        # This environment's programs and nothing else: no Docker, no CLI of another system, no settings of somebody.
        environment = {"PATH": str(BIN), "HOME": str(home), "PYTHONUNBUFFERED": "1", **given.get("environment", {})}
        with (home / "output.log").open("wb") as log:
            process = subprocess.Popen(
                command, cwd=EXAMPLES / folder, env=environment, stdout=log, stderr=log, start_new_session=True
            )
        started.append(Wakeful(process, home / "output.log", app_port, http_port, store, environment))
        if wait:
            started[-1].wait_ready(app=sample is not None)
        return started[-1]

    yield start
    with ThreadPoolExecutor(8) as stopping:
        list(stopping.map(Wakeful.stop, started))

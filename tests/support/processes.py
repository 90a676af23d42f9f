"""Real processes for tests: wakeful, the apps beside it, and what they print."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, TypeVar

import httpx2

T = TypeVar("T")

BIN = Path(sys.executable).parent
WAKEFUL = str(BIN / "wakeful")
# A loaded machine starts a Python process slowly.
DEADLINE_S = 20.0
LOOK_EVERY_S = 0.01
# For HTTP clients: no proxy of the machine's, and no TLS, whose roots take longer to read than most calls.
PLAIN: Mapping[str, Any] = {"trust_env": False, "verify": False}


def eventually(condition: Callable[[], T], what: str, deadline_s: float = DEADLINE_S) -> T:
    """The first true value of the condition; fails when the deadline passes."""
    end = time.monotonic() + deadline_s
    while not (value := condition()):
        assert time.monotonic() < end, f"waited {deadline_s:g} s in vain for {what}"
        time.sleep(LOOK_EVERY_S)
    return value


def free_port() -> int:
    """A port that nobody listened on a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def alive(pid: int) -> bool:
    """Whether the process runs; one that only waits to be reaped does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def without_secrets(home: Path, **more: str) -> dict[str, str]:
    """An environment with nothing of the machine's user in it."""
    return {"PATH": f"{BIN}:/usr/bin:/bin", "HOME": str(home), "PYTHONUNBUFFERED": "1", "LANG": "C.UTF-8", **more}


def spawn(
    command: Sequence[str], home: Path, environment: Mapping[str, str] | None = None
) -> "subprocess.Popen[bytes]":
    """Starts a program in a new folder, which gets what it prints: the files ``stdout`` and ``stderr``."""
    home.mkdir()
    with (home / "stdout").open("wb") as out, (home / "stderr").open("wb") as err:
        return subprocess.Popen(
            command,
            cwd=home,
            env=without_secrets(home, **(environment or {})),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            start_new_session=True,
        )


@dataclass
class Call:
    """One callback as the app got it."""

    path: str
    headers: Mapping[str, str]
    body: bytes
    at: float
    method: str = "POST"

    @property
    def run_id(self) -> str:
        return self.headers["wakeful-run-id"]


class _Server(ThreadingHTTPServer):
    # Hundreds of callbacks may connect at once; the usual backlog of five would delay them by seconds.
    request_queue_size = 1024
    daemon_threads = True


class App:
    """An app in the test's own process: answers ``status``, and only while ``open`` is set.

    A GET is answered with one of its ``pages``, else with 404; what was ``asked`` for is no callback.
    """

    def __init__(self, port: int = 0) -> None:
        self.calls: list[Call] = []
        self.pages: dict[str, bytes] = {}
        self.asked: list[str] = []
        self.status = 200
        self.open = threading.Event()
        self.open.set()
        self._server = _Server(("127.0.0.1", port), self._handler())
        self.port = int(self._server.server_address[1])
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def close(self) -> None:
        self.open.set()
        self._server.shutdown()
        self._server.server_close()

    def calls_of(self, job: str) -> list[Call]:
        return [call for call in list(self.calls) if call.path == f"/job/{job}"]

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        app = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                app.asked.append(self.path)
                page = app.pages.get(self.path)
                with suppress(OSError):
                    self.send_response(404 if page is None else 200)
                    self.send_header("content-length", str(len(page or b"")))
                    self.end_headers()
                    self.wfile.write(page or b"")

            def do_PUT(self) -> None:
                self.do_POST()

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length") or 0))
                headers = {name.lower(): value for name, value in self.headers.items()}
                app.calls.append(Call(self.path, headers, body, time.monotonic(), self.command))
                app.open.wait(60)
                with suppress(OSError):
                    self.send_response(app.status)
                    self.send_header("content-length", "0")
                    self.end_headers()

            def log_message(self, *_: object) -> None:
                """Silent."""

        return Handler


@dataclass
class Wakeful:
    """A started ``wakeful``, its standard streams in files."""

    process: "subprocess.Popen[bytes]"
    home: Path
    http_port: int
    own_port: int
    app_port: int | None
    store: str
    began: float

    @property
    def out(self) -> str:
        return (self.home / "stdout").read_text(errors="replace")

    @property
    def err(self) -> str:
        return (self.home / "stderr").read_text(errors="replace")

    @property
    def pid(self) -> int:
        return self.process.pid

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.http_port}{path}"

    def put(self, name: str, **job: Any) -> None:
        """Schedules a job as an app does."""
        answer = httpx2.post(self.url(f"/v1.0-alpha1/jobs/{name}"), json=job, timeout=10, **PLAIN)
        assert answer.status_code == 204, answer.text

    def ready(self) -> bool:
        assert self.process.poll() is None, f"wakeful ended with {self.process.returncode}:\n{self.err}"
        with suppress(httpx2.TransportError):
            return httpx2.get(self.url("/v1.0/healthz"), timeout=5, **PLAIN).status_code == 204
        return False

    def wait_ready(self) -> "Wakeful":
        eventually(self.ready, "wakeful's API")
        return self

    def wait_out(self, text: str) -> None:
        eventually(lambda: text in self.out, f"{text!r} on stdout, where there is\n{self.out}\nand\n{self.err}")

    def end(self, number: signal.Signals = signal.SIGTERM, deadline_s: float = 10) -> int:
        """Sends a signal; the exit code."""
        self.process.send_signal(number)
        return self.exit_code(deadline_s)

    def exit_code(self, deadline_s: float = DEADLINE_S) -> int:
        """The exit code; killed and failed if it does not end in time."""
        try:
            return self.process.wait(deadline_s)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"wakeful did not end within {deadline_s:g} s:\n{self.out}\n{self.err}") from None

    def runs(self, name: str, *options: str) -> list[dict[str, Any]]:
        """What ``wakeful job runs`` shows, newest first."""
        done = cli("job", "runs", name, "--json", f"--store={self.store}", *options, home=self.home)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)  # type: ignore[no-any-return]


def cli(*arguments: str | bytes, home: Path, **environment: str) -> "subprocess.CompletedProcess[str]":
    """Runs a command of wakeful's to its end."""
    return subprocess.run(
        [WAKEFUL, *arguments],
        check=False,
        cwd=home,
        env=without_secrets(home, **environment),
        capture_output=True,
        text=True,
        errors="surrogateescape",
        timeout=30,
    )


@dataclass
class Processes:
    """Starts apps and nodes, and ends those that a test left."""

    home: Path
    nodes: list[Wakeful] = field(default_factory=list)
    apps: list[App] = field(default_factory=list)
    strays: list[int] = field(default_factory=list)

    def app(self, port: int = 0) -> App:
        self.apps.append(App(port))
        return self.apps[-1]

    def serve(self, app_id: str = "app", **options: Any) -> Wakeful:
        """``wakeful serve``; see ``start``."""
        return self.start("serve", app_id, (), **options)

    def run(self, *command: str, app_id: str = "app", **options: Any) -> Wakeful:
        """``wakeful run … -- command``; see ``start``."""
        return self.start("run", app_id, ("--", *command), **options)

    def start(
        self,
        verb: str,
        app_id: str,
        command: Sequence[str],
        *,
        app_port: int | None = None,
        http_port: int | None = None,
        own_port: int | None = None,
        store: str | None = None,
        flags: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
        program: Sequence[str] = (WAKEFUL,),
    ) -> Wakeful:
        """Starts a node on free ports; on the file ``wakeful.db`` of this test unless another store is given."""
        home = self.home / f"{app_id}-{len(self.nodes)}"
        http_port = http_port or free_port()
        own_port = own_port or free_port()
        store = store or f"sqlite:///{self.home / 'wakeful.db'}"
        options = [f"--app-id={app_id}", f"--dapr-http-port={http_port}", f"--port={own_port}", f"--store={store}"]
        options.append("--dapr-grpc-port=0")
        if app_port is not None:
            options.append(f"--app-port={app_port}")
        began = time.monotonic()
        process = spawn([*program, verb, *options, *flags, *command], home, environment)
        self.nodes.append(Wakeful(process, home, http_port, own_port, app_port, store, began))
        return self.nodes[-1]

    def close(self) -> None:
        for node in self.nodes:
            if node.process.poll() is None:
                node.process.kill()
            node.process.wait(10)
            self.strays.extend(_living_in(node.home))
        for pid in self.strays:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for app in self.apps:
            app.close()


def _living_in(home: Path) -> list[int]:
    """The processes that were started with this home, by whomever: what a test that failed left behind."""
    mark = f"HOME={home}".encode()
    found: list[int] = []
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if mark in (folder / "environ").read_bytes().split(b"\0"):
                found.append(int(folder.name))
    return found

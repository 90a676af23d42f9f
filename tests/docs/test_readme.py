"""The README's first success and its curl lines, typed as they stand."""

import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
README = (ROOT / "README.md").read_text()
CODE = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
CURLS = [line.split("     #")[0] for line in README.splitlines() if line.startswith("curl ") and ":3500/" in line]
(TASKS,) = [
    block
    for block in re.findall(r"```sh\n(.*?)```", README, re.DOTALL)
    if block.startswith("curl") and ":8000/" in block
]
TASK_CURLS = [re.split(r"  +#", f"curl {rest}")[0] for rest in TASKS.removeprefix("curl ").split("\ncurl ")]


def free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def curl(line: str, port: int) -> tuple[int, str]:
    """Does what curl would: method, URL and body of the line."""
    words = shlex.split(line)[1:]
    method = words[words.index("-X") + 1] if "-X" in words else "GET"
    body = words[words.index("-d") + 1].encode() if "-d" in words else None
    (url,) = [word.removeprefix("http://") for word in words if "localhost:" in word]
    request = urllib.request.Request(f"http://127.0.0.1:{port}/{url.partition('/')[2]}", body, method=method)
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def eventually(what: Callable[[], object], deadline_s: float) -> None:
    end = time.monotonic() + deadline_s
    while not what():
        assert time.monotonic() < end, "it did not come to be"
        time.sleep(0.02)


@pytest.fixture(scope="module")
def first_success(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, Path]]:
    """The README's app, started by the README's command; its ports are free ones, its log is a file."""
    folder = tmp_path_factory.mktemp("first")
    (folder / "main.py").write_text(CODE[0])
    (command,) = [line for line in README.splitlines() if line.startswith("wakeful run --app-id my-app")]
    app_port, http_port = free_ports(2)
    command = command.replace("8000", str(app_port)).replace("3500", str(http_port))
    environment = {"PATH": f"{BIN}:{os.environ['PATH']}", "XDG_STATE_HOME": str(folder), "HOME": str(folder)}
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(shlex.split(command), cwd=folder, env=environment, stdout=log, stderr=log)
    try:
        eventually(lambda: "Uvicorn running" in (folder / "log").read_text(), 30)
        yield http_port, folder / "log"
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(15)


def test_the_first_success_succeeds(first_success: tuple[int, Path]) -> None:
    port, log = first_success
    hello = CURLS[0].replace("@every 10s", "@every 200ms")
    assert curl(hello, port)[0] == 204
    eventually(lambda: log.read_text().count("hello {'message': 'Hello'}") == 3, 15)


@pytest.mark.parametrize("line", CURLS[1:])
def test_each_curl_line_is_answered_with_success(first_success: tuple[int, Path], line: str) -> None:
    status, text = curl(line, first_success[0])
    assert status in (200, 204), text


def test_the_sdk_example_is_called_back_three_times(tmp_path: Path) -> None:
    (tmp_path / "sdk_app.py").write_text(CODE[1].replace("@every 2s", "@every 300ms"))
    (command,) = [line for line in README.splitlines() if line.startswith("wakeful run --app-id sdk-app")]
    app_port, http_port = free_ports(2)
    command = command.replace("6001", f"{app_port} --dapr-http-port {http_port}")
    environment = {"PATH": f"{BIN}:{os.environ['PATH']}", "XDG_STATE_HOME": str(tmp_path), "HOME": str(tmp_path)}
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(shlex.split(command), cwd=tmp_path, env=environment, stdout=log, stderr=log)
    try:
        eventually(lambda: (tmp_path / "log").read_text().count("== APP == due:") == 3, 60)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(15)


def test_the_first_task_is_done_by_the_readmes_agent(tmp_path: Path) -> None:
    (serve,) = [line for line in README.splitlines() if line.startswith("wakeful serve --app-id tasks")]
    (agent,) = [line for line in README.splitlines() if line.startswith("wakeful agent run --capability report-v1")]
    port, http_port, grpc_port = (str(port) for port in free_ports(3))
    serve = f"{serve.split('#')[0]} --dapr-http-port {http_port} --dapr-grpc-port {grpc_port}"
    environment = {"PATH": f"{BIN}:{os.environ['PATH']}", "XDG_STATE_HOME": str(tmp_path), "HOME": str(tmp_path)}
    processes: list[subprocess.Popen[bytes]] = []
    with (tmp_path / "log").open("wb") as log:
        for command in (serve, agent):
            words = shlex.split(command.replace("8000", port))
            processes.append(subprocess.Popen(words, cwd=tmp_path, env=environment, stdout=log, stderr=log))
            said = "wakeful serves" if command is serve else "Agent "
            eventually(lambda said=said: said in (tmp_path / "log").read_text(), 30)
    try:
        made, scheduled = (curl(line, int(port)) for line in TASK_CURLS[:2])
        assert (made[0], scheduled[0]) == (200, 200), (made, scheduled)
        eventually(lambda: '"status":"COMPLETED"' in curl(TASK_CURLS[2], int(port))[1], 30)
        assert '"next_run_at":"' in curl(TASK_CURLS[3], int(port))[1]
    finally:
        for process in reversed(processes):
            process.send_signal(signal.SIGTERM)
            process.wait(15)


def test_the_readme_names_every_command() -> None:
    for command in ("run", "serve", "scheduler", "job list", "job show", "job runs", "job delete"):
        assert f"wakeful {command} " in README

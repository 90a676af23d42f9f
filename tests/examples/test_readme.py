"""The commands and curl lines of examples/README.md, taken word for word, and the sample hello."""

import argparse
import re
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import urlsplit

import pytest
from fastapi.testclient import TestClient

README = (Path(__file__).parents[2] / "examples" / "README.md").read_text()
LINE = re.compile(r"^## `(?P<folder>[\w-]+)/`|^(?P<run>wakeful run .*)|^(?P<curl>curl .*)", re.MULTILINE)


@dataclass(frozen=True)
class Curl:
    """A curl line with the sample and the ports of the command that stands above it."""

    line: str
    sample: str
    app_id: str
    app_port: int
    sidecar_port: int


def curls() -> list[Curl]:
    found, folder, run = [], "", argparse.Namespace()
    for match in LINE.finditer(README):
        if match["folder"]:
            folder = match["folder"]
        elif match["run"]:
            run = parse_run(match["run"])
        else:
            sample = f"{folder}/{run.app[1].partition(':')[0]}"
            found.append(Curl(match["curl"], sample, run.app_id, run.app_port, run.dapr_http_port))
    return found


def parse_run(line: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--app-id", required=True)
    parser.add_argument("--app-port", type=int, required=True)
    parser.add_argument("--dapr-http-port", type=int, required=True)
    parser.add_argument("app", nargs="+")
    run = parser.parse_args(shlex.split(line)[2:])
    assert run.app == ["uvicorn", run.app[1], "--port", str(run.app_port)], line
    return run


def parse_curl(line: str) -> tuple[str, str, str | None, dict[str, str]]:
    """Method, URL, body and headers, as curl would send them; an URL that curl would refuse is refused."""
    parser = argparse.ArgumentParser()
    parser.add_argument("-X", default=None)
    parser.add_argument("-d", default=None)
    parser.add_argument("-H", action="append", default=[])
    parser.add_argument("url")
    given = parser.parse_args(shlex.split(line)[1:])
    assert re.fullmatch(r"[!-~]+", given.url), f"curl takes no such URL: {given.url}"
    headers = dict(header.split(": ", 1) for header in given.H)
    if given.d is not None:
        headers.setdefault("content-type", "application/x-www-form-urlencoded")
    return given.X or ("GET" if given.d is None else "POST"), f"http://{given.url}", given.d, headers


@pytest.mark.parametrize("curl", curls(), ids=lambda curl: curl.line)
def test_every_curl_line_works_as_typed(curl: Curl, load: Callable[..., ModuleType], scripted: Any) -> None:
    """Against the sample itself; the sidecar is scripted."""
    sidecar = scripted(204)
    method, url, body, headers = parse_curl(curl.line)
    to = urlsplit(url)
    if to.port == curl.sidecar_port:
        assert method == "POST"
        assert re.fullmatch(r"/v1\.0-alpha1/jobs/\w+", to.path)
        return
    assert to.port == curl.app_port
    if method == "GET":
        sidecar.default = (200, "{}")
    app = load(curl.sample, APP_ID=curl.app_id, DAPR_HTTP_PORT=str(sidecar.port)).app
    answer = TestClient(app).request(method, f"{to.path}?{to.query}", content=body, headers=headers)
    assert answer.status_code == 200, answer.text


def test_s0_26_the_three_management_endpoints_are_shown_with_curl() -> None:
    of_the_lab = [parse_curl(curl.line)[:2] for curl in curls() if curl.sample == "task-executor/main"]
    assert {(method, urlsplit(url).path.rpartition("/")[0] or url) for method, url in of_the_lab} == {
        ("POST", "/programmatic"),
        ("GET", "/programmatic/task-status"),
        ("DELETE", "/programmatic/delete-task"),
    }


def test_every_sample_is_in_the_readme() -> None:
    samples = {f"{path.parent.name}/{path.stem}" for path in (Path(__file__).parents[2] / "examples").rglob("*.py")}
    assert samples - {"agents/sidecar"} == {curl.sample for curl in curls()}


def test_hello_prints_a_job_with_its_run_and_its_lateness(
    load: Callable[..., ModuleType], capsys: pytest.CaptureFixture[str]
) -> None:
    due = datetime.now(UTC) - timedelta(seconds=2)
    headers = {"wakeful-run-id": "r-1", "wakeful-scheduled-for": due.isoformat()}
    answer = TestClient(load("hello/main").app).post("/job/tick", json={"n": 1}, headers=headers)
    assert answer.status_code == 200
    assert re.fullmatch(r'tick \{"n":1\} run=r-1 late=2\d\d\d\.\dms\n', capsys.readouterr().out)


def test_hello_asks_for_a_job_of_its_own_where_it_is_told_to(load: Callable[..., ModuleType], scripted: Any) -> None:
    sidecar = scripted(204)
    with TestClient(load("hello/main", DAPR_HTTP_PORT=str(sidecar.port), TICK="@every 2s").app):
        (call,) = sidecar.calls
    assert (call.method, call.path) == ("POST", "/v1.0-alpha1/jobs/tick")
    assert call.json == {"schedule": "@every 2s", "data": "hello"}


def test_hello_asks_for_nothing_otherwise(load: Callable[..., ModuleType], scripted: Any) -> None:
    sidecar = scripted(204)
    with TestClient(load("hello/main", DAPR_HTTP_PORT=str(sidecar.port)).app):
        assert sidecar.calls == []


def test_hello_as_make_run_starts_it(start: Callable[..., Any], wait_for: Any) -> None:
    wakeful = start("hello-tick", "hello/main", environment={"TICK": "@every 200ms"})
    wait_for(lambda: wakeful.output().count('tick "hello" run=') >= 3, "three ticks")
    assert wakeful.jobs.get("tick").json()["status"]["failed"] == 0


def test_hello_as_the_readme_starts_it(start: Callable[..., Any], wait_for: Any) -> None:
    wakeful = start("hello", "hello/main")
    wakeful.jobs.post("tick", json={"schedule": "@every 200ms", "repeats": 2, "data": {"n": 1}}).raise_for_status()
    line = re.compile(r"tick (.*) run=(\S+) late=(\S+)ms")
    printed = wait_for(lambda: (lines := line.findall(wakeful.output()))[1:] and lines, "two lines")
    assert [data for data, _, _ in printed] == ['{"n":1}'] * 2
    assert len({run for _, run, _ in printed}) == 2
    assert all(0 <= float(late) < 5000 for _, _, late in printed)

"""``wakeful import cron-binding``: C0.3, components of Dapr's become jobs of their app."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cli.conftest import Result

pytestmark = pytest.mark.slow

Wakeful = Callable[..., Result]

DAILY = """\
apiVersion: dapr.io/v1alpha1
kind: Component
metadata:
  name: daily-cron
spec:
  type: bindings.cron
  version: v1
  metadata:
  - name: schedule
    value: "0 */1 * * * *"
  - name: direction
    value: "input"
"""


@pytest.fixture
def put(wakeful: Wakeful, tmp_path: Path) -> Callable[..., Result]:
    """Imports a text for the app ``a``."""

    def imported(text: str | bytes, *flags: str) -> Result:
        path = tmp_path / "components.yaml"
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return wakeful("import", "cron-binding", str(path), "--app-id=a", *flags)

    return imported


def component(name: str = "tick", schedule: str = "@every 15m", more: str = "", head: str = "") -> str:
    return f"""\
apiVersion: dapr.io/v1alpha1
kind: Component
{head}
metadata: {{name: {name}}}
spec:
  type: bindings.cron
  metadata:
  - {{name: schedule, value: "{schedule}"}}
{more}
"""


def names(wakeful: Wakeful) -> list[str]:
    return [job["name"] for job in wakeful("job", "list", "--json").json]


def test_c0_3_a_binding_becomes_a_job_of_daprs_that_calls_the_same_path(wakeful: Wakeful, put: Any) -> None:
    told = put(DAILY)
    assert told.code == 0
    assert "POST /daily-cron" in told.out
    assert "OnBindingEvent" in told.out
    assert "its times are UTC" in told.out
    job = wakeful("job", "show", "daily-cron", "--json").json
    assert job["owner"] == "app/a"
    assert job["target"] == {"kind": "app", "address": "daily-cron", "queue": "app/default/a"}
    assert (job["schedule"], job["syntax"]) == ("0 */1 * * * *", "dapr")
    assert (job["overlap"], job["catchup"], job["retry"]["max_retries"]) == ("queue_all", "all", 3)
    assert job["retry"]["counted_from"] == "due"
    assert job["next_run_at"] == "2026-03-02T13:01:00Z"


def test_several_documents_and_what_is_none_of_them(wakeful: Wakeful, put: Any) -> None:
    store = "apiVersion: dapr.io/v1alpha1\nkind: Component\nmetadata: {name: s}\nspec: {type: state.redis}\n"
    output = component("out", more="  - {name: direction, value: output}")
    told = put("---\n".join([DAILY, store, "", component(), "kind: Subscription\n", output]))
    assert told.code == 0
    assert "left alone: the component of line 14 is no cron binding: Component state.redis" in told.out
    assert "is no input" in told.out
    assert names(wakeful) == ["daily-cron", "tick"]


@pytest.mark.parametrize(
    ("written", "stored", "due"),
    [
        ("30 9 * * 1", "0 30 9 * * 1", "2026-03-09T09:30:00Z"),
        ("15 30 9 * * 1", "15 30 9 * * 1", "2026-03-09T09:30:15Z"),
        ("CRON_TZ=America/New_York 0 30 04 * * *", "CRON_TZ=America/New_York 0 30 04 * * *", "2026-03-03T09:30:00Z"),
        ("TZ=Asia/Tokyo   30 4 * * *", "TZ=Asia/Tokyo 0 30 4 * * *", "2026-03-02T19:30:00Z"),
        ("@every 90s", "@every 90s", "2026-03-02T13:01:30Z"),
        ("CRON_TZ=Asia/Tokyo @every 90s", "@every 90s", "2026-03-02T13:01:30Z"),
        ("@daily", "@daily", "2026-03-03T00:00:00Z"),
    ],
)
def test_the_schedule_means_what_it_meant_to_dapr(
    wakeful: Wakeful, put: Any, written: str, stored: str, due: str
) -> None:
    assert put(component(schedule=written)).code == 0
    job = wakeful("job", "show", "tick", "--json").json
    assert (job["schedule"], job["next_run_at"]) == (stored, due)


@pytest.mark.parametrize(
    ("written", "stored"),
    [
        ("30 9 * * *", "CRON_TZ=Europe/Rome 0 30 9 * * *"),
        ("@daily", "CRON_TZ=Europe/Rome @daily"),
        ("CRON_TZ=Asia/Tokyo 0 30 9 * * *", "CRON_TZ=Asia/Tokyo 0 30 9 * * *"),
        ("@every 1h", "@every 1h"),
    ],
)
def test_the_zone_of_the_sidecars_machine_is_that_of_schedules_without_one(
    wakeful: Wakeful, put: Any, written: str, stored: str
) -> None:
    told = put(component(schedule=written), "--zone=Europe/Rome")
    assert (told.code, "its times are UTC" in told.out) == (0, False)
    assert wakeful("job", "show", "tick", "--json").json["schedule"] == stored


@pytest.mark.parametrize("route", ["/jobs/daily", "jobs/daily"])
def test_a_route_is_the_path(wakeful: Wakeful, put: Any, route: str) -> None:
    told = put(component(more=f"  - {{name: route, value: {route}}}\n  - {{name: route, value: second}}"))
    assert "POST /jobs/daily" in told.out
    assert wakeful("job", "show", "tick", "--json").json["target"]["address"] == "jobs/daily"


def test_names_of_metadata_are_read_as_dapr_reads_them(wakeful: Wakeful, put: Any) -> None:
    text = component(more="  - {name: DIRECTION, value: 'Output, Input'}\n  - {name: other, value: x}")
    told = put(text.replace("name: schedule", "name: Schedule").replace("bindings.cron", "Bindings.Cron"))
    assert (told.code, names(wakeful)) == (0, ["tick"])
    assert "other is not taken over" in told.out
    assert "asked the app first" not in told.out


@pytest.mark.parametrize(("scopes", "taken"), [("[]", ["tick"]), ("[a, b]", ["tick"]), ("[b]", [])])
def test_scopes_say_whose_it_is(wakeful: Wakeful, put: Any, scopes: str, taken: list[str]) -> None:
    assert put(component(head=f"scopes: {scopes}")).code == 0
    assert names(wakeful) == taken


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (component(schedule="61 * * * * *"), ["line 1", "tick", "61"]),
        (component(schedule="0 0 30 2 *"), ["tick", "never"]),
        (component(schedule="@every 1x"), ["tick", "@every 1x"]),
        (component(schedule="CRON_TZ=Mars/Base 0 * * * *"), ["tick", "Mars/Base"]),
        (component(more="  - {name: route, value: /}"), ["tick", "target.method"]),
        (component(more="  - {name: route, value: a/../b}"), ["tick", "target.method"]),
        (component(more="  - {name: route, value: 7}"), ["the value of route", "quotes"]),
        (component("a/b"), ["a/b"]),
        (component("yes"), ["metadata.name", "quotes"]),
        (component() + "---\n" + component(), ["line 11", "line 1", "'tick'"]),
        (component().replace("v1alpha1", "v9"), ["apiVersion", "v9"]),
        (component().replace("{name: schedule, value", "{name: x, value"), ["no schedule"]),
        (component().replace('value: "@every 15m"', "secretKeyRef: {name: x}"), ["reference to a secret"]),
        (component(head="scopes: a"), ["scopes must be a list"]),
        (component().replace("metadata: {name: tick}", "metadata: tick"), ["metadata must be an object"]),
        ("kind: Component\nspec: {type: bindings.cron, metadata: !!python/name:os.system x}\n", ["line 2"]),
    ],
)
def test_what_is_bad_is_named_with_its_line_and_nothing_is_written(
    wakeful: Wakeful, put: Any, text: str, words: list[str]
) -> None:
    refused = put(text + "---\n" + component("fine"))
    assert refused.code == 2
    assert "can't be taken over: " in refused.err
    assert all(word in refused.err for word in words), refused.err
    assert "--skip-bad" in refused.err
    assert names(wakeful) == []


def test_what_is_bad_can_be_left_out(wakeful: Wakeful, put: Any) -> None:
    told = put(component("bad", "61 * * * * *") + "---\n" + component(), "--skip-bad")
    assert (told.code, names(wakeful)) == (0, ["tick"])
    assert "bad" in told.err


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: [1\nb: 2\n", "line 2"),
        ("a: @x", "line 1"),
        (b"\xff\xfe", "line 1 is no UTF-8"),
        ("[" * 100_000, "too deeply"),
        ("x" * 300_000, "longer than 262144 bytes"),
        ("---\na: 1\n" * 1_001, "more than 1000 documents"),
    ],
)
def test_a_file_that_can_not_be_read_is_refused(put: Any, text: str | bytes, words: str) -> None:
    refused = put(text)
    assert refused.code == 2
    assert words in refused.err


def test_a_file_that_is_not_there_is_refused(wakeful: Wakeful) -> None:
    refused = wakeful("import", "cron-binding", "/nowhere.yaml", "--app-id=a")
    assert (refused.code, "/nowhere.yaml" in refused.err) == (2, True)


@pytest.mark.parametrize("flags", [("--app-id=",), ("--app-id=a/b",), ("--app-id=a", "--zone=Mars/Base")])
def test_whose_and_which_zone_must_be_right(wakeful: Wakeful, tmp_path: Path, flags: tuple[str, ...]) -> None:
    (tmp_path / "c.yaml").write_text(DAILY)
    refused = wakeful("import", "cron-binding", str(tmp_path / "c.yaml"), *flags)
    assert (refused.code, flags[-1].partition("=")[0] in refused.err) == (2, True)


def test_a_dry_run_tells_and_writes_nothing(wakeful: Wakeful, put: Any) -> None:
    told = put(DAILY, "--dry-run")
    assert "would store 1 jobs" in told.out
    assert names(wakeful) == []


def test_the_same_again_changes_nothing_and_something_else_needs_a_word(wakeful: Wakeful, put: Any) -> None:
    put(component())
    first = wakeful("job", "show", "tick", "--json").json
    again = put(component())
    assert (again.code, "stored 0 jobs; 1 are there" in again.out) == (0, True)
    assert wakeful("job", "show", "tick", "--json").json == first
    refused = put(component(schedule="@every 1h") + "---\n" + component("new"))
    assert (refused.code, "tick" in refused.err, "--replace" in refused.err) == (4, True, True)
    assert names(wakeful) == ["tick"]
    assert put(component(schedule="@every 1h") + "---\n" + component("new"), "--replace").code == 0
    assert names(wakeful) == ["new", "tick"]
    assert wakeful("job", "show", "tick", "--json").json["schedule"] == "@every 1h"


def test_the_namespace_is_the_one_that_was_said(wakeful: Wakeful, put: Any) -> None:
    told = put(DAILY.replace("name: daily-cron", "name: daily-cron\n  namespace: prod"), "--namespace=n")
    assert "Kubernetes" in told.out
    job = wakeful("job", "show", "daily-cron", "--json", "--namespace=n").json
    assert job["target"]["queue"] == "app/n/a"

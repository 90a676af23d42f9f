"""What the samples rely on in wakeful: the documents' rows about the Jobs API, seen from an app that a test plays."""

import signal
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest


@pytest.fixture(scope="module")
def app(scripted_for_module: Callable[..., Any]) -> Any:
    """The app of ``app-a``: answers 200 unless a test says otherwise."""
    return scripted_for_module(200)


@pytest.fixture(scope="module")
def wakeful(start: Callable[..., Any], app: Any) -> Any:
    """The one sidecar that most of these tests use."""
    return start("app-a", app_port=app.port)


@pytest.fixture
def post(wakeful: Any) -> Iterator[Callable[..., Any]]:
    """Makes jobs, and deletes them after the test."""
    names: list[str] = []

    def post(name: str, **job: Any) -> Any:
        names.append(name)
        return wakeful.jobs.post(name, json=job).raise_for_status()

    yield post
    for name in names:
        wakeful.jobs.delete(name)


def test_s0_29_jobs_are_created_read_and_deleted_under_the_alpha_prefix(wakeful: Any) -> None:
    jobs = wakeful.jobs
    assert jobs.base_url.path == "/v1.0-alpha1/jobs/"
    assert jobs.post("x", json={"schedule": "@every 1h"}).status_code == 204
    assert jobs.get("x").json()["schedule"] == "@every 1h"
    assert jobs.delete("x").status_code == 204
    answer = jobs.get("x")
    assert answer.status_code == 404
    assert answer.json()["errorCode"] == "DAPR_SCHEDULER_GET_JOB"
    assert jobs.delete("x").status_code == 204


def test_s0_30_a_second_post_of_a_name_replaces_the_job(wakeful: Any, app: Any, post: Any, wait_for: Any) -> None:
    post("replaced", schedule="@every 1h", data="first", repeats=9)
    post("replaced", schedule="@every 100ms", data="second", repeats=2)
    wait_for(lambda: wakeful.jobs.get("replaced").status_code == 404, "its end")
    assert [call.json for call in app.calls_of("/job/replaced")] == ["second", "second"]


def test_s0_31_s0_32_one_started_process_keeps_and_triggers(wakeful: Any, app: Any, post: Any, wait_for: Any) -> None:
    """``wakeful serve`` is the whole installation: there is no scheduler to start beside it."""
    post("kept", schedule="@every 300ms")
    status = wakeful.jobs.get("kept").json()["status"]
    assert status["last_run"] is None
    next_run_at = datetime.fromisoformat(status["next_run_at"])
    call = wait_for(lambda: app.calls_of("/job/kept"), "the call")[0]
    assert call.scheduled_for == next_run_at


def test_s0_33_a_due_job_is_invoked_until_it_succeeds_and_never_early(app: Any, post: Any, wait_for: Any) -> None:
    app.answers.append((500, "not yet"))
    asked_at = datetime.now(UTC)
    post("again", dueTime="200ms")
    first, second = wait_for(lambda: (calls := app.calls_of("/job/again"))[1:] and calls, "a second attempt")
    assert first.at >= first.scheduled_for >= asked_at + timedelta(milliseconds=200)
    assert first.headers["wakeful-run-id"] == second.headers["wakeful-run-id"]
    assert [call.headers["wakeful-attempt"] for call in (first, second)] == ["1", "2"]
    assert second.at - first.scheduled_for >= timedelta(seconds=1)


def test_s0_34_jobs_survive_the_schedulers_sudden_end(scripted: Any, start: Any, wait_for: Any) -> None:
    app = scripted(200)
    killed = start("survivor", app_port=app.port)
    asked_at = datetime.now(UTC)
    killed.jobs.post("kept", json={"schedule": "@every 1s", "repeats": 2, "data": {"n": 1}}).raise_for_status()
    killed.stop(signal.SIGKILL)
    again = start("survivor", app_port=app.port, store=killed.store)
    wait_for(lambda: again.jobs.get("kept").status_code == 404, "the end of its two repeats")
    calls = app.calls_of("/job/kept")
    assert [call.json for call in calls] == [{"n": 1}] * 2
    # The schedule is still counted from the first process' answer.
    assert calls[0].scheduled_for - asked_at < timedelta(seconds=1.5)
    assert calls[1].scheduled_for - calls[0].scheduled_for == timedelta(seconds=1)


def test_s0_35_s0_37_s0_54_one_apps_job_invokes_another_apps_method(
    wakeful: Any, app: Any, post: Any, scripted: Any, start: Any, wait_for: Any
) -> None:
    """By HTTP. The other app has a sidecar of its own on the same store, and is not even there at first."""
    target = {"appId": "app-b", "method": "reports/weekly"}
    post("for-b", dueTime="0s", data={"n": 1}, target=target)
    assert wakeful.jobs.get("for-b").json()["target"] == target
    other = scripted(200)
    start("app-b", app_port=other.port, store=wakeful.store)
    call = wait_for(lambda: other.calls_of("/reports/weekly"), "the call")[0]
    assert (call.method, call.json) == ("POST", {"n": 1})
    wait_for(lambda: wakeful.jobs.get("for-b").status_code == 404, "its end")
    assert len(other.calls_of("/reports/weekly")) == 1
    assert app.calls_of("/job/for-b") == other.calls_of("/job/for-b") == []


@pytest.mark.parametrize("cron", ["* * * * * *", "TZ=Asia/Karachi * * * * * *"])
def test_s0_38_cron_with_seconds(app: Any, post: Any, wait_for: Any, cron: str) -> None:
    name = f"cron-{len(cron)}"
    post(name, schedule=cron)
    calls = wait_for(lambda: (calls := app.calls_of(f"/job/{name}"))[1:] and calls, "two calls")
    assert calls[0].scheduled_for.microsecond == 0
    assert calls[1].scheduled_for - calls[0].scheduled_for == timedelta(seconds=1)


@pytest.mark.parametrize("cron", ["* * * * *", "0 * * * * *"])
def test_s0_38_five_fields_are_crontab_and_six_begin_with_seconds(wakeful: Any, post: Any, cron: str) -> None:
    post("minutely", schedule=cron)
    job = wakeful.jobs.get("minutely").json()
    next_run_at = datetime.fromisoformat(job["status"]["next_run_at"])
    assert job["schedule"] == cron
    assert (next_run_at.second, next_run_at.microsecond) == (0, 0)
    assert timedelta(0) < next_run_at - datetime.now(UTC) + timedelta(seconds=5) < timedelta(seconds=66)


def test_s0_39_every_duration(app: Any, post: Any, wait_for: Any) -> None:
    post("every", schedule="@every 150ms", repeats=4)
    calls = wait_for(lambda: (calls := app.calls_of("/job/every"))[3:] and calls, "four calls")
    gaps = {later.scheduled_for - earlier.scheduled_for for earlier, later in pairwise(calls)}
    assert gaps == {timedelta(milliseconds=150)}


def test_s0_40_an_instant_with_one_repeat_is_a_one_time_job(wakeful: Any, app: Any, post: Any, wait_for: Any) -> None:
    due = (datetime.now(UTC) + timedelta(seconds=2)).replace(microsecond=0)
    instant = due.strftime("%Y-%m-%dT%H:%M:%SZ")
    post("once", schedule=instant, repeats=1)
    job = wakeful.jobs.get("once").json()
    assert (job["schedule"], job["dueTime"]) == (instant, instant)
    wait_for(lambda: wakeful.jobs.get("once").status_code == 404, "its end")
    (call,) = app.calls_of("/job/once")
    assert call.scheduled_for == due <= call.at


def test_s0_41_the_specification_has_schedule_target_data_and_repeats(wakeful: Any, app: Any, post: Any) -> None:
    specification = {
        "schedule": "@every 1h",
        "target": {"appId": "app-a", "method": "m"},
        "data": {"n": 1},
        "repeats": 3,
    }
    post("specified", **specification)
    job = wakeful.jobs.get("specified").json()
    assert job["data"]["value"] == {"n": 1}
    assert {name: job[name] for name in ("schedule", "target", "repeats")} == {
        name: specification[name] for name in ("schedule", "target", "repeats")
    }
    assert job["status"]["remaining"] == 3


def test_s0_42_s0_61_what_is_due_while_the_target_is_down_is_delivered_once_it_is_back(
    scripted: Any, start: Any, unused_port: int, wait_for: Any
) -> None:
    wakeful = start("down", app_port=unused_port)
    assert wakeful.jobs.post("other", json={"schedule": "@every 1h"}).status_code == 204
    assert wakeful.jobs.delete("other").status_code == 204
    wakeful.jobs.post("late", json={"dueTime": "100ms", "data": 1}).raise_for_status()
    due = datetime.fromisoformat(wakeful.jobs.get("late").json()["status"]["next_run_at"])
    wait_for(lambda: datetime.now(UTC) > due + timedelta(milliseconds=300), "the instant to pass")
    assert wakeful.jobs.get("late").json()["status"]["last_run"] is None
    app = scripted(200, port=unused_port)
    call = wait_for(lambda: app.calls_of("/job/late"), "the call")[0]
    # Waiting cost none of the attempts.
    assert (call.scheduled_for, call.headers["wakeful-attempt"]) == (due, "1")


def test_s0_43_s1_61_s1_62_the_callback_is_post_job_name(app: Any, post: Any, wait_for: Any) -> None:
    """And never ``/jobs/<name>``, as one document's prose has it."""
    post("a Name", dueTime="0s", data={"n": 1})
    call = wait_for(lambda: [call for call in list(app.calls) if "Name" in call.path], "the call")[0]
    assert (call.method, call.path) == ("POST", "/job/a%20Name")
    assert (call.json, call.headers["content-type"]) == ({"n": 1}, "application/json")


def test_s1_61_put_with_the_app_id_in_the_path_is_understood_too(wakeful: Any) -> None:
    url = f"http://127.0.0.1:{wakeful.http_port}/v1.0/jobs/app-a/by-put"
    assert wakeful.app.put(url, json={"schedule": "@every 1h"}).is_success
    assert wakeful.jobs.get("by-put").json()["schedule"] == "@every 1h"
    wakeful.jobs.delete("by-put")


def test_s0_44_a_malformed_request_is_400_with_its_reason(wakeful: Any) -> None:
    """And no answer at all when nobody listens; the samples' tests have that side."""
    answer = wakeful.jobs.post("x", content=b"{")
    assert answer.status_code == 400
    assert answer.json()["errorCode"] == "ERR_MALFORMED_REQUEST"


def test_s0_45_the_name_is_the_key(wakeful: Any, app: Any, post: Any, wait_for: Any) -> None:
    """Asking ten times makes one job; another name makes another."""
    for _ in range(10):
        post("asked-often", dueTime="500ms")
    post("asked-once", dueTime="500ms")
    for name in ("asked-often", "asked-once"):
        wait_for(lambda name=name: wakeful.jobs.get(name).status_code == 404, "its end")
        assert len(app.calls_of(f"/job/{name}")) == 1


def test_s0_46_a_job_runs_although_its_creator_has_gone(scripted: Any, start: Any, wakeful: Any, wait_for: Any) -> None:
    creator = start("creator", app_port=scripted(200).port, store=wakeful.store)
    target = {"appId": "heir", "method": "inherit"}
    creator.jobs.post("legacy", json={"dueTime": "100ms", "target": target}).raise_for_status()
    creator.stop()
    heir = scripted(200)
    start("heir", app_port=heir.port, store=wakeful.store)
    wait_for(lambda: heir.calls_of("/inherit"), "the call")
    assert creator.process.poll() is not None

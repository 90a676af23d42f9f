"""``wakeful scheduler list|get|delete|delete-all|export|import``, and the options of the server."""

import asyncio
import json
import os
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from support.stores import NOON, finish
from wakeful.clock import SystemClock
from wakeful.core.job import (
    Calendar,
    Catchup,
    Data,
    Job,
    JobKey,
    JobRecord,
    JobState,
    Overlap,
    RetryPolicy,
    TargetSpec,
    actor_queue,
    app_queue,
)
from wakeful.core.ports import JobQuery, Put, Room, StateChange
from wakeful.core.run import Succeeded
from wakeful.core.schedule import ScheduleText, parse_schedule
from wakeful.scheduler import KnownCalendar, Scheduler
from wakeful.stores.sqlite import SqliteStore
from wakeful.zones import load_zone

pytestmark = pytest.mark.slow

Run = Callable[..., Any]


def app_job(name: str, app_id: str = "a", namespace: str = "default", now: datetime = NOON, **text: Any) -> Job:
    schedule = parse_schedule(ScheduleText(**(text or {"schedule": "@every 1h"})), "dapr", now, load_zone)
    key = JobKey(namespace, f"app/{app_id}", name)
    return Job(key, schedule, TargetSpec("app", f"job/{name}"), app_queue(namespace, app_id), catchup=Catchup.ALL)


def reminder(name: str, owner: str = "T/1") -> Job:
    job = app_job(name)
    target = TargetSpec("actor", owner, {"app_id": "a"})
    queue = actor_queue("default", owner.partition("/")[0])
    return replace(job, key=JobKey("default", f"actor/{owner}", name), target=target, queue=queue)


@pytest.fixture
def some(fill: Callable[..., None]) -> None:
    fill(
        app_job("b", due_time="2026-03-02T15:00:00Z"),
        app_job("a", schedule="@every 1h", ttl="24h", repeats=5),
        app_job("other", "z", "elsewhere"),
        reminder("ring"),
        reminder("start", "dapr.internal.default.a.workflow/i1"),
        reminder("run-activity", "dapr.internal.default.a.activity/i1::0"),
        replace(app_job("mine"), key=JobKey("default", "client/c", "mine")),
    )


def test_jobs_are_listed_in_the_columns_of_dapr(wakeful: Run, some: None) -> None:
    lines = wakeful("scheduler", "list").out.splitlines()
    assert lines[0].split() == ["NAME", "BEGIN", "COUNT", "LAST", "TRIGGER"]
    assert [line.split() for line in lines[1:]] == [
        ["activity/a/i1::0", "-1h", "0"],
        ["actor/T/1/ring", "-1h", "0"],
        ["app/a/a", "-1h", "0"],
        ["workflow/a/i1/start", "-1h", "0"],
        ["app/a/b", "+2h", "0"],
    ]


@pytest.mark.parametrize(
    ("only", "names"),
    [("app", ["app/a/a", "app/a/b"]), ("workflow", ["workflow/a/i1/start"]), ("actor", ["actor/T/1/ring"])],
)
def test_a_filter_leaves_the_rest_out(wakeful: Run, some: None, only: str, names: list[str]) -> None:
    shown = wakeful("scheduler", "list", "--filter", only, "-o", "json").json
    assert [job["name"] for job in shown] == names


def test_the_other_forms_have_everything(wakeful: Run, some: None) -> None:
    (job,) = wakeful("scheduler", "get", "app/a/a", "-o", "json").json
    assert job == {
        "namespace": "default",
        "name": "app/a/a",
        "begin": "2026-03-02T12:00:00Z",
        "expiration": "2026-03-03T12:00:00Z",
        "schedule": "@every 1h",
        "dueTime": None,
        "ttl": "24h",
        "repeats": 5,
        "count": 0,
    }
    wide = wakeful("scheduler", "get", "app/a/a", "app/a/b", "-o=wide").out.splitlines()
    assert "EXPIRATION" in wide[0]
    assert len(wide) == 3
    assert wakeful("scheduler", "get", "app/a/b", "-o", "yaml").out.splitlines() == [
        '- namespace: "default"',
        '  name: "app/a/b"',
        '  begin: "2026-03-02T15:00:00Z"',
        '  dueTime: "2026-03-02T15:00:00Z"',
    ]


def test_where_there_is_nothing_that_is_said(wakeful: Run) -> None:
    result = wakeful("scheduler", "list", "-n", "none")
    assert (result.code, result.out, result.err) == (0, "", '❌  No jobs found in namespace "none"\n')


@pytest.mark.parametrize(("command", "text"), [("get", "job 'app/a/x' not found"), ("delete", "no job with key")])
def test_a_job_that_is_not_there_is_told(wakeful: Run, some: None, command: str, text: str) -> None:
    result = wakeful("scheduler", command, "app/a/x")
    assert result.code == 3
    assert text in result.err


def test_jobs_are_deleted_by_their_keys(wakeful: Run, some: None) -> None:
    out = wakeful("scheduler", "delete", "app/a/a", "workflow/a/i1/start").out
    assert out.splitlines() == [
        "ℹ️  Deleted app/a/a in namespace 'default'.",
        "ℹ️  Deleted workflow/a/i1/start in namespace 'default'.",
    ]
    assert "app/a/a" not in wakeful("scheduler", "list").out


def test_all_of_a_kind_are_deleted(wakeful: Run, some: None) -> None:
    assert wakeful("scheduler", "delete-all", "workflow/a").out.splitlines() == [
        "ℹ️  Deleted job 'workflow/a/i1/start'.",
        "ℹ️  Deleted job 'activity/a/i1::0'.",
        "ℹ️  Deleted 2 jobs in namespace 'default'.",
    ]
    assert "Deleted 3 jobs" in wakeful("scheduler", "delete-all", "all").out
    assert len(wakeful("scheduler", "list", "-n", "elsewhere", "-o", "json").json) == 1
    assert "mine" in wakeful("job", "list").out


# ── export and import ──


def jobs_in(path: Path) -> list[JobRecord]:
    async def read() -> list[JobRecord]:
        store = SqliteStore(path, load_zone, os.urandom)
        try:
            return list((await store.list_jobs(JobQuery())).items)
        finally:
            await store.close()

    return asyncio.run(read())


def everything() -> Job:
    """A job that says something in every field."""
    text = ScheduleText("30 9 * * *", repeats=7, zone="Europe/Berlin", dst="skip", until_at="2027-01-01T00:00:00Z")
    return Job(
        JobKey("default", "app/a", "every||thing"),
        parse_schedule(text, "crontab", NOON, load_zone),
        TargetSpec("app", "job/x", {"method": "m", "concurrency_key": "k"}),
        "app/default/a",
        Data("x/bytes", bytes(range(256))),
        RetryPolicy(5, timedelta(seconds=2), multiplier=2, max_interval=timedelta(minutes=1), jitter=0.5),
        Overlap.SKIP,
        Catchup.NONE,
        max_running=3,
        priority=4,
        timeout=timedelta(seconds=9),
        jitter=timedelta(seconds=1),
        catchup_window=timedelta(hours=2),
        catchup_limit=8,
        pause_after=6,
        calendars=(Calendar("days", frozenset()),),
    )


async def _with(path: Path, *jobs: Job) -> None:
    store = SqliteStore(path, load_zone, os.urandom)
    scheduler = Scheduler(store, SystemClock(), os.urandom, records=store.records)
    await scheduler.put_calendar(KnownCalendar(Calendar("days", frozenset())))
    for job in jobs:
        await store.put_job(job, Put.CREATE, NOON)
    await store.close()


def test_what_is_exported_comes_back_with_every_field(wakeful: Run, path: Path, tmp_path: Path) -> None:
    once = replace(app_job("once", due_time="24h"), at_most_once=True)
    asyncio.run(_with(path, everything(), once, app_job("tick"), reminder("ring")))
    before = jobs_in(path)
    file, other = tmp_path / "jobs.jsonl", tmp_path / "other.db"
    asyncio.run(_with(other))

    assert wakeful("scheduler", "export", "-o", str(file)).out == "ℹ️  Exported 4 jobs.\n"
    assert file.stat().st_mode & 0o777 == 0o600
    assert wakeful("scheduler", "import", "-f", str(file), f"--store=sqlite:///{other}").out == (
        "ℹ️  Imported 4 items.\n"
    )

    after = jobs_in(other)
    assert [record.next_due_at for record in after] == [record.next_due_at for record in before]
    for old, new in zip(before, after, strict=True):
        # `first` is where the schedule goes on.
        assert replace(new.job, schedule=old.job.schedule) == old.job
        assert replace(new.job.schedule, first=old.job.schedule.first) == old.job.schedule
    again = tmp_path / "again.jsonl"
    wakeful("scheduler", "export", str(again), f"--store=sqlite:///{other}")
    due = [json.loads(line).get("next_due_at") for line in again.read_text().splitlines()[1:]]
    assert due == [json.loads(line).get("next_due_at") for line in file.read_text().splitlines()[1:]]


def test_a_job_goes_on_where_it_stood_and_with_the_runs_that_are_left(wakeful: Run, path: Path, tmp_path: Path) -> None:
    file, other = tmp_path / "jobs.jsonl", tmp_path / "other.db"
    asyncio.run(_half_done(path))
    wakeful("scheduler", "export", "-o", str(file))
    wakeful("scheduler", "import", "-f", str(file), f"--store=sqlite:///{other}")

    tick, paused = sorted(jobs_in(other), key=lambda record: record.job.key.name, reverse=True)
    assert (tick.next_due_at, tick.remaining) == (NOON + timedelta(minutes=3), 3)
    assert (paused.state, paused.note) == ("paused", "for now")
    # Its instants passed while it was paused: it is 13:00 now.
    assert paused.next_due_at == datetime(2026, 3, 2, 13, 1, tzinfo=UTC)


async def _half_done(path: Path) -> None:
    store = SqliteStore(path, load_zone, os.urandom)
    job = app_job("tick", schedule="@every 1m", repeats=5)
    await store.put_job(job, Put.CREATE, NOON)
    for minute in (1, 2):
        now = NOON + timedelta(minutes=minute)
        (claim,) = (await store.claim_due(1, {job.queue: Room(9, 9)}, now)).claims
        await finish(store, claim, now, Succeeded())
    await store.put_job(app_job("paused", schedule="0 * * * * *"), Put.CREATE, NOON)
    await store.set_state(StateChange(JobKey("default", "app/a", "paused"), JobState.PAUSED, "for now"), NOON)
    await store.close()


def test_a_job_without_recurrence_that_is_under_way_runs_again_where_it_is_imported(
    wakeful: Run, path: Path, tmp_path: Path
) -> None:
    file, other = tmp_path / "jobs.jsonl", tmp_path / "other.db"
    asyncio.run(_under_way(path))
    assert wakeful("scheduler", "export", "-o", str(file)).out == "ℹ️  Exported 1 jobs.\n"
    wakeful("scheduler", "import", "-f", str(file), f"--store=sqlite:///{other}")
    (once,) = jobs_in(other)
    assert (once.job.key.name, once.next_due_at) == ("once", NOON + timedelta(minutes=1))
    # So the command says it.
    assert "runs again where it is imported" in " ".join(wakeful("scheduler", "export", "--help").out.split())


async def _under_way(path: Path) -> None:
    store = SqliteStore(path, load_zone, os.urandom)
    job = app_job("once", due_time="1m")
    await store.put_job(job, Put.CREATE, NOON)
    await store.claim_due(1, {job.queue: Room(9, 9)}, NOON + timedelta(minutes=1))
    await store.close()


def test_a_file_that_exists_is_not_written_over(wakeful: Run, tmp_path: Path) -> None:
    file = tmp_path / "there"
    file.write_text("precious")
    result = wakeful("scheduler", "export", "-o", str(file))
    assert (result.code, file.read_text()) == (1, "precious")
    assert "already exists" in result.err


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("", "no export of wakeful's"),
        ("gob", "no export of wakeful's"),
        ('{"wakeful_export":1}\nnonsense', "line 2 is no job"),
        ('{"wakeful_export":1}\n{}', "line 2 is no job"),
    ],
)
def test_a_file_that_is_none_of_ours_changes_nothing(wakeful: Run, tmp_path: Path, content: str, text: str) -> None:
    file = tmp_path / "file"
    file.write_text(content)
    result = wakeful("scheduler", "import", "-f", str(file))
    assert result.code in (1, 2)
    assert text in result.err
    assert wakeful("scheduler", "list").out == ""


def test_a_calendar_that_is_missing_is_named(wakeful: Run, path: Path, tmp_path: Path) -> None:
    asyncio.run(_with(path, everything()))
    file = tmp_path / "jobs.jsonl"
    wakeful("scheduler", "export", "-o", str(file))
    result = wakeful("scheduler", "import", "-f", str(file), f"--store=sqlite:///{tmp_path / 'new.db'}")
    assert result.code == 2
    assert "calendars that are not here: days" in result.err


# ── the options of the server ──


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (("--etcd-client-endpoints=a:1",), "cannot use --etcd-client-endpoints with --etcd-embed"),
        (("--etcd-client-username", "u"), "cannot use --etcd-client-username with --etcd-embed"),
        (("--etcd-client-password=p", "--etcd-embed"), "cannot use --etcd-client-password with --etcd-embed"),
        (("--etcd-embed=false",), "must specify --etcd-client-endpoints when not using embedded etcd"),
        (("--kubeconfig", "/x"), "kubeconfig flag is only valid in --mode=kubernetes"),
        (("--mode", "kubernetes"), "--mode=kubernetes is not served"),
        (("--tls-enabled",), "--tls-enabled is not served"),
        (("--store", "sqlite:///x.db", "--etcd-data-dir", "d"), "both say where the store is"),
    ],
)
def test_options_that_contradict_end_it_with_1(wakeful: Run, options: tuple[str, ...], text: str) -> None:
    result = wakeful("scheduler", *options)
    assert result.code == 1
    assert text in result.err


@pytest.mark.parametrize(
    "options",
    [("--unknown",), ("--port=x",), ("--port", "70000"), ("--log-level", "loud"), ("--listen-address=0.0.0.0",)],
)
def test_options_that_can_not_be_end_it_with_2(wakeful: Run, options: tuple[str, ...]) -> None:
    assert wakeful("scheduler", *options).code == 2

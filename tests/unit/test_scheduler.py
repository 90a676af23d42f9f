"""``ains.scheduler``: the class and the coroutine that the AITP document names, on a real file; at its path (S2.76)."""

import asyncio
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import apsw
import pytest

from ains.scheduler import ScheduledTask, TaskScheduler, scheduler_worker
from support.processes import eventually

DAILY = {
    "client_id": "client-1",
    "task_type": "daily_report",
    "capability_required": "report:v1",
    "input_data": {"format": "pdf"},
    "cron_expression": "0 9 * * *",
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "wakeful.db"


@pytest.fixture
def scheduler(path: Path) -> TaskScheduler:
    return TaskScheduler(path)


def test_s2_71_a_schedule_is_made_of_a_mapping_of_fields_or_by_place(scheduler: TaskScheduler) -> None:
    made = [
        scheduler.create_schedule(DAILY),
        scheduler.create_schedule(**DAILY, priority=7, timezone="America/New_York"),
        scheduler.create_schedule("client-1", "daily_report", "report:v1", {}, "0 9 * * *", 8, "Daily"),
    ]
    assert len({one["schedule_id"] for one in made}) == 3
    assert all(one.schedule_id.startswith("sched-") and one.status == "ACTIVE" for one in made)
    assert [one.priority for one in made] == [5, 7, 8]
    assert made[1].next_run_at.hour in (13, 14)
    assert made[2].description == "Daily"
    assert (made[0].total_runs, made[0].failed_runs, made[0].last_run_at) == (0, 0, None)


def test_instants_are_text_by_key_and_datetimes_by_attribute(scheduler: TaskScheduler) -> None:
    made = scheduler.create_schedule(DAILY)
    assert made["next_run_at"].endswith("T09:00:00Z")
    assert datetime.now(UTC) < made.next_run_at <= datetime.now(UTC) + timedelta(days=1)
    with pytest.raises(AttributeError):
        _ = made.nothing_of_the_kind


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"cron_expression": "61 9 * * *"}, "cron_expression"),
        ({"priority": 11}, "priority"),
        ({"client_id": None}, "client_id"),
        ({"surprise": 1}, "surprise"),
        ({"timezone": "Mars/Olympus"}, "timezone"),
    ],
)
def test_what_can_not_be_is_a_value_error_that_names_the_field(
    scheduler: TaskScheduler, wrong: dict[str, object], field: str
) -> None:
    with pytest.raises(ValueError, match=field):
        scheduler.create_schedule({**DAILY, **wrong})


def test_s2_71_pause_and_resume_say_whether_there_is_such_a_schedule(scheduler: TaskScheduler) -> None:
    made = scheduler.create_schedule(DAILY)
    assert scheduler.pause_schedule(made.schedule_id) is True
    assert scheduler.resume_schedule(made.schedule_id) is True
    assert scheduler.pause_schedule("sched-nothing") is False
    assert scheduler.resume_schedule(made.schedule_id[:-1] + "0" * 3) is False


def test_s2_71_what_is_due_is_found_and_what_is_paused_or_still_to_come_is_not(scheduler: TaskScheduler) -> None:
    scheduler.create_schedule(DAILY)
    every_second = {**DAILY, "cron_expression": "* * * * * *"}
    due, paused = scheduler.create_schedule(every_second), scheduler.create_schedule(every_second)
    scheduler.pause_schedule(paused.schedule_id)
    found = eventually(scheduler.get_due_schedules, "a schedule of every second to be due", 20)
    assert [one.schedule_id for one in found] == [due.schedule_id]
    assert found[0].next_run_at <= datetime.now(UTC)


def test_s2_71_executing_makes_a_pending_task_and_moves_no_instant(
    scheduler: TaskScheduler, path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = scheduler.create_schedule(DAILY)
    task_ids = {scheduler.execute_schedule(made), scheduler.execute_schedule(made.schedule_id)}
    assert len(task_ids) == 2
    printed = capsys.readouterr().out
    assert all(task_id in printed for task_id in task_ids)
    assert made.schedule_id in printed
    assert _rows(path, "SELECT count(*) FROM runs") == 2
    with pytest.raises(ValueError, match="not found"):
        scheduler.execute_schedule("sched-nothing")


def test_it_works_inside_a_coroutine(scheduler: TaskScheduler) -> None:
    async def made() -> ScheduledTask:
        return scheduler.create_schedule(DAILY)

    assert asyncio.run(made()).status == "ACTIVE"


def test_a_session_is_taken_with_a_warning_and_the_schedule_is_in_wakefuls_store(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WAKEFUL_STORE", f"sqlite:///{path}")

    class Session:
        """Stands for SQLAlchemy's, of which nothing is used."""

    with pytest.warns(UserWarning, match="wakeful's store"):
        made = TaskScheduler(Session()).create_schedule(DAILY)
    assert TaskScheduler(f"sqlite:///{path}").pause_schedule(made.schedule_id)


@pytest.mark.slow
def test_s2_71_the_worker_executes_what_is_due_until_it_is_cancelled(scheduler: TaskScheduler, path: Path) -> None:
    made = scheduler.create_schedule({**DAILY, "cron_expression": "* * * * * *"})

    made_tasks = "SELECT count(*) FROM runs WHERE queue LIKE 'agent/%'"

    async def worked() -> None:
        worker = asyncio.create_task(scheduler_worker(path))
        await asyncio.to_thread(eventually, lambda: _rows(path, made_tasks) >= 2, "two tasks of the schedule")
        worker.cancel()
        with pytest.raises(asyncio.CancelledError):
            await worker

    asyncio.run(worked())
    assert scheduler.pause_schedule(made.schedule_id)
    assert not any(thread.name == "wakeful-writer" for thread in threading.enumerate())


def _rows(path: Path, query: str) -> int:
    # Not by sqlite3: a second library in one process takes the first one's locks away.
    db = apsw.Connection(str(path))
    try:
        return int(db.execute(query).fetchone()[0])
    finally:
        db.close()

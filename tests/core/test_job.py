"""Jobs: which names there can be, and how many runs are left."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from wakeful.core.errors import ErrorCode, WakefulError
from wakeful.core.job import Job, JobKey, JobRecord, JobState, TargetSpec, app_queue, check_name
from wakeful.core.schedule import ScheduleText, parse_schedule
from wakeful.zones import load_zone

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    "name",
    [
        "a",
        "A-b_c.d",
        "job 1",
        "%",
        "a%2Fb",
        "...",
        ".a",
        "é",
        "日本",
        "\U0001f600",
        "'; DROP TABLE j",
        "a" * 512,
        "é" * 256,
    ],
)
def test_a_name_is_taken_as_it_is(name: str) -> None:
    assert check_name(name) == name


@pytest.mark.parametrize(
    "name",
    [
        "",
        " ",
        "\t",
        "a/b",
        "a\\b",
        "a#b",
        "a?b",
        "a\x00",
        "a\nb",
        "\x1f",
        "a\x7f",
        ".",
        "..",
        "a" * 513,
        "é" * 257,
        "\ud800",
    ],
)
def test_a_name_that_could_not_be_addressed_is_refused(name: str) -> None:
    with pytest.raises(WakefulError) as caught:
        check_name(name)
    assert caught.value.code is ErrorCode.INVALID_NAME
    assert caught.value.message
    caught.value.message.encode()


@given(st.text())
def test_any_text_is_a_name_or_refused(name: str) -> None:
    try:
        assert check_name(name) == name
    except WakefulError as error:
        assert error.code is ErrorCode.INVALID_NAME
    else:
        assert 0 < len(name.encode()) <= 512
        assert not set(name) & set("/\\#?")


def a_record(repeats: int | None, seq: int, not_run: int) -> JobRecord:
    when = parse_schedule(ScheduleText("@every 1s", None, None, repeats), "dapr", NOON, load_zone)
    job = Job(JobKey("n", "app/a", "j"), when, TargetSpec("http", "x"), "q")
    return JobRecord(1, job, 1, JobState.ACTIVE, NOON, seq, 0, 0, 0, not_run, None, None, None, NOON, None)


def test_what_became_no_run_costs_no_repeat() -> None:
    assert a_record(None, 10, 3).remaining is None
    assert a_record(10, 0, 0).remaining == 10
    assert a_record(10, 7, 3).remaining == 6
    assert structs.replace(a_record(10, 7, 3), seq=13).remaining == 0
    assert a_record(3, 9, 0).remaining == 0


def test_the_queue_of_an_app_is_of_its_namespace() -> None:
    assert app_queue("test", "a") == "app/test/a"
    assert app_queue("test", "a") != app_queue("test-1", "a")

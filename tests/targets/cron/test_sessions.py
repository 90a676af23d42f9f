"""Session ids, and the logs that are named after them."""

import os
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from targets.cron.jobs import NEW_YORK, NINE, cron_claim
from wakeful.targets.sessions import LogLimits, SessionLog, Sessions

LOG = SessionLog({"job": "a", "exit code": 0}, "out\n", "err\n")


def begin(sessions: Sessions, skill: str = "coffee", *, attempt: int = 1, now: datetime = NINE) -> str:
    return sessions.begin(cron_claim(skill, attempt=attempt), now, NEW_YORK).session_id


def test_s3_36_a_session_id_is_the_skill_and_the_local_time(tmp_path: Path) -> None:
    session = Sessions(tmp_path).begin(cron_claim("coffee"), NINE, NEW_YORK)
    assert session.session_id == "cron-coffee-20260126-090000"
    assert (session.source, session.job_name, session.persona) == ("cron", "daily_standup", "developer")
    assert session.scheduled_at == "2026-01-26T09:00:00-05:00"


@pytest.mark.parametrize(
    ("skill", "part"),
    [
        ("team/standup", "team-standup"),  # B3.4
        ("../../etc/passwd", "..-..-etc-passwd"),
        ("/etc/passwd", "etc-passwd"),
        ("a b\n\0c", "a-b-c"),
        ("reports/daily.py", "reports-daily.py"),
        ("café", "café"),
        ("///", "job"),
        ("x" * 300, "x" * 100),
        ("ü" * 300, "ü" * 50),
    ],
)
def test_b3_4_no_skill_leaves_the_folder(tmp_path: Path, skill: str, part: str) -> None:
    sessions = Sessions(tmp_path)
    session_id = begin(sessions, skill)
    assert session_id == f"cron-{part}-20260126-090000"
    sessions.write(session_id, LOG, NINE)
    assert [path.name for path in tmp_path.iterdir()] == [f"{session_id}.log"]


def test_b3_3_two_jobs_of_a_second_and_a_retry_have_ids_of_their_own(tmp_path: Path) -> None:
    sessions = Sessions(tmp_path)
    assert [begin(sessions) for _ in range(3)] == [
        "cron-coffee-20260126-090000",
        "cron-coffee-20260126-090000-2",
        "cron-coffee-20260126-090000-3",
    ]
    assert [begin(sessions, attempt=2) for _ in range(2)] == [
        "cron-coffee-20260126-090000-attempt2",
        "cron-coffee-20260126-090000-attempt2-2",
    ]


def test_b3_3_the_log_of_another_process_takes_an_id_too(tmp_path: Path) -> None:
    before = Sessions(tmp_path)
    before.write(begin(before), LOG, NINE)
    assert begin(Sessions(tmp_path)) == "cron-coffee-20260126-090000-2"


def test_an_hour_that_comes_twice_gives_no_id_twice(tmp_path: Path) -> None:
    sessions = Sessions(tmp_path)
    first = datetime(2026, 11, 1, 5, 30, tzinfo=UTC)
    ids = [begin(sessions, now=first), begin(sessions, now=first + timedelta(hours=1))]
    assert ids == ["cron-coffee-20261101-013000", "cron-coffee-20261101-013000-2"]


def test_c2_4_7_a_log_has_a_head_and_both_streams(tmp_path: Path) -> None:
    folder = tmp_path / "state" / "cron_logs"
    sessions = Sessions(folder)
    sessions.write("cron-a", SessionLog({"job": "a\nskill: x", "exit code": 3}, "one\ntwo\n", "oops"), NINE)
    text = sessions.path("cron-a").read_text()
    assert text == "job: a skill: x\nexit code: 3\n\n--- stdout ---\none\ntwo\n--- stderr ---\noops\n"
    assert sessions.path("cron-a").stat().st_mode & 0o777 == 0o600
    assert folder.stat().st_mode & 0o777 == 0o700


def test_a_log_is_written_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sessions = Sessions(tmp_path)
    sessions.write("cron-a", LOG, NINE)
    before = sessions.path("cron-a").read_bytes()

    def fail(*_: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(OSError, match="no space left"):
        sessions.write("cron-a", SessionLog({}, "other", ""), NINE)
    assert sessions.path("cron-a").read_bytes() == before


def test_a_link_in_a_drafts_place_is_not_followed(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    folder = tmp_path / "logs"
    folder.mkdir()
    (folder / ".cron-a.tmp").symlink_to(elsewhere)
    Sessions(folder).write("cron-a", LOG, NINE)
    assert not elsewhere.exists()
    assert not (folder / "cron-a.log").is_symlink()


def test_of_a_long_stream_the_end_is_kept(tmp_path: Path) -> None:
    sessions = Sessions(tmp_path, LogLimits(stream=10))
    sessions.write("cron-a", SessionLog({}, "ü" * 10, "0123456789"), NINE)
    text = sessions.path("cron-a").read_text()
    assert text == ("\n--- stdout ---\n[the first 10 bytes are left out]\nüüüüü\n--- stderr ---\n0123456789\n")


def write_at(sessions: Sessions, session_id: str, age: timedelta) -> None:
    sessions.write(session_id, LOG, NINE)
    at = (NINE - age).timestamp()
    os.utime(sessions.path(session_id), (at, at))


def test_too_many_logs_go_the_oldest_first(tmp_path: Path) -> None:
    sessions = Sessions(tmp_path, LogLimits(files=3))
    (tmp_path / "notes.log").write_text("not ours")
    for number in range(6):
        write_at(sessions, f"cron-{number}", timedelta(minutes=10 - number))
    sessions.write("cron-6", LOG, NINE)
    assert {path.name for path in tmp_path.iterdir()} == {"cron-4.log", "cron-5.log", "cron-6.log", "notes.log"}


def test_logs_that_are_too_old_go(tmp_path: Path) -> None:
    sessions = Sessions(tmp_path, LogLimits(age=timedelta(days=2)))
    write_at(sessions, "cron-old", timedelta(days=3))
    write_at(sessions, "cron-young", timedelta(days=1))
    (tmp_path / ".cron-dead.tmp").touch()
    os.utime(tmp_path / ".cron-dead.tmp", (0, 0))
    sessions.write("cron-new", LOG, NINE)
    assert {path.name for path in tmp_path.iterdir()} == {"cron-young.log", "cron-new.log"}


def test_every_id_can_name_a_file(tmp_path: Path) -> None:
    sessions = Sessions(tmp_path)
    for code in range(1, 0x250):
        assert re.fullmatch(r"cron-[\w.-]+-20260126-090000(-\d+)?", begin(sessions, f"a{chr(code)}b"))

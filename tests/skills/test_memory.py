"""The memory of sessions (C2.9.1, S3.39): a file a day, never half written, whoever else writes."""

import json
import multiprocessing
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
import yaml

from skills.kitchen import NOW, SESSION, Kitchen
from wakeful.skills import Tools, built_in, memory
from wakeful.skills.errors import ToolError
from wakeful.skills.memory import session_log


def day(folder: Path, date: str = "2026-01-26") -> Any:
    """What a day's file says."""
    return yaml.safe_load((folder / "sessions" / f"{date}.yaml").read_text())


def test_c2_9_1_entries_are_added_to_the_days_file(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "memory"
    path = session_log(folder, "began", None, NOW)
    assert path == folder / "sessions" / "2026-01-26.yaml"
    session_log(folder, "went on", "with: \"quotes\"\nand 'lines' 🎉", NOW + timedelta(seconds=1))
    session_log(folder, "ended", {"n": [1, {"a": None}]}, NOW + timedelta(hours=1))
    session_log(folder, "next day", "", NOW + timedelta(days=1))
    assert day(folder) == {
        "date": "2026-01-26",
        "entries": [
            {"time": "09:00:07", "action": "began"},
            {"time": "09:00:08", "action": "went on", "details": "with: \"quotes\"\nand 'lines' 🎉"},
            {"time": "10:00:07", "action": "ended", "details": {"n": [1, {"a": None}]}},
        ],
    }
    assert list(yaml.safe_load(path.read_text())["entries"][1]) == ["time", "action", "details"]
    assert day(folder, "2026-01-27")["entries"] == [{"time": "09:00:07", "action": "next day"}]


def test_the_day_is_that_of_the_zone_that_is_given(tmp_path: Path) -> None:
    session_log(tmp_path, "late", None, datetime(2026, 1, 26, 23, 30, tzinfo=timezone(timedelta(hours=-5))))
    assert day(tmp_path)["entries"][0]["time"] == "23:30:00"


def test_what_others_wrote_stays(tmp_path: Path) -> None:
    (tmp_path / "sessions").mkdir()
    file = tmp_path / "sessions" / "2026-01-26.yaml"
    file.write_text("date: 2026-01-26\nsession_id: x\nentries:\n- {time: '08:00:00', action: by hand}\n")
    session_log(tmp_path, "more", None, NOW)
    assert [entry["action"] for entry in day(tmp_path)["entries"]] == ["by hand", "more"]
    assert day(tmp_path)["session_id"] == "x"
    for empty in ("", "date: 2026-01-26\n", "date: x\nentries:\n"):
        file.write_text(empty)
        session_log(tmp_path, "more", None, NOW)
        assert [entry["action"] for entry in day(tmp_path)["entries"]] == ["more"]


@pytest.mark.parametrize("text", ["a: [", "- a", "entries: 5", "entries: !!python/object:x.y {}"])
def test_a_file_that_is_none_is_left_as_it_is(tmp_path: Path, text: str) -> None:
    (tmp_path / "sessions").mkdir()
    file = tmp_path / "sessions" / "2026-01-26.yaml"
    file.write_text(text)
    with pytest.raises(ValueError, match=r"2026-01-26\.yaml"):
        session_log(tmp_path, "more", None, NOW)
    assert file.read_text() == text


def test_entries_and_their_texts_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "MOST_ENTRIES", 3)
    monkeypatch.setattr(memory, "_LONG_DAY", 0)
    for number in range(5):
        session_log(tmp_path, f"{number}" + "x" * 2000, "y" * 20_000, NOW)
    session_log(tmp_path, "\ud800", {"a": "z" * 20_000}, NOW)
    entries = day(tmp_path)["entries"]
    assert [entry["action"][:2] for entry in entries] == ["3x", "4x", "?"]
    assert {len(entry["action"]) for entry in entries[:2]} == {1000}
    assert {len(entry["details"]) for entry in entries} == {16 * 1024}


def test_a_long_day_grows_at_its_end_until_it_is_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "_SHORT_DAY", 100)
    path = session_log(tmp_path, "first: 'one'", {"a": [1, "ö\n- x"]}, NOW)
    session_log(tmp_path, "second", "by\nlines", NOW)
    inode = path.stat().st_ino
    for number in range(50):
        session_log(tmp_path, f"{number}", "- entries:\n", NOW)
    assert path.stat().st_ino == inode
    entries = day(tmp_path)["entries"]
    assert [entry["action"] for entry in entries] == ["first: 'one'", "second", *map(str, range(50))]
    assert entries[0]["details"] == {"a": [1, "ö\n- x"]}
    assert {entry["details"] for entry in entries[2:]} == {"- entries:\n"}
    # What somebody else wrote in another form is written anew.
    path.write_text("entries:\n  - {time: '1', action: indented}\ndate: '2026'\n" + "#" * 200 + "\n")
    session_log(tmp_path, "after", None, NOW)
    assert [entry["action"] for entry in day(tmp_path)["entries"]] == ["indented", "after"]


def _write(folder: str, who: int) -> None:
    for number in range(25):
        session_log(Path(folder), f"{who}-{number}", None, NOW)


@pytest.mark.slow
def test_b3_37_writers_at_the_same_time_lose_nothing_and_readers_see_no_half(tmp_path: Path) -> None:
    session_log(tmp_path, "first", None, NOW)
    writers = [
        multiprocessing.get_context("spawn").Process(target=_write, args=(str(tmp_path), who)) for who in range(3)
    ]
    for writer in writers:
        writer.start()
    while any(writer.is_alive() for writer in writers):
        assert day(tmp_path)["entries"][0]["action"] == "first"
    assert [writer.exitcode for writer in writers] == [0, 0, 0]
    actions = [entry["action"] for entry in day(tmp_path)["entries"]]
    for who in range(3):
        assert [each for each in actions if each.startswith(f"{who}-")] == [f"{who}-{number}" for number in range(25)]
    assert sorted(path.name for path in (tmp_path / "sessions").iterdir()) == [
        ".2026-01-26.yaml.lock",
        "2026-01-26.yaml",
    ]


@pytest.mark.anyio
async def test_c2_9_1_the_tool_logs_what_a_step_says(kitchen: Kitchen) -> None:
    said = await kitchen.value("""
        - {id: a, compute: "result = {'n': 1}"}
        - {id: it, tool: memory_session_log, args: {action: "did {{ a.n }}", details: "{{ a }}"}}
        """)
    assert said == "logged: did 1"
    assert day(kitchen.memory)["entries"] == [{"time": "09:00:07", "action": "did 1", "details": {"n": 1}}]
    why = await kitchen.error("- {id: it, tool: memory_session_log, args: {details: x}}")
    assert why == "step 'it': memory_session_log: it needs action, a text, and may have details"


@pytest.mark.anyio
async def test_without_a_memory_the_tool_says_so(tmp_path: Path) -> None:
    with pytest.raises(ToolError, match="there is no memory to log to"):
        await built_in(Tools())["memory_session_log"]({"action": "x"}, SESSION)
    (tmp_path / "file").write_text("")
    tool = built_in(Tools(memory=tmp_path / "file", now=lambda: NOW))["memory_session_log"]
    with pytest.raises(ToolError, match="Not a directory"):
        await tool({"action": "x"}, SESSION)
    assert json.dumps(str(tmp_path))

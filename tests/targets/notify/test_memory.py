"""The memory: a file with the newest notices."""

import asyncio
import fcntl
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from wakeful.core.run import Failed, Succeeded
from wakeful.targets.notices import memory

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

Open = Callable[..., Any]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "memory" / "state" / "notifications.yaml"


def entries(file: Path) -> list[dict[str, Any]]:
    return list(yaml.safe_load(file.read_text())["notifications"])


async def test_s3_84_c2_9_2_a_notice_is_kept_in_the_memory(sink: Open, notice: Open, failure: Open, file: Path) -> None:
    assert await sink().deliver(notice("memory", 1)) == Succeeded()
    assert await sink().deliver(failure("memory", 2)) == Succeeded()
    assert entries(file) == [
        {
            "timestamp": "2026-03-01T12:02:30+00:00",
            "title": "Scheduled Job: daily_standup succeeded",
            "message": "All is well.\nTwo MRs.",
            "success": True,
            "job_name": "daily_standup",
            "skill": "standup",
            "id": f"{1:032x}",
        },
        {
            "timestamp": "2026-03-01T12:02:30+00:00",
            "title": "Scheduled Job: daily_standup failed",
            "message": "Failed after 3 attempts: exit code 1: no such thing",
            "success": False,
            "job_name": "daily_standup",
            "skill": "standup",
            "id": f"{2:032x}",
        },
    ]
    # Nothing else is left there but the lock.
    assert sorted(each.name for each in file.parent.iterdir()) == ["notifications.yaml", "notifications.yaml.lock"]


async def test_c2_9_2_a_message_has_at_most_500_characters(sink: Open, notice: Open, file: Path) -> None:
    await sink().deliver(notice("memory", output="\n".join(["x" * 100] * 20)))
    assert len(entries(file)[0]["message"]) == memory.MESSAGE_LIMIT


async def test_c2_9_2_the_newest_hundred_are_kept(sink: Open, notice: Open, file: Path) -> None:
    file.parent.mkdir(parents=True)
    before = [{"title": f"{number}", "id": f"{number}"} for number in range(100)]
    file.write_text(yaml.safe_dump({"notifications": before}))
    for number in (1, 2):
        assert await sink().deliver(notice("memory", number)) == Succeeded()
    kept = entries(file)
    assert len(kept) == memory.KEPT
    assert [each["id"] for each in kept] == [*(f"{number}" for number in range(2, 100)), f"{1:032x}", f"{2:032x}"]


async def test_a_notice_that_is_sent_again_is_kept_once(sink: Open, notice: Open, file: Path) -> None:
    for _ in range(2):
        assert await sink().deliver(notice("memory")) == Succeeded()
    assert len(entries(file)) == 1


async def test_many_writers_lose_nothing(sink: Open, notice: Open, file: Path) -> None:
    claims = [notice("memory", number) for number in range(30)]
    assert set(await asyncio.gather(*(sink().deliver(claim) for claim in claims))) == {Succeeded()}
    assert len(entries(file)) == 30


@pytest.mark.parametrize(
    "text", ["notifications: [", "[1, 2]", "just words", "\udcff", "notifications: 7", "x" * (5 * 1024 * 1024)]
)
async def test_a_file_that_is_broken_is_put_aside(sink: Open, notice: Open, file: Path, text: str) -> None:
    file.parent.mkdir(parents=True)
    file.write_text(text, errors="surrogateescape")
    assert await sink().deliver(notice("memory")) == Succeeded()
    assert len(entries(file)) == 1
    assert file.with_name("notifications.yaml.broken").read_text(errors="surrogateescape") == text


async def test_an_empty_file_is_as_good_as_none(sink: Open, notice: Open, file: Path) -> None:
    file.parent.mkdir(parents=True)
    file.write_text("")
    assert await sink().deliver(notice("memory")) == Succeeded()
    assert len(entries(file)) == 1


async def test_a_lock_that_somebody_keeps_is_a_failure(
    sink: Open, notice: Open, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "_LOCK_TRIES", 3)
    file.parent.mkdir(parents=True)
    lock = os.open(f"{file}.lock", os.O_RDWR | os.O_CREAT)
    fcntl.flock(lock, fcntl.LOCK_EX)
    assert await sink().deliver(notice("memory")) == Failed("memory: notifications.yaml is locked by somebody else")
    os.close(lock)
    assert await sink().deliver(notice("memory")) == Succeeded()


async def test_a_folder_that_can_not_be_made_is_a_failure(sink: Open, notice: Open, tmp_path: Path) -> None:
    (tmp_path / "memory").write_text("a file")
    outcome = await sink().deliver(notice("memory"))
    assert isinstance(outcome, Failed)
    assert outcome.error.startswith("memory: notifications.yaml can't be written: ")

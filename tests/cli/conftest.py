"""The command line in this process, on a file of the test's own."""

import asyncio
import json
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from support.stores import NOON, QUEUE, finish
from wakeful.clock import SystemClock
from wakeful.core.job import Job, JobState
from wakeful.core.ports import Put, Room, StateChange
from wakeful.core.run import Outcome
from wakeful.main import main
from wakeful.stores.sqlite import SqliteStore
from wakeful.zones import load_zone

# An hour after the jobs of `fill` were made.
NOW = NOON + timedelta(hours=1)


@dataclass(frozen=True)
class Result:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "wakeful.db"


@pytest.fixture
def wakeful(path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Callable[..., Result]:
    """Runs a command as the shell would, on this test's file, at 2026-03-02 13:00."""
    monkeypatch.setenv("WAKEFUL_STORE", f"sqlite:///{path}")
    monkeypatch.setenv("HOME", str(path.parent))
    monkeypatch.setattr(SystemClock, "now", lambda _: NOW)

    def run(*arguments: str) -> Result:
        monkeypatch.setattr(sys, "argv", ["wakeful", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capfd.readouterr()
        assert "Traceback" not in out + err
        return Result(ended.value.code or 0, out, err)  # type: ignore[arg-type]

    return run


@pytest.fixture
def fill(path: Path) -> Callable[..., None]:
    """Stores jobs as of 2026-03-02 noon, paused if asked, and settles one run of each that has an outcome."""

    def filled(*jobs: Job, outcomes: dict[str, Outcome] | None = None, paused: bool = False) -> None:
        asyncio.run(_fill(path, jobs, outcomes or {}, paused))

    return filled


async def _fill(path: Path, jobs: tuple[Job, ...], outcomes: dict[str, Outcome], paused: bool) -> None:
    store = SqliteStore(path, load_zone, os.urandom)
    for job in jobs:
        await store.put_job(job, Put.CREATE, NOON)
        if paused:
            await store.set_state(StateChange(job.key, JobState.PAUSED, None), NOON)
    if outcomes:
        claimed = await store.claim_due(1, {QUEUE: Room(100, 100)}, NOON + timedelta(seconds=1))
        for claim in claimed.claims:
            outcome = outcomes.get(claim.job.key.name)
            if outcome is not None:
                await finish(store, claim, NOON + timedelta(seconds=2), outcome)
    await store.close()

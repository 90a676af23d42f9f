"""Sources to poll, and a memory of what was dealt with."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from support.far_sides import Answer, FarSide, Received, Reply
from wakeful.targets.poll import Found, Poller
from wakeful.targets.poll_source import read_source

NEW_YORK = ZoneInfo("America/New_York")
# Noon there, 17:00 UTC.
NOON = datetime(2026, 1, 26, 12, tzinfo=NEW_YORK)


@dataclass
class Kept:
    """What survives a poller: JSON, as in a store."""

    texts: dict[str, str] = field(default_factory=dict)

    async def load(self, job: str) -> Mapping[str, str]:
        await asyncio.sleep(0)
        return dict(json.loads(self.texts.get(job, "{}")))

    async def save(self, job: str, seen: Mapping[str, str]) -> None:
        await asyncio.sleep(0)
        self.texts[job] = json.dumps(dict(seen))


@dataclass
class Watch:
    """A source whose items the test decides, as a job sees it; ``now`` is turned by hand."""

    file: Path
    condition: str
    kept: Kept = field(default_factory=Kept)
    now: datetime = NOON
    job: str = "triage"

    async def look(self, *items: Any) -> Found:
        """What is found when these items are there; by another poller each time, as after a restart."""
        self.file.write_text(json.dumps(items))
        source = read_source({"type": "command", "command": ["cat", str(self.file)], "condition": self.condition})
        return await Poller(self.kept, {"PATH": "/usr/bin:/bin"}).check(source, self.job, self.now)

    async def mark(self, found: Found) -> None:
        await Poller(self.kept, {}).mark(found, self.job, self.now)


class WebSide(FarSide):
    """A web server that is asked by GET."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def _read(self, number: int, reader: asyncio.StreamReader) -> Answer:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        line, *lines = head.removesuffix("\r\n\r\n").split("\r\n")
        return self._next(Received(number, line, dict(one.split(": ", 1) for one in lines), b""))


@pytest.fixture
def watch(tmp_path: Path) -> Callable[..., Watch]:
    """A job that looks for something."""
    return lambda condition="any", **more: Watch(tmp_path / "items.json", condition, **more)


@pytest.fixture
async def web() -> AsyncIterator[Callable[..., Awaitable[WebSide]]]:
    """Opens a web server that gives these answers; what is no answer is sent as JSON."""
    opened: list[WebSide] = []

    async def open_web(*answers: Any) -> WebSide:
        given = (each if isinstance(each, Reply | None) else Reply(200, json.dumps(each).encode()) for each in answers)
        opened.append(WebSide(tuple(given)))
        await opened[-1].listen()
        return opened[-1]

    yield open_web
    for side in opened:
        assert side.server is not None
        side.server.close()

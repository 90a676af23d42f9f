"""``state.json``: the switches that people and programs set, read whenever they count, written without a loss."""

import asyncio
import json
import logging
import shutil
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from wakeful.faces.cron.config_file import FILE_LIMIT, ConfigFileError
from wakeful.faces.cron.files import Seen, locked, look
from wakeful.faces.cron.switches import Switch, Switches, read_switches, with_switch
from wakeful.files import write

log = logging.getLogger("wakeful.cron")


class StateFile:
    """The switches as they were when the file could be read last; ``problem`` says why it can't be read now."""

    def __init__(self, path: Path, now: Callable[[], datetime]) -> None:
        self.switches = Switches()
        self.problem: str | None = None
        self._path = path
        self._now = now
        self._root: dict[str, Any] = {}
        self._seen: Seen | None = None
        self._found = False

    def recall(self, content: bytes) -> None:
        """What the file held when another process read it last: it counts as long as the file is damaged."""
        self.switches, self._root = read_switches(content)

    def content(self) -> str:
        """What ``recall`` wants."""
        return json.dumps(self._root, ensure_ascii=False)

    def look(self) -> bool:
        """Reads the file if it has changed; whether the switches have."""
        seen = look(self._path, FILE_LIMIT)
        if seen == self._seen:
            return False
        before, self._seen = self.switches, seen
        if seen.content is None and not self._path.is_symlink() and not self._path.exists():
            self._gone()
        elif seen.content is None:
            self._complain(seen.problem)
        else:
            self._read(seen.content)
        return self.switches != before

    async def change(self, changes: Mapping[tuple[str, str], Switch | None]) -> None:
        """Sets or removes switches; the file is written when it returns. What else stands in it stays.

        Raises:
            OSError: it can't be written; ``TimeoutError`` if another process keeps it locked.
        """
        async with locked(self._path):
            self.look()
            if self._seen is not None and self._seen.content is None and self._path.exists():
                raise OSError(self.problem)
            root: Mapping[str, Any] = self._root
            for place, switch in changes.items():
                root = with_switch(root, place, switch)
            root = {**root, "last_updated": self._now().isoformat(timespec="seconds")}
            content = (json.dumps(root, indent=2, ensure_ascii=False) + "\n").encode()
            await asyncio.to_thread(self._write, content)
            self.look()

    def _write(self, content: bytes) -> None:
        if self.problem is not None and self._path.exists():
            # Somebody may still want to mend it.
            shutil.copyfile(self._path, self._path.with_name(self._path.name + ".bad"))
        write(self._path, content)

    def _gone(self) -> None:
        """A file that never was there holds no switches; one that is gone may be about to come back."""
        if self._found:
            self._complain(f"there is no file {self._path} any more")
        else:
            self.switches, self._root, self.problem = Switches(), {}, None

    def _read(self, content: bytes) -> None:
        try:
            self.switches, self._root = read_switches(content)
        except ConfigFileError as error:
            self._complain(f"{self._path} is damaged: {error}")
            return
        self._found = True
        if self.problem is not None:
            log.warning("%s can be read again", self._path)
        self.problem = None

    def _complain(self, problem: str | None) -> None:
        if problem != self.problem:
            log.error("%s: the switches stay as they were", problem)
        self.problem = problem

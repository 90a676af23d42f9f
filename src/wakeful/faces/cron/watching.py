"""Files that are watched: by their folders, which see a file put in another's place; and by a look now and then."""

import asyncio
import contextlib
import logging
import os
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from watchfiles import Change, awatch

log = logging.getLogger("wakeful.cron")

# Changes that come so close together are one, in milliseconds: the longest wait, and the pause that ends it.
_TOGETHER_MS, _PAUSE_MS = 400, 50
# So long after it was begun, a watch sees what happens.
_BEGUN_S = 0.2
# A folder that can't be watched now may be there again later.
_WATCH_AGAIN_S = 10.0


@dataclass(frozen=True, slots=True)
class _View:
    """What is watched: folders, with what tells each from another of the same name; and the names that count there."""

    folders: tuple[tuple[str, int, int], ...]
    names: frozenset[str]


class FileWatch:
    """Calls ``look`` whenever one of the files may have changed, and every ``poll`` at the latest.

    What ``look`` raises is logged. What a file is a link to is watched, too.
    """

    def __init__(self, files: Sequence[Path], look: Callable[[], Awaitable[object]], poll: timedelta) -> None:
        self._files = files
        self._look = look
        self._poll_s = poll.total_seconds()
        self._changed = asyncio.Event()

    async def run(self) -> None:
        """Watches until it is cancelled."""
        watching: asyncio.Task[None] | None = None
        seen: _View | None = None
        try:
            while True:
                view = await asyncio.to_thread(_view, self._files)
                if view != seen:
                    # A folder that was moved away is still watched under its old name: the new one is not.
                    await _ended(watching)
                    seen, watching = view, asyncio.create_task(self._watch(view), name="wakeful-cron-watch")
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self._poll_s):
                        await self._changed.wait()
                self._changed.clear()
                try:
                    await self._look()
                except Exception:
                    log.exception("what changed could not be looked at; it is looked at again")
        finally:
            await _ended(watching)

    async def _watch(self, view: _View) -> None:
        def counts(_: Change, path: str) -> bool:
            return os.path.basename(path) in view.names

        paths = [path for path, *_ in view.folders]
        while paths:
            asyncio.get_running_loop().call_later(_BEGUN_S, self._changed.set)
            try:
                async for _ in awatch(
                    *paths, watch_filter=counts, debounce=_TOGETHER_MS, step=_PAUSE_MS, recursive=False
                ):
                    self._changed.set()
            except (OSError, RuntimeError) as error:
                log.warning("%s can't be watched, and is looked at now and then only: %s", ", ".join(paths), error)
            await asyncio.sleep(_WATCH_AGAIN_S)


def _view(files: Sequence[Path]) -> _View:
    names: set[str] = set()
    folders: set[str] = set()
    for file in files:
        real = os.path.realpath(file)
        names |= {file.name, os.path.basename(real)}
        folders |= {str(file.parent), os.path.dirname(real)}
        with contextlib.suppress(OSError):
            # Where a link leads through another, that one is what is swapped.
            names.add(Path(os.readlink(file)).parts[0])
    found = []
    for folder in sorted(folders):
        with contextlib.suppress(OSError):
            status = os.stat(folder)
            found.append((folder, status.st_dev, status.st_ino))
    return _View(tuple(found), frozenset(names))


async def _ended(task: "asyncio.Task[None] | None") -> None:
    if task is not None:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

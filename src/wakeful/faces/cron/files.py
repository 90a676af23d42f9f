"""Files that others read and write, too: read whole, written whole, one writer at a time."""

import asyncio
import fcntl
import os
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any

from wakeful.files import lock_path

_MOST_TRIES = 5
_LOOK_AGAIN_S = 0.02
# Who writes a file of this size holds its lock for milliseconds.
_LOCKED_FOR_S = 10.0


@dataclass(frozen=True, slots=True)
class Seen:
    """A file as it was found; ``problem`` says why it could not be read. Two that are equal are one content.

    ``mark`` is its time of change in nanoseconds, its size, its inode, and a hash of its content.
    """

    content: bytes | None
    problem: str | None = None
    mark: tuple[int, int, int, bytes] | None = None


def look(path: Path, limit: int) -> Seen:
    """What is at a path now, at most ``limit`` bytes and one more. It never waits for a writer."""
    try:
        # Without this flag, to open a pipe would wait for whoever writes into it.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return Seen(None, f"there is no file {path}")
    except OSError as error:
        return Seen(None, f"{path} can't be read: {error.strerror}")
    try:
        return _read(path, descriptor, limit)
    except OSError as error:
        return Seen(None, f"{path} can't be read: {error.strerror}")
    finally:
        os.close(descriptor)


def _read(path: Path, descriptor: int, limit: int) -> Seen:
    before = os.fstat(descriptor)
    if not stat.S_ISREG(before.st_mode):
        return Seen(None, f"{path} is no file that can be read")
    for _ in range(_MOST_TRIES):
        content = os.pread(descriptor, limit + 1, 0)
        while 0 < len(content) <= limit and (more := os.pread(descriptor, limit + 1 - len(content), len(content))):
            content += more
        after = os.fstat(descriptor)
        if _stamp(before) == _stamp(after):
            break
        # Somebody writes into it: half of what there was and half of what will be is nothing that was meant.
        before = after
    mark = (after.st_mtime_ns, after.st_size, after.st_ino, blake2b(content, digest_size=16).digest())
    return Seen(content, None, mark)


def _stamp(status: os.stat_result) -> tuple[int, int, int]:
    return status.st_mtime_ns, status.st_ctime_ns, status.st_size


@asynccontextmanager
async def locked(path: Path) -> AsyncIterator[None]:
    """Holds the lock beside ``path``, so that what was read is still there when it is written.

    Raises:
        TimeoutError: somebody else holds it for seconds.
        OSError: the folder can't be written to.
    """
    beside = lock_path(path)
    beside.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(beside, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        loop: Any = asyncio.get_running_loop()
        give_up_at = loop.time() + _LOCKED_FOR_S
        while not _try_lock(descriptor):
            if loop.time() > give_up_at:
                raise TimeoutError(f"another process has locked {beside} for {_LOCKED_FOR_S:g} s")
            await asyncio.sleep(_LOOK_AGAIN_S)
        yield
    finally:
        os.close(descriptor)


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True

"""The memory of an assistant: a YAML file with the newest notices, which others read."""

import asyncio
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from wakeful.core.run import Failed, Outcome, Succeeded
from wakeful.files import lock_path, write
from wakeful.targets.notices.message import Message

MESSAGE_LIMIT = 500
KEPT = 100
_FILE_LIMIT = 4 * 1024 * 1024
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_Dumper: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
_LOCK_TRIES = 200
_LOCK_PAUSE_S = 0.05


class _LockedError(Exception):
    """Somebody else is writing."""


async def send(file: Path, message: Message) -> Outcome:
    """Adds the notice to the file, once: the same notice, sent again, changes nothing."""
    entry = {
        "timestamp": message.at.isoformat(),
        "title": message.title,
        "message": message.cut_body(MESSAGE_LIMIT),
        "success": message.succeeded,
        "job_name": message.job,
        "skill": message.skill,
        "id": message.id,
    }
    for _ in range(_LOCK_TRIES):
        try:
            await asyncio.to_thread(_add, file, entry)
        except _LockedError:
            await asyncio.sleep(_LOCK_PAUSE_S)
        except (OSError, yaml.YAMLError) as error:
            return Failed(f"memory: {file.name} can't be written: {error}")
        else:
            return Succeeded()
    return Failed(f"memory: {file.name} is locked by somebody else")


def _add(file: Path, entry: dict[str, Any]) -> None:
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _locked(file):
        entries = _read(file)
        if not any(each.get("id") == entry["id"] for each in entries):
            content = {"notifications": [*entries, entry][-KEPT:]}
            text = yaml.dump(content, Dumper=_Dumper, allow_unicode=True, sort_keys=False, width=1000)
            write(file, text.encode())


@contextmanager
def _locked(file: Path) -> Iterator[None]:
    """The lock is a file beside: the one that is written is another after each writing."""
    # Nobody else need read it.
    handle = os.open(lock_path(file), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise _LockedError from error
        yield
    finally:
        os.close(handle)


def _read(file: Path) -> list[dict[str, Any]]:
    """The entries, the newest last. A file that can't be understood is put aside, and a new one begun."""
    try:
        if file.stat().st_size <= _FILE_LIMIT:
            there = yaml.load(file.read_text(encoding="utf-8"), _Loader) or {}  # noqa: S506 - the safe loader, in C
            return [each for each in there.get("notifications") or [] if isinstance(each, dict)]
    except FileNotFoundError:
        return []
    except (yaml.YAMLError, UnicodeError, AttributeError, TypeError, ValueError, RecursionError):
        pass
    os.replace(file, file.with_name(file.name + ".broken"))
    return []

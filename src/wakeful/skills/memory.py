"""The memory of sessions: what was done on a day, a file of YAML for each."""

import fcntl
import json
import os
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

import yaml

from wakeful.files import write

MOST_ENTRIES = 5000
LONGEST_ACTION = 1000
LONGEST_DETAILS = 16 * 1024
LARGEST_DAY = 16 * 1024 * 1024
# Up to this a day is written anew with each entry, which nobody ever sees half of.
_SHORT_DAY = 64 * 1024
# Above this it is cut down to the newest entries.
_LONG_DAY = 4 * 1024 * 1024
# An entry is shorter.
_TAIL = 64 * 1024

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_Dumper: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)


def session_log(folder: Path, action: str, details: Any, now: datetime) -> Path:
    """Adds an entry to the day's file in ``<folder>/sessions``, and says which file that is.

    It blocks, while another process adds one, too. Of more than 5,000 entries of a day the newest are kept.

    Args:
        folder: the folder of the memory; made if it is not there.
        action: what was done, in a line.
        details: more about it: a text, or plain data; nothing if empty.
        now: the time of the entry, in the zone in which it is to be read.

    Raises:
        OSError: the file can't be written.
        ValueError: the day's file is there, and is none.
    """
    sessions = folder / "sessions"
    sessions.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = sessions / f"{now:%Y-%m-%d}.yaml"
    entry: dict[str, Any] = {"time": f"{now:%H:%M:%S}", "action": _cut(action, LONGEST_ACTION)}
    if details not in (None, "", [], {}):
        entry["details"] = _details(details)
    # Held as long as this is open; it stays, since whoever waits for it holds it open already.
    with open(sessions / f".{path.name}.lock", "a", encoding="ascii", opener=_own) as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if _append(path, entry):
            return path
        day = _day(path, f"{now:%Y-%m-%d}")
        day["entries"] = [*day["entries"], entry][-MOST_ENTRIES:]
        write(path, yaml.dump(day, Dumper=_Dumper, sort_keys=False, allow_unicode=True).encode())
    return path


def _own(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_CLOEXEC, 0o600)


def _append(path: Path, entry: dict[str, Any]) -> bool:
    """Adds the entry at the end of a file that is neither short nor too long, if entries are what it ends with.

    To read a day and write it anew for each entry would take longer and longer.
    """
    with suppress(FileNotFoundError), open(path, "r+b") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - _TAIL))
        tail = file.read()
        tops = [line for line in tail.split(b"\n") if line[:1] not in (b"", b" ")]
        if not _SHORT_DAY < size < _LONG_DAY or not tail.endswith(b"\n") or not tops or not tops[-1].startswith(b"- "):
            return False
        file.write(yaml.dump([entry], Dumper=_Dumper, sort_keys=False, allow_unicode=True).encode())
        file.flush()
        os.fsync(file.fileno())
        return True
    return False


def _day(path: Path, date: str) -> dict[str, Any]:
    try:
        text = path.read_text("utf-8") if path.stat().st_size <= LARGEST_DAY else None
    except FileNotFoundError:
        return {"date": date, "entries": []}
    try:
        day = yaml.load(text or "", Loader=_Loader)  # noqa: S506 - the safe loader, in C
    except (yaml.YAMLError, RecursionError) as error:
        raise ValueError(f"{path} is not to be read as YAML: {error}") from None
    if text == "":
        return {"date": date, "entries": []}
    if not isinstance(day, dict) or not isinstance(day.setdefault("entries", []), list | None):
        raise ValueError(f"{path} must be a map with date and entries, of at most {LARGEST_DAY} bytes")
    return {**day, "entries": day["entries"] or []}


def _details(details: Any) -> Any:
    if isinstance(details, str):
        return _cut(details, LONGEST_DETAILS)
    text = json.dumps(details, ensure_ascii=False, default=str)
    # Through JSON, so that YAML is given nothing but plain data.
    return json.loads(text) if len(text) <= LONGEST_DETAILS else _cut(text, LONGEST_DETAILS)


def _cut(text: str, limit: int) -> str:
    whole = text.encode("utf-8", "replace").decode("utf-8")
    return whole if len(whole) <= limit else whole[: limit - 1] + "…"


def entry_of(args: Mapping[str, Any]) -> tuple[str, Any]:
    """What a step wants to be remembered: action and details.

    Raises:
        ValueError: there is no action.
    """
    action = args.get("action")
    if not isinstance(action, str) or not action.strip():
        raise ValueError("it needs action, a text, and may have details")
    return action, args.get("details")

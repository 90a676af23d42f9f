"""The memory of sessions: what was done on a day, a file of YAML for each."""

import fcntl
import json
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import yaml

from wakeful.files import write

MOST_ENTRIES = 5000
LONGEST_ACTION = 1000
LONGEST_DETAILS = 16 * 1024
LARGEST_DAY = 16 * 1024 * 1024

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
    sessions.mkdir(parents=True, exist_ok=True)
    path = sessions / f"{now:%Y-%m-%d}.yaml"
    entry: dict[str, Any] = {"time": f"{now:%H:%M:%S}", "action": _cut(action, LONGEST_ACTION)}
    if details not in (None, "", [], {}):
        entry["details"] = _details(details)
    # Held as long as this is open; it stays, since whoever waits for it holds it open already.
    with open(sessions / f".{path.name}.lock", "a", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        day = _day(path, f"{now:%Y-%m-%d}")
        day["entries"] = [*day["entries"], entry][-MOST_ENTRIES:]
        write(path, yaml.dump(day, Dumper=_Dumper, sort_keys=False, allow_unicode=True).encode())
    return path


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

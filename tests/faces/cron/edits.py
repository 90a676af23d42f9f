"""Five processes that edit one config file, well and badly; and the judge of what the daemon makes of it.

Run as a program, this is one of the writers: ``edits.py FOLDER NUMBER EDITS SEED``.
"""

import asyncio
import fcntl
import json
import os
import random
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

WRITERS = 5
EVERY_SECOND = "* * * * * *"
# In every valid version, and always the same; and one that is switched off in state.json.
KEPT = {"name": "kept", "cron": "0 9 1 1 *", "skill": "s"}
SWITCHED_OFF = {"name": "off-by-switch", "cron": EVERY_SECOND, "skill": "s"}


def version(name: str) -> dict[str, Any]:
    """A valid file: jobs of its own, one of them off, and some that are in every version."""
    own = [
        {"name": f"{name}-a", "cron": EVERY_SECOND, "skill": "s"},
        {"name": f"off-{name}", "cron": EVERY_SECOND, "skill": "s", "enabled": False},
        # In each version by this name, and in each another.
        {"name": "shared", "cron": EVERY_SECOND, "skill": "s", "inputs": {"version": name}},
    ]
    return {"schedules": {"jobs": [KEPT, SWITCHED_OFF, *own]}, "padding": "x" * 2_000}


def poisoned(name: str) -> dict[str, Any]:
    """A file with a job that can't be: nothing of it may be used."""
    poison = {"name": f"poison-{name}", "cron": EVERY_SECOND, "skill": "s"}
    return {"schedules": {"jobs": [poison, {"name": f"bad-{name}", "cron": "61 * * * *", "skill": "s"}]}}


class Writer:
    """One of those who edit the file."""

    def __init__(self, folder: Path, number: int, chance: random.Random) -> None:
        self._path = folder / "config.json"
        self._lock = folder / "writers.lock"
        self._number = number
        self._chance = chance

    def edit(self, count: int) -> str:
        """Makes an edit; which kind."""
        name = f"v{self._number}-{count}"
        whole, poison = json.dumps(version(name)).encode(), json.dumps(poisoned(name)).encode()
        kinds: dict[str, Callable[[], None]] = {
            "atomic": lambda: self._replace(whole),
            "in place": lambda: self._in_place(whole, len(whole)),
            "partial": lambda: self._in_place(whole, self._chance.randrange(len(whole))),
            "partial poison": lambda: self._in_place(poison, self._chance.randrange(len(poison))),
            "poison": lambda: self._replace(poison),
            "poison in place": lambda: self._in_place(poison, len(poison)),
            "empty": lambda: self._replace(self._chance.choice([b"", b"{}", b"[]", b"null", b"\xff\xfe", b"\0" * 99])),
            "deleted": self._delete,
            "deleted, and back": lambda: self._delete_and_replace(whole),
        }
        kind = self._chance.choice(list(kinds))
        kinds[kind]()
        return kind

    def _replace(self, content: bytes) -> None:
        temporary = self._path.with_name(f".edit{self._number}")
        temporary.write_bytes(content)
        temporary.rename(self._path)

    def _in_place(self, content: bytes, end: int) -> None:
        # Two who write into one file at once may make a third text of theirs, that nobody meant.
        with self._alone(), self._path.open("wb", buffering=0) as file:
            for at in range(0, end, 700):
                file.write(content[at : min(at + 700, end)])
                time.sleep(self._chance.uniform(0, 0.01))

    def _delete(self) -> None:
        self._path.unlink(missing_ok=True)

    def _delete_and_replace(self, content: bytes) -> None:
        self._delete()
        time.sleep(self._chance.uniform(0, 0.2))
        self._replace(content)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        with self._lock.open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


async def judged(here: Any, rounds: int, edits: int, seed: int) -> int:
    """Rounds of ``edits`` edits by five writers, each ending in a known state; how many runs came meanwhile.

    ``here`` is a ``Real`` daemon without jobs.
    """
    here.paths.state.write_text(json.dumps({"jobs": {SWITCHED_OFF["name"]: {"enabled": False}}}))
    here.config.write_text(json.dumps(version("first")))
    await here.until_live(*names_of("first"))
    kept = (await here.record("kept")).id
    for number in range(rounds):
        await _edited(here.config.parent, edits // WRITERS, seed + number * WRITERS)
        last = f"end{number}"
        here.config.write_text(json.dumps(version(last)))
        await here.until_live(*names_of(last))
        # What had been claimed a moment before is still on its way.
        began = time.time() + 0.3
        # What follows is no file that could be used: the last valid one goes on.
        here.config.write_text(json.dumps(poisoned(last))[: -1 - number % 40])
        await asyncio.sleep(2.5)
        assert set(await here.live()) == names_of(last)
        came = [(name, data) for at, name, data in here.came if at > began]
        assert {name for name, _ in came} == {f"{last}-a", "shared"}
        assert {data["version"] for name, data in came if name == "shared"} == {last}
    record = await here.record("kept")
    assert (record.id, record.revision) == (kept, 1)
    assert not [name for _, name, _ in here.came if name.startswith(("poison", "off", "bad", "kept"))]
    assert not [name for name in await here.ever() if name.startswith(("poison", "bad"))]
    return len(here.came)


def names_of(name: str) -> set[str]:
    """The jobs of a version."""
    return {job["name"] for job in version(name)["schedules"]["jobs"]}


async def _edited(folder: Path, each: int, seed: int) -> None:
    processes = [
        await asyncio.create_subprocess_exec(
            sys.executable, __file__, str(folder), str(number), str(each), str(seed + number)
        )
        for number in range(WRITERS)
    ]
    ended = await asyncio.gather(*(process.wait() for process in processes))
    assert set(ended) == {0}


def main() -> None:
    folder, number, edits, seed = Path(sys.argv[1]), *map(int, sys.argv[2:])
    chance = random.Random(seed)
    writer = Writer(folder, number, chance)
    for count in range(edits):
        writer.edit(seed * 10_000 + count)
        time.sleep(chance.uniform(0, 0.1))
    os._exit(0)


if __name__ == "__main__":
    main()

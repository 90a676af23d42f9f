"""``wakeful`` with one named place where it dies, hangs, raises, ends or is cancelled: ``POINT:N:ACTION ARGUMENTS…``.

The failpoints exist only here: the places are wrapped from outside before the command starts. From its N-th hit on, a
place does its action; ``once`` before the action (``once-raise``) lets the next hits pass.
An empty point is plain wakeful.
"""

import asyncio
import os
import signal
import sys
import threading
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from wakeful import main
from wakeful.engine import Engine
from wakeful.stores.sqlite import SqliteStore, opening
from wakeful.stores.sqlite.writer import Writer
from wakeful.targets.http import HttpApp

COMMITS = ("before_begin", "before_commit", "after_commit")


class Failpoint:
    """The one place that does not do what it should."""

    def __init__(self, spec: str) -> None:
        self.point, number, action = (spec or "none:0:none").split(":")
        self._left = int(number)
        self._once = action.startswith("once-")
        self._action = action.removeprefix("once-")
        self._lock = threading.Lock()

    def _hit(self, point: str) -> bool:
        if point != self.point:
            return False
        with self._lock:
            self._left -= 1
            if self._left > 0 or (self._once and self._left < 0):
                return False
        print(f"failpoint {point}: {self._action}", file=sys.stderr, flush=True)
        return True

    def at(self, point: str) -> None:
        """A place on any thread."""
        if self._hit(point):
            self._do()

    async def at_await(self, point: str) -> bool:
        """A place in a coroutine; true if it is to end there."""
        if not self._hit(point):
            return False
        if self._action == "hang":
            await asyncio.get_running_loop().create_future()
        if self._action == "cancel":
            task = asyncio.current_task()
            assert task is not None
            task.cancel()
            await asyncio.sleep(0)
        if self._action != "end":
            self._do()
        return True

    def _do(self) -> None:
        match self._action:
            case "kill":
                os.kill(os.getpid(), signal.SIGKILL)
                time.sleep(60)
            case "block":
                time.sleep(3600)
            case "raise":
                raise RuntimeError(f"failpoint {self.point}")
            case other:
                raise SystemExit(f"{other!r} can't be done at {self.point}")


class Database:
    """A connection that passes the places around its transactions' ends."""

    def __init__(self, db: Any, failpoint: Failpoint, kinds: set[str]) -> None:
        self._db = db
        self._failpoint = failpoint
        self.kinds = kinds

    def __getattr__(self, name: str) -> Any:
        return getattr(self._db, name)

    def execute(self, statement: str, *values: Any, **options: Any) -> Any:
        before, after = {"BEGIN IMMEDIATE": (COMMITS[0], None), "COMMIT": COMMITS[1:]}.get(statement, (None, None))
        self._pass(before)
        result = self._db.execute(statement, *values, **options)
        self._pass(after or ("in_script" if statement.lstrip().startswith(("CREATE", "--")) else None))
        return result

    def _pass(self, where: str | None) -> None:
        if where is not None:
            for kind in self.kinds:
                self._failpoint.at(f"{kind}.{where}")


def install(failpoint: Failpoint) -> None:
    """Wraps every place."""
    _wrap_commits(failpoint)
    migrate = opening._migrate
    opening._migrate = lambda db: migrate(Database(db, failpoint, {"migration"}))  # type: ignore[arg-type]
    for owner, names in {
        Engine: ("_claim_turns", "_claim_turn", "_settle_turns", "_settle_now", "_prune_turns", "_watch_changes"),
        SqliteStore: ("claim_due", "settle", "heartbeat", "prune"),
        HttpApp: ("deliver", "available"),
    }.items():
        for name in names:
            wrapped = partial(_around, failpoint, f"{owner.__name__}.{name}", getattr(owner, name))
            setattr(owner, name, _method(wrapped))


def _wrap_commits(failpoint: Failpoint) -> None:
    commit = Writer._commit
    begin = Writer.__init__

    def _begin(self: Any, connection: Any, loop: asyncio.AbstractEventLoop) -> None:
        begin(self, Database(connection, failpoint, set()), loop)  # type: ignore[arg-type]

    def _commit(self: Any, group: list[Any]) -> None:
        self._db.kinds = {item.work.__name__ for item in group}
        commit(self, group)

    Writer.__init__ = _begin  # type: ignore[method-assign]
    Writer._commit = _commit  # type: ignore[method-assign]


def _method(function: Callable[..., Any]) -> Callable[..., Any]:
    async def method(self: Any, *arguments: Any, **options: Any) -> Any:
        return await function(self, *arguments, **options)

    return method


async def _around(
    failpoint: Failpoint, place: str, function: Callable[..., Awaitable[Any]], *arguments: Any, **options: Any
) -> Any:
    if place == "Engine._settle_now" and not arguments[0]._outcomes:
        return await function(*arguments, **options)
    if await failpoint.at_await(f"{place}.before"):
        return None
    result = await function(*arguments, **options)
    await failpoint.at_await(f"{place}.after")
    return result


if __name__ == "__main__":
    install(Failpoint(sys.argv.pop(1)))
    main.main()

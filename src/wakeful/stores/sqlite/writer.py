"""The one thread that writes: everything that waits goes into one transaction (group commit)."""

import asyncio
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from typing import Any

import apsw

from wakeful.core.errors import ErrorCode, WakefulError

# A caller past this waits for nothing: it is refused.
MOST_PENDING = 20_000
# A transaction takes no more than this, so that the writer never holds the file for long.
MOST_IN_GROUP = 1_000

# Does the same for every item of a group, inside the transaction; gives a result, or an error to raise, for each.
Work = Callable[[apsw.Connection, Sequence[Any]], Sequence[Any]]
# What one item reads and decides before the transaction; anything but None is the result, and nothing is written.
Prepare = Callable[[apsw.Connection, Any], Any]


@dataclass(slots=True)
class Item:
    """One call that waits for its commit."""

    work: Work
    argument: Any
    future: asyncio.Future[Any]
    prepare: Prepare | None = None
    result: Any = field(default=None)


class _Committer:
    """Performs groups of items, each in one transaction."""

    _db: apsw.Connection

    def _perform(self, group: list[Item]) -> None:
        writing = [item for item in group if self._prepared(item)]
        if not writing:
            return
        try:
            self._commit(writing)
        except Exception as error:
            if len(writing) == 1:
                writing[0].result = explained(error)
                return
            # One bad item must not fail those beside it.
            for item in writing:
                try:
                    self._commit([item])
                except Exception as own:
                    item.result = explained(own)

    def _prepared(self, item: Item) -> bool:
        if item.prepare is None:
            return True
        try:
            item.result = item.prepare(self._db, item.argument)
        except Exception as error:
            item.result = explained(error)
        return item.result is None

    def _commit(self, group: list[Item]) -> None:
        kinds: dict[Work, list[Item]] = {}
        for item in group:
            kinds.setdefault(item.work, []).append(item)
        self._db.execute("BEGIN IMMEDIATE")
        try:
            for work, items in kinds.items():
                results = work(self._db, [item.argument for item in items])
                for item, result in zip(items, results, strict=True):
                    item.result = result
            self._db.execute("COMMIT")
        except BaseException:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise


class Writer(_Committer):
    """Runs work on its own connection, in the order in which kinds of work came."""

    def __init__(self, connection: apsw.Connection, loop: asyncio.AbstractEventLoop) -> None:
        self._db = connection
        self._loop = loop
        self._queue: SimpleQueue[Item | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="wakeful-writer", daemon=True)
        self._thread.start()

    def submit(self, work: Work, argument: Any, prepare: Prepare | None = None) -> asyncio.Future[Any]:
        """The future of what ``work`` gives for ``argument``; done after the commit."""
        future: asyncio.Future[Any] = self._loop.create_future()
        if self._queue.qsize() >= MOST_PENDING:
            future.set_exception(WakefulError(ErrorCode.STORE_UNAVAILABLE, "the store is overloaded: try again later"))
        else:
            self._queue.put(Item(work, argument, future, prepare))
        return future

    def close(self) -> None:
        """Finishes what waits, then ends the thread."""
        self._queue.put(None)
        self._thread.join()
        self._db.close()

    def _run(self) -> None:
        while True:
            group, last = self._next_group()
            if group:
                self._perform(group)
                self._loop.call_soon_threadsafe(_answer, group)
            if last:
                return

    def _next_group(self) -> tuple[list[Item], bool]:
        group: list[Item] = []
        item = self._queue.get()
        try:
            while item is not None:
                group.append(item)
                if len(group) == MOST_IN_GROUP:
                    return group, False
                item = self._queue.get_nowait()
        except Empty:
            return group, False
        return group, True


class InlineWriter(_Committer):
    """Commits each item at once, on the caller's thread: the writer of a simulation, without threads."""

    def __init__(self, connection: apsw.Connection, loop: asyncio.AbstractEventLoop) -> None:
        self._db = connection
        self._loop = loop

    def submit(self, work: Work, argument: Any, prepare: Prepare | None = None) -> asyncio.Future[Any]:
        """The future of what ``work`` gives for ``argument``; it is done."""
        group = [Item(work, argument, self._loop.create_future(), prepare)]
        self._perform(group)
        _answer(group)
        return group[0].future

    def close(self) -> None:
        """Lets the file go."""
        self._db.close()


def _answer(group: Sequence[Item]) -> None:
    for item in group:
        if item.future.done():
            continue
        if isinstance(item.result, Exception):
            item.future.set_exception(item.result)
        else:
            item.future.set_result(item.result)


_UNAVAILABLE = (
    apsw.BusyError,
    apsw.LockedError,
    apsw.FullError,
    apsw.IOError,
    apsw.ReadOnlyError,
    apsw.CantOpenError,
    apsw.CorruptError,
    apsw.NotADBError,
)


def explained(error: Exception) -> Exception:
    """What a caller is told: that the store is not to be had now, and why; any other error as it is."""
    if isinstance(error, _UNAVAILABLE):
        return WakefulError(ErrorCode.STORE_UNAVAILABLE, f"the store can't be used now: {error}")
    return error

"""Small documents by kind and key; calendars are among them."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

import apsw

from wakeful.core.codec import Decoder, read_calendar
from wakeful.core.errors import ErrorCode, WakefulError
from wakeful.core.ports import Record
from wakeful.stores.sqlite.rows import after_prefix, sql

Reading = Callable[[Callable[[apsw.Connection], Any]], Awaitable[Any]]
Writing = Callable[[Callable[[apsw.Connection, Sequence[Any]], Sequence[Any]], Any], Awaitable[Any]]


@dataclass(frozen=True, slots=True)
class _Put:
    kind: str
    key: str
    value: str
    expected: int | None


class SqliteRecords:
    """The records' port on the store's threads."""

    def __init__(self, read: Reading, write: Writing) -> None:
        self._read = read
        self._write = write

    async def get(self, kind: str, key: str) -> Record | None:
        """The document of that key."""
        return next((record for record in await self.list(kind, key) if record.key == key), None)

    async def put(self, kind: str, key: str, value: str, expected: int | None = None) -> int:
        """Keeps a document; its revision."""
        return int(await self._write(_put, _Put(kind, key, value, expected)))

    async def list(self, kind: str, prefix: str = "") -> Sequence[Record]:
        """In byte order of their keys."""
        return [Record(*row) for row in await self._read(lambda db: _list(db, kind, prefix))]

    async def delete(self, kind: str, key: str) -> bool:
        """Forgets a document."""
        return bool(await self._write(_delete, (kind, key)))


def refresh_calendars(db: apsw.Connection, decoder: Decoder) -> None:
    """Lets jobs be read with the calendars as they are now."""
    rows = [tuple(row) for row in _list(db, "calendar", "")]
    if rows != decoder.calendars_read:
        decoder.use_calendars({key: read_calendar(key, value) for key, value, _ in rows}, rows)


def _list(db: apsw.Connection, kind: str, prefix: str) -> list[Any]:
    return sql(db, "list_records", {"kind": kind, "prefix": prefix, "high": after_prefix(prefix)})


def _put(db: apsw.Connection, items: Sequence[_Put]) -> Sequence[Any]:
    return [_put_one(db, item) for item in items]


def _put_one(db: apsw.Connection, item: _Put) -> int | WakefulError:
    columns = {"kind": item.kind, "key": item.key, "value": item.value, "expected": item.expected}
    rows = sql(db, "put_record", columns)
    if rows:
        return int(rows[0][0])
    return WakefulError(ErrorCode.STALE_REVISION, f"{item.kind} {item.key!r} was changed meanwhile: read it again")


def _delete(db: apsw.Connection, items: Sequence[tuple[str, str]]) -> Sequence[bool]:
    return [bool(sql(db, "delete_record", {"kind": kind, "key": key})) for kind, key in items]

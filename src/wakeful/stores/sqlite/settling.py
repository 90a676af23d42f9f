"""Work of the writer on ends: settlements, and runs that a dead node left."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import apsw

from wakeful.core.codec import from_us, to_us
from wakeful.core.ports import Put, Settled
from wakeful.core.run import UNENDED, RunState
from wakeful.core.settlement import Settlement
from wakeful.stores.sqlite.definitions import PutItem, put_jobs
from wakeful.stores.sqlite.ledger import Tools, release
from wakeful.stores.sqlite.rows import Row, dumps, sql

# A run keeps its first error and the newest ones.
MOST_ERRORS = 10


@dataclass(frozen=True, slots=True)
class SettleItem:
    """One ``settle``."""

    settlements: Sequence[Settlement]
    now: datetime
    # The jobs that tell of each, by run and fence.
    notices: Sequence[tuple[tuple[bytes, int], PutItem]] = ()

    @classmethod
    def of(cls, settlements: Sequence[Settlement], now: datetime, tools: Tools) -> "SettleItem":
        """With the definitions of its notices encoded, outside the transaction."""
        notices = [
            ((settlement.run_id.bytes, settlement.fence), PutItem.of(notice, Put.CREATE, now, tools))
            for settlement in settlements
            for notice in settlement.notices
        ]
        return cls(settlements, now, notices)


def settle_runs(db: apsw.Connection, items: Sequence[SettleItem]) -> Sequence[Settled]:
    """Writes all settlements of the group, then frees their jobs."""
    now = max(item.now for item in items)
    settlements = [settlement for item in items for settlement in item.settlements]
    columns = dumps([_columns(settlement) for settlement in settlements])
    rows = sql(db, "settle_runs", {"items": columns, "now": to_us(now), "most_errors": MOST_ERRORS})
    wake_at = end_runs(db, rows, now)
    settled = {(row[0], row[7]) for row in rows}
    notices = [notice for item in items for of, notice in item.notices if of in settled]
    if notices:
        put_jobs(db, notices)
        wake_at = now
    return [
        Settled([s.run_id for s in item.settlements if (s.run_id.bytes, s.fence) not in settled], wake_at)
        for item in items
    ]


def end_runs(db: apsw.Connection, rows: Sequence[Row], now: datetime) -> datetime | None:
    """Frees the jobs of those rows that ended; the earliest instant at which something is claimable because of it."""
    due = release(db, (row for row in rows if row[2] not in UNENDED), now)
    again = [row[5] for row in rows if row[2] == RunState.WAITING]
    times = ([due] if due else []) + ([from_us(min(again))] if again else [])
    return min(times, default=None)


def _columns(settlement: Settlement) -> dict[str, Any]:
    return {
        "id": settlement.run_id.hex,
        "fence": settlement.fence,
        "state": settlement.state,
        "attempt": settlement.attempt,
        "reason": settlement.reason,
        "run_at": None if settlement.run_at is None else to_us(settlement.run_at),
        "lease": None if settlement.lease_until is None else to_us(settlement.lease_until),
        "error": settlement.error,
        "ended": None if settlement.ended_at is None else to_us(settlement.ended_at),
        "queue": settlement.queue,
        "result": None if settlement.result is None else settlement.result.hex(),
        "expires": None if settlement.expires_at is None else to_us(settlement.expires_at),
    }

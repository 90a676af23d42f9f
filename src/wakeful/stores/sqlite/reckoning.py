"""Work of the writer when the clock was set: what was to last so long still lasts so long."""

from collections.abc import Sequence
from datetime import timedelta

import apsw

from wakeful.core.codec import from_us, to_us
from wakeful.core.retiming import STEP, Reading, Retime
from wakeful.stores.sqlite.rows import dumps, sql

# The record of when the machine started, by its wall clock: who is told of a step finds out whether it is news.
_RECORD = {"kind": "clock", "key": "machine", "expected": None}
# Small steps are followed, so that many of them never look like a large one; not for each do we write.
_FOLLOWED = timedelta(seconds=0.5)
_NO_STEP = timedelta(0)


def retime(db: apsw.Connection, items: Sequence[tuple[Sequence[Retime], Reading | None]]) -> Sequence[int]:
    """Moves the next instants of jobs that still stand where they were read, and what runs wait for; how many jobs."""
    return [_retime(db, moves, reading) for moves, reading in items]


def _retime(db: apsw.Connection, moves: Sequence[Retime], reading: Reading | None) -> int:
    step = _NO_STEP if reading is None else step_since(db, reading)
    if reading is not None and step:
        by = {"step": step // timedelta.resolution}
        # A node looks at the clock every second.
        sql(db, "shift_runs", {**by, "just_now": to_us(reading.now - STEP), "now": to_us(reading.now)})
        sql(db, "shift_busy", by)
        sql(db, "shift_pauses", {"now": to_us(reading.now)})
        _keep(db, reading)
    return len(sql(db, "retime", {"moves": dumps([_move(move) for move in moves])})) if moves else 0


def step_since(db: apsw.Connection, reading: Reading) -> timedelta:
    """How far the clock was set since the store last reckoned with it; what is no step is followed."""
    ((boot_id, booted_at, newest),) = sql(db, "known_clock")
    if boot_id == reading.boot_id:
        moved = reading.booted_at - from_us(booted_at)
    else:
        # Of another start of the machine nothing is known, but that there can't be runs from the future.
        moved = _NO_STEP if newest is None else min(_NO_STEP, reading.now - from_us(newest))
    if abs(moved) > STEP:
        return moved
    if boot_id != reading.boot_id or abs(moved) > _FOLLOWED:
        _keep(db, reading)
    return _NO_STEP


def _keep(db: apsw.Connection, reading: Reading) -> None:
    value = dumps({"boot_id": reading.boot_id, "booted_at": to_us(reading.booted_at)})
    sql(db, "put_record", {**_RECORD, "value": value})


def _move(move: Retime) -> dict[str, int | None]:
    return {
        "id": move.job_id,
        "revision": move.revision,
        "seq": move.seq,
        "was": to_us(move.was),
        "next": None if move.next_due_at is None else to_us(move.next_due_at),
    }

"""The store's port on one SQLite file. The writer's thread writes; another, with its own connection, reads."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID

import apsw

from wakeful.core.codec import Decoder, Zones
from wakeful.core.errors import ErrorCode, WakefulError
from wakeful.core.job import Job, JobKey, JobRecord, JobState
from wakeful.core.ports import (
    Claimed,
    Entropy,
    Heartbeat,
    Hold,
    JobQuery,
    NewRun,
    Node,
    NodeId,
    Page,
    Put,
    Retention,
    Room,
    RunQuery,
    Settled,
    StateChange,
)
from wakeful.core.retiming import Reading, Retime
from wakeful.core.run import Run
from wakeful.core.settlement import Settlement
from wakeful.stores.sqlite import claims, definitions, ledger, reckoning, settling, upkeep
from wakeful.stores.sqlite.finding import find_jobs, find_runs
from wakeful.stores.sqlite.opening import connect, open_database, pragma
from wakeful.stores.sqlite.records import SqliteRecords
from wakeful.stores.sqlite.rows import run_of, sql
from wakeful.stores.sqlite.writer import InlineWriter, Prepare, Work, Writer, explained

T = TypeVar("T")

# How often another process's commits are looked for: beside other nodes, and alone (a command line may change jobs).
CHANGES_EVERY_S = 0.02
CHANGES_ALONE_S = 0.2


class SqliteStore:
    """Keeps everything in one file; several processes may share it."""

    def __init__(self, path: Path, zones: Zones, entropy: Entropy, *, inline: bool = False) -> None:
        """Opens the file, made if missing and brought to the newest schema. Call it with the event loop running.

        ``inline`` is for simulations: every call is done at once, on one connection and without threads, and nothing
        waits for the disk; the path may be ``:memory:``.

        Raises:
            WakefulError: ``STORE_UNUSABLE`` if the file is no store of ours, damaged, newer, or not to be opened.
        """
        self._decoder = Decoder(zones)
        self._alone = False
        self._tools = ledger.Tools(self._decoder, ledger.Ids(entropy))
        self.records = SqliteRecords(self._read, self._write)
        try:
            db = open_database(path, durable=not inline)
            self._reader_db = db if inline else connect(path)
        except apsw.Error as error:
            raise WakefulError(ErrorCode.STORE_UNUSABLE, f"can't use {path} as a store: {error}") from error
        loop = asyncio.get_running_loop()
        self._writer = InlineWriter(db, loop) if inline else Writer(db, loop)
        self._reader = None if inline else ThreadPoolExecutor(1, thread_name_prefix="wakeful-reader")

    async def _write(self, work: Work, item: Any, prepare: Prepare | None = None) -> Any:
        result = await self._writer.submit(work, item, prepare)
        if isinstance(result, WakefulError):
            raise result
        return result

    async def _read(self, function: Callable[[apsw.Connection], T]) -> T:
        try:
            if self._reader is None:
                return function(self._reader_db)
            return await asyncio.get_running_loop().run_in_executor(self._reader, function, self._reader_db)
        except apsw.Error as error:
            raise explained(error) from error

    async def put_job(self, job: Job, how: Put, now: datetime, revision: int | None = None) -> JobRecord:
        """Stores a definition."""
        item = definitions.PutItem.of(job, how, now, self._tools, revision=revision)
        if how is Put.EDIT:
            return await self._write(definitions.edit_jobs, item)  # type: ignore[no-any-return]
        return await self._write(definitions.put_jobs, item)  # type: ignore[no-any-return]

    async def put_run(self, job: Job, run: NewRun, now: datetime) -> JobRecord:
        """Stores a new job with the one run that it has."""
        item = definitions.PutItem.of(job, Put.CREATE, now, self._tools, run=run)
        return await self._write(definitions.put_with_runs, item)  # type: ignore[no-any-return]

    async def get_job(self, key: JobKey) -> JobRecord | None:
        """The unended job of that key."""
        return await self._read(lambda db: ledger.find(db, key, self._decoder))

    async def list_jobs(self, query: JobQuery) -> Page[JobRecord]:
        """In byte order of (namespace, owner, name), then id."""
        return await self._read(lambda db: find_jobs(db, query, self._decoder))

    async def end_jobs(self, query: JobQuery, state: JobState, now: datetime) -> int:
        """Ends every unended job that the query names."""
        item = definitions.EndItem(query, state, now, self._tools)
        return await self._write(definitions.end_jobs, item)  # type: ignore[no-any-return]

    async def set_state(self, change: StateChange, now: datetime) -> JobRecord:
        """Pauses or resumes."""
        item = definitions.StateItem(change.key, change.state, change.note, change.replay, now, self._tools)
        return await self._write(definitions.set_states, item)  # type: ignore[no-any-return]

    async def add_runs(self, key: JobKey, runs: Sequence[NewRun], now: datetime) -> Sequence[UUID]:
        """Adds runs beside the schedule."""
        return await self._write(upkeep.add_runs, upkeep.AddItem(key, runs, now, self._decoder))  # type: ignore[no-any-return]

    async def cancel_runs(self, runs: Sequence[UUID], reason: str, now: datetime) -> Sequence[UUID]:
        """Ends runs that have not ended."""
        return await self._write(upkeep.cancel_runs, upkeep.CancelItem(runs, reason, now))  # type: ignore[no-any-return]

    async def prioritise(self, run: UUID, priority: int) -> bool:
        """Gives a run another priority among those that wait."""
        return await self._write(upkeep.prioritise, (run, priority))  # type: ignore[no-any-return]

    async def retime(self, moves: Sequence[Retime], reading: Reading | None = None) -> int:
        """Moves the next instants of jobs, and what runs wait for."""
        return await self._write(reckoning.retime, (moves, reading))  # type: ignore[no-any-return]

    async def get_run(self, run: UUID) -> Run | None:
        """The run of that id."""
        rows = await self._read(lambda db: sql(db, "get_run", {"id": run.bytes}))
        return run_of(rows[0]) if rows else None

    async def list_runs(self, query: RunQuery) -> Page[Run]:
        """Newest first."""
        return await self._read(lambda db: find_runs(db, query))

    async def heartbeat(self, node: Node, now: datetime) -> Heartbeat:
        """Renews the node's lease, and takes the claimed runs of dead nodes back."""
        beat: Heartbeat = await self._write(upkeep.heartbeat, upkeep.BeatItem(node, now, self._decoder))
        self._alone = not beat.peers
        return beat

    async def leave(self, node: NodeId, now: datetime) -> None:
        """Gives back what the node still holds, and forgets the node."""
        await self._write(upkeep.leave, (node, now))

    async def claim_due(self, node: NodeId, rooms: Mapping[str, Room], now: datetime) -> Claimed:
        """Takes what is due in these queues."""
        item = claims.ClaimItem(node, rooms, now, self._decoder, self._tools.ids)
        return await self._write(claims.claim, item, claims.prepare_claim)  # type: ignore[no-any-return]

    async def claim_for(self, hold: Hold, rooms: Mapping[str, int], now: datetime) -> Claimed:
        """Takes waiting runs for a holder."""
        free = {queue: Room(room, room) for queue, room in rooms.items()}
        item = claims.ClaimItem(None, free, now, self._decoder, self._tools.ids, hold)
        return await self._write(claims.claim, item, claims.prepare_claim)  # type: ignore[no-any-return]

    async def settle(self, settlements: Sequence[Settlement], now: datetime) -> Settled:
        """Writes what became of runs."""
        return await self._write(settling.settle_runs, settling.SettleItem.of(settlements, now, self._tools))  # type: ignore[no-any-return]

    async def audit(self) -> Sequence[str]:
        """What of the ledger does not add up."""
        return await self._read(upkeep.audit)

    async def prune(self, keep: Retention, now: datetime) -> int:
        """Removes a bounded number of the oldest ended rows."""
        item = await self._read(lambda db: upkeep.look_for_excess(db, keep, now))
        return await self._write(upkeep.prune, item)  # type: ignore[no-any-return]

    async def changes(self) -> AsyncIterator[None]:
        """Yields whenever another process has committed."""
        seen = await self._version()
        while True:
            await asyncio.sleep(CHANGES_ALONE_S if self._alone else CHANGES_EVERY_S)
            version = await self._version()
            if version != seen:
                seen = version
                yield

    async def _version(self) -> int:
        # Asked on the writer's connection, which does not count its own commits.
        return await self._writer.submit(_nothing, None, _data_version)  # type: ignore[no-any-return]

    async def close(self) -> None:
        """Waits for what is being written and lets the file go."""
        if self._reader is None:
            self._writer.close()
            return
        await asyncio.get_running_loop().run_in_executor(None, self._writer.close)
        self._reader.shutdown()
        self._reader_db.close()


def _nothing(_: apsw.Connection, items: Sequence[Any]) -> Sequence[None]:
    return [None] * len(items)


def _data_version(db: apsw.Connection, _: None) -> int:
    return pragma(db, "data_version")

"""Work of the writer on definitions: put, edit, end, pause and resume."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import apsw
from msgspec import structs

from wakeful.core.codec import encode_definition, to_us
from wakeful.core.editing import edit
from wakeful.core.errors import ErrorCode, WakefulError
from wakeful.core.job import Job, JobKey, JobRecord, JobState
from wakeful.core.pausing import pause, resume
from wakeful.core.planning import Plan, leave_out
from wakeful.core.ports import JobQuery, NewRun, Put
from wakeful.core.run import RunState
from wakeful.stores.sqlite.finding import job_conditions
from wakeful.stores.sqlite.ledger import (
    BUSY_AGAIN,
    Tools,
    bound,
    find,
    gone_rows,
    insert_gone,
    insert_runs,
    new_row,
    records_of,
)
from wakeful.stores.sqlite.rows import Row, dumps, sql

# Data up to this size lies on the job's row.
INLINE_DATA = 1024
# Definitions of before edits that are kept of one job: about as many as runs are.
MOST_REVISIONS = 1_000


@dataclass(frozen=True, slots=True)
class PutItem:
    """One ``put_job``; the definition is encoded by the caller, outside the transaction.

    ``revision`` is the one that an edit was made of.
    """

    job: Job
    how: Put
    now: datetime
    tools: Tools
    definition: str
    run: NewRun | None = None
    revision: int | None = None

    @classmethod
    def of(cls, job: Job, how: Put, now: datetime, tools: Tools, **more: Any) -> "PutItem":
        """With its definition encoded."""
        return cls(job, how, now, tools, encode_definition(job), **more)


@dataclass(frozen=True, slots=True)
class _End:
    """Why jobs end: what becomes of their runs, and of themselves."""

    runs: RunState
    job: JobState
    now: datetime
    tools: Tools


@dataclass(frozen=True, slots=True)
class EndItem:
    """One ``end_jobs``."""

    query: JobQuery
    state: JobState
    now: datetime
    tools: Tools


@dataclass(frozen=True, slots=True)
class StateItem:
    """One ``set_state``."""

    key: JobKey
    state: JobState
    note: str | None
    replay: bool
    now: datetime
    tools: Tools


def put_jobs(db: apsw.Connection, items: Sequence[PutItem]) -> Sequence[Any]:
    """Stores new jobs. Writes to the same key come one after the other, each seeing the one before."""
    results: list[Any] = [None] * len(items)
    waiting = list(range(len(items)))
    while waiting:
        taken: set[JobKey] = set()
        turn: list[int] = []
        for index in waiting:
            if items[index].job.key not in taken:
                taken.add(items[index].job.key)
                turn.append(index)
        for index, result in zip(turn, _put_distinct(db, [items[index] for index in turn]), strict=True):
            results[index] = result
        done = set(turn)
        waiting = [index for index in waiting if index not in done]
    return results


def put_with_runs(db: apsw.Connection, items: Sequence[PutItem]) -> Sequence[JobRecord | WakefulError]:
    """Stores new jobs that are not due by themselves, each with the one run that it has."""
    inserted = sql(db, "insert_jobs", {"items": dumps([_columns(item) for item in items])})
    ids = {JobKey(namespace, owner, name): job_id for job_id, namespace, owner, name in inserted}
    # Of two that want the same name, the second comes too late.
    results = [_put_result(item, ids.pop(item.job.key, None)) for item in items]
    made = [(item, record) for item, record in zip(items, results, strict=True) if isinstance(record, JobRecord)]
    _keep_payloads(db, items, {record.job.key: record.id for _, record in made})
    rows = [new_row(item.run, record, item.now, ready=True) for item, record in made if item.run is not None]
    insert_runs(db, rows, max(item.now for item in items))
    return results


def _put_distinct(db: apsw.Connection, items: Sequence[PutItem]) -> Sequence[Any]:
    now = max(item.now for item in items)
    replaced = [item.job.key for item in items if item.how is Put.REPLACE]
    if replaced:
        keys = dumps([{"namespace": key.namespace, "owner": key.owner, "name": key.name} for key in replaced])
        ended = sql(db, "end_named", {"items": keys, "now": to_us(now)})
        _leave_nothing(db, ended, _End(RunState.SUPERSEDED, JobState.REPLACED, now, items[0].tools))
    rows = [_columns(item) for item in items]
    inserted = sql(db, "insert_jobs", {"items": dumps(rows)})
    ids = {JobKey(namespace, owner, name): job_id for job_id, namespace, owner, name in inserted}
    results = [_put_result(item, ids.get(item.job.key)) for item in items]
    _keep_payloads(db, items, ids)
    unborn = [record.id for record in results if isinstance(record, JobRecord) and record.next_due_at is None]
    if unborn:
        sql(db, "complete_unborn", {"ids": dumps(unborn)})
    return results


def _columns(item: PutItem) -> dict[str, Any]:
    job, due = item.job, _first_due(item)
    body = job.data.body if job.data else None
    return {
        "namespace": job.key.namespace,
        "owner": job.key.owner,
        "name": job.key.name,
        "definition": item.definition,
        "data": None if body is None or len(body) > INLINE_DATA else body.hex(),
        "queue": job.queue,
        **_policies(job),
        "next": None if due is None else to_us(due),
        "now": to_us(item.now),
        "active": 0 if item.run is None else 1,
    }


def _first_due(item: PutItem) -> datetime | None:
    """When the job is due by itself: not at all, where its one run is there already."""
    return item.job.schedule.first_due() if item.run is None else None


def _policies(job: Job) -> dict[str, Any]:
    """What statements must know of a job without reading its definition."""
    return {
        "max_running": bound(job),
        "priority": job.priority,
        "pause_after": job.pause_after,
        "delay": job.delay // timedelta(microseconds=1),
    }


def _put_result(item: PutItem, job_id: int | None) -> JobRecord | WakefulError:
    if job_id is None:
        return WakefulError(ErrorCode.JOB_EXISTS, f"job already exists: {item.job.key.name!r}")
    due = _first_due(item)
    going_on = due is not None or item.run is not None
    return JobRecord(
        id=job_id,
        job=item.job,
        revision=1,
        state=JobState.ACTIVE if going_on else JobState.COMPLETED,
        next_due_at=due,
        seq=0,
        active=0 if item.run is None else 1,
        succeeded=0,
        failed=0,
        not_run=0,
        busy_at=None,
        free_at=None,
        last_run=None,
        created_at=item.now,
        ended_at=None if going_on else item.now,
        updated_at=item.now,
        asked=0 if item.run is None else 1,
    )


def _keep_payloads(db: apsw.Connection, items: Sequence[PutItem], ids: dict[JobKey, int]) -> None:
    for item in items:
        data, job_id = item.job.data, ids.get(item.job.key)
        if job_id is not None and data is not None and len(data.body) > INLINE_DATA:
            sql(db, "insert_payload", {"id": job_id, "data": data.body})


def edit_jobs(db: apsw.Connection, items: Sequence[PutItem]) -> Sequence[Any]:
    """Changes definitions in place; only another schedule gives another next due instant."""
    return [_edit(db, item) for item in items]


def _edit(db: apsw.Connection, item: PutItem) -> JobRecord | WakefulError:
    name = item.job.key.name
    old = find(db, item.job.key, item.tools.decoder, readable=False)
    if old is None:
        return WakefulError(ErrorCode.JOB_NOT_FOUND, f"job not found: {name!r}")
    if item.revision not in (None, old.revision):
        return WakefulError(ErrorCode.STALE_REVISION, f"job {name!r} was changed meanwhile: read it again")
    job, plan = edit(old, item.job, item.now)
    if plan.gone:
        ids = item.tools.ids.take(len(plan.gone), item.now)
        insert_gone(db, gone_rows(old, plan, item.now, ids), item.now)
        sql(db, "account", {"id": old.id, "seq": plan.seq, "gone": plan.seq - old.seq})
    # A job that was stored with its run is that run: a change of it is one of the run.
    alone = plan.seq == 0 and old.next_due_at is None
    if job != old.job and not alone:
        sql(db, "keep_revision", {"id": old.id})
        sql(db, "trim_revisions", {"id": old.id, "keep": MOST_REVISIONS})
    return _edited(db, old, job, plan, item.now)


def _edited(db: apsw.Connection, old: JobRecord, job: Job, plan: Plan, now: datetime) -> JobRecord:
    due, body = plan.next_due_at, job.data.body if job.data else None
    small = body is None or len(body) <= INLINE_DATA
    changes = {
        "id": old.id,
        "definition": encode_definition(job),
        "data": body if small else None,
        "queue": job.queue,
        **_policies(job),
        "next": None if due is None else to_us(due),
        "now": to_us(now),
        **BUSY_AGAIN,
    }
    sql(db, "edit_job", changes)
    if job.queue != old.job.queue:
        sql(db, "follow_queue", {"id": old.id, "queue": job.queue, "was": old.job.queue})
    if small:
        sql(db, "delete_payload", {"id": old.id})
    else:
        sql(db, "insert_payload", {"id": old.id, "data": body})
    sql(db, "end_if_over", {"id": old.id, "now": to_us(now)})
    state = JobState.ACTIVE if old.state is JobState.PARKED else old.state
    over = state is JobState.ACTIVE and due is None and old.active == 0
    return structs.replace(
        old,
        job=job,
        state=JobState.COMPLETED if over else state,
        revision=old.revision + 1,
        next_due_at=due,
        seq=plan.seq,
        not_run=old.not_run + plan.seq - old.seq,
        updated_at=now,
        ended_at=now if over else None,
        note=None if old.state is JobState.PARKED else old.note,
    )


def end_jobs(db: apsw.Connection, items: Sequence[EndItem]) -> Sequence[int]:
    """Ends jobs, and the runs of them that nobody performs now."""
    return [_end(db, item) for item in items]


def _end(db: apsw.Connection, item: EndItem) -> int:
    where, values = job_conditions(item.query)
    ended = sql(db, "end_jobs", values | {"state": item.state, "now": to_us(item.now)}, where)
    _leave_nothing(db, ended, _End(RunState.CANCELLED, item.state, item.now, item.tools))
    return len(ended)


def _leave_nothing(db: apsw.Connection, ended: Sequence[Row], end: _End) -> None:
    """Ends what ended jobs still have waiting, and records what of them was due and is not run any more."""
    busy = dumps([job_id for job_id, active, _ in ended if active])
    if busy != "[]":
        sql(db, "stop_runs", {"ids": busy, "state": end.runs, "reason": end.job, "now": to_us(end.now)})
        sql(db, "recount_active", {"ids": busy})
    overdue = [job_id for job_id, _, passed in ended if passed]
    for record in records_of(db, overdue, end.tools.decoder):
        plan = leave_out(record, end.now, end.runs, end.job)
        ids = end.tools.ids.take(len(plan.gone), end.now)
        insert_gone(db, gone_rows(record, plan, end.now, ids), end.now)
        sql(db, "account", {"id": record.id, "seq": plan.seq, "gone": plan.seq - record.seq})


def set_states(db: apsw.Connection, items: Sequence[StateItem]) -> Sequence[Any]:
    """Pauses and resumes."""
    return [_set_state(db, item) for item in items]


def _set_state(db: apsw.Connection, item: StateItem) -> JobRecord | WakefulError:
    record = find(db, item.key, item.tools.decoder)
    if record is None:
        return WakefulError(ErrorCode.JOB_NOT_FOUND, f"job not found: {item.key.name!r}")
    if record.state is item.state:
        return _noted(db, record, item)
    resuming = item.state is JobState.ACTIVE
    pausing = resume(record, item.now, replay=item.replay) if resuming else pause(record, item.now)
    plan = pausing.plan
    ids = item.tools.ids.take(len(plan.gone), item.now)
    insert_gone(db, gone_rows(record, plan, item.now, ids), item.now)
    changes = {
        "id": record.id,
        "state": item.state,
        "seq": plan.seq,
        "next": None if plan.next_due_at is None else to_us(plan.next_due_at),
        "gone": plan.seq - record.seq,
        "paused_at": None if pausing.paused_at is None else to_us(pausing.paused_at),
        "resumed_at": None if pausing.resumed_at is None else to_us(pausing.resumed_at),
        "note": item.note,
        "now": to_us(item.now),
    }
    sql(db, "set_state", changes)
    sql(db, "end_if_over", {"id": record.id, "now": to_us(item.now)})
    found = find(db, item.key, item.tools.decoder)
    return found or structs.replace(record, state=JobState.COMPLETED, next_due_at=None, ended_at=item.now)


def _noted(db: apsw.Connection, record: JobRecord, item: StateItem) -> JobRecord:
    """The job that is in that state already; if it is paused for another reason now, that is kept."""
    if item.state is not JobState.PAUSED or item.note in (None, record.note):
        return record
    sql(db, "set_note", {"id": record.id, "note": item.note, "now": to_us(item.now)})
    return structs.replace(record, note=item.note, updated_at=item.now)

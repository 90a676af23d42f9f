"""Jobs and runs by what is asked of them: queries name only what narrows them, so that an index serves each."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import apsw
import msgspec
from msgspec import structs

from wakeful.core.codec import Decoder, to_us
from wakeful.core.errors import ErrorCode, WakefulError
from wakeful.core.job import JobRecord
from wakeful.core.ports import JobQuery, Page, RunQuery
from wakeful.core.run import Run
from wakeful.stores.sqlite.ledger import Revision, jobs_as_of
from wakeful.stores.sqlite.records import refresh_calendars
from wakeful.stores.sqlite.rows import SQL, Row, after_prefix, dumps, readable_or_not, run_of, sql

Values = dict[str, Any]


def find_jobs(db: apsw.Connection, query: JobQuery, decoder: Decoder) -> Page[JobRecord]:
    """One page of jobs, in byte order of their keys."""
    refresh_calendars(db, decoder)
    where, values = job_conditions(query)
    paged = f"{where} AND {_AFTER}" if query.after is not None else where
    if query.after is not None:
        values |= dict(zip(_PLACES, _cursor_parts(query.after), strict=True))
    rows = sql(db, "list_jobs", {**values, "limit": query.limit + 1, "offset": query.offset}, paged)
    # One job that can't be understood must not hide the others: it is shown without its "when".
    page = [readable_or_not(decoder, row) for row in rows[: query.limit]]
    if query.as_of is not None:
        page = _as_of(db, query.as_of, page, rows, decoder)
    cursor = _job_cursor(rows[query.limit - 1]) if len(rows) > query.limit else None
    return Page(page, cursor, _count(db, "count_jobs", values, where) if query.count else None)


def _as_of(
    db: apsw.Connection, pairs: Sequence[Revision], page: Sequence[JobRecord], rows: Sequence[Row], decoder: Decoder
) -> list[JobRecord]:
    """Each job of a page at each of the revisions that are asked for, with what its runs are made of."""
    records = {record.id: record for record in page}
    wanted = [pair for pair in dict.fromkeys(pairs) if pair[0] in records]
    behind = [pair for pair in wanted if pair[1] != records[pair[0]].revision]
    before = jobs_as_of(db, behind, rows, decoder) if behind else {}
    return [
        structs.replace(records[pair[0]], revision=pair[1], job=before.get(pair) or records[pair[0]].job)
        for pair in wanted
    ]


def job_conditions(query: JobQuery) -> tuple[str, Values]:
    """What the jobs of a query are, as a condition on ``jobs``."""
    values: Values = {}
    conditions = ["true"] if query.ended else ["ended_at IS NULL"]
    for field, column in (("namespace", "namespace"), ("owner", "owner"), ("name", "name"), ("job_id", "id")):
        value = getattr(query, field)
        if value is not None:
            conditions.append(f"{column} = :{column}")
            values[column] = value
    for column, prefix in (("owner", query.owner_prefix), ("name", query.name_prefix)):
        if prefix:
            conditions.append(f"{column} >= :{column}_low")
            values[f"{column}_low"] = prefix
            high = after_prefix(prefix)
            if high is not None:
                conditions.append(f"{column} < :{column}_high")
                values[f"{column}_high"] = high
    if query.kind is not None:
        conditions.append("definition ->> '$.target[0]' = :kind")
        values["kind"] = query.kind
    if query.states:
        conditions.append("state IN (SELECT value FROM json_each(:states))")
        values["states"] = dumps(query.states)
    if query.failing is not None:
        conditions.append("(state = 'parked' OR coalesce(note LIKE 'paused itself%', false)) = :failing")
        values["failing"] = query.failing
    if query.job_ids is not None:
        conditions.append("id IN (SELECT value FROM json_each(:job_ids))")
        values["job_ids"] = dumps(query.job_ids)
    if query.as_of is not None:
        conditions.append("id IN (SELECT value FROM json_each(:as_of))")
        values["as_of"] = dumps([job_id for job_id, _ in query.as_of])
    return " AND ".join(conditions), values


def find_runs(db: apsw.Connection, query: RunQuery) -> Page[Run]:
    """One page of runs, newest first."""
    where, values = _run_conditions(query)
    paged = where
    if query.after is not None:
        paged = f"{where} AND id < :after"
        values["after"] = _run_cursor(query.after)
    rows = sql(db, "list_runs", {**values, "limit": query.limit + 1, "offset": query.offset}, paged)
    page = [run_of(row) for row in rows[: query.limit]]
    cursor = page[-1].id.hex if len(rows) > query.limit else None
    return Page(page, cursor, _count(db, "count_runs", values, where) if query.count else None)


def _run_conditions(query: RunQuery) -> tuple[str, Values]:
    values: Values = {}
    conditions: list[str] = []
    if query.job_id is not None:
        conditions.append("job_id = :job_id")
        values["job_id"] = query.job_id
    elif query.key is not None:
        conditions.append(f"job_id IN ({SQL['ids_of_key']})")
        values |= {"namespace": query.key.namespace, "owner": query.key.owner, "name": query.key.name}
    if query.at is not None:
        conditions.append("scheduled_for <= :at AND coalesce(scheduled_to, scheduled_for) >= :at")
        values["at"] = to_us(query.at)
    if query.states:
        conditions.append("state IN (SELECT value FROM json_each(:states))")
        values["states"] = dumps(query.states)
    if query.holder is not None:
        conditions.append("holder = :holder")
        values["holder"] = query.holder
    if query.held is not None:
        conditions.append("holder IS NOT NULL" if query.held else "holder IS NULL")
    if query.left_out is not None:
        conditions.append("(seq IS NOT NULL AND fence = 0) = :left_out")
        values["left_out"] = query.left_out
    of_jobs, job_values = _jobs_of_runs(query)
    if of_jobs:
        conditions.append(f"EXISTS({SQL['job_of_run'].replace('{where}', ' AND '.join(of_jobs))})")
    return " AND ".join(conditions) or "true", values | job_values


def _jobs_of_runs(query: RunQuery) -> tuple[list[str], Values]:
    conditions: list[str] = []
    values: Values = {}
    if query.namespace is not None:
        conditions.append("j.namespace = :of_namespace")
        values["of_namespace"] = query.namespace
    if query.owner is not None:
        conditions.append("j.owner = :of_owner")
        values["of_owner"] = query.owner
    if query.kind is not None:
        conditions.append("j.definition ->> '$.target[0]' = :of_kind")
        values["of_kind"] = query.kind
    for place, (name, value) in enumerate(query.options):
        path = f"('$.target[2].\"' || :option_{place} || '\"')"
        conditions.append(f"{SQL['definition_of_run'].strip()} ->> {path} = :value_{place}")
        values |= {f"option_{place}": name, f"value_{place}": value}
    return conditions, values


def _count(db: apsw.Connection, name: str, values: Values, where: str) -> int:
    ((total,),) = sql(db, name, values, where)
    return int(total)


_AFTER = "(namespace, owner, name, id) > (:ns_after, :owner_after, :name_after, :id_after)"
_PLACES = ("ns_after", "owner_after", "name_after", "id_after")


def _job_cursor(row: Row) -> str:
    return dumps([row[1], row[2], row[3], row[0]]).encode().hex()


def _cursor_parts(cursor: str) -> list[Any]:
    try:
        parts = msgspec.json.decode(bytes.fromhex(cursor), type=list)
        if len(parts) == 4:
            return parts
    except (ValueError, msgspec.DecodeError):
        pass
    raise WakefulError(ErrorCode.INVALID_JOB, "the cursor is not one that a page of jobs gave")


def _run_cursor(cursor: str) -> bytes:
    try:
        return UUID(cursor).bytes
    except ValueError:
        raise WakefulError(ErrorCode.INVALID_JOB, "the cursor is not one that a page of runs gave") from None

"""The routes of tasks: made one by one or in batches, looked at, changed, cancelled, done again."""

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import msgspec

from wakeful.core.errors import ErrorCode, WakefulError
from wakeful.core.job import Job, JobRecord
from wakeful.core.ports import Entropy, JobQuery, RunQuery
from wakeful.core.run import Accepted, Run, RunState
from wakeful.faces.aitp.agents import Agents
from wakeful.faces.aitp.claims import Claims
from wakeful.faces.aitp.definitions import TASK_FIELDS, read_task, task_job
from wakeful.faces.aitp.desk import expires_at
from wakeful.faces.aitp.editing import edited
from wakeful.faces.aitp.errors import Refused, problems, within
from wakeful.faces.aitp.forms import (
    Fields,
    decode_object,
    identifier,
    integer,
    number,
    one_of,
    read_fields,
    read_object,
    read_query,
    small_list,
    text,
)
from wakeful.faces.aitp.ids import (
    TASK,
    client_of,
    new_name,
    owner_of,
    parse_task_id,
    schedule_id,
    task_id,
    time_text,
)
from wakeful.faces.aitp.views import (
    PENDING,
    TASK_STATES,
    TASKS,
    View,
    is_task,
    now_text,
    task,
    task_status,
)
from wakeful.faces.aitp.wire import Call, Handler
from wakeful.scheduler import Scheduler

MOST_IN_BATCH = 100
_USUAL_LIMIT = 20
_MOST_COUNTED = 10_000
_HIGH_PRIORITY = 8

_LIST: Fields = {
    "client_id": identifier,
    "status": one_of(*TASK_STATES, fold=True),
    "task_type": text(256),
    "capability": identifier,
    "assigned_agent_id": identifier,
    "limit": integer(1, 100),
    "offset": integer(0, 10_000_000),
}
_OF_CLIENT: Fields = {"client_id": identifier, "reason": text(400)}
_MANY: Fields = {**_OF_CLIENT, "task_ids": small_list(text(64), MOST_IN_BATCH, commas=True)}
_Found = tuple[Run, JobRecord]


class TaskRoutes:
    """What is asked of and about tasks, other than by the agents that do them."""

    def __init__(self, scheduler: Scheduler, agents: Agents, claims: Claims, namespace: str, entropy: Entropy) -> None:
        self._scheduler = scheduler
        self._agents = agents
        self._claims = claims
        self._entropy = entropy
        self._namespace = namespace

    def handlers(self) -> Mapping[tuple[str, ...], Mapping[str, tuple[str, Handler]]]:
        """The handlers by path and method, each with the scope that it needs."""
        read, write = "task:read", "task:write"
        tasks = ("aitp", "tasks")
        one = (*tasks, "*")
        status = (read, self._batch_status)
        return {
            tasks: {"POST": (write, self._create), "GET": (read, self._list)},
            (*tasks, "batch"): {"POST": (write, self._create_batch)},
            (*tasks, "batch", "status"): {"GET": status, "POST": status},
            (*tasks, "batch", "cancel"): {"POST": (write, self._cancel_batch)},
            one: {"GET": (read, self._get), "DELETE": (write, self._cancel)},
            (*one, "result"): {"GET": (read, self._result)},
            (*one, "retry"): {"POST": (write, self._retry)},
            (*one, "priority"): {"PUT": (write, self._set_priority)},
            (*one, "timeout"): {"PUT": (write, self._set_timeout)},
            ("aitp", "queue", "stats"): {"GET": (read, self._stats)},
        }

    # ── made ──

    async def _create(self, call: Call) -> View:
        said = read_task(await call.body())
        call.caller.check_client(said["client_id"])
        now = self._scheduler.now()
        job = task_job(said, self._namespace, new_name(TASK, now, self._entropy), now)
        await self._agents.meet(said["client_id"], now)
        record, run = await self._scheduler.put_run(job, now, said.get("expires_at"))
        shown = _brief(run, record)
        if not await self._agents.offering(job.target.address, now):
            shown["warnings"] = [_nobody(job)]
        return shown

    async def _create_batch(self, call: Call) -> View:
        given = decode_object(await call.body())
        fields: Fields = {"client_id": identifier, "tasks": _list_of_texts, "batch_id": text(128)}
        said = read_fields(given, fields, ("client_id", "tasks"))
        call.caller.check_client(said["client_id"])
        specs = self._specs(said)
        now = self._scheduler.now()
        jobs = [task_job(spec, self._namespace, new_name(TASK, now, self._entropy), now) for spec in specs]
        await self._agents.meet(said["client_id"], now)
        # They are taken by age, so each is a microsecond older than the next; none is of a time to come.
        ages = [timedelta(microseconds=place) for place in reversed(range(len(specs)))]
        puts = (
            self._scheduler.put_run(job, now - age, spec.get("expires_at"))
            for job, spec, age in zip(jobs, specs, ages, strict=True)
        )
        made = await asyncio.gather(*puts)
        shown: View = {
            "success": True,
            "created": len(made),
            "task_ids": [task_id(run) for _, run in made],
            "tasks": [_brief(run, record) for record, run in made],
        }
        lone = {job.target.address: job for job in jobs if not await self._agents.offering(job.target.address, now)}
        return {**shown, "warnings": [_nobody(job) for job in lone.values()]} if lone else shown

    def _specs(self, said: Mapping[str, Any]) -> Sequence[dict[str, Any]]:
        """What the batch says of each task: all of it is right, or nothing is made."""
        specs: list[dict[str, Any]] = []
        wrong: list[dict[str, Any]] = []
        for place, body in enumerate(said["tasks"]):
            try:
                spec = read_object(body, TASK_FIELDS, ("task_type", "capability_required", "input_data"))
                specs.append({**spec, "client_id": said["client_id"]})
            except Refused as refused:
                if not isinstance(refused.detail, list):
                    raise
                wrong += within(("tasks", place), refused.detail)
        if wrong:
            raise problems(wrong)
        return specs

    # ── looked at ──

    async def _list(self, call: Call) -> View:
        asked = read_query(call.query(), _LIST)
        agent, client = asked.get("assigned_agent_id"), asked.get("client_id")
        mine = call.caller.restricted_to
        if mine is not None and agent != mine:
            call.caller.check_client(client or mine)
            client = mine
        if agent is not None and asked.get("status") == "ASSIGNED" and (mine or agent) == agent and not _admin(call):
            await self._claims.assign(agent)
        states, held = TASK_STATES[asked["status"]] if "status" in asked else (TASKS, None)
        options = {"task_type": asked.get("task_type"), "capability": asked.get("capability")}
        limit, offset = asked.get("limit", _USUAL_LIMIT), asked.get("offset", 0)
        page = await self._scheduler.runs(
            RunQuery(
                namespace=self._namespace,
                owner=None if client is None else owner_of(client),
                kind="task",
                options=tuple((name, value) for name, value in options.items() if value is not None),
                states=states,
                left_out=False,
                holder=agent,
                held=held,
                offset=offset,
                limit=limit,
                count=True,
            )
        )
        records = await self._records(page.items)
        shown = [task(run, records[run.id].job) for run in page.items if run.id in records]
        return {"tasks": shown, "total": page.total, "limit": limit, "offset": offset}

    async def _get(self, call: Call) -> View:
        run, record = await self._found(call, call.part)
        return task(run, record.job)

    async def _result(self, call: Call) -> View:
        run, record = await self._found(call, call.part)
        shown = task(run, record.job)
        return {name: shown[name] for name in ("task_id", "status", "result_data", "error_message", "completed_at")}

    async def _batch_status(self, call: Call) -> View:
        asked = await self._many(call)
        shown, missing = [], []
        for one in asked["task_ids"]:
            try:
                run, record = await self._found(call, one)
                shown.append(task(run, record.job))
            except Refused:
                missing.append(one)
        counts = Counter(one["status"] for one in shown)
        return {"total": len(shown), "status_counts": counts, "tasks": shown, "not_found": missing}

    async def _stats(self, call: Call) -> View:
        mine = call.caller.restricted_to
        every = RunQuery(
            namespace=self._namespace, owner=None if mine is None else owner_of(mine), kind="task", count=True, limit=1
        )
        waiting = await self._scheduler.runs(replace(every, states=PENDING, held=False, limit=_MOST_COUNTED))
        assigned = await self._scheduler.runs(replace(every, states=(RunState.CLAIMED,), held=True))
        active = await self._scheduler.runs(replace(every, states=(RunState.OPEN,)))
        of_agents = f"agent/{self._namespace}/"
        capabilities = Counter(run.queue.removeprefix(of_agents) for run in waiting.items if of_agents in run.queue)
        priorities = Counter(run.priority for run in waiting.items)
        queue = {
            "total_pending": waiting.total,
            "total_assigned": assigned.total,
            "total_active": active.total,
            "high_priority": sum(count for priority, count in priorities.items() if priority >= _HIGH_PRIORITY),
            "by_priority": {str(priority): count for priority, count in sorted(priorities.items())},
            "by_capability": capabilities,
            "oldest_pending_at": time_text(
                min((run.created_at for run in waiting.items if run.created_at), default=None)
            ),
        }
        # The tallies are of the newest; the totals are of all.
        return {"queue": queue, "tallied": len(waiting.items), "timestamp": now_text(self._scheduler.now())}

    # ── changed ──

    async def _cancel(self, call: Call) -> View:
        asked = read_query(call.query(), _OF_CLIENT)
        run, record = await self._of_client(call, call.part, asked)
        return await self._cancelled(run, record, asked.get("reason", "Cancelled by client"))

    async def _cancelled(self, run: Run, record: JobRecord, reason: str) -> View:
        try:
            await self._scheduler.cancel(run.id, reason)
        except WakefulError as error:
            if error.code is not ErrorCode.RUN_NOT_FOUND:
                raise
            raise Refused(400, f"Cannot cancel a task that is {task_status(run)}") from None
        shown = {"task_id": task_id(run.id), "status": "CANCELLED", "reason": reason}
        return {**shown, "client_id": client_of(record), "cancelled_at": now_text(self._scheduler.now())}

    async def _cancel_batch(self, call: Call) -> View:
        asked = await self._many(call)
        cancelled: list[str] = []
        failed: list[View] = []
        for one in asked["task_ids"]:
            try:
                run, record = await self._of_client(call, one, asked)
                await self._cancelled(run, record, asked.get("reason", "Batch cancellation"))
                cancelled.append(one)
            except Refused as refused:
                failed.append({"task_id": one, "detail": refused.detail})
        return {"success": not failed, "cancelled": len(cancelled), "task_ids": cancelled, "failed": failed}

    async def _retry(self, call: Call) -> View:
        run, record = await self._of_client(call, call.part, read_query(call.query(), _OF_CLIENT))
        if run.state is not RunState.FAILED:
            raise Refused(400, f"Can only retry FAILED tasks, current status: {task_status(run)}")
        if run.expires_at is not None and run.expires_at <= self._scheduler.now():
            raise Refused(400, f"The task expired at {time_text(run.expires_at)}: make a new one")
        try:
            new = await self._scheduler.retry(run.id)
        except WakefulError as error:
            if error.code is not ErrorCode.JOB_NOT_FOUND:
                raise
            raise Refused(409, f"its schedule {schedule_id(record)} was deleted: make a task of its own") from None
        shown = {"task_id": task_id(new), "retry_of": task_id(run.id), "client_id": client_of(record)}
        return {**shown, "status": "PENDING"}

    async def _set_priority(self, call: Call) -> View:
        fields: Fields = {**_OF_CLIENT, "new_priority": integer(1, 10)}
        asked = read_query(call.query(), fields, ("new_priority",))
        run, _ = await self._of_client(call, call.part, asked)
        if not await self._scheduler.prioritise(run.id, asked["new_priority"]):
            raise Refused(400, f"Cannot adjust the priority of a task that is {task_status(run)}")
        priorities = {"old_priority": run.priority, "new_priority": asked["new_priority"]}
        return {"task_id": task_id(run.id), **priorities, "status": task_status(run)}

    async def _set_timeout(self, call: Call) -> View:
        fields: Fields = {**_OF_CLIENT, "timeout_seconds": number(1, 30 * 86_400)}
        asked = read_query(call.query(), fields, ("timeout_seconds",))
        run, record = await self._of_client(call, call.part, asked)
        if run.state.ended:
            raise Refused(400, f"Cannot set the timeout of a task that is {task_status(run)}")
        timeout = timedelta(seconds=asked["timeout_seconds"])
        if "direct" in record.job.target.options:
            await edited(self._scheduler, lambda: self._made(run), lambda job: replace(job, timeout=timeout))
            self._claims.forget(run.id)
        elif run.state is not RunState.OPEN:
            raise Refused(409, "the timeout of a schedule's task is its schedule's: change it there")
        if run.state is RunState.OPEN:
            await self._scheduler.report(run, Accepted(timeout), record.job)
        return {"task_id": task_id(run.id), "timeout_seconds": asked["timeout_seconds"], "status": task_status(run)}

    # ── found ──

    async def _many(self, call: Call) -> dict[str, Any]:
        """The ids of many tasks, from the query or from the body."""
        query, body = call.query(), await call.body()
        if body:
            return read_object(body, _MANY, ("task_ids",))
        return read_query(query, _MANY, ("task_ids",))

    async def _found(self, call: Call, named: str) -> _Found:
        """The task of that id, if the caller sees it."""
        run_id = parse_task_id(named)
        run = None if run_id is None else await self._scheduler.run(run_id)
        if run is not None and run.state in TASKS and not run.left_out:
            record = (await self._records([run])).get(run.id)
            if record is not None and call.caller.sees(record, run):
                return run, record
        raise Refused(404, "Task not found")

    async def _of_client(self, call: Call, named: str, asked: Mapping[str, Any]) -> _Found:
        """The task of that id, if the caller is its client, and names no other."""
        run, record = await self._found(call, named)
        if client_of(record) not in (asked.get("client_id"), None) and "client_id" in asked:
            raise Refused(403, "Not authorized: this task is another client's")
        call.caller.check_client(client_of(record))
        return run, record

    async def _made(self, run: Run) -> JobRecord:
        """The job that was made with a task, if it has not ended."""
        for record in (await self._scheduler.jobs(JobQuery(job_id=run.job_id))).items:
            return record
        raise Refused(400, "Cannot set the timeout of a task that has ended meanwhile")

    async def _records(self, runs: Sequence[Run]) -> dict[UUID, JobRecord]:
        found = await self._scheduler.jobs_of(runs)
        return {run: record for run, record in found.items() if is_task(record, self._namespace)}


def _list_of_texts(raw: Any) -> list[bytes]:
    given = msgspec.json.decode(raw, type=list[msgspec.Raw])
    if not 1 <= len(given) <= MOST_IN_BATCH:
        raise ValueError(f"must be a list of 1 to {MOST_IN_BATCH} tasks")
    return [bytes(each) for each in given]


def _admin(call: Call) -> bool:
    return call.caller.token is not None and call.caller.token.allows("admin")


def _brief(run: UUID, record: JobRecord) -> View:
    job = record.job
    return {
        "task_id": task_id(run),
        "client_id": client_of(record),
        "task_type": job.target.options["task_type"],
        "capability_required": job.target.address,
        "priority": job.priority,
        "status": "PENDING",
        "expires_at": time_text(expires_at(job.target.options)),
        "created_at": time_text(record.created_at),
    }


def _nobody(job: Job) -> str:
    return f"no agent that is alive offers {job.target.address!r}: the task will wait"

"""The routes of schedules."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from wakeful.core.errors import ErrorCode, WakefulError
from wakeful.core.job import JobKey, JobRecord, JobState
from wakeful.core.ports import Entropy, JobQuery, Put, RunQuery
from wakeful.core.run import UNENDED, Run
from wakeful.core.schedule import ScheduleText, parse_schedule
from wakeful.faces.aitp.agents import Agents
from wakeful.faces.aitp.definitions import Zones, changed_job, read_change, read_schedule, schedule_job
from wakeful.faces.aitp.editing import edited
from wakeful.faces.aitp.errors import Refused, WrongFieldError, clip
from wakeful.faces.aitp.forms import Fields, flag, identifier, integer, one_of, read_query, text
from wakeful.faces.aitp.ids import CLIENT, SCHEDULE, new_name, owner_of, parse_schedule_id, schedule_id, time_text
from wakeful.faces.aitp.views import (
    LISTED,
    SCHEDULE_STATES,
    TASKS,
    View,
    execution,
    next_run_at,
    schedule_brief,
    schedule_detail,
    schedule_status,
)
from wakeful.faces.aitp.wire import Call, Handler
from wakeful.scheduler import Scheduler

_LIST: Fields = {
    "client_id": identifier,
    "status": one_of(*SCHEDULE_STATES, fold=True),
    "limit": integer(1, 100),
    "offset": integer(0, 10_000_000),
}
_EXECUTIONS: Fields = {
    "limit": integer(1, 1_000),
    "offset": integer(0, 10_000_000),
    "include": one_of("skipped"),
}
_USUAL_LIMIT = 20
_USUAL_EXECUTIONS = 50
# Tasks that agents hold, of a schedule that goes with them.
_MOST_HELD = 1_000


class ScheduleRoutes:
    """What is asked of and about schedules."""

    def __init__(self, scheduler: Scheduler, agents: Agents, namespace: str, zones: Zones, entropy: Entropy) -> None:
        self._scheduler = scheduler
        self._agents = agents
        self._namespace = namespace
        self._zones = zones
        self._entropy = entropy

    def handlers(self) -> Mapping[tuple[str, ...], Mapping[str, tuple[str, Handler]]]:
        """The handlers by path and method, each with the scope that it needs."""
        read, write = "schedule:read", "schedule:write"
        all_of_them = ("aitp", "tasks", "schedule")
        one = (*all_of_them, "*")
        change = (write, self._change)
        return {
            all_of_them: {"POST": (write, self._create), "GET": (read, self._list)},
            (*all_of_them, "validate"): {"POST": (read, self._validate)},
            one: {"GET": (read, self._get), "PUT": change, "PATCH": change, "DELETE": (write, self._delete)},
            (*one, "executions"): {"GET": (read, self._executions)},
            (*one, "pause"): {"POST": (write, self._pause)},
            (*one, "resume"): {"POST": (write, self._resume)},
            (*one, "execute"): {"POST": (write, self._execute)},
        }

    async def _create(self, call: Call) -> View:
        said, trigger = read_schedule(await call.body())
        client = said["client_id"]
        call.caller.check_client(client)
        now = self._scheduler.now()
        key = JobKey(self._namespace, owner_of(client), new_name(SCHEDULE, now, self._entropy))
        job = schedule_job(said, trigger, key, now, self._zones)
        await self._agents.meet(client, now)
        record = await self._scheduler.put(job, Put.CREATE, now)
        shown = {
            "schedule_id": schedule_id(record),
            "status": schedule_status(record),
            "cron_expression": job.target.options.get("cron_expression"),
            "next_run_at": next_run_at(record),
            "description": said.get("description"),
            "created_at": time_text(record.created_at),
        }
        if not await self._agents.offering(said["capability_required"], now):
            shown["warnings"] = [f"no agent that is alive offers {said['capability_required']!r}: its tasks will wait"]
        return shown

    async def _list(self, call: Call) -> View:
        asked = read_query(call.query(), _LIST)
        client = asked.get("client_id") or call.caller.restricted_to
        if client is not None:
            call.caller.check_client(client)
        states, failing = SCHEDULE_STATES[asked["status"]] if "status" in asked else (LISTED, None)
        limit, offset = asked.get("limit", _USUAL_LIMIT), asked.get("offset", 0)
        page = await self._scheduler.jobs(
            JobQuery(
                self._namespace,
                owner=None if client is None else owner_of(client),
                owner_prefix=CLIENT,
                name_prefix=SCHEDULE,
                kind="task",
                states=states,
                failing=failing,
                ended=True,
                offset=offset,
                limit=limit,
                count=True,
            )
        )
        shown = [schedule_brief(record, await self._last(record)) for record in page.items]
        return {"schedules": shown, "total": page.total, "limit": limit, "offset": offset}

    async def _get(self, call: Call) -> View:
        record = await self._found(call)
        return schedule_detail(record, await self._last(record))

    async def _change(self, call: Call) -> View:
        said = read_change(await call.body())
        status = said.pop("status", None)
        if said:
            now = self._scheduler.now()
            record = await edited(
                self._scheduler, lambda: self._going_on(call), lambda job: changed_job(job, said, now, self._zones)
            )
        else:
            record = await self._going_on(call)
        if record.state is JobState.COMPLETED:
            status = None
        if status == "PAUSED":
            record = await self._scheduler.pause(record.job.key)
        elif status == "ACTIVE":
            record = await self._scheduler.resume(record.job.key)
        return {
            "schedule_id": schedule_id(record),
            "status": schedule_status(record),
            "cron_expression": record.job.target.options.get("cron_expression"),
            "priority": record.job.priority,
            "next_run_at": next_run_at(record),
            "updated_at": time_text(record.updated_at),
        }

    async def _pause(self, call: Call) -> View:
        record = await self._going_on(call)
        record = await self._scheduler.pause(record.job.key)
        return self._told(record, "Schedule paused successfully")

    async def _resume(self, call: Call) -> View:
        asked = read_query(call.query(), {"catch_up": flag})
        record = await self._going_on(call)
        record = await self._scheduler.resume(record.job.key, replay=asked.get("catch_up", False))
        return self._told(record, "Schedule resumed successfully")

    async def _execute(self, call: Call) -> View:
        record = await self._going_on(call)
        run = await self._scheduler.run_now(record.job.key)
        return {"schedule_id": schedule_id(record), "task_id": f"task-{run.hex}", "status": "PENDING"}

    async def _delete(self, call: Call) -> View:
        asked = read_query(call.query(), {"cancel_pending": flag})
        record = await self._found(call)
        if not await self._scheduler.delete(JobQuery(job_id=record.id, ended=True)):
            raise Refused(404, "Schedule not found")
        if asked.get("cancel_pending", False):
            await self._cancel_held(record)
        return {
            "schedule_id": schedule_id(record),
            "status": "DELETED",
            "message": "Schedule cancelled successfully",
        }

    async def _cancel_held(self, record: JobRecord) -> None:
        held = await self._scheduler.runs(RunQuery(job_id=record.id, states=tuple(UNENDED), limit=_MOST_HELD))
        for run in held.items:
            try:
                await self._scheduler.cancel(run.id, "deleted")
            except WakefulError as error:
                if error.code is not ErrorCode.RUN_NOT_FOUND:
                    raise

    async def _executions(self, call: Call) -> View:
        asked = read_query(call.query(), _EXECUTIONS)
        record = await self._found(call)
        limit, offset = asked.get("limit", _USUAL_EXECUTIONS), asked.get("offset", 0)
        which = RunQuery(job_id=record.id, limit=limit, offset=offset, count=True)
        page = await self._scheduler.runs(which if "include" in asked else replace(which, states=TASKS, left_out=False))
        return {
            "schedule_id": schedule_id(record),
            "executions": [execution(run) for run in page.items],
            "total": page.total,
            "limit": limit,
            "offset": offset,
        }

    async def _validate(self, call: Call) -> View:
        asked = read_query(call.query(), {"cron_expression": text(1024), "timezone": text(64)}, ("cron_expression",))
        given = ScheduleText(asked["cron_expression"], zone=asked.get("timezone"))
        shown: dict[str, Any] = {"valid": False, "cron_expression": asked["cron_expression"], "next_run_at": None}
        try:
            schedule = parse_schedule(given, "crontab", self._scheduler.now(), self._zones)
            if schedule.recurrence is None:
                raise WrongFieldError("it is a single instant: write it as run_at")
        except (WakefulError, WrongFieldError) as error:
            return {**shown, "message": clip(str(error), 400)}
        due = time_text(schedule.first_due())
        return {**shown, "valid": True, "next_run_at": due, "message": f"valid: next at {due}"}

    def _told(self, record: JobRecord, message: str) -> View:
        shown = {"schedule_id": schedule_id(record), "status": schedule_status(record), "message": message}
        return {**shown, "next_run_at": next_run_at(record)}

    async def _last(self, record: JobRecord) -> Run | None:
        page = await self._scheduler.runs(RunQuery(job_id=record.id, states=TASKS, left_out=False, limit=1))
        return page.items[0] if page.items else None

    async def _found(self, call: Call) -> JobRecord:
        """The schedule that the path names, complete and deleted ones too, if it is the caller's."""
        named = parse_schedule_id(call.part)
        if named is not None:
            for record in (await self._scheduler.jobs(JobQuery(job_id=named.job_id, ended=True))).items:
                key = record.job.key
                ours = key.name == named.name and key.namespace == self._namespace
                if ours and record.state is not JobState.REPLACED and call.caller.sees(record):
                    return record
        raise Refused(404, "Schedule not found")

    async def _going_on(self, call: Call) -> JobRecord:
        """The schedule that the path names, if it has not ended."""
        record = await self._found(call)
        if record.state is JobState.DELETED:
            raise Refused(404, "Schedule not found")
        if record.state is JobState.COMPLETED:
            raise Refused(409, "Schedule is complete: make a new one")
        return record

"""Claims of agents: tasks are taken under a lease with a fence, and reported under the same fence."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from wakeful.core.errors import ErrorCode, WakefulError
from wakeful.core.job import Job, agent_queue
from wakeful.core.ports import Claim, Hold, RunQuery
from wakeful.core.run import Accepted, Failed, Outcome, Rejected, Run, RunState, Succeeded, Unavailable
from wakeful.faces.aitp.agents import Agents
from wakeful.faces.aitp.definitions import DEFAULT_TIMEOUT
from wakeful.faces.aitp.errors import Refused, wrong_field
from wakeful.faces.aitp.forms import (
    Fields,
    anything,
    flag,
    identifier,
    integer,
    number,
    one_of,
    printable,
    read_object,
    read_query,
    small_list,
)
from wakeful.faces.aitp.ids import parse_task_id, task_id, time_text
from wakeful.faces.aitp.views import View, claimed_task, is_task, task_status
from wakeful.faces.aitp.wire import Call, Handler, Presence
from wakeful.faces.asgi import ClientGone
from wakeful.scheduler import Scheduler

LONGEST_LEASE_S = 86_400
LONGEST_WAIT_S = 60
MOST_CLAIMED = 100
# Tasks that an agent has assigned at a time, where it does not claim but asks what is assigned (C1.2.8).
ASSIGNED_AT_ONCE = 5
_MOST_REMEMBERED = 10_000
_LOOK = timedelta(seconds=1)
_NO_TIME = timedelta(0)

_CLAIM: Fields = {
    "agent_id": identifier,
    "capability": small_list(identifier, 100),
    "capabilities": small_list(identifier, 100),
    "limit": integer(1, MOST_CLAIMED),
    "lease_seconds": number(0.1, LONGEST_LEASE_S),
    "wait_seconds": number(0, LONGEST_WAIT_S),
}
_HOLDER: Fields = {"agent_id": identifier, "fence": integer(0, 2**62)}
_RENEW: Fields = {**_HOLDER, "lease_seconds": number(0.1, LONGEST_LEASE_S)}
_COMPLETE: Fields = {**_HOLDER, "result_data": anything, "result": anything}
_FAIL: Fields = {**_HOLDER, "error_message": printable, "error": printable, "retryable": flag}
_STATUS: Fields = {
    "agent_id": identifier,
    "fence": integer(0, 2**62),
    "status": one_of("ACTIVE", "COMPLETED", "FAILED", fold=True),
    "result_data": anything,
    "error_message": printable,
    "retryable": flag,
}
_HELD = (RunState.CLAIMED, RunState.OPEN)
_NOT_HELD = "this agent does not hold the task under that fence: its lease ended, or it was cancelled"


@dataclass(frozen=True, slots=True)
class _Report:
    """Who reports on which task."""

    run_id: UUID
    agent_id: str
    fence: int | None


class Claims:
    """What agents ask and say of tasks."""

    def __init__(self, scheduler: Scheduler, agents: Agents, namespace: str) -> None:
        self._scheduler = scheduler
        self._agents = agents
        self._namespace = namespace
        # What was claimed here need not be read again to be reported: the fence tells whether it still holds.
        self._held: dict[UUID, Claim] = {}
        self._draining = False

    def handlers(self) -> Mapping[tuple[str, ...], Mapping[str, tuple[str, Handler]]]:
        """The handlers by path and method, each with the scope that it needs."""
        write = "task:write"
        one = ("aitp", "tasks", "*")
        return {
            ("aitp", "tasks", "claim"): {"POST": (write, self._claim)},
            (*one, "start"): {"POST": (write, self._renew)},
            (*one, "renew"): {"POST": (write, self._renew)},
            (*one, "complete"): {"POST": (write, self._complete)},
            (*one, "fail"): {"POST": (write, self._fail)},
            (*one, "release"): {"POST": (write, self._release)},
            (*one, "status"): {"PUT": (write, self._set_status)},
        }

    def drain(self) -> None:
        """Lets nobody wait for tasks any more: who does has its answer within a second."""
        self._draining = True

    def forget(self, run: UUID) -> None:
        """What was remembered of a task is no longer so."""
        self._held.pop(run, None)

    async def assign(self, agent_id: str) -> None:
        """Claims for an agent that asks what is assigned to it, by what it said that it can do."""
        agent = await self._agents.get(agent_id)
        capabilities = [] if agent is None else agent.live_capabilities()
        if not capabilities:
            return
        held = await self._scheduler.runs(
            RunQuery(holder=agent_id, states=_HELD, kind="task", namespace=self._namespace, limit=ASSIGNED_AT_ONCE)
        )
        free = ASSIGNED_AT_ONCE - len(held.items)
        if free > 0:
            hold = Hold(agent_id, DEFAULT_TIMEOUT, by_timeout=True, limit=free)
            self._remember(await self._scheduler.claim(hold, self._rooms(capabilities, free), _NO_TIME))
        await self._agents.claims(agent_id, self._scheduler.now(), capabilities)

    async def _claim(self, call: Call) -> View:
        said = read_object(await call.body(), _CLAIM, ("agent_id",))
        agent_id = said["agent_id"]
        call.caller.check_client(agent_id)
        capabilities = [*said.get("capability", ()), *said.get("capabilities", ())]
        if not capabilities:
            agent = await self._agents.get(agent_id)
            capabilities = [] if agent is None else agent.live_capabilities()
            if not capabilities:
                raise wrong_field("body", "capability", "is missing, and the agent has not registered any")
        await self._agents.claims(agent_id, self._scheduler.now(), capabilities)
        lease, limit = said.get("lease_seconds"), said.get("limit", 1)
        hold = Hold(
            agent_id,
            DEFAULT_TIMEOUT if lease is None else timedelta(seconds=lease),
            by_timeout=lease is None,
            limit=limit,
        )
        wait = timedelta(seconds=said.get("wait_seconds", 0))
        claims = await self._take(call, hold, self._rooms(capabilities, limit), wait)
        self._remember(claims)
        return {"tasks": [claimed_task(claim) for claim in claims]}

    async def _take(self, call: Call, hold: Hold, rooms: Mapping[str, int], wait: timedelta) -> Sequence[Claim]:
        """Claims, now or within ``wait``; what comes for an agent that has hung up goes back at once."""
        claims = await self._fresh(hold, rooms, _NO_TIME)
        if claims or not wait:
            return claims
        presence = Presence(call)
        try:
            while wait > _NO_TIME and not claims and not presence.gone and not self._draining:
                claims = await self._fresh(hold, rooms, min(wait, _LOOK))
                wait -= _LOOK
            if not presence.gone:
                return claims
        finally:
            await presence.aclose()
        for claim in claims:
            await self._scheduler.report(claim.run, Unavailable("the agent hung up"), claim.job)
        raise ClientGone

    async def _fresh(self, hold: Hold, rooms: Mapping[str, int], wait: timedelta) -> Sequence[Claim]:
        """Claims, without what has expired and was not yet ended for it."""
        claims = await self._scheduler.claim(hold, rooms, wait)
        now = self._scheduler.now()
        old = [claim for claim in claims if claim.run.expires_at is not None and claim.run.expires_at <= now]
        for claim in old:
            await self._scheduler.cancel(claim.run.id, "expired")
        return [claim for claim in claims if claim not in old] if old else claims

    def _rooms(self, capabilities: Sequence[str], limit: int) -> dict[str, int]:
        return {agent_queue(self._namespace, capability): limit for capability in capabilities}

    def _remember(self, claims: Sequence[Claim]) -> None:
        for claim in claims:
            self._held[claim.run.id] = claim
        while len(self._held) > _MOST_REMEMBERED:
            del self._held[next(iter(self._held))]

    async def _renew(self, call: Call) -> View:
        said = read_object(await call.body(), _RENEW, ("agent_id", "fence"))
        lease = said.get("lease_seconds")
        claim = await self._held_by(call, said, fresh=lease is None)
        return await self._prolong(claim, lease)

    async def _prolong(self, claim: Claim, seconds: float | None) -> View:
        lease = claim.job.timeout or DEFAULT_TIMEOUT if seconds is None else timedelta(seconds=seconds)
        await self._report(claim, Accepted(lease))
        until = time_text(self._scheduler.now() + lease)
        shown = {"task_id": task_id(claim.run.id), "status": "ACTIVE", "fence": claim.run.fence}
        return {**shown, "lease_expires_at": until}

    async def _complete(self, call: Call) -> View:
        said = read_object(await call.body(), _COMPLETE, ("agent_id", "fence"))
        return await self._succeed(call, said)

    async def _succeed(self, call: Call, said: Mapping[str, Any]) -> View:
        claim = await self._held_by(call, said)
        if claim.run.state is not RunState.SUCCEEDED:
            try:
                await self._report(claim, Succeeded(said.get("result_data", said.get("result"))))
            except Refused:
                # It may have completed it already: a moment ago, or on another node.
                again = await self._held_by(call, said, fresh=True)
                if again.run.state is not RunState.SUCCEEDED:
                    raise
        return {"task_id": task_id(claim.run.id), "status": "COMPLETED"}

    async def _fail(self, call: Call) -> View:
        said = read_object(await call.body(), _FAIL, ("agent_id", "fence"))
        return await self._give_up(call, said)

    async def _give_up(self, call: Call, said: Mapping[str, Any]) -> View:
        claim = await self._held_by(call, said, fresh=True)
        error = said.get("error_message", said.get("error", "the agent said nothing"))
        await self._report(claim, Failed(error) if said.get("retryable", True) else Rejected(error))
        return await self._now(claim.run.id)

    async def _release(self, call: Call) -> View:
        said = read_object(await call.body(), _HOLDER, ("agent_id", "fence"))
        claim = await self._held_by(call, said)
        await self._report(claim, Unavailable("the agent gave it back"))
        return await self._now(claim.run.id)

    async def _set_status(self, call: Call) -> View:
        asked = read_query(call.query(), {"agent_id": identifier})
        said = {**read_object(await call.body(), _STATUS, ("status",)), **asked}
        if "agent_id" not in said:
            raise Refused(422, [{"type": "missing", "loc": ["query", "agent_id"], "msg": "Parameter required"}])
        if said["status"] == "COMPLETED":
            return await self._succeed(call, said)
        if said["status"] == "FAILED":
            return await self._give_up(call, said)
        claim = await self._held_by(call, said, fresh=True)
        return await self._prolong(claim, None)

    async def _report(self, claim: Claim, outcome: Outcome) -> None:
        try:
            await self._scheduler.report(claim.run, outcome, claim.job)
        except WakefulError as error:
            if error.code is not ErrorCode.STALE_REVISION:
                raise
            self._held.pop(claim.run.id, None)
            raise Refused(409, _NOT_HELD) from None
        if not isinstance(outcome, Accepted):
            self._held.pop(claim.run.id, None)

    async def _now(self, run_id: UUID) -> View:
        run = await self._scheduler.run(run_id)
        shown: View = {"task_id": task_id(run_id), "status": "PENDING" if run is None else task_status(run)}
        if run is not None and run.state is RunState.WAITING:
            shown["next_retry_at"] = time_text(run.run_at)
        return shown

    async def _held_by(self, call: Call, said: Mapping[str, Any], *, fresh: bool = False) -> Claim:
        """The task that the path names, if that agent holds it under that fence; ``fresh``: by what is stored now.

        Raises:
            Refused: 403, 404 or 409.
        """
        run_id = parse_task_id(call.part)
        call.caller.check_client(said["agent_id"])
        if run_id is None:
            raise Refused(404, "Task not found")
        report = _Report(run_id, said["agent_id"], said.get("fence"))
        # What is remembered knows nothing of what was changed since on another node.
        held = None if fresh else self._held.get(run_id)
        if held is not None and (held.run.holder, held.run.fence) == (report.agent_id, report.fence):
            return held
        run = await self._scheduler.run(run_id)
        job = None if run is None else await self._job_of(run)
        if run is None or job is None:
            raise Refused(404, "Task not found")
        _check_held(run, report)
        return Claim(run, job)

    async def _job_of(self, run: Run) -> Job | None:
        record = (await self._scheduler.jobs_of([run])).get(run.id)
        ours = record is not None and is_task(record, self._namespace)
        return record.job if record is not None and ours else None


def _check_held(run: Run, report: _Report) -> None:
    if report.fence is not None and run.fence != report.fence:
        raise Refused(409, _NOT_HELD)
    if run.holder is not None and run.holder != report.agent_id:
        raise Refused(403, "Only the assigned agent may report on this task")
    # Who completes a task twice, because the first answer was lost, has completed it.
    done = run.state is RunState.SUCCEEDED and run.holder == report.agent_id
    if not done and (run.state not in _HELD or run.holder is None):
        raise Refused(409, f"{_NOT_HELD}; it is {task_status(run)} now")

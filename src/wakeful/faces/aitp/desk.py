"""The desk: the sink of tasks, which hands every run on to the agents of its capability."""

import logging
from collections.abc import Mapping
from datetime import datetime

from wakeful.core.job import agent_queue
from wakeful.core.ports import Claim
from wakeful.core.run import HandedOn, Outcome, Rejected
from wakeful.faces.aitp.ids import CLIENT, task_id

log = logging.getLogger("wakeful.aitp")


class Desk:
    """Where the runs of schedules go, from ``task/<namespace>``: on to ``agent/<namespace>/<capability>``."""

    def __init__(self, namespace: str) -> None:
        self.namespace = namespace

    async def deliver(self, claim: Claim) -> Outcome:
        """Says where the run goes; it is durable already."""
        job, run = claim.job, claim.run
        if job.target.kind != "task" or not job.key.owner.startswith(CLIENT):
            return Rejected("the queue of tasks has tasks only")
        log.info("schedule %s%08x executes as %s", job.key.name, run.job_id, task_id(run.id))
        return HandedOn(agent_queue(self.namespace, job.target.address), expires_at(job.target.options))

    async def available(self) -> None:
        """It always is."""


def expires_at(options: Mapping[str, str]) -> datetime | None:
    """When a task's options say that nobody takes it any more."""
    text = options.get("expires_at")
    return None if text is None else datetime.fromisoformat(text)

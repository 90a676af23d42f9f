"""Whose a job is, in the Scheduler service's words: its metadata, and what they mean here, both ways."""

from dataclasses import replace
from datetime import datetime
from functools import lru_cache
from typing import Any

from wakeful.core.errors import ErrorCode, WakefulError
from wakeful.core.job import Job, JobKey, JobRecord, TargetSpec, actor_queue, check_name
from wakeful.core.ports import JobQuery
from wakeful.faces.dapr.errors import app_of
from wakeful.faces.dapr.grpc_jobs import fields_of, request_of
from wakeful.faces.dapr.jobs import Zones, make_job
from wakeful.protos import scheduler as messages

APP_ID, CONCURRENCY_KEY = "app_id", "concurrency_key"


def owner_of(metadata: Any) -> str:
    """Who owns a job of these metadata.

    Raises:
        WakefulError: ``INVALID_NAME``; the target says neither job nor actor.
    """
    match metadata.target.WhichOneof("type"):
        case "job":
            return f"app/{_segment('app id', metadata.app_id)}"
        case "actor":
            actor = metadata.target.actor
            return f"actor/{_segment('actor type', actor.type)}/{_segment('actor id', actor.id)}"
    # Of Unknown's code, as an invalid name is: dapr pkg/scheduler/server/internal/serialize/serialize.go.
    raise WakefulError(ErrorCode.INVALID_NAME, "unknown job type: <nil>")


def key_of(metadata: Any, name: str) -> JobKey:
    """The key of a job.

    Raises:
        WakefulError: ``INVALID_NAME``.
    """
    return JobKey(_segment("namespace", metadata.namespace), owner_of(metadata), check_name(name))


def query_of(metadata: Any, *, ids_begin: bool = False, names_begin: str = "") -> JobQuery:
    """All jobs of a target: of an app, of an actor, or, without its id, of all actors of a type.

    With ``ids_begin`` the id (or the app's, or the type) is only the beginning of one. ``names_begin`` is the beginning
    of names; of a whole type, of actors' ids, as in Dapr.

    Raises:
        WakefulError: ``INVALID_NAME``.
    """
    owner, namespace = owner_of(metadata), _segment("namespace", metadata.namespace)
    if owner.startswith("actor/") and not metadata.target.actor.id:
        prefix = owner.removesuffix("/") if ids_begin else owner + names_begin
        return JobQuery(namespace, owner_prefix=prefix)
    if ids_begin:
        return JobQuery(namespace, owner_prefix=owner)
    return JobQuery(namespace, owner, name_prefix=names_begin or None)


def full_key(metadata: Any, name: str) -> str:
    """How the scheduler calls a job in its errors."""
    if metadata.target.WhichOneof("type") == "actor":
        actor = metadata.target.actor
        return f"actorreminder||{metadata.namespace}||{actor.type}||{actor.id}||{name}"
    return f"app||{metadata.namespace}||{metadata.app_id}||{name}"


async def job_of(request: Any, now: datetime, zones: Zones) -> Job:
    """The job that a ``ScheduleJobRequest`` asks for.

    Raises:
        WakefulError: ``INVALID_NAME``, ``INVALID_SCHEDULE`` or ``INVALID_JOB``.
    """
    metadata = request.metadata
    key = key_of(metadata, request.name)
    asked = await request_of(request.job, overwrite=request.overwrite)
    kept = {CONCURRENCY_KEY: metadata.concurrency_key} if metadata.HasField("concurrency_key") else {}
    job = make_job(asked._replace(options={**asked.options, **kept}), key, now, zones, instants=False)
    if metadata.target.WhichOneof("type") == "job":
        return job
    actor = metadata.target.actor
    options = {**job.target.options, APP_ID: metadata.app_id}
    target = TargetSpec("actor", f"{actor.type}/{actor.id}", options)
    return replace(job, target=target, queue=actor_queue(key.namespace, actor.type))


async def shown(record: JobRecord) -> Any:
    """The ``Job`` message of a record.

    Raises:
        ValueError: the data is no JSON that a ``google.protobuf.Value`` can hold.
    """
    return messages.Job(**await fields_of(record))


def metadata_of(job: Job, app_id: str) -> Any:
    """A job's metadata as they were given; ``app_id`` is for those that no app owns."""
    key, options = job.key, job.target.options
    concurrency_key = options.get(CONCURRENCY_KEY)
    if job.target.kind == "actor":
        actor_type, _, actor_id = job.target.address.partition("/")
        return _metadata(key.namespace, options.get(APP_ID, app_id), (actor_type, actor_id), concurrency_key)
    owner = app_of(key) if key.owner.startswith("app/") else app_id
    return _metadata(key.namespace, owner, None, concurrency_key)


# One message for all jobs of an app: it is only read, and copied into others.
@lru_cache(maxsize=4096)
def _metadata(namespace: str, app_id: str, actor: tuple[str, str] | None, concurrency_key: str | None) -> Any:
    if actor is None:
        target = messages.JobTargetMetadata(job=messages.TargetJob())
    else:
        target = messages.JobTargetMetadata(actor=messages.TargetActorReminder(type=actor[0], id=actor[1]))
    return messages.JobMetadata(app_id=app_id, namespace=namespace, target=target, concurrency_key=concurrency_key)


def _segment(what: str, text: str) -> str:
    """A part of a key; an empty one is none that has to be checked."""
    if text:
        try:
            check_name(text)
        except WakefulError as error:
            raise WakefulError(error.code, f"{what}: {error.message}") from None
    return text

"""How the Dapr CLI calls jobs: app/…, actor/…, workflow/… and activity/…, each below a namespace. Pure.

dapr/cli pkg/scheduler/scheduler.go. Reminders of Dapr's own types of actors are those of workflows and activities.
"""

from collections.abc import Sequence
from typing import Literal

from wakeful.core.errors import ErrorCode, WakefulError
from wakeful.core.job import JobKey
from wakeful.core.ports import JobQuery

Filter = Literal["all", "app", "actor", "workflow", "activity"]

_FORMS = {
    "app": ("app", 3, "app/{app ID}/{job name}"),
    "actor": ("actor reminder", 4, "actor/{actor type}/{actor id}/{name}"),
    "workflow": ("workflow", 4, "workflow/{app ID}/{instance ID}/{name}"),
    "activity": ("activity", 3, "activity/{app ID}/{activity ID}"),
}
_ACTIVITY_REMINDER = "run-activity"


def name_of(key: JobKey) -> str | None:
    """What a job is called; ``None`` if neither an app nor an actor owns it."""
    kind, _, rest = key.owner.partition("/")
    if kind == "app":
        return f"app/{rest}/{key.name}"
    if kind != "actor":
        return None
    actor_type, _, actor_id = rest.partition("/")
    app_id, internal = _internal(key.namespace, actor_type)
    if internal == "workflow":
        return f"workflow/{app_id}/{actor_id}/{key.name}"
    if internal == "activity":
        return f"activity/{app_id}/{actor_id}"
    return f"actor/{rest}/{key.name}"


def key_of(namespace: str, name: str) -> JobKey:
    """The key of a job that is called so.

    Raises:
        WakefulError: ``INVALID_JOB``.
    """
    kind, *parts = name.split("/")
    if not parts:
        raise _wrong(f"failed to parse job key, expecting '{{target type}}/{{identifier}}', got '{name}'")
    if kind not in _FORMS:
        raise _wrong(f"unsupported job type '{kind}', accepts 'app', 'actor', 'workflow', or 'activity'")
    what, length, form = _FORMS[kind]
    if len(parts) + 1 != length:
        raise _wrong(f"expecting {what} key to be in format '{form}', got '{name}'")
    if kind == "app":
        return JobKey(namespace, f"app/{parts[0]}", parts[1])
    if kind == "actor":
        return JobKey(namespace, f"actor/{parts[0]}/{parts[1]}", parts[2])
    reminder = parts[2] if kind == "workflow" else _ACTIVITY_REMINDER
    return JobKey(namespace, f"actor/{_type(namespace, parts[0], kind)}/{parts[1]}", reminder)


def queries_of(namespace: str, name: str) -> Sequence[JobQuery]:
    """The jobs that ``delete-all`` means by such a name.

    Raises:
        WakefulError: ``INVALID_JOB``.
    """
    match name.split("/"):
        case ["all"]:
            prefixes = ["app/", "actor/"]
        case ["app"]:
            prefixes = ["app/"]
        case ["actor", actor_type]:
            prefixes = [f"actor/{actor_type}/"]
        case ["workflow"]:
            prefixes = [f"actor/dapr.internal.{namespace}."]
        case ["workflow", app_id]:
            prefixes = [f"actor/{_type(namespace, app_id, kind)}/" for kind in ("workflow", "activity")]
        case _:
            return _narrow_queries(namespace, name)
    return [_below(namespace, prefix) for prefix in prefixes]


def _narrow_queries(namespace: str, name: str) -> Sequence[JobQuery]:
    match name.split("/"):
        case ["app", app_id]:
            return [JobQuery(namespace, f"app/{app_id}")]
        case ["actor", actor_type, actor_id]:
            return [JobQuery(namespace, f"actor/{actor_type}/{actor_id}")]
        case ["workflow", app_id, instance]:
            # The ids of a workflow's activities begin with its own.
            return [
                JobQuery(namespace, f"actor/{_type(namespace, app_id, 'workflow')}/{instance}"),
                _below(namespace, f"actor/{_type(namespace, app_id, 'activity')}/{instance}::"),
            ]
        case ["app" | "actor" | "workflow" | "all", *_]:
            raise _wrong(f"invalid key format: {name}")
        case kind:
            raise _wrong(f"unknown key prefix: {kind[0]}")


def chosen(name: str, only: Filter) -> bool:
    """Whether a filter lets a job of that name through."""
    return only == "all" or name.startswith(f"{only}/")


def _internal(namespace: str, actor_type: str) -> tuple[str, str]:
    """The app and the kind of one of Dapr's own types of actors."""
    prefix = f"dapr.internal.{namespace}."
    app_id, _, kind = actor_type.removeprefix(prefix).rpartition(".")
    return (app_id, kind) if actor_type.startswith(prefix) else ("", "")


def _type(namespace: str, app_id: str, kind: str) -> str:
    return f"dapr.internal.{namespace}.{app_id}.{kind}"


def _below(namespace: str, prefix: str) -> JobQuery:
    return JobQuery(namespace, owner_prefix=prefix)


def _wrong(message: str) -> WakefulError:
    return WakefulError(ErrorCode.INVALID_JOB, message)

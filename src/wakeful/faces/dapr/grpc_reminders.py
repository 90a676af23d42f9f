"""Reminders over gRPC (dapr pkg/api/universal/actors.go)."""

from collections.abc import Mapping
from typing import Any

import grpc

from wakeful.core.errors import WakefulError
from wakeful.core.job import Data
from wakeful.faces.dapr.grpc_jobs import retry_of
from wakeful.faces.dapr.grpc_server import GrpcError, Unary
from wakeful.faces.dapr.reminders import Fault, Reminder, ReminderError, ReminderRequest, Reminders, check_type
from wakeful.protos import runtime, well_known
from wakeful.protos.values import JSON, any_of

_BYTES_URL = "type.googleapis.com/google.protobuf.BytesValue"
_CODES = {
    "PermissionDenied": grpc.StatusCode.PERMISSION_DENIED,
    "InvalidArgument": grpc.StatusCode.INVALID_ARGUMENT,
    "AlreadyExists": grpc.StatusCode.ALREADY_EXISTS,
    "NotFound": grpc.StatusCode.NOT_FOUND,
    "Internal": grpc.StatusCode.INTERNAL,
}


class ReminderMethods:
    """The five methods that the runtime's service has for reminders."""

    def __init__(self, reminders: Reminders) -> None:
        self._reminders = reminders

    def methods(self) -> Mapping[str, tuple[Any, Unary]]:
        """By name."""
        return {
            "RegisterActorReminder": (runtime.RegisterActorReminderRequest, _answered(self.register)),
            "UnregisterActorReminder": (runtime.UnregisterActorReminderRequest, _answered(self.unregister)),
            "GetActorReminder": (runtime.GetActorReminderRequest, _answered(self.get)),
            "ListActorReminders": (runtime.ListActorRemindersRequest, _answered(self.list)),
            "UnregisterActorRemindersByType": (
                runtime.UnregisterActorRemindersByTypeRequest,
                _answered(self.unregister_all),
            ),
        }

    async def register(self, request: Any) -> Any:
        """Stores a reminder; in place of one of that name, unless that is ruled out."""
        check_type(request.actor_type)
        if not request.name:
            raise ReminderError(Fault.BAD_REQUEST, "reminder name cannot be empty")
        try:
            retry = retry_of(request.failure_policy) if request.HasField("failure_policy") else None
        except WakefulError as error:
            raise ReminderError(Fault.BAD_REQUEST, error.message) from None
        asked = ReminderRequest(
            actor_type=request.actor_type,
            actor_id=request.actor_id,
            name=request.name,
            due_time=request.due_time,
            period=request.period,
            ttl=request.ttl,
            data=request.data or None,
            overwrite=request.overwrite if request.HasField("overwrite") else True,
            retry=retry,
        )
        await self._reminders.register(asked)
        return well_known.Empty()

    async def unregister(self, request: Any) -> Any:
        """Ends a reminder, whether there is one or not."""
        await self._reminders.delete(request.actor_type, request.actor_id, request.name)
        return well_known.Empty()

    async def get(self, request: Any) -> Any:
        """One reminder."""
        found = await self._reminders.get(request.actor_type, request.actor_id, request.name)
        return runtime.GetActorReminderResponse(**_fields_of(found))

    async def list(self, request: Any) -> Any:
        """All reminders of an actor, or of a type of actors."""
        actor_id = request.actor_id if request.HasField("actor_id") else None
        found = await self._reminders.list(request.actor_type, actor_id)
        named = [
            runtime.NamedActorReminder(name=one.name, reminder=runtime.ActorReminder(**_fields_of(one)))
            for one in found
        ]
        return runtime.ListActorRemindersResponse(reminders=named)

    async def unregister_all(self, request: Any) -> Any:
        """Ends all reminders of an actor, or of a type of actors."""
        actor_id = request.actor_id if request.HasField("actor_id") else None
        await self._reminders.delete_all(request.actor_type, actor_id)
        return runtime.UnregisterActorRemindersByTypeResponse()


def _fields_of(reminder: Reminder) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "actor_type": reminder.actor_type,
        "actor_id": reminder.actor_id,
        "due_time": reminder.due_time or None,
        "period": reminder.period or None,
        "ttl": reminder.ttl or None,
        "data": None if reminder.data is None else _packed(reminder.data),
    }
    return {name: value for name, value in fields.items() if value is not None}


def _packed(data: Data) -> Any:
    # JSON travels as the bytes of its text; those of a gRPC caller are a JSON string of base64 by now.
    if data.type != JSON:
        return any_of(data)
    return well_known.Any(type_url=_BYTES_URL, value=well_known.BytesValue(value=data.body).SerializeToString())


def _answered(method: Unary) -> Unary:
    async def answer(request: Any) -> Any:
        try:
            return await method(request)
        except ReminderError as error:
            # Most have no details in Dapr (dapr pkg/messages/api_error.go).
            reason = None if error.metadata is None else error.code
            raise GrpcError(_CODES[error.grpc], error.message, reason, error.metadata) from None

    return answer

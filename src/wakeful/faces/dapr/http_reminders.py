"""Reminders over HTTP: ``/v1.0/actors/{type}/{id}/reminders/{name}``."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType, field

from wakeful.core.errors import WakefulError
from wakeful.faces.dapr.answers import Answer, simple
from wakeful.faces.dapr.errors import detailed
from wakeful.faces.dapr.jobs import FailurePolicy, json_data, one_of, retry_asked
from wakeful.faces.dapr.reminders import Fault, Reminder, ReminderError, ReminderRequest, Reminders, check_type
from wakeful.faces.dapr.routes import Call, Handler
from wakeful.faces.dapr.wire import decode, read_body, read_json


class _Body(Struct):
    """The fields of ``CreateReminderRequest`` (dapr pkg/actors/api/reminders.go)."""

    data: Raw = Raw()
    due_time: str | None = field(name="dueTime", default=None)
    period: str | None = None
    ttl: str | None = None
    overwrite: bool | None = None
    failure_policy: FailurePolicy | UnsetType | None = UNSET
    failure_policy_json: FailurePolicy | UnsetType | None = field(name="failurePolicy", default=UNSET)


class ReminderRoutes:
    """The handlers of the one path that reminders have."""

    def __init__(self, reminders: Reminders) -> None:
        self._reminders = reminders

    def handlers(self) -> Mapping[str, Handler]:
        """Who answers, by method."""
        register = _answered(self._register)
        return {"POST": register, "PUT": register, "GET": _answered(self._get), "DELETE": _answered(self._delete)}

    async def _register(self, call: Call) -> Answer:
        actor_type, actor_id, name = _path(call)
        check_type(actor_type)
        body = await read_body(call.scope, call.receive)
        await self._reminders.register(_request(body, actor_type, actor_id, name))
        return Answer(204)

    async def _get(self, call: Call) -> Answer:
        return Answer(200, encode_reminder(await self._reminders.get(*_path(call))))

    async def _delete(self, call: Call) -> Answer:
        await self._reminders.delete(*_path(call))
        return Answer(204)


def encode_reminder(reminder: Reminder) -> bytes:
    """A reminder as GET shows it; what it does not have is left out (dapr pkg/api/http/actors.go)."""
    shown: dict[str, Any] = {
        "actorID": reminder.actor_id,
        "actorType": reminder.actor_type,
        "data": None if reminder.data is None else Raw(reminder.data.body),
        "dueTime": reminder.due_time or None,
        "period": reminder.period or None,
        "ttl": reminder.ttl or None,
    }
    return msgspec.json.encode({name: value for name, value in shown.items() if value is not None})


def _answered(handler: Handler) -> Callable[[Call], Awaitable[Answer]]:
    async def answer(call: Call) -> Answer:
        try:
            return await handler(call)
        except ReminderError as error:
            if error.metadata is None:
                return simple(error.status, error.code, error.message)
            return detailed(error.status, error.code, error.message, error.metadata)

    return answer


def _path(call: Call) -> tuple[str, str, str]:
    try:
        actor_type, actor_id, name = (decode(part) for part in call.parts)
    except WakefulError as error:
        raise ReminderError(Fault.BAD_REQUEST, error.message) from None
    return actor_type, actor_id, name


def _request(body: bytes, actor_type: str, actor_id: str, name: str) -> ReminderRequest:
    """Reads a request; unknown fields are dropped, null is unset.

    Raises:
        Refused: 400, the body is malformed.
    """

    def read(text: bytes) -> ReminderRequest:
        given = msgspec.json.decode(text, type=_Body)
        policy = one_of("failurePolicy", given.failure_policy_json, given.failure_policy)
        return ReminderRequest(
            actor_type=actor_type,
            actor_id=actor_id,
            name=name,
            due_time=given.due_time or "",
            period=given.period or "",
            ttl=given.ttl or "",
            data=json_data(given.data),
            overwrite=given.overwrite is not False,
            retry=None if policy is None else retry_asked(policy),
        )

    return read_json(body, read)

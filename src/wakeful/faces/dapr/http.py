"""Dapr's Jobs API over HTTP, with reminders of actors and the sidecar's health and metadata."""

import logging
from collections.abc import Callable, Mapping, Sequence
from urllib.parse import parse_qs

import msgspec
from starlette.types import Receive, Scope, Send

from wakeful.core.errors import ErrorCode, WakefulError
from wakeful.core.job import JobKey, check_name
from wakeful.core.ports import JobQuery, Put
from wakeful.faces.asgi import ClientGone, log_fault
from wakeful.faces.dapr.answers import Answer, Refused, clip, malformed, simple
from wakeful.faces.dapr.errors import Verb, detailed, failed, metadata_of
from wakeful.faces.dapr.http_reminders import ReminderRoutes
from wakeful.faces.dapr.jobs import JobRequest, Zones, decode_job, encode_job, make_job
from wakeful.faces.dapr.reminders import Reminders
from wakeful.faces.dapr.routes import Call, Handler, Route
from wakeful.faces.dapr.sidecar import Metadata, Sidecar
from wakeful.faces.dapr.wire import check_token, decode, read_body, respond, segments
from wakeful.scheduler import Scheduler

log = logging.getLogger(__name__)

_NO_CONTENT = Answer(204)


class DaprHttp:
    """The API as one ASGI application, plain for speed: a router would cost as much as all the rest.

    ``stop`` is called when the app asks for the end.
    """

    def __init__(
        self, scheduler: Scheduler, sidecar: Sidecar, zones: Zones, metadata: Metadata, stop: Callable[[], None]
    ) -> None:
        self._scheduler = scheduler
        self._sidecar = sidecar
        self._zones = zones
        self._metadata = metadata
        self._stop = stop
        # An empty token is none, as an empty DAPR_API_TOKEN is to daprd.
        self._token = sidecar.api_token.encode() if sidecar.api_token else None
        of_app: Mapping[str, Handler] = {"GET": self._get, "DELETE": self._delete, "PUT": self._put}
        own: Mapping[str, Handler] = {**of_app, "POST": self._post}
        self._jobs = {
            (b"v1.0", 1): Route(own),
            (b"v1.0", 2): Route(of_app),
            (b"v1.0-alpha1", 1): Route(own, alpha=True),
            (b"v1.0-alpha1", 2): Route(of_app, alpha=True),
        }
        self._reminders = Route(ReminderRoutes(Reminders(scheduler, sidecar, zones)).handlers())
        self._fixed = {
            # daprd lets GET of these two through without a token: pkg/api/http/middlewares.go.
            (b"v1.0", b"healthz"): Route({"GET": self._get_health}, public=True),
            (b"v1.0", b"healthz", b"outbound"): Route({"GET": self._get_outbound}, public=True),
            (b"v1.0", b"metadata"): Route({"GET": self._get_metadata}),
            (b"v1.0", b"shutdown"): Route({"POST": self._shutdown}),
        }
        self._one_metadata = Route({"PUT": self._put_metadata})
        self._nothing = Route({})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request, whatever becomes of it inside."""
        if scope["type"] != "http":
            raise NotImplementedError("this application speaks HTTP only")
        try:
            answer = await self._answer(scope, receive)
        except Refused as refused:
            answer = refused.answer
        except ClientGone:
            return
        except Exception as error:
            log_fault(log, f"{scope['method']} {clip(scope['path'])}", error)
            answer = simple(500, "ERR_INTERNAL", "an internal error occurred; the log has its place")
        await respond(send, answer)
        if answer.then is not None:
            answer.then()

    async def _answer(self, scope: Scope, receive: Receive) -> Answer:
        path = segments(scope)
        route, parts = self._find(path)
        if not route.public:
            check_token(scope, self._token)
        handler = route.handlers.get(scope["method"])
        if handler is None:
            return _wrong_method(scope["method"], route) if route.handlers else _no_route(path)
        return await handler(Call(scope, receive, route.alpha, parts))

    def _find(self, path: list[bytes]) -> tuple[Route, tuple[bytes, ...]]:
        """The route of a path, and the path's variable parts."""
        match path:
            case [version, b"jobs", *parts]:
                return self._jobs.get((version, len(parts)), self._nothing), tuple(parts)
            case [b"v1.0", b"actors", actor_type, actor_id, b"reminders", name]:
                return self._reminders, (actor_type, actor_id, name)
            case [b"v1.0", b"metadata", key]:
                return self._one_metadata, (key,)
        return self._fixed.get(tuple(path), self._nothing), ()

    async def _post(self, call: Call) -> Answer:
        # The alpha API had no `overwrite`, and a second POST replaced the job; the stable one refuses it.
        return await self._schedule(call, replaces=call.alpha)

    async def _put(self, call: Call) -> Answer:
        return await self._schedule(call, replaces=True)

    async def _schedule(self, call: Call, replaces: bool) -> Answer:
        asked = decode_job(await read_body(call.scope, call.receive))
        # daprd trims the name here, and only here: pkg/api/http/jobs.go.
        key = _trimmed(self._key(call, Verb.SCHEDULE))
        _check_request(asked, key)
        # In protojson `false` is the same as absent; but who writes it out knows the field, and means it.
        how = Put.REPLACE if (replaces if asked.overwrite is None else asked.overwrite) else Put.CREATE
        try:
            now = self._scheduler.now()
            job = make_job(asked, key, now, self._zones, instants=call.alpha)
            await self._scheduler.put(job, how, now)
        except WakefulError as error:
            return failed(Verb.SCHEDULE, key, error)
        return _NO_CONTENT

    async def _get(self, call: Call) -> Answer:
        key = self._key(call, Verb.GET)
        record = None
        try:
            for one in _meant(key):
                record = record or await self._scheduler.get(one)
        except WakefulError as error:
            return failed(Verb.GET, key, error)
        if record is None:
            unknown = failed(Verb.GET, key, WakefulError(ErrorCode.JOB_NOT_FOUND, key.name))
            return unknown._replace(status=404) if call.alpha else unknown
        return Answer(200, encode_job(record, with_status=call.alpha))

    async def _delete(self, call: Call) -> Answer:
        key = self._key(call, Verb.DELETE)
        try:
            for one in _meant(key):
                if await self._scheduler.delete(JobQuery(one.namespace, one.owner, one.name)):
                    break
        except WakefulError as error:
            return failed(Verb.DELETE, key, error)
        return _NO_CONTENT

    def _key(self, call: Call, verb: Verb) -> JobKey:
        """The job that the path names, of this sidecar's app or of the app that the path names too."""
        namespace, app_id = self._sidecar.namespace, self._sidecar.app_id
        try:
            if len(call.parts) == 2:
                app_id = check_name(decode(call.parts[0]))
            name = decode(call.parts[-1])
        except WakefulError as error:
            raise Refused(failed(verb, JobKey(namespace, f"app/{app_id}", ""), error)) from None
        return JobKey(namespace, f"app/{app_id}", name)

    async def _get_health(self, call: Call) -> Answer:
        health = self._scheduler.health()
        if not health.ok:
            return simple(500, "ERR_HEALTH_NOT_READY", f"dapr is not ready: [{clip(health.reason)}]")
        asked = parse_qs(call.scope["query_string"].decode("ascii", "replace"), keep_blank_values=True).get("appid")
        if asked is not None and asked[0] != self._sidecar.app_id:
            return simple(500, "ERR_HEALTH_APPID_NOT_MATCH", "dapr app-id does not match")
        return _NO_CONTENT

    async def _get_outbound(self, _call: Call) -> Answer:
        if not self._scheduler.health().ok:
            return simple(500, "ERR_OUTBOUND_HEALTH_NOT_READY", "dapr outbound is not ready")
        return _NO_CONTENT

    async def _get_metadata(self, _call: Call) -> Answer:
        return Answer(200, msgspec.json.encode(self._metadata.shown()))

    async def _put_metadata(self, call: Call) -> Answer:
        value = await read_body(call.scope, call.receive)
        try:
            name = decode(call.parts[0])
        except WakefulError as error:
            return simple(400, "ERR_BAD_REQUEST", error.message)
        try:
            self._metadata.set(name, value.decode("utf-8", "replace"))
        except ValueError as error:
            return malformed(str(error))
        return _NO_CONTENT

    async def _shutdown(self, _call: Call) -> Answer:
        return _NO_CONTENT._replace(then=self._stop)


def _check_request(asked: JobRequest, key: JobKey) -> None:
    """Refuses what daprd itself refuses, before it asks the scheduler (dapr pkg/api/universal/jobs.go)."""
    if asked.name:
        only_app = {"appID": metadata_of(key)["appID"]}
        raise Refused(detailed(400, "DAPR_SCHEDULER_JOB_NAME", "Set the job name in the url only", only_app))
    _check_blank(key)
    if asked.text.schedule is None and asked.text.due_time is None:
        raise Refused(detailed(400, "DAPR_SCHEDULER_SCHEDULE_EMPTY", "Schedule is empty", metadata_of(key)))


def _trimmed(key: JobKey) -> JobKey:
    return JobKey(key.namespace, key.owner, key.name.strip())


def _meant(key: JobKey) -> Sequence[JobKey]:
    """The jobs that a path may mean, the likeliest first: the one of that very name; then what was scheduled by it.

    Raises:
        Refused: 400, the name is blank.
        WakefulError: ``INVALID_NAME``.
    """
    trimmed = _trimmed(key)
    _check_blank(trimmed)
    check_name(trimmed.name)
    return (trimmed,) if trimmed == key else (key, trimmed)


def _check_blank(key: JobKey) -> None:
    if not key.name:
        raise Refused(detailed(400, "DAPR_SCHEDULER_JOB_NAME_EMPTY", "Name is empty", metadata_of(key)))


def _no_route(path: list[bytes]) -> Answer:
    shown = b"/" + b"/".join(path)
    return simple(404, "ERR_NOT_FOUND", f"there is nothing at {clip(shown.decode('ascii', 'backslashreplace'))!r}")


def _wrong_method(method: str, route: Route) -> Answer:
    allowed = ", ".join(sorted(route.handlers))
    message = f"{clip(method)!r} is not allowed here, but: {allowed}"
    return simple(405, "ERR_METHOD_NOT_ALLOWED", message, (b"allow", allowed.encode()))

"""The sidecar's own gRPC service, as apps call it: jobs, metadata, reminders; and the standard health service."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import grpc
from google.protobuf import json_format

from wakeful.core.errors import ErrorCode, WakefulError
from wakeful.core.job import JobKey, JobRecord, check_name
from wakeful.core.ports import JobQuery, Put
from wakeful.faces.dapr.errors import CAUSES, Verb, metadata_of, passed_on
from wakeful.faces.dapr.grpc_jobs import fields_of, request_of
from wakeful.faces.dapr.grpc_reminders import ReminderMethods
from wakeful.faces.dapr.grpc_server import GrpcError, Service, Unary
from wakeful.faces.dapr.jobs import Zones, make_job
from wakeful.faces.dapr.reminders import Reminders
from wakeful.faces.dapr.sidecar import Metadata, Sidecar
from wakeful.protos import health, runtime, well_known
from wakeful.scheduler import Scheduler

DAPR = "dapr.proto.runtime.v1.Dapr"
HEALTH = "grpc.health.v1.Health"

# By the names that grpc-go prints; daprd makes Internal of Unknown (dapr pkg/api/errors/scheduler.go).
_CODES = {
    "Unknown": grpc.StatusCode.INTERNAL,
    "Internal": grpc.StatusCode.INTERNAL,
    "InvalidArgument": grpc.StatusCode.INVALID_ARGUMENT,
    "NotFound": grpc.StatusCode.NOT_FOUND,
    "AlreadyExists": grpc.StatusCode.ALREADY_EXISTS,
    "Aborted": grpc.StatusCode.ABORTED,
    "Unavailable": grpc.StatusCode.UNAVAILABLE,
}


def runtime_services(
    scheduler: Scheduler,
    sidecar: Sidecar,
    metadata: Metadata,
    reminders: Reminders | None,
    zones: Zones,
    stop: Callable[[], None],
) -> Sequence[Service]:
    """The services of a sidecar; ``stop`` is called when the app asks for the end.

    Without ``reminders`` their methods are not there.
    """
    unary = {**_Jobs(scheduler, sidecar, zones).methods(), **_Itself(metadata, stop).methods()}
    if reminders is not None:
        unary |= ReminderMethods(reminders).methods()
    check = (health.HealthCheckRequest, _Health(scheduler).check)
    return (Service(DAPR, unary), Service(HEALTH, {"Check": check}, public=True))


class _Jobs:
    """The jobs of the sidecar's app (dapr pkg/api/universal/jobs.go)."""

    def __init__(self, scheduler: Scheduler, sidecar: Sidecar, zones: Zones) -> None:
        self._scheduler = scheduler
        self._namespace = sidecar.namespace
        self._owner = f"app/{sidecar.app_id}"
        self._zones = zones
        self._whose = metadata_of(JobKey(self._namespace, self._owner, ""))

    def methods(self) -> Mapping[str, tuple[Any, Unary]]:
        """By both names of each: the deprecated one takes the same message."""
        stable: dict[str, tuple[Any, Unary]] = {
            "ScheduleJob": (runtime.ScheduleJobRequest, self.schedule),
            "GetJob": (runtime.GetJobRequest, self.get),
            "DeleteJob": (runtime.DeleteJobRequest, self.delete),
            "DeleteJobsByPrefix": (runtime.DeleteJobsByPrefixRequest, self.delete_by_prefix),
            "ListJobs": (runtime.ListJobsRequest, self.list),
        }
        return {**stable, **{f"{name}Alpha1": method for name, method in stable.items()}}

    async def schedule(self, request: Any) -> Any:
        """Stores a job; durable when it answers."""
        if not request.HasField("job"):
            raise self._empty("Job", "DAPR_SCHEDULER_EMPTY")
        given = request.job
        key = self._key(given.name)
        if not given.HasField("schedule") and not given.HasField("due_time"):
            raise self._empty("Schedule", "DAPR_SCHEDULER_SCHEDULE_EMPTY")
        try:
            now = self._scheduler.now()
            asked = await request_of(given, overwrite=request.overwrite)
            job = make_job(asked, key, now, self._zones, instants=False)
            await self._scheduler.put(job, Put.REPLACE if request.overwrite else Put.CREATE, now)
        except WakefulError as error:
            raise self._failed(Verb.SCHEDULE, key, error) from None
        return runtime.ScheduleJobResponse()

    async def get(self, request: Any) -> Any:
        """One job; an unknown one is an internal error, as in Dapr."""
        key = self._key(request.name)
        try:
            record = await self._scheduler.get(_checked(key))
            if record is None:
                raise WakefulError(ErrorCode.JOB_NOT_FOUND, key.name)
        except WakefulError as error:
            raise self._failed(Verb.GET, key, error) from None
        return runtime.GetJobResponse(job=await self._shown(Verb.GET, record))

    async def delete(self, request: Any) -> Any:
        """Ends a job, whether there is one or not."""
        key = self._key(request.name)
        try:
            _checked(key)
            await self._scheduler.delete(JobQuery(key.namespace, key.owner, key.name))
        except WakefulError as error:
            raise self._failed(Verb.DELETE, key, error) from None
        return runtime.DeleteJobResponse()

    async def delete_by_prefix(self, request: Any) -> Any:
        """Ends every job of the app whose name begins so; without a prefix, all of them."""
        key = JobKey(self._namespace, self._owner, request.name_prefix)
        try:
            await self._scheduler.delete(JobQuery(key.namespace, key.owner, name_prefix=key.name or None))
        except WakefulError as error:
            raise self._failed(Verb.DELETE, key, error) from None
        return runtime.DeleteJobsByPrefixResponse()

    async def list(self, _request: Any) -> Any:
        """Every job of the app, in byte order of their names."""
        found = runtime.ListJobsResponse()
        try:
            async for record in self._scheduler.all_jobs(JobQuery(self._namespace, self._owner)):
                found.jobs.append(await self._shown(Verb.LIST, record))
        except WakefulError as error:
            raise self._failed(Verb.LIST, JobKey(self._namespace, self._owner, ""), error) from None
        return found

    def _key(self, name: str) -> JobKey:
        # As it is: only over HTTP daprd trims a name.
        if not name.strip():
            raise self._empty("Name", "DAPR_SCHEDULER_JOB_NAME_EMPTY")
        return JobKey(self._namespace, self._owner, name)

    async def _shown(self, verb: Verb, record: JobRecord) -> Any:
        try:
            return runtime.Job(name=record.job.key.name, **await fields_of(record))
        except ValueError as error:
            name = record.job.key.name
            message = f"{verb.value[1]}the data of {name!r} is no google.protobuf.Value: {error}"
            raise GrpcError(grpc.StatusCode.INTERNAL, message, verb.value[0], self._whose) from None

    def _empty(self, what: str, reason: str) -> GrpcError:
        return GrpcError(grpc.StatusCode.INVALID_ARGUMENT, f"{what} is empty", reason, self._whose)

    def _failed(self, verb: Verb, key: JobKey, error: WakefulError) -> GrpcError:
        # Scheduling keeps the code of the cause; everything else is always Internal.
        code = _CODES[CAUSES[error.code][0]] if verb is Verb.SCHEDULE else grpc.StatusCode.INTERNAL
        return GrpcError(code, passed_on(verb, key, error), verb.value[0], self._whose)


class _Itself:
    """What the sidecar tells about itself, and its end."""

    def __init__(self, metadata: Metadata, stop: Callable[[], None]) -> None:
        self._metadata = metadata
        self._stop = stop

    def methods(self) -> Mapping[str, tuple[Any, Unary]]:
        """By name."""
        return {
            "GetMetadata": (runtime.GetMetadataRequest, self.get),
            "SetMetadata": (runtime.SetMetadataRequest, self.set),
            "Shutdown": (well_known.Empty, self.shutdown),
        }

    async def get(self, _request: Any) -> Any:
        """The same as over HTTP: the message's protojson is that answer, which has components as well."""
        told = runtime.GetMetadataResponse()
        return json_format.ParseDict(self._metadata.shown(), told, ignore_unknown_fields=True)

    async def set(self, request: Any) -> Any:
        """Adds an attribute, or changes it."""
        try:
            self._metadata.set(request.key, request.value)
        except ValueError as error:
            raise GrpcError(grpc.StatusCode.INVALID_ARGUMENT, str(error)) from None
        return well_known.Empty()

    async def shutdown(self, _request: Any) -> Any:
        """Asks the node to stop."""
        self._stop()
        return well_known.Empty()


class _Health:
    """The standard health service: of the server as a whole, and of Dapr's service."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler

    async def check(self, request: Any) -> Any:
        """SERVING while claims are made on time."""
        if request.service not in ("", DAPR, HEALTH):
            raise GrpcError(grpc.StatusCode.NOT_FOUND, "unknown service")
        statuses = health.HealthCheckResponse.ServingStatus
        ok = self._scheduler.health().ok
        return health.HealthCheckResponse(status=statuses.Value("SERVING" if ok else "NOT_SERVING"))


def _checked(key: JobKey) -> JobKey:
    check_name(key.name)
    return key

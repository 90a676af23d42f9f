"""The Scheduler service, as sidecars call it: jobs by their target's metadata, with the codes and texts of Dapr's own.

dapr pkg/scheduler/server/api.go.
"""

from collections.abc import Callable, Mapping
from typing import Any

import grpc

from wakeful.core.errors import ErrorCode, WakefulError
from wakeful.core.job import JobRecord
from wakeful.core.ports import JobQuery, Put
from wakeful.faces.dapr.errors import CAUSES
from wakeful.faces.dapr.grpc_server import GrpcError, Service, Unary
from wakeful.faces.dapr.jobs import Zones
from wakeful.faces.dapr.scheduler_jobs import full_key, job_of, key_of, metadata_of, query_of, shown
from wakeful.faces.dapr.scheduler_metrics import SchedulerMetrics
from wakeful.faces.dapr.watch import Watch
from wakeful.protos import scheduler as messages
from wakeful.scheduler import Scheduler

SCHEDULER = "dapr.proto.scheduler.v1.Scheduler"
_CODES = {code.name.replace("_", "").lower(): code for code in grpc.StatusCode}


def scheduler_service(scheduler: Scheduler, zones: Zones, metrics: SchedulerMetrics, watch: Watch) -> Service:
    """The whole service; its streams are ``watch``'s."""
    return Service(SCHEDULER, _Jobs(scheduler, zones, metrics).methods(), watch.methods())


class _Jobs:
    """The methods that are no streams."""

    def __init__(self, scheduler: Scheduler, zones: Zones, metrics: SchedulerMetrics) -> None:
        self._scheduler = scheduler
        self._zones = zones
        self._metrics = metrics

    def methods(self) -> Mapping[str, tuple[Any, Unary]]:
        """By name."""
        return {
            "ScheduleJob": (messages.ScheduleJobRequest, self.schedule),
            "GetJob": (messages.GetJobRequest, self.get),
            "DeleteJob": (messages.DeleteJobRequest, self.delete),
            "ListJobs": (messages.ListJobsRequest, self.list),
            "DeleteByMetadata": (messages.DeleteByMetadataRequest, self.delete_by_metadata),
            "DeleteByNamePrefix": (messages.DeleteByNamePrefixRequest, self.delete_by_name_prefix),
        }

    async def schedule(self, request: Any) -> Any:
        """Stores a job; durable when it answers."""
        self._check(request.metadata)
        kind = _kind(request.metadata)
        try:
            now = self._scheduler.now()
            job = await job_of(request, now, self._zones)
            await self._scheduler.put(job, Put.REPLACE if request.overwrite else Put.CREATE, now)
        except WakefulError as error:
            self._metrics.created(kind, well=False)
            raise _refused(error, request) from None
        self._metrics.created(kind, well=True)
        return messages.ScheduleJobResponse()

    async def get(self, request: Any) -> Any:
        """One job."""
        self._check(request.metadata)
        try:
            record = await self._scheduler.get(key_of(request.metadata, request.name))
            if record is None:
                raise WakefulError(ErrorCode.JOB_NOT_FOUND, request.name)
        except WakefulError as error:
            raise _refused(error, request) from None
        return messages.GetJobResponse(job=await _shown(record))

    async def delete(self, request: Any) -> Any:
        """Ends a job, whether there is one or not."""
        self._check(request.metadata)
        try:
            key = key_of(request.metadata, request.name)
            await self._scheduler.delete(JobQuery(key.namespace, key.owner, key.name))
        except WakefulError as error:
            raise _refused(error, request) from None
        self._metrics.deleted(_kind(request.metadata))
        return messages.DeleteJobResponse()

    async def list(self, request: Any) -> Any:
        """Every job of a target, in byte order of ids and names."""
        self._check(request.metadata)
        found = messages.ListJobsResponse()
        try:
            async for record in self._scheduler.all_jobs(query_of(request.metadata)):
                job, metadata = await _shown(record), metadata_of(record.job, request.metadata.app_id)
                found.jobs.append(messages.NamedJob(name=record.job.key.name, metadata=metadata, job=job))
        except WakefulError as error:
            before = "failed to query job list: " if error.code is ErrorCode.STORE_UNAVAILABLE else ""
            code = grpc.StatusCode.UNKNOWN if before else _code(error)
            raise GrpcError(code, f"{before}{error.message}") from None
        return found

    async def delete_by_metadata(self, request: Any) -> Any:
        """Ends every job of a target, or of all whose ids begin so."""
        return await self._delete_all(
            request.metadata,
            lambda: query_of(request.metadata, ids_begin=request.id_prefix_match),
            messages.DeleteByMetadataResponse(),
        )

    async def delete_by_name_prefix(self, request: Any) -> Any:
        """Ends every job of a target whose name begins so."""
        return await self._delete_all(
            request.metadata,
            lambda: query_of(request.metadata, names_begin=request.name_prefix),
            messages.DeleteByNamePrefixResponse(),
        )

    async def _delete_all(self, metadata: Any, query: Callable[[], JobQuery], answer: Any) -> Any:
        try:
            self._check(metadata)
            asked = query()
        except (GrpcError, WakefulError) as error:
            code = error.code if isinstance(error, GrpcError) else _code(error)
            raise GrpcError(code, f"failed to parse metadata: {error}") from None
        try:
            await self._scheduler.delete(asked)
        except WakefulError as error:
            raise GrpcError(_code(error), error.message) from None
        self._metrics.bulk_deleted += 1
        return answer

    def _check(self, metadata: Any) -> None:
        if not metadata.namespace or not metadata.app_id:
            self._metrics.sidecar_errors["auth_failed"] += 1
            raise GrpcError(grpc.StatusCode.INVALID_ARGUMENT, "missing namespace or appID in request")


async def _shown(record: JobRecord) -> Any:
    try:
        return await shown(record)
    except ValueError as error:
        message = f"the data of {record.job.key.name!r} is no google.protobuf.Value: {error}"
        raise GrpcError(grpc.StatusCode.INTERNAL, message) from None


def _kind(metadata: Any) -> str:
    return metadata.target.WhichOneof("type") or "unknown"


def _code(error: WakefulError) -> grpc.StatusCode:
    return _CODES[CAUSES[error.code][0].lower()]


def _refused(error: WakefulError, request: Any) -> GrpcError:
    match error.code:
        case ErrorCode.JOB_EXISTS:
            text = f"job already exists: '{full_key(request.metadata, request.name)}'"
        case ErrorCode.JOB_NOT_FOUND:
            text = f"job not found: {request.name}"
        case _:
            text = CAUSES[error.code][1] + error.message
    return GrpcError(_code(error), text)

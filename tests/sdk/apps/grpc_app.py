"""An app as the Python SDK makes them: prints each call and each job event as a line of JSON.

``register_health_check`` follows the file ``WELL``, if that is set: unhealthy while there is none.
"""

import json
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
from dapr.clients import DaprClient, Job
from dapr.ext.grpc import App, JobEvent
from google.protobuf.any_pb2 import Any as GrpcAny

PORT = int(os.environ["APP_PORT"])


def tell(**what: Any) -> None:
    print(json.dumps(what), flush=True)


class Calls(grpc.ServerInterceptor):  # type: ignore[misc]
    """Tells which method was called, and with which metadata; the SDK's handlers see neither."""

    def intercept_service(self, proceed: Callable[..., Any], details: Any) -> Any:
        metadata = {key: value for key, value in details.invocation_metadata if isinstance(value, str)}
        tell(call=details.method, metadata=metadata)
        return proceed(details)


app = App(thread_pool=ThreadPoolExecutor(4), interceptors=[Calls()])
flaky_calls: list[str] = []


@app.job_event("report")
def report(event: JobEvent) -> None:
    tell(job=event.name, data=event.get_data_as_string())


@app.job_event("bytes")
def raw(event: JobEvent) -> None:
    tell(job=event.name, data=event.data.hex())


@app.job_event("flaky")
def flaky(event: JobEvent) -> None:
    flaky_calls.append(event.name)
    tell(job=event.name, data=event.get_data_as_string())
    if len(flaky_calls) == 1:
        raise RuntimeError("not yet")


@app.job_event("broken")
def broken(event: JobEvent) -> None:
    tell(job=event.name, data=event.get_data_as_string())
    raise RuntimeError("never")


@app.job_event("own")
def own(event: JobEvent) -> None:
    tell(job=event.name, data=event.get_data_as_string())


def health() -> None:
    well = Path(os.environ["WELL"]).exists()
    tell(probed=True, well=well)
    if not well:
        raise RuntimeError("not well")


def schedule_own() -> None:
    """As an app does: with a client that finds its sidecar by the environment alone."""
    with DaprClient() as client:
        client.schedule_job(Job(name="own", due_time="0s", data=GrpcAny(value=b'{"by": "the app"}')))
    tell(scheduled=True)


if "WELL" in os.environ:
    app.register_health_check(health)
if "SCHEDULE_OWN" in os.environ:
    threading.Thread(target=schedule_own, daemon=True).start()
print("listening", os.environ.get("DAPR_GRPC_PORT", ""), flush=True)
app.run(PORT, "127.0.0.1")

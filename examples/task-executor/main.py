"""TaskExecutorService: makes jobs that call one of its own methods, and shows and deletes them."""

import json
import logging
import os
import uuid
from datetime import UTC, datetime
from typing import Annotated, Any
from urllib.parse import quote

import httpx2
from fastapi import Body, FastAPI, HTTPException, Query, Request
from fastapi.responses import JSONResponse, PlainTextResponse
from pydantic import BaseModel, Discriminator, Field, Tag

APP_ID = os.getenv("APP_ID", "task-executor-app")
DAPR_HTTP_PORT = os.getenv("DAPR_HTTP_PORT", "3500")
JOBS_URL = f"http://localhost:{DAPR_HTTP_PORT}/v1.0-alpha1/jobs"
TARGET_METHOD = "executeScheduledTask"

logging.basicConfig(level=logging.INFO)  # its default format shows INFO:jobs_lab.main:…
logging.getLogger("httpx2").setLevel(logging.WARNING)
log = logging.getLogger("jobs_lab.main")

app = FastAPI(title="TaskExecutorService")


# What the scheduler calls.


@app.post(f"/{TARGET_METHOD}")
async def execute_scheduled_task(request: Request) -> dict[str, Any]:
    """The target of the jobs that this service makes."""
    return await receive(request, f"/{TARGET_METHOD} was called by a Dapr job")


@app.post("/job/{job_name}")
async def handle_job(job_name: str, request: Request) -> dict[str, Any]:
    """Where a job without a target arrives."""
    return await receive(request, f"/job/{job_name} was called by a Dapr job")


@app.get("/healthz", response_class=PlainTextResponse)
async def healthz() -> str:
    return "OK"


async def receive(request: Request, message: str) -> dict[str, Any]:
    received_at = datetime.now(UTC).isoformat(timespec="microseconds")
    log.info("[%s] %s", received_at, message)
    data = await read_data(request)
    return {"status": "success", "message": message, "received_at": received_at, "data_echo": data}


async def read_data(request: Request) -> Any:
    """JSON or text; any other type is left alone."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    body = await request.body()
    if kind == "text/plain":
        return body.decode(errors="replace")
    if kind != "application/json" or not body:
        return None
    try:
        data = json.loads(body)
    except ValueError as error:
        # An answer of success would end the run: nobody would ever hear that its data was unreadable.
        log.error("Unreadable job data: %s", error)
        raise HTTPException(400, f"The job's data is not JSON: {error}") from error
    log.info("Job data: %s", json.dumps(data, ensure_ascii=False))
    return data


# What people call.


class TaskForm(BaseModel):
    """What may be said in the body instead of in the URL; where both speak, the body stands."""

    job_name: str | None = None
    schedule: str | None = None
    repeats: int | None = Field(None, ge=0)
    task_data: dict[str, Any] | None = None


def body_kind(body: Any) -> str:
    """An object that holds nothing but the form's fields is a form; any other object is the job's data itself."""
    return "form" if isinstance(body, dict) and body.keys() <= TaskForm.model_fields.keys() else "data"


TaskBody = Annotated[
    Annotated[TaskForm, Tag("form")] | Annotated[dict[str, Any], Tag("data")], Discriminator(body_kind)
]


@app.post("/programmatic/schedule-task")
async def schedule_task(
    job_name: str | None = None,
    schedule: str = "@every 1m",
    repeats: Annotated[int, Query(ge=0, description="0 means for ever")] = 0,
    body: Annotated[TaskBody | None, Body()] = None,
) -> dict[str, Any]:
    form = body if isinstance(body, TaskForm) else TaskForm(task_data=body)
    name = form.job_name or job_name or f"prog-task-{uuid.uuid4().hex}"
    job = {
        "schedule": form.schedule or schedule,
        "target": {"appId": APP_ID, "method": TARGET_METHOD},
        "data": form.task_data or {"message": "Programmatically scheduled!", "source": name},
    }
    if times := repeats if form.repeats is None else form.repeats:
        job["repeats"] = times
    response = await call_sidecar("POST", name, "schedule job", job)
    return answer("Job scheduled/updated", name, response)


@app.get("/programmatic/task-status/{job_name}")
async def task_status(job_name: str) -> Any:
    return (await call_sidecar("GET", job_name, "get job status")).json()


@app.delete("/programmatic/delete-task/{job_name}")
async def delete_task(job_name: str) -> dict[str, Any]:
    return answer("Job deleted", job_name, await call_sidecar("DELETE", job_name, "delete job"))


async def call_sidecar(method: str, job_name: str, purpose: str, body: Any = None) -> httpx2.Response:
    """The sidecar's answer; what it refuses goes to our caller with the same status."""
    async with httpx2.AsyncClient() as client:
        response = await client.request(method, f"{JOBS_URL}/{quote(job_name, safe='')}", json=body)
    if not response.is_success:
        raise HTTPException(response.status_code, f"Failed to {purpose}: {response.text}")
    return response


def answer(status: str, job_name: str, response: httpx2.Response) -> dict[str, Any]:
    return {
        "status": status,
        "job_name": job_name,
        "response_status": response.status_code,
        "response_text": response.text,
    }


# Two handlers, because Starlette raises again what the one for Exception has answered: right for a bug,
# too much for a sidecar that is not there.


@app.exception_handler(httpx2.RequestError)
async def sidecar_out_of_reach(_: Request, error: httpx2.RequestError) -> JSONResponse:
    return failure(f"the sidecar at {JOBS_URL} is out of reach: {error!r}")


@app.exception_handler(Exception)
async def anything_else(_: Request, error: Exception) -> JSONResponse:
    return failure(str(error))


def failure(text: str) -> JSONResponse:
    log.error(text)
    return JSONResponse({"detail": f"Internal server error: {text}"}, status_code=500)

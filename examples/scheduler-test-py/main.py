"""scheduler-test-py: asks its sidecar for a job, receives it, shows it and deletes it."""

import json
import logging
import os
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import httpx2
from fastapi import FastAPI, HTTPException, Request
from fastapi.responses import JSONResponse

APP_ID = "scheduler-test-py"
DAPR_HTTP_PORT = os.getenv("DAPR_HTTP_PORT", "3500")
JOBS_URL = f"http://localhost:{DAPR_HTTP_PORT}/v1.0-alpha1/jobs"
SCHEDULE = os.getenv("JOB_SCHEDULE", "@every 10s")
REPEATS = 3
DATA = {"message": "Hello from Python Job!"}

logging.basicConfig(level=logging.INFO, format="%(levelname)s:     %(message)s")
logging.getLogger("httpx2").setLevel(logging.WARNING)  # it would repeat what we log ourselves
log = logging.getLogger(APP_ID)

app = FastAPI(title=f"{APP_ID} Service")


@app.get("/")
async def welcome() -> dict[str, Any]:
    return {
        "message": f"Welcome to {APP_ID}!",
        "endpoints": [
            "POST /schedule-job/{job_name}",
            "GET /get-job/{job_name}",
            "DELETE /delete-job/{job_name}",
        ],
    }


@app.post("/job/{job_name}")
async def receive_job(job_name: str, request: Request) -> dict[str, Any]:
    """What the scheduler calls when a job of this app is due."""
    data = await read_json(request)
    received_at = datetime.now(UTC).isoformat()
    log.info("Received job %s at %s", job_name, received_at)
    log.info("Job data: %s", json.dumps(data))
    return {"status": "SUCCESS", "received_at": received_at, "data": data}


@app.post("/schedule-job/{job_name}")
async def schedule_job(job_name: str) -> dict[str, Any]:
    log.info("Scheduling job %s", job_name)
    response = await call_sidecar("POST", job_name, {"schedule": SCHEDULE, "repeats": REPEATS, "data": DATA})
    if response.status_code != 204:
        return unexpected(response)
    message = f"Job {job_name} scheduled successfully"
    return {"status": "SUCCESS", "message": message, "response": response.text}


@app.get("/get-job/{job_name}")
async def get_job(job_name: str) -> dict[str, Any]:
    response = await call_sidecar("GET", job_name, may_be_missing=True)
    if response.status_code == 404:
        raise HTTPException(404, f"Job {job_name} not found")
    return {"status": "SUCCESS", "job_details": response.json()}


@app.delete("/delete-job/{job_name}")
async def delete_job(job_name: str) -> dict[str, Any]:
    response = await call_sidecar("DELETE", job_name, may_be_missing=True)
    if response.status_code == 404:
        return {"status": "SUCCESS", "message": f"Job {job_name} not found or already deleted"}
    if response.status_code != 204:
        return unexpected(response)
    return {"status": "SUCCESS", "message": f"Job {job_name} deleted successfully"}


async def call_sidecar(
    method: str, job_name: str, body: dict[str, Any] | None = None, *, may_be_missing: bool = False
) -> httpx2.Response:
    """The sidecar's answer. Every refusal is raised, except the 404 of a caller for whom it is an answer."""
    url = f"{JOBS_URL}/{quote(job_name, safe='')}"
    log.info("Calling %s %s", method, url)
    async with httpx2.AsyncClient() as client:
        response = await client.request(method, url, json=body)
    log.info("Sidecar answered %s", response.status_code)
    if not (may_be_missing and response.status_code == 404):
        response.raise_for_status()
    return response


def unexpected(response: httpx2.Response) -> dict[str, Any]:
    return {"status": "UNEXPECTED_STATUS", "code": response.status_code, "response": response.text}


async def read_json(request: Request) -> Any:
    """A job without data has an empty body. One that cannot be read must fail its attempt, not pass for done."""
    body = await request.body()
    if not body:
        return None
    try:
        return json.loads(body)
    except ValueError as error:
        raise HTTPException(400, f"The job's data is not JSON: {error}") from error


# The three ways in which a call to the sidecar can go wrong. As handlers of the app they see no HTTPException,
# so the 404 of a missing job stays a 404.


@app.exception_handler(httpx2.RequestError)
async def sidecar_out_of_reach(_: Request, error: httpx2.RequestError) -> JSONResponse:
    return failure(f"HTTP Request error communicating with Dapr sidecar: {error!r}")


@app.exception_handler(httpx2.HTTPStatusError)
async def sidecar_refused(_: Request, error: httpx2.HTTPStatusError) -> JSONResponse:
    return failure(f"Dapr sidecar answered {error.response.status_code}: {error.response.text}")


@app.exception_handler(Exception)
async def anything_else(_: Request, error: Exception) -> JSONResponse:
    return failure(f"An unexpected error occurred: {error}")


def failure(detail: str) -> JSONResponse:
    log.error(detail)
    return JSONResponse({"detail": detail}, status_code=500)

"""The three calls that an agent makes to its scheduler."""

import os
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote

import httpx2

JOBS_URL = f"http://localhost:{os.getenv('DAPR_HTTP_PORT', '3500')}/v1.0-alpha1/jobs"


async def schedule(name: str, when: str | datetime | timedelta, data: Any = None, target: str | None = None) -> None:
    """Makes the job, or replaces the one of that name.

    ``when`` is an instant, a delay from now, or the text of a recurrence (``@every 1h``, ``0 0 8 * * mon``).
    ``target`` is ``app/method``; without it the job comes back to this app as ``POST /job/<name>``.
    """
    job: dict[str, Any] = {}
    if isinstance(when, datetime):
        job["dueTime"] = when.isoformat()
    elif isinstance(when, timedelta):
        job["dueTime"] = f"{when.total_seconds()}s"
    else:
        job["schedule"] = when
    if data is not None:
        job["data"] = data
    if target is not None:
        app_id, _, method = target.partition("/")
        job["target"] = {"appId": app_id, "method": method}
    await _call("POST", name, job)


async def get(name: str) -> Any:
    """The job and what became of its last run; ``None`` if there is no such job."""
    response = await _call("GET", name)
    return None if response.status_code == 404 else response.json()


async def delete(name: str) -> None:
    """Deletes the job; one that is not there is fine."""
    await _call("DELETE", name)


async def _call(method: str, name: str, job: Any = None) -> httpx2.Response:
    # Retries are of the connection alone: an agent may start a moment before its sidecar listens.
    transport = httpx2.AsyncHTTPTransport(retries=3)
    async with httpx2.AsyncClient(transport=transport) as client:
        response = await client.request(method, f"{JOBS_URL}/{quote(name, safe='')}", json=job)
    if not (response.is_success or (method == "GET" and response.status_code == 404)):
        raise RuntimeError(f"{method} job {name}: the scheduler answered {response.status_code} {response.text}")
    return response

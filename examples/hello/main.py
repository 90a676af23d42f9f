"""Prints every job it receives, with its run id and how late it came.

With ``TICK`` in the environment it asks for a job itself; ``TICK`` is the job's schedule.
"""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Annotated

import httpx2
import uvicorn
from fastapi import FastAPI, Header, Request

JOBS_URL = f"http://localhost:{os.getenv('DAPR_HTTP_PORT', '3500')}/v1.0-alpha1/jobs"
TICK = os.getenv("TICK")


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    if TICK:
        # Replaces the job of the last start, and with it what came due since: this is a demonstration.
        async with httpx2.AsyncClient() as client:
            response = await client.post(f"{JOBS_URL}/tick", json={"schedule": TICK, "data": "hello"})
            response.raise_for_status()
    yield


app = FastAPI(title="hello", lifespan=lifespan)


@app.post("/job/{name}")
async def job(
    name: str,
    request: Request,
    wakeful_run_id: Annotated[str, Header()],
    wakeful_scheduled_for: Annotated[datetime, Header()],
) -> None:
    late = datetime.now(UTC) - wakeful_scheduled_for
    data = (await request.body()).decode(errors="replace")
    # Flushed, because behind a pipe a line would otherwise wait for many more.
    print(f"{name} {data} run={wakeful_run_id} late={late.total_seconds() * 1000:.1f}ms", flush=True)


if __name__ == "__main__":
    uvicorn.run(app, port=int(os.getenv("APP_PORT") or "8000"))

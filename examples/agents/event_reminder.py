"""A calendar that reminds of each event a while before it begins."""

import os
from datetime import datetime, timedelta
from typing import Any

import sidecar
from fastapi import FastAPI

LEAD = timedelta(seconds=float(os.getenv("LEAD_SECONDS", "900")))

app = FastAPI(title="calendar agent")
reminded: list[Any] = []


@app.put("/events/{title}")
async def put(title: str, starts_at: datetime) -> None:
    """A moved event moves its reminder, for the job has the event's name. One whose time has passed comes at once."""
    due = starts_at.astimezone() - LEAD
    await sidecar.schedule(f"remind-{title}", due, {"title": title, "starts_at": starts_at.isoformat()})


@app.delete("/events/{title}")
async def cancel(title: str) -> None:
    await sidecar.delete(f"remind-{title}")


@app.post("/job/{name}")
async def due(event: dict[str, Any]) -> None:
    reminded.append(event)


@app.get("/reminded")
async def show() -> list[Any]:
    return reminded

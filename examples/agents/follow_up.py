"""An agent that comes back to somebody, after a while or at a date."""

from datetime import datetime, timedelta
from typing import Any

import sidecar
from fastapi import FastAPI

app = FastAPI(title="follow-up agent")
sent: list[Any] = []


@app.post("/follow-ups/in/{hours}")
async def follow_up_in(hours: float, customer: str, question: str) -> None:
    await sidecar.schedule(f"follow-up-{customer}", timedelta(hours=hours), {"to": customer, "text": question})


@app.post("/follow-ups/at/{date}")
async def follow_up_at(date: datetime, customer: str, question: str) -> None:
    """A date without an offset is the server's local time."""
    await sidecar.schedule(f"follow-up-{customer}", date.astimezone(), {"to": customer, "text": question})


@app.delete("/follow-ups/{customer}")
async def they_answered(customer: str) -> None:
    await sidecar.delete(f"follow-up-{customer}")


@app.post("/job/{name}")
async def due(message: dict[str, Any]) -> None:
    sent.append(message)


@app.get("/sent")
async def show() -> list[Any]:
    return sent

"""A process of two steps with a delay between them: an order is taken, can be cancelled for a while, then is shipped.

Between the steps the process remembers nothing: the job is its memory, and outlives it.
"""

import os
from datetime import timedelta

import sidecar
from fastapi import FastAPI, HTTPException

GRACE = timedelta(seconds=float(os.getenv("GRACE_SECONDS", "1800")))

app = FastAPI(title="order process")
shipped: list[str] = []


@app.post("/orders/{order}")
async def take(order: str) -> None:
    """Step one."""
    await sidecar.schedule(f"ship-{order}", GRACE, {"order": order})


@app.delete("/orders/{order}")
async def cancel(order: str) -> None:
    if order in shipped:
        raise HTTPException(409, f"Order {order} has been shipped")
    await sidecar.delete(f"ship-{order}")


@app.post("/job/{name}")
async def ship(step: dict[str, str]) -> None:
    """Step two. A job can arrive twice, and what must be done once has to be able to tell."""
    if step["order"] not in shipped:
        shipped.append(step["order"])


@app.get("/shipped")
async def show() -> list[str]:
    return shipped

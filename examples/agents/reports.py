"""An agent with a daily aggregation, a weekly report and an hourly check. Its plan can be changed while it works."""

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import sidecar
from fastapi import FastAPI, HTTPException

PLAN = {
    "daily-aggregation": "0 30 2 * * *",  # seconds first: every day at 02:30
    "weekly-report": "0 0 8 * * mon",
    "hourly-check": "@hourly",
}
done: Counter[str] = Counter()


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    # Only what is missing: replacing a job starts it anew, and would forget a run that came due while we were down.
    for name, when in PLAN.items():
        if await sidecar.get(name) is None:
            await sidecar.schedule(name, when)
    yield


app = FastAPI(title="reports agent", lifespan=lifespan)


@app.put("/plan/{name}")
async def change(name: str, when: str) -> None:
    if name not in PLAN:
        raise HTTPException(404, f"There is no task {name}: there are {', '.join(PLAN)}")
    await sidecar.schedule(name, when)


@app.post("/job/{name}")
async def due(name: str) -> None:
    done[name] += 1


@app.get("/done")
async def show() -> dict[str, int]:
    return done

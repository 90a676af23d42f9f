"""A project manager that speaks up shortly before a task is due, by itself or through another service.

``NOTIFY_APP`` names the app whose ``triggerTaskDueNotification`` is called; by default it is this one.
"""

import os
from datetime import datetime, timedelta
from typing import Any

import sidecar
from fastapi import FastAPI

APP_ID = os.getenv("APP_ID", "project-manager")
NOTIFY_APP = os.getenv("NOTIFY_APP", APP_ID)
LEAD = timedelta(seconds=float(os.getenv("LEAD_SECONDS", "3600")))

app = FastAPI(title="project manager")
tasks: dict[str, dict[str, Any]] = {}
notified: list[Any] = []


@app.put("/tasks/{task}")
async def assign(task: str, assignee: str, due_at: datetime) -> None:
    """Assigning again, to somebody else or with another date, replaces the job."""
    tasks[task] = {"task": task, "assignee": assignee, "due_at": due_at.isoformat()}
    due = due_at.astimezone() - LEAD
    await sidecar.schedule(f"task-due-{task}", due, tasks[task], target=f"{NOTIFY_APP}/triggerTaskDueNotification")


@app.delete("/tasks/{task}")
async def finish(task: str) -> None:
    tasks.pop(task, None)
    await sidecar.delete(f"task-due-{task}")


@app.post("/triggerTaskDueNotification")
async def trigger_task_due_notification(task: dict[str, Any]) -> None:
    notified.append(task)


@app.get("/notified")
async def show() -> list[Any]:
    return notified

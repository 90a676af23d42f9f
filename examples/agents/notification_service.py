"""A service that other apps have called when a task of theirs is nearly due. It knows nothing of who asked."""

from typing import Any

from fastapi import FastAPI

app = FastAPI(title="notification service")
notified: list[Any] = []


@app.post("/triggerTaskDueNotification")
async def trigger_task_due_notification(task: dict[str, Any]) -> None:
    notified.append(task)


@app.get("/notified")
async def show() -> list[Any]:
    return notified

"""An app that answers HTTP: prints each job event as a line of JSON."""

import json
import os

import uvicorn
from fastapi import FastAPI, Request

app = FastAPI()


@app.post("/job/{name}")
async def job(name: str, request: Request) -> None:
    print(json.dumps({"job": name, "data": (await request.body()).decode()}), flush=True)


print("listening", os.environ.get("DAPR_GRPC_PORT", ""), flush=True)
uvicorn.run(app, port=int(os.environ["APP_PORT"]), log_level="warning")

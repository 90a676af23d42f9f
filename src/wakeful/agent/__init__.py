"""A worker: takes tasks of its capabilities from a node, does them, and reports.

Functions do the tasks here; ``wakeful agent run`` lets a command do them:

    agent = Agent("http://127.0.0.1:7710")

    @agent.task("report-v1")
    def report(input):
        return {"pages": 3}

    agent.run()

A task is its agent's under a lease, which is renewed while the work goes on. An agent that dies loses it, and another
one does it; so a function may meet a task again that was begun before, under the same id.
"""

from wakeful.agent.api import AgentError, Rejected, Task
from wakeful.agent.handlers import Agent

__all__ = ["Agent", "AgentError", "Rejected", "Task"]

"""Two nodes on one file, agents that are killed and replaced, and the judge of what they did with the tasks."""

import random
import re
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from support.aitp import Aitp, AitpNode, Started
from support.processes import eventually

CAPABILITY = "count-v1"
LEASE_S = 2.0
# Begins are written before the work: one that is missing here was never begun.
AGENT = f"""
import os, random, sys, time
from wakeful.agent import Agent

url, ledger, name = sys.argv[1:]
agent = Agent(url, agent_id=name, limit=5, lease_s={LEASE_S})
file = os.open(ledger, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

@agent.task("{CAPABILITY}")
def count(input, task):
    os.write(file, f"{{task.task_id}} {{task.attempt}} {{name}}\\n".encode())
    time.sleep(random.uniform(0, 0.02))
    return {{"agent": name, "number": input["number"], "attempt": task.attempt}}

agent.run()
"""
_COMPLETED = re.compile(r"(task-[0-9a-f]+): completed")


@dataclass
class Agents:
    """The agents of one test: as many at a time, whatever happens to them."""

    aitp: Aitp
    nodes: list[AitpNode]
    ledger: Path
    alive: list[Started] = field(default_factory=list)
    names: dict[int, str] = field(default_factory=dict)
    killed: set[str] = field(default_factory=set)

    def start(self) -> None:
        name = f"agent-{len(self.names)}"
        node = self.nodes[len(self.names) % len(self.nodes)]
        agent = self.aitp.python(AGENT, node.url, str(self.ledger), name)
        self.names[agent.pid] = name
        self.alive.append(agent)

    def kill_one(self, rng: random.Random) -> None:
        agent = self.alive.pop(rng.randrange(len(self.alive)))
        agent.kill()
        self.killed.add(self.names[agent.pid])
        self.start()


@dataclass(frozen=True)
class Verdict:
    """What became of the tasks; ``again`` were begun more than once."""

    tasks: int
    completed: int
    unfinished: dict[str, int]
    completed_twice: list[str]
    not_begun: list[str]
    wrong_results: list[str]
    unexcused: list[str]
    again: int

    def assert_clean(self) -> None:
        assert self.unfinished == {}, self
        assert self.completed == self.tasks, self
        assert not (self.completed_twice or self.not_begun or self.wrong_results or self.unexcused), self


def make_tasks(node: AitpNode, numbers: range, rng: random.Random) -> list[str]:
    """Tasks of all priorities with these numbers, in batches; their ids, in that order."""
    ids: list[str] = []
    for first in numbers[::100]:
        tasks = [_spec(number, rng.randint(1, 10)) for number in range(first, min(numbers.stop, first + 100))]
        ids += node.ask("POST", "/aitp/tasks/batch", json={"client_id": "client-1", "tasks": tasks})["task_ids"]
    return ids


def _spec(number: int, priority: int) -> dict[str, Any]:
    return {
        "task_type": "count",
        "capability_required": CAPABILITY,
        "input_data": {"number": number},
        "priority": priority,
        "max_retries": 100,
        "retry_policy": {"backoff": "fixed", "delay_seconds": 0},
    }


def total(node: AitpNode, status: str) -> int:
    return int(node.ask("GET", f"/aitp/tasks?status={status}&limit=1")["total"])


@contextmanager
def agents_at_work(aitp: Aitp, nodes: list[AitpNode], count: int) -> Iterator[Agents]:
    agents = Agents(aitp, nodes, aitp.home / "ledger")
    for _ in range(count):
        agents.start()
    yield agents
    for agent in agents.alive:
        assert agent.end() == 0, agent.said


def kill_until_done(agents: Agents, count: int, rng: random.Random, deadline_s: float) -> None:
    """Kills an agent every few tenths of a second, and starts another, until all tasks are completed."""
    end = time.monotonic() + deadline_s
    while total(agents.nodes[0], "COMPLETED") < count and time.monotonic() < end:
        time.sleep(rng.uniform(0.05, 0.4))
        agents.kill_one(rng)
    # Who claimed and died is missed after its lease.
    eventually(lambda: total(agents.nodes[0], "COMPLETED") == count, f"{count} tasks to be completed", 30)


def judge(agents: Agents, ids: list[str]) -> Verdict:
    """Compares what the nodes say with what the agents wrote down."""
    node = agents.nodes[0]
    begun: dict[str, list[tuple[int, str]]] = defaultdict(list)
    for line in agents.ledger.read_text().splitlines():
        task_id, attempt, name = line.split()
        begun[task_id].append((int(attempt), name))
    told = Counter(found for agent in agents.aitp.started for found in _COMPLETED.findall(agent.said))
    unfinished = {status: total(node, status) for status in ("PENDING", "ASSIGNED", "ACTIVE", "FAILED", "CANCELLED")}
    wrong, unexcused = [], []
    for number, task_id in enumerate(ids):
        task = node.task(task_id)
        result = task["result_data"] or {}
        if (result.get("number"), result.get("agent")) != (number, task["assigned_agent_id"]):
            wrong.append(task_id)
        attempts = sorted(begun[task_id])
        # An attempt is one agent's, and only the death of that agent may bring another one.
        distinct = len({attempt for attempt, _ in attempts}) == len(attempts)
        if not distinct or any(name not in agents.killed for _, name in attempts[:-1]):
            unexcused.append(task_id)
    return Verdict(
        tasks=len(ids),
        completed=total(node, "COMPLETED"),
        unfinished={status: number for status, number in unfinished.items() if number},
        completed_twice=[task_id for task_id, times in told.items() if times > 1],
        not_begun=[task_id for task_id in ids if task_id not in begun],
        wrong_results=wrong,
        unexcused=unexcused,
        again=sum(len(attempts) > 1 for attempts in begun.values()),
    )

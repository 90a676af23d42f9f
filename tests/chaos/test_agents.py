"""Agents that are killed at random lose no task, and complete none twice; claims go by priority and age."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from chaos.agents_world import agents_at_work, judge, kill_until_done, make_tasks
from chaos.world import seeded
from support.aitp import Aitp

pytestmark = pytest.mark.slow


@pytest.fixture
def aitp(tmp_path: Path) -> Iterator[Aitp]:
    started = Aitp(tmp_path)
    yield started
    started.close()


def test_a_thousand_tasks_are_each_completed_once_whoever_is_killed(aitp: Aitp) -> None:
    rng = seeded()
    nodes = [aitp.node(), aitp.node()]
    ids = make_tasks(nodes[0], range(200), rng)
    with agents_at_work(aitp, nodes, 20) as agents:
        ids += [*make_tasks(nodes[1], range(200, 600), rng), *make_tasks(nodes[0], range(600, 1_000), rng)]
        kill_until_done(agents, 1_000, rng, 60)
    verdict = judge(agents, ids)
    print(f"{len(agents.killed)} agents killed: {verdict}")
    verdict.assert_clean()
    for node in nodes:
        assert "Traceback" not in node.said, node.said


def test_claims_go_by_priority_then_by_age_whichever_node_is_asked(aitp: Aitp) -> None:
    rng = seeded()
    nodes = [aitp.node(), aitp.node()]
    made = [(rng.randint(1, 10), number) for number in range(120)]
    ids = [
        nodes[number % 2].make("order-v1", priority=priority, input_data=number, client_id=f"client-{number % 3}")
        for priority, number in made
    ]
    claimed: list[str] = []
    turn = 0
    while len(claimed) < len(ids):
        asked = {"agent_id": f"agent-{turn % 5}", "capability": "order-v1", "limit": 7, "lease_seconds": 60}
        tasks = nodes[turn % 2].ask("POST", "/aitp/tasks/claim", json={**asked, "wait_seconds": 1})["tasks"]
        assert tasks, f"{len(claimed)} of {len(ids)} were claimed, and no more come"
        claimed += [task["task_id"] for task in tasks]
        turn += 1
    assert claimed == [ids[number] for _, number in sorted(made, key=lambda one: (-one[0], one[1]))]

"""Ten thousand tasks, twenty agents and two nodes of which any may be killed."""

import random
import time
from collections.abc import Iterator
from pathlib import Path
from threading import Event, Thread

import pytest

from chaos.agents_world import agents_at_work, judge, kill_until_done, make_tasks
from chaos.world import seeded
from support.aitp import Aitp, AitpNode

pytestmark = pytest.mark.timeout(1_800)


@pytest.fixture
def aitp(tmp_path: Path) -> Iterator[Aitp]:
    started = Aitp(tmp_path)
    yield started
    started.close()


def test_ten_thousand_tasks_are_each_completed_once_whoever_is_killed(aitp: Aitp) -> None:
    rng = seeded()
    nodes = [aitp.node(), aitp.node()]
    ids: list[str] = []
    began = time.monotonic()
    with agents_at_work(aitp, nodes, 20) as agents:
        while len(ids) < 10_000:
            ids += make_tasks(rng.choice(nodes), range(len(ids), len(ids) + 500), rng)
        kill_until_done(agents, len(ids), rng, 900)
    verdict = judge(agents, ids)
    print(f"{len(agents.killed)} agents killed in {time.monotonic() - began:.0f} s: {verdict}")
    verdict.assert_clean()


def test_nodes_may_be_killed_as_well(aitp: Aitp) -> None:
    rng = seeded()
    nodes = [aitp.node(), aitp.node()]
    ids = [*make_tasks(nodes[0], range(2_000), rng), *make_tasks(nodes[1], range(2_000, 4_000), rng)]
    done = Event()
    # The first one is the test's own window; the other one dies.
    with agents_at_work(aitp, nodes, 20) as agents:
        killer = Thread(target=_kill_again_and_again, args=(aitp, nodes, done, random.Random(rng.random())))
        killer.start()
        try:
            kill_until_done(agents, len(ids), rng, 600)
        finally:
            done.set()
            killer.join(60)
    verdict = judge(agents, ids)
    print(f"{len(agents.killed)} agents killed: {verdict}")
    assert verdict.unfinished == {}
    assert not (verdict.completed_twice or verdict.not_begun or verdict.wrong_results)


def _kill_again_and_again(aitp: Aitp, nodes: list[AitpNode], done: Event, rng: random.Random) -> None:
    while not done.wait(rng.uniform(2, 6)):
        nodes[1].kill()
        nodes[1] = aitp.node(port=nodes[1].port)

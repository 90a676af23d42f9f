"""A hundred kills; and three nodes on one file to which anything may happen."""

import random
import time

import pytest

from chaos.world import READY_WITHIN_S, TAKEN_OVER_S, Load, World, kill_rounds, seeded, sound
from support.judge import S, now_us
from support.processes import Wakeful
from support.receiver import Receiver, Rule

pytestmark = pytest.mark.timeout(900)


def test_a_hundred_kills_at_random_instants_lose_nothing(world: World) -> None:
    verdict, ready = kill_rounds(world, 100, seeded())

    print(f"100 kills: {verdict}; ready again after at most {max(ready):.2f} s")
    verdict.assert_clean()
    assert max(ready) < READY_WITHIN_S


def test_three_nodes_that_are_killed_stopped_and_restarted_lose_nothing(world: World) -> None:
    rng, receiver = seeded(), world.receiver()
    receiver.rule(Rule("once-", "slow", delay_s=0.3, share=0.2), Rule("once-", "fail", share=0.05, attempts=2))
    nodes = [world.node(receiver).wait_ready() for _ in range(3)]
    with Load(world.journal, lambda: [node.http_port for node in nodes], rng, 150):
        for _ in range(40):
            time.sleep(rng.uniform(0.05, 2))
            place = rng.randrange(3)
            nodes[place] = mishap(world, nodes[place], receiver, rng)
    verdict = world.quiet(TAKEN_OVER_S + 30, now_us() + 3 * S)
    print(f"3 nodes, 40 mishaps: {verdict}")
    verdict.assert_clean()
    for node in nodes:
        world.in_flight_is_zero(node)
        assert "Traceback" not in node.err
        assert node.end() == 0
    assert sound(world.file)


def mishap(world: World, node: Wakeful, receiver: Receiver, rng: random.Random) -> Wakeful:
    what = rng.choice(("kill", "stop", "restart"))
    if what == "stop":
        world.stand_still(node, rng.choice((0.5, 4.9, 5.5, 6.5, 9.0)))
        return node
    if what == "kill":
        world.kill(node)
    else:
        assert node.end(deadline_s=15) == 0
    return world.node(receiver, http_port=node.http_port).wait_ready()

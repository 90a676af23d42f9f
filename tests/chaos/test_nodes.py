"""Two and three nodes on one file: kills, standstills around the lease, rolling restarts."""

import pytest

from chaos.world import READY_WITHIN_S, TAKEN_OVER_S, Load, World, health, ready_s, seeded, sound
from support.judge import S, Verdict, now_us
from support.processes import Wakeful, eventually
from support.receiver import Receiver, Rule

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]


def three(world: World, receiver: Receiver, count: int = 3) -> list[Wakeful]:
    nodes = [world.node(receiver) for _ in range(count)]
    for node in nodes:
        node.wait_ready()
    return nodes


def settled(world: World, nodes: list[Wakeful], what: str) -> Verdict:
    verdict = world.quiet(TAKEN_OVER_S + 15, now_us() + 3 * S)
    print(f"{what}: {verdict}")
    for node in nodes:
        world.in_flight_is_zero(node)
        assert "Traceback" not in node.err
    verdict.assert_clean()
    for node in nodes:
        assert node.end() == 0
    assert sound(world.file)
    return verdict


def test_nodes_on_one_file_that_are_killed_in_turn_lose_nothing(world: World) -> None:
    rng, receiver = seeded(), world.receiver()
    nodes = three(world, receiver)
    with Load(world.journal, lambda: [node.http_port for node in nodes], rng, 150):
        for _ in range(6):
            came = len(receiver.arrivals())
            eventually(lambda came=came: len(receiver.arrivals()) > came + rng.randrange(5, 60), "runs")
            place = rng.randrange(3)
            world.kill(nodes[place])
            nodes[place] = world.node(receiver, http_port=nodes[place].http_port)
            assert ready_s(nodes[place]) < READY_WITHIN_S
    settled(world, nodes, "3 nodes, 6 kills")


@pytest.mark.parametrize("still_s", [1.0, 5.2, 8.0], ids=["shorter than the lease", "at its margin", "longer"])
def test_a_node_that_stood_still_neither_loses_nor_repeats_what_was_not_in_flight(world: World, still_s: float) -> None:
    receiver = world.receiver()
    receiver.rule(Rule("once-", "slow", delay_s=1.5, share=0.3))
    nodes = three(world, receiver, 2)
    other = nodes[1].http_port
    with Load(world.journal, lambda: (other,), seeded(), 120):
        eventually(lambda: len(receiver.arrivals()) > 60, "runs")
        eventually(lambda: health(nodes[0])[1]["in_flight"] > 2, "runs in flight at the one that is to stand still")
        world.stand_still(nodes[0], still_s)
        came = len(receiver.arrivals())
        eventually(lambda: len(receiver.arrivals()) > came + 60, "more runs")
    verdict = settled(world, nodes, f"stood still for {still_s} s")
    # At the margin a peer may or may not have been quicker.
    assert verdict.twice if still_s > 6 else not verdict.twice or still_s > 2
    assert verdict.worst < still_s + TAKEN_OVER_S


def test_a_rolling_restart_is_not_noticed(world: World) -> None:
    rng, receiver = seeded(), world.receiver()
    nodes = three(world, receiver, 2)
    with Load(world.journal, lambda: [node.http_port for node in nodes], rng, 120):
        for place in (0, 1, 0, 1):
            came = len(receiver.arrivals())
            eventually(lambda came=came: len(receiver.arrivals()) > came + 50, "runs")
            assert nodes[place].end() == 0
            nodes[place] = world.node(receiver, http_port=nodes[place].http_port).wait_ready()
    verdict = settled(world, nodes, "rolling restart")
    assert not verdict.twice
    assert verdict.worst < 10

"""The app killed in the middle of callbacks, away for a while, and an app with two replicas."""

from collections import Counter

import pytest

from chaos.world import TAKEN_OVER_S, Load, World, seeded
from support.judge import S, now_us
from support.processes import eventually
from support.receiver import Rule

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]


def test_an_app_killed_in_the_middle_of_callbacks_gets_them_again_and_the_others_later(world: World) -> None:
    rng, receiver = seeded(), world.receiver()
    receiver.rule(Rule("once-", "slow", delay_s=0.3, share=0.3))
    node = world.node(receiver).wait_ready()
    with Load(world.journal, lambda: (node.http_port,), rng, 150):
        for _ in range(4):
            came = len(receiver.arrivals())
            eventually(lambda came=came: len(receiver.arrivals()) > came + 40, "runs")
            receiver.kill()
            asked = len(world.journal.calls)
            eventually(lambda asked=asked: len(world.journal.calls) > asked + 60, "jobs while the app is away")
            receiver.start()
    verdict = world.quiet(TAKEN_OVER_S + 10, now_us() + 3 * S)
    print(f"app killed 4 times: {verdict}")
    verdict.assert_clean()
    assert not verdict.twice
    assert verdict.retried > 0
    world.in_flight_is_zero(node)
    assert "Traceback" not in node.err


def test_two_replicas_of_one_app_share_its_runs_and_one_takes_over_all(world: World) -> None:
    rng = seeded()
    first, second = world.receiver("first"), world.receiver("second")
    nodes = [world.node(first).wait_ready(), world.node(second).wait_ready()]
    with Load(world.journal, lambda: [node.http_port for node in nodes], rng, 150):
        eventually(lambda: min(len(first.arrivals()), len(second.arrivals())) > 60, "runs at both replicas")
        # The node and the app of one replica go together, as their machine would.
        first.kill()
        world.kill(nodes[0])
        nodes = nodes[1:]
        came = len(second.arrivals())
        eventually(lambda: len(second.arrivals()) > came + 100, "runs at the other")
    verdict = world.quiet(TAKEN_OVER_S + 10, now_us() + 3 * S)
    print(f"one of two replicas died: {verdict}; shared {Counter({'first': len(first.arrivals()), 'second': came})}")
    verdict.assert_clean()
    world.in_flight_is_zero(nodes[0])


def test_a_replica_whose_app_alone_died_leaves_its_runs_to_the_other(world: World) -> None:
    first, second = world.receiver("first"), world.receiver("second")
    nodes = [world.node(first).wait_ready(), world.node(second).wait_ready()]
    with Load(world.journal, lambda: [node.http_port for node in nodes], seeded(), 150):
        eventually(lambda: min(len(first.arrivals()), len(second.arrivals())) > 60, "runs at both replicas")
        first.kill()
        died = now_us()
        came = len(second.arrivals())
        eventually(lambda: len(second.arrivals()) > came + 200, "runs at the other")
    verdict = world.quiet(TAKEN_OVER_S, now_us() + 3 * S)
    print(f"one app of two died: {verdict}")
    verdict.assert_clean()
    assert not verdict.twice
    late = [a for a in second.arrivals() if a.due > died and a.at - a.due > 2 * S]
    assert not late, late[:3]
    for node in nodes:
        world.in_flight_is_zero(node)

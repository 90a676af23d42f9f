"""Three days of seconds, and a million overdue one-shots, to their ends."""

import time
from datetime import timedelta

import pytest

from chaos.backlog import Watch, away_for, beside, drained, lateness_of, overdue, p99
from chaos.world import World
from support.judge import S, now_us

pytestmark = pytest.mark.timeout(2400)

ON_TIME_S = 0.25
FLAT_MIB = 48


def test_a_million_overdue_one_shots_of_one_app_delay_no_other(world: World) -> None:
    mass, others = world.receiver("mass"), world.receiver("others")
    overdue(world, "mass", 1_000_000)
    other = world.node(others, "other").wait_ready()
    node = world.node(mass, "mass").wait_ready()
    beside(world, other, 120)
    watch = Watch([node, other])
    began = time.monotonic()
    drained(mass, 1_000_000, watch, 1200)

    took = time.monotonic() - began
    late = lateness_of(others.arrivals(), "beside")
    print(f"{1e6 / took:.0f} a second; others p99 {p99(late):.3f} max {late[-1]:.3f} s; {watch}")
    verdict = world.quiet(60)
    print(verdict)
    verdict.assert_clean()
    assert not verdict.twice
    assert p99(late) < ON_TIME_S
    assert max(watch.in_flight) <= 257
    assert watch.growth_mib < FLAT_MIB
    assert not watch.red
    world.in_flight_is_zero(node)
    assert " ERROR " not in node.err + other.err


def test_every_second_of_three_days_comes_once_and_in_order(world: World) -> None:
    away, others = world.receiver("away"), world.receiver("others")
    first = away_for(world, "away", "tick", timedelta(days=3))
    other = world.node(others, "other").wait_ready()
    node = world.node(away, "away").wait_ready()
    beside(world, other, 600)
    watch = Watch([node, other])
    began = time.monotonic()
    drained(away, 259_200, watch, 1800)

    took = time.monotonic() - began
    late = lateness_of(others.arrivals(), "beside")
    print(f"259,200 in {took:.0f} s; others p99 {p99(late):.3f} max {late[-1]:.3f} s; {watch}")
    ticks = [a.due for a in away.arrivals()]
    assert ticks == [first + n * S for n in range(len(ticks))]
    assert now_us() - ticks[-1] < 20 * S
    assert p99(late) < ON_TIME_S
    assert watch.growth_mib < FLAT_MIB
    assert not watch.red
    world.in_flight_is_zero(node)
    assert " ERROR " not in node.err + other.err

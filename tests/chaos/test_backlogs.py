"""Backlogs and bad targets: those beside them stay on time, memory stays flat, slots return to zero."""

from datetime import timedelta

import pytest

from chaos.backlog import Watch, away_for, beside, drained, lateness_of, overdue, p99
from chaos.world import World, api
from support.judge import S, now_us
from support.processes import eventually
from support.receiver import Rule

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

# Two cores that the tests share with others.
ON_TIME_S = 2.0
FLAT_MIB = 24


def test_an_app_that_was_away_for_three_days_gets_every_second_in_order_and_delays_nobody(world: World) -> None:
    away, others = world.receiver("away"), world.receiver("others")
    first = away_for(world, "away", "tick", timedelta(days=3))
    other = world.node(others, "other").wait_ready()
    node = world.node(away, "away").wait_ready()
    beside(world, other, 8)
    watch = Watch([node, other])
    watch.look_for(9)

    ticks = [a for a in away.arrivals() if a.job == "tick"]
    late = lateness_of(others.arrivals(), "beside")
    print(f"{len(ticks) / 9:.0f} of 259,200 a second; others p99 {p99(late):.3f} max {late[-1]:.3f} s; {watch}")
    assert [a.due for a in ticks] == [first + n * S for n in range(len(ticks))]
    assert len(ticks) > 300
    assert len(late) == 160
    assert p99(late) < ON_TIME_S
    assert watch.growth_mib < FLAT_MIB
    assert not watch.red


def test_a_hundred_thousand_overdue_one_shots_of_one_app_delay_no_other(world: World) -> None:
    mass, others = world.receiver("mass"), world.receiver("others")
    overdue(world, "mass", 100_000)
    other = world.node(others, "other").wait_ready()
    node = world.node(mass, "mass").wait_ready()
    beside(world, other, 8)
    with api(node) as client:
        # What is on time goes before what is late, in the same queue too.
        now = now_us()
        for number in range(40):
            world.journal.put(client, f"fresh-{number}", now + S + number * S // 5)
    watch = Watch([node, other])
    watch.look_for(9)
    came = len(mass.arrivals())
    drained(mass, 100_040, watch, 60)

    fresh, late = lateness_of(mass.arrivals(), "fresh"), lateness_of(others.arrivals(), "beside")
    print(f"{came / 9:.0f} a second; others p99 {p99(late):.3f}, its own on time p99 {p99(fresh):.3f} s; {watch}")
    verdict = world.judge().assert_clean()
    assert not verdict.twice
    assert (len(late), len(fresh)) == (160, 40)
    assert p99(late) < ON_TIME_S
    assert p99(fresh) < 1
    assert max(watch.in_flight) <= 266
    world.in_flight_is_zero(node)
    assert watch.growth_mib < FLAT_MIB
    assert not watch.red


def test_targets_that_hang_reset_or_drip_delay_no_other_app_and_keep_no_slot(world: World) -> None:
    bad, good = world.receiver("bad"), world.receiver("good")
    kinds = {"hang": {}, "drop": {}, "drip": {"delay_s": 0.5}, "slow": {"delay_s": 1.0}, "fail": {}}
    bad.rule(*(Rule(f"{kind}-", kind, attempts=3, **more) for kind, more in kinds.items()))
    node = world.node(bad, "bad", flags=["--app-timeout=1.5"]).wait_ready()
    other = world.node(good, "good").wait_ready()
    with api(node) as client:
        now = now_us()
        for number in range(300):
            kind = list(kinds)[number % 5]
            world.journal.put(client, f"{kind}-{number}", now + S, retries=5, interval_s=0.2)
    beside(world, other, 8)
    watch = Watch([node, other])
    watch.look_for(9)
    eventually(lambda: len({a.run for a in bad.arrivals() if a.did == "ok"}) == 300, "each to be answered in the end")

    late = lateness_of(good.arrivals(), "beside")
    verdict = world.quiet()
    print(f"bad targets: {verdict}; others p99 {p99(late):.3f} max {late[-1]:.3f} s; {watch}")
    verdict.assert_clean()
    assert not verdict.twice
    assert len(late) == 160
    assert p99(late) < ON_TIME_S
    assert max(watch.in_flight) <= 257
    assert not watch.red
    world.in_flight_is_zero(node)
    assert "Traceback" not in node.err

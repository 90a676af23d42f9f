"""SIGKILL at random instants under load, and a restart on the same file."""

import pytest

from chaos.world import READY_WITHIN_S, World, kill_rounds, seeded

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]


def test_ten_kills_at_random_instants_lose_nothing(world: World) -> None:
    verdict, ready = kill_rounds(world, 10, seeded())

    print(f"10 kills: {verdict}; ready again after at most {max(ready):.2f} s")
    verdict.assert_clean()
    assert verdict.expected > 500
    assert max(ready) < READY_WITHIN_S

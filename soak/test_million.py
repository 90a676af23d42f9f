"""A million runs without a fault: none twice, none tried again, no line of error, and memory stays."""

import pytest

from chaos.backlog import Watch, drained
from chaos.world import World, api, sound
from support.judge import DONE, S, now_us

pytestmark = pytest.mark.timeout(1800)

JOBS, EACH, STEP = 1000, 1000, 500_000


def test_a_million_runs_come_once_each(world: World) -> None:
    receiver = world.receiver()
    node = world.node(receiver).wait_ready()
    start = now_us() + 8 * S
    with api(node) as client:
        for number in range(JOBS):
            first = start + number * STEP // JOBS
            assert world.journal.put(client, f"every-{number}", first, every_us=STEP, count=EACH) == DONE
    assert now_us() < start, "the jobs were not there in time"
    watch = Watch([node])
    drained(receiver, JOBS * EACH, watch, 900)

    verdict = world.quiet(30)
    print(f"a million: {verdict}; {watch}; file {world.file.stat().st_size >> 20} MiB")
    verdict.assert_clean()
    assert verdict.came == verdict.expected == JOBS * EACH
    assert not verdict.twice
    assert verdict.retried == 0
    assert verdict.percentile(99) < 1
    assert watch.growth_mib < 48
    assert not watch.red
    assert not [line for line in node.err.splitlines() if " ERROR " in line or " WARNING " in line]
    wal = world.file.with_name(world.file.name + "-wal")
    assert wal.stat().st_size < 65 << 20
    world.in_flight_is_zero(node)
    assert node.end() == 0
    assert sound(world.file)

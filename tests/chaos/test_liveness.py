"""An engine's part that ends, hangs, raises or is cancelled never leaves a green node that fires nothing."""

import time
from collections.abc import Sequence

import pytest

from chaos.world import World, api, health
from support.judge import S, now_us
from support.processes import Wakeful, eventually

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

# Five seconds without a turn are too many; then a look at the health.
RED_WITHIN_S = 8.0
# Each node has a job every fifth of a second: so long without a callback is silence.
SILENCE_S = 2.0
WAYS = ("end", "raise", "hang", "cancel")
FOREVER = {
    "claims": [f"Engine._claim_turns.before:1:{way}" for way in WAYS]
    + [f"SqliteStore.claim_due.before:20:{way}" for way in ("raise", "hang")]
    + [f"SqliteStore.heartbeat.before:2:{way}" for way in ("raise", "hang")],
    "settlements": [f"Engine._settle_turns.before:1:{way}" for way in WAYS]
    + ["Engine._settle_turns.before:1:hang", "Engine._settle_now.before:10:cancel"]
    + [f"SqliteStore.settle.before:10:{way}" for way in ("raise", "hang", "cancel")],
    "the rest": [f"Engine._prune_turns.before:1:{way}" for way in WAYS]
    + [f"Engine._watch_changes.before:1:{way}" for way in ("end", "hang", "cancel")]
    + ["Engine._claim_turn.before:20:block", "claim.before_begin:10:block"],
}
ONCE = [
    "Engine._claim_turn.before:20",
    "SqliteStore.claim_due.after:20",
    "SqliteStore.heartbeat.after:2",
    "Engine._settle_now.before:10",
    "SqliteStore.settle.after:10",
    "HttpApp.deliver.after:10",
    "HttpApp.available.before:1",
    "Engine._prune_turns.before:1",
    "Engine._watch_changes.before:1",
    "claim.before_commit:10",
    "settle_runs.before_commit:10",
]


def start(world: World, points: Sequence[str], count: int) -> dict[str, Wakeful]:
    """A node and a file for each point, with two jobs every fifth of a second; their names begin with its place."""
    receiver = world.receiver()
    nodes = {
        point: world.node(receiver, failpoint=point, store=f"sqlite:///{world.home}/{place}.db")
        for place, point in enumerate(points)
    }
    for node in nodes.values():
        # Whatever it says: it may be ill from the start.
        eventually(lambda node=node: health(node)[0], "the node's health")
    due = now_us() + S
    for place, node in enumerate(nodes.values()):
        with api(node) as client:
            for number in range(2):
                job = f"{place}-{number}"
                world.journal.put(client, job, due, every_us=S // 5, count=count)
    return nodes


def last_arrival(world: World, place: int) -> int:
    return max((a.at for a in world.receivers[0].arrivals() if a.job.startswith(f"{place}-")), default=0)


@pytest.mark.parametrize("part", FOREVER)
def test_a_node_whose_part_is_lost_for_good_is_red_or_fires(world: World, part: str) -> None:
    nodes = start(world, list(dict.fromkeys(FOREVER[part])), 600)
    for point, node in nodes.items():
        eventually(lambda node=node: "failpoint" in node.err, point)
    time.sleep(RED_WITHIN_S)

    seen: list[str] = []
    silent: list[str] = []
    for place, (point, node) in enumerate(nodes.items()):
        status, said = health(node)
        fires = now_us() - last_arrival(world, place) < SILENCE_S * S
        seen.append(f"{point}: {status} {'fires' if fires else 'silent'}, {said['reason']!r}, {said.get('in_flight')}")
        if status == 200 and not fires:
            silent.append(seen[-1])
        assert status == 200 or said["reason"]

    print(*seen, sep="\n")
    assert not silent, "\n".join(silent)


def test_a_node_with_one_failure_goes_on_and_loses_nothing(world: World) -> None:
    nodes = start(world, [f"{point}:once-raise" for point in ONCE], 15)
    verdict = world.quiet(20, now_us() + 4 * S)

    print(f"one failure each: {verdict}")
    for point, node in nodes.items():
        assert f"failpoint {point.partition(':')[0]}" in node.err
        eventually(lambda node=node: health(node)[0] == 200, f"green health after {point}", 30)
        world.in_flight_is_zero(node)
    assert not (verdict.lost or verdict.early or verdict.phantom), verdict
    assert len(verdict.twice) <= len(ONCE), verdict

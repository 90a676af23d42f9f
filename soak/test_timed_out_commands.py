"""Five hundred commands that fork, hide, ignore SIGTERM and print without end, until their time is over."""

from pathlib import Path

import pytest

from targets.cron.commands import a_tag, children
from targets.cron.timed_out import Held, Machine

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(900)]

ROUNDS, AT_ONCE = 50, 10
# By so much it differs from round to round. A kilobyte of each stream would come to as much.
SLACK_KIB = 4 * 1024


@pytest.fixture(params=[False, True], ids=["asyncio", "uvloop"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, bool]]:
    return "asyncio", {"use_uvloop": request.param}


async def test_five_hundred_timed_out_commands_leave_nothing_behind(tmp_path: Path) -> None:
    with a_tag() as tag:
        machine = Machine(tmp_path / "logs", tag)
        held: list[Held] = []
        for _ in range(ROUNDS):
            assert await machine.time_out(AT_ONCE) == []
            held.append(Held.now())

        assert machine.said == {"timed out after 1 s": ROUNDS * AT_ONCE}
        assert len({each["session_id"] for each in machine.results}) == ROUNDS * AT_ONCE
        assert len(list((tmp_path / "logs").iterdir())) == 20
        assert children() == set()
    warm, end = held[10], held[-1]
    before, after = (min(each.memory_kib for each in rounds) for rounds in (held[5:15], held[-10:]))
    print(f"{ROUNDS * AT_ONCE} commands: {before} KiB, then {after} KiB; {warm}, then {end}")
    assert after - before < SLACK_KIB
    assert end.descriptors == warm.descriptors
    assert end.threads <= warm.threads

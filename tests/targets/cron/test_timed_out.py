"""Commands that do not want to end: nobody is left of them, and they cost nothing. See ``soak`` for more of them."""

from pathlib import Path

import pytest

from targets.cron.commands import children
from targets.cron.timed_out import Machine

pytestmark = [pytest.mark.anyio, pytest.mark.slow]


async def test_b3_40_nobody_is_left_of_twenty_commands_that_do_not_want_to_end(tmp_path: Path, tag: str) -> None:
    before = children()
    machine = Machine(tmp_path / "logs", tag)
    for _ in range(2):
        assert await machine.time_out(10) == []
    assert machine.said == {"timed out after 1 s": 20}
    assert len({each["session_id"] for each in machine.results}) == 20
    # They had begun to print.
    assert sum(each["truncated"] for each in machine.results) >= 10
    assert max(path.stat().st_size for path in (tmp_path / "logs").iterdir()) < 1.5 * 1024 * 1024
    assert children() <= before

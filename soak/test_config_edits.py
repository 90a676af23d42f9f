"""A thousand edits of a cron daemon's config file by five writers, among them partial and invalid ones."""

from datetime import timedelta
from pathlib import Path

import pytest

from chaos.world import seeded
from faces.cron.edits import judged
from faces.cron.real import running

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(1_800)]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def test_after_a_thousand_edits_the_live_set_is_the_last_valid_file(tmp_path: Path) -> None:
    async with running(tmp_path / "state", timedelta(seconds=1)) as here:
        came = await judged(here, rounds=10, edits=100, seed=seeded().randrange(10**6))
        print(f"a thousand edits: {came} runs, none of them of a file that could not be used")
        assert (await here.daemon.health())["healthy"]

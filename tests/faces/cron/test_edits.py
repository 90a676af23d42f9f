"""Two hundred edits of the config file by five processes, good and bad: the live set is the last valid file."""

from datetime import timedelta
from pathlib import Path

import pytest

from faces.cron.edits import judged
from faces.cron.real import running

pytestmark = [pytest.mark.anyio, pytest.mark.slow]


async def test_s3_72_b3_15_whatever_five_writers_do_the_live_set_is_the_last_valid_file(tmp_path: Path) -> None:
    async with running(tmp_path / "state", timedelta(seconds=1)) as here:
        came = await judged(here, rounds=4, edits=50, seed=7)
        assert came > 4 * 4
        health = await here.daemon.health()
        assert health["healthy"]
        assert health["config_error"]

"""Real processes, on free ports, in a folder of the test's own."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from support.processes import Processes


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[Processes]:
    processes = Processes(tmp_path)
    yield processes
    processes.close()

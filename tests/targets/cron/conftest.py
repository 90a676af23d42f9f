"""What the tests of cron targets share."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from targets.cron.commands import FakeClaude, a_tag


@pytest.fixture
def tag() -> Iterator[str]:
    """A text that marks this test's processes; none of them outlives it."""
    with a_tag() as tag:
        yield tag


@pytest.fixture
def claude(tmp_path: Path) -> FakeClaude:
    """A ``claude`` that does as it is told."""
    return FakeClaude(tmp_path / "bin")


@pytest.fixture
def scripts(tmp_path: Path) -> Path:
    """The folder of scripts."""
    folder = tmp_path / "scripts"
    folder.mkdir()
    return folder

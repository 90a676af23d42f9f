"""What the tests of skills share."""

from pathlib import Path

import pytest

from skills.kitchen import Kitchen


@pytest.fixture
def kitchen(tmp_path: Path) -> Kitchen:
    (tmp_path / "skills").mkdir()
    return Kitchen(tmp_path / "skills", tmp_path / "memory")

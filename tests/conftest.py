"""What all tests share."""

import pytest
from hypothesis import settings

# With `make check`, a property is tried with a fifth of its examples.
settings.register_profile("quick", settings(), max_examples=settings().max_examples // 5)


def pytest_configure(config: pytest.Config) -> None:
    if config.option.markexpr == "not slow":
        settings.load_profile("quick")


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """Tests of coroutines run on asyncio's own loop, where a folder names no other."""
    return "asyncio"

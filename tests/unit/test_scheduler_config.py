"""What a scheduler tells sidecars to connect to."""

from pathlib import Path

import pytest

from wakeful.config import ConfigError
from wakeful.scheduler_config import SchedulerConfig


def config(broadcast: str | None) -> SchedulerConfig:
    return SchedulerConfig(
        name="tests",
        address="127.0.0.1",
        port=50006,
        health_address="127.0.0.1",
        health_port=8080,
        metrics_address="127.0.0.1",
        metrics_port=None,
        store=Path("wakeful.db"),
        token=None,
        broadcast=broadcast,
    )


@pytest.mark.parametrize("broadcast", ["localhost:50006", "scheduler_0.example:1", "10.0.0.1:65535", "[::1]:50006"])
def test_is_what_was_given(broadcast: str) -> None:
    assert config(broadcast).broadcast_address(7, {}) == broadcast


@pytest.mark.parametrize("broadcast", [None, ""])
def test_is_its_own_address_where_nothing_was(broadcast: str | None) -> None:
    assert config(broadcast).broadcast_address(7, {}) == "127.0.0.1:7"


@pytest.mark.parametrize(
    "broadcast",
    [
        "localhost",
        ":50006",
        "localhost:",
        "localhost:0",
        "localhost:65536",
        "localhost:x",
        "localhost:\u0665",
        "localhost:50006\n",
        " ",
        "a b:50006",
        "::1:50006",
        "[::1]",
        "http://localhost:50006",
        "a:1,b:2",
    ],
)
def test_is_refused_if_it_is_none(broadcast: str) -> None:
    with pytest.raises(ConfigError, match=r"give host:port, such as scheduler\.example:50006 or "):
        config(broadcast)

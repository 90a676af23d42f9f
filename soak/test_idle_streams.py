"""Streams on which nothing happens: a real sidecar pings them every ten seconds, and they must not be closed for it."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.scheduler_process import Schedulers

pytestmark = pytest.mark.timeout(900)

IDLE_S = 600
# grpc-go raises daprd's three seconds to ten; a server that minds closes such a stream after fifty.
PINGS = [
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
]


@pytest.fixture
def schedulers(tmp_path: Path) -> Iterator[Schedulers]:
    schedulers = Schedulers(tmp_path)
    yield schedulers
    schedulers.close()


def test_idle_streams_live_ten_minutes(schedulers: Schedulers) -> None:
    scheduler = schedulers.start().wait_ready()
    streams = [scheduler.watch(options=PINGS) for _ in range(3)]
    hosts = scheduler.hosts(options=PINGS)
    hosts.wait(1)
    end = time.monotonic() + IDLE_S
    while time.monotonic() < end:
        assert [stream.error for stream in (*streams, hosts)] == [None] * 4, f"closed after {IDLE_S} s or less"
        time.sleep(1)

    for number in range(3):
        scheduler.schedule(f"job-{number}")
    for stream in streams:
        (run,) = stream.wait(1)
        stream.answer(run.id)
    assert len(hosts.got) == 1
    assert scheduler.end() == 0

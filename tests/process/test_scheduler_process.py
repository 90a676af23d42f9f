"""``wakeful scheduler``: its ports, its end, and several of them on one store."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from support.processes import cli, eventually
from support.scheduler_process import METADATA, SchedulerProcess, Schedulers, Stream

pytestmark = pytest.mark.slow

# Six seconds of lease, one to the next beat, and a slow machine.
GONE_S = 20.0


@pytest.fixture
def schedulers(tmp_path: Path) -> Iterator[Schedulers]:
    schedulers = Schedulers(tmp_path)
    yield schedulers
    schedulers.close()


def states(scheduler: SchedulerProcess, name: str) -> list[tuple[str, int]]:
    done = cli("job", "runs", name, "--json", f"--store={scheduler.store}", home=scheduler.home)
    assert done.returncode == 0, done.stderr
    return [(run["state"], run["attempts"]) for run in json.loads(done.stdout)]


def addresses(stream: Stream) -> set[str]:
    return {host.address for host in stream.got[-1].hosts} if stream.got else set()


def test_a_job_goes_through_and_everything_ends_in_peace(schedulers: Schedulers) -> None:
    scheduler = schedulers.start("--id=mine", "--workers", "128", "--etcd-client-port=2379").wait_ready()
    assert scheduler.broadcast == f"127.0.0.1:{scheduler.port}"
    assert "--workers is ignored: " in scheduler.err
    assert "--etcd-client-port is ignored: " in scheduler.err
    silent, hosts, stream = scheduler.watch(None), scheduler.hosts(), scheduler.watch()
    scheduler.schedule("tick")
    (run,) = stream.wait(1)
    stream.answer(run.id)
    eventually(lambda: states(scheduler, "tick") == [("succeeded", 1)], "the run to be settled")
    assert addresses(hosts) == {scheduler.broadcast}
    assert 'dapr_scheduler_jobs_triggered_total{type="job"} 1\n' in scheduler.metrics()
    assert "dapr_scheduler_sidecars_connected 1\n" in scheduler.metrics()

    # One that has said nothing yet is parked all the while.
    began = time.monotonic()
    assert scheduler.end() == 0
    assert time.monotonic() - began < 10
    for parked, text in ((silent, "server is closing"), (stream, "server is closing"), (hosts, "cron closed")):
        eventually(lambda parked=parked: parked.error, "the stream's end")  # type: ignore[misc]
        assert (parked.error.code(), parked.error.details()) == (grpc.StatusCode.UNKNOWN, text)  # type: ignore[union-attr]
    assert "Traceback" not in scheduler.err


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_what_is_under_way_may_be_answered_before_it_ends(schedulers: Schedulers, number: signal.Signals) -> None:
    scheduler = schedulers.start().wait_ready()
    stream = scheduler.watch()
    scheduler.schedule("slow")
    (run,) = stream.wait(1)

    scheduler.process.send_signal(number)
    eventually(lambda: scheduler.health() == 503, "it to be unwell")
    assert scheduler.process.poll() is None
    stream.answer(run.id)

    assert scheduler.process.wait(10) == 0
    assert states(scheduler, "slow") == [("succeeded", 1)]


def test_what_is_never_answered_does_not_hold_it_up_and_is_delivered_by_the_next(schedulers: Schedulers) -> None:
    scheduler = schedulers.start().wait_ready()
    stream = scheduler.watch()
    scheduler.schedule("job")
    stream.wait(1)
    began = time.monotonic()
    assert scheduler.end() == 0
    assert time.monotonic() - began < 20

    again = schedulers.start().wait_ready()
    (run,) = again.watch().wait(1)
    assert run.name == "job"


def test_kill_9_loses_nothing(schedulers: Schedulers) -> None:
    scheduler = schedulers.start().wait_ready()
    stream = scheduler.watch()
    scheduler.schedule("under-way")
    stream.wait(1)
    scheduler.schedule("later", due_time="1h")
    scheduler.schedule("soon", due_time="2s")
    scheduler.end(signal.SIGKILL)

    again = schedulers.start().wait_ready()
    assert again.call("GetJob", name="later", metadata=METADATA)
    stream = again.watch()
    assert {run.name for run in stream.wait(2, GONE_S)} == {"under-way", "soon"}


def test_three_of_them_on_one_store_come_and_go_and_all_say_so(schedulers: Schedulers) -> None:
    three = [schedulers.start().wait_ready() for _ in range(3)]
    streams = [scheduler.hosts() for scheduler in three]
    everybody = {scheduler.broadcast for scheduler in three}
    for stream in streams:
        eventually(lambda stream=stream: addresses(stream) == everybody, "all three", 10)  # type: ignore[misc]

    # Whoever has the stream delivers, whoever was asked.
    watching = three[1].watch()
    three[0].schedule("job")
    (run,) = watching.wait(1)
    watching.answer(run.id)

    three[2].end(signal.SIGKILL)
    for stream in streams[:2]:
        left = everybody - {three[2].broadcast}
        eventually(lambda stream=stream, left=left: addresses(stream) == left, "two of them", GONE_S)  # type: ignore[misc]

    began = time.monotonic()
    assert three[1].end() == 0
    eventually(lambda: addresses(streams[0]) == {three[0].broadcast}, "one of them")
    assert time.monotonic() - began < 5
    fourth = schedulers.start().wait_ready()
    eventually(lambda: addresses(streams[0]) == {three[0].broadcast, fourth.broadcast}, "the new one", GONE_S)


def test_what_a_dead_one_had_is_delivered_by_another(schedulers: Schedulers) -> None:
    first, second = schedulers.start().wait_ready(), schedulers.start().wait_ready()
    stream = first.watch()
    first.schedule("job")
    stream.wait(1)
    waiting = second.watch()
    first.end(signal.SIGKILL)
    (run,) = waiting.wait(1, GONE_S)
    assert run.name == "job"


def test_what_it_broadcasts_can_be_said(schedulers: Schedulers) -> None:
    scheduler = schedulers.start("--override-broadcast-host-port=localhost:50006", "--enable-metrics=false")
    assert scheduler.wait_ready().broadcast == "localhost:50006"
    assert scheduler.metrics_port == 0


def test_it_broadcasts_its_own_address_where_nothing_is_said(schedulers: Schedulers) -> None:
    scheduler = schedulers.start("--override-broadcast-host-port=").wait_ready()
    assert scheduler.broadcast == f"127.0.0.1:{scheduler.port}"


def test_what_can_not_be_broadcast_is_refused(schedulers: Schedulers) -> None:
    scheduler = schedulers.start("--override-broadcast-host-port=localhost")
    assert scheduler.process.wait(20) == 2
    assert "--override-broadcast-host-port 'localhost': give host:port, " in scheduler.err


def test_beyond_this_machine_callers_show_the_token_and_on_it_they_need_none(schedulers: Schedulers) -> None:
    token = {"DAPR_API_TOKEN": "secret", "DAPR_HOST_IP": "127.0.0.1"}
    wide = schedulers.start("--listen-address=0.0.0.0", environment=token).wait_ready()
    assert wide.broadcast == f"127.0.0.1:{wide.port}"
    with pytest.raises(grpc.RpcError) as refused:
        wide.schedule("job")
    assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED
    wide.call("ListJobs", [("dapr-api-token", "secret")], metadata=METADATA)
    near = schedulers.start("--listen-address", "127.0.0.1", environment=token).wait_ready()
    near.schedule("job")


def test_a_port_that_is_taken_is_told(schedulers: Schedulers) -> None:
    first = schedulers.start().wait_ready()
    for taken in ({"--port": first.port}, {"--healthz-port": first.health_port}):
        flags = {"--port": 0, "--healthz-port": 0, "--metrics-port": 0} | taken
        second = schedulers.start(*(f"{flag}={port}" for flag, port in flags.items()), ports=False)
        assert second.process.wait(20) == 2
        ((flag, port),) = taken.items()
        assert f"{flag} {port}" in second.err


FROZEN = """
import sys
from wakeful.protos import scheduler as messages
import grpc, queue
outgoing = queue.SimpleQueue()
initial = messages.WatchJobsRequestInitial(app_id="app", namespace="default")
outgoing.put(messages.WatchJobsRequest(initial=initial).SerializeToString())
channel = grpc.insecure_channel(f"127.0.0.1:{sys.argv[1]}")
calls = channel.stream_stream("/dapr.proto.scheduler.v1.Scheduler/WatchJobs")(iter(outgoing.get, None))
for message in calls:
    print("got", flush=True)
"""


def test_a_sidecar_that_freezes_is_noticed_and_what_it_had_goes_to_another(schedulers: Schedulers) -> None:
    scheduler = schedulers.start().wait_ready()
    command = [sys.executable, "-c", FROZEN, str(scheduler.port)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as frozen:
        try:
            scheduler.schedule("job")
            assert frozen.stdout is not None
            assert frozen.stdout.readline() == b"got\n"
            frozen.send_signal(signal.SIGSTOP)
            (run,) = scheduler.watch().wait(1, 20)
            assert run.name == "job"
            eventually(lambda: "dapr_scheduler_sidecars_connected 1\n" in scheduler.metrics(), "the frozen one's end")
        finally:
            frozen.kill()

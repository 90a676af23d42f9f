"""A started ``wakeful scheduler``, and sidecars in the test's own process."""

import queue
import re
import signal
import subprocess
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import httpx2

from support.processes import PLAIN, WAKEFUL, eventually, spawn
from wakeful.protos import scheduler as messages

SERVICE = "/dapr.proto.scheduler.v1.Scheduler"
# Each channel has a connection, as each sidecar has.
_OF_ITS_OWN = [("grpc.use_local_subchannel_pool", 1)]
_LINE = re.compile(r"serves (\S+)\. gRPC Port: (\d+)\. Healthz Port: (\d+)\. (?:Metrics Port: (\d+)\. )?Store: (.+)")
_TARGET = messages.JobTargetMetadata(job=messages.TargetJob())
METADATA = messages.JobMetadata(app_id="app", namespace="default", target=_TARGET)


class Stream:
    """A stream whose messages a thread reads."""

    def __init__(self, call: Any, kind: Any, outgoing: "queue.SimpleQueue[bytes | None]") -> None:
        self.got: list[Any] = []
        self.error: grpc.RpcError | None = None
        self._call, self._kind, self._outgoing = call, kind, outgoing
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        try:
            for message in self._call:
                self.got.append(self._kind.FromString(message))
        except grpc.RpcError as error:
            self.error = error

    def send(self, **fields: Any) -> None:
        self._outgoing.put(messages.WatchJobsRequest(**fields).SerializeToString())

    def answer(self, number: int) -> None:
        self.send(result=messages.WatchJobsRequestResult(id=number))

    def wait(self, count: int, deadline_s: float = 20) -> list[Any]:
        """Its messages, once there are so many."""
        eventually(lambda: len(self.got) >= count, f"{count} messages on a stream", deadline_s)
        return self.got

    def cancel(self) -> None:
        self._call.cancel()


@dataclass
class SchedulerProcess:
    """One process, its standard streams in files."""

    process: "subprocess.Popen[bytes]"
    home: Path
    broadcast: str = ""
    port: int = 0
    health_port: int = 0
    metrics_port: int = 0
    store: str = ""
    channels: list[grpc.Channel] = field(default_factory=list)

    @property
    def err(self) -> str:
        return (self.home / "stderr").read_text(errors="replace")

    def wait_ready(self) -> "SchedulerProcess":
        def said() -> re.Match[str] | None:
            assert self.process.poll() is None, f"it ended with {self.process.returncode}:\n{self.err}"
            return _LINE.search((self.home / "stdout").read_text(errors="replace"))

        match = eventually(said, "the scheduler's line")
        assert match is not None
        self.broadcast, self.store = match[1], f"sqlite:///{match[5]}"
        self.port, self.health_port, self.metrics_port = (int(match[group] or 0) for group in (2, 3, 4))
        eventually(lambda: self.health() == 200, "the scheduler to be well")
        return self

    def health(self) -> int:
        """The status of GET /healthz; 0 if nobody answers."""
        with suppress(httpx2.TransportError):
            answer = httpx2.get(f"http://127.0.0.1:{self.health_port}/healthz", timeout=5, **PLAIN)
            assert answer.content == b""
            return int(answer.status_code)
        return 0

    def metrics(self) -> str:
        return str(httpx2.get(f"http://127.0.0.1:{self.metrics_port}/metrics", timeout=5, **PLAIN).text)

    def channel(self, options: Sequence[tuple[str, int]] = ()) -> grpc.Channel:
        self.channels.append(grpc.insecure_channel(f"127.0.0.1:{self.port}", [*options, *_OF_ITS_OWN]))
        return self.channels[-1]

    def call(self, method: str, sent: Sequence[tuple[str, str]] = (), /, **fields: Any) -> bytes:
        request = getattr(messages, f"{method}Request")(**fields).SerializeToString()
        with grpc.insecure_channel(f"127.0.0.1:{self.port}") as channel:
            answer: bytes = channel.unary_unary(f"{SERVICE}/{method}")(request, timeout=10, metadata=sent)
            return answer

    def schedule(self, name: str, **job: Any) -> None:
        self.call("ScheduleJob", name=name, job=messages.Job(**(job or {"due_time": "0s"})), metadata=METADATA)

    def watch(self, app_id: str | None = "app", options: Sequence[tuple[str, int]] = ()) -> Stream:
        """A stream of jobs; without an app it says nothing."""
        outgoing: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        call = self.channel(options).stream_stream(f"{SERVICE}/WatchJobs")(_until_none(outgoing))
        stream = Stream(call, messages.WatchJobsResponse, outgoing)
        if app_id is not None:
            stream.send(initial=messages.WatchJobsRequestInitial(app_id=app_id, namespace="default"))
        return stream

    def hosts(self, options: Sequence[tuple[str, int]] = ()) -> Stream:
        call = self.channel(options).unary_stream(f"{SERVICE}/WatchHosts")(b"")
        return Stream(call, messages.WatchHostsResponse, queue.SimpleQueue())

    def end(self, number: signal.Signals = signal.SIGTERM, deadline_s: float = 15) -> int:
        self.process.send_signal(number)
        return self.process.wait(deadline_s)


def _until_none(outgoing: "queue.SimpleQueue[bytes | None]") -> Iterator[bytes]:
    while (message := outgoing.get()) is not None:
        yield message


@dataclass
class Schedulers:
    """Starts schedulers, and ends those that a test left."""

    home: Path
    started: list[SchedulerProcess] = field(default_factory=list)

    def start(self, *flags: str, ports: bool = True, environment: Mapping[str, str] | None = None) -> SchedulerProcess:
        """One on free ports, and on this test's store unless a flag says otherwise."""
        home = self.home / f"scheduler-{len(self.started)}"
        own = ["--port=0", "--healthz-port=0", "--metrics-port", "0"] if ports else []
        data = [] if any("--store" in flag or "data-dir" in flag for flag in flags) else ["--etcd-data-dir", "../data"]
        process = spawn([WAKEFUL, "scheduler", *own, *data, *flags], home, environment)
        self.started.append(SchedulerProcess(process, home))
        return self.started[-1]

    def close(self) -> None:
        for scheduler in self.started:
            for channel in scheduler.channels:
                channel.close()
            if scheduler.process.poll() is None:
                scheduler.process.kill()
            scheduler.process.wait(10)

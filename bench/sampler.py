"""Looks at the stacks of a node's threads while it works; in the node's own process, started by serve_with.py.

A sample is wall time: a thread that waits for the interpreter is seen where it waits. Threads that have nothing to do
are seen idling. Each line of the file is ``thread;frame;frame… count``, as flame graphs
take it, and beside it lies what the kernel says of each thread's CPU time. SIGUSR1 begins anew, SIGUSR2 writes.
"""

import os
import signal
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from types import FrameType

EVERY_S = 0.003
# Of these the line is told as well: one function, two kinds of work.
_BY_LINE = ("_commit",)


def _label(frame: FrameType, leaf: bool) -> str:
    code = frame.f_code
    module = frame.f_globals.get("__name__", "?")
    line = f":{frame.f_lineno}" if leaf and code.co_name in _BY_LINE else ""
    return f"{module}.{code.co_qualname}{line}"


def _folded(name: str, frame: FrameType | None) -> str:
    labels: list[str] = []
    leaf = True
    while frame is not None:
        labels.append(_label(frame, leaf))
        leaf, frame = False, frame.f_back
    return ";".join([name, *reversed(labels)])


class Sampler:
    """A thread that looks, and what it saw."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen: Counter[str] = Counter()
        self._cpu: dict[str, float] = {}
        self._thread = threading.Thread(target=self._run, name="sampler", daemon=True)

    def start(self) -> None:
        signal.signal(signal.SIGUSR1, lambda *_: self._begin())
        signal.signal(signal.SIGUSR2, lambda *_: self._write())
        self._thread.start()

    def _begin(self) -> None:
        self._seen = Counter()
        self._cpu = self._thread_cpu()

    def _run(self) -> None:
        own = threading.get_ident()
        while True:
            time.sleep(EVERY_S)
            names = {thread.ident: thread.name for thread in threading.enumerate()}
            for ident, frame in sys._current_frames().items():
                if ident != own:
                    self._seen[_folded(names.get(ident, "?"), frame)] += 1

    @staticmethod
    def _thread_cpu() -> dict[str, float]:
        used: dict[str, float] = {}
        for thread in threading.enumerate():
            try:
                stat = Path(f"/proc/self/task/{thread.native_id}/stat").read_text().rsplit(")", 1)[1].split()
            except OSError:
                continue
            ticks = int(stat[11]) + int(stat[12])
            used[thread.name] = used.get(thread.name, 0.0) + ticks / os.sysconf("SC_CLK_TCK")
        return used

    def _write(self) -> None:
        now = self._thread_cpu()
        cpu = [f"{name} {used - self._cpu.get(name, 0.0):.2f}\n" for name, used in sorted(now.items())]
        self._path.with_suffix(".cpu").write_text("".join(cpu))
        done = self._path.with_suffix(".part")
        done.write_text("".join(f"{stack} {count}\n" for stack, count in sorted(self._seen.copy().items())))
        done.replace(self._path)


def start(path: Path) -> None:
    """Samples this process until it ends."""
    Sampler(path).start()

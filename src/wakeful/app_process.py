"""The app that ``wakeful run`` starts: its output, and its end with all it started."""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from datetime import timedelta

# A longer line of the app's is printed in pieces.
LONGEST_LINE = 64 * 1024
PREFIX = b"== APP == "


class AppProcess:
    """A child process in a session of its own, so that its children end with it."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._output = [
            asyncio.create_task(_copy(stream, sink))
            for stream, sink in ((process.stdout, sys.stdout.buffer), (process.stderr, sys.stderr.buffer))
            if stream is not None
        ]

    @classmethod
    async def start(cls, command: Sequence[str], environment: Mapping[str, str]) -> "AppProcess":
        """Starts the command with this environment and no other, without a shell.

        Raises:
            OSError: there is no such command, or it may not be run.
        """
        process = await asyncio.create_subprocess_exec(
            *command,
            env=environment,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            limit=LONGEST_LINE,
            start_new_session=True,
        )
        return cls(process)

    async def wait(self) -> int:
        """Its exit code; below zero, the signal that ended it. Ends all that it started, too."""
        code = await self._process.wait()
        # What it started and left behind ends with it.
        self._signal(signal.SIGKILL)
        # A grandchild may hold the pipes open: what it prints is not waited for.
        await asyncio.wait(self._output, timeout=0.5)
        return code

    async def stop(self, grace: timedelta) -> int:
        """Asks it to end, and after ``grace`` makes it and all it started end."""
        self._signal(signal.SIGTERM)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._process.wait(), grace.total_seconds())
        self._signal(signal.SIGKILL)
        return await self.wait()

    def _signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, number)


async def _copy(stream: asyncio.StreamReader, sink: "object") -> None:
    write = sink.write  # type: ignore[attr-defined]
    flush = sink.flush  # type: ignore[attr-defined]
    while line := await _line(stream):
        write(PREFIX + line.rstrip(b"\n") + b"\n")
        flush()


async def _line(stream: asyncio.StreamReader) -> bytes:
    try:
        return await stream.readuntil(b"\n")
    except asyncio.IncompleteReadError as rest:
        return rest.partial
    except asyncio.LimitOverrunError as error:
        return await stream.read(error.consumed)

"""A command that does tasks: a process for each, its input on stdin, its result on stdout."""

import asyncio
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress

import msgspec

from wakeful.agent.api import Completed, Failed, Outcome, Task

# sysexits.h: the input data was incorrect in some way.
EX_DATAERR = 65
RESULT_LIMIT = 1024 * 1024
STDERR_KEPT = 8 * 1024
# How long a command may take to end once it was asked to.
TERM_GRACE_S = 5.0
# A process that got away may hold the pipes open: what it prints is not waited for.
_REST_S = 0.5
_PIECE = 64 * 1024


class Command:
    """Runs ``argv`` for each task, without a shell; what it prints on stderr goes to the agent's own, too.

    Exit code 0 completes the task with what was printed on stdout; 65 fails it for good; any other fails it.
    """

    def __init__(self, argv: Sequence[str], environment: Mapping[str, str]) -> None:
        self._argv = argv
        self._environment = environment

    async def perform(self, task: Task) -> Outcome:
        """Does one task. Cancelled, it ends the command with all that it started."""
        try:
            process = await asyncio.create_subprocess_exec(
                *self._argv,
                env={**self._environment, **_about(task)},
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                start_new_session=True,
            )
        except OSError as error:
            return Failed(f"can't start {self._argv[0]!r}: {error.strerror}")
        assert process.stdin is not None and process.stdout is not None and process.stderr is not None  # noqa: S101, PT018
        feeding = asyncio.create_task(_feed(process.stdin, bytes(task.input_data)))
        out = _Kept(RESULT_LIMIT)
        err = _Kept(STDERR_KEPT, newest=True, copy_to=sys.stderr.fileno())
        reading = [asyncio.create_task(out.read(process.stdout)), asyncio.create_task(err.read(process.stderr))]
        try:
            code = await process.wait()
        except asyncio.CancelledError:
            _signal(process.pid, signal.SIGTERM)
            with suppress(TimeoutError):
                await asyncio.wait_for(process.wait(), TERM_GRACE_S)
            raise
        finally:
            # What it started and left behind ends with it.
            _signal(process.pid, signal.SIGKILL)
            feeding.cancel()
            await asyncio.wait(reading, timeout=_REST_S)
            for each in reading:
                each.cancel()
        return _outcome(code, out, err)


class _Kept:
    """What a stream said, in bounds: its beginning, or its end."""

    def __init__(self, limit: int, *, newest: bool = False, copy_to: int | None = None) -> None:
        self._limit = limit
        self._newest = newest
        self._copy_to = copy_to
        self.bytes = b""
        self.cut = False

    async def read(self, stream: asyncio.StreamReader) -> None:
        while piece := await stream.read(_PIECE):
            if self._copy_to is not None:
                with suppress(OSError):
                    os.write(self._copy_to, piece)
            if self._newest:
                self.bytes = (self.bytes + piece)[-self._limit :]
                continue
            room = self._limit - len(self.bytes)
            self.bytes += piece[:room]
            self.cut = self.cut or len(piece) > room

    def text(self) -> str:
        return self.bytes.decode("utf-8", "replace")


async def _feed(stdin: asyncio.StreamWriter, data: bytes) -> None:
    # A command need not read its input.
    with suppress(BrokenPipeError, ConnectionResetError):
        stdin.write(data)
        await stdin.drain()
    stdin.close()


def _about(task: Task) -> dict[str, str]:
    """What the command finds in its environment."""
    about = {
        "WAKEFUL_TASK_ID": task.task_id,
        "WAKEFUL_ATTEMPT": str(task.attempt),
        "WAKEFUL_CAPABILITY": task.capability_required,
        "WAKEFUL_TASK_TYPE": task.task_type,
        "WAKEFUL_CLIENT_ID": task.client_id,
        "WAKEFUL_SCHEDULE_ID": task.schedule_id or "",
        "WAKEFUL_SCHEDULED_FOR": task.scheduled_for or "",
    }
    return {name: value.replace("\0", "") for name, value in about.items()}


def _outcome(code: int, out: _Kept, err: _Kept) -> Outcome:
    if code == 0:
        return Completed(_result(out))
    said = err.text().strip()
    how = f"ended by signal {-code}" if code < 0 else f"exit code {code}"
    return Failed(f"{how}: {said}" if said else how, retryable=code != EX_DATAERR)


def _result(out: _Kept) -> bytes:
    """What was printed, if that is JSON; else an object with its text."""
    if out.cut:
        return msgspec.json.encode({"output": out.text(), "truncated": True})
    if not out.bytes.strip():
        return b"null"
    try:
        msgspec.json.decode(out.bytes)
    except (msgspec.DecodeError, RecursionError):
        return msgspec.json.encode({"output": out.text()})
    return out.bytes.strip()


def _signal(pid: int, number: signal.Signals) -> None:
    """To the command's whole group."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)

"""Child processes: started without a shell, their output kept in bounds, and ended with all that they started."""

import asyncio
import errno
import itertools
import logging
import os
import signal
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from wakeful.process_tree import MARK, Family, start_of

log = logging.getLogger("wakeful.children")

# Told the stream (1: stdout, 2: stderr) and what came of it, as it comes; must not raise.
OnOutput = Callable[[int, bytes], None]

# A process that got away may hold the pipes open: what it prints is not waited for.
_REST_S = 0.5
# Nobody keeps what is read beyond a limit: a command that prints without end must not take all of the loop's time.
_BREATH_S = 0.002
_BETWEEN_LOOKS_S = 0.01
_LOOKS = 200
# So often, whoever might be one of those to kill is waited for.
_PATIENT_LOOKS = 50
_PASSING = frozenset({errno.EAGAIN, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ETXTBSY})

_numbers = itertools.count(1)


class NotStartedError(Exception):
    """A command that can't be started; the text says which, and why.

    ``missing``: there is no such program. ``passing``: it may be started later, as when the machine has no memory left.
    """

    def __init__(self, program: str, why: str, number: int | None = None) -> None:
        super().__init__(f"can't start {program!r}: {why}")
        self.missing = number == errno.ENOENT
        self.passing = number in _PASSING


@dataclass(frozen=True, slots=True)
class Limits:
    """How long a child may take, and how many bytes of its output are kept.

    Without an end after ``timeout_s`` (``None``: no bound) it is asked to end, and ``grace_s`` later made to. Of stdout
    and of stderr the oldest ``out`` and ``err`` bytes are kept, or the newest.
    """

    timeout_s: float | None = None
    grace_s: float = 5.0
    out: int = 1024 * 1024
    err: int = 8 * 1024
    newest_out: bool = False
    newest_err: bool = True


@dataclass(frozen=True, slots=True)
class Ended:
    """What became of a child: its exit code (below zero: the signal that ended it) and what was kept of its output."""

    code: int
    out: bytes = b""
    err: bytes = b""
    timed_out: bool = False
    out_cut: bool = False
    err_cut: bool = False

    @property
    def how(self) -> str:
        """How it ended, for a person."""
        if self.code >= 0:
            return f"exit code {self.code}"
        return f"ended by signal {-self.code}"


async def run_child(
    argv: Sequence[str],
    environment: Mapping[str, str],
    stdin: bytes = b"",
    *,
    cwd: str | Path | None = None,
    limits: Limits = Limits(),
    on_output: OnOutput | None = None,
) -> Ended:
    """Runs a command to its end, with this environment and no other, in a session of its own.

    When it has ended, so does what it left in its process group; what left the group lives on. When it has to be ended,
    because of its time-out or because this is cancelled, everything that it started ends with it, except for what has
    left the group, and its parent, and has thrown its environment away. Cancelled, this returns only then.

    Raises:
        NotStartedError: there is no such program or folder, or it may not be run.
    """
    _check(argv, environment, cwd)
    stop: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    life = asyncio.create_task(_Life(stop, limits, on_output).run(argv, environment, stdin, cwd))
    try:
        return await asyncio.shield(life)
    except asyncio.CancelledError:
        stop.set_result(None)
        # Whoever cancels a second time has no use for a process that stays behind, either.
        while not life.done():
            with suppress(asyncio.CancelledError):
                await asyncio.wait([life])
        if not life.cancelled():
            life.exception()
        raise


def _check(argv: Sequence[str], environment: Mapping[str, str], cwd: str | Path | None) -> None:
    if not argv or not argv[0]:
        raise NotStartedError("", "the command is empty")
    # Where the kernel would see the end of the text.
    if any("\0" in text for text in (*argv, *environment, *environment.values())):
        raise NotStartedError(argv[0], "its arguments or its environment contain a NUL character")
    if cwd is not None and not Path(cwd).is_dir():
        raise NotStartedError(argv[0], f"there is no folder {str(cwd)!r} to run it in")


class _Life:
    """One child, from its start to its end."""

    def __init__(self, stop: asyncio.Future[None], limits: Limits, on_output: OnOutput | None) -> None:
        self._stop = stop
        self._limits = limits
        self._on_output = on_output

    async def run(
        self, argv: Sequence[str], environment: Mapping[str, str], stdin: bytes, cwd: str | Path | None
    ) -> Ended:
        name = f"{os.getpid()}.{start_of(os.getpid())}.{next(_numbers)}"
        # A child of a child belongs to both.
        marks = f"{environment.get(MARK, '')}/{name}/"
        loop = asyncio.get_running_loop()
        try:
            transport, streams = await loop.subprocess_exec(
                lambda: _Streams(self._limits, self._on_output),
                *argv,
                env={**environment, MARK: marks},
                cwd=cwd,
                start_new_session=True,
            )
        except OSError as error:
            raise NotStartedError(argv[0], error.strerror or str(error), error.errno) from error
        except ValueError as error:
            raise NotStartedError(argv[0], str(error)) from error
        family = Family(transport.get_pid(), name)
        try:
            streams.feed(stdin)
            timed_out = await self._until_over(streams, family)
            await asyncio.wait([streams.silent], timeout=_REST_S)
        except BaseException:
            # Above all when the loop itself ends: there is no time for anything else.
            any(family.kill() == (0, False) for _ in range(_PATIENT_LOOKS))
            raise
        finally:
            streams.close()
        out, err = streams.out, streams.err
        code = transport.get_returncode()
        code = -signal.SIGKILL if code is None else code
        return Ended(code, out.taken(), err.taken(), timed_out, out.cut, err.cut)

    async def _until_over(self, streams: "_Streams", family: "Family") -> bool:
        """Waits for the end, or brings it about; whether the time-out did."""
        ends = (streams.exited, self._stop)
        await asyncio.wait(ends, timeout=self._limits.timeout_s, return_when=asyncio.FIRST_COMPLETED)
        if streams.exited.done():
            # What it started and left behind ends with it.
            family.signal_group(signal.SIGKILL)
            return False
        # Who loses its parent now, and has hidden, must be known before.
        await asyncio.to_thread(family.look)
        family.signal_group(signal.SIGTERM)
        family.signal_group(signal.SIGCONT)
        await asyncio.wait([streams.exited], timeout=self._limits.grace_s)
        await _extinguish(family)
        await asyncio.wait([streams.exited], timeout=_REST_S)
        return not self._stop.done()


async def _extinguish(family: "Family") -> None:
    """Kills until nobody of the family was seen in two looks, one after the other: processes move while one looks."""
    clean = 0
    for number in range(_LOOKS):
        left, unsure = await asyncio.to_thread(family.kill)
        clean = 0 if left or (unsure and number < _PATIENT_LOOKS) else clean + 1
        if clean == 2:
            return
        await asyncio.sleep(_BETWEEN_LOOKS_S)
    log.warning("%d processes that a command started can't be ended", left)


class _Streams(asyncio.SubprocessProtocol):
    """What goes into a child and comes out of it."""

    def __init__(self, limits: Limits, on_output: OnOutput | None) -> None:
        self._loop = asyncio.get_running_loop()
        self._on_output = on_output
        self._open = {0, 1, 2}
        self._transport: asyncio.SubprocessTransport | None = None
        self.out = _Kept(limits.out, newest=limits.newest_out)
        self.err = _Kept(limits.err, newest=limits.newest_err)
        self.exited: asyncio.Future[None] = self._loop.create_future()
        self.silent: asyncio.Future[None] = self._loop.create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.SubprocessTransport, transport)

    def pipe_data_received(self, fd: int, data: bytes | str) -> None:
        piece = cast(bytes, data)
        kept = self.out if fd == 1 else self.err
        kept.add(piece)
        if self._on_output is not None:
            self._on_output(fd, piece)
        if kept.cut and (pipe := self._pipe(fd)) is not None and not pipe.is_closing():
            reading = cast(asyncio.ReadTransport, pipe)
            reading.pause_reading()
            self._loop.call_later(_BREATH_S, _go_on, reading)

    def pipe_connection_lost(self, fd: int, _: Exception | None) -> None:
        self._open.discard(fd)
        if self._open <= {0} and not self.silent.done():
            self.silent.set_result(None)

    def process_exited(self) -> None:
        if not self.exited.done():
            self.exited.set_result(None)

    def feed(self, data: bytes) -> None:
        """Gives the child its input; it need not read it."""
        # uvloop closes the pipe of a child that has ended, and refuses to write into it.
        if (pipe := self._pipe(0)) is not None and not pipe.is_closing():
            writing = cast(asyncio.WriteTransport, pipe)
            writing.write(data)
            writing.close()

    def close(self) -> None:
        """Lets the pipes go, whoever else holds them."""
        if 0 in self._open and (pipe := self._pipe(0)) is not None:
            cast(asyncio.WriteTransport, pipe).abort()
        if self._transport is not None:
            self._transport.close()

    def _pipe(self, fd: int) -> asyncio.BaseTransport | None:
        return None if self._transport is None else self._transport.get_pipe_transport(fd)


def _go_on(pipe: asyncio.ReadTransport) -> None:
    if not pipe.is_closing():
        pipe.resume_reading()


class _Kept:
    """What a stream said, in bounds: its beginning, or its end."""

    def __init__(self, limit: int, *, newest: bool) -> None:
        self._limit = limit
        self._newest = newest
        self._bytes = bytearray()
        self.cut = False

    def add(self, piece: bytes) -> None:
        room = self._limit - len(self._bytes)
        self.cut = self.cut or len(piece) > room
        if not self._newest:
            self._bytes += piece[: max(0, room)]
            return
        self._bytes += piece
        if len(self._bytes) > 2 * self._limit:
            self._trim()

    def taken(self) -> bytes:
        """What is kept; there is no more to come."""
        self._trim()
        return bytes(self._bytes)

    def _trim(self) -> None:
        del self._bytes[: max(0, len(self._bytes) - self._limit)]

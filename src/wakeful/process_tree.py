"""Processes and those that they started, as the kernel shows them: found by session, by descent, and by a mark."""

import os
import signal
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

# Each child finds its own name in this variable, and so does all that it starts: wherever it goes, it can be found.
MARK = "WAKEFUL_CHILD"
_MARK = f"{MARK}=".encode()
_KERNEL_THREAD = 0x00200000


class _Process(NamedTuple):
    """A line of the table of processes; ``start`` (in ticks since boot) tells two of one number apart."""

    pid: int
    state: str
    parent: int
    group: int
    session: int
    start: int


class Orphan(NamedTuple):
    """A process whose starter is gone; ``value`` is that of the variable by which it was looked for."""

    pid: int
    start: int
    value: str

    def end(self) -> None:
        """Kills it, if it is still the one that was found."""
        with suppress(ProcessLookupError, PermissionError):
            if start_of(self.pid) == self.start:
                os.kill(self.pid, signal.SIGKILL)


def orphans(variable: str) -> list[Orphan]:
    """What was started by processes that are gone, and has the variable in its environment.

    A process that is killed can't end what it started: whoever does its work anew does not want that twice.
    """
    mine = _starter(_environment(os.getpid()))
    found: list[Orphan] = []
    for process in _processes():
        environment = _environment(process.pid)
        starter = _starter(environment)
        value = environment.get(variable.encode())
        if value is not None and starter not in (None, mine) and not _lives(starter or ""):
            found.append(Orphan(process.pid, process.start, value.decode("utf-8", "replace")))
    return found


def _environment(pid: int) -> dict[bytes, bytes]:
    with suppress(OSError):
        pairs = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
        return {name: value for name, _, value in (pair.partition(b"=") for pair in pairs)}
    return {}


def _starter(environment: Mapping[bytes, bytes]) -> str | None:
    """The name that the first of those gave who started it and what started it."""
    return next(iter(environment.get(MARK.encode(), b"").decode("ascii", "replace").split("/")[1:2]), None)


def _lives(name: str) -> bool:
    """Whether the process still runs that gave a child this name."""
    with suppress(ValueError):
        pid, start, _ = name.split(".")
        return start_of(int(pid)) == int(start)
    # Nobody of ours gave such a name: its bearer is left alone.
    return True


class Family:
    """A child and all that it started: its session, its descendants, and who bears its mark."""

    def __init__(self, leader: int, name: str) -> None:
        self._leader = leader
        self._start = start_of(leader)
        self._name = f"/{name}/".encode()
        self._known: set[tuple[int, int]] = set()
        # Once its session is empty, another may be given its number.
        self._has_session = True

    def signal_group(self, number: signal.Signals) -> None:
        """To all that stayed together."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._leader, number)

    def kill(self) -> tuple[int, bool]:
        """Kills all that can be found; how many there were, and whether there may be more."""
        members, unsure = self.look()
        for group in {member.group for member in members}:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(group, signal.SIGKILL)
        beyond_reach = 0
        for member in members:
            with suppress(ProcessLookupError):
                try:
                    os.kill(member.pid, signal.SIGKILL)
                except PermissionError:
                    beyond_reach += 1
        return len(members) - beyond_reach, unsure

    def look(self) -> tuple[list[_Process], bool]:
        """Who of the family lives, and whether there are others of whom one can't tell now."""
        young = [each for each in _processes() if each.start >= self._start and each.pid != os.getpid()]
        living = [each for each in young if each.state not in "ZX"]
        self._has_session = self._has_session and any(each.session == self._leader for each in young)
        members: set[int] = set()
        unsure = False
        for each in living:
            marked = self._marked(each.pid)
            if marked or (each.pid, each.start) in self._known or (self._has_session and each.session == self._leader):
                members.add(each.pid)
            unsure = unsure or marked is None
        while more := _relatives(members, living):
            members |= more
        found = [each for each in living if each.pid in members]
        self._reap(young)
        self._known.update((each.pid, each.start) for each in found)
        return found, unsure

    def _marked(self, pid: int) -> bool | None:
        """Whether a process bears the mark; ``None`` while it changes its program, when it has no environment."""
        with suppress(OSError):
            environment = Path(f"/proc/{pid}/environ").read_bytes()
            if environment or Path(f"/proc/{pid}/cmdline").read_bytes():
                return any(each.startswith(_MARK) and self._name in each for each in environment.split(b"\0"))
            return None
        return False

    def _reap(self, processes: Sequence[_Process]) -> None:
        """Who starts the first process of a machine or container is given the orphans."""
        for each in processes:
            mine = each.parent == os.getpid() and (each.pid, each.start) in self._known
            if each.state == "Z" and mine and each.pid != self._leader:
                with suppress(ChildProcessError):
                    os.waitpid(each.pid, os.WNOHANG)


def _relatives(members: set[int], processes: Sequence[_Process]) -> set[int]:
    """Who shares a session with one of the members, or was started by one."""
    # A family never has part in the session from which it came; 0 is any session of another world.
    sessions = {each.session for each in processes if each.pid in members} - {0, os.getsid(0)}
    return {
        each.pid
        for each in processes
        if each.pid not in members and (each.session in sessions or each.parent in members)
    }


def _processes() -> list[_Process]:
    """Every process there is, but for the kernel's own; none where there is no such table."""
    with suppress(OSError):
        found = (_process(int(name)) for name in os.listdir("/proc") if name.isdigit())
        return [each for each in found if each is not None]
    return []


def _process(pid: int) -> _Process | None:
    # The name, in parentheses, may contain anything. See proc(5), /proc/pid/stat.
    with suppress(OSError, ValueError, IndexError):
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
        if not int(fields[6]) & _KERNEL_THREAD:
            parent, group, session = (int(field) for field in fields[1:4])
            return _Process(pid, fields[0].decode(), parent, group, session, int(fields[19]))
    return None


def start_of(pid: int) -> int:
    """When a process was started, in ticks since boot: with its number it names it; 0 if there is none."""
    process = _process(pid)
    return 0 if process is None else process.start

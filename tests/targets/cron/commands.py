"""Commands for tests: one that does not want to end, a ``claude`` that does as it is told, and who is left of them."""

import json
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

RESTLESS = str(Path(__file__).with_name("restless.py"))
PATH = "/usr/local/bin:/usr/bin:/bin"
_numbers = count(1)

# Writes down how it was called, and answers as the file beside it says.
_CLAUDE = f"""#!{sys.executable}
import json, os, sys, time
here = os.path.dirname(os.path.abspath(__file__))
call = {{"argv": sys.argv[1:], "cwd": os.getcwd(), "env": dict(os.environ), "stdin": sys.stdin.read()}}
calls = os.path.join(here, "calls")
os.makedirs(calls, exist_ok=True)
name = os.path.join(calls, str(len(os.listdir(calls))))
open(name + ".part", "w").write(json.dumps(call))
os.rename(name + ".part", name)
answer = json.load(open(os.path.join(here, "answer")))
sys.stderr.write(answer.get("err", ""))
sys.stdout.write(answer["out"] if isinstance(answer["out"], str) else json.dumps(answer["out"]))
sys.stdout.flush()
time.sleep(answer.get("sleep", 0))
sys.exit(answer.get("code", 0))
"""


@dataclass
class FakeClaude:
    """A folder to be put first on the PATH, with a ``claude`` in it."""

    folder: Path

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True)
        program = self.folder / "claude"
        program.write_text(_CLAUDE)
        program.chmod(0o755)
        self.says("done\n\nWAKEFUL_RESULT: success")

    @property
    def environment(self) -> dict[str, str]:
        return {"PATH": f"{self.folder}:{PATH}", "HOME": str(self.folder)}

    def says(self, result: str, **more: Any) -> None:
        """Answers as ``claude --output-format json`` does."""
        message = {"type": "result", "subtype": "success", "is_error": False, "result": result, "num_turns": 3}
        self.answers({**message, **more})

    def answers(self, out: object, **more: Any) -> None:
        (self.folder / "answer").write_text(json.dumps({"out": out, **more}))

    def calls(self) -> list[dict[str, Any]]:
        folder = self.folder / "calls"
        names = sorted(os.listdir(folder), key=int) if folder.exists() else []
        return [json.loads((folder / name).read_text()) for name in names]

    def call(self) -> dict[str, Any]:
        (only,) = self.calls()
        return only


def restless(tag: str, *doings: str) -> list[str]:
    """The command that does all this, and can be found by its tag."""
    return [sys.executable, "-S", "-E", RESTLESS, tag, *doings]


def left(tag: str) -> list[int]:
    """The processes whose command or environment has the tag; those that only wait to be reaped have neither."""
    found: list[int] = []
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            said = (folder / "cmdline").read_bytes() + b"\0" + (folder / "environ").read_bytes()
            if tag.encode() in said and int(folder.name) != os.getpid():
                found.append(int(folder.name))
    return found


def children() -> set[int]:
    """The processes that this one started and has not reaped, whoever in it started them."""
    found = set[int]()
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            parent = (folder / "stat").read_text().rpartition(")")[2].split()[1]
            if int(parent) == os.getpid():
                found.add(int(folder.name))
    return found


@contextmanager
def a_tag() -> Iterator[str]:
    """A text that marks a test's processes; whoever is left of them at the end is killed."""
    tag = f"restless-{os.getpid()}-{next(_numbers)}-end"
    try:
        yield tag
    finally:
        for _ in range(10):
            for pid in left(tag):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)


def resident_kib() -> int:
    """The memory of this process, now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE") // 1024

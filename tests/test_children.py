"""Children: what goes in and comes out, and that nobody is left of those that were ended."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import pytest

from support.processes import alive, eventually
from targets.cron.commands import PATH, a_tag, children, left, resident_kib, restless
from wakeful.children import Ended, Limits, NotStartedError, run_child
from wakeful.process_tree import MARK, orphans

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

ENVIRONMENT = {"PATH": PATH}
USUAL = Limits()
# Long enough for a program to begin, on a busy machine too.
SOON = Limits(timeout_s=1, grace_s=0.1)


@pytest.fixture(params=[False, True], ids=["asyncio", "uvloop"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, bool]]:
    return "asyncio", {"use_uvloop": request.param}


@pytest.fixture
def tag() -> Iterator[str]:
    with a_tag() as tag:
        yield tag


async def shell(line: str, stdin: bytes = b"", limits: Limits = USUAL) -> Ended:
    return await run_child(["sh", "-c", line], ENVIRONMENT, stdin, limits=limits)


async def begun(tag: str, argv: Sequence[str], limits: Limits = USUAL) -> "asyncio.Task[Ended]":
    """A child that has said that it is ready."""
    ready = asyncio.Event()
    child = asyncio.create_task(
        run_child(argv, {**ENVIRONMENT, "TAG": tag}, limits=limits, on_output=lambda *_: ready.set())
    )
    await asyncio.wait_for(ready.wait(), 20)
    return child


# What goes in and comes out.


async def test_a_child_gets_its_input_and_gives_its_output_and_its_code() -> None:
    ended = await shell("cat; echo oops >&2; exit 3", b"in\0put")
    assert ended == Ended(3, b"in\0put", b"oops\n")
    assert ended.how == "exit code 3"


async def test_a_child_has_this_environment_and_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OF_THE_PARENT", "1")
    ended = await run_child([sys.executable, "-c", "import os; print(*os.environ)"], {"PATH": PATH, "ONE": "x"})
    assert {*ended.out.decode().split()} - {"LC_CTYPE"} == {"PATH", "ONE", MARK}


async def test_no_argument_is_read_by_a_shell(tmp_path: Path) -> None:
    nasty = ["$(touch x)", "; touch x", "`touch x`", "a b", "*", "", "'", "--help", "ü\n"]
    program = "import json, sys; print(json.dumps(sys.argv[1:]))"
    ended = await run_child([sys.executable, "-c", program, *nasty], ENVIRONMENT, cwd=tmp_path)
    assert json.loads(ended.out) == nasty
    assert list(tmp_path.iterdir()) == []


async def test_much_goes_in_and_out_at_the_same_time() -> None:
    data = os.urandom(1000) * 3000
    assert (await shell("cat", data, Limits(out=len(data)))).out == data


@pytest.mark.parametrize("line", ["true", "exec <&-; sleep 0.1", "head -c 10 > /dev/null"])
async def test_a_child_need_not_read_its_input(line: str) -> None:
    assert (await shell(line, b"x" * 5_000_000)).code == 0


async def test_children_that_end_at_once_are_no_trouble() -> None:
    data = b"x" * 200_000
    for _ in range(5):
        quick = (run_child(["true"], ENVIRONMENT, data[number:]) for number in range(10))
        killed = (run_child(["sh", "-c", "kill -9 $$"], ENVIRONMENT, data[:number]) for number in range(10))
        assert await asyncio.gather(*quick, *killed) == [Ended(0)] * 10 + [Ended(-9)] * 10


async def test_the_end_by_a_signal_is_told() -> None:
    ended = await shell("kill -9 $$")
    assert (ended.code, ended.how) == (-9, "ended by signal 9")


@pytest.mark.parametrize(("newest", "out"), [(False, b"0123456789"), (True, b"9\nthe end\n")], ids=["oldest", "newest"])
async def test_of_too_much_output_the_oldest_or_the_newest_is_kept(newest: bool, out: bytes) -> None:
    ended = await shell(
        "for n in 1 2 3; do printf 0123456789; done; echo; echo the end", limits=Limits(out=10, newest_out=newest)
    )
    assert (ended.out, ended.out_cut) == (out, True)


async def test_output_of_just_the_limit_is_whole() -> None:
    ended = await shell("printf 0123456789; printf 0123456789 >&2", limits=Limits(out=10, err=10))
    assert ended == Ended(0, b"0123456789", b"0123456789")


async def test_what_comes_out_is_told_as_it_comes() -> None:
    said: list[tuple[int, bytes]] = []
    await run_child(
        ["sh", "-c", "echo a; echo b >&2"], ENVIRONMENT, on_output=lambda fd, piece: said.append((fd, piece))
    )
    assert sorted(said) == [(1, b"a\n"), (2, b"b\n")]


async def test_a_hundred_megabytes_cost_no_memory() -> None:
    before, most = resident_kib(), 0
    total = 0

    def look(_: int, piece: bytes) -> None:
        nonlocal most, total
        total += len(piece)
        most = max(most, resident_kib())

    ended = await run_child(
        ["sh", "-c", "head -c 100000000 /dev/zero; head -c 1000000 /dev/zero >&2"],
        ENVIRONMENT,
        limits=Limits(newest_out=True),
        on_output=look,
    )
    assert (total, len(ended.out), ended.out_cut, ended.err_cut) == (101_000_000, 1024 * 1024, True, True)
    assert most - before < 16 * 1024


async def test_the_loop_goes_on_while_a_child_prints_without_end(tag: str) -> None:
    talking = [await begun(tag, restless(tag, "ready", "talk"), Limits(grace_s=0.1)) for _ in range(3)]
    turns = 0
    for _ in range(100):
        await asyncio.sleep(0.001)
        turns += 1
    for each in talking:
        each.cancel()
    assert all(
        isinstance(end, asyncio.CancelledError) for end in await asyncio.gather(*talking, return_exceptions=True)
    )
    assert (turns, left(tag)) == (100, [])


# What can't be started.


@pytest.mark.parametrize(
    ("argv", "why", "missing"),
    [
        (["no-such-program"], "can't start 'no-such-program': No such file or directory", True),
        (["/etc/passwd"], "can't start '/etc/passwd': Permission denied", False),
        (["echo", "a\0b"], "can't start 'echo': its arguments or its environment contain a NUL character", False),
        (["echo", "x" * 200_000], "can't start 'echo': Argument list too long", False),
        ([], "can't start '': the command is empty", False),
    ],
)
async def test_what_can_not_be_started_says_why(argv: list[str], why: str, missing: bool) -> None:
    with pytest.raises(NotStartedError) as caught:
        await run_child(argv, ENVIRONMENT)
    assert (str(caught.value), caught.value.missing, caught.value.passing) == (why, missing, False)


async def test_a_missing_folder_is_not_taken_for_a_missing_program(tmp_path: Path) -> None:
    with pytest.raises(NotStartedError, match="there is no folder") as caught:
        await run_child(["true"], ENVIRONMENT, cwd=tmp_path / "nowhere")
    assert not caught.value.missing


async def test_the_program_is_looked_for_on_the_childs_own_path(tmp_path: Path) -> None:
    with pytest.raises(NotStartedError):
        await run_child(["true"], {"PATH": str(tmp_path)})


# Who is left.


@pytest.mark.parametrize(
    "doings",
    [
        ("ready",),
        ("ignore", "ready"),
        ("fork", "fork", "ready"),
        ("ignore", "fork", "setsid", "daemon", "bare", "ready"),
        ("daemon", "ready", "talk"),
        ("ignore", "fork", "setsid", "daemon", "bare", "ready", "talk"),
        # Each of these ends before the time-out; what it started does not.
        ("ignore", "setsid", "chain", "ready"),
    ],
    ids=" ".join,
)
async def test_nobody_is_left_after_a_timeout(tag: str, doings: tuple[str, ...]) -> None:
    ended = await run_child(restless(tag, *doings), {**ENVIRONMENT, "TAG": tag}, limits=SOON)
    assert left(tag) == []
    assert ended.timed_out
    assert ended.out.startswith(b"ready\n")
    assert ended.code in (-signal.SIGTERM, -signal.SIGKILL)
    assert ended.out_cut is ("talk" in doings)


@pytest.mark.parametrize("times", [1, 3], ids=["once", "again and again"])
async def test_nobody_is_left_after_a_cancellation_however_often_it_is_asked_for(tag: str, times: int) -> None:
    child = await begun(tag, restless(tag, "ignore", "fork", "setsid", "daemon", "ready"), Limits(grace_s=0.2))
    assert len(left(tag)) == 4
    for _ in range(times):
        child.cancel()
        await asyncio.sleep(0)
    with pytest.raises(asyncio.CancelledError):
        await child
    assert left(tag) == []


async def test_a_child_that_is_cancelled_before_it_has_begun_leaves_nobody(tag: str) -> None:
    for turns in range(6):
        child = asyncio.create_task(run_child(restless(tag, "fork", "ready"), {**ENVIRONMENT, "TAG": tag}))
        for _ in range(turns):
            await asyncio.sleep(0)
        child.cancel()
        with pytest.raises(asyncio.CancelledError):
            await child
        assert left(tag) == []


async def test_a_timeout_around_it_leaves_nobody_either(tag: str) -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.5):
            await run_child(restless(tag, "setsid", "ready"), {**ENVIRONMENT, "TAG": tag})
    assert left(tag) == []


@pytest.mark.parametrize("asked", [False, True], ids=["while it runs", "while it is being ended"])
def test_nobody_is_left_when_the_loop_itself_ends(tag: str, asked: bool) -> None:
    async def main() -> "asyncio.Task[Ended]":
        child = await begun(tag, restless(tag, "ignore", "setsid", "daemon", "bare", "ready"), Limits(grace_s=30))
        if asked:
            child.cancel()
            await asyncio.sleep(0.05)
        return child

    assert asyncio.run(main()).cancelled()
    assert left(tag) == []


async def test_a_child_may_end_by_itself_when_it_is_asked_to() -> None:
    line = "exec 2> /dev/null; trap 'echo bye; exit 7' TERM; echo ready; while :; do sleep 0.01; done"
    ended = await shell(line, limits=Limits(timeout_s=1, grace_s=20))
    assert ended == Ended(7, b"ready\nbye\n", timed_out=True)


async def test_a_child_that_was_stopped_is_ended_too(tag: str) -> None:
    ended = await run_child(["sh", "-c", f": {tag}; kill -STOP $$"], ENVIRONMENT, limits=Limits(timeout_s=0.2))
    assert (ended.code, left(tag)) == (-signal.SIGTERM, [])


async def test_after_a_normal_end_nobody_is_left_of_the_group_and_who_has_left_it_lives_on(tag: str) -> None:
    ended = await run_child(restless(tag, "fork", "daemon", "ready", "end"), {**ENVIRONMENT, "TAG": tag})
    assert ended == Ended(0, b"ready\n")
    (living,) = eventually(lambda: pids if len(pids := left(tag)) == 1 else None, "the group's end") or []
    assert os.getsid(living) == os.getpgid(living) != os.getpid()


async def test_a_timeout_ends_nobody_elses_processes(tag: str) -> None:
    with a_tag() as other:
        bystander = await begun(other, restless(other, "setsid", "daemon", "ready"))
        before = sorted(left(other))
        await run_child(restless(tag, "setsid", "daemon", "ready"), {**ENVIRONMENT, "TAG": tag}, limits=SOON)
        assert sorted(left(other)) == before
        assert alive(os.getpid())
        bystander.cancel()
        with suppress(asyncio.CancelledError):
            await bystander
        assert (left(tag), left(other)) == ([], [])


async def test_a_child_of_a_child_belongs_to_both(tag: str) -> None:
    inner = (
        "import asyncio, os, sys; from wakeful.children import run_child; "
        "asyncio.run(run_child(sys.argv[1:], dict(os.environ), on_output=lambda _, piece: os.write(1, piece)))"
    )
    argv = [sys.executable, "-c", inner, *restless(tag, "ignore", "daemon", "ready")]
    child = await begun(tag, argv, Limits(grace_s=0))
    child.cancel()
    with pytest.raises(asyncio.CancelledError):
        await child
    assert left(tag) == []


async def test_children_leave_no_descriptors_and_no_zombies(tag: str) -> None:
    await shell("true")
    children_before = children()
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(5):
        await shell("cat; exit 1", b"x" * 100_000)
        await run_child(restless(tag, "daemon", "ready", "talk"), ENVIRONMENT, limits=Limits(timeout_s=0.2, grace_s=0))
        with suppress(NotStartedError):
            await run_child(["no-such-program"], ENVIRONMENT)
    await asyncio.sleep(0)
    assert len(os.listdir("/proc/self/fd")) <= before
    assert children() <= children_before


async def test_what_a_killed_process_left_is_found_by_the_next_and_nothing_else(tag: str) -> None:
    code = (
        "import asyncio, os, sys; from wakeful.children import run_child; "
        "asyncio.run(run_child(['sleep', '60'], {**os.environ, 'WHOSE': sys.argv[1]}))"
    )
    parents = [subprocess.Popen([sys.executable, "-c", code, tag]) for _ in range(2)]
    try:
        sleepers = [eventually(lambda parent=parent: _children_of(parent.pid), "the child") for parent in parents]
        parents[0].kill()
        parents[0].wait(10)
        assert alive(sleepers[0][0])
        (orphan,) = [each for each in orphans("WHOSE") if each.value == tag]
        assert orphan.pid == sleepers[0][0]
        orphan._replace(start=orphan.start + 1).end()
        assert alive(orphan.pid)
        orphan.end()
        eventually(lambda: not alive(orphan.pid), "the orphan's end")
        assert alive(sleepers[1][0])
    finally:
        for parent in parents:
            parent.kill()
            parent.wait(10)
        for each in orphans("WHOSE"):
            each.end()


def _children_of(pid: int) -> list[int]:
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if (entry / "stat").read_text().rpartition(")")[2].split()[1] == str(pid):
                found.append(int(entry.name))
    return found

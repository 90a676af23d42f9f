"""A full disk, a read-only file, a damaged file, a file of a newer wakeful, a file that somebody else holds."""

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import apsw
import httpx2
import pytest

from chaos.world import World, api, health, sound
from support.judge import DONE, S, now_us
from support.processes import Wakeful, eventually

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

# Exit codes: a place that can not be, and a store that can not be used.
USAGE, UNREACHABLE = 2, 5


@dataclass
class SmallDisk:
    """A tmpfs of its own in a mount namespace of its own: nothing of it is left when its holder ends."""

    holder: "subprocess.Popen[bytes]"
    folder: Path

    @property
    def inside(self) -> list[str]:
        return ["nsenter", "-t", str(self.holder.pid), "-m"]

    @property
    def seen_from_here(self) -> Path:
        return Path(f"/proc/{self.holder.pid}/root{self.folder}")

    def fill(self) -> None:
        with (self.seen_from_here / "fill").open("ab", buffering=0) as file, suppress(OSError):
            for size in (65536, 4096, 512):
                with suppress(OSError):
                    while file.write(bytes(size)):
                        pass

    def relieve(self) -> None:
        (self.seen_from_here / "fill").unlink()


@contextmanager
def small_disk(folder: Path, mib: int) -> Iterator[SmallDisk]:
    folder.mkdir()
    mount = f"mount -t tmpfs -o size={mib}m none '{folder}' && echo mounted && exec sleep 600"
    holder = subprocess.Popen(["unshare", "-m", "sh", "-c", mount], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        assert holder.stdout is not None
        if holder.stdout.readline() != b"mounted\n":
            assert holder.stderr is not None
            pytest.skip(f"a tmpfs can't be mounted: {holder.stderr.read().decode().strip()}")
        yield SmallDisk(holder, folder)
    finally:
        holder.kill()
        holder.wait(10)


@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("nsenter"), reason="only root may mount a small disk")
def test_a_full_disk_refuses_what_it_can_not_keep_and_goes_on_when_there_is_room(world: World) -> None:
    receiver = world.receiver()
    with small_disk(world.home / "disk", 16) as disk:
        node = world.node(receiver, inside=disk.inside, store=f"sqlite:///{disk.folder}/wakeful.db").wait_ready()
        with api(node) as client:
            start = now_us()
            for number in range(20):
                world.journal.put(client, f"before-{number}", start + number * S // 4)
            world.journal.put(client, "every", start + S // 2, every_us=S // 5, count=75)
            disk.fill()
            statuses = full(world, node, client)
            assert set(statuses) <= {204, 503}, statuses
            assert 503 in statuses
            eventually(lambda: health(node)[0] == 503, "health to be red", 30)
            assert not health(node)[1]["reason"].isspace()
            stuck = len(receiver.arrivals())
            disk.relieve()
            eventually(lambda: len(receiver.arrivals()) > stuck, "runs to go on", 30)
            eventually(lambda: health(node)[0] == 200, "health to be green again", 30)
            assert world.journal.put(client, "after", now_us()) == DONE
            verdict = world.quiet(30, start + 16 * S)
        print(f"full disk: {verdict}")
        verdict.assert_clean()
        assert not verdict.twice
        world.in_flight_is_zero(node)
        errors = [line for line in node.err.splitlines() if " ERROR " in line]
        assert len(errors) <= 5, "\n".join(errors)
        assert node.end() == 0
        assert sound(disk.seen_from_here / "wakeful.db")


def full(world: World, node: Wakeful, client: httpx2.Client) -> list[int]:
    """What the API says while the disk is full; what it accepted must come."""
    statuses: list[int] = []
    for number in range(100):
        job, before = f"full-{number}", len(world.journal.calls)
        world.journal.put(client, job, now_us() + S)
        assert len(world.journal.calls) == before + 1
        done = world.journal.calls[-1].outcome == DONE
        read = client.get(f"/v1.0/jobs/{job}")
        statuses.append(204 if done else 503)
        assert (read.status_code == 200) or not done or read.status_code == 404, read.text
        if statuses.count(503) >= 10:
            break
    assert node.process.poll() is None, node.err
    return statuses


def refused(node: Wakeful, *words: str) -> str:
    """A node that does not start says why, in one line, and nothing of its insides."""
    assert node.exit_code() in (USAGE, UNREACHABLE)
    (line,) = node.err.strip().splitlines()
    assert all(word in line for word in words), line
    return line


@pytest.fixture
def file(world: World) -> Path:
    """A file with a job in it, and nobody on it."""
    node = world.node().wait_ready()
    with api(node) as client:
        for number in range(200):
            assert world.journal.put(client, f"kept-{number}", now_us() + 3600 * S) == DONE
    assert node.end() == 0
    return world.file


def test_a_damaged_file_is_refused_and_stays_as_it_is(world: World, file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[100:4096] = os.urandom(3996)
    file.write_bytes(content)

    refused(world.node(), str(file))

    assert file.read_bytes() == content


def test_a_file_damaged_in_its_middle_is_refused_or_makes_a_node_red_that_says_why(world: World) -> None:
    node = world.node().wait_ready()
    with api(node) as client:
        due = now_us() + 4 * S
        for number in range(200):
            assert world.journal.put(client, f"kept-{number}", due) == DONE
    assert node.end() == 0
    content = bytearray(world.file.read_bytes())
    for page in range(4096, len(content), 4096):
        if b"kept-" in content[page : page + 4096]:
            content[page : page + 200] = os.urandom(200)
    world.file.write_bytes(content)

    node = world.node(world.receiver())

    eventually(lambda: node.process.poll() is not None or health(node)[0] == 503, "an end or red health", 30)
    if node.process.poll() is not None:
        refused(node, str(world.file))
        return
    with api(node) as client:
        assert client.post("/v1.0/jobs/new", json={"dueTime": "1s"}).status_code == 503
    # Long enough for every other illness to show.
    eventually(lambda: "claim turn" in health(node)[1]["reason"], "a node that has been ill for long", 30)
    assert "malformed" in health(node)[1]["reason"]
    assert "Traceback" not in node.err


def test_a_file_of_a_newer_wakeful_is_refused_and_stays_as_it_is(world: World, file: Path) -> None:
    db = apsw.Connection(str(file))
    db.execute("PRAGMA user_version = 4711")
    db.close()
    content = file.read_bytes()

    refused(world.node(), str(file), "4711", "newer", "upgrade")

    assert file.read_bytes() == content


def test_a_file_of_another_program_is_refused_and_stays_as_it_is(world: World) -> None:
    db = apsw.Connection(str(world.file))
    db.execute("CREATE TABLE diary(day, entry)")
    db.close()
    content = world.file.read_bytes()

    refused(world.node(), str(world.file), "another program")

    assert world.file.read_bytes() == content


@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("nsenter"), reason="only root may mount a read-only disk")
def test_a_read_only_disk_is_refused_with_its_reason(world: World, file: Path) -> None:
    with small_disk(world.home / "disk", 8) as disk:
        shutil.copy(file, disk.seen_from_here / "wakeful.db")
        subprocess.run([*disk.inside, "mount", "-o", "remount,ro", str(disk.folder)], check=True)

        refused(
            world.node(inside=disk.inside, store=f"sqlite:///{disk.folder}/wakeful.db"), f"{disk.folder}/wakeful.db"
        )


def test_a_place_that_does_not_exist_is_refused_with_its_reason(world: World) -> None:
    node = world.node(store="sqlite:////proc/nowhere/wakeful.db")
    refused(node, "/proc/nowhere")


def test_a_file_that_another_holds_for_long_is_waited_for(world: World) -> None:
    receiver = world.receiver()
    node = world.node(receiver).wait_ready()
    with api(node) as client:
        start = now_us()
        world.journal.put(client, "every", start + S // 2, every_us=S // 5, count=60)
        eventually(receiver.arrivals, "the first run")
        holder = apsw.Connection(str(world.file))
        # The node has it, now and then.
        holder.set_busy_timeout(10_000)
        holder.execute("BEGIN IMMEDIATE")
        eventually(lambda: world.journal.put(client, f"held-{now_us()}", now_us()) != DONE, "a refusal", 30)
        eventually(lambda: health(node)[0] == 503, "health to be red", 30)
        holder.execute("ROLLBACK")
        holder.close()
        eventually(lambda: world.journal.put(client, f"free-{now_us()}", now_us()) == DONE, "an acknowledgement", 30)
        verdict = world.quiet(25, start + 13 * S)
    print(f"held by another: {verdict}")
    assert not verdict.lost
    assert not verdict.early
    assert not verdict.phantom
    assert len(verdict.twice) <= 1
    eventually(lambda: health(node)[0] == 200, "health to be green again", 30)
    world.in_flight_is_zero(node)
    assert node.end(signal.SIGTERM) == 0

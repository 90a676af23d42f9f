"""Files that change under the daemon, in every way that files change (S3.70, B3.15): in real time."""

import asyncio
import json
import os
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from faces.cron.real import running
from wakeful.faces.cron.config_source import ConfigSource, Rules
from wakeful.faces.cron.files import locked, look
from wakeful.faces.cron.watching import FileWatch
from wakeful.files import write
from wakeful.zones import load_zone

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

SOON = timedelta(seconds=0.05)


def tick(name: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "cron": "0 9 * * *", "skill": "s", **more}


def text(*names: str) -> str:
    return json.dumps({"schedules": {"jobs": [tick(name) for name in names]}})


async def test_s3_70_a_change_is_noticed_without_restart_however_it_is_made(tmp_path: Path) -> None:
    async with running(tmp_path / "state") as here:
        here.config.write_text(text("in_place"))
        await here.until_live("in_place")
        write(here.config, text("renamed").encode())
        await here.until_live("renamed")
        here.config.unlink()
        await here.until(lambda: any(event[:2] == ("Event", "config_error") for event in here.heard))
        assert set(await here.live()) == {"renamed"}
        here.config.write_text(text("new"))
        await here.until_live("new")
        # A part at a time.
        whole = text("a", "b")
        with here.config.open("w") as file:
            for at in range(0, len(whole), 20):
                file.write(whole[at : at + 20])
                file.flush()
                await asyncio.sleep(0.02)
        await here.until_live("a", "b")
        assert ("ConfigReloaded",) in here.heard


async def test_s3_70_links_that_are_swapped_are_noticed(tmp_path: Path) -> None:
    """As a mounted volume does it: the file leads through a folder that is a link."""
    folder = tmp_path / "state"
    for number, name in enumerate(("first", "second")):
        version = folder / f"..{number}"
        version.mkdir(parents=True)
        (version / "config.json").write_text(text(name))
    (folder / "..data").symlink_to("..0")
    (folder / "config.json").symlink_to(Path("..data/config.json"))
    async with running(folder) as here:
        (folder / "..0" / "config.json").write_text(text("first"))
        await here.until_live("first")
        (folder / "..next").symlink_to("..1")
        (folder / "..next").rename(folder / "..data")
        await here.until_live("second")
        (folder / "..1" / "config.json").write_text(text("third"))
        await here.until_live("third")
        elsewhere = tmp_path / "elsewhere.json"
        elsewhere.write_text(text("fourth"))
        here.config.unlink()
        here.config.symlink_to(elsewhere)
        await here.until_live("fourth")
        elsewhere.write_text(text("fifth"))
        await here.until_live("fifth")


async def test_s3_15_state_json_is_watched_too(tmp_path: Path) -> None:
    async with running(tmp_path / "state", timedelta(hours=1), tick("a")) as here:
        here.paths.state.write_text('{"jobs": {"a": {"enabled": false}}}')

        async def off() -> bool:
            return (await here.live())["a"]["status"] == "paused"

        while not await off():
            await asyncio.sleep(0.01)
        await here.until(lambda: '"config_enabled": true' in here.paths.state.read_text())


async def test_b3_15_a_look_now_and_then_finds_what_no_watch_tells(tmp_path: Path) -> None:
    looked = asyncio.Event()
    folder = tmp_path / "later"

    async def look_at() -> None:
        if (folder / "config.json").exists():
            looked.set()

    watch = asyncio.ensure_future(FileWatch([folder / "config.json"], look_at, SOON).run())
    folder.mkdir()
    (folder / "config.json").write_text("x")
    await asyncio.wait_for(looked.wait(), 20)
    # The folder is another one now: what happens in it is seen by its own watch.
    folder.rename(tmp_path / "away")
    looked.clear()
    folder.mkdir()
    (folder / "config.json").write_text("x")
    await asyncio.wait_for(looked.wait(), 20)
    watch.cancel()
    await asyncio.gather(watch, return_exceptions=True)


async def test_a_look_that_fails_is_made_again(tmp_path: Path, caplog: Any) -> None:
    times = 0
    done = asyncio.Event()

    async def look_at() -> None:
        nonlocal times
        times += 1
        if times > 2:
            done.set()
        raise RuntimeError("not now")

    watch = asyncio.ensure_future(FileWatch([tmp_path / "config.json"], look_at, SOON).run())
    await asyncio.wait_for(done.wait(), 20)
    watch.cancel()
    await asyncio.gather(watch, return_exceptions=True)
    assert "it is looked at again" in caplog.text


async def test_b3_15_another_content_is_found_whatever_the_times_say(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    source = ConfigSource(path, Rules(load_zone), lambda: datetime.now(UTC))
    path.write_text(text("a"))
    assert await source.look()
    status = path.stat()
    assert not await source.look()
    # As long as before, in the same inode, with the same time of change.
    path.write_text(text("b"))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert await source.look()
    assert source.config is not None
    assert list(source.config.jobs) == ["b"]
    # An older file is brought back.
    older = tmp_path / "older.json"
    older.write_text(text("c"))
    os.utime(older, ns=(0, 0))
    older.rename(path)
    assert await source.look()
    assert list(source.config.jobs) == ["c"]
    # The same content once more is no news.
    os.utime(path)
    assert not await source.look()
    assert await source.look(anyway=True)


async def test_what_is_no_file_is_not_waited_for(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    assert "no file that can be read" in str(look(pipe, 100).problem)
    assert "no file that can be read" in str(look(tmp_path, 100).problem)
    assert "there is no file" in str(look(tmp_path / "nothing", 100).problem)
    (tmp_path / "loop").symlink_to("loop")
    assert "can't be read" in str(look(tmp_path / "loop", 100).problem)
    large = tmp_path / "large"
    large.write_bytes(b"x" * 1000)
    assert look(large, 100).content == b"x" * 101


async def test_b3_37_a_file_that_is_written_is_whole_at_every_moment(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    contents = [json.dumps({"n": n, "x": "y" * (n * 1000)}).encode() for n in range(20)]
    write(path, contents[0])
    done = threading.Event()

    def write_again_and_again() -> None:
        for _ in range(10):
            for content in contents:
                write(path, content)
        done.set()

    thread = threading.Thread(target=write_again_and_again)
    thread.start()
    looks = 0
    while not done.is_set():
        assert look(path, 100_000).content in contents
        looks += 1
    thread.join()
    assert looks
    assert path.stat().st_mode & 0o777 == 0o600


async def test_b3_37_who_holds_the_lock_is_waited_for(tmp_path: Path) -> None:
    path, order = tmp_path / "state.json", []

    async def hold(name: str) -> None:
        async with locked(path):
            order.append(f"{name} begins")
            await asyncio.sleep(0.05)
            order.append(f"{name} ends")

    await asyncio.gather(hold("a"), hold("b"), hold("c"))
    assert [each.split()[1] for each in order] == ["begins", "ends"] * 3
    assert path.with_name("state.json.lock").exists()


async def test_c2_4_5_the_snapshot_is_written_after_each_change(tmp_path: Path) -> None:
    async with running(tmp_path / "state", timedelta(hours=1), tick("a")) as here:

        def state() -> dict[str, Any]:
            try:
                return dict(json.loads(here.paths.snapshot.read_text()))
            except FileNotFoundError:
                return {"jobs": []}

        await here.until(lambda: [row["name"] for row in state()["jobs"]] == ["a"])
        await here.daemon.run_job("a")
        await here.until(lambda: state()["history"] and state()["history"][0]["status"] == "success")
        await here.daemon.toggle_job("a", False)
        await here.until(lambda: state()["jobs"][0]["enabled"] is False)
        here.write(tick("b"))
        await here.until(lambda: [row["name"] for row in state()["jobs"]] == ["b"])

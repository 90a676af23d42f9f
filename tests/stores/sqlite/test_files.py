"""The file: what is refused, what is left untouched, and what two processes leave behind."""

import os
from importlib.resources import files
from pathlib import Path

import apsw
import pytest

from support.stores import NOON, a_job, s, take, take_one
from wakeful.core.errors import ErrorCode, WakefulError
from wakeful.core.job import JobState
from wakeful.core.ports import JobQuery, Put, Retention
from wakeful.stores.sqlite import SqliteStore
from wakeful.stores.sqlite.opening import APPLICATION_ID
from wakeful.zones import load_zone

pytestmark = pytest.mark.anyio


def open_file(path: Path) -> SqliteStore:
    return SqliteStore(path, load_zone, os.urandom)


def refusal(path: Path) -> WakefulError:
    with pytest.raises(WakefulError) as caught:
        open_file(path)
    assert caught.value.code is ErrorCode.STORE_UNUSABLE
    assert str(path) in caught.value.message
    return caught.value


def query(path: Path, sql: str) -> list[tuple[object, ...]]:
    db = apsw.Connection(str(path))
    try:
        return db.execute(sql).fetchall()
    finally:
        db.close()


async def a_file(tmp_path: Path) -> Path:
    path = tmp_path / "wakeful.db"
    store = open_file(path)
    await store.put_job(a_job(due="1h"), Put.CREATE, NOON)
    await store.close()
    return path


async def test_a_file_of_the_first_schema_is_brought_up_to_date_with_its_jobs(tmp_path: Path) -> None:
    path = tmp_path / "wakeful.db"
    first = files("wakeful.stores.sqlite").joinpath("migrations", "0001_jobs_and_runs.sql").read_text()
    query(path, f"{first}; PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = 1")
    (tmp_path / "newer").mkdir()
    newer = await a_file(tmp_path / "newer")
    names = ",".join(str(row[1]) for row in query(path, "PRAGMA table_info(jobs)"))
    query(newer, f"ATTACH '{path}' AS old; INSERT INTO old.jobs({names}) SELECT {names} FROM jobs")

    store = open_file(path)

    (record,) = (await store.list_jobs(JobQuery())).items
    assert await store.end_jobs(JobQuery(job_id=record.id), JobState.DELETED, NOON) == 1
    await store.close()
    schema = "SELECT name, sql FROM sqlite_schema WHERE name NOT LIKE 'sqlite_%' ORDER BY name"
    assert query(path, schema) == query(newer, schema)


async def test_a_file_of_a_newer_wakeful_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = await a_file(tmp_path)
    query(path, "PRAGMA user_version = 9999")
    before = path.read_bytes()

    refused = refusal(path)

    assert "newer" in refused.message
    assert "9999" in refused.message
    assert path.read_bytes() == before


@pytest.mark.parametrize("content", [b"Dear diary,\n" * 1000, bytes(range(256)) * 64, b"key = 1\n", b"x"], ids=len)
async def test_a_file_that_is_no_database_is_refused_and_left_alone(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "notes.txt"
    path.write_bytes(content)
    refusal(path)
    assert path.read_bytes() == content


async def test_a_database_of_another_program_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "theirs.db"
    query(path, "CREATE TABLE theirs(id INTEGER PRIMARY KEY, name TEXT)")
    query(path, "INSERT INTO theirs(name) VALUES('precious')")

    refusal(path)

    assert query(path, "SELECT name FROM sqlite_schema ORDER BY name") == [("theirs",)]
    assert query(path, "SELECT name FROM theirs") == [("precious",)]


async def test_a_path_that_can_not_be_opened_is_refused(tmp_path: Path) -> None:
    refusal(tmp_path)
    refusal(tmp_path / "missing" / "wakeful.db")


async def test_a_refused_file_keeps_no_connection_open(tmp_path: Path) -> None:
    path = await a_file(tmp_path)
    query(path, "PRAGMA user_version = 9999")
    refusal(path)
    query(path, "PRAGMA user_version = 1")
    query(path, "BEGIN EXCLUSIVE; COMMIT")


async def test_a_closed_store_leaves_one_file_that_is_sound(tmp_path: Path) -> None:
    path = await a_file(tmp_path)
    assert query(path, "PRAGMA integrity_check") == [("ok",)]
    assert query(path, "PRAGMA journal_mode") == [("wal",)]
    assert [entry.name for entry in tmp_path.iterdir() if entry.name.endswith("-wal") and entry.stat().st_size] == []


async def test_commits_wait_for_the_disk(tmp_path: Path) -> None:
    store = open_file(tmp_path / "wakeful.db")
    assert store._writer._db.execute("PRAGMA synchronous").fetchall() == [(2,)]
    await store.close()


async def test_data_goes_with_the_job_that_is_pruned(tmp_path: Path) -> None:
    path = tmp_path / "wakeful.db"
    store = open_file(path)
    for number in range(3):
        await store.put_job(a_job(f"job-{number}", due="0s", data=bytes(5000)), Put.CREATE, NOON)
    await take_one(store, NOON)
    await store.end_jobs(JobQuery(), JobState.DELETED, NOON)
    while await store.prune(Retention(0, NOON - NOON, 0), NOON.replace(year=2027)):
        pass
    await store.close()
    assert query(path, "SELECT count(*) FROM jobs") == [(1,)], "the one whose run is in flight"
    assert query(path, "SELECT count(*) FROM payloads") == [(1,)]


@pytest.mark.parametrize(
    "damage",
    ["'nonsense'", "'{}'", "'[]'", "json_set(definition, '$.overlap', 'x')", "json_remove(definition, '$.target')"],
)
async def test_a_job_that_can_not_be_understood_stops_nobody_else(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "wakeful.db"
    store = open_file(path)
    await store.put_job(a_job("damaged", due="0s"), Put.CREATE, NOON)
    await store.put_job(a_job("sound", due="1s"), Put.CREATE, NOON)
    query(path, f"UPDATE jobs SET definition = {damage} WHERE name = 'damaged'")

    claim = None
    for _ in range(3):
        claims = await take(store, NOON + s(1))
        claim = claims[0] if claims else claim
    assert claim is not None
    assert claim.job.key.name == "sound"
    await store.close()
    assert query(path, "SELECT state FROM jobs WHERE name = 'damaged'") == [("parked",)]


async def test_a_new_file_is_its_owners_alone_and_an_old_one_stays_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "new.db"
    store = open_file(path)
    try:
        await store.put_job(a_job(due="1h"), Put.CREATE, NOON)
        assert {entry.stat().st_mode & 0o777 for entry in tmp_path.iterdir()} == {0o600}
    finally:
        await store.close()
    path.chmod(0o640)
    await open_file(path).close()
    assert path.stat().st_mode & 0o777 == 0o640

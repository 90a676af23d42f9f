"""Opening the file: whose it is, how it is set up, and the way to the newest schema."""

import os
from contextlib import suppress
from importlib.resources import files
from pathlib import Path
from typing import cast

import apsw

from wakeful.core.errors import ErrorCode, WakefulError

# "wake" in ASCII: says in the file's header whose it is.
APPLICATION_ID = 0x77616B65
SMALLEST_DATABASE = 512
BUSY_TIMEOUT_MS = 5_000
CACHE_KIB = 32 * 1024


def open_database(path: Path, *, durable: bool = True) -> apsw.Connection:
    """A connection that may write to the file, made if missing and brought to the newest schema.

    One that is not ``durable`` does not wait for the disk: for simulations.

    Raises:
        WakefulError: ``STORE_UNUSABLE``, the file is not ours or newer; it stays as it is.
        apsw.Error: it can't be opened, or is damaged.
    """
    _check(path)
    _make(path)
    db = connect(path, durable=durable)
    _migrate(db)
    return db


def _make(path: Path) -> None:
    """A new file is its owner's alone: jobs carry data. SQLite's files beside it follow it in that."""
    if str(path) != ":memory:":
        with suppress(OSError):  # SQLite says better what is wrong
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))


def connect(path: Path, *, durable: bool = True) -> apsw.Connection:
    """A connection, set up as every one of them is."""
    db = apsw.Connection(str(path))
    db.set_busy_handler(_wait_for_others)
    for pragma in (
        "journal_mode = WAL",
        f"synchronous = {'FULL' if durable else 'OFF'}",
        f"cache_size = -{CACHE_KIB}",
        "journal_size_limit = 67108864",
        "temp_store = MEMORY",
    ):
        db.execute(f"PRAGMA {pragma}")
    return db


def _wait_for_others(times: int) -> bool:
    # SQLite's own way is to wait longer each time, up to 100 ms: a busy process would leave the others no turn.
    if times >= BUSY_TIMEOUT_MS:
        return False
    apsw.sleep(1)
    return True


def _check(path: Path) -> None:
    """Looks before anything is written: a file that is not ours stays as it is."""
    if not path.exists() or path.stat().st_size == 0:
        return
    if path.stat().st_size < SMALLEST_DATABASE:
        raise WakefulError(ErrorCode.STORE_UNUSABLE, f"{path} is not a database: give another file as the store")
    db = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE)
    db.set_busy_handler(_wait_for_others)
    try:
        tables = db.execute("SELECT count(*) FROM sqlite_schema").fetchall()[0][0]
        if tables and pragma(db, "application_id") != APPLICATION_ID:
            raise WakefulError(
                ErrorCode.STORE_UNUSABLE, f"{path} belongs to another program: give another file as the store"
            )
        version, newest = pragma(db, "user_version"), _scripts()[-1][0]
        if version > newest:
            raise WakefulError(
                ErrorCode.STORE_UNUSABLE,
                f"{path} was written by a newer wakeful (schema {version}; this one knows {newest}): upgrade wakeful",
            )
    finally:
        db.close()


def _scripts() -> list[tuple[int, str]]:
    return sorted(
        (int(entry.name[:4]), entry.read_text(encoding="utf-8"))
        for entry in files("wakeful.stores.sqlite").joinpath("migrations").iterdir()
        if entry.name.endswith(".sql")
    )


def _migrate(db: apsw.Connection) -> None:
    if pragma(db, "user_version") == _scripts()[-1][0]:
        # Nothing to write: a node can start while another holds the file.
        return
    db.execute("BEGIN IMMEDIATE")
    try:
        version = pragma(db, "user_version")
        for number, script in _scripts():
            if number > version:
                db.execute(script)
                db.execute(f"PRAGMA user_version = {number}")
        db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    except BaseException:
        db.execute("ROLLBACK")
        raise
    db.execute("COMMIT")


def pragma(db: apsw.Connection, name: str) -> int:
    """A number that SQLite keeps."""
    ((value,),) = db.execute(f"PRAGMA {name}").fetchall()
    return cast(int, value)

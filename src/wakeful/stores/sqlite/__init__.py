"""The embedded store: one SQLite file, several processes."""

from wakeful.stores.sqlite.store import SqliteStore

__all__ = ["SqliteStore"]

"""Zone data, from the pinned ``tzdata`` package: the operating system's copy differs from machine to machine."""

from functools import cache
from importlib.resources import files
from zoneinfo import ZoneInfo

import tzdata  # type: ignore[import-untyped]  # it ships no types, and this is all we ask of it

VERSION: str = tzdata.IANA_VERSION


@cache
def _keys() -> frozenset[str]:
    return frozenset(files("tzdata").joinpath("zones").read_text(encoding="utf-8").split())


@cache
def load_zone(name: str) -> ZoneInfo | None:
    """The zone of that IANA name, or ``None`` if there is none."""
    # Only names from the package's own list reach the file system.
    if name not in _keys():
        return None
    with files("tzdata").joinpath("zoneinfo", *name.split("/")).open("rb") as file:
        return ZoneInfo.from_file(file, key=name)

"""Text for a terminal: tables, instants, and nothing that moves the reader's cursor."""

from collections.abc import Sequence
from datetime import datetime, timedelta, tzinfo
from typing import Any

import msgspec

_UNITS = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))


def as_json(value: Any) -> str:
    """Indented JSON."""
    return msgspec.json.format(msgspec.json.encode(value), indent=2).decode()


def table(head: Sequence[str], rows: Sequence[Sequence[str]], empty: str) -> str:
    """Columns as wide as their widest cell; ``empty`` if there is no row."""
    if not rows:
        return empty
    clean = [[cell(one) for one in row] for row in rows]
    widths = [max(len(line[i]) for line in (head, *clean)) for i in range(len(head))]
    return "\n".join(
        "  ".join(one.ljust(width) for one, width in zip(line, widths, strict=True)).rstrip() for line in (head, *clean)
    )


def printable(text: str) -> str:
    """The text without what would move the reader's cursor: names and errors come from outside."""
    return "".join(c if c.isprintable() else "�" for c in text)


def cell(text: str) -> str:
    """The text, printable and not too wide."""
    shown = printable(text)
    return shown if len(shown) <= 60 else shown[:59] + "…"


def short(instant: datetime | None) -> str:
    """An instant in UTC, to the second."""
    return "-" if instant is None else instant.strftime("%Y-%m-%d %H:%M:%SZ")


def rfc3339(instant: datetime | None) -> str | None:
    """An instant in UTC, as machines read it."""
    return None if instant is None else instant.isoformat().replace("+00:00", "Z")


def length(time: timedelta | None) -> str:
    """A length of time in seconds."""
    return "-" if time is None else f"{time.total_seconds():.1f} s"


def on_clocks(instant: datetime, zone: tzinfo) -> str:
    """What clocks in the zone show at an instant."""
    return instant.astimezone(zone).strftime("%a %Y-%m-%d %H:%M:%S %Z")


def distance(instant: datetime, now: datetime) -> str:
    """How far away an instant is, in its two largest units."""
    seconds = round((instant - now) / timedelta(seconds=1))
    parts: list[str] = []
    rest = abs(seconds)
    for size, name in _UNITS:
        count, rest = divmod(rest, size)
        if count or parts:
            parts.append(f"{count} {name}" if count else "")
    said = " ".join(part for part in parts[:2] if part)
    if not said:
        return "now"
    return f"in {said}" if seconds > 0 else f"{said} ago"

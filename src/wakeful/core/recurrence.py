"""What every recurrence can say."""

from collections.abc import Callable
from datetime import datetime, tzinfo
from typing import Protocol
from zoneinfo import ZoneInfo

Zones = Callable[[str], ZoneInfo | None]


class Recurrence(Protocol):
    """Instants that go on without end. Where it has no anchor of its own (``Every``), the arguments are occurrences."""

    @property
    def zone(self) -> tzinfo:
        """On whose calendar an occurrence's day is looked up."""

    @property
    def runs(self) -> int | None:
        """The number of repeats that the text itself gives."""

    @property
    def elapsed(self) -> bool:
        """Whether it follows elapsed time, and not what clocks on the wall show."""

    def next_after(self, instant: datetime) -> datetime | None:
        """The first occurrence after ``instant``; ``None`` where there is none that the calendar reaches."""

    def last_through(self, instant: datetime, since: datetime) -> datetime | None:
        """The latest occurrence in [``since``, ``instant``]."""

    def count(self, since: datetime, through: datetime) -> int:
        """The number of occurrences in [``since``, ``through``]."""

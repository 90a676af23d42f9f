"""The recurrence by a duration of the calendar, such as a month: ``R/2026-01-31T09:00:00Z/P1M``."""

from bisect import bisect_left
from calendar import monthrange
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, tzinfo

from wakeful.core.civil import DAY_S, END_S, LOCAL_EPOCH, CivilTimes, Dst, local_seconds
from wakeful.core.duration import IsoDuration

_BEYOND = END_S + 3 * DAY_S
_SECOND = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class CalendarSteps(CivilTimes):
    """Local times that are 0, 1, 2, … times ``step`` after ``anchor``, ``size`` of them at most.

    Each is counted from the anchor, so that none drifts: first whole months, where a day that the month does not have
    becomes its last one, then days, then time. ``runs`` is the number of repeats that the text itself gives.
    """

    step: IsoDuration
    zone: tzinfo
    dst: Dst
    runs: int | None = None
    anchor: datetime | None = None
    size: int | None = None

    @property
    def elapsed(self) -> bool:
        """It follows the clocks on the wall."""
        return False

    def anchored_at(self, instant: datetime) -> "CalendarSteps":
        """The same, counted from what clocks show at ``instant``, if it is counted from nothing yet."""
        if self.anchor is not None:
            return self
        return replace(self, anchor=LOCAL_EPOCH + _SECOND * local_seconds(self.zone, instant))

    def _next_local(self, local: int) -> int:
        return self._time(self._before(local))

    def _last_local(self, low: int, high: int) -> int | None:
        index = self._before(high)
        local = self._time(index - 1) if index else low - 1
        return local if local >= low else None

    def _count_local(self, low: int, high: int) -> int:
        return self._before(high) - self._before(low) if low < high else 0

    def _before(self, local: int) -> int:
        """How many times lie before ``local``."""
        least = self.step.years * 365 + self.step.months * 28 + self.step.days
        bound = (END_S - self._start // _SECOND) // max(least * DAY_S + self.step.time // _SECOND, DAY_S) + 2
        return bisect_left(range(max(0, min(bound, self.size or bound))), local, key=self._time)

    @property
    def _start(self) -> timedelta:
        return (self.anchor or LOCAL_EPOCH) - LOCAL_EPOCH

    def _time(self, index: int) -> int:
        if self.size is not None and index >= self.size:
            return _BEYOND
        start, step = self.anchor or LOCAL_EPOCH, self.step
        months = start.year * 12 + start.month - 1 + index * (step.years * 12 + step.months)
        try:
            day = min(start.day, monthrange(months // 12, months % 12 + 1)[1])
            first = start.replace(year=months // 12, month=months % 12 + 1, day=day)
            return min(_BEYOND, (first + index * (timedelta(days=step.days) + step.time) - LOCAL_EPOCH) // _SECOND)
        except (OverflowError, ValueError):
            return _BEYOND

"""Civil times, as clocks on the wall show them, and the instants at which they are due.

UTC is cut into stretches in which the zone's offset is constant. Inside one, the due instants are the local times of
the series, moved by the offset; between two, where local time jumps, the daylight-saving policy decides.
All arithmetic is on whole seconds since 1970; ``utc`` and ``local`` in names say on which clock.
"""

from abc import ABC, abstractmethod
from bisect import bisect_left
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from enum import StrEnum
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple

DAY_S = 86_400
LOCAL_EPOCH = datetime.combine(date(1970, 1, 1), time())
END_S = 10_413_792_000  # 2300-01-01; any date and weekday comes again within 40 years
_FIRST = -2_208_988_800  # 1900-01-01
_SECOND = timedelta(seconds=1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

# tzinfo promises |offset| < 24 h, so two offsets of a zone never differ by more.
_WIDEST_JUMP = 2 * DAY_S
_BLOCK = 96 * DAY_S


class Dst(StrEnum):
    """What becomes of local times that the change of clocks leaves out or repeats.

    ``raw``: a missing time is left out, a repeated one is due twice. ``once``: what is missing in a gap is due once,
    at the first instant after it; a repeated time is due the first time. ``skip``: a missing time is left out, a
    repeated one is due the first time. What follows elapsed time is ``raw``, whatever was asked for.
    """

    RAW = "raw"
    ONCE = "once"
    SKIP = "skip"


class _Stretch(NamedTuple):
    """UTC [``start``, ``end``) with one offset. Before it, local clocks had already shown all below ``reached``."""

    start: int
    end: int
    offset: int
    reached: int


class _Span(NamedTuple):
    """Local [``low``, ``high``), ``offset`` from UTC, in which matching times are due; ``start`` is due for a gap."""

    low: int
    high: int
    offset: int
    gap_due: int | None


class Change(NamedTuple):
    """A change of clocks, and how many times of a series it leaves out or repeats."""

    instant: datetime
    missing: int
    repeated: int


class CivilTimes(ABC):
    """A series of local times in a zone. Due instants are whole seconds, 1900 to 2299.

    A series says where its local times lie; this class, at which instants they are due.
    """

    __slots__ = ("_answered",)
    zone: tzinfo
    dst: Dst
    # What was asked of ``next_after`` last, and its answer: jobs that share a schedule ask the same at the same time.
    _answered: tuple[int, datetime | None]

    @abstractmethod
    def _next_local(self, local: int) -> int:
        """The first time at or after ``local``; at least two days beyond ``END_S`` where there is none."""

    @abstractmethod
    def _last_local(self, low: int, high: int) -> int | None:
        """The last time in [``low``, ``high``)."""

    @abstractmethod
    def _count_local(self, low: int, high: int) -> int:
        """The number of times in [``low``, ``high``), which may be empty."""

    def next_after(self, instant: datetime) -> datetime | None:
        """The first due instant after ``instant``, whose fraction of a second is dropped; ``None`` from 2300 on."""
        utc = max((instant - _EPOCH) // _SECOND + 1, _FIRST)
        asked, due = getattr(self, "_answered", (None, None))
        if asked != utc:
            due = self._next_from(utc)
            object.__setattr__(self, "_answered", (utc, due))
        return due

    def _next_from(self, utc: int) -> datetime | None:
        while utc < END_S:
            stretch = _stretch_at(self.zone, utc)
            if utc == stretch.start and self._gap_is_due(stretch):
                return _instant(utc)
            local = self._next_local(self._low(stretch, utc))
            if local - stretch.offset < min(stretch.end, END_S):
                return _instant(local - stretch.offset)
            # Beyond the widest jump no local time comes back, so nothing is due until clocks are about to show `local`.
            near = stretch.end < utc + _WIDEST_JUMP
            utc = stretch.end if near else max(stretch.end, local - stretch.offset - _WIDEST_JUMP)
        return None

    def last_through(self, instant: datetime, since: datetime) -> datetime | None:
        """The latest due instant in [``since``, ``instant``]."""
        for span in reversed(list(self._spans(since, instant))):
            local = self._last_local(span.low, span.high)
            if local is not None:
                return _instant(local - span.offset)
            if span.gap_due is not None:
                return _instant(span.gap_due)
        return None

    def count(self, since: datetime, through: datetime) -> int:
        """The number of due instants in [``since``, ``through``]; its cost grows with the months, not the instants."""
        spans = self._spans(since, through)
        return sum(self._count_local(span.low, span.high) + (span.gap_due is not None) for span in spans)

    def _spans(self, since: datetime, through: datetime) -> Iterator[_Span]:
        utc = max(-((_EPOCH - since) // _SECOND), _FIRST)
        end = min((through - _EPOCH) // _SECOND + 1, END_S)
        while utc < end:
            stretch = _stretch_at(self.zone, utc)
            gap_due = utc if utc == stretch.start and self._gap_is_due(stretch) else None
            # The instant after a gap is due once, even if it matches by itself.
            low = self._low(stretch, utc) + (gap_due is not None)
            yield _Span(low, min(end, stretch.end) + stretch.offset, stretch.offset, gap_due)
            utc = stretch.end

    def _low(self, stretch: _Stretch, utc: int) -> int:
        local = utc + stretch.offset
        return local if self.dst is Dst.RAW else max(local, stretch.reached)

    def _gap_is_due(self, stretch: _Stretch) -> bool:
        return self.dst is Dst.ONCE and self._count_local(stretch.reached, stretch.start + stretch.offset) > 0

    def changes(self, since: datetime, through: datetime) -> list[Change]:
        """The changes of clocks in (``since``, ``through``] that leave out or repeat times of the series."""
        found: list[Change] = []
        utc, end = _seconds_of(since) + 1, min(_seconds_of(through) + 1, END_S)
        while utc < end:
            stretch = _stretch_at(self.zone, utc)
            start = stretch.start + stretch.offset
            missing, repeated = self._count_local(stretch.reached, start), self._count_local(start, stretch.reached)
            if utc == stretch.start and (missing or repeated):
                found.append(Change(_instant(utc), missing, repeated))
            utc = stretch.end
        return found


def _seconds_of(instant: datetime) -> int:
    """Whole seconds since 1970, rounded down."""
    return (instant - _EPOCH) // _SECOND


def local_seconds(zone: tzinfo, instant: datetime) -> int:
    """What the zone's clocks show at ``instant``, in whole seconds since 1970."""
    utc = _seconds_of(instant)
    return utc + _offset(zone, utc)


def resolve(local: datetime, zone: tzinfo, dst: Dst) -> datetime | None:
    """The instant of one local time: the first of two; in a gap the end of it, or ``None`` if the policy skips it."""
    utc = local.replace(tzinfo=zone, fold=0).astimezone(UTC)
    if utc.astimezone(zone).replace(tzinfo=None, fold=0) == local:
        return utc
    # PEP 495: with fold=0 a time in a gap is read by the offset before it, and so lies after the change.
    return _instant(_stretch_at(zone, _seconds_of(utc)).start) if dst is Dst.ONCE else None


def _instant(utc: int) -> datetime:
    return _EPOCH + timedelta(seconds=utc)


def _stretch_at(zone: tzinfo, utc: int) -> _Stretch:
    return next(stretch for stretch in _stretches(zone, utc // _BLOCK) if utc < stretch.end)


# The cache holds the offsets of some hundred zones over ten years.
@lru_cache(maxsize=4096)
def _stretches(zone: tzinfo, block: int) -> tuple[_Stretch, ...]:
    """The stretches of one block of days, cut at its end. Looks every two days: no zone has changed twice in six."""
    # What clocks have shown before the block matters only as far back as they can be set back.
    start, end = block * _BLOCK - _WIDEST_JUMP, (block + 1) * _BLOCK
    looks = range(start, end + 1, _WIDEST_JUMP)
    pairs = zip(looks, pairwise(_offset(zone, utc) for utc in looks), strict=False)
    changes = [_change_after(zone, look) for look, (offset, following) in pairs if offset != following]
    found: list[_Stretch] = []
    for begin, stop in pairwise([start, *changes, end]):
        offset = _offset(zone, begin)
        reached = begin + (found[-1].offset if found else offset)
        found.append(_Stretch(begin, stop, offset, reached))
    return tuple(found)


def _change_after(zone: tzinfo, utc: int) -> int:
    offset, span = _offset(zone, utc), range(utc, utc + _WIDEST_JUMP)
    return utc + bisect_left(span, True, key=lambda at: _offset(zone, at) != offset)


def _offset(zone: tzinfo, utc: int) -> int:
    return (datetime.fromtimestamp(utc, zone).utcoffset() or timedelta()) // _SECOND

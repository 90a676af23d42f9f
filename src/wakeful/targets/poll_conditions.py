"""When what a poll found is enough: ``any``, ``count > 3``, ``age >= 2d``."""

import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

_LENGTH_LIMIT = 100
_OPERATORS: Mapping[str, Callable[[Any, Any], bool]] = {
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
    "=": operator.eq,
    "==": operator.eq,
    "!=": operator.ne,
    "<>": operator.ne,
}
_WHOLE = ("=", "==", "!=", "<>")
_UNITS = {
    **dict.fromkeys(("s", "sec", "secs", "second", "seconds"), timedelta(seconds=1)),
    **dict.fromkeys(("m", "min", "mins", "minute", "minutes"), timedelta(minutes=1)),
    **dict.fromkeys(("h", "hr", "hrs", "hour", "hours"), timedelta(hours=1)),
    **dict.fromkeys(("d", "day", "days"), timedelta(days=1)),
    **dict.fromkeys(("w", "week", "weeks"), timedelta(weeks=1)),
}
_INTERVAL = re.compile(r"([0-9]{1,6}) {0,4}([a-z]{1,7})")
_CONDITION = re.compile(r"(count|age) {0,4}([<>=!]{1,2}) {0,4}([0-9a-z ]{1,30})")
_DATES = ("created_at", "updated_at", "date")
# What is larger counts milliseconds: as seconds it would be after the year 5000.
_MOST_SECONDS = 1e11


@dataclass(frozen=True, slots=True)
class Condition:
    """``measure`` is ``any``, ``count`` or ``age``; of an age, ``amount`` counts ``unit``s."""

    text: str
    measure: str = "any"
    operator: str = ">"
    amount: int = 0
    unit: timedelta = timedelta(days=1)

    @property
    def asks_for_few(self) -> bool:
        """Whether it holds where there is nothing at all."""
        return self.measure == "count" and _OPERATORS[self.operator](0, self.amount)

    def counts(self, item: Any, now: datetime) -> bool:
        """Whether an item is of the age that is asked for, if one is. Dates without an offset are in ``now``'s zone.

        The age is counted from ``created_at``, else from ``updated_at``, else from ``date``; an item without any of
        them does not count. An age equals 3d from three days on until just before four; ``>`` and the like are exact.
        """
        if self.measure != "age":
            return True
        age = _age(item, now)
        return age is not None and self._fits(age)

    def met(self, count: int) -> bool:
        """Whether so many items that count are enough."""
        return _OPERATORS[self.operator](count, self.amount) if self.measure == "count" else count > 0

    def _fits(self, age: timedelta) -> bool:
        compare = _OPERATORS[self.operator]
        if self.operator in _WHOLE:
            return compare(age // self.unit, self.amount)
        return compare(age, self.amount * self.unit)


def parse_condition(text: str) -> Condition:
    """A condition as it is written.

    Raises:
        ValueError: it is none; says what one looks like.
    """
    plain = text.strip().lower()
    if plain == "any":
        return Condition("any")
    match = _CONDITION.fullmatch(plain) if len(plain) <= _LENGTH_LIMIT else None
    if match is None:
        raise ValueError(f"must be any, count > 3 or age > 2d, not {text[:_LENGTH_LIMIT]!r}")
    measure, sign, amount = match.groups()
    if sign not in _OPERATORS:
        raise ValueError(f"{sign!r} is no comparison: write one of {' '.join(_OPERATORS)}")
    if measure == "age":
        number, unit = _interval(amount)
        return Condition(plain, measure, sign, number, unit)
    if not re.fullmatch(r" ?[0-9]{1,9} ?", amount):
        raise ValueError(f"a count is compared with a whole number, not with {amount!r}")
    return Condition(plain, measure, sign, int(amount))


def _interval(text: str) -> tuple[int, timedelta]:
    match = _INTERVAL.fullmatch(text.strip())
    unit = None if match is None else _UNITS.get(match[2])
    if match is None or unit is None:
        raise ValueError(f"{text[:_LENGTH_LIMIT]!r} is no duration such as 90s, 5m, 1h, 2d or 1w")
    return int(match[1]), unit


def _age(item: Any, now: datetime) -> timedelta | None:
    if isinstance(item, Mapping):
        for name in _DATES:
            moment = _moment(item.get(name), now)
            if moment is not None:
                return now - moment
    return None


def _moment(value: object, now: datetime) -> datetime | None:
    try:
        if isinstance(value, str):
            moment = datetime.fromisoformat(value.strip())
            return moment if moment.tzinfo is not None else moment.replace(tzinfo=now.tzinfo)
        if isinstance(value, int | float) and not isinstance(value, bool):
            return datetime.fromtimestamp(value / 1000 if value > _MOST_SECONDS else value, UTC)
    except (ValueError, OverflowError, OSError):
        pass
    return None

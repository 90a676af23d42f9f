"""What single values of a file may be, and how they are told in a sentence."""

import re
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from typing import Any

# What gets a value of the file and gives what is meant by it, or raises ``ValueError`` with what would be right.
Reader = Callable[[Any], Any]

_SHOWN = 80
_NOT_TEXT = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")


def text(most: int) -> Reader:
    """A text of 1 to ``most`` characters, none of them a control character."""

    def read(value: Any) -> str:
        if not isinstance(value, str) or not 1 <= len(value) <= most or not value.strip() or _NOT_TEXT.search(value):
            raise ValueError(f"must be a text of 1 to {most} characters without control characters, not {shown(value)}")
        return value

    return read


def flag(value: Any) -> bool:
    """True or false, and no text that says so."""
    if not isinstance(value, bool):
        raise ValueError(f"must be true or false, without quotes, not {shown(value)}")
    return value


def integer(low: int, high: int) -> Reader:
    """A whole number from ``low`` to ``high``."""

    def read(value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise ValueError(f"must be a whole number from {low} to {high}, not {shown(value)}")
        return value

    return read


def number(low: float, high: float) -> Reader:
    """A number from ``low`` to ``high``."""

    def read(value: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
            raise ValueError(f"must be a number from {low:g} to {high:g}, not {shown(value)}")
        return float(value)

    return read


def one_of(*names: str) -> Reader:
    """One of these texts."""

    def read(value: Any) -> str:
        if value not in names or not isinstance(value, str):
            near = get_close_matches(value, names, 1) if isinstance(value, str) else []
            hint = f": did you mean {near[0]!r}?" if near else ""
            raise ValueError(f"must be one of {', '.join(names)}, not {shown(value)}{hint}")
        return value

    return read


def texts(most: int, longest: int) -> Reader:
    """A list of at most so many texts."""
    read_one = text(longest)

    def read(value: Any) -> tuple[str, ...]:
        if not isinstance(value, list) or len(value) > most:
            raise ValueError(f"must be a list of at most {most} texts in brackets, not {shown(value)}")
        return tuple(read_one(each) for each in value)

    return read


def shown(value: Any) -> str:
    """A value in a sentence."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float | str):
        return repr(_clip(value)) if isinstance(value, str) else _clip(repr(value))
    return "an object" if isinstance(value, Mapping) else "a list"


def _clip(value: str) -> str:
    return value if len(value) <= _SHOWN else value[:_SHOWN] + "…"

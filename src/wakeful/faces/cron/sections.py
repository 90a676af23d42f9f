"""What a file says, field by field: every wrong one is named with its path, every unknown one with its neighbour."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any

from wakeful.faces.cron.forms import Reader, shown

# Of more findings than this nobody reads the rest.
_MOST_FOUND = 200
_LONGEST_KEY = 80


@dataclass(slots=True)
class Findings:
    """What is wrong with a file, and what is only odd: sentences that begin with a path."""

    problems: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def wrong(self, path: str, what: str) -> None:
        """The value at ``path`` can't be used."""
        if len(self.problems) < _MOST_FOUND:
            self.problems.append(f"{path}: {what}")

    def odd(self, path: str, what: str) -> None:
        """The value at ``path`` can be used, and may not be what was meant."""
        if len(self.warnings) < _MOST_FOUND:
            self.warnings.append(f"{path}: {what}")


class Section:
    """One object of the file; what is null counts as left out."""

    def __init__(self, value: Any, path: str, found: Findings) -> None:
        self.path = path
        self.found = found
        self.values: Mapping[str, Any] = {}
        if isinstance(value, Mapping):
            self.values = {key: each for key, each in value.items() if each is not None}
        else:
            found.wrong(path, f"must be an object in braces, not {shown(value)}")

    def __contains__(self, key: str) -> bool:
        return key in self.values

    def get(self, key: str, read: Reader, default: Any = None) -> Any:
        """What the key means; ``default`` where it was left out or is wrong, which is noted."""
        if key not in self.values:
            return default
        try:
            return read(self.values[key])
        except ValueError as error:
            self.wrong(key, str(error))
            return default

    def wrong(self, key: str, what: str) -> None:
        """Notes what is wrong with a key's value."""
        self.found.wrong(f"{self.path}.{key}", what)

    def part(self, key: str) -> "Section":
        """The object at a key."""
        return Section(self.values[key], f"{self.path}.{key}", self.found)

    def check_keys(self, known: Collection[str]) -> None:
        """Notes keys that nobody reads, each with the one that may have been meant."""
        for key in self.values:
            if key not in known:
                near = get_close_matches(key, known, 1)
                hint = f": did you mean {near[0]!r}?" if near else ""
                self.found.odd(f"{self.path}.{key[:_LONGEST_KEY]}", f"nobody reads this key{hint}")

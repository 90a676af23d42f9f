"""A section of settings, read field by field: a wrong one is refused by its key, with what would be right."""

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

TEXT_LIMIT = 2048
_MOST_TEXTS = 100


class Fields:
    """One object; ``path`` leads to it, and begins each refusal. What is null counts as left out.

    Secrets are never shown. They may be given as ``<key>_env``, the name of a variable of the ``environment``.

    Raises:
        ValueError: it is no object; and so do its methods, when a value is not what they read.
    """

    def __init__(self, value: object, path: str = "", environment: Mapping[str, str] | None = None) -> None:
        if not isinstance(value, Mapping):
            raise ValueError(f"{path}: must be an object in braces" if path else "must be an object in braces")
        self._values: dict[str, Any] = {key: each for key, each in value.items() if each is not None}
        self._path = path
        self._environment = environment or {}
        self._known: set[str] = set()

    def __contains__(self, key: str) -> bool:
        return key in self._values

    def names(self) -> list[str]:
        """The keys, in their order; asking for them makes them known."""
        self._known.update(self._values)
        return [self._checked_name(key) for key in self._values]

    def raw(self, key: str) -> Any:
        """The value at a key, as it is."""
        return self._get(key)

    def part(self, key: str) -> "Fields | None":
        """The object at a key."""
        value = self._get(key)
        return None if value is None else Fields(value, self._at(key), self._environment)

    def text(self, key: str, default: str | None = None) -> str | None:
        """A text of one line."""
        value = self._get(key)
        return default if value is None else self._line(key, value)

    def texts(self, key: str) -> tuple[str, ...]:
        """A list of texts; a single one stands for a list of one."""
        value = self._get(key)
        if value is None:
            return ()
        values = value if isinstance(value, list) else [value]
        if len(values) > _MOST_TEXTS:
            raise self.wrong(key, f"has {len(values)} entries: at most {_MOST_TEXTS} are allowed")
        return tuple(self._line(key, each) for each in values)

    def secret(self, key: str) -> str | None:
        """A text that is nobody's business, written here or in the environment."""
        variable = self.text(f"{key}_env")
        value = self._get(key)
        if variable is None:
            return None if value is None else self._line(key, value)
        if value is not None:
            raise self.wrong(key, f"is given twice: leave out {key} or {key}_env")
        found = self._environment.get(variable, "").strip()
        if not found:
            raise self.wrong(f"{key}_env", f"the environment has no variable {variable}, or an empty one")
        return self._line(f"{key}_env", found)

    def flag(self, key: str) -> bool | None:
        """True or false."""
        value = self._get(key)
        if value is not None and not isinstance(value, bool):
            raise self.wrong(key, "must be true or false, without quotes")
        return value

    def integer(self, key: str, low: int, high: int, default: int) -> int:
        """A whole number from ``low`` to ``high``."""
        value = self._get(key)
        if value is None:
            return default
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise self.wrong(key, f"must be a whole number from {low} to {high}")
        return value

    def wrong(self, key: str, what: str) -> ValueError:
        """The refusal of a key's value."""
        return ValueError(f"{self._at(key)}: {what}")

    def unknown(self) -> tuple[str, ...]:
        """Sentences about keys that nobody has asked for."""
        said = []
        for key in self._values:
            if key not in self._known:
                near = get_close_matches(key, self._known, 1)
                hint = f": did you mean {near[0]!r}?" if near else ""
                said.append(f"{self._at(key[:TEXT_LIMIT])}: nobody reads this key{hint}")
        return tuple(said)

    def _get(self, key: str) -> Any:
        self._known.add(key)
        return self._values.get(key)

    def _line(self, key: str, value: Any) -> str:
        # The value itself is not shown: it may be a secret in the wrong place.
        if not isinstance(value, str) or not value.strip():
            raise self.wrong(key, "must be a text that is not empty")
        if len(value) > TEXT_LIMIT or not value.isprintable():
            raise self.wrong(key, f"must be one line of at most {TEXT_LIMIT} characters, without control characters")
        return value

    def _checked_name(self, key: str) -> str:
        return self._line("a key", key)

    def _at(self, key: str) -> str:
        return f"{self._path}.{key}" if self._path else key

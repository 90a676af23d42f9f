"""The config file as programs may read and change it: some sections only, without its secrets, one value at a time."""

import asyncio
import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from wakeful.core.redaction import MARK, redact
from wakeful.faces.cron.config_file import FILE_LIMIT, decode_object
from wakeful.faces.cron.config_source import ConfigSource
from wakeful.faces.cron.files import locked, look
from wakeful.faces.cron.forms import shown
from wakeful.files import write

READABLE = ("schedules", "notifications")
WRITABLE = frozenset({"schedules"})
# What names commands of the user's, and where they run: only who can write the file may change these.
_GUARDED = ("claude", "poll_sources", "skill_programs")
_SECRET = re.compile(
    r"(?i)(token|secret|passw|pwd|webhook|api[_-]?key|private[_-]?key|authorization|credential|cookie|signing)"
)
_SPACE = re.compile(r"[ \t\r\n]*")


class Settings:
    """What may be read of the config file, and changed in it: the sections of ``writable``, but no commands.

    ``schedules.claude`` or ``schedules.poll_sources`` in ``writable`` lets these be changed, too. ``clean`` takes
    secrets out of a text.
    """

    def __init__(
        self, source: ConfigSource, writable: frozenset[str] = WRITABLE, clean: Callable[[str], str] = redact
    ) -> None:
        self._source = source
        self._writable = writable
        self._clean = clean

    async def get(self, section: str, key: str = "") -> Any:
        """A section's value at a dotted key, all of it without one; secrets are covered up.

        Of a list, a number is a place, and anything else the name of an object in it; in quotes, it is always a name:
        ``jobs."nightly.tests".cron``.

        Raises:
            ValueError: the section may not be read, or there is no such value.
        """
        if section not in READABLE:
            raise ValueError(f"the section {shown(section)} can't be read here: {' and '.join(READABLE)} can")
        root = decode_object(await self._content())
        value = root.get(section, {})
        path = _split(key)
        for depth, part in enumerate(path):
            value = _child(value, part, ".".join((section, *path[:depth])))
        whole = (section, *path)
        covered = _covered(value, whole, any(_is_secret(whole[: depth + 1]) for depth in range(len(whole))))
        return _cleaned(covered, self._clean)

    async def update(self, section: str, key: str, value: Any) -> None:
        """Puts a value at a dotted key, or, with an empty one, in the place of the section; the file is written.

        The rest of the file stays as it is, to the letter.

        Raises:
            ValueError: it may not be changed, or the file would be wrong with it; nothing is written.
            OSError: it can't be written.
        """
        if section not in self._writable:
            can = ", ".join(sorted(self._writable))
            raise ValueError(f"the section {shown(section)} can't be changed here: only {can} can")
        async with locked(self._source.path):
            content = await self._content()
            path = (section, *_split(key))
            new = await asyncio.to_thread(self._edited, content, path, value)
            await asyncio.to_thread(write, self._source.path, new)

    def _edited(self, content: bytes, path: tuple[str, ...], value: Any) -> bytes:
        """The file with another value at a path, if it can be used then."""
        section = path[0]
        old = decode_object(content).get(section, {})
        new = _with_value(old, path[1:], value, section)
        self._check(old, new)
        edited = with_section(content.decode(), section, new).encode()
        self._source.read(edited)
        return edited

    async def _content(self) -> bytes:
        seen = await asyncio.to_thread(look, self._source.path, FILE_LIMIT)
        if seen.content is None:
            raise ValueError(seen.problem)
        return seen.content

    def _check(self, old: Any, new: Any) -> None:
        for guarded in _GUARDED:
            same = _get(old, guarded) == _get(new, guarded)
            if not same and f"schedules.{guarded}" not in self._writable:
                raise ValueError(f"schedules.{guarded} can't be changed here, as it names commands: edit the file")
        covered = _find_mark(new, "schedules")
        if covered is not None:
            raise ValueError(f"{covered} is {MARK}, which covers up a secret: leave it out, or write what it is")


def with_section(text: str, section: str, value: Any) -> str:
    """The text of a JSON object with another value for one of its keys; all else stays as it stands there.

    Raises:
        ConfigFileError: it is no JSON object.
    """
    decode_object(text.encode())
    shown_value = json.dumps(value, indent=2, ensure_ascii=False).replace("\n", "\n  ")
    begin = text.index("{") + 1
    span = _span(text, begin, section)
    if span is not None:
        return text[: span[0]] + shown_value + text[span[1] :]
    comma = "" if text[_skip(text, begin)] == "}" else ","
    return f"{text[:begin]}\n  {json.dumps(section)}: {shown_value}{comma}{text[begin:]}"


def _span(text: str, begin: int, section: str) -> tuple[int, int] | None:
    """Where the value of a key stands; of the last one, if the key is there more than once."""
    decode, found = json.JSONDecoder().raw_decode, None
    at = _skip(text, begin)
    while text[at] != "}":
        key, at = decode(text, at)
        start = _skip(text, text.index(":", at) + 1)
        _, end = decode(text, start)
        if key == section:
            found = start, end
        at = _skip(text, end)
        if text[at] == ",":
            at = _skip(text, at + 1)
    return found


def _skip(text: str, at: int) -> int:
    match = _SPACE.match(text, at)
    return at if match is None else match.end()


class _Name(str):
    """A part of a key that stood in quotes."""


def _split(key: str) -> tuple[str, ...]:
    parts: list[str] = []
    at = 0
    while key and at <= len(key):
        if key.startswith('"', at):
            try:
                name, end = json.JSONDecoder().raw_decode(key, at)
            except ValueError:
                raise ValueError(f"{shown(key)} has no second quote to a name") from None
            parts.append(_Name(name))
        else:
            end = key.find(".", at) if "." in key[at:] else len(key)
            parts.append(key[at:end])
        if end < len(key) and key[end] != ".":
            raise ValueError(f"{shown(key)} has no dot after a name in quotes")
        at = end + 1
    return tuple(parts)


def _get(value: Any, key: str) -> Any:
    return value.get(key) if isinstance(value, Mapping) else None


def _place(value: Any, part: str, path: str) -> Any:
    """The key or the index of a part: of a list, its number, or the name of one of its objects."""
    if isinstance(value, dict):
        return part
    if isinstance(value, list):
        number = part.isascii() and part.isdigit() and len(part) < 9 and not isinstance(part, _Name)
        if number and int(part) < len(value):
            return int(part)
        for place, each in enumerate(value):
            if _get(each, "name") == part:
                return place
    raise ValueError(f"{path} has no {shown(part)}")


def _child(value: Any, part: str, path: str) -> Any:
    place = _place(value, part, path)
    if isinstance(value, dict) and place not in value:
        raise ValueError(f"{path} has no {shown(part)}")
    return value[place]


def _with_value(old: Any, path: tuple[str, ...], value: Any, at: str) -> Any:
    """A copy with a value at a path; objects on the way that are not there yet are made."""
    if not path:
        return value
    place = _place({} if old is None else old, path[0], at)
    new = dict(old or {}) if isinstance(place, str) else list(old)
    below = new.get(place) if isinstance(new, dict) else new[place]
    new[place] = _with_value(below, path[1:], value, f"{at}.{path[0]}")
    return new


def _covered(value: Any, path: tuple[str, ...], secret: bool = False) -> Any:
    """Without what is a secret by its key. The name of a variable that holds one is none."""
    if isinstance(value, dict):
        return {
            name: _covered(each, (*path, name), secret or _is_secret((*path, name))) for name, each in value.items()
        }
    if isinstance(value, list):
        return [_covered(each, path, secret) for each in value]
    if secret and not path[-1].endswith("_env") and isinstance(value, str | int | float):
        return value if isinstance(value, bool) else MARK
    return value


def _cleaned(value: Any, clean: Callable[[str], str]) -> Any:
    """Without secrets that stand where nobody expects them."""
    if isinstance(value, dict):
        return {name: _cleaned(each, clean) for name, each in value.items()}
    if isinstance(value, list):
        return [_cleaned(each, clean) for each in value]
    return clean(value) if isinstance(value, str) else value


def _is_secret(path: tuple[str, ...]) -> bool:
    return _SECRET.search(path[-1]) is not None or path[:2] == ("notifications", "apprise") or "headers" in path


def _find_mark(value: Any, path: str) -> str | None:
    if isinstance(value, str):
        return path if MARK in value else None
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return next((found for key, each in pairs if (found := _find_mark(each, f"{path}.{key}")) is not None), None)

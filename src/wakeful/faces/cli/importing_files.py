"""The daemon's config file, changed as a whole: read, understood by the daemon's own rules, and only then written."""

import asyncio
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wakeful.core.errors import ErrorCode, WakefulError
from wakeful.faces.cron.config_file import FILE_LIMIT, ConfigFileError, decode_object
from wakeful.faces.cron.files import locked, look
from wakeful.faces.cron.settings import with_section
from wakeful.files import write

# Gets the sections of the file, {} for a new one, and gives those that are to be others.
Edit = Callable[[Mapping[str, Any]], Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class ConfigEdit:
    """A change of a config file; ``check`` raises ``ValueError`` for a content that the daemon could not use.

    ``before`` is done when the new content is known to be good, and before it is written.
    """

    path: Path
    edit: Edit
    check: Callable[[bytes], object]
    before: Callable[[], None] = lambda: None

    async def apply(self, *, dry_run: bool = False) -> bool:
        """Writes the file, all else in it as it stood there, to the letter; whether there was a difference.

        Raises:
            WakefulError: ``INVALID_JOB``: the file can't be read or written, or the daemon could not use it.
        """
        try:
            if dry_run:
                return self._changed(dry_run=True)
            async with locked(self.path):
                return await asyncio.to_thread(self._changed)
        except OSError as error:
            raise _wrong(f"{self.path} can't be written: {error.strerror or error}") from None

    def _changed(self, *, dry_run: bool = False) -> bool:
        old = _content(self.path)
        new = self._edited(old)
        if new is None or new == old:
            if not dry_run:
                self.before()
            return False
        try:
            self.check(new)
        except ValueError as error:
            raise _wrong(f"nothing was written: the daemon could not use {self.path} then: {error}") from None
        if not dry_run:
            self.before()
            write(self.path, new)
        return True

    def _edited(self, old: bytes | None) -> bytes | None:
        try:
            root = {} if old is None else decode_object(old)
            changes = {name: value for name, value in self.edit(root).items() if root.get(name) != value}
            if old is None:
                # Where there is nothing to say, no file is made.
                return None if not changes else (json.dumps(changes, indent=2, ensure_ascii=False) + "\n").encode()
            text = old.decode("utf-8-sig")
            for name, value in changes.items():
                text = with_section(text, name, value)
        except (ConfigFileError, UnicodeDecodeError) as error:
            raise _wrong(f"{self.path} can't be used as it is: {error}") from None
        return text.encode() if changes else old


def _content(path: Path) -> bytes | None:
    """What is in the file; ``None`` if there is none."""
    seen = look(path, FILE_LIMIT)
    if seen.content is None and (path.exists() or path.is_symlink()):
        raise _wrong(str(seen.problem))
    return seen.content


def _wrong(message: str) -> WakefulError:
    return WakefulError(ErrorCode.INVALID_JOB, message)

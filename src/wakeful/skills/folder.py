"""The folder of skills: a name is a file in it, read anew when it has changed."""

import os
import re
import stat
from collections.abc import Collection
from pathlib import Path

from wakeful.skills.documents import LARGEST_FILE, read_document
from wakeful.skills.errors import SkillError, near
from wakeful.skills.model import Skill
from wakeful.skills.reading import read_skill

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}(/[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}){0,4}")
_ENDINGS = (".yaml", ".yml")
_MOST_LISTED = 1000

_Stamp = tuple[int, int, int]


class Folder:
    """Skills by name: ``<name>.yaml`` or ``.yml``, in subfolders as ``area/name``."""

    def __init__(self, root: Path, tools: Collection[str]) -> None:
        self._root = root
        self._tools = tools
        self._read: dict[Path, tuple[_Stamp, Skill]] = {}

    def load(self, name: str) -> Skill:
        """The skill as its file is now.

        Raises:
            SkillError: there is none, or it can't be run: why, and where in the file.
        """
        path = self._find(name)
        try:
            # A pipe would be waited for.
            descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            with open(descriptor, "rb") as file:
                about = os.fstat(descriptor)
                if not stat.S_ISREG(about.st_mode):
                    raise SkillError("a skill is a file", str(path))
                stamp = (about.st_mtime_ns, about.st_size, about.st_ino)
                if path in self._read and self._read[path][0] == stamp:
                    return self._read[path][1]
                content = file.read(LARGEST_FILE + 1)
        except OSError as error:
            raise SkillError(f"the skill {name!r} can't be read: {error.strerror}", str(path)) from None
        try:
            text = content.decode("utf-8")
        except UnicodeDecodeError:
            if len(content) <= LARGEST_FILE:
                raise SkillError("the file is not text in UTF-8", f"{name}{path.suffix}") from None
            text = content.decode("utf-8", "replace")
        skill = read_skill(read_document(text, f"{name}{path.suffix}"), self._tools)
        self._read[path] = (stamp, skill)
        return skill

    def names(self) -> list[str]:
        """The names of the skills that there are, well-formed or not; at most a thousand."""
        found: list[str] = []
        for folder, below, files in os.walk(self._root):
            below[:] = sorted(each for each in below if not each.startswith("."))
            for file in sorted(files):
                path = Path(folder, file)
                if path.suffix in _ENDINGS and not file.startswith("."):
                    found.append(path.relative_to(self._root).with_suffix("").as_posix())
            if len(found) >= _MOST_LISTED:
                break
        return found[:_MOST_LISTED]

    def has(self, name: str) -> bool:
        """Whether there is a file of that name, well-formed or not."""
        return _NAME.fullmatch(name) is not None and self._file(name) is not None

    def _file(self, name: str) -> Path | None:
        paths = (self._root / (name + ending) for ending in _ENDINGS)
        return next((path for path in paths if path.exists()), None)

    def _find(self, name: str) -> Path:
        if not _NAME.fullmatch(name):
            raise SkillError(
                f"{name[:120]!r} is no name of a skill: letters, digits, '_', '-', '.', and '/' for folders"
            )
        path = self._file(name)
        if path is not None:
            real = path.resolve()
            if not real.is_relative_to(self._root.resolve()):
                raise SkillError(f"the skill {name!r} leads out of the folder of skills")
            return real
        raise SkillError(f"there is no skill {name!r} in {self._root}{near(name, self.names())}")

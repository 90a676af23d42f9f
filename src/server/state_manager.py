"""``state``: the switches of ``state.json`` that the cron daemon reads, under the document's import path."""

import copy
import fcntl
import json
import logging
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from wakeful.clock import SystemClock
from wakeful.faces.cron.config_file import FILE_LIMIT, ConfigFileError
from wakeful.faces.cron.files import Seen, look
from wakeful.faces.cron.switches import Switch, read_switches, with_switch
from wakeful.files import lock_path, write

__all__ = ["StateManager", "state"]

log = logging.getLogger("wakeful.cron")

_LOOK_AGAIN_S = 0.02
_MOST_LOOKS = 500

Root = dict[str, Any]


class StateManager:
    """``state.json``, by default that of ``~/.config/aa-workflow`` (or of ``XDG_CONFIG_HOME``), for any thread.

    Each change is in the file, and durable, when its call returns; what others wrote there meanwhile stays. ``flush``
    makes no difference to that. A file that is damaged is not written over; until it is mended, what it held when it
    could be read last is what it holds.

    Every change raises ``ValueError`` if the file is damaged, ``TimeoutError`` if another process keeps it locked for
    seconds, and ``OSError`` if it can't be written.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._given = path
        self._lock = threading.RLock()
        self._seen: Seen | None = None
        self._root: Root = {}
        self._told = ""

    @property
    def state_file(self) -> Path:
        """Where it is, whether there is one or not."""
        if self._given is not None:
            return self._given
        home = os.environ.get("XDG_CONFIG_HOME") or ""
        # The XDG rules: a path that is not absolute is no path.
        folder = Path(home) if home.startswith("/") else Path.home() / ".config"
        return folder / "aa-workflow" / "state.json"

    @property
    def is_dirty(self) -> bool:
        """Whether a change waits to be written: none ever does."""
        return False

    def get(self, section: str, key: str | None = None, default: Any = None) -> Any:
        """A section, or what is at a key of it, as a copy."""
        found = self._read().get(section)
        if key is not None:
            found = found.get(key) if isinstance(found, dict) else None
        return default if found is None else found

    def get_all(self) -> Root:
        """All that the file holds, as a copy."""
        return self._read()

    def set(self, section: str, key: str, value: Any, flush: bool = False) -> None:  # noqa: ARG002
        """Puts a JSON value at a key of a section. Raises ``TypeError`` for what is none; see the class."""
        self._change(lambda root: {**root, section: {**_object(root.get(section)), key: value}})

    def update_section(
        self,
        section: str,
        data: Mapping[str, Any],
        merge: bool = True,
        flush: bool = False,  # noqa: ARG002
    ) -> None:
        """Puts all these into a section, or in the place of all that is in it. Raises as ``set`` does."""
        self._change(lambda root: {**root, section: {**(_object(root.get(section)) if merge else {}), **data}})

    def delete(self, section: str, key: str | None = None, flush: bool = False) -> bool:  # noqa: ARG002
        """Removes a section or a key of it; whether there was one. Raises as the class says."""
        there = False

        def without(root: Root) -> Root:
            nonlocal there
            there = section in root if key is None else key in _object(root.get(section))
            if key is None or not there:
                return {name: value for name, value in root.items() if name != section or not there}
            return {**root, section: {name: value for name, value in root[section].items() if name != key}}

        self._change(without)
        return there

    def flush(self) -> None:
        """Nothing waits to be written."""

    def reload(self) -> None:
        """Forgets what was read; what the file holds is read when it is asked for next."""
        with self._lock:
            self._seen = None

    def has_section(self, section: str) -> bool:
        """Whether the file has such a section."""
        return section in self._read()

    def sections(self) -> list[str]:
        """The names of all that stands at the file's top."""
        return list(self._read())

    def is_service_enabled(self, service: str) -> bool:
        """Whether a service was switched on; False if nobody switched it."""
        return bool(_object(self.get("services", service)).get("enabled", False))

    def set_service_enabled(self, service: str, enabled: bool, flush: bool = False) -> None:  # noqa: ARG002
        """Switches a service; ``scheduler`` is the cron daemon's. Raises as the class says."""
        self._switch("services", service, enabled)

    def is_job_enabled(self, job_name: str) -> bool:
        """Whether a job was not switched off; what its definition says does not count here."""
        return bool(_object(self.get("jobs", job_name)).get("enabled", True))

    def set_job_enabled(self, job_name: str, enabled: bool, flush: bool = False) -> None:  # noqa: ARG002
        """Switches a job; a daemon that runs hears of it. Raises as the class says."""
        self._switch("jobs", job_name, enabled)

    def get_all_job_states(self) -> dict[str, bool]:
        """Each job that somebody switched, and how."""
        return {name: bool(_object(entry).get("enabled", True)) for name, entry in _object(self.get("jobs")).items()}

    def _switch(self, group: str, name: str, enabled: bool) -> None:
        if not isinstance(enabled, bool):
            raise ValueError(f"enabled must be True or False, not {enabled!r}")
        self._change(lambda root: with_switch(root, (group, name), Switch(enabled)))

    def _read(self) -> Root:
        with self._lock:
            try:
                self._look()
                self._told = ""
            except ValueError as error:
                if self._told != str(error):
                    self._told = str(error)
                    log.warning("%s: its last state that could be read counts", error)
            return copy.deepcopy(self._root)

    def _look(self) -> None:
        path = self.state_file
        seen = look(path, FILE_LIMIT)
        if seen == self._seen:
            return
        if seen.content is None:
            if path.exists():
                raise ValueError(seen.problem)
            self._root = {}
        else:
            try:
                self._root = read_switches(seen.content)[1]
            except ConfigFileError as error:
                raise ValueError(f"{path} is damaged: {error}") from error
        self._seen = seen

    def _change(self, change: Callable[[Root], Root]) -> None:
        with self._lock, _locked(self.state_file):
            self._look()
            root = {
                "version": 1,
                **change(self._root),
                "last_updated": SystemClock().now().isoformat(timespec="seconds"),
            }
            content = (json.dumps(root, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()
            # What the daemon could not read would count for nothing.
            read_switches(content)
            write(self.state_file, content)
            self._look()


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    beside = lock_path(path)
    beside.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(beside, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        for _ in range(_MOST_LOOKS):
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                threading.Event().wait(_LOOK_AGAIN_S)
        else:
            raise TimeoutError(f"another process has locked {beside} for {_LOOK_AGAIN_S * _MOST_LOOKS:g} s")
        yield
    finally:
        os.close(descriptor)


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


state = StateManager()

"""Switches as they stand in ``state.json``, beside what others keep there."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from wakeful.faces.cron.config_file import ConfigFileError, decode_object
from wakeful.faces.cron.forms import flag
from wakeful.faces.cron.sections import Findings, Section

SCHEDULER = "scheduler"
# What stands beside a switch: the value that the config file had when it was set.
_BASE = "config_enabled"


@dataclass(frozen=True, slots=True)
class Switch:
    """What somebody set. ``base`` is what the config file said then, if that is known."""

    enabled: bool
    base: bool | None = None

    def over(self, config: bool) -> bool:
        """Whether it still stands over what the file says: who edits the file's value later goes before it."""
        return self.base is None or self.base == config


@dataclass(frozen=True, slots=True)
class Switches:
    """The switches of ``state.json``: that of the scheduler, and those of jobs, by name."""

    scheduler: Switch | None = None
    jobs: Mapping[str, Switch] = field(default_factory=dict)


def read_switches(content: bytes) -> tuple[Switches, dict[str, Any]]:
    """The switches that a ``state.json`` holds, and all that it holds.

    Raises:
        ConfigFileError: it is damaged.
    """
    root, found = decode_object(content), Findings()
    services = _entries(root, "services", found)
    jobs = _entries(root, "jobs", found)
    read = {name: switch for name, entry in jobs.items() if (switch := _switch(entry)) is not None}
    scheduler = _switch(services[SCHEDULER]) if SCHEDULER in services else None
    if found.problems:
        raise ConfigFileError(found.problems)
    return Switches(scheduler, read), root


def _entries(root: Mapping[str, Any], key: str, found: Findings) -> Mapping[str, Section]:
    if root.get(key) is None:
        return {}
    section = Section(root[key], key, found)
    return {name: Section(value, f"{key}.{name}", found) for name, value in section.values.items()}


def _switch(entry: Section) -> Switch | None:
    enabled, base = entry.get("enabled", flag), entry.get(_BASE, flag)
    return None if enabled is None else Switch(enabled, base)


def with_switch(root: Mapping[str, Any], place: tuple[str, str], switch: Switch | None) -> dict[str, Any]:
    """What ``state.json`` holds, with another switch at ``("jobs", name)`` or ``("services", name)``, or none.

    All else that stands there stays.
    """
    group, name = place
    entries = dict(root.get(group) or {})
    entry = {key: value for key, value in (entries.get(name) or {}).items() if key not in ("enabled", _BASE)}
    if switch is not None:
        entry["enabled"] = switch.enabled
        if switch.base is not None:
            entry[_BASE] = switch.base
    if entry:
        entries[name] = entry
    else:
        entries.pop(name, None)
    return {"version": 1, **root, group: entries}

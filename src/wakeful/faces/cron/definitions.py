"""One job of the file, as a job of the scheduler."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import PurePosixPath
from typing import Any

from wakeful.core.errors import WakefulError
from wakeful.core.job import (
    DATA_LIMIT,
    Catchup,
    Data,
    Job,
    JobKey,
    Notify,
    NotifyOn,
    Overlap,
    TargetSpec,
    check_name,
)
from wakeful.core.recurrence import Zones
from wakeful.faces.cron import timing
from wakeful.faces.cron.forms import Reader, flag, integer, number, one_of, shown, text, texts
from wakeful.faces.cron.retrying import DAY_S, Retry, read_retry
from wakeful.faces.cron.sections import Section
from wakeful.faces.cron.timing import When, read_when

NAMESPACE = "default"
_SCRIPT = "python_script"
_MODES = ("claude_cli", "skill_direct", _SCRIPT)
_ALIASES = {"direct": "skill_direct", "skill_run": "skill_direct", "mcp_direct": "skill_direct"}
_NOTIFIED = ("memory", "slack", "desktop", "email", "apprise")
_TIMEOUT_S = 600.0
_PRIORITY = 5
# Instants that passed are all run where they are not coalesced; of more than these, the newest.
_MOST_CAUGHT_UP = 100
_BAD_IN_PATHS = re.compile(r"[\\\x00-\x1f\x7f]")

_KEYS = (
    *timing.KEYS,
    "name",
    "description",
    "skill",
    "persona",
    "inputs",
    "script",
    "args",
    "command",
    "execution_mode",
    "fallback_mode",
    "notify",
    "notify_on",
    "enabled",
    "retry",
    "timeout_seconds",
    "max_instances",
    "coalesce",
    "misfire_grace_time",
    "overlap",
    "priority",
    "jitter_seconds",
    "at_most_once",
    "condition",
)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a file's jobs are kept and run: their owner, and the queues of their runs and of their notices."""

    owner: str
    queue: str
    notices: str

    @classmethod
    def of(cls, path: str) -> "Place":
        """Of the config file at that absolute path."""
        return cls(f"file/{path}", f"cron/{NAMESPACE}/{path}", f"notify/{NAMESPACE}/{path}")


@dataclass(frozen=True, slots=True)
class Shared:
    """What holds for all jobs of a file, unless they say something else."""

    place: Place
    zone: str
    mode: str
    fallback: str | None
    retry: Retry
    notify: tuple[str, ...]
    poll_sources: Mapping[str, Any]
    now: datetime
    zones: Zones


@dataclass(frozen=True, slots=True)
class JobSpec:
    """A job of the file: what the scheduler gets of it, and what only the file says.

    ``skill`` is the path of the script where there is none. ``problems`` are what is wrong with its inputs: they keep
    it from running, but not the file from being used.
    """

    job: Job
    enabled: bool
    when: When
    skill: str
    mode: str
    inputs: Mapping[str, Any]
    persona: str | None = None
    description: str | None = None
    notify: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()


def mode(value: Any) -> str:
    """The name of an execution mode, or another name of it."""
    value = _ALIASES.get(value, value) if isinstance(value, str) else value
    return str(one_of(*_MODES)(value))


def fallback(value: Any) -> str:
    """The mode for where ``claude`` is not installed."""
    if mode(value) != "skill_direct":
        raise ValueError(f"must be skill_direct, the only mode that can stand in for another, not {shown(value)}")
    return "skill_direct"


def targets(value: Any) -> tuple[str, ...]:
    """Whom a job notifies: ``memory``, ``slack``, ``slack:#ops`` and so on."""
    read: tuple[str, ...] = texts(16, 256)(value)
    for each in read:
        one_of(*_NOTIFIED)(each.partition(":")[0])
    return tuple(dict.fromkeys(read))


def read_job(section: Section, shared: Shared) -> JobSpec | None:
    """The job that an object of ``schedules.jobs`` is; ``None`` if it is wrong, which is noted."""
    wrong_before = len(section.found.problems)
    section.check_keys(_KEYS)
    name = section.get("name", _name)
    if "name" not in section:
        section.wrong("name", "missing: every job needs a name of its own")
    when = read_when(section, shared.zone, shared.now, shared.zones)
    inputs = section.get("inputs", _inputs, {})
    target = _target(section, shared)
    policies = _policies(section)
    notify = section.get("notify", targets, shared.notify)
    on = NotifyOn(section.get("notify_on", one_of(*NotifyOn), NotifyOn.ALWAYS))
    retry = read_retry(section, "retry", shared.retry)
    enabled, description = section.get("enabled", flag, True), section.get("description", text(2_000))
    if len(section.found.problems) > wrong_before or name is None or when is None or target is None:
        return None
    options = {**target.options, **({"retry_on": _json(retry.on)} if retry.on else {})}
    job = Job(
        key=JobKey(NAMESPACE, shared.place.owner, name),
        schedule=when.schedule,
        target=TargetSpec(target.kind, target.address, options),
        queue=shared.place.queue,
        data=Data("json", _json(inputs).encode()),
        retry=retry.policy,
        notify=Notify(notify, shared.place.notices, on) if notify else None,
        **policies,
    )
    skill, how, persona = target.address, options["mode"], options.get("persona")
    return JobSpec(job, enabled, when, skill, how, inputs, persona, description, notify)


def _name(value: Any) -> str:
    try:
        return check_name(text(512)(value))
    except WakefulError as error:
        raise ValueError(error.message) from None


def _inputs(value: Any) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"must be an object in braces, not {shown(value)}")
    size = len(_json(value).encode())
    if size > DATA_LIMIT:
        raise ValueError(f"are {size} bytes long: at most {DATA_LIMIT} are allowed")
    return value


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _target(section: Section, shared: Shared) -> TargetSpec | None:
    """A skill in its mode, or a script with its arguments."""
    scripted = "script" in section or "command" in section
    own = section.get("execution_mode", mode)
    how = own or (_SCRIPT if scripted else shared.mode)
    if scripted and "skill" in section:
        section.wrong("skill", "a job runs a skill or a script: leave out one of the two")
        return None
    options = {"mode": how, **_more_options(section, shared)}
    if how == _SCRIPT:
        if not scripted:
            section.wrong("script", "missing: the mode python_script runs a script of the scripts folder")
            return None
        return _script(section, options)
    if scripted or "args" in section:
        key = next(key for key in ("script", "command", "args") if key in section)
        section.wrong(key, f"goes with the mode {_SCRIPT} only, and the mode is {how}")
        return None
    instead = section.get("fallback_mode", fallback, shared.fallback)
    if instead is not None and how == "claude_cli":
        options["fallback_mode"] = instead
    skill = section.get("skill", text(256))
    if "skill" not in section:
        section.wrong("skill", "missing: write the name of the skill that the job runs, or a script")
    return None if skill is None else TargetSpec("skill", skill, options)


def _more_options(section: Section, shared: Shared) -> dict[str, str]:
    persona = section.get("persona", text(128))
    options = {} if persona is None else {"persona": persona}
    polls = section.values.get("trigger") == "poll"
    if polls and "condition" not in section:
        section.wrong("condition", "missing: write the name of one of schedules.poll_sources")
    elif "condition" in section and not polls:
        section.wrong("condition", 'goes with "trigger": "poll" only')
    elif polls:
        source = section.get("condition", _one_of_these(shared.poll_sources))
        if source is not None:
            options["poll"] = _json(shared.poll_sources[source])
    return options


def _one_of_these(sources: Mapping[str, Any]) -> Reader:
    def read(value: Any) -> str:
        if not sources:
            raise ValueError("there are no schedules.poll_sources")
        return str(one_of(*sources)(value))

    return read


def _script(section: Section, options: dict[str, str]) -> TargetSpec | None:
    args: tuple[str, ...]
    if "command" in section:
        other = next((key for key in ("script", "args") if key in section), None)
        if other is not None:
            section.wrong(other, "command says it already: leave out one of the two")
        command = section.get("command", texts(256, 4_096), ())
        if not command:
            section.wrong("command", "must be a script and its arguments, in brackets")
            return None
        path, args = section.get("command", lambda _: _script_path(command[0])), command[1:]
    else:
        path, args = section.get("script", _script_path), section.get("args", texts(256, 4_096), ())
    return None if path is None else TargetSpec("command", path, {**options, "args": _json(args)})


def _script_path(value: Any) -> str:
    written: str = text(1_024)(value)
    path = PurePosixPath(written)
    outside = path.is_absolute() or ".." in path.parts or written.startswith("~") or not path.parts
    if outside or _BAD_IN_PATHS.search(written):
        raise ValueError(f"must be a path inside the scripts folder, such as jobs/report.py, not {shown(written)}")
    return str(path)


def _policies(section: Section) -> dict[str, Any]:
    instances = section.get("max_instances", integer(1, 1_000), 1)
    together = section.get("coalesce", flag, True)
    overlap = Overlap.ALLOW if instances > 1 else Overlap.QUEUE_ONE if together else Overlap.QUEUE_ALL
    said = section.get("overlap", one_of(*Overlap))
    if said is not None and (said == Overlap.ALLOW) != (instances > 1):
        section.wrong("overlap", f"is {said}, and max_instances is {instances}: allow goes with more than 1, alone")
    grace = section.get("misfire_grace_time", number(0, 366 * DAY_S))
    late = Catchup.NONE if grace == 0 else Catchup.LATEST if together else Catchup.ALL
    return {
        "overlap": overlap if said is None else Overlap(said),
        "max_running": instances,
        "catchup": late,
        "catchup_window": timedelta(seconds=grace) if grace else None,
        "catchup_limit": _MOST_CAUGHT_UP if late is Catchup.ALL else None,
        "timeout": timedelta(seconds=section.get("timeout_seconds", number(1, 7 * DAY_S), _TIMEOUT_S)),
        "priority": section.get("priority", integer(1, 10), _PRIORITY),
        "jitter": timedelta(seconds=section.get("jitter_seconds", number(0, DAY_S), 0.0)),
        "at_most_once": section.get("at_most_once", flag, False),
    }

"""The text of a config file, understood whole or not at all."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

import msgspec

from wakeful.core.recurrence import Zones
from wakeful.core.redaction import redact
from wakeful.core.schedule import Schedule, ScheduleText
from wakeful.faces.cron.definitions import JobSpec, Place, Shared, fallback, mode, read_job, targets
from wakeful.faces.cron.forms import flag, shown, texts
from wakeful.faces.cron.retrying import NO_RETRY, read_retry
from wakeful.faces.cron.sections import Findings, Section
from wakeful.faces.cron.timing import surprises, zone_name

# What is only odd about a section, in sentences; raises ``ValueError`` where it can't be used.
Check = Callable[[object], Sequence[str]]
# (the section ``notifications``, targets) → those that nothing can be sent to, and why; raises as a check does.
Untold = Callable[[object, Sequence[str]], Mapping[str, str]]
# What is wrong with a skill's inputs: (skill, inputs, mode) → (severity, sentence); an ``error`` keeps it from running,
# and so does a ``ValueError``.
Validator = Callable[[str, Mapping[str, Any], str], Sequence[tuple[str, str]]]

FILE_LIMIT = 4 * 1024 * 1024
MOST_JOBS = 10_000
_KEYS = (
    "enabled",
    "timezone",
    "execution_mode",
    "fallback_mode",
    "default_retry",
    "default_notify",
    "jobs",
    "poll_sources",
    "claude",
    "skill_programs",
)
_SECTIONS = ("schedules.claude", "notifications")
_SHOWN = 5


class ConfigFileError(ValueError):
    """A config file that can't be used: every problem with its path."""

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        rest = len(self.problems) - _SHOWN
        super().__init__("; ".join(self.problems[:_SHOWN]) + (f"; and {rest} more" if rest > 0 else ""))


@dataclass(frozen=True, slots=True)
class Reading:
    """What is known when a file is read.

    ``checks`` are those of sections that others understand, by their paths: ``schedules.claude``,
    ``notifications``, and ``schedules.poll_sources.*`` for each source. ``untold`` knows whom nobody can tell.
    """

    place: Place
    zones: Zones
    now: datetime
    checks: Mapping[str, Check] = field(default_factory=dict)
    validate: Validator | None = None
    untold: Untold | None = None


@dataclass(frozen=True, slots=True)
class CronConfig:
    """A config file that can be used; ``schedules`` is its section as it stands there, the others are checked."""

    enabled: bool
    timezone: str
    execution_mode: str
    jobs: Mapping[str, JobSpec]
    claude: Mapping[str, Any]
    notifications: Mapping[str, Any]
    poll_sources: Mapping[str, Mapping[str, Any]]
    skill_programs: tuple[str, ...]
    schedules: Mapping[str, Any]
    warnings: tuple[str, ...] = ()


def read_config(content: bytes, reading: Reading) -> CronConfig:
    """What a file says that holds ``content``.

    Raises:
        ConfigFileError: anything of it is wrong: nothing of it may be used.
    """
    found = Findings()
    root = decode_object(content)
    if "schedules" not in root:
        # A writer that failed may leave {} behind: that there are no jobs has to be said.
        raise ConfigFileError(['schedules: missing: write "schedules": {"jobs": []} if there are no jobs'])
    section = Section(root["schedules"], "schedules", found)
    section.check_keys(_KEYS)
    others = {path: _checked(root, path, reading, found) for path in _SECTIONS}
    sources = _poll_sources(section, reading)
    shared = _shared(section, sources, reading)
    enabled = section.get("enabled", flag, True)
    programs = section.get("skill_programs", texts(100, 255), ())
    if isinstance(root["schedules"], dict) and "jobs" not in section:
        # For the same reason; null is no list, either.
        section.wrong("jobs", "missing: write [] if there are none")
    jobs = _jobs(section, shared, reading)
    _look_for_untold(section, shared, jobs, others["notifications"], reading)
    if found.problems:
        raise ConfigFileError(found.problems)
    return CronConfig(
        enabled=enabled,
        timezone=shared.zone,
        execution_mode=shared.mode,
        jobs=jobs,
        claude=others["schedules.claude"],
        notifications=others["notifications"],
        poll_sources=sources,
        skill_programs=programs,
        schedules=root["schedules"],
        warnings=tuple(found.warnings),
    )


def decode_object(content: bytes) -> dict[str, Any]:
    """The JSON object that a file holds.

    Raises:
        ConfigFileError: it holds none, or is too large.
    """
    if len(content) > FILE_LIMIT:
        raise ConfigFileError([f"the file is {len(content)} bytes long: at most {FILE_LIMIT} are allowed"])
    content = content.removeprefix(b"\xef\xbb\xbf")
    if not content.strip():
        raise ConfigFileError(["the file is empty: it must hold a JSON object"])
    try:
        root = msgspec.json.decode(content)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise ConfigFileError([f"the file is no JSON: {error}"]) from None
    if not isinstance(root, dict):
        raise ConfigFileError([f"the file must hold a JSON object in braces, not {shown(root)}"])
    return root


def _shared(section: Section, sources: Mapping[str, Any], reading: Reading) -> Shared:
    return Shared(
        place=reading.place,
        zone=section.get("timezone", zone_name(reading.zones), "UTC"),
        mode=section.get("execution_mode", mode, "claude_cli"),
        fallback=section.get("fallback_mode", fallback),
        retry=read_retry(section, "default_retry", NO_RETRY),
        notify=section.get("default_notify", targets, ()),
        poll_sources=sources,
        now=reading.now,
        zones=reading.zones,
    )


def _checked(root: Mapping[str, Any], path: str, reading: Reading, found: Findings) -> Mapping[str, Any]:
    """A section that others understand, if they do."""
    *above, key = path.split(".")
    holder = root[above[0]] if above else root
    value = holder.get(key) if isinstance(holder, dict) else None
    if value is None:
        return {}
    section = Section(value, path, found)
    _check(value, path, path, reading, found)
    return section.values


def _check(value: object, path: str, rule: str, reading: Reading, found: Findings) -> None:
    check = reading.checks.get(rule)
    if check is None or not isinstance(value, dict):
        return
    try:
        for sentence in check(value):
            found.odd(path, sentence)
    except ValueError as error:
        found.wrong(path, str(error))


def _look_for_untold(
    section: Section, shared: Shared, jobs: Mapping[str, JobSpec], notifications: object, reading: Reading
) -> None:
    """A notice that can't be sent is told where it is asked for, not when somebody waits for it in vain."""
    asked = {f"{section.path}.default_notify": shared.notify}
    for number, spec in enumerate(jobs.values()):
        # Of the default is told once, not for each job that has it.
        if spec.notify is not shared.notify:
            asked[f"{section.path}.jobs[{number}].notify"] = spec.notify
    every = tuple(dict.fromkeys(target for some in asked.values() for target in some))
    if reading.untold is None or not every:
        return
    try:
        why = reading.untold(notifications, every)
    except ValueError:
        # The section itself is wrong, which has been noted.
        return
    for path, some in asked.items():
        for target in some:
            if target in why:
                # A webhook in the place of a channel would be shown.
                section.found.odd(path, f"nobody is told: {redact(why[target])}")


def _poll_sources(section: Section, reading: Reading) -> Mapping[str, Mapping[str, Any]]:
    if "poll_sources" not in section:
        return {}
    sources = section.part("poll_sources")
    for name, value in sources.values.items():
        path = f"{sources.path}.{name}"
        Section(value, path, section.found)
        _check(value, path, "schedules.poll_sources.*", reading, section.found)
    return sources.values


def _jobs(section: Section, shared: Shared, reading: Reading) -> Mapping[str, JobSpec]:
    listed = section.get("jobs", _list, ())
    if len(listed) > MOST_JOBS:
        section.wrong("jobs", f"are {len(listed)} jobs: at most {MOST_JOBS} are allowed")
        return {}
    jobs: dict[str, JobSpec] = {}
    places: dict[str, str] = {}
    odd = _Surprises(reading.now)
    for number, value in enumerate(listed):
        one = Section(value, f"{section.path}.jobs[{number}]", section.found)
        spec = read_job(one, shared) if isinstance(value, dict) else None
        name = value.get("name") if isinstance(value, dict) else None
        if not isinstance(name, str):
            continue
        if name in places:
            one.wrong("name", f"{shown(name)} is the name of {places[name]} already")
        places.setdefault(name, one.path)
        if spec is not None:
            for sentence in odd(spec.job.schedule):
                section.found.odd(one.path, sentence)
            jobs.setdefault(name, _validated(spec, one, reading.validate))
    return jobs


class _Surprises:
    """What may surprise in a schedule, found out once for each that is written alike."""

    def __init__(self, now: datetime) -> None:
        self._now = now
        self._known: dict[ScheduleText, tuple[str, ...]] = {}

    def __call__(self, schedule: Schedule) -> tuple[str, ...]:
        if schedule.given not in self._known:
            self._known[schedule.given] = surprises(schedule, self._now)
        return self._known[schedule.given]


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise ValueError(f"must be a list in brackets, not {shown(value)}")
    return value


def _validated(spec: JobSpec, section: Section, validate: Validator | None) -> JobSpec:
    """With what is wrong with its inputs; what is only odd is noted."""
    if validate is None or spec.job.target.kind != "skill":
        return spec
    problems: list[str] = []
    try:
        findings = validate(spec.skill, spec.inputs, spec.mode)
    except ValueError as error:
        findings = [("error", str(error))]
    for severity, sentence in findings:
        if severity == "error":
            problems.append(sentence)
        else:
            section.found.odd(f"{section.path}.inputs", sentence)
    return replace(spec, problems=tuple(problems))

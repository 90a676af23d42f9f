"""``wakeful import config``: the config file of the daemon that we stand in for becomes one of this daemon's."""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cyclopts import App, Parameter

from wakeful.core.errors import ErrorCode, WakefulError
from wakeful.faces.cli import text
from wakeful.faces.cli.calls import OK, loop, told
from wakeful.faces.cli.cron_doors import CronDoors
from wakeful.faces.cli.cron_options import CRON, CronOptions
from wakeful.faces.cli.importing_config import Weekdays, our_schedules
from wakeful.faces.cli.importing_report import WISHES, FileArgument, Report, Wishes, read_text

FILE_LIMIT = 4 * 1024 * 1024
_PLACE = re.compile(r"schedules\.(jobs\[([0-9]+)\]|poll_sources\.([^.:]+))")
# One bad poll source may take its jobs along, and no more follows.
_MOST_LOOKS = 4


@Parameter(name="*")
@dataclass(frozen=True, slots=True)
class ConfigOptions:
    """How the file is read, and where it goes."""

    weekdays: Weekdays | None = None
    """What numbers of weekdays mean in it. apscheduler: 0 is Monday, as they were run; cron: 0 is Sunday."""
    output: str | None = None
    """The config file to write; the daemon's without it. Its other sections stay."""


CONFIG = ConfigOptions()


def add_to(app: App, cron: CronDoors) -> None:
    """Adds the command."""

    @app.command
    def config(
        file: FileArgument,
        /,
        *,
        reading: ConfigOptions = CONFIG,
        wishes: Wishes = WISHES,
        options: CronOptions = CRON,
    ) -> int:
        """Take over the config.json of the APScheduler-based daemon: its section schedules, in this daemon's words."""
        return told(lambda: _import(cron, (file, reading, wishes), options))


def _import(cron: CronDoors, asked: tuple[str, ConfigOptions, Wishes], options: CronOptions) -> int:
    from wakeful.faces.cli.importing_files import ConfigEdit  # noqa: PLC0415 - few commands need it

    file, reading, wishes = asked
    report = Report()
    ours = our_schedules(_schedules(read_text(file, FILE_LIMIT)), reading.weekdays, report)

    def check(content: bytes) -> None:
        for warning in cron.read(options, content).warnings:
            report.note(warning)

    ours = _usable(ours, check, report)
    if wishes.dry_run:
        print(text.as_json({"schedules": ours}))
    report.tell()
    report.check(wishes)
    path = Path(reading.output).expanduser().absolute() if reading.output else cron.files(options).config
    edit = ConfigEdit(
        path, lambda root: {"schedules": _put(root, ours, wishes)}, lambda content: cron.read(options, content)
    )
    changed = loop(edit.apply(dry_run=wishes.dry_run))
    done = f"would be written to {path}" if wishes.dry_run else f"are in {path}"
    print(text.printable(f"{len(ours['jobs'])} jobs {done}" + ("" if changed else ", as they were")))
    return OK


def _schedules(content: str) -> Mapping[str, Any]:
    try:
        root = json.loads(content)
    except json.JSONDecodeError as error:
        raise _wrong(f"line {error.lineno} is no JSON: {error.msg}") from None
    except RecursionError:
        raise _wrong("it is nested too deeply") from None
    section = root.get("schedules") if isinstance(root, dict) else None
    if not isinstance(section, dict):
        raise _wrong('it has no section "schedules": is it the config.json of a cron daemon?')
    if not isinstance(section.get("jobs", []), list):
        raise _wrong("schedules.jobs must be a list")
    return section


def _usable(ours: dict[str, Any], check: Callable[[bytes], None], report: Report) -> dict[str, Any]:
    """What is left when all that the daemon could not use is out; that is bad, in the report."""
    flagged = {int(found[2]) for sentence in report.bad if (found := _PLACE.match(sentence)) and found[2]}
    sources = dict(ours["poll_sources"]) if isinstance(ours.get("poll_sources"), Mapping) else {}
    # Numbers are those of the file that is read: the jobs keep theirs while others go.
    jobs = {number: job for number, job in enumerate(ours.get("jobs") or []) if number not in flagged}
    for _ in range(_MOST_LOOKS):
        left = {**ours, "jobs": list(jobs.values())}
        if sources or isinstance(ours.get("poll_sources"), Mapping):
            left["poll_sources"] = sources
        problems = _problems(left, check)
        if not problems:
            return left
        numbers = list(jobs)
        for problem in problems:
            place = _PLACE.match(problem)
            if place is None:
                raise _wrong(f"a daemon could not use it: {problem}")
            if place[2] is None:
                report.bad.append(problem)
                sources.pop(place[3], None)
                continue
            number = numbers[int(place[2])]
            jobs.pop(number, None)
            report.bad.append(problem.replace(place[0], f"schedules.jobs[{number}]", 1))
    raise _wrong("too much of it is wrong: mend what is named above first")


def _problems(schedules: Mapping[str, Any], check: Callable[[bytes], None]) -> tuple[str, ...]:
    from wakeful.faces.cron.config_file import ConfigFileError  # noqa: PLC0415 - few commands need it

    try:
        check(json.dumps({"schedules": schedules}, ensure_ascii=False).encode())
    except ConfigFileError as error:
        return error.problems
    except UnicodeEncodeError:
        raise _wrong("it has half a character in it, by an escape such as \\ud800") from None
    return ()


def _put(root: Mapping[str, Any], ours: Mapping[str, Any], wishes: Wishes) -> Mapping[str, Any]:
    there = root.get("schedules")
    if there is not None and there != ours and not wishes.replace:
        raise WakefulError(
            ErrorCode.JOB_EXISTS, "nothing was written: the config file has other schedules already; use --replace"
        )
    return ours


def _wrong(why: str) -> WakefulError:
    return WakefulError(ErrorCode.INVALID_JOB, f"the file can't be taken over: {why}")

"""``wakeful import crontab``: a crontab's commands go to the cron daemon, as jobs in its config file."""

import os
import pwd
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, Parameter

from wakeful.core.errors import ErrorCode, WakefulError
from wakeful.core.schedule import ScheduleText, parse_schedule
from wakeful.faces.cli import given, text
from wakeful.faces.cli.calls import OK, loop, told
from wakeful.faces.cli.cron_options import CRON, CronOptions
from wakeful.faces.cli.doors import Doors
from wakeful.faces.cli.importing_crontab import FILE_LIMIT, Entry, read_crontab
from wakeful.faces.cli.importing_crontab_jobs import TIMEOUT_S, CrontabJob, crontab_jobs
from wakeful.faces.cli.importing_report import WISHES, FileArgument, Report, Wishes, read_text, refuse_taken

_NOTES = (
    "one run of a job at a time, and of what passes while the machine is off or asleep, the latest is made up for; "
    "cron did neither (max_instances, misfire_grace_time)",
    f"a command that has not ended after {TIMEOUT_S} seconds is ended (timeout_seconds); cron let it be",
)
_LOCAL = Path("/etc/localtime")


@Parameter(name="*")
@dataclass(frozen=True, slots=True)
class CrontabOptions:
    """How the crontab is to be read."""

    system_format: Annotated[bool, Parameter(negative="--user-format")] = False
    """The lines name a user, as in /etc/crontab; else they do not, as in what `crontab -l` prints."""
    zone: str | None = None
    """The zone of its times, where it has no CRON_TZ; this machine's without it."""


CRONTAB = CrontabOptions()


def add_to(app: App, doors: Doors) -> None:
    """Adds the command."""

    @app.command
    def crontab(
        file: FileArgument,
        /,
        *,
        reading: CrontabOptions = CRONTAB,
        wishes: Wishes = WISHES,
        options: CronOptions = CRON,
    ) -> int:
        """Take over a crontab: each command becomes a job of the cron daemon, with a script that runs it by a shell.

        Names are made of the commands, so that the same crontab can be imported again.
        """
        return told(lambda: _import(doors, (file, reading, wishes), options))


def _import(doors: Doors, asked: tuple[str, CrontabOptions, Wishes], options: CronOptions) -> int:
    from wakeful.faces.cli.importing_files import ConfigEdit  # noqa: PLC0415 - few commands need it

    cron, (file, reading, wishes) = doors.cron, asked
    zone, now, report = _zone(doors, reading.zone), doors.now(), Report()
    entries = read_crontab(read_text(file, FILE_LIMIT), report, system=reading.system_format)
    jobs = crontab_jobs([each for each in entries if _fits(doors, each, (zone, now), report)], zone)
    files = cron.files(options)
    scripts = _Scripts(files.scripts, jobs, wishes)
    _tell(jobs, report, scripts if wishes.dry_run else None)
    report.check(wishes)
    scripts.check()
    edit = ConfigEdit(
        files.config,
        lambda root: {"schedules": _with_jobs(root.get("schedules"), jobs, wishes)},
        lambda content: cron.read(options, content),
        scripts.write,
    )
    changed = loop(edit.apply(dry_run=wishes.dry_run))
    done = "would be written to" if wishes.dry_run else "are in"
    print(text.printable(f"{len(jobs)} jobs {done} {files.config}" + ("" if changed else ", as they were")))
    return OK


def _zone(doors: Doors, asked: str | None) -> str:
    """The zone of a crontab that names none."""
    if asked is not None:
        if doors.zone(asked) is None:
            raise given.wrong("--zone", asked, "an IANA name such as Europe/Rome is needed")
        return asked
    name = os.environ.get("TZ", "").removeprefix(":") or str(_LOCAL.resolve()).rpartition("zoneinfo/")[2]
    if doors.zone(name) is None:
        why = f"this machine's zone has no name that is known ({name!r:.60}): say by --zone in which zone the times are"
        raise WakefulError(ErrorCode.INVALID_JOB, why)
    return name


def _fits(doors: Doors, entry: Entry, when: tuple[str, datetime], report: Report) -> bool:
    """Whether the daemon can do it; what is wrong is in the report."""
    zone, now = when
    user = pwd.getpwuid(os.getuid()).pw_name
    try:
        if entry.user not in (None, user):
            raise ValueError(f"it runs as {entry.user!r:.40}, and this daemon runs everything as {user!r:.40}")
        parse_schedule(ScheduleText(entry.schedule, zone=entry.zone or zone), "crontab", now, doors.zone)
    except (ValueError, WakefulError) as error:
        report.bad.append(f"line {entry.line}: {error}")
        return False
    return True


def _with_jobs(schedules: Any, jobs: Sequence[CrontabJob], wishes: Wishes) -> Mapping[str, Any]:
    """The section with these jobs: those that are there keep their places."""
    section = {} if schedules is None else schedules
    listed = (section.get("jobs") or []) if isinstance(section, Mapping) else None
    if not isinstance(listed, list):
        raise WakefulError(ErrorCode.INVALID_JOB, "schedules.jobs of the config file is no list: mend that first")
    wanted = {each.name: dict(each.job) for each in jobs}
    there = {str(each.get("name")): each for each in listed if isinstance(each, Mapping)}
    if not wishes.replace:
        refuse_taken([name for name, job in wanted.items() if there.get(name, job) != job], "the config file")
    kept = [wanted.get(str(each.get("name")), each) if isinstance(each, Mapping) else each for each in listed]
    return {**section, "jobs": kept + [job for name, job in wanted.items() if name not in there]}


@dataclass(frozen=True, slots=True)
class _Scripts:
    """The scripts of the jobs, in their folder."""

    folder: Path
    jobs: Sequence[CrontabJob]
    wishes: Wishes

    def check(self) -> None:
        """Raises ``WakefulError`` where a script is there that somebody has edited, unless it is to be replaced."""
        if not self.wishes.replace:
            edited = [job.script for job in self.jobs if self._there(job) not in (None, job.content)]
            refuse_taken(edited, str(self.folder))

    def write(self) -> None:
        """Writes those that are not there yet."""
        from wakeful.files import write  # noqa: PLC0415 - few commands need it

        for job in self.jobs:
            if self._there(job) != job.content:
                write(self.folder / job.script, job.content.encode())

    def show(self) -> None:
        """Prints what would be written."""
        for job in self.jobs:
            print(text.as_json(job.job))
            print(text.printable(f"── {self.folder / job.script}"))
            print("\n".join(text.printable(line) for line in job.content.splitlines()))

    def _there(self, job: CrontabJob) -> str | None:
        path = self.folder / job.script
        try:
            return path.read_text(encoding="utf-8", errors="replace")
        except FileNotFoundError:
            return None
        except OSError as error:
            raise WakefulError(ErrorCode.INVALID_JOB, f"can't read {path}: {error.strerror}") from None


def _tell(jobs: Sequence[CrontabJob], report: Report, shown: _Scripts | None) -> None:
    rows = [
        (str(each.entry.line), each.name, each.entry.schedule, each.job["timezone"], each.entry.command)
        for each in jobs
    ]
    print(text.table(("LINE", "NAME", "SCHEDULE", "ZONE", "COMMAND"), rows, "No commands."))
    if shown is not None:
        shown.show()
    for sentence in _NOTES if jobs else ():
        report.note(sentence)
    report.tell()

"""A crontab's commands as jobs of the cron daemon: each with a script that runs it as cron did. Pure."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

from wakeful.faces.cli.importing_crontab import Entry

FOLDER = "crontab"
# cron knew no time-out; a day is long enough for what is meant to end.
TIMEOUT_S = 86_400
_WORD = re.compile(r"[^A-Za-z0-9]+")
_DESCRIPTION = 300
_SCRIPT = '''\
"""YOUR OWN COMMAND, FROM YOUR CRONTAB: a shell runs it, exactly as cron did.

`wakeful import crontab` made this file for the job {name}. The daemon itself starts no shell: this script does, since
a crontab line is written for one. Nobody else reads or changes the file; edit it as you like.
"""

import os

COMMAND = {command!r}
# What the command reads: in the crontab, what stood behind its first percent sign.
INPUT = {stdin!r}
# What cron set, and then the crontab.
ENVIRONMENT = {environment!r}

environment = {{**os.environ, **ENVIRONMENT}}
os.chdir(environment.get("HOME") or os.path.expanduser("~"))
reading, writing = os.pipe()
os.dup2(reading, 0)
os.close(reading)
os.write(writing, INPUT.encode())
os.close(writing)
shell = ENVIRONMENT["SHELL"]
os.execve(shell, [shell, "-c", COMMAND], environment)
'''


@dataclass(frozen=True, slots=True)
class CrontabJob:
    """A job for ``schedules.jobs``, and its script: a path inside the scripts folder, and the content."""

    entry: Entry
    job: Mapping[str, Any]
    script: str
    content: str

    @property
    def name(self) -> str:
        """The job's name."""
        return str(self.job["name"])


def crontab_jobs(entries: Sequence[Entry], zone: str) -> list[CrontabJob]:
    """A job for each entry, in ``zone`` where it names none.

    A name is made of the command alone: who imports a crontab again finds the jobs of before.
    """
    seen: dict[str, int] = {}
    jobs: list[CrontabJob] = []
    for entry in entries:
        name = _name(entry)
        seen[name] = seen.get(name, 0) + 1
        jobs.append(_job(entry, name if seen[name] == 1 else f"{name}-{seen[name]}", zone))
    return jobs


def _name(entry: Entry) -> str:
    program = entry.command.split()[0].rpartition("/")[2]
    word = _WORD.sub("-", program).strip("-").lower()[:32] or "command"
    digest = blake2b(f"{entry.command}\0{entry.stdin}".encode(), digest_size=3).hexdigest()
    return f"{word}-{digest}"


def _job(entry: Entry, name: str, zone: str) -> CrontabJob:
    environment = {"SHELL": "/bin/sh", "PATH": "/usr/bin:/bin", **entry.environment}
    script = f"{FOLDER}/{name}.py"
    job: dict[str, Any] = {
        "name": name,
        "description": _described(entry.comment or entry.command),
        "cron": entry.schedule,
        "timezone": entry.zone or zone,
        "execution_mode": "python_script",
        "script": script,
        "timeout_seconds": TIMEOUT_S,
        "retry": False,
    }
    if entry.delay_min:
        job["jitter_seconds"] = entry.delay_min * 60
    content = _SCRIPT.format(name=name, command=entry.command, stdin=entry.stdin, environment=environment)
    return CrontabJob(entry, job, script, content)


def _described(text: str) -> str:
    shown = "".join(character if character.isprintable() else " " for character in text).strip()
    return shown if len(shown) <= _DESCRIPTION else shown[:_DESCRIPTION] + "…"

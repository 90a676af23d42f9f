"""A crontab's lines, as crontab(5) of Vixie cron and its heirs has them. Pure."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from wakeful.faces.cli.importing_report import Report

FILE_LIMIT = 256 * 1024
LINE_LIMIT = 8 * 1024
MOST = 1_000

_QUOTED = r"""(?:"([^"]*)"|'([^']*)'|([A-Za-z_][A-Za-z0-9_]*))"""
_SETTING = re.compile(rf"\s*{_QUOTED}\s*=(.*)")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_ENTRY = re.compile(r"\s*(@\S+|(?:\S+\s+){4}\S+)(?:\s+(.*))?", re.DOTALL)
_USER = re.compile(r"(\S+)(?:\s+(.*))?", re.DOTALL)
# What FreeBSD's cron adds to the macros; the others are known as they are.
_MACROS = {"@every_minute": "* * * * *"}
_MAIL = ("MAILTO", "MAILFROM", "CONTENT_TYPE", "CONTENT_TRANSFER_ENCODING")
# cron sets these itself, whatever a crontab says.
_OWN = ("LOGNAME", "USER")
_LONGEST_DELAY_MIN = 24 * 60


@dataclass(frozen=True, slots=True)
class Entry:
    """A command and when it runs; ``stdin`` is what it reads, ``environment`` what stood above it.

    ``zone`` is that of its CRON_TZ; it begins up to ``delay_min`` minutes late; ``comment`` stood in the line above.
    """

    line: int
    schedule: str
    command: str
    stdin: str = ""
    user: str | None = None
    zone: str | None = None
    delay_min: int = 0
    comment: str | None = None
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class _Above:
    """What the lines so far have said about those that follow."""

    environment: dict[str, str] = field(default_factory=dict)
    zone: str | None = None
    delay_min: int = 0
    comment: str | None = None


def read_crontab(text: str, report: Report, *, system: bool) -> list[Entry]:
    """The entries of a crontab; with ``system``, each names its user. What is wrong is in the report."""
    above, entries = _Above(), list[Entry]()
    for number, line in enumerate(text.replace("\r\n", "\n").split("\n"), 1):
        stripped = line.strip()
        if not stripped or stripped.startswith("#"):
            above.comment = stripped.lstrip("#").strip() or None
            continue
        try:
            if len(line.encode()) > LINE_LIMIT:
                raise ValueError(f"it is longer than {LINE_LIMIT} bytes")
            if "\0" in line:
                raise ValueError("it has a NUL in it")
            if not _set(line, above, report):
                if len(entries) == MOST:
                    report.bad.append(f"line {number} and what follows: more than {MOST} commands")
                    break
                entries.append(_entry(number, line, above, report, system=system))
        except ValueError as error:
            report.bad.append(f"line {number}: {error}")
        above.comment = None
    return entries


def _set(line: str, above: _Above, report: Report) -> bool:
    """Whether the line sets something for those that follow, which is noted then."""
    match = _SETTING.fullmatch(line)
    if match is None:
        return False
    name = next(part for part in match.groups()[:3] if part is not None)
    value = _unquoted(match[4].strip())
    if not _VARIABLE.fullmatch(name):
        raise ValueError(f"{name!r:.60} is no name of a variable")
    if name in _MAIL:
        report.note(f"{name} is not taken over: what a command prints is in its run's history and log; see notify")
    elif name == "CRON_TZ":
        above.zone = value or None
    elif name == "RANDOM_DELAY":
        above.delay_min = _minutes(value)
    elif name not in _OWN:
        above.environment = {**above.environment, name: value}
    return True


def _unquoted(value: str) -> str:
    quoted = len(value) > 1 and value[0] == value[-1] and value[0] in "\"'"
    return value[1:-1] if quoted else value


def _minutes(value: str) -> int:
    if not (value.isascii() and value.isdigit() and len(value) < 6 and int(value) <= _LONGEST_DELAY_MIN):
        raise ValueError(f"RANDOM_DELAY must be a number of minutes up to {_LONGEST_DELAY_MIN}, not {value!r:.60}")
    return int(value)


def _entry(number: int, line: str, above: _Above, report: Report, *, system: bool) -> Entry:
    match = _ENTRY.fullmatch(line)
    if match is None:
        raise ValueError("it is no command with its time: minute, hour, day, month, weekday and command are needed")
    schedule, rest, user = " ".join(match[1].split()), match[2] or "", None
    if schedule == "@reboot":
        raise ValueError("@reboot is no time: let a unit of systemd's user manager run it (WantedBy=default.target)")
    if schedule.startswith("-"):
        schedule = schedule[1:]
        report.note(f"line {number}: the '-' that keeps it out of the log is not taken over")
    if system:
        named = _USER.fullmatch(rest)
        user, rest = (named[1], named[2] or "") if named else (None, "")
    command, stdin = split_input(rest)
    if not command.strip():
        raise ValueError("there is no command" + (" behind the user's name" if system else ""))
    entry = Entry(number, _MACROS.get(schedule, schedule), command, stdin, user, comment=above.comment)
    return replace(entry, zone=above.zone, delay_min=above.delay_min, environment=above.environment)


def split_input(text: str) -> tuple[str, str]:
    """The command, and what it reads: all behind the first ``%``, of which the others end lines. ``\\%`` is a ``%``."""
    command, at, escaped = list[str](), 0, False
    while at < len(text) and (escaped or text[at] != "%"):
        if escaped and text[at] == "%":
            command.pop()
        command.append(text[at])
        escaped = not escaped and text[at] == "\\"
        at += 1
    return "".join(command), _input(text[at + 1 :])


def _input(text: str) -> str:
    """As cron writes it: a backslash waits for what follows it, and a last line ends, too."""
    lines, escaped = list[str](), False
    for character in text:
        if escaped and character != "%":
            lines.append("\\")
        ends = character == "%" and not escaped
        escaped = character == "\\"
        if not escaped:
            lines.append("\n" if ends else character)
    if escaped:
        lines.append("\\")
    written = "".join(lines)
    return written if written.endswith("\n") or not written else written + "\n"

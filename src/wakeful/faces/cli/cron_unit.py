"""The cron daemon as a unit of systemd's user manager: its text, and how words are written in one. Pure."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

MARK = "# Written by `wakeful cron install-service`"

_PLAIN = re.compile(r"[A-Za-z0-9_./:=@,+-]+")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_NAME = re.compile(r"[A-Za-z0-9:_.\\-]{1,240}")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")

# What the keys are for:
# - dbus.socket is the session bus, as the user manager knows it. Units of the system, such as network.target, are none
#   of the user manager's: to be ordered after them would say nothing.
# - Exit code 2 is a command line or a config folder that can't be: a restart mends neither.
# - mixed: SIGTERM goes to the daemon alone, which ends its jobs in good order; what is left at last is killed.
# - continue: a job that runs out of memory must not take the daemon along.
_TEXT = f"""\
{MARK}: run that again with --force to change it, or `systemctl --user edit`.
[Unit]
Description={{description}}
After=dbus.socket
Wants=dbus.socket
StartLimitIntervalSec=300
StartLimitBurst=5

[Service]
Type=notify
NotifyAccess=main
ExecStart={{command}}
{{environment}}Restart=on-failure
RestartSec=10
RestartPreventExitStatus=2
WatchdogSec=30
TimeoutStopSec=30
KillMode=mixed
OOMPolicy=continue
{{confinement}}
[Install]
WantedBy=default.target
"""
# Jobs get no more rights than their user has: no sudo, which nobody watches at night, and no other setuid program.
# Left out is what would keep jobs from their work: they write where the user does, and speak to what the user's other
# programs have in /tmp and /dev (ProtectHome=, ProtectSystem=, PrivateTmp=, PrivateDevices=); what runs JavaScript
# makes its code while it runs (MemoryDenyWriteExecute=); and whatever needs a user namespace here turns the owners of
# other users' files into nobody.
_CONFINEMENT = """\
NoNewPrivileges=yes
LockPersonality=yes
RestrictRealtime=yes
"""


@dataclass(frozen=True, slots=True)
class Unit:
    """What the unit starts; unless ``confined``, jobs may become another user by sudo and its like."""

    program: str
    arguments: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    description: str = "Cron daemon (wakeful)"
    confined: bool = True


def unit_text(unit: Unit) -> str:
    """The unit's file.

    Raises:
        ValueError: something in it can't be written in a unit.
    """
    for name in unit.environment:
        if not _VARIABLE.fullmatch(name):
            raise ValueError(f"{name!r:.80} is no name of a variable: letters, digits and _ are allowed")
    variables = [f"Environment={word(f'{name}={value}')}\n" for name, value in unit.environment.items()]
    # The program itself is no place for variables, and so a dollar is one there.
    arguments = [word(argument).replace("$", "$$") for argument in unit.arguments]
    return _TEXT.format(
        description=unit.description.replace("%", "%%"),
        command=" ".join([word(unit.program), *arguments]),
        environment="".join(variables),
        confinement=_CONFINEMENT if unit.confined else "",
    )


def word(text: str) -> str:
    """A word as systemd reads it back: quoted where that is needed, and no specifier in it.

    Raises:
        ValueError: no unit can hold it.
    """
    if "\0" in text or any(0xD800 <= ord(character) < 0xE000 for character in text):
        raise ValueError(f"{text!r:.80} can't be written in a unit: it is no UTF-8 text, or has a NUL in it")
    if _PLAIN.fullmatch(text):
        return text
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    return '"' + _CONTROL.sub(lambda found: f"\\x{ord(found[0]):02x}", escaped) + '"'


def unit_name(given: str) -> str:
    """The file name of a service.

    Raises:
        ValueError: no service can have that name.
    """
    name = given.removesuffix(".service")
    if not _NAME.fullmatch(name) or name.startswith("."):
        raise ValueError(f"{given!r:.80} is no name of a service: letters, digits, '-', '_', '.' and ':' are allowed")
    return f"{name}.service"

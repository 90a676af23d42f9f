"""``wakeful cron install-service``: the daemon as a service of the user's own systemd."""

import difflib
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated
from urllib.parse import quote

from cyclopts import App, Parameter

from wakeful.faces.cli import text
from wakeful.faces.cli.calls import CONFLICT, FAILURE, NOT_FOUND, OK, USAGE, complain
from wakeful.faces.cli.cron_doors import CronDoors
from wakeful.faces.cli.cron_options import CRON, CronOptions
from wakeful.faces.cli.cron_unit import MARK, Unit, unit_name, unit_text

_Name = Annotated[str, Parameter(help="The name of the service.")]


@Parameter(name="*")
@dataclass(frozen=True, slots=True)
class UnitOptions:
    """What the unit is to say, and whether it is written."""

    name: str = "bot-cron"
    """The name of the service."""
    environment: Annotated[tuple[str, ...], Parameter(alias="-E", show_default=False)] = ()
    """NAME=VALUE for the daemon and its jobs, or NAME for its value here, such as PATH. It can be given several times.
    Anybody who reads the unit reads it: no place for secrets."""
    allow_privileges: bool = False
    """Let jobs use sudo, containers without root, and whatever else needs NoNewPrivileges=no."""
    print_only: Annotated[bool, Parameter(name="--print")] = False
    """Print the unit, and write nothing."""
    force: bool = False
    """Replace a unit that says something else."""


UNIT = UnitOptions()


def add_to(app: App, cron: CronDoors) -> None:
    """Adds the commands."""

    @app.command
    def install_service(*, unit: UnitOptions = UNIT, options: CronOptions = CRON) -> int:
        """Write a systemd unit of the user's that runs the daemon from login on, with these options.

        The unit names every place, as the user manager's environment may lack what this one has.
        """
        try:
            name = unit_name(unit.name)
            content = unit_text(_unit(cron, options, unit))
            path = _folder() / name
        except ValueError as error:
            return complain(f"install-service: {error}", USAGE)
        if unit.print_only:
            print(content, end="")
            return OK
        return _install(path, content, force=unit.force)

    @app.command
    def uninstall_service(*, name: _Name = "bot-cron") -> int:
        """Remove the unit that install-service wrote."""
        try:
            path = _folder() / unit_name(name)
        except ValueError as error:
            return complain(f"uninstall-service: {error}", USAGE)
        before = _content(path)
        if before is None:
            return complain(f"there is no unit {path}", NOT_FOUND)
        if not before.startswith(MARK):
            return complain(f"{path} was not written by install-service: remove it yourself", CONFLICT)
        try:
            path.unlink()
        except OSError as error:
            return complain(f"can't remove {path}: {error.strerror}", FAILURE)
        _say(f"removed {path}", [f"systemctl --user disable --now {path.name}", "systemctl --user daemon-reload"])
        return OK


def _unit(cron: CronDoors, options: CronOptions, unit: UnitOptions) -> Unit:
    program = Path(sys.executable).parent / "wakeful"
    if not os.access(program, os.X_OK):
        raise ValueError(f"there is no {program}: install wakeful where this Python is, and use it from there")
    files = cron.files(options)
    arguments = ["cron", "daemon", "--config", files.config, "--scripts", files.scripts, "--skills", files.skills]
    arguments += ["--state-dir", files.state, "--store", f"sqlite:///{quote(str(files.store))}"]
    if options.dbus is not None:
        arguments.append("--dbus" if options.dbus else "--no-dbus")
    if options.verbose:
        arguments.append("--verbose")
    environment = dict(_variable(given) for given in unit.environment)
    confined = not unit.allow_privileges
    return Unit(str(program), [str(each) for each in arguments], environment, confined=confined)


def _variable(given: str) -> tuple[str, str]:
    name, equals, value = given.partition("=")
    if equals:
        return name, value
    if name not in os.environ:
        raise ValueError(f"--environment {name!r:.80}: there is no such variable here; write {name:.40}=VALUE")
    return name, os.environ[name]


def _folder() -> Path:
    base = os.environ.get("XDG_CONFIG_HOME", "")
    # The specification of these variables: what is not absolute is to be ignored.
    return (Path(base) if base.startswith("/") else Path.home() / ".config") / "systemd" / "user"


def _content(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return None


def _install(path: Path, content: str, *, force: bool) -> int:
    from wakeful.files import write  # noqa: PLC0415 - few commands need it

    try:
        before = _content(path)
        if before == content:
            print(text.printable(f"{path} says so already"))
            return OK
        if before is not None and not force:
            print(_difference(path, before, content))
            return complain(f"{path} says something else, as shown above: use --force to replace it", CONFLICT)
        write(path, content.encode())
    except OSError as error:
        return complain(f"can't write {path}: {error.strerror}", FAILURE)
    service = path.name.removesuffix(".service")
    commands = (
        "systemctl --user daemon-reload",
        f"systemctl --user enable --now {service}",
        f"systemctl --user status {service}",
        f"journalctl --user -u {service} -f",
        "loginctl enable-linger    # only if it is to run while nobody is logged in, too",
    )
    _say(f"wrote {path}", commands)
    return OK


def _difference(path: Path, before: str, after: str) -> str:
    lines = difflib.unified_diff(before.splitlines(), after.splitlines(), str(path), "what would be written", "", "")
    return "\n".join(text.printable(line.rstrip("\n")) for line in lines)


def _say(done: str, commands: Sequence[str]) -> None:
    print(text.printable(done))
    print("next:")
    for command in commands:
        print(text.printable(f"  {command}"))

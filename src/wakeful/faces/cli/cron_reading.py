"""The daemon's config file as the commands read it."""

from datetime import UTC, tzinfo
from typing import TYPE_CHECKING

from wakeful.faces.cli.cron_doors import CronDoors
from wakeful.faces.cli.cron_options import CronOptions
from wakeful.faces.cli.doors import Doors

if TYPE_CHECKING:
    from wakeful.faces.cron.config_file import CronConfig


def config_in_use(cron: CronDoors, options: CronOptions) -> "CronConfig":
    """What the config file says now.

    Raises:
        ValueError: it can't be read, or a daemon could not use it.
    """
    from wakeful.faces.cron.config_file import FILE_LIMIT  # noqa: PLC0415 - few commands need them
    from wakeful.faces.cron.files import look  # noqa: PLC0415

    path = cron.files(options).config
    seen = look(path, FILE_LIMIT)
    if seen.content is None:
        raise ValueError(seen.problem)
    try:
        return cron.read(options, seen.content)
    except ValueError as error:
        raise ValueError(f"{path} can't be used: {error}") from error


def zone_of(doors: Doors, cron: CronDoors, options: CronOptions) -> tzinfo:
    """The zone of the config file; UTC where it can't be used."""
    try:
        name = config_in_use(cron, options).timezone
    except ValueError:
        return UTC
    return doors.zone(name) or UTC

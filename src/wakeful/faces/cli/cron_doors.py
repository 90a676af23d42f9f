"""What main lends the commands about the cron daemon."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from wakeful.faces.cli.cron_options import CronOptions

if TYPE_CHECKING:
    from wakeful.faces.cron.config_file import CronConfig


class CronFiles(Protocol):
    """Where a daemon's files are: every path absolute, the defaults filled in."""

    @property
    def config(self) -> Path: ...
    @property
    def scripts(self) -> Path: ...
    @property
    def skills(self) -> Path: ...
    @property
    def state(self) -> Path: ...
    @property
    def store(self) -> Path: ...


@dataclass(frozen=True, slots=True)
class CronDoors:
    """A daemon, and the one that runs.

    ``serve`` runs one in the foreground until it is told to stop; ``running`` is the process that holds the config
    file's lock. ``call`` asks that very process for a method of its D-Bus interface, or for a handler behind
    ``CallMethod``: ``None`` where nobody can be asked, and a refusal is ``{"success": False, "error": …}``. ``run_job``
    prints what came of a run, and gives the exit code; ``listing`` gives the jobs as ``CronDaemon.list_jobs`` does, and
    runs none. ``read`` is what a daemon would make of a config file; it raises ``ConfigFileError``.
    """

    files: Callable[[CronOptions], CronFiles]
    read: Callable[[CronOptions, bytes], "CronConfig"]
    serve: Callable[[CronOptions], Awaitable[int]]
    running: Callable[[CronOptions], int | None]
    call: Callable[[CronOptions, str, Sequence[object]], Awaitable[Any]]
    run_job: Callable[[CronOptions, str], Awaitable[int]]
    listing: Callable[[CronOptions], Awaitable[Sequence[Mapping[str, Any]]]]

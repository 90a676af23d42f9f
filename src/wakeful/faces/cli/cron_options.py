"""The options of ``wakeful cron``: where a daemon's files are, and what may be asked instead of starting one."""

from dataclasses import dataclass
from typing import Annotated

from cyclopts import Group, Parameter

_ASKING = Group("Instead of starting a daemon", sort_key=1)


@Parameter(name="*")
@dataclass(frozen=True, slots=True)
class CronOptions:
    """Whose daemon it is, and how it is reached. One daemon at a time has a config file."""

    config: str | None = None
    """The file with the jobs; config.json of the state folder without it."""
    scripts: str | None = None
    """The folder of the scripts that jobs may run; scripts/ of the state folder without it."""
    skills: str | None = None
    """The folder of the skills; skills/ of the state folder without it."""
    state_dir: str | None = None
    """The folder of what the daemon keeps beside its store; ~/.config/aa-workflow without it."""
    store: str | None = None
    """sqlite:///file.db (four slashes: an absolute path). Without it, a file in the user's state folder."""
    dbus: Annotated[bool | None, Parameter(negative="--no-dbus", show_default=False)] = None
    """Whether there must be a session bus, or none is used. With neither, it is used if there is one."""
    verbose: Annotated[bool, Parameter(alias="-v")] = False
    """Log all that the logger `wakeful` has to say: what `cron_daemon` and `apscheduler` at DEBUG were elsewhere."""


@Parameter(name="*", group=_ASKING)
@dataclass(frozen=True, slots=True)
class CronActions:
    """What is asked; one of these at a time."""

    status: bool = False
    """Is it well? Exit code 0: yes; 1: no, or it does not run; 5: it runs, and can't be asked."""
    stop: bool = False
    """End the one that runs, and wait for its end."""
    list_jobs: bool = False
    """List the jobs."""
    run_job: Annotated[str | None, Parameter(name="--run-job")] = None
    """Run this job once, by the daemon that runs or else here. The exit code is the job's."""
    json: bool = False
    """Print JSON."""

    @property
    def asked(self) -> tuple[str, ...]:
        """The flags that were given, without ``--json``."""
        given = {
            "--status": self.status,
            "--stop": self.stop,
            "--list-jobs": self.list_jobs,
            "--run-job": self.run_job is not None,
        }
        return tuple(flag for flag, asked in given.items() if asked)


CRON, NO_ACTION = CronOptions(), CronActions()

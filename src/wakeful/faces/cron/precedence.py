"""Whether a job may run by itself, and which switch says so: the file's, or one that somebody set since."""

from collections.abc import Mapping

from wakeful.faces.cron.config_file import CronConfig
from wakeful.faces.cron.switches import SCHEDULER, Switch, Switches


def scheduler_on(config: CronConfig, switches: Switches) -> tuple[bool, str]:
    """Whether the whole scheduler is on, and which switch says so."""
    switch = switches.scheduler
    if switch is not None and switch.over(config.enabled):
        return switch.enabled, "services.scheduler.enabled in state.json"
    return config.enabled, "schedules.enabled in the config file"


def job_on(config: CronConfig, switches: Switches, name: str) -> tuple[bool, str]:
    """Whether a job of the file is on, and which switch says so."""
    configured, switch = config.jobs[name].enabled, switches.jobs.get(name)
    if switch is not None and switch.over(configured):
        return switch.enabled, "its switch in state.json"
    return configured, "enabled in the config file"


def held_by(config: CronConfig, switches: Switches, name: str) -> str | None:
    """Why a job of the file does not run by itself, in a few words; ``None`` if it does."""
    on, switch = scheduler_on(config, switches)
    if not on:
        return f"the scheduler is off: {switch}"
    on, switch = job_on(config, switches, name)
    if not on:
        return f"the job is off: {switch}"
    problems = config.jobs[name].problems
    return f"its inputs are wrong: {problems[0]:.200}" if problems else None


def settled_switches(config: CronConfig, switches: Switches) -> Mapping[tuple[str, str], Switch | None]:
    """The switches to be written otherwise: away with what the file overruled; the others know what the file says."""
    known = [
        (("jobs", name), switch, config.jobs[name].enabled)
        for name, switch in switches.jobs.items()
        if name in config.jobs
    ]
    if switches.scheduler is not None:
        known.append((("services", SCHEDULER), switches.scheduler, config.enabled))
    changes: dict[tuple[str, str], Switch | None] = {}
    for place, switch, configured in known:
        if not switch.over(configured):
            changes[place] = None
        elif switch.base is None:
            changes[place] = Switch(switch.enabled, configured)
    return changes

"""``wakeful cron``: the cron daemon, and what may be asked of the one that runs."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from cyclopts import App, Group, Parameter
from cyclopts.validators import Number

from wakeful.faces.cli import cron_service, cron_views
from wakeful.faces.cli.calls import FAILURE, NOT_FOUND, OK, UNREACHABLE, USAGE, answer, call, complain, loop, told
from wakeful.faces.cli.cron_doors import CronDoors
from wakeful.faces.cli.cron_options import CRON, NO_ACTION, CronActions, CronOptions
from wakeful.faces.cli.cron_reading import config_in_use, zone_of
from wakeful.faces.cli.cron_stopping import stop_daemon
from wakeful.faces.cli.doors import Doors
from wakeful.scheduler import Scheduler

_Json = Annotated[bool, Parameter(help="Print JSON.")]
_Name = Annotated[str, Parameter(help="The job's name.")]


def commands(doors: Doors) -> App:
    """The commands about the cron daemon."""
    cron = doors.cron
    app = App(
        name="cron",
        help="Run the cron daemon: skills and scripts, on time, from a config file that is watched.",
        group_parameters=Group("Options"),
    )
    _add_daemon(app, cron)
    _add_looking(app, doors, cron)
    _add_steering(app, doors, cron)
    cron_service.add_to(app, cron)
    return app


def _add_daemon(app: App, cron: CronDoors) -> None:
    @app.command
    def daemon(*, options: CronOptions = CRON, action: CronActions = NO_ACTION) -> int:
        """Run the cron daemon in the foreground until SIGTERM; or, by a flag, ask the one that runs."""
        if len(action.asked) > 1:
            return complain(f"cron daemon: {' and '.join(action.asked)} are two wishes: leave out one", USAGE)
        if action.status:
            return told(lambda: _status(cron, options, action.json))
        if action.stop:
            return told(lambda: loop(stop_daemon(cron, options)))
        if action.list_jobs:
            return told(lambda: _list(cron, options, action.json))
        if action.run_job is not None:
            return _run(cron, options, action.run_job)
        return loop(cron.serve(options))


def _add_looking(app: App, doors: Doors, cron: CronDoors) -> None:
    @app.command(name="list")
    def list_jobs(*, options: CronOptions = CRON, json: _Json = False) -> int:
        """List the jobs: whether each is on, and why; when it runs next, and what came last."""
        return told(lambda: _list(cron, options, json))

    @app.command
    def status(*, options: CronOptions = CRON, json: _Json = False) -> int:
        """Tell whether the daemon is well. Exit code 0: yes; 1: no, or it does not run; 5: it can't be asked."""
        return told(lambda: _status(cron, options, json))

    @app.command
    def history(
        *,
        limit: Annotated[int, Parameter(validator=Number(gte=1, lte=1_000), help="The most to list.")] = 20,
        options: CronOptions = CRON,
        json: _Json = False,
    ) -> int:
        """List what ran, newest first. It is read from the store: no daemon has to run."""
        from wakeful.faces.cron.history import HistoryReader  # noqa: PLC0415 - few commands need it

        files = cron.files(options)
        zone = zone_of(doors, cron, options)

        async def listed(scheduler: Scheduler) -> int:
            rows = await HistoryReader(scheduler, f"file/{files.config}", lambda: zone).read(limit)
            return answer(json, rows, cron_views.history_table(rows))

        return call(doors, options.store, listed)


def _add_steering(app: App, doors: Doors, cron: CronDoors) -> None:
    @app.command
    def stop(*, options: CronOptions = CRON) -> int:
        """End the daemon that runs, and wait for its end."""
        return told(lambda: loop(stop_daemon(cron, options)))

    @app.command
    def run(name: _Name, /, *, options: CronOptions = CRON) -> int:
        """Run a job once, now, by the daemon that runs or else here. The exit code is the job's."""
        return _run(cron, options, name)

    @app.command
    def toggle(
        name: _Name,
        wish: Annotated[Literal["on", "off", "reset"], Parameter(help="reset: the config file decides again.")],
        /,
        *,
        options: CronOptions = CRON,
        json: _Json = False,
    ) -> int:
        """Switch a job on or off, over what the config file says."""
        return told(lambda: loop(_toggle(doors, cron, options, (name, wish), json=json)))


def _list(cron: CronDoors, options: CronOptions, json: bool) -> int:
    rows = loop(cron.listing(options))
    return answer(json, rows, cron_views.job_table(rows))


def _run(cron: CronDoors, options: CronOptions, name: str) -> int:
    return loop(cron.run_job(options, name))


def _status(cron: CronDoors, options: CronOptions, json: bool) -> int:
    pid = cron.running(options)
    if pid is None:
        where = cron.files(options).config
        answer(json, {"running": False, "healthy": False}, cron_views.plain(f"no daemon of {where} runs"))
        return FAILURE
    health = loop(cron.call(options, "HealthCheck", []))
    if not isinstance(health, Mapping) or "healthy" not in health:
        why = "can't be asked: it is not on the session bus, or there is none here"
        answer(json, {"running": True, "healthy": None, "pid": pid}, f"the daemon runs as process {pid}, and {why}")
        return UNREACHABLE
    answer(json, {**health, "running": True, "pid": pid}, cron_views.status_page(health, pid))
    return OK if health["healthy"] is True else FAILURE


async def _toggle(doors: Doors, cron: CronDoors, options: CronOptions, asked: tuple[str, str], *, json: bool) -> int:
    name, wish = asked
    said = None
    if cron.running(options) is not None and wish == "reset":
        said = await cron.call(options, "ResetJob", [name])
    elif cron.running(options) is not None:
        said = await cron.call(options, "toggle_job", [name, "true" if wish == "on" else "false"])
    if said is None:
        said = await _switched(doors, cron, options, asked)
    if not said.get("success"):
        return complain(str(said.get("error", "the daemon says no, and not why")), NOT_FOUND)
    return answer(json, said, cron_views.toggled(name, wish, said))


async def _switched(doors: Doors, cron: CronDoors, options: CronOptions, asked: tuple[str, str]) -> Mapping[str, Any]:
    """Writes the switch that a daemon finds, at once or when it starts."""
    from wakeful.faces.cron.keeping import CronPaths  # noqa: PLC0415 - few commands need them
    from wakeful.faces.cron.state_file import StateFile  # noqa: PLC0415
    from wakeful.faces.cron.switches import Switch  # noqa: PLC0415

    name, wish = asked
    files = cron.files(options)
    try:
        jobs = config_in_use(cron, options).jobs
    except ValueError as error:
        return {"success": False, "error": str(error)}
    if name not in jobs:
        return {"success": False, "error": f"there is no job {name!r} in {files.config}"}
    switch = None if wish == "reset" else Switch(wish == "on", jobs[name].enabled)
    path = CronPaths.beside(files.config, files.state).state
    try:
        await StateFile(path, doors.now).change({("jobs", name): switch})
    except OSError as error:
        return {"success": False, "error": f"{path} can't be written: {error}"}
    return {"success": True, "job": name, "file": str(path)}

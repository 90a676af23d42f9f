"""``wakeful import``: jobs from Dapr's cron bindings, a crontab, the config of the daemon that we stand in for."""

from cyclopts import App, Group

from wakeful.faces.cli import importing_binding_jobs, importing_config_file, importing_crontab_files
from wakeful.faces.cli.doors import Doors


def commands(doors: Doors) -> App:
    """The commands that take jobs over."""
    app = App(
        name="import",
        help="Take jobs over from elsewhere. What can't be taken over is named, and nothing is written then.",
        group_parameters=Group("Options"),
    )
    importing_binding_jobs.add_to(app, doors)
    importing_crontab_files.add_to(app, doors)
    importing_config_file.add_to(app, doors.cron)
    return app

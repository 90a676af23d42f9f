"""The command line put together; what each command does stands in the module that adds it."""

from cyclopts import App, CycloptsError, Group, Parameter

from wakeful.faces.cli import agents, calendars, cron, doctor, importing, instants, jobs, scheduler, text, tokens
from wakeful.faces.cli.calls import USAGE, complain, loop
from wakeful.faces.cli.doors import Doors, NodeOptions


def build(doors: Doors, command: tuple[str, ...]) -> App:
    """The command line of wakeful; ``command`` is what stood behind ``--``, the app's own."""
    app = App(
        name="wakeful",
        help="The durable scheduler that services and AI agents trust with “later”.",
        version=f"CLI version: {doors.version}\nRuntime version: {doors.version}",
        version_flags=["--version"],
        version_format="plaintext",
        help_on_error=True,
        error_formatter=_mistake,
        default_parameter=Parameter(negative=(), show_default=_shown),
        group_parameters=Group("Options"),
    )

    @app.command
    def serve(*, options: NodeOptions) -> int:
        """Run a node for an app that was started elsewhere."""
        return loop(doors.serve(options))

    @app.command(usage="Usage: wakeful run --app-id ID [OPTIONS] -- COMMAND…")
    def run(*, options: NodeOptions) -> int:
        """Start an app with wakeful beside it; either's end ends the other.

        The app's command line stands behind all options, after ``--``.
        """
        if not command:
            return complain("run: which app? Give its command after --, or use serve for one that runs already", USAGE)
        return loop(doors.run(options, command))

    app.command(jobs.commands(doors))
    app.command(scheduler.commands(doors))
    app.command(cron.commands(doors))
    app.command(importing.commands(doors))
    app.command(agents.commands(doors, command))
    app.command(tokens.commands(doors))
    instants.add_to(app, doors)
    app.command(calendars.commands(doors))
    doctor.add_to(app, doors)
    return app


def _shown(default: object) -> object:
    """What help says of a default: of a switch, nothing."""
    return None if default is False else default


def _mistake(error: CycloptsError) -> object:
    from rich.text import Text  # noqa: PLC0415 - only a mistake needs it

    return Text(text.printable(f"wakeful: {error}"))

"""``wakeful agent``: a command as an agent that takes tasks."""

from cyclopts import App

from wakeful.faces.cli.agent_options import AgentOptions
from wakeful.faces.cli.calls import USAGE, complain, loop
from wakeful.faces.cli.doors import Doors


def commands(doors: Doors, command: tuple[str, ...]) -> App:
    """The group of commands; ``command`` is what stood behind ``--``."""
    app = App(name="agent", help="Do tasks that a node hands out.")

    @app.command(usage="Usage: wakeful agent run --capability NAME [OPTIONS] -- COMMAND…")
    def run(*, options: AgentOptions) -> int:
        """Take tasks of a capability, and run a command for each.

        The command stands behind all options, after ``--``. It finds the task's input as JSON on stdin, and its id
        and attempt as WAKEFUL_TASK_ID and WAKEFUL_ATTEMPT. Exit code 0 completes the task: what was printed on stdout
        is its result. 65 fails it for good, any other code fails it, with the end of stderr as its error. A token, if
        the node wants one, is read from WAKEFUL_API_KEY.
        """
        if not command:
            return complain("agent run: which command? Give it after --", USAGE)
        return loop(doors.run_agent(options, command))

    return app

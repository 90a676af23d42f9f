"""An agent as a process: from its settings to the signal that ends it."""

import asyncio
import os
import shutil
import signal
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from wakeful.agent.api import LONGEST_WAIT_S, Api
from wakeful.agent.command import Command
from wakeful.agent.http import HttpClient
from wakeful.agent.worker import Terms, Worker

DEFAULT_URL = "http://127.0.0.1:7710"
TOKEN_VARIABLE = "WAKEFUL_API_KEY"  # noqa: S105 - the name of a variable
LONGEST_LEASE_S = 86_400.0
MOST_AT_ONCE = 1_000


async def run_command(
    argv: Sequence[str], terms: Terms, url: str, agent_id: str | None, environment: Mapping[str, str]
) -> None:
    """Lets a command do tasks, until SIGTERM or SIGINT; a second one gives back at once what is under way.

    Raises:
        ValueError: one of the settings can't be.
        AgentError: the node refuses this agent.
    """
    terms = checked(replace(terms, temporary=agent_id is None))
    if shutil.which(argv[0]) is None:
        raise ValueError(f"there is no command {argv[0]!r} that may be run")
    agent_id = agent_id or new_agent_id()
    http = HttpClient(url, environment.get(TOKEN_VARIABLE) or None)
    worker = Worker(Api(http, agent_id), terms, Command(argv, environment).perform)
    stop_on_signals(worker.stop)
    print(f"ℹ️  Agent {agent_id} takes tasks of {', '.join(terms.capabilities)} from {url}.")
    try:
        await worker.run()
    finally:
        await http.aclose()


def checked(terms: Terms) -> Terms:
    """The terms themselves, if they can be.

    Raises:
        ValueError: one of them can't be.
    """
    if not terms.capabilities:
        raise ValueError("an agent that can do nothing: it needs a capability")
    for name, value, least, most in (
        ("limit", terms.limit, 1, MOST_AT_ONCE),
        ("lease", terms.lease_s, 0.5, LONGEST_LEASE_S),
        ("wait", terms.wait_s, 0, LONGEST_WAIT_S),
        ("grace", terms.grace_s, 0, LONGEST_LEASE_S),
    ):
        if not least <= value <= most:
            raise ValueError(f"{name} {value:g}: a number from {least:g} to {most:g}")
    return terms


def new_agent_id() -> str:
    """An id that no other agent has."""
    host = "".join(c if c.isalnum() or c in "-." else "-" for c in socket.gethostname())
    return f"{host[:60]}-{os.getpid()}-{os.urandom(4).hex()}"


def stop_on_signals(stop: Callable[[], None]) -> None:
    """From now on SIGINT and SIGTERM end nothing by themselves: each calls ``stop``."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop)

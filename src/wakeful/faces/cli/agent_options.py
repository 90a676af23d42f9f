"""The options of ``wakeful agent run``."""

from dataclasses import dataclass
from typing import Annotated

from cyclopts import Parameter
from cyclopts.validators import Number


@Parameter(name="*")
@dataclass(frozen=True, slots=True)
class AgentOptions:
    """What an agent does, where, and on which terms."""

    capability: Annotated[tuple[str, ...], Parameter(negative=())]
    """What the command can do: tasks that need it are taken. May be given several times."""
    url: str = "http://127.0.0.1:7710"
    """The node's own API."""
    agent_id: str | None = None
    """The agent's id; without one it is a new one, which is forgotten at the end. With a token, the token's."""
    limit: Annotated[int, Parameter(validator=Number(gte=1, lte=1_000))] = 1
    """Tasks that are done at a time."""
    lease: Annotated[float, Parameter(validator=Number(gte=0.5, lte=86_400))] = 60.0
    """Seconds after which another agent may take a task, if this one falls silent."""
    grace: Annotated[float, Parameter(validator=Number(gte=0, lte=86_400))] = 30.0
    """Seconds that tasks under way may still take after SIGTERM; then they are given back."""

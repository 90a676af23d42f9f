"""A skill as it was read: inputs, steps and outputs, their templates and programs ready to run."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from wakeful.skills.compute import Block
from wakeful.skills.conditions import Condition


class Kind(StrEnum):
    """What a step does."""

    COMPUTE = "compute"
    TOOL = "tool"
    RETURN = "return"
    MANUAL = "manual"


@dataclass(frozen=True, slots=True)
class OnError:
    """What comes of a step that fails: it is tried ``retries`` times more; then the skill goes on, or ends."""

    goes_on: bool = False
    retries: int = 0


@dataclass(frozen=True, slots=True)
class Input:
    """What a skill can be given. ``default`` is prepared data; it counts only if ``has_default``."""

    name: str
    type: str = ""
    required: bool = False
    has_default: bool = False
    default: Any = None
    description: str = ""
    pattern: str = ""
    enum: tuple[Any, ...] = ()
    max_length: int | None = None


@dataclass(frozen=True, slots=True)
class Step:
    """One step; ``args`` (of a tool), ``value`` (of a return) and ``loop`` are prepared data.

    ``name`` is its identity, ``output`` another name for its result; ``where`` is for messages.
    """

    name: str
    kind: Kind
    where: str
    output: str = ""
    description: str = ""
    condition: Condition | None = None
    on_error: OnError = OnError()
    block: Block | None = None
    tool: str = ""
    args: Any = None
    value: Any = None
    has_loop: bool = False
    loop: Any = None
    loop_var: str = "item"
    timeout_s: float | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """The names under which its result is known."""
        return (self.name, self.output) if self.output and self.output != self.name else (self.name,)


@dataclass(frozen=True, slots=True)
class Output:
    """One of a skill's outputs: prepared data, or a block."""

    name: str
    where: str
    value: Any = None
    block: Block | None = None


@dataclass(frozen=True, slots=True)
class Skill:
    """A skill, ready to run; ``warnings`` name what was found in its file and is not done."""

    name: str
    file: str
    description: str
    inputs: tuple[Input, ...]
    defaults: Mapping[str, Any]
    steps: tuple[Step, ...]
    outputs: tuple[Output, ...]
    warnings: tuple[str, ...] = ()

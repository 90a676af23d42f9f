"""What is wrong with a skill, said to the person who wrote it."""

import difflib
from collections.abc import Iterable


class SkillError(Exception):
    """A skill that can't be: what is wrong, and where: ``file:line``, with the step if there is one."""

    def __init__(self, message: str, where: str = "") -> None:
        self.where = where
        super().__init__(f"{where}: {message}" if where else message)


class StepError(Exception):
    """A step, an input or an output that failed while the skill ran."""


class ToolError(StepError):
    """A tool that can't do what it was asked for: its text goes to the reader as it is."""


def near(name: str, known: Iterable[str]) -> str:
    """A hint to add to a message: what may have been meant, else what there is; or nothing."""
    names = sorted(set(known))
    if hint := meant(name, names, 0.6):
        return hint
    shown = ", ".join(names[:12]) + (", …" if len(names) > 12 else "")
    return f"; there is {shown}" if names else ""


def meant(name: str, known: Iterable[str], cutoff: float = 0.75) -> str:
    """A hint to add to a message: what is so much like the name that it may have been meant; or nothing."""
    close = difflib.get_close_matches(name, sorted(set(known)), n=3, cutoff=cutoff)
    return f"; did you mean {' or '.join(close)}?" if close else ""

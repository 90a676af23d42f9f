"""Conditions: expressions, however they are written."""

from collections.abc import Callable, Collection

from jinja2 import TemplateSyntaxError

from wakeful.skills.errors import SkillError
from wakeful.skills.sandbox import SANDBOX
from wakeful.skills.templates import Names, Template, mark, shown

# What a condition means that comes out as a text.
FALSE_TEXTS = frozenset({"", "false", "no", "0", "none", "null", "off"})


class Condition:
    """Whether to do something: an expression, bare or in ``{{ }}``, or a text that is looked at as a word."""

    def __init__(self, source: str, where: str = "") -> None:
        self.source = source
        if "{%" in source:
            self._template = Template(source, where)
        else:
            self._template = Template("{{ " + _as_expression(source, where).strip() + " }}", where)
            if not self._template.is_single:
                raise SkillError(f"the condition {shown(source)} is not one expression", where)
        self.names = self._template.names

    def holds(self, names: Names) -> bool:
        """Whether it is true now.

        Raises:
            StepError: it can't be told.
        """
        value = self._template.value(names)
        return value.strip().lower() not in FALSE_TEXTS if isinstance(value, str) else bool(value)


def _as_expression(source: str, where: str) -> str:
    """A condition in which templates are parts of an expression, as that expression."""
    marked, inner, start = mark(source, where)
    if not inner:
        return source
    made: list[str] = []
    try:
        for _, kind, piece in SANDBOX.lex("{{" + marked + "}}"):
            if kind == "string" and start in piece:
                made.append(_joined(piece, inner, start))
            elif kind not in ("variable_begin", "variable_end"):
                made.append(_replaced(piece, start, lambda number: f"({inner[number]})"))
    except TemplateSyntaxError as error:
        raise SkillError(f"in the condition {shown(source)}: {error.message}", where) from None
    return "".join(made)


def _joined(literal: str, inner: Collection[str], start: str) -> str:
    """A literal with templates in it, as an expression for its text."""
    quote = literal[0]
    parts = list(inner)
    return "(" + _replaced(literal, start, lambda number: f"{quote} ~ ({parts[number]}) ~ {quote}") + ")"


def _replaced(text: str, start: str, by: Callable[[int], str]) -> str:
    head, *rest = text.split(start)
    for part in rest:
        number, _, after = part.partition("_")
        head += by(int(number)) + after
    return head

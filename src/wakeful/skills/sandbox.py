"""Jinja, kept small: no names that lead out of the data, no macros, and bounds on what loops and texts may cost.

What templates are made of is the skill's; what they are given never becomes part of them. The bounds are against
mistakes: who writes a skill is trusted as much as who writes a script.
"""

import json
from collections.abc import Callable, Mapping, Sized
from itertools import islice
from typing import Any

from jinja2 import ChainableUndefined, StrictUndefined, nodes, pass_context, pass_eval_context
from jinja2.filters import do_indent, do_join, do_replace
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment, SandboxedEnvironment
from jinja2.utils import missing

from wakeful.skills.compute_child import fields_of
from wakeful.skills.errors import StepError, near

LARGEST_TEXT = 256 * 1024
MOST_TURNS = 10_000
# The name under which a rendering finds how many turns of loops it has left; no template can spell it.
BUDGET = "{budget}"

_MOST_BITS = 10_000
_WIDEST = 200
_REFUSED: tuple[type[nodes.Node], ...] = (
    *(nodes.Macro, nodes.CallBlock, nodes.Block, nodes.Extends, nodes.Include, nodes.Import, nodes.FromImport),
)


class _Unknown(StrictUndefined):
    """A name or a key that is not there: whatever is done with it fails, except ``default`` and ``is defined``."""

    __slots__ = ()

    def __repr__(self) -> str:
        # As part of a list that becomes a text.
        return str(self)

    @property
    def _undefined_message(self) -> str:
        name, value = self._undefined_name, self._undefined_obj
        if self._undefined_hint:
            return self._undefined_hint
        if value is missing:
            return f"{name!r} is not known here"
        if isinstance(value, Mapping):
            return f"there is no {name!r} in it{near(str(name), map(str, value))}"
        return f"{_kind(value)} has no {name!r}"


def _kind(value: Any) -> str:
    for kind, name in ((bool, "a truth value"), (int | float, "a number"), (str, "a text"), (list, "a list")):
        if isinstance(value, kind):
            return name
    return "null" if value is None else f"a {type(value).__name__}"


class Missing(ChainableUndefined):
    """What a step left behind that was skipped or failed: empty, false, and so are all its attributes."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "None"

    @property
    def _undefined_message(self) -> str:
        return f"{self._undefined_name!r} has no value: its step was skipped, or it failed"


class _Sandbox(ImmutableSandboxedEnvironment):
    """Keys come before methods: ``step.items`` is the step's variable of that name."""

    intercepted_binops = frozenset({"*", "**", "%"})

    def getattr(self, obj: Any, attribute: str) -> Any:
        """``obj.attribute``."""
        for fields in fields_of(obj):
            if attribute in fields:
                return fields[attribute]
        return super().getattr(obj, attribute)

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        """An operation whose result could be far larger than what goes in."""
        if operator == "%" and isinstance(left, str):
            return _formatted(left, right)
        size = _power(left, right) if operator == "**" else _product(left, right)
        if operator != "%" and size > 1:
            raise StepError(f"the result of {operator!r} would be too large")
        return super().call_binop(context, operator, left, right)

    def call(self, context: Context, obj: Any, *args: Any, **kwargs: Any) -> Any:
        """A method of a text whose result could be far larger than what goes in."""
        text = getattr(obj, "__self__", None)
        if isinstance(text, str):
            _check_growth(text, obj.__name__, args)
        return super().call(context, obj, *args, **kwargs)


def _check_growth(text: str, method: str, args: tuple[Any, ...]) -> None:
    size = 0
    if method == "join" and args and isinstance(args[0], Sized):
        items = args[0] if isinstance(args[0], list | tuple) else ()
        size = len(text) * len(args[0]) + sum(len(item) for item in items if isinstance(item, str))
    elif method == "replace" and len(args) > 1 and isinstance(args[0], str) and isinstance(args[1], str):
        size = len(text) + text.count(args[0]) * len(args[1])
    elif method in ("center", "ljust", "rjust", "zfill", "expandtabs") and args and isinstance(args[0], int):
        size = args[0] * (text.count("\t") if method == "expandtabs" else 1)
    if size > LARGEST_TEXT:
        raise StepError(f"the result of {method!r} would be too large")


def _power(left: Any, right: Any) -> float:
    """The size of a power, measured in what is allowed."""
    return abs(left).bit_length() * abs(right) / _MOST_BITS if isinstance(left, int) and isinstance(right, int) else 0


def _product(left: Any, right: Any) -> float:
    for one, other in ((left, right), (right, left)):
        if isinstance(one, str | list | tuple) and isinstance(other, int):
            return len(one) * other / LARGEST_TEXT
    if isinstance(left, int) and isinstance(right, int):
        return (left.bit_length() + right.bit_length()) / _MOST_BITS
    return 0


def _formatted(text: str, *values: Any) -> str:
    """``'%5.2f' % value``, with widths in bounds."""
    digits = ""
    for character in text:
        digits = digits + character if character.isdigit() else ""
        if len(digits) > 3 and "%" in text:
            raise StepError(f"no number in the format {text[:40]!r} may have more than 3 digits")
    if "*" in text:
        raise StepError(f"the format {text[:40]!r} takes a width from its values, which is not allowed")
    return text % (values[0] if len(values) == 1 and isinstance(values[0], tuple | Mapping) else values)


@pass_context
def _bounded(context: Context, items: Any) -> Any:
    """What a loop goes over, once its turns are paid for."""
    if not isinstance(items, Sized):
        items = list(islice(items, MOST_TURNS + 1))
    budget = context.resolve(BUDGET)
    budget[0] -= len(items)
    if budget[0] < 0:
        raise StepError(f"loops of more than {MOST_TURNS} turns")
    return items


def _centred(value: Any, width: int = 80) -> str:
    return str(value).center(min(width, _WIDEST))


def _indented(text: str, width: int | str = 4, first: bool = False, blank: bool = False) -> str:
    return do_indent(text, width[:_WIDEST] if isinstance(width, str) else min(width, _WIDEST), first, blank)


@pass_eval_context
def _joined(context: Any, items: Any, between: str = "", attribute: str | int | None = None) -> str:
    items = list(items)
    _check_growth(str(between), "join", ([*map(str, items)] if attribute is None else items,))
    return str(do_join(context, items, str(between), attribute))


@pass_eval_context
def _with_replaced(context: Any, text: str, old: str, new: str, count: int | None = None) -> str:
    _check_growth(str(text), "replace", (str(old), str(new)))
    return str(do_replace(context, str(text), old, new, count))


def _json(value: Any, indent: int | None = None) -> str:
    return json.dumps(value, ensure_ascii=False, indent=indent if indent is None else min(indent, 8))


def tame(tree: nodes.Template) -> nodes.Template:
    """The same template, each turn of its loops counted.

    Raises:
        StepError: it uses what is not allowed.
    """
    for refused in tree.find_all(_REFUSED):
        raise StepError(f"{type(refused).__name__.lower()} is not part of the grammar")
    for loop in list(tree.find_all(nodes.For)):
        loop.iter = nodes.Filter(loop.iter, "{bounded}", [], [], None, None)
    return tree


def _as_function(function: Callable[..., Any]) -> Callable[..., Any]:
    """A class would hand out its methods, ``str.format`` among them."""

    def call(*args: Any) -> Any:
        return function(*args)

    return call


def _sandbox(**settings: str) -> _Sandbox:
    made = _Sandbox(undefined=_Unknown, autoescape=False, keep_trailing_newline=True, **settings)
    functions = (len, str, int, float, bool, list, round, abs, min, max, sum, any, all, sorted)
    made.globals = {each.__name__: _as_function(each) for each in functions}
    made.globals |= {name: SandboxedEnvironment().globals[name] for name in ("range", "namespace")}
    made.filters |= {"{bounded}": _bounded, "center": _centred, "format": _formatted}
    made.filters |= {"indent": _indented, "join": _joined, "replace": _with_replaced, "tojson": _json}
    for name in ("batch", "slice", "urlize", "xmlattr", "pprint"):
        del made.filters[name]
    made.tests |= {"None": made.tests["none"], "True": made.tests["true"], "False": made.tests["false"]}
    return made


SANDBOX = _sandbox()
# For sources in which only {{ … }} means something: a program may well contain {% and {#.
EXPRESSIONS_ONLY = _sandbox(
    block_start_string="\x01%", block_end_string="%\x01", comment_start_string="\x01#", comment_end_string="#\x01"
)

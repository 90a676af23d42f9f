"""Templates: read when the skill is loaded, evaluated with real values when it runs."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from jinja2 import TemplateError, TemplateSyntaxError, Undefined, UndefinedError, meta, nodes

from wakeful.skills.compute_child import NotPlainError, plain
from wakeful.skills.errors import SkillError, StepError, near
from wakeful.skills.sandbox import BUDGET, EXPRESSIONS_ONLY, LARGEST_TEXT, MOST_TURNS, SANDBOX, Missing, tame

Names = Mapping[str, Any]

_VALUE = "wakeful_value"
_SHOWN = 80


class Template:
    """A text with ``{{ … }}`` in it. If it is nothing but one of these, its value keeps its type.

    ``names`` are those that must be there; one that ``default`` or ``is defined`` takes care of is not among them.
    """

    def __init__(self, source: str, where: str = "") -> None:
        self.source = source
        try:
            tree = tame(SANDBOX.parse(source.strip()))
            single = _single(tree)
            if single is None:
                tree = tame(SANDBOX.parse(source))
            self.names, self.has_default = _asked(tree)
            self.asks_input = _input_asked(single)
            if single is not None:
                target = nodes.Name(_VALUE, "store", lineno=1)
                tree = nodes.Template([nodes.Assign(target, single, lineno=1)], lineno=1)
                tree.set_environment(SANDBOX)
            self.is_single = single is not None
            self._made = SANDBOX.from_string(tree)
        except (TemplateError, StepError) as error:
            raise SkillError(f"in the template {shown(source)}: {error}", where) from None
        except RecursionError:
            raise SkillError(f"the template {shown(source)} is nested too deeply", where) from None

    def value(self, names: Names) -> Any:
        """What it comes to: any plain value if it is a single expression, else a text.

        Raises:
            StepError: a name is not known, or what it says can't be done.
        """
        value = self._guarded(self._evaluate if self.is_single else self._render, names)
        return None if isinstance(value, Missing) else value

    def text(self, names: Names) -> str:
        """What it comes to, as a text; null and true as Python writes them.

        Raises:
            StepError: as in ``value``.
        """
        if not self.is_single:
            return str(self.value(names))
        value = self._guarded(self._evaluate, names)
        return "" if isinstance(value, Missing) else str(value)

    def _guarded(self, work: Callable[[dict[str, Any]], Any], names: Names) -> Any:
        try:
            return work({**names, BUDGET: [MOST_TURNS]})
        except UndefinedError as error:
            unknown = [name for name in sorted(self.names) if name not in names and f"'{name}'" in str(error)]
            raise self._failed(str(error) + (near(unknown[0], names) if unknown else "")) from None
        except (StepError, NotPlainError, TemplateError) as error:
            raise self._failed(str(error)) from None
        except Exception as error:
            raise self._failed(f"{type(error).__name__}: {str(error)[:500]}") from None

    def _failed(self, why: str) -> StepError:
        return StepError(f"{shown(self.source)}: {why}")

    def _evaluate(self, names: dict[str, Any]) -> Any:
        context = self._made.new_context(names)
        for _ in self._made.root_render_func(context):
            pass
        value = context.vars[_VALUE]
        if isinstance(value, Missing):
            return value
        value = settled(value)
        if isinstance(value, str) and len(value) > LARGEST_TEXT:
            raise StepError(f"more than {LARGEST_TEXT} characters")
        return value

    def _render(self, names: dict[str, Any]) -> str:
        pieces: list[str] = []
        room = LARGEST_TEXT
        for piece in self._made.root_render_func(self._made.new_context(names)):
            room -= len(piece)
            if room < 0:
                raise StepError(f"more than {LARGEST_TEXT} characters")
            pieces.append(piece)
        return str("".join(pieces))


def settled(value: Any) -> Any:
    """A template's value as plain data; null for what a skipped step left behind."""
    return plain(_filled_in(value))


def _filled_in(value: Any) -> Any:
    if isinstance(value, Undefined):
        # Only what may be looked at without failing has a text.
        return str(value) or None
    if isinstance(value, list | tuple | Iterator):
        return [_filled_in(item) for item in value]
    return {key: _filled_in(item) for key, item in dict.items(value)} if isinstance(value, dict) else value


def mark(source: str, where: str) -> tuple[str, list[str], str]:
    """The source with each ``{{ … }}`` replaced by a word, what was in them, and how these words begin.

    The words are that beginning, a number and ``_``.

    Raises:
        SkillError: one of them has no end.
    """
    start = "wakeful_template_"
    while start in source:
        start += "x"
    marked: list[str] = []
    inner: list[str] = []
    inside = False
    try:
        for _, kind, piece in EXPRESSIONS_ONLY.lex(source):
            if kind == "variable_begin":
                inside = True
                marked.append(f"{start}{len(inner)}_")
                inner.append("")
            elif kind == "variable_end":
                inside = False
            elif inside:
                inner[-1] += piece
            else:
                marked.append(piece)
    except TemplateSyntaxError as error:
        raise SkillError(f"line {error.lineno}: between {{{{ and }}}}: {error.message}", where) from None
    if inside:
        raise SkillError(f"{{{{ {shown(inner[-1].strip())} has no }}}}", where)
    return "".join(marked), inner, start


def _single(tree: nodes.Template) -> nodes.Expr | None:
    """The expression of a template that has nothing else."""
    if len(tree.body) == 1 and isinstance(tree.body[0], nodes.Output) and len(tree.body[0].nodes) == 1:
        (only,) = tree.body[0].nodes
        return None if isinstance(only, nodes.TemplateData) else only
    return None


def _asked(tree: nodes.Template) -> tuple[frozenset[str], bool]:
    asked = meta.find_undeclared_variables(tree) - set(SANDBOX.globals)
    defaults = [each for each in tree.find_all(nodes.Filter) if each.name in ("default", "d")]
    tests = [each for each in tree.find_all(nodes.Test) if each.name in ("defined", "undefined")]
    excused = {name.name for each in (*defaults, *tests) if each.node is not None for name in _names_in(each.node)}
    return frozenset(asked - excused), bool(defaults)


def _names_in(node: nodes.Node) -> list[nodes.Name]:
    return [*([node] if isinstance(node, nodes.Name) else []), *node.find_all(nodes.Name)]


def _input_asked(node: nodes.Expr | None) -> str | None:
    """The input that an expression is."""
    is_one = isinstance(node, nodes.Getattr) and isinstance(node.node, nodes.Name) and node.node.name == "inputs"
    return node.attr if is_one and isinstance(node, nodes.Getattr) else None


def shown(source: str) -> str:
    """A source as a message shows it: in one line, and not too long."""
    text = " ".join(source.split())
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"

"""Compute blocks: Python that is checked when the skill is loaded, and runs in a process of its own.

``{{ … }}`` in a block never becomes text of the program: each is replaced by a variable. Outside of quotes it is the
value itself, within quotes its text.
"""

import ast
import base64
import marshal
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from wakeful.skills.compute_child import Hidden
from wakeful.skills.compute_rules import BUILTINS, INSIDES, INSTEAD, METHODS, MODULES, NODES, PREBOUND
from wakeful.skills.errors import SkillError, near
from wakeful.skills.templates import Template, mark

LARGEST_SOURCE = 64 * 1024


@dataclass(frozen=True)
class Block:
    """A checked and compiled block.

    ``inserted`` are the templates by the name of their variable, with whether it is to be a text; ``asks`` are the
    names that the block uses and does not make.
    """

    code: str
    inserted: Mapping[str, tuple[Template, bool]]
    asks: frozenset[str]
    modules: frozenset[str]
    prebound: frozenset[str]
    formats: bool


def compile_block(source: str, where: str) -> Block:
    """The block, ready to run.

    Raises:
        SkillError: it is no Python, or uses what is not allowed: which, and in which of its lines.
    """
    if len(source.encode("utf-8", "replace")) > LARGEST_SOURCE:
        raise SkillError(f"a compute block of more than {LARGEST_SOURCE} bytes", where)
    marked, inner, start = mark(source, where)
    templates = [Template("{{ " + text.strip() + " }}", where) for text in inner]
    try:
        tree = ast.parse(marked, "compute")
        checked = _Check(where, start, templates)
        tree = ast.fix_missing_locations(checked.visit(tree))
        code = compile(tree, "compute", "exec", dont_inherit=True, optimize=0)
    except SyntaxError as error:
        said = f"{error.msg}: {(error.text or '').strip()}"
        for number, text in enumerate(inner):
            said = said.replace(f"{start}{number}_", "{{" + text + "}}")
        line = f"line {error.lineno} of " if error.lineno else ""
        raise SkillError(f"{line}compute: {said[:300]}", where) from None
    except (ValueError, RecursionError, MemoryError) as error:
        raise SkillError(f"compute can't be read: {error or type(error).__name__}", where) from None
    names = checked.names
    asks = names.read - names.made - set(BUILTINS) - {"print"}
    prebound = asks & PREBOUND.keys()
    modules = names.modules | {PREBOUND[name][0] for name in prebound}
    packed = base64.b64encode(marshal.dumps(code)).decode("ascii")
    return Block(packed, names.inserted, frozenset(asks), frozenset(modules), frozenset(prebound), names.formats)


@dataclass
class _Names:
    """What was met on the way through a block."""

    read: set[str] = field(default_factory=set)
    made: set[str] = field(default_factory=set)
    modules: set[str] = field(default_factory=set)
    inserted: dict[str, tuple[Template, bool]] = field(default_factory=dict)
    formats: bool = False


class _Check(ast.NodeTransformer):
    """Refuses what is not allowed, and puts variables where templates were."""

    def __init__(self, where: str, start: str, templates: list[Template]) -> None:
        self._where = where
        self._start = start
        self._templates = templates
        self._depth = 0
        self._called: ast.AST | None = None
        self.names = _Names()

    def visit(self, node: ast.AST) -> Any:
        if not isinstance(node, NODES):
            what = type(node).__name__.lower().removesuffix("def")
            raise self._refused(node, f"{what!r} is not allowed")
        for attribute in ("id", "attr", "name", "arg", "asname"):
            text = getattr(node, attribute, None)
            if isinstance(text, str):
                self._check_name(node, text)
        return super().visit(node)

    def visit_Name(self, node: ast.Name) -> ast.AST:
        number = self._number(node.id)
        if number is not None:
            if not isinstance(node.ctx, ast.Load):
                raise self._refused(node, "a template can't be assigned to")
            return self._variable(number, as_text=False)
        (self.names.read if isinstance(node.ctx, ast.Load) else self.names.made).add(node.id)
        return node

    def visit_Constant(self, node: ast.Constant) -> ast.AST:
        if isinstance(node.value, bytes) and self._start.encode() in node.value:
            raise self._refused(node, "a template can't be part of bytes")
        if not isinstance(node.value, str) or self._start not in node.value:
            return node
        pieces = self._pieces(node.value)
        if len(pieces) == 1 and isinstance(pieces[0], ast.FormattedValue):
            return pieces[0].value
        return ast.JoinedStr(values=pieces)

    def visit_JoinedStr(self, node: ast.JoinedStr) -> ast.AST:
        values: list[ast.expr] = []
        for value in node.values:
            if isinstance(value, ast.Constant) and isinstance(value.value, str):
                values += self._pieces(value.value)
            else:
                values.append(self.visit(value))
        return ast.JoinedStr(values=values)

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        if not isinstance(node.ctx, ast.Load):
            raise self._refused(node, "an attribute can't be assigned to: use item['key'] = value")
        is_called = node is self._called
        value: ast.expr = self.visit(node.value)
        if node.attr in ("format", "format_map"):
            self.names.formats = True
            by = Hidden.FORMAT
        elif node.attr in METHODS and not is_called:
            by = Hidden.ATTRIBUTE
        else:
            return ast.Attribute(value, node.attr, node.ctx)
        return ast.Call(ast.Name(by, ast.Load()), [value, ast.Constant(node.attr)], [])

    def visit_Call(self, node: ast.Call) -> ast.AST:
        self._called = node.func
        return self.generic_visit(node)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        self.names.made.add(node.name)
        return self._deeper(node)

    def visit_Lambda(self, node: ast.Lambda) -> ast.AST:
        return self._deeper(node)

    def _deeper(self, node: ast.AST) -> ast.AST:
        self._depth += 1
        try:
            return self.generic_visit(node)
        finally:
            self._depth -= 1

    def visit_arg(self, node: ast.arg) -> ast.AST:
        self.names.made.add(node.arg)
        return self.generic_visit(node)

    def visit_Return(self, node: ast.Return) -> ast.AST:
        """Outside of functions it ends the block."""
        if self._depth:
            return self.generic_visit(node)
        value = ast.Constant(None) if node.value is None else self.visit(node.value)
        return ast.Raise(ast.Call(ast.Name(Hidden.RETURN, ast.Load()), [value], []))

    def visit_ExceptHandler(self, node: ast.ExceptHandler) -> ast.AST:
        """One that catches everything would catch a `return`, too."""
        if node.name:
            self.names.made.add(node.name)
        self.generic_visit(node)
        node.type = node.type or ast.Name(Hidden.EXCEPTION, ast.Load())
        return node

    def visit_Import(self, node: ast.Import) -> ast.AST:
        for alias in node.names:
            if alias.name not in MODULES or "." in alias.name:
                raise self._no_module(node, alias.name)
            self._check_name(alias, alias.asname or "")
            self.names.modules.add(alias.name)
            self.names.made.add(alias.asname or alias.name)
        return node

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.AST:
        module = node.module or "."
        if module not in MODULES or node.level:
            raise self._no_module(node, module)
        for alias in node.names:
            if alias.name not in MODULES[module]:
                hint = near(alias.name, MODULES[module])
                raise self._refused(node, f"{alias.name!r} can't be imported from {module}{hint}")
            self._check_name(alias, alias.asname or "")
            self.names.made.add(alias.asname or alias.name)
        self.names.modules.add(module)
        return node

    def visit_Nonlocal(self, node: ast.Nonlocal) -> ast.AST:
        return self.visit_Global(node)

    def visit_Global(self, node: ast.Global | ast.Nonlocal) -> ast.AST:
        for name in node.names:
            self._check_name(node, name)
        return node

    def _check_name(self, node: ast.AST, name: str) -> None:
        if name.startswith("__"):
            raise self._refused(node, f"names such as {name!r} are not allowed")
        if name in INSIDES:
            raise self._refused(node, f"the name {name!r} is not allowed")
        if isinstance(node, ast.Name) and name in INSTEAD:
            raise self._refused(node, f"{name!r} is not there in compute: {INSTEAD[name]}")
        if self._start in name and not (isinstance(node, ast.Name) and self._number(name) is not None):
            raise self._refused(node, "a template can't be part of a name")

    def _number(self, name: str) -> int | None:
        """Which template the name stands for."""
        number = name.removeprefix(self._start).removesuffix("_")
        return int(number) if name == f"{self._start}{number}_" and number.isdecimal() else None

    def _pieces(self, text: str) -> list[ast.expr]:
        """A literal with templates in it, as the parts of an f-string."""
        head, *rest = text.split(self._start)
        pieces: list[ast.expr] = [ast.Constant(head)] if head else []
        for part in rest:
            number, _, after = part.partition("_")
            pieces.append(ast.FormattedValue(self._variable(int(number), as_text=True), -1))
            pieces += [ast.Constant(after)] if after else []
        return pieces

    def _variable(self, number: int, *, as_text: bool) -> ast.Name:
        name = f"{{{number}{'text' if as_text else ''}}}"
        self.names.inserted[name] = (self._templates[number], as_text)
        return ast.Name(name, ast.Load())

    def _no_module(self, node: ast.AST, name: str) -> SkillError:
        return self._refused(node, f"{name!r} can't be imported{near(name, MODULES)}")

    def _refused(self, node: ast.AST, why: str) -> SkillError:
        line = getattr(node, "lineno", None)
        return SkillError(f"line {line} of compute: {why}" if line else f"compute: {why}", self._where)

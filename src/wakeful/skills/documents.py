"""A YAML file as plain data: nothing but maps, lists, texts and numbers, and all of it in bounds."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from wakeful.skills.errors import SkillError

LARGEST_FILE = 256 * 1024
# What a file may hold once every alias stands for a copy of its own.
MOST_NODES = 20_000
DEEPEST = 40
# As far down as lines are asked for: steps[3].
_LINES_DEEP = 2

_Base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Loader(_Base):  # type: ignore[misc]
    """YAML's safe part; what looks like a date stays the text that was written."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in _Base.yaml_implicit_resolvers.items()
}


@dataclass(frozen=True, slots=True)
class Document:
    """What a file says, and in which lines; ``file`` is the name for messages."""

    file: str
    data: Mapping[str, Any]
    lines: Mapping[tuple[str | int, ...], int]

    def where(self, *path: str | int) -> str:
        """``file:line`` of the value at a path, or of the nearest thing around it."""
        while path not in self.lines and path:
            path = path[:-1]
        return f"{self.file}:{self.lines.get(path, 1)}"


def read_document(text: str, file: str) -> Document:
    """What the text says.

    Raises:
        SkillError: it is no YAML, is too large, too deep, or says something twice.
    """
    if len(text.encode("utf-8", "replace")) > LARGEST_FILE:
        raise SkillError(f"the file is larger than {LARGEST_FILE} bytes", file)
    try:
        _check_depth(text, file)
        root = yaml.compose(text, Loader=_Loader)
        if not isinstance(root, yaml.MappingNode):
            raise SkillError("a skill is a map with the keys name, description and steps", file)
        _check_size(root, file)
        _check_keys(root, file)
        loader = _Loader("")
        try:
            data = loader.construct_document(root)
        finally:
            loader.dispose()
    except yaml.YAMLError as error:
        raise SkillError(*_said(error, file)) from None
    except SkillError:
        raise
    except Exception as error:
        # A value with a tag that it is nothing for; its constructors then raise whatever comes.
        raise SkillError(f"not to be read as YAML: {error}", file) from None
    lines: dict[tuple[str | int, ...], int] = {}
    _note_lines(root, (), lines)
    return Document(file, data, lines)


def _check_depth(text: str, file: str) -> None:
    """Looks at the events only: what is too deep must not reach anything that recurses."""
    depth = 0
    for count, event in enumerate(yaml.parse(text, Loader=_Loader)):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > DEEPEST or count > 3 * MOST_NODES:
            where = f"{file}:{event.start_mark.line + 1}" if event.start_mark else file
            raise SkillError(f"more than {DEEPEST} levels or {MOST_NODES} values: too much for a skill", where)


def _check_size(root: yaml.Node, file: str) -> None:
    sizes: dict[int, int] = {}

    def size(node: yaml.Node) -> int:
        if id(node) in sizes:
            # An alias to something that it is part of has no size yet.
            return sizes[id(node)]
        sizes[id(node)] = MOST_NODES
        total = 1 + sum(size(child) for child in _children(node))
        sizes[id(node)] = min(total, MOST_NODES)
        return total

    if size(root) > MOST_NODES:
        raise SkillError(f"with all its aliases it has more than {MOST_NODES} values: too much for a skill", file)


def _children(node: yaml.Node) -> list[yaml.Node]:
    if isinstance(node, yaml.MappingNode):
        return [each for pair in node.value for each in pair]
    return list(node.value) if isinstance(node, yaml.SequenceNode) else []


def _check_keys(root: yaml.Node, file: str) -> None:
    """Keys are texts, and of two that are the same the last would win without a word."""
    seen: set[int] = set()
    waiting = [root]
    while waiting:
        node = waiting.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        waiting += _children(node)
        if not isinstance(node, yaml.MappingNode):
            continue
        keys: set[str] = set()
        for key, _ in node.value:
            where = f"{file}:{key.start_mark.line + 1}"
            if not isinstance(key, yaml.ScalarNode):
                raise SkillError("a key must be a text (a value that begins with {{ needs quotes around it)", where)
            if key.value in keys:
                raise SkillError(f"the key {key.value!r} is there twice", where)
            keys.add(key.value)
            if key.tag != "tag:yaml.org,2002:merge":
                # 'on' and '5' are names here, not true and a number.
                key.tag = "tag:yaml.org,2002:str"


def _note_lines(node: yaml.Node, path: tuple[str | int, ...], lines: dict[tuple[str | int, ...], int]) -> None:
    lines[path] = node.start_mark.line + 1
    if len(path) >= _LINES_DEEP:
        return
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            _note_lines(value, (*path, key.value), lines)
            lines[*path, key.value] = key.start_mark.line + 1
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            _note_lines(value, (*path, index), lines)


def _said(error: yaml.YAMLError, file: str) -> tuple[str, str]:
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or str(error)
    return f"not to be read as YAML: {problem}", f"{file}:{mark.line + 1}" if mark else file

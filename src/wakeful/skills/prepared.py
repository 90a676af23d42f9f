"""Data in which texts may be templates: made ready once, filled in with each run's values."""

from collections.abc import Iterator, Mapping
from typing import Any

from wakeful.skills.compute_child import NotPlainError, plain
from wakeful.skills.errors import SkillError
from wakeful.skills.templates import Names, Template


def is_template(text: str) -> bool:
    """Whether the text means more than itself."""
    return "{{" in text or "{%" in text or "{#" in text


def prepare(value: Any, where: str) -> Any:
    """Data whose texts may be templates, made ready for ``fill``.

    Raises:
        SkillError: one of the templates can't be.
    """
    if isinstance(value, str):
        return Template(value, where) if is_template(value) else value
    if isinstance(value, Mapping):
        return {key: prepare(item, where) for key, item in value.items()}
    if isinstance(value, list):
        return [prepare(item, where) for item in value]
    try:
        return plain(value)
    except NotPlainError as error:
        raise SkillError(f"a value that can't be: {error}", where) from None


def fill(prepared: Any, names: Names) -> Any:
    """The data with every template replaced by its value.

    Raises:
        StepError: one of them has none.
    """
    if isinstance(prepared, Template):
        return prepared.value(names)
    if isinstance(prepared, Mapping):
        return {key: fill(item, names) for key, item in prepared.items()}
    if isinstance(prepared, list):
        return [fill(item, names) for item in prepared]
    return prepared


def templates_of(prepared: Any) -> Iterator[Template]:
    """All templates in prepared data."""
    if isinstance(prepared, Template):
        yield prepared
    elif isinstance(prepared, Mapping | list):
        for item in prepared.values() if isinstance(prepared, Mapping) else prepared:
            yield from templates_of(item)

"""The inputs of a run: held against what the skill declares, before its first step."""

import json
import math
import re
from collections.abc import Callable, Mapping
from typing import Any

from wakeful.skills.compute_child import NotPlainError, plain
from wakeful.skills.errors import StepError, near
from wakeful.skills.model import Input, Skill
from wakeful.skills.prepared import fill
from wakeful.skills.templates import Names

# The names of types, and what else they are called.
TYPES = {
    **dict.fromkeys(("string", "str", "text"), "string"),
    **dict.fromkeys(("boolean", "bool"), "boolean"),
    **dict.fromkeys(("integer", "int"), "integer"),
    **dict.fromkeys(("number", "float"), "number"),
    **dict.fromkeys(("array", "list"), "array"),
    **dict.fromkeys(("object", "dict", "map"), "object"),
    "any": "",
}
LARGEST_INPUTS = 1024 * 1024
# A pattern may take long on a long text.
LONGEST_FOR_PATTERN = 4096

_WORDS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


def check_given(skill: Skill, given: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    """What is wrong with the inputs, and what is only to be warned of."""
    declared = {each.name: each for each in skill.inputs}
    errors: list[str] = []
    warnings = [
        f"input {name!r}: {skill.name} has no such input{near(name, declared)}"
        for name in given
        if name not in declared and not name.startswith("_")
    ]
    try:
        if len(json.dumps(plain(given))) > LARGEST_INPUTS:
            errors.append(f"the inputs are larger than {LARGEST_INPUTS} bytes")
    except (NotPlainError, ValueError) as error:
        errors.append(f"the inputs are no plain data: {error}")
    for each in skill.inputs:
        value = given.get(each.name)
        if value is None:
            if each.required and not each.has_default:
                about = f" ({each.description})" if each.description else ""
                errors.append(f"input {each.name!r} is required{about}")
            continue
        try:
            accepted(each, value)
        except StepError as error:
            errors.append(str(error))
    return errors, warnings


def resolve(skill: Skill, given: Mapping[str, Any], names: Names) -> dict[str, Any]:
    """The values of all inputs: as given, else their defaults, which may refer to inputs before them.

    Raises:
        StepError: one can't be.
    """
    values: dict[str, Any] = {name: plain(value) for name, value in given.items()}
    for each in skill.inputs:
        value = values.get(each.name)
        if value is None and each.has_default:
            value = fill(each.default, {**names, "inputs": values})
        values[each.name] = None if value is None else accepted(each, value)
    return values


def accepted(declared: Input, value: Any) -> Any:
    """The value in the declared type; a text that says a number is one where a number is asked for.

    Raises:
        StepError: it is of another type, or not one of those allowed.
    """
    name = f"input {declared.name!r}"
    if declared.type:
        convert, what = _CONVERSIONS[declared.type]
        try:
            value = convert(value)
        except (TypeError, ValueError):
            raise StepError(f"{name} must be {what}, and is {_shown(value)}") from None
    if declared.enum and value not in declared.enum:
        raise StepError(f"{name} must be one of {', '.join(map(str, declared.enum))}, and is {_shown(value)}")
    if declared.max_length is not None and isinstance(value, str | list) and len(value) > declared.max_length:
        raise StepError(f"{name} is {len(value)} long, and at most {declared.max_length} are allowed")
    if declared.pattern and isinstance(value, str):
        if len(value) > LONGEST_FOR_PATTERN:
            raise StepError(f"{name} is longer than the {LONGEST_FOR_PATTERN} characters a pattern is matched with")
        if not re.fullmatch(declared.pattern, value):
            raise StepError(f"{name} must match {declared.pattern}, and is {_shown(value)}")
    return value


def _string(value: Any) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, str):
        raise TypeError
    return value


def _boolean(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, str | int) and str(value).lower() in _WORDS:
        return _WORDS[str(value).lower()]
    raise TypeError


def _integer(value: Any) -> int:
    if isinstance(value, bool):
        raise TypeError
    if isinstance(value, str) and not re.fullmatch(r"[+-]?[0-9]{1,100}", value.strip(), re.ASCII):
        raise ValueError
    number = int(value)
    if not isinstance(value, str) and number != value:
        raise ValueError
    return number


def _number(value: Any) -> float:
    if isinstance(value, bool):
        raise TypeError
    if isinstance(value, int):
        return value
    number = float(value)
    if not math.isfinite(number):
        raise ValueError
    return number


def _array(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise TypeError
    return value


def _object(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise TypeError
    return value


_CONVERSIONS: Mapping[str, tuple[Callable[[Any], Any], str]] = {
    "string": (_string, "a text"),
    "boolean": (_boolean, "true or false"),
    "integer": (_integer, "a whole number"),
    "number": (_number, "a number"),
    "array": (_array, "a list"),
    "object": (_object, "a map"),
}


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:59] + "…"

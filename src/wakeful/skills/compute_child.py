"""The process in which a compute step runs: starts with its request on stdin, shuts every door, answers on stdout.

It is run as a file by an interpreter without site packages (``-I -S``), so it imports nothing of ours. What it gets is
JSON: compiled code that has passed the checks of ``compute.py``, and the values that the code may name. Should code
slip through those checks, it finds a process without files, children, sockets, environment or rights.
"""

import base64
import importlib
import json
import marshal
import math
import os
import resource
import sys
import types
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date, datetime, time, timedelta
from time import tzset
from typing import Any

_PRINTED = 8 * 1024
_DEEPEST = 60
_NOBODY = 65534
_LISTS: tuple[type[Iterable[Any]], ...] = (list, tuple, range, type({}.keys()), type({}.values()), type({}.items()))


class Hidden:
    """Names that no program can spell: what is transformed reaches what is bound to them, its author does not."""

    RETURN = "{return}"
    FORMAT = "{format}"
    EXCEPTION = "{exception}"
    ATTRIBUTE = "{attribute}"


class _Attributed:
    """A value with attributes beside what its type has; methods of the type come before them."""

    def __getattr__(self, name: str) -> Any:
        found = fields_of(self)
        for fields in found:
            if name in fields:
                return fields[name]
        there = ", ".join([str(each) for fields in found for each in fields][:20])
        raise AttributeError(f"there is no {name!r} here, but {there or 'nothing'}")


class _Fields(_Attributed, dict[str, Any]):
    """A map whose keys can be asked for as attributes, too."""


class _Text(_Attributed, str):
    pass


class _Whole(_Attributed, int):
    pass


class _Real(_Attributed, float):
    pass


class _List(_Attributed, list[Any]):
    pass


_KINDS: Mapping[type, type] = {dict: _Fields, _Fields: _Fields, list: _List, str: _Text, int: _Whole, float: _Real}
_BESIDE = "{beside}"


def attributed(value: Any, attributes: Mapping[str, Any]) -> Any:
    """The value itself, with attributes beside it; true, false and null can't have any."""
    kind = _KINDS.get(type(value))
    if kind is None or not attributes:
        return value
    made = kind(value)
    vars(made)[_BESIDE] = attributes
    return made


def fields_of(value: Any) -> list[Mapping[str, Any]]:
    """Where to look for an attribute: a map's own keys, then what is beside the value."""
    found: list[Mapping[str, Any]] = [value] if isinstance(value, Mapping) else []
    return [*found, vars(value).get(_BESIDE, {})] if isinstance(value, _Attributed) else found


def _attribute(value: Any, name: str) -> Any:
    """An attribute that is not called, where its name is also that of a method."""
    for fields in fields_of(value):
        if name in fields:
            return fields[name]
    return getattr(value, name)


class NotPlainError(Exception):
    """A value that can't leave the process."""


def plain(value: Any, depth: int = 0) -> Any:
    """The value as JSON knows it: dates as ISO text, durations in seconds, sets sorted.

    Raises:
        NotPlainError: it is something else: a function, a generator, an endless nest.
    """
    if depth > _DEEPEST:
        raise NotPlainError("it is nested too deeply")
    if isinstance(value, Mapping):
        return {_key(key): plain(item, depth + 1) for key, item in value.items()}
    if isinstance(value, _LISTS):
        return [plain(item, depth + 1) for item in value]
    if isinstance(value, set | frozenset):
        items = [plain(item, depth + 1) for item in value]
        return sorted(items, key=_order)
    return _plain_scalar(value)


def _plain_scalar(value: Any) -> Any:
    if value is None or isinstance(value, bool):
        return value
    for kind in (str, int, float):
        if isinstance(value, kind):
            # Kinds of these are not passed on, only what they say.
            value = kind(value)
            if kind is float and not math.isfinite(value):
                raise NotPlainError(f"{value} is no number that others can read")
            return value
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    if type(value).__name__ in ("Decimal", "Fraction"):
        return _plain_scalar(float(value))
    raise NotPlainError(f"it is of type {type(value).__name__}")


def _order(item: Any) -> tuple[str, Any]:
    return str(type(item)), item if isinstance(item, int | float) else repr(item)


def _key(key: Any) -> str:
    if isinstance(key, str | int | float | bool | None):
        return str(key)
    if isinstance(key, date | datetime):
        return key.isoformat()
    raise NotPlainError(f"a key is of type {type(key).__name__}")


class _Returned(BaseException):
    """A `return` outside of functions."""


class _Facade:
    """The names of a module that may be used."""

    def __init__(self, name: str, allowed: Sequence[str]) -> None:
        module = importlib.import_module(name)
        vars(self).update({each: getattr(module, each) for each in allowed if hasattr(module, each)})


def _formatter(insides: frozenset[str]) -> Callable[[Any, str], Any]:
    """`str.format` that follows no underscores."""
    import string  # noqa: PLC0415 - costs more than all the rest, and few need it

    class Formatter(string.Formatter):
        def get_field(self, field_name: str, args: Any, kwargs: Any) -> Any:
            if any(part.startswith("_") or part in insides for part in field_name.replace("[", ".").split(".")[1:]):
                raise AttributeError(f"the field {field_name!r} is not allowed in a format")
            return super().get_field(field_name, args, kwargs)

    formatter = Formatter()

    def find(value: Any, name: str) -> Any:
        if value is str:
            return lambda text, *args, **kwargs: find(text, name)(*args, **kwargs)
        if not isinstance(value, str):
            return getattr(value, name)
        if name == "format_map":
            return lambda mapping: formatter.vformat(value, (), mapping)
        return lambda *args, **kwargs: formatter.vformat(value, args, kwargs)

    return find


def _names(request: Mapping[str, Any], printed: list[str]) -> dict[str, Any]:
    facades = {name: _Facade(name, allowed) for name, allowed in request["modules"].items()}
    if "datetime" in facades:
        # Imported by strptime, when nothing can be imported any more.
        importlib.import_module("_strptime")

    def find_module(name: str, *_: Any) -> _Facade | None:
        # What is no module of the block's is one that the interpreter needs by the way, and finds by itself.
        return facades.get(name)

    def note(*values: Any, sep: str = " ", end: str = "\n", **_: Any) -> None:
        if sum(map(len, printed)) < _PRINTED:
            printed.append((sep.join(map(str, values)) + end)[:_PRINTED])

    known = vars(sys.modules["builtins"])
    builtins = {name: known[name] for name in request["builtins"]}
    names: dict[str, Any] = {"__builtins__": {**builtins, "print": note, "__import__": find_module}}
    names |= {Hidden.RETURN: _Returned, Hidden.EXCEPTION: Exception, Hidden.ATTRIBUTE: _attribute}
    if request["formats"]:
        names[Hidden.FORMAT] = _formatter(frozenset(request["insides"]))
    for name, (module, attribute) in request["prebound"].items():
        names[name] = facades[module] if attribute is None else getattr(facades[module], attribute)
    for name, value in request["values"].items():
        names[name] = attributed(value, request["attributes"].get(name, {}))
    return names


def _perform(request: Mapping[str, Any]) -> dict[str, Any]:
    printed: list[str] = []
    names = _names(request, printed)
    given = dict(names)
    # A function, because making one is an event for the audit and calling it is none.
    block = types.FunctionType(marshal.loads(base64.b64decode(request["code"])), names)  # noqa: S302 - our own
    _shut_the_doors()
    returned: list[Any] = []
    try:
        block()
    except _Returned as result:
        returned = [result.args[0]]
    except Exception as error:
        # The first frame is this one; frames themselves can't be looked at any more.
        below = error.__traceback__ and error.__traceback__.tb_next
        return {"error": _about(error), "line": below and below.tb_lineno}
    made = {name: value for name, value in names.items() if name not in given or given[name] is not value}
    variables: dict[str, Any] = {}
    left_out: dict[str, str] = {}
    for name, value in made.items():
        if not name.startswith("_") and not isinstance(value, _Facade | types.FunctionType | type):
            try:
                variables[name] = plain(value)
            except NotPlainError as error:
                left_out[name] = str(error)
    answer: dict[str, Any] = {"variables": variables, "left_out": left_out, "printed": "".join(printed)[:_PRINTED]}
    for name in request["results"]:
        if name in made:
            if name not in variables:
                raise NotPlainError(f"{name!r} can't leave the step: {left_out.get(name, 'it is code')}")
            return {**answer, "value": variables[name]}
    return {**answer, "value": plain(returned[0]) if returned else variables}


def _limit(kind: int, amount: int) -> None:
    hard = resource.getrlimit(kind)[1]
    amount = amount if hard == resource.RLIM_INFINITY else min(amount, hard)
    resource.setrlimit(kind, (amount, amount))


def _shut_the_doors() -> None:
    # The local zone is in a file, and files can still be read.
    tzset()
    os.close(0)
    if os.geteuid() == 0:
        # No limit on processes holds for root.
        try:
            os.setgroups([])
            os.setresgid(_NOBODY, _NOBODY, _NOBODY)
            os.setresuid(_NOBODY, _NOBODY, _NOBODY)
        except OSError:
            pass
    for kind in (resource.RLIMIT_NOFILE, resource.RLIMIT_NPROC, resource.RLIMIT_FSIZE, resource.RLIMIT_CORE):
        _limit(kind, 0)

    def refuse(event: str, _: Any) -> None:
        if event != "builtins.id":
            raise RuntimeError(f"{event} is not allowed in a compute step")

    sys.addaudithook(refuse)


def _about(error: BaseException) -> str:
    if isinstance(error, MemoryError):
        return "it needs more memory than a compute step may have"
    text = str(error)[:2000]
    return text if isinstance(error, NotPlainError) else f"{type(error).__name__}: {text}"


def main() -> None:
    """One request, one answer."""
    _limit(resource.RLIMIT_AS, int(sys.argv[1]))
    _limit(resource.RLIMIT_CPU, int(sys.argv[2]))
    most = int(sys.argv[3])
    try:
        request = json.loads(sys.stdin.buffer.read(), object_hook=_Fields)
        answer = json.dumps(_perform(request)).encode()
        if len(answer) > most:
            answer = json.dumps({"error": f"its values are larger than {most} bytes"}).encode()
    except BaseException as error:
        answer = json.dumps({"error": _about(error)}).encode()
    while answer:
        answer = answer[os.write(1, answer) :]
    # Nothing of the step's runs any more, not even a finaliser.
    os._exit(0)


if __name__ == "__main__":
    main()

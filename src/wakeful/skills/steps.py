"""One step of a skill, from its data: which kind it is, and what goes with it."""

import re
from collections.abc import Collection, Mapping
from typing import Any

from wakeful.skills.compute import compile_block
from wakeful.skills.conditions import Condition
from wakeful.skills.documents import Document
from wakeful.skills.errors import SkillError, meant
from wakeful.skills.model import Kind, OnError, Step
from wakeful.skills.prepared import is_template, prepare

MOST_RETRIES = 10
LONGEST_TIMEOUT_S = 3600

_KEYS = (
    *("id", "name", "description", "condition", "on_error", "timeout", "output"),
    *("compute", "tool", "args", "then", "loop", "loop_var"),
)
_KINDS = {"compute": Kind.COMPUTE, "tool": Kind.TOOL, "then": Kind.RETURN}
_RESERVED = frozenset({"inputs", "session", "defaults", "outputs"})


class Places:
    """Where things are in a document, and what its reader is to be warned of."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.warnings: list[str] = []

    def warn(self, where: str, text: str) -> None:
        """Notes something that is not done as written."""
        self.warnings.append(f"{where}: {text}")

    def look_for_unknown(self, data: Mapping[str, Any], known: Collection[str], where: str, about: str) -> None:
        """Warns of every key that means nothing."""
        for key in data:
            if key not in known:
                self.warn(where, f"{about}: {key!r} is ignored{meant(key, known)}")


def read_step(data: Any, number: int, places: Places) -> Step:
    """The step of that number, the first being 1.

    Raises:
        SkillError: it can't be.
    """
    where = places.document.where("steps", number - 1)
    if not isinstance(data, Mapping):
        raise SkillError(f"step {number} must be a map", where)
    name = data.get("id") or data.get("name") or f"step_{number}"
    about = f"step {name!r}"
    for key in ("id", "name", "output", "loop_var"):
        text = data.get(key)
        if not isinstance(text, str | None) or (key != "name" and text in _RESERVED):
            raise SkillError(f"{about}: {key} must be a text, and none of {', '.join(sorted(_RESERVED))}", where)
    if name in _RESERVED:
        raise SkillError(f"{about}: that name is taken", where)
    where = f"{where}, {about}"
    places.look_for_unknown(data, _KEYS, where, "here")
    kinds = [kind for key, kind in _KINDS.items() if key in data]
    if len(kinds) > 1:
        raise SkillError(f"only one of {', '.join(kinds)} can be in one step", where)
    kind = kinds[0] if kinds else Kind.MANUAL
    if kind is Kind.MANUAL and not (data.get("description") or data.get("name")):
        raise SkillError("a step has compute, or tool with args, or then, or at least a description", where)
    return Step(
        name=name,
        kind=kind,
        where=where,
        output=data.get("output") or "",
        description=str(data.get("description") or ""),
        condition=_condition(data.get("condition"), where),
        on_error=_on_error(data.get("on_error"), where, places),
        timeout_s=_timeout(data.get("timeout"), where),
        **_work(data, kind, where, places),
    )


def _work(data: Mapping[str, Any], kind: Kind, where: str, places: Places) -> dict[str, Any]:
    """What is of this kind of step only."""
    if kind is Kind.RETURN:
        return {"value": _returned(data["then"], where, places)}
    work: dict[str, Any] = {}
    if "loop" in data:
        loop, variable = data["loop"], data.get("loop_var") or "item"
        if isinstance(loop, str) and not is_template(loop):
            loop = "{{ " + loop + " }}"
        if not isinstance(loop, str | list) or not variable.isidentifier():
            raise SkillError("loop is a list, or an expression for one; loop_var is a name", where)
        work |= {"has_loop": True, "loop": prepare(loop, where), "loop_var": variable}
    if kind is Kind.COMPUTE:
        if not isinstance(data["compute"], str):
            raise SkillError("compute must be a text", where)
        return {**work, "block": compile_block(data["compute"], where)}
    if kind is Kind.TOOL:
        args = data.get("args")
        if not isinstance(data["tool"], str) or not isinstance(args, Mapping | None):
            raise SkillError("tool must be a name, and its args a map", where)
        return {**work, "tool": data["tool"], "args": prepare(args or {}, where)}
    return work


def _returned(then: Any, where: str, places: Places) -> Any:
    """What a `then` returns; nothing of its own if it is only the word."""
    if then == "return":
        return None
    items = then if isinstance(then, list) else [then]
    returns = [item["return"] for item in items if isinstance(item, Mapping) and "return" in item]
    if not returns:
        raise SkillError("then is the word return, or a list with a return: then: [{return: …}]", where)
    if len(items) > 1:
        places.warn(where, "in then, only the first return is done")
    return prepare(returns[0], where)


def _condition(condition: Any, where: str) -> Condition | None:
    if condition is None or condition == "":
        return None
    if not isinstance(condition, str | bool | int | float):
        raise SkillError("a condition is an expression", where)
    return Condition(condition if isinstance(condition, str) else str(condition), where)


def _on_error(on_error: Any, where: str, places: Places) -> OnError:
    if isinstance(on_error, Mapping) and list(on_error) == ["retry"]:
        on_error = f"retry:{on_error['retry']}"
    if on_error in (None, "fail"):
        return OnError()
    if on_error == "continue":
        return OnError(goes_on=True)
    if on_error == "auto_heal":
        places.warn(where, "on_error: auto_heal is done as continue: nothing is repaired")
        return OnError(goes_on=True)
    retry = re.fullmatch(r"retry\s*:\s*([0-9]{1,3})", str(on_error))
    if retry is None or int(retry[1]) > MOST_RETRIES:
        known = f"fail, continue or retry:N with N up to {MOST_RETRIES}"
        raise SkillError(f"on_error is {known}, and is {on_error!r} here", where)
    return OnError(retries=int(retry[1]))


def _timeout(timeout: Any, where: str) -> float | None:
    if timeout is None:
        return None
    if isinstance(timeout, bool) or not isinstance(timeout, int | float) or not 0 < timeout <= LONGEST_TIMEOUT_S:
        raise SkillError(f"timeout is a number of seconds, up to {LONGEST_TIMEOUT_S}", where)
    return float(timeout)

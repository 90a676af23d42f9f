"""The grammar: from a file's data to a skill. docs/skills.md is the same for people."""

import re
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from wakeful.skills.compute import Block, compile_block
from wakeful.skills.compute_rules import PREBOUND
from wakeful.skills.documents import Document
from wakeful.skills.errors import SkillError, meant, near
from wakeful.skills.inputs import TYPES, accepted
from wakeful.skills.model import Input, Output, Skill, Step
from wakeful.skills.prepared import prepare, templates_of
from wakeful.skills.steps import Places, read_step

MOST_STEPS = 200
MOST_INPUTS = 200

_TOP = ("name", "description", "version", "author", "inputs", "defaults", "steps", "outputs")
_INPUT = ("name", "type", "required", "default", "description", "pattern", "enum", "max_length")
_OUTPUT = ("name", "value", "compute", "description", "type")


def read_skill(document: Document, tools: Collection[str]) -> Skill:
    """The skill that a document describes, to be run with these tools.

    Raises:
        SkillError: it can't be run: why, and where in the file.
    """
    data = document.data
    places = Places(document)
    for key in data:
        if key not in _TOP:
            places.warn(document.where(key), f"{key!r} means nothing here{meant(key, _TOP)}")
    stem = document.file.rpartition("/")[2].rpartition(".")[0]
    if not isinstance(data.get("name", stem), str):
        raise SkillError("name must be a text", document.where("name"))
    steps = _steps(document, places)
    skill = Skill(
        name=data.get("name", stem),
        file=document.file,
        description=str(data.get("description") or ""),
        inputs=_inputs(document, places),
        defaults=_defaults(document),
        steps=steps,
        outputs=_outputs(document, places),
    )
    for step in steps:
        if step.tool and step.tool not in tools:
            raise SkillError(f"there is no tool {step.tool!r}{near(step.tool, tools)}", step.where)
    _look_for_unknown_names(skill, places)
    return Skill(**{name: getattr(skill, name) for name in Skill.__slots__} | {"warnings": tuple(places.warnings)})


def _steps(document: Document, places: Places) -> tuple[Step, ...]:
    steps = document.data.get("steps")
    where = document.where("steps")
    if not isinstance(steps, list) or not steps:
        raise SkillError("a skill needs steps, a list of at least one", where)
    if len(steps) > MOST_STEPS:
        raise SkillError(f"{len(steps)} steps, and at most {MOST_STEPS} are allowed", where)
    return tuple(read_step(step, number, places) for number, step in enumerate(steps, 1))


def _defaults(document: Document) -> Mapping[str, Any]:
    defaults = document.data.get("defaults") or {}
    if not isinstance(defaults, Mapping):
        raise SkillError("defaults must be a map", document.where("defaults"))
    prepared: Mapping[str, Any] = prepare(defaults, document.where("defaults"))
    return prepared


def _inputs(document: Document, places: Places) -> tuple[Input, ...]:
    declared = document.data.get("inputs") or []
    if isinstance(declared, Mapping):
        pairs = [(document.where("inputs", name), {"name": name, **_long_form(it)}) for name, it in declared.items()]
    elif isinstance(declared, list):
        pairs = [(document.where("inputs", number), each) for number, each in enumerate(declared)]
    else:
        raise SkillError("inputs must be a list or a map", document.where("inputs"))
    if len(pairs) > MOST_INPUTS:
        raise SkillError(f"{len(pairs)} inputs, and at most {MOST_INPUTS} are allowed", document.where("inputs"))
    inputs = tuple(_input(each, where, places) for where, each in pairs)
    for number, each in enumerate(inputs):
        if each.name in {other.name for other in inputs[:number]}:
            raise SkillError(f"the input {each.name!r} is declared twice", pairs[number][0])
    return inputs


def _long_form(declared: Any) -> Mapping[str, Any]:
    """What stands beside a name in a map of inputs: everything, or only a type."""
    if isinstance(declared, Mapping):
        return declared
    return {} if declared is None else {"type": declared}


def _input(declared: Any, where: str, places: Places) -> Input:
    if isinstance(declared, str):
        declared = {"name": declared}
    if not isinstance(declared, Mapping) or not isinstance(declared.get("name"), str):
        raise SkillError("an input is a map with a name", where)
    name = declared["name"]
    about = f"input {name!r}"
    places.look_for_unknown(declared, _INPUT, where, about)
    kind = declared.get("type", "any")
    if not isinstance(kind, str) or kind not in TYPES:
        raise SkillError(f"{about}: there is no type {kind!r}{near(str(kind), TYPES)}", where)
    required, longest, pattern, enum = (declared.get(key) for key in ("required", "max_length", "pattern", "enum"))
    if not isinstance(required, bool | None):
        raise SkillError(f"{about}: required must be true or false", where)
    if isinstance(longest, bool) or not isinstance(longest, int | None) or (longest or 0) < 0:
        raise SkillError(f"{about}: max_length must be a whole number", where)
    if not isinstance(enum, list | None):
        raise SkillError(f"{about}: enum must be a list", where)
    default = declared.get("default")
    made = Input(
        name=name,
        type=TYPES[kind],
        required=bool(required),
        has_default=default is not None,
        default=prepare(default, where),
        description=str(declared.get("description") or ""),
        pattern=_pattern(pattern, about, where),
        enum=tuple(enum or ()),
        max_length=longest,
    )
    if default is not None and not any(templates_of(made.default)):
        try:
            accepted(made, made.default)
        except Exception as error:
            raise SkillError(f"its own default is refused: {error}", where) from None
    return made


def _pattern(pattern: Any, about: str, where: str) -> str:
    if pattern is None:
        return ""
    try:
        re.compile(pattern)
    except (re.error, TypeError, RecursionError) as error:
        raise SkillError(f"{about}: the pattern {pattern!r} can't be: {error}", where) from None
    return str(pattern)


def _outputs(document: Document, places: Places) -> tuple[Output, ...]:
    declared = document.data.get("outputs") or []
    if isinstance(declared, Mapping):
        pairs: Iterable[tuple[str, Any]] = (
            (document.where("outputs", name), {"name": name, **(it if _is_long(it) else {"value": it})})
            for name, it in declared.items()
        )
    elif isinstance(declared, list):
        pairs = ((document.where("outputs", number), each) for number, each in enumerate(declared))
    else:
        raise SkillError("outputs must be a list or a map", document.where("outputs"))
    return tuple(made for where, each in pairs if (made := _output(each, where, places)) is not None)


def _is_long(declared: Any) -> bool:
    """Whether this tells about an output, and is not itself its value."""
    return isinstance(declared, Mapping) and bool(declared) and declared.keys() <= set(_OUTPUT)


def _output(declared: Any, where: str, places: Places) -> Output | None:
    if isinstance(declared, str):
        declared = {"name": declared}
    if not isinstance(declared, Mapping) or not isinstance(declared.get("name"), str):
        raise SkillError("an output is a map with a name", where)
    name = declared["name"]
    places.look_for_unknown(declared, _OUTPUT, where, f"output {name!r}")
    if "compute" in declared:
        return Output(name, where, block=_block(declared["compute"], where))
    if "value" in declared:
        return Output(name, where, value=prepare(declared["value"], where))
    if "tool" in declared:
        # Already warned of, as an unknown key.
        return None
    # One that is only described is the result of that name.
    return Output(name, where, value=prepare("{{ " + name + " }}", where) if name.isidentifier() else None)


def _block(source: Any, where: str) -> Block:
    if not isinstance(source, str):
        raise SkillError("compute must be a text", where)
    return compile_block(source, where)


def _look_for_unknown_names(skill: Skill, places: Places) -> None:
    """Whatever a template names must be there by then; a typo is told before it matters."""
    known = {"inputs", "session", "defaults", "outputs"}
    for step in skill.steps:
        here = known | ({step.loop_var} if step.has_loop else set())
        asked = _asked(step.args, step.value, step.loop, step.block)
        at_once = step.condition.names if step.condition else frozenset()
        _warn_of((asked | at_once) - here, here, f"step {step.name!r}", step.where, places)
        if step.has_loop and step.loop_var in at_once - known:
            about = f"step {step.name!r}: the condition is looked at once, before the loop"
            places.warn(step.where, f"{about}: it can't know {step.loop_var!r}")
        for name in step.names:
            known |= {name, f"{name}_error", *([f"{name}_parsed"] if step.tool else [])}
    for output in skill.outputs:
        asked = _asked(output.value, output.block)
        _warn_of(asked - known, known, f"output {output.name!r}", output.where, places)


def _asked(*parts: Any) -> set[str]:
    asked: set[str] = set()
    for part in parts:
        if isinstance(part, Block):
            asked |= part.asks - PREBOUND.keys()
            asked.update(*(template.names for template, _ in part.inserted.values()))
        else:
            asked.update(*(template.names for template in templates_of(part)))
    return asked


def _warn_of(unknown: set[str], known: set[str], about: str, where: str, places: Places) -> None:
    for name in sorted(unknown):
        places.warn(where, f"{about}: {name!r} is not known there{meant(name, known)}")

"""What a person reads about a skill: what it did, or what it would do."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from wakeful.skills.model import Kind, Skill, Step
from wakeful.skills.results import StepRun, StepState
from wakeful.skills.templates import Template

_LONGEST_TEXT = 64 * 1024
_LONGEST_LINE = 500
_MARKS = {
    StepState.DONE: "✅",
    StepState.SKIPPED: "⏭️",
    StepState.CONTINUED: "⚠️",
    StepState.FAILED: "❌",
    StepState.MANUAL: "📝",
    StepState.RETURNED: "↩️",
}


def told(name: str, steps: Sequence[StepRun], outputs: Mapping[str, Any], error: str | None) -> str:
    """A run: a line for each step, then the outputs, then what went wrong."""
    failed = sum(step.state in (StepState.FAILED, StepState.CONTINUED) for step in steps)
    done = sum(step.state in (StepState.DONE, StepState.RETURNED) for step in steps)
    lines = [f"{'❌' if error else '✅'} {name}: {done} ✅ · {failed} ❌"]
    lines += [_step_line(step) for step in steps]
    for key, value in outputs.items():
        shown = as_text(value)
        lines.append(f"{key}:\n{shown}" if "\n" in shown else f"{key}: {shown}")
    if error:
        lines.append(f"❌ {_line(error)}")
    text = "\n".join(lines)
    if len(text) > _LONGEST_TEXT:
        text = text[:_LONGEST_TEXT] + "\n… (cut)"
    # Half of a character pair, which JSON allows, is no text that can be sent on.
    return text.encode("utf-8", "replace").decode("utf-8")


def planned(skill: Skill, given: Mapping[str, Any], problems: Sequence[tuple[str, str]]) -> str:
    """What the skill would do, step by step, without doing it."""
    lines = [f"{skill.name}: {skill.description}" if skill.description else skill.name]
    lines += [f"{'❌' if severity == 'error' else '⚠️'} {text}" for severity, text in problems]
    for each in skill.inputs:
        value = given.get(each.name)
        shown = as_text(_written(each.default)) + " (default)" if value is None and each.has_default else as_text(value)
        lines.append(f"input {each.name} = {_line(shown)}")
    for number, step in enumerate(skill.steps, 1):
        lines.append(f"{number}. {step.name}: {_planned(step)}")
    lines += [f"output {each.name}" for each in skill.outputs]
    return "\n".join(lines)[:_LONGEST_TEXT]


def as_text(value: Any) -> str:
    """A value for a person: texts as they are, the rest as JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _step_line(step: StepRun) -> str:
    line = f"{_MARKS[step.state]} {step.name}"
    if step.attempts > 1:
        line += f" ({step.attempts} attempts)"
    if step.state is StepState.CONTINUED:
        return f"{line}: {_line(step.error or '')} (went on)"
    about = step.error or step.note
    return f"{line}: {_line(about)}" if about else line


def _planned(step: Step) -> str:
    what = {
        Kind.COMPUTE: "compute",
        Kind.TOOL: f"{step.tool} {_line(as_text(_written(step.args)))}",
        Kind.RETURN: "return",
        Kind.MANUAL: f"by hand: {step.description}",
    }[step.kind]
    if step.has_loop:
        what += f", for each {step.loop_var} of {_line(as_text(_written(step.loop)))}"
    if step.condition is not None:
        what += f", if {_line(step.condition.source)}"
    if step.on_error.goes_on:
        what += ", going on if it fails"
    if step.on_error.retries:
        what += f", tried again up to {step.on_error.retries} times"
    return what


def _written(prepared: Any) -> Any:
    """Prepared data as it stood in the file."""
    if isinstance(prepared, Template):
        return prepared.source
    if isinstance(prepared, Mapping):
        return {key: _written(item) for key, item in prepared.items()}
    return [_written(item) for item in prepared] if isinstance(prepared, list) else prepared


def _line(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST_LINE else line[: _LONGEST_LINE - 1] + "…"

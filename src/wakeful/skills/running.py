"""One run of a skill: its steps one after the other, each with the values of those before it."""

import asyncio
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from wakeful.skills.compute import Block
from wakeful.skills.compute_child import NotPlainError, attributed, plain
from wakeful.skills.computing import Bounds, Computed, run_block
from wakeful.skills.errors import StepError
from wakeful.skills.inputs import resolve
from wakeful.skills.model import Kind, Skill, Step
from wakeful.skills.prepared import fill
from wakeful.skills.results import Session, StepRun, StepState, Tool
from wakeful.skills.sandbox import Missing
from wakeful.skills.templates import Template

_PARSED_LINE = re.compile(r"\s*(?:[-*]\s+)?(?:\*\*)?([\w][\w ./-]{0,79}?)(?:\*\*)?:(?:\*\*)?(?:\s+(.*))?", re.ASCII)
_MOST_PARSED = 1000
_NOTED = 500


@dataclass(frozen=True, slots=True)
class Limits:
    """What a run may take: turns of a loop, bytes of a step's result and of all of them, depth of nested skills."""

    loop_items: int = 1000
    result: int = 1024 * 1024
    results: int = 16 * 1024 * 1024
    depth: int = 5
    retry_pause_s: float = 1.0
    compute: Bounds = field(default_factory=Bounds)


DEFAULT_LIMITS = Limits()


class Run:
    """One run; afterwards ``steps`` tell what happened, and ``outputs`` what came out."""

    def __init__(self, skill: Skill, session: Session, tools: Mapping[str, Tool], limits: Limits) -> None:
        self.steps: list[StepRun] = []
        self.outputs: dict[str, Any] = {}
        self.error: str | None = None
        self._skill = skill
        self._session = session
        self._tools = tools
        self._limits = limits
        self._room = limits.results
        # As templates see them: with attributes, and with what is missing.
        self._names: dict[str, Any] = {"session": session.fields(), "outputs": self.outputs}
        self._attributes: dict[str, Mapping[str, Any]] = {}

    async def perform(self, given: Mapping[str, Any]) -> None:
        """Does everything; what fails is in ``error``."""
        try:
            self._names["defaults"] = fill(self._skill.defaults, self._names)
            self._names["inputs"] = resolve(self._skill, given, self._names)
        except StepError as error:
            self.error = str(error)
            return
        for number, step in enumerate(self._skill.steps):
            ran = await self._step(step)
            self.steps.append(ran)
            if ran.state is StepState.FAILED:
                self.error = f"step {step.name!r}: {ran.error}"
                return
            if ran.state is StepState.RETURNED:
                if step.value is not None:
                    return
                for later in self._skill.steps[number + 1 :]:
                    self._keep_nothing(later)
                break
        await self._make_outputs()

    async def _step(self, step: Step) -> StepRun:
        try:
            if step.condition is not None and not step.condition.holds(self._names):
                self._keep_nothing(step)
                return StepRun(step.name, StepState.SKIPPED)
            if step.kind is Kind.MANUAL:
                self._keep_nothing(step)
                return StepRun(step.name, StepState.MANUAL, note=step.description)
            if step.kind is Kind.RETURN:
                self._return(step)
                return StepRun(step.name, StepState.RETURNED)
            return await self._loop(step) if step.has_loop else await self._once(step)
        except StepError as error:
            return self._gave_up(step, str(error))

    def _return(self, step: Step) -> None:
        if step.value is not None:
            value = fill(step.value, self._names)
            self.outputs.update(value if isinstance(value, dict) else {"result": value})

    async def _once(self, step: Step) -> StepRun:
        made, attempts, error = await self._try(step, self._names)
        if made is None:
            return self._gave_up(step, error, attempts)
        self._keep(step, made)
        return StepRun(step.name, StepState.DONE, attempts=attempts, note=made.printed.strip()[:_NOTED])

    async def _loop(self, step: Step) -> StepRun:
        items = fill(step.loop, self._names)
        if not isinstance(items, list):
            raise StepError(f"loop needs a list, and is given {type(items).__name__}")
        if len(items) > self._limits.loop_items:
            raise StepError(f"loop over {len(items)} items, and at most {self._limits.loop_items} are allowed")
        values: list[Any] = []
        errors: list[str] = []
        most = 1
        for number, item in enumerate(items):
            made, attempts, error = await self._try(step, {**self._names, step.loop_var: item})
            most = max(most, attempts)
            if made is None:
                errors.append(f"item {number + 1} of {len(items)}: {error}")
                if not step.on_error.goes_on:
                    return self._gave_up(step, errors[0], attempts)
            values.append(None if made is None else made.value)
        self._keep(step, Computed(values, {}, {}, ""))
        if not errors:
            return StepRun(step.name, StepState.DONE, attempts=most, note=f"{len(items)} items")
        about = f"{len(errors)} of {len(items)} items failed; {errors[0]}"
        self._names |= {f"{name}_error": about for name in step.names}
        return StepRun(step.name, StepState.CONTINUED, about, most)

    async def _try(self, step: Step, names: dict[str, Any]) -> tuple[Computed | None, int, str]:
        """What came of the step, after how many attempts, and the last error."""
        attempt, error = 0, ""
        while attempt <= step.on_error.retries:
            if attempt:
                await asyncio.sleep(self._limits.retry_pause_s * attempt)
            attempt += 1
            try:
                async with asyncio.timeout(step.timeout_s):
                    return await self._work(step, names), attempt, ""
            except StepError as failed:
                error = str(failed)
            except TimeoutError:
                error = f"took longer than {step.timeout_s:g} s"
        return None, attempt, error

    async def _work(self, step: Step, names: dict[str, Any]) -> Computed:
        if step.block is not None:
            results = (step.output, "result") if step.output else (step.name, "result")
            return await self._compute(step.block, names, results)
        tool = self._tools[step.tool]
        args = self._arguments(step, names)
        try:
            value = plain(await tool(args, self._session))
        except NotPlainError as error:
            raise StepError(f"{step.tool} gave what is no plain data: {error}") from None
        except Exception as error:
            about = str(error) if isinstance(error, StepError) else f"{type(error).__name__}: {str(error)[:2000]}"
            raise StepError(f"{step.tool}: {about}") from error
        return Computed(value, {}, {}, "")

    async def _compute(self, block: Block, names: dict[str, Any], results: Sequence[str]) -> Computed:
        # The variable of a loop may bear the name of a step.
        attributes = {name: it for name, it in self._attributes.items() if names[name] is self._names[name]}
        return await run_block(block, names, attributes, results, self._limits.compute)

    def _arguments(self, step: Step, names: dict[str, Any]) -> dict[str, Any]:
        """The tool's arguments; an empty one is refused unless that was provided for."""
        declared = {each.name: each for each in self._skill.inputs}
        args: dict[str, Any] = {}
        for key, prepared in step.args.items():
            value = fill(prepared, names)
            empty = value is None or (isinstance(value, str) and not value.strip())
            if empty and isinstance(prepared, Template) and not prepared.has_default:
                asked = declared.get(prepared.asks_input or "")
                if asked is None or asked.required:
                    source = prepared.source.strip()
                    raise StepError(f"the argument {key!r} is empty: {source} gave nothing (default('') allows that)")
                if value is None:
                    continue
            args[key] = value
        return args

    def _keep(self, step: Step, made: Computed) -> None:
        size = len(json.dumps(made.value)) + len(json.dumps(made.variables))
        self._room -= size
        if size > self._limits.result or self._room < 0:
            raise StepError(f"results of more than {self._limits.result} bytes, or {self._limits.results} in all")
        own = made.value if isinstance(made.value, dict) else {}
        attributes = {name: own.get(name, value) for name, value in made.variables.items()}
        for name in step.names:
            self._names[name] = attributed(made.value, attributes)
            self._attributes[name] = attributes
            if step.kind is Kind.TOOL and isinstance(made.value, str):
                self._names[f"{name}_parsed"] = parsed_lines(made.value)

    def _keep_nothing(self, step: Step) -> None:
        # Of steps that share a name, each for its own case, the one that ran stands.
        for name in (*step.names, *(f"{name}_parsed" for name in step.names)):
            self._names.setdefault(name, Missing(name=name))

    def _gave_up(self, step: Step, error: str, attempts: int = 1) -> StepRun:
        self._keep_nothing(step)
        self._names |= {f"{name}_error": error for name in step.names}
        state = StepState.CONTINUED if step.on_error.goes_on else StepState.FAILED
        return StepRun(step.name, state, error, attempts)

    async def _make_outputs(self) -> None:
        for output in self._skill.outputs:
            try:
                if output.block is None:
                    value = fill(output.value, self._names)
                else:
                    value = (await self._compute(output.block, self._names, (output.name, "result"))).value
                if len(json.dumps(value)) > self._limits.result:
                    raise StepError(f"more than {self._limits.result} bytes")
            except StepError as error:
                self.error = f"output {output.name!r}: {error}"
                return
            self.outputs[output.name] = value


def parsed_lines(text: str) -> dict[str, str]:
    """What a text says in lines like ``key: value``; each key also as a name, in small letters with underscores."""
    found: dict[str, str] = {}
    for line in text.splitlines()[:_MOST_PARSED]:
        match = _PARSED_LINE.fullmatch(line)
        if match is not None:
            found.setdefault(match[1], (match[2] or "").strip())
    return found | {name: value for key, value in found.items() if (name := _as_name(key)) not in found}


def _as_name(key: str) -> str:
    return re.sub(r"\W+", "_", key.strip().lower(), flags=re.ASCII)

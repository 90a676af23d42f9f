"""The skill engine: loads skills from a folder and runs them with the tools that it was given."""

import asyncio
import json
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from wakeful.skills.errors import SkillError, ToolError
from wakeful.skills.folder import Folder
from wakeful.skills.inputs import check_given
from wakeful.skills.model import Skill
from wakeful.skills.results import Session, SkillResult, Tool
from wakeful.skills.running import DEFAULT_LIMITS, Limits, Run
from wakeful.skills.telling import planned, told

# The tool that runs another skill; it is always there.
SKILL_RUN = "skill_run"


class SkillEngine:
    """Runs the skills of a folder.

    Args:
        folder: where ``<name>.yaml`` is looked for.
        tools: what steps may use, by name; ``skill_run`` is there without being given.
        limits: what a run may take. How long it may take in all is up to the caller, who can cancel it.
    """

    def __init__(self, folder: Path, tools: Mapping[str, Tool], *, limits: Limits = DEFAULT_LIMITS) -> None:
        self._folder = Folder(folder, {*tools, SKILL_RUN})
        self._tools = tools
        self._limits = limits

    def load(self, name: str) -> Skill:
        """The skill as its file is now.

        Raises:
            SkillError: there is none, or it can't be run: why, and where in the file.
        """
        return self._folder.load(name)

    def names(self) -> list[str]:
        """The names of all skills in the folder."""
        return self._folder.names()

    def has(self, name: str) -> bool:
        """Whether there is a skill of that name, well-formed or not."""
        return self._folder.has(name)

    def problems(self, name: str, inputs: Mapping[str, Any]) -> list[tuple[str, str]]:
        """What is wrong with running the skill with these inputs, before that: ``error`` or ``warning``, and why."""
        try:
            skill = self.load(name)
        except SkillError as error:
            return [("error", str(error))]
        errors, warnings = check_given(skill, inputs)
        return [("error", text) for text in errors] + [("warning", text) for text in (*warnings, *skill.warnings)]

    def plan(self, name: str, inputs: Mapping[str, Any]) -> str:
        """What running the skill would do, as a text; nothing is done."""
        try:
            return planned(self.load(name), inputs, self.problems(name, inputs))
        except SkillError as error:
            return f"❌ {error}"

    async def run(self, name: str, inputs: Mapping[str, Any], session: Session) -> SkillResult:
        """Runs the skill. What is wrong with it, its inputs or its steps is told in the result, never raised.

        Cancelled, it ends what it is doing, with every process that it started.
        """
        return await self._run(name, inputs, session, 1)

    async def _run(self, name: str, inputs: Mapping[str, Any], session: Session, depth: int) -> SkillResult:
        try:
            # A large file takes long enough to hold up everybody else.
            skill = await asyncio.to_thread(self.load, name)
        except SkillError as error:
            return SkillResult(False, {}, told(name, (), {}, str(error)), str(error), ())
        errors, warnings = check_given(skill, inputs)
        if errors:
            wrong = "; ".join(errors)
            return SkillResult(False, {}, told(name, (), {}, wrong), wrong, (), tuple(warnings))
        nested = partial(self._nested, depth=depth + 1)
        run = Run(skill, session, {**self._tools, SKILL_RUN: nested}, self._limits)
        await run.perform(inputs)
        return SkillResult(
            success=run.error is None,
            outputs=run.outputs,
            text=told(skill.name, run.steps, run.outputs, run.error),
            error=run.error,
            steps=tuple(run.steps),
            warnings=(*warnings, *skill.warnings),
        )

    async def _nested(self, args: Mapping[str, Any], session: Session, *, depth: int) -> Any:
        """``skill_run``: another skill's outputs; with ``execute: false`` its plan."""
        name = args.get("skill_name", args.get("skill"))
        if not isinstance(name, str):
            raise ToolError("it needs skill_name, the name of a skill, and inputs, a map")
        inputs = args.get("inputs") or {}
        try:
            inputs = json.loads(inputs) if isinstance(inputs, str) else inputs
        except (ValueError, RecursionError):
            inputs = None
        if not isinstance(inputs, Mapping):
            raise ToolError("inputs must be a map, or the text of a JSON object")
        if args.get("execute") is False:
            return self.plan(name, inputs)
        if depth > self._limits.depth:
            raise ToolError(f"skills that run skills are nested more than {self._limits.depth} deep, the last {name!r}")
        result = await self._run(name, inputs, session, depth)
        if not result.success:
            raise ToolError(f"{name}: {result.error}")
        return result.outputs

"""Skills in a folder of their own, run with tools that note what they are asked for."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from pathlib import Path
from textwrap import dedent
from typing import Any

from wakeful.skills import Session, SkillEngine, SkillResult, Tools, built_in
from wakeful.skills.running import Limits

SESSION = Session(
    session_id="cron-coffee-20260126-090000",
    source="cron",
    job_name="morning_coffee",
    persona="developer",
    scheduled_at="2026-01-26T09:00:00-05:00",
)
NOW = datetime(2026, 1, 26, 9, 0, 7, tzinfo=timezone(timedelta(hours=-5)))


@dataclass
class Kitchen:
    """A folder of skills, and what their tools did."""

    folder: Path
    memory: Path
    sent: list[tuple[str, str]] = field(default_factory=list)
    asked: list[Mapping[str, Any]] = field(default_factory=list)
    answers: dict[str, Any] = field(default_factory=dict)
    limits: Limits = field(default_factory=lambda: Limits(retry_pause_s=0))

    def write(self, name: str, text: str) -> None:
        """Puts a skill into the folder."""
        path = self.folder / f"{name}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(dedent(text))

    def engine(self, tools: Tools | None = None) -> SkillEngine:
        """An engine with the built-in tools, and ``ask``, which gives the next answer, or raises it."""
        tools = tools or Tools(send=self.noted, memory=self.memory, now=lambda: NOW)
        return SkillEngine(self.folder, {**built_in(tools), "ask": self._ask}, limits=self.limits)

    async def run(self, text: str, /, **inputs: Any) -> SkillResult:
        """Runs this skill."""
        self.write("tried", text)
        return await self.engine().run("tried", inputs, SESSION)

    async def value(self, steps: str, **inputs: Any) -> Any:
        """What the last step, named ``it``, comes to."""
        text = f"name: tried\nsteps:\n{dedent(steps)}\noutputs: [{{name: it, value: '{{{{ it }}}}'}}]\n"
        result = await self.run(text, **inputs)
        assert result.success, result.error
        return result.outputs["it"]

    async def error(self, steps: str, **inputs: Any) -> str:
        """Why these steps fail."""
        result = await self.run(f"name: tried\nsteps:\n{dedent(steps)}\n", **inputs)
        assert not result.success, result.text
        assert result.error is not None
        return result.error

    def problems(self, text: str, **inputs: Any) -> list[tuple[str, str]]:
        """What is wrong with running this skill."""
        self.write("tried", text)
        return self.engine().problems("tried", inputs)

    async def noted(self, channel: str, text: str) -> None:
        """Sends to nowhere."""
        self.sent.append((channel, text))

    async def _ask(self, args: Mapping[str, Any], _: Session) -> Any:
        self.asked.append(args)
        answer = self.answers.get(str(args.get("for", "")), "")
        if isinstance(answer, list) and answer and isinstance(answer[0], Exception):
            raise answer.pop(0)
        return answer

"""The skill engine: skills are YAML files of steps that compute, use tools, and hand values to each other.

    engine = SkillEngine(folder, built_in(tools))
    result = await engine.run("daily_standup", {"days": 1}, session)

The grammar is in docs/skills.md.
"""

from wakeful.skills.engine import SkillEngine
from wakeful.skills.errors import SkillError
from wakeful.skills.results import Session, SkillResult, Tool
from wakeful.skills.tools import Tools, built_in

__all__ = ["Session", "SkillEngine", "SkillError", "SkillResult", "Tool", "Tools", "built_in"]

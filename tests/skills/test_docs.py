"""docs/skills.md: every example is run, and a person is shown what stands below it."""

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path

import pytest
import yaml

from skills.kitchen import NOW, SESSION, Kitchen
from wakeful.skills import Tools, compute_rules, http_tool, reading, steps

pytestmark = pytest.mark.anyio

PAGE = (Path(__file__).parents[2] / "docs" / "skills.md").read_text()
EXAMPLES = re.findall(r"```yaml\n(.*?)```\n```text\n(.*?)```", PAGE, re.DOTALL)
BROKEN = """#!/bin/sh
[ "$1" = broken ] && { echo "$1 does not answer" >&2; exit 1; }
echo "$1 is well"
"""


async def fetch(method: str, url: str, headers: Mapping[str, str], body: bytes, timeout: float) -> object:
    return 200, {"Content-Type": "application/json"}, b'{"state": "running"}'


def test_every_example_says_what_it_shows() -> None:
    assert len(EXAMPLES) == PAGE.count("```yaml") == PAGE.count("```text") > 4
    assert "is_cron" in EXAMPLES[0][0]


@pytest.mark.parametrize("number", range(len(EXAMPLES)))
async def test_an_example_does_what_it_shows(kitchen: Kitchen, tmp_path: Path, number: int) -> None:
    program = tmp_path / "check-project"
    program.write_text(BROKEN)
    program.chmod(0o755)
    for text, _ in EXAMPLES:
        kitchen.write(yaml.safe_load(text)["name"], text)
    tools = Tools(
        send=kitchen.noted,
        fetch=fetch,
        memory=kitchen.memory,
        now=lambda: NOW,
        programs=frozenset({"check-project"}),
        environment=lambda _: {"PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"},
    )
    text, shown = EXAMPLES[number]
    given = re.match(r"# inputs: (.*)\n", text)
    name = yaml.safe_load(text)["name"]
    engine = kitchen.engine(tools)
    inputs = json.loads(given[1]) if given else {}
    assert engine.problems(name, inputs) == []
    result = await engine.run(name, inputs, SESSION)
    assert result.text + "\n" == shown


def test_every_key_of_the_grammar_is_on_the_page() -> None:
    for key in (*reading._TOP, *reading._INPUT, *steps._KEYS, *http_tool._ARGS):
        assert f"`{key}`" in PAGE, key
    assert all(name.partition(".")[0] in PAGE for name in compute_rules.MODULES)

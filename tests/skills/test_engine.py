"""What a run tells: its result, its text, its plan; and runs beside each other."""

import asyncio
from dataclasses import replace

import pytest

from skills.kitchen import SESSION, Kitchen

pytestmark = pytest.mark.anyio


async def test_b3_22_a_skill_whose_step_failed_is_no_success(kitchen: Kitchen) -> None:
    result = await kitchen.run("""
        name: nightly
        steps:
          - {id: soft, compute: 1 / 0, on_error: continue}
          - {id: skipped, condition: soft, compute: result = 1}
          - {id: fine, compute: result = 1}
          - {id: hard, tool: ask, args: {x: "{{ fine.nope }}"}}
          - {id: never, compute: result = 1}
        """)
    assert (result.success, result.outputs) == (False, {})
    assert result.error == "step 'hard': {{ fine.nope }}: a number has no 'nope'"
    assert [(step.name, str(step.state)) for step in result.steps] == [
        ("soft", "continued"),
        ("skipped", "skipped"),
        ("fine", "done"),
        ("hard", "failed"),
    ]
    lines = result.text.splitlines()
    assert lines[0] == "❌ nightly: 1 ✅ · 2 ❌"
    assert lines[1].startswith("⚠️ soft: compute, line 1: ZeroDivisionError")
    assert lines[2:4] == ["⏭️ skipped", "✅ fine"]
    assert lines[-1].startswith("❌ step 'hard': ")


async def test_the_text_is_bounded_and_can_be_sent(kitchen: Kitchen) -> None:
    result = await kitchen.run("""
        name: tried
        steps: [{id: it, compute: "result = 'x' * 200000"}, {id: odd, compute: "result = chr(0xD800)"}]
        outputs: {odd: "{{ odd }}", lines: "a\\nb", it: "{{ it }}"}
        """)
    assert result.success
    assert len(result.outputs["it"]) == 200_000
    assert result.text.encode().startswith(b"\xe2\x9c\x85 tried")
    assert "odd: ?\nlines:\na\nb\nit: xxx" in result.text
    assert result.text.endswith("\n… (cut)")
    assert len(result.text) < 70_000


async def test_runs_beside_each_other_do_not_meet(kitchen: Kitchen) -> None:
    kitchen.write("tried", """
        name: tried
        inputs: [{name: n, type: integer}]
        steps:
          - {id: a, compute: "result = inputs.n\\nname = session.job_name"}
          - {id: b, compute: "result = [a, a.name]"}
        outputs: {b: "{{ b }}"}
        """)  # fmt: skip
    engine = kitchen.engine()
    runs = [engine.run("tried", {"n": n}, replace(SESSION, job_name=f"job-{n}")) for n in range(8)]
    results = await asyncio.gather(*runs)
    assert [result.outputs["b"] for result in results] == [[n, f"job-{n}"] for n in range(8)]


async def test_what_goes_in_is_not_changed_by_what_happens(kitchen: Kitchen) -> None:
    given = {"list": [1], "map": {"a": [1]}}
    value = await kitchen.value("""
        - {id: a, compute: "inputs.list.append(2)\\ninputs['map']['a'] = 5\\nresult = inputs"}
        - {id: it, compute: "result = [a, inputs]"}
        """, **given)  # fmt: skip
    assert value == [{"list": [1, 2], "map": {"a": 5}}, {"list": [1], "map": {"a": [1]}}]
    assert given == {"list": [1], "map": {"a": [1]}}


def test_c2_8_a_plan_says_what_would_be_done(kitchen: Kitchen) -> None:
    kitchen.write("tried", """
        name: tried
        description: Tries
        inputs: [{name: days, default: "{{ session.n }}"}, {name: who}, {name: must, required: true}]
        steps:
          - {id: a, compute: result = 1, on_error: continue}
          - {id: b, condition: "a  > 0", tool: ask, args: {x: "{{ a }}", y: [1]}, on_error: "retry:2"}
          - {id: c, loop: "{{ inputs.who }}", loop_var: w, tool: ask}
          - {id: d, description: look}
          - {id: e, then: return}
        outputs: [{name: o, value: 1}]
        """)  # fmt: skip
    assert kitchen.engine().plan("tried", {"who": ["x"]}).splitlines() == [
        "tried: Tries",
        "❌ input 'must' is required",
        "input days = {{ session.n }} (default)",
        'input who = ["x"]',
        "input must = null",
        "1. a: compute, going on if it fails",
        '2. b: ask {"x": "{{ a }}", "y": [1]}, if a > 0, tried again up to 2 times',
        "3. c: ask {}, for each w of {{ inputs.who }}",
        "4. d: by hand: look",
        "5. e: return",
        "output o",
    ]
    assert kitchen.asked == []
    assert kitchen.engine().plan("nope", {}).startswith("❌ there is no skill 'nope'")


async def test_a_wide_skill_runs_to_its_end(kitchen: Kitchen) -> None:
    steps = "\n".join(f"- {{id: s{n}, tool: ask, args: {{n: '{{{{ {n} + 1 }}}}'}}}}" for n in range(199))
    await kitchen.value(steps + "\n- {id: it, tool: ask}")
    assert [args.get("n") for args in kitchen.asked] == [*range(1, 200), None]

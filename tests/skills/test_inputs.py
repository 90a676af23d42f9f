"""Inputs: declared, defaulted, checked before the first step (B3.31)."""

from typing import Any

import pytest

from skills.kitchen import SESSION, Kitchen

pytestmark = pytest.mark.anyio


def skill(*inputs: str) -> str:
    """A skill with these inputs."""
    lines = "".join(f"  - {{{each}}}\n" for each in inputs)
    return f"name: tried\ninputs:\n{lines}steps: [{{id: it, tool: ask, args: {{x: '{{{{ inputs }}}}'}}}}]\n"


async def test_b3_31_a_required_input_that_is_missing_is_an_error_before_the_first_step(kitchen: Kitchen) -> None:
    text = skill(
        "name: namespace, required: true, description: of the cluster", "name: other, required: true, default: 1"
    )
    assert kitchen.problems(text) == [("error", "input 'namespace' is required (of the cluster)")]
    result = await kitchen.run(text)
    assert (result.success, result.error, kitchen.asked) == (
        False,
        "input 'namespace' is required (of the cluster)",
        [],
    )
    assert "❌ input 'namespace' is required" in result.text
    assert kitchen.problems(text, namespace="x") == []


async def test_b3_31_an_input_that_is_not_known_is_a_warning_and_there(kitchen: Kitchen) -> None:
    text = skill("name: projects")
    problem = ("warning", "input 'project': tried has no such input; did you mean projects?")
    assert kitchen.problems(text, project="x", _triggered_items=[1]) == [problem]
    result = await kitchen.run(text, project="x", _triggered_items=[1])
    assert result.success
    assert result.warnings == (problem[1],)
    assert kitchen.asked == [{"x": {"project": "x", "projects": None, "_triggered_items": [1]}}]


@pytest.mark.parametrize(
    ("declared", "given", "value"),
    [
        ("type: string", "a", "a"),
        ("type: string", 5, "5"),
        ("type: str", "", ""),
        ("type: integer", 5, 5),
        ("type: int", "-5", -5),
        ("type: integer", 5.0, 5),
        ("type: number", "2.5", 2.5),
        ("type: float", 2, 2),
        ("type: boolean", "false", False),
        ("type: bool", True, True),
        ("type: boolean", "yes", True),
        ("type: array", [1], [1]),
        ("type: object", {"a": 1}, {"a": 1}),
        ("type: any", [1], [1]),
        ("description: x", {"a": [1]}, {"a": [1]}),
        ("enum: [a, b]", "b", "b"),
        ("type: integer, enum: [1, 2]", "2", 2),
        ("max_length: 3", "abc", "abc"),
        ("pattern: '[A-Z]+-[0-9]+'", "AB-1", "AB-1"),
        ("pattern: '^x$'", "x", "x"),
        ("default: 7", None, 7),
        ("type: integer, default: '7'", None, 7),
        ("default: '{{ session.job_name }}!'", None, "morning_coffee!"),
        ("default: [a, '{{ session.source }}']", None, ["a", "cron"]),
        ("default: 2026-01-02", None, "2026-01-02"),
        ("required: false", None, None),
    ],
)
async def test_c2_8_an_input_is_accepted(kitchen: Kitchen, declared: str, given: Any, value: Any) -> None:
    text = skill(f"name: a, {declared}")
    assert kitchen.problems(text, a=given) == []
    result = await kitchen.run(text, a=given)
    assert result.success, result.error
    assert kitchen.asked == [{"x": {"a": value}}]
    assert type(kitchen.asked[0]["x"]["a"]) is type(value)


@pytest.mark.parametrize(
    ("declared", "given", "why"),
    [
        ("type: string", True, "must be a text, and is True"),
        ("type: string", [1], "must be a text, and is [1]"),
        ("type: integer", "five", "must be a whole number, and is 'five'"),
        ("type: integer", 2.5, "must be a whole number"),
        ("type: integer", True, "must be a whole number"),
        ("type: number", "nan", "must be a number"),
        ("type: number", True, "must be a number"),
        ("type: boolean", "maybe", "must be true or false"),
        ("type: boolean", 2, "must be true or false"),
        ("type: array", "a,b", "must be a list"),
        ("type: object", [1], "must be a map"),
        ("enum: [a, b]", "c", "must be one of a, b, and is 'c'"),
        ("max_length: 3", "abcd", "is 4 long, and at most 3 are allowed"),
        ("type: array, max_length: 1", [1, 2], "is 2 long"),
        ("pattern: '[a-z]+'", "abc; rm", "must match [a-z]+, and is 'abc; rm'"),
        ("pattern: '[a-z]+$'", "abc\n", "must match"),
        ("pattern: '.*'", "a" * 5000, "longer than the 4096 characters"),
        ("type: any", "x" * 1_100_000, "larger than 1048576 bytes"),
        ("type: any", object(), "no plain data"),
        ("type: any", float("nan"), "no plain data"),
    ],
)
async def test_c2_8_an_input_is_refused(kitchen: Kitchen, declared: str, given: Any, why: str) -> None:
    text = skill(f"name: a, {declared}")
    ((severity, problem),) = kitchen.problems(text, a=given)
    assert severity == "error"
    assert why in problem
    result = await kitchen.run(text, a=given)
    assert (result.success, result.error, kitchen.asked) == (False, problem, [])


async def test_a_default_may_refer_to_inputs_before_it(kitchen: Kitchen) -> None:
    text = skill("name: a, type: integer", "name: b, type: integer, default: '{{ inputs.a * 2 }}'")
    assert (await kitchen.run(text, a="4")).success
    assert kitchen.asked == [{"x": {"a": 4, "b": 8}}]
    result = await kitchen.run(skill("name: b, default: '{{ inputs.a }}'", "name: a"))
    assert result.error == "{{ inputs.a }}: there is no 'a' in it"


async def test_c2_8_inputs_may_be_a_map(kitchen: Kitchen) -> None:
    text = """
        name: tried
        inputs:
          days: {type: integer, default: 5}
          project: string
          anything:
        steps: [{id: it, tool: ask, args: {x: "{{ inputs }}"}}]
        """
    assert kitchen.problems(text, project="p", days="x") == [
        ("error", "input 'days' must be a whole number, and is 'x'")
    ]
    assert (await kitchen.run(text, project="p")).success
    assert kitchen.asked == [{"x": {"days": 5, "project": "p", "anything": None}}]


@pytest.mark.parametrize(
    ("inputs", "why"),
    [
        ("5", "inputs must be a list or a map"),
        ("[5]", "an input is a map with a name"),
        ("[{type: string}]", "an input is a map with a name"),
        ("{a: text5}", "there is no type 'text5'; did you mean text?"),
        ("[{name: a, type: [1]}]", "there is no type [1]"),
        ("[{name: a, required: soon}]", "required must be true or false"),
        ("[{name: a, max_length: -1}]", "max_length must be a whole number"),
        ("[{name: a, enum: a}]", "enum must be a list"),
        ("[{name: a, pattern: '('}]", "the pattern '(' can't be"),
        ("[{name: a, type: integer, default: x}]", "its own default is refused: input 'a' must be a whole number"),
        ("[{name: a, enum: [b], default: c}]", "its own default is refused"),
        ("[{name: a}, {name: a}]", "the input 'a' is declared twice"),
    ],
)
def test_a_declaration_that_can_not_be_is_refused(kitchen: Kitchen, inputs: str, why: str) -> None:
    ((severity, problem),) = kitchen.problems(f"name: tried\ninputs: {inputs}\nsteps: [{{id: it, tool: ask}}]\n")
    assert severity == "error"
    assert problem.startswith("tried.yaml:2: ")
    assert why in problem


class TestEmptyArguments:
    """An argument that comes out empty is more often a mistake than meant."""

    @pytest.mark.parametrize(
        "source", ["{{ step }}", "{{ step.x }}", "{{ '' }}", " {{ none }} ", "{% if none %}x{% endif %}"]
    )
    async def test_c2_8_it_fails_the_step(self, kitchen: Kitchen, source: str) -> None:
        why = await kitchen.error(f"""
            - {{id: step, condition: false, compute: result = 1}}
            - {{id: none, compute: result = None}}
            - {{id: it, tool: ask, args: {{channel: "{source}"}}}}
            """)
        assert why.startswith("step 'it': the argument 'channel' is empty: ")
        assert kitchen.asked == []

    async def test_c2_8_a_default_allows_for_it(self, kitchen: Kitchen) -> None:
        await kitchen.value(
            "- {id: it, tool: ask, args: {a: \"{{ '' | default('') }}\", b: '', c: null, d: '{{ 0 }}'}}"
        )
        assert kitchen.asked == [{"a": "", "b": "", "c": None, "d": 0}]

    async def test_an_input_that_need_not_be_given_leaves_its_argument_out(self, kitchen: Kitchen) -> None:
        text = """
            name: tried
            inputs: [{name: notes}, {name: empty, default: ""}, {name: must, required: true}]
            steps:
              - id: it
                tool: ask
                args: {a: "{{ inputs.notes }}", b: "{{ inputs.empty }}", c: "{{ inputs.must }}"}
            """
        assert (await kitchen.run(text, must="x")).success
        assert kitchen.asked == [{"b": "", "c": "x"}]
        result = await kitchen.run(text, must="")
        assert "the argument 'c' is empty" in str(result.error)


async def test_problems_tell_what_keeps_a_skill_from_being_loaded(kitchen: Kitchen) -> None:
    engine = kitchen.engine()
    ((severity, problem),) = engine.problems("nope", {})
    assert severity == "error"
    assert "there is no skill 'nope'" in problem
    result = await engine.run("nope", {}, SESSION)
    assert (result.success, result.error) == (False, problem)

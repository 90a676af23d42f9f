"""The grammar, by the rows of C2.8."""

from typing import Any

import pytest

from skills.kitchen import Kitchen
from wakeful.skills import SkillError

pytestmark = pytest.mark.anyio

ONE_STEP = "name: tried\nsteps:\n  - {id: it, compute: result = 1}\n"


async def test_c2_8_top_keys_of_all_three_grammars_are_read_and_the_others_warned_of(kitchen: Kitchen) -> None:
    result = await kitchen.run(
        ONE_STEP
        + """
description: d
version: "1.2"
author: me
defaults: {a: 1}
inputs: []
outputs: []
tags: [x]
personas: [developer]
links: {a: b}
error_patterns: []
confirmations: []
stepps: []
"""
    )
    assert result.success
    assert [text.partition(": ")[2] for text in result.warnings] == [
        *(f"'{key}' means nothing here" for key in ("tags", "personas", "links", "error_patterns", "confirmations")),
        "'stepps' means nothing here; did you mean steps?",
    ]


async def test_c2_8_defaults_are_reached_in_templates_and_compute(kitchen: Kitchen) -> None:
    kitchen.answers["x"] = "dev for cron"
    result = await kitchen.run("""
        name: tried
        defaults: {env: "dev for {{ session.source }}", more: {deep: [1]}}
        steps:
          - id: it
            compute: result = [defaults.env, defaults.more.deep, "{{ defaults.env }}"]
        outputs: {it: "{{ it }}"}
        """)
    assert result.outputs == {"it": ["dev for cron", [1], "dev for cron"]}


async def test_c2_8_steps_without_a_name_are_numbered(kitchen: Kitchen) -> None:
    value = await kitchen.value(
        "- compute: result = 1\n- compute: result = step_1 + 1\n- {id: it, compute: result = step_2}"
    )
    assert value == 2


async def test_c2_8_output_is_a_second_name_and_names_the_variable(kitchen: Kitchen) -> None:
    value = await kitchen.value("""
        - name: fetch
          output: found
          compute: |
            found = {"a": 1}
            result = "not this"
        - {id: it, compute: "result = [found, fetch, found.a, fetch.result]"}
        """)
    assert value == [{"a": 1}, {"a": 1}, 1, "not this"]


@pytest.mark.parametrize(
    ("source", "value"),
    [
        ("it = 1\nresult = 2", 1),
        ("result = 2\nother = 3", 2),
        ("result = None", None),
        ("other = 3\nreturn other + 1", 4),
        ("if True:\n    return 'early'\nraise ValueError('never')", "early"),
        ("try:\n    return 5\nexcept:\n    return 6", 5),
        ("a = 1\n_hidden = 2\nimport json\ndef f(): return 1\nb = f()", {"a": 1, "b": 1}),
        ("return", None),
        ("pass", {}),
    ],
)
async def test_c2_8_the_value_of_a_compute_step(kitchen: Kitchen, source: str, value: Any) -> None:
    indented = source.replace("\n", "\n    ")
    assert await kitchen.value(f"- id: it\n  compute: |\n    {indented}") == value


async def test_c2_8_a_tools_text_is_also_parsed_by_lines(kitchen: Kitchen) -> None:
    kitchen.answers["x"] = (
        "Report\n- Status: In Progress\n**Due date:** 2026-02-01\nurl: https://a.b/c:d\nempty:\nstatus: twice"
    )
    value = await kitchen.value("""
        - {name: ask_it, output: issue, tool: ask, args: {for: x}}
        - id: it
          compute: |
            result = [issue_parsed.status, "{{ issue_parsed.due_date }}", issue_parsed["url"], issue_parsed.empty]
            result.append(ask_it_parsed["Status"])
        """)
    assert value == ["twice", "2026-02-01", "https://a.b/c:d", "", "In Progress"]


async def test_c2_8_a_step_with_a_description_only_is_for_a_person(kitchen: Kitchen) -> None:
    result = await kitchen.run("name: tried\nsteps: [{name: look, description: Look at the dashboard}]")
    assert (result.success, result.steps[0].state) == (True, "manual")
    assert "📝 look: Look at the dashboard" in result.text


class TestThen:
    """Early exit."""

    async def test_c2_8_a_return_ends_the_skill_with_its_value(self, kitchen: Kitchen) -> None:
        result = await kitchen.run("""
            name: tried
            steps:
              - {id: a, compute: "result = [1]"}
              - {condition: "a[0] == 1", then: [{return: "{{ a }}"}]}
              - {id: b, tool: ask}
            outputs: {never: 1}
            """)
        assert (result.success, result.outputs, kitchen.asked) == (True, {"result": [1]}, [])

    async def test_c2_8_a_map_that_is_returned_is_the_outputs(self, kitchen: Kitchen) -> None:
        result = await kitchen.run("name: tried\nsteps: [{then: [{return: {a: 1, b: '{{ 1 + 1 }}'}}]}]")
        assert result.outputs == {"a": 1, "b": 2}

    async def test_c2_8_a_false_condition_goes_on(self, kitchen: Kitchen) -> None:
        value = await kitchen.value("- {condition: false, then: [{return: 1}]}\n- {id: it, compute: result = 2}")
        assert value == 2

    async def test_the_bare_word_ends_the_skill_with_its_outputs(self, kitchen: Kitchen) -> None:
        result = await kitchen.run("""
            name: tried
            steps: [{id: a, compute: result = 1}, {then: return}, {id: b, tool: ask}]
            outputs: {a: "{{ a }}", b: "{{ b }}"}
            """)
        assert (result.success, result.outputs, kitchen.asked) == (True, {"a": 1, "b": None}, [])

    async def test_other_items_are_warned_of(self, kitchen: Kitchen) -> None:
        result = await kitchen.run("name: tried\nsteps: [{then: [{set: {a: 1}}, {return: 1}]}]")
        assert result.outputs == {"result": 1}
        assert "only the first return" in result.warnings[0]


class TestOnError:
    """What a failed step means."""

    async def test_c2_8_fail_is_the_default_and_ends_the_skill(self, kitchen: Kitchen) -> None:
        result = await kitchen.run("""
            name: tried
            steps: [{id: bad, compute: 1 / 0}, {id: never, tool: ask}]
            outputs: {a: 1}
            """)
        assert (result.success, result.outputs, len(result.steps), kitchen.asked) == (False, {}, 1, [])
        assert result.error == "step 'bad': compute, line 1: ZeroDivisionError: division by zero"
        assert "❌ bad" in result.text

    @pytest.mark.parametrize("word", ["continue", "auto_heal"])
    async def test_c2_8_continue_goes_on_and_says_why(self, kitchen: Kitchen, word: str) -> None:
        result = await kitchen.run(f"""
            name: tried
            steps:
              - {{id: bad, output: other, compute: 1 / 0, on_error: {word}}}
              - {{id: it, compute: "result = [bad, other_error, '{{{{ bad_error }}}}', '{{{{ bad.deep.er }}}}']"}}
            outputs: {{it: "{{{{ it }}}}"}}
            """)
        assert (result.success, result.error) == (True, None)
        why = "compute, line 1: ZeroDivisionError: division by zero"
        assert result.outputs["it"] == [None, why, why, ""]
        assert (result.steps[0].state, result.steps[0].error) == ("continued", why)
        assert f"⚠️ bad: {why} (went on)" in result.text
        assert ("auto_heal is done as continue" in "".join(result.warnings)) == (word == "auto_heal")

    @pytest.mark.parametrize(("failures", "word"), [(2, "done"), (3, "failed")])
    async def test_c2_8_retry_tries_again_so_often(self, kitchen: Kitchen, failures: int, word: str) -> None:
        kitchen.answers["x"] = [OSError(f"down {number}") for number in range(failures)]
        result = await kitchen.run("name: tried\nsteps: [{id: a, tool: ask, args: {for: x}, on_error: 'retry:2'}]")
        assert (result.steps[0].state, result.steps[0].attempts, len(kitchen.asked)) == (word, 3, 3)
        assert result.success == (word == "done")
        assert "(3 attempts)" in result.text
        assert word == "done" or result.error == "step 'a': ask: OSError: down 2"

    async def test_a_timeout_fails_the_step_and_is_its_own(self, kitchen: Kitchen) -> None:
        steps = (
            "- {id: a, compute: 'while True: pass', timeout: 0.2, on_error: continue}\n- {id: it, compute: result = 1}"
        )
        result = await kitchen.run(f"name: tried\nsteps:\n{steps}\n")
        assert result.success
        assert result.steps[0].error == "took longer than 0.2 s"


class TestLoop:
    """Once for each item."""

    async def test_c2_8_loop_collects_the_results(self, kitchen: Kitchen) -> None:
        value = await kitchen.value("""
            - {id: many, compute: "result = [1, 2, 3]"}
            - {id: it, loop: "{{ many }}", loop_var: n, compute: "result = n * {{ n }}"}
            """)
        assert value == [1, 4, 9]

    @pytest.mark.parametrize("loop", ["[a, b]", "inputs.them", "'{{ inputs.them }}'"])
    async def test_c2_8_loop_is_a_list_or_an_expression_and_its_variable_item(
        self, kitchen: Kitchen, loop: str
    ) -> None:
        await kitchen.value(f"- {{id: it, loop: {loop}, tool: ask, args: {{is: '{{{{ item }}}}'}}}}", them=["a", "b"])
        assert [args["is"] for args in kitchen.asked] == ["a", "b"]

    async def test_an_item_that_fails_ends_the_loop_or_leaves_null(self, kitchen: Kitchen) -> None:
        loop = "id: it, loop: [1, 0, 2], compute: 'result = 2 / item'"
        assert (await kitchen.error(f"- {{{loop}}}")).startswith(
            "step 'it': item 2 of 3: compute, line 1: ZeroDivision"
        )
        assert await kitchen.value(f"- {{{loop}, on_error: continue}}") == [2, None, 1]

    async def test_a_loop_is_over_a_list_of_up_to_a_thousand(self, kitchen: Kitchen) -> None:
        loop = "- {id: it, loop: inputs.them, tool: ask}"
        assert "loop needs a list, and is given str" in await kitchen.error(loop, them="abc")
        assert "at most 1000 are allowed" in await kitchen.error(loop, them=[0] * 1001)

    async def test_a_variable_hides_a_step_of_its_name_with_its_attributes(self, kitchen: Kitchen) -> None:
        value = await kitchen.value("""
            - {id: item, compute: "result = {}\\nextra = 1"}
            - {id: it, loop: [{}], compute: "result = list(item) == [] and 'extra' in repr(item)"}
            """)
        assert value == [False]


class TestOutputs:
    """What comes out."""

    async def test_c2_8_outputs_as_a_list_with_values_and_blocks(self, kitchen: Kitchen) -> None:
        result = await kitchen.run("""
            name: tried
            steps: [{id: a, compute: "result = [1, 2]"}]
            outputs:
              - {name: text, value: "n: {{ a | length }}"}
              - {name: typed, value: {list: "{{ a }}", more: [true]}}
              - {name: made, compute: "made = sum(a)"}
              - {name: by_result, compute: "result = outputs.made + 1"}
              - {name: a, description: the list itself}
              - {name: odd, tool: ask}
            """)
        assert result.outputs == {
            "text": "n: 2",
            "typed": {"list": [1, 2], "more": [True]},
            "made": 3,
            "by_result": 4,
            "a": [1, 2],
        }
        assert "output 'odd': 'tool' is ignored" in result.warnings[0]

    async def test_c2_8_outputs_as_a_map(self, kitchen: Kitchen) -> None:
        result = await kitchen.run("""
            name: tried
            steps: [{id: a, compute: "result = 1"}]
            outputs: {b: "{{ a }}", a: {type: integer, description: x}, c: {value: 2}, d: {x: 1}, e: {compute: e = 5}}
            """)
        assert result.outputs == {"b": 1, "a": 1, "c": 2, "d": {"x": 1}, "e": 5}

    async def test_an_output_that_fails_fails_the_skill(self, kitchen: Kitchen) -> None:
        result = await kitchen.run(ONE_STEP + "outputs: {a: '{{ it }}', b: '{{ itt.x }}'}\n")
        assert not result.success
        assert result.error == "output 'b': {{ itt.x }}: 'itt' is not known here; did you mean it?"
        assert result.outputs == {"a": 1}


async def test_of_steps_that_share_a_name_the_one_that_ran_stands(kitchen: Kitchen) -> None:
    value = await kitchen.value("""
        - {name: it, compute: result = 1}
        - {name: it, condition: false, compute: result = 2}
        """)
    assert value == 1


@pytest.mark.parametrize(
    ("step", "message"),
    [
        ("5", "step 1 must be a map"),
        ("{compute: a = 1, tool: ask}", "only one of compute, tool"),
        ("{id: a}", "a step has compute, or tool with args"),
        ("{id: [1], compute: a = 1}", "id must be a text"),
        ("{id: inputs, compute: a = 1}", "must be a text, and none of defaults, inputs"),
        ("{id: a, compute: [1]}", "compute must be a text"),
        ("{id: a, tool: ask, args: [1]}", "args a map"),
        ("{id: a, tool: aks}", "there is no tool 'aks'; did you mean ask?"),
        ("{id: a, tool: slack_send_mesage}", "did you mean slack_send_message?"),
        ("{id: a, tool: ask, on_error: ignore}", "on_error is fail, continue or retry:N"),
        ("{id: a, tool: ask, on_error: 'retry:99'}", "on_error is fail, continue or retry:N with N up to 10"),
        ("{id: a, tool: ask, timeout: soon}", "timeout is a number of seconds"),
        ("{id: a, tool: ask, loop: 3}", "loop is a list, or an expression"),
        ("{id: a, tool: ask, condition: [1]}", "a condition is an expression"),
        ("{id: a, tool: ask, condition: 'a ==='}", "in the template"),
        ("{id: a, tool: ask, condition: 'a }} b {{ c'}", "{{ c has no }}"),
        ("{id: a, then: 5}", "then is the word return"),
        ("{id: a, then: [{set: 1}]}", "then is the word return"),
        ("{id: a, tool: ask, args: {b: '{{ c'}}", "in the template {{ c"),
        ("{id: a, compute: 'x = ('}", "line 1 of compute: '(' was never closed"),
    ],
)
def test_a_step_that_can_not_be_is_refused_when_it_is_loaded(kitchen: Kitchen, step: str, message: str) -> None:
    kitchen.write("tried", f"name: tried\nsteps:\n  - {step}\n")
    with pytest.raises(SkillError, match=r"^tried\.yaml:3") as refused:
        kitchen.engine().load("tried")
    assert message in str(refused.value)


def test_keys_of_steps_that_mean_nothing_are_warned_of(kitchen: Kitchen) -> None:
    step = "{id: a, tool: ask, parallel_group: 1, depends_on: [b], cache: 5, validate: [], conditon: x, outputs: [c]}"
    warnings = kitchen.problems(f"name: tried\nsteps: [{step}]")
    words = [text.partition("here: ")[2] for _, text in warnings]
    assert words[:4] == [f"'{key}' is ignored" for key in ("parallel_group", "depends_on", "cache", "validate")]
    assert words[4:] == ["'conditon' is ignored; did you mean condition?", "'outputs' is ignored; did you mean output?"]


def test_a_condition_that_asks_for_the_variable_of_its_loop_is_warned_of(kitchen: Kitchen) -> None:
    (warning,) = kitchen.problems("""
        name: tried
        inputs: {mrs: array}
        steps:
          - {id: tell, loop: inputs.mrs, loop_var: mr, condition: mr.urgent, tool: ask, args: {question: "{{ mr }}"}}
        """)
    assert warning[0] == "warning"
    assert "step 'tell': the condition is looked at once, before the loop: it can't know 'mr'" in warning[1]


def test_names_that_nobody_makes_are_warned_of(kitchen: Kitchen) -> None:
    """B3.30: a typo is told before it matters; what is looked at with `default` may be missing."""
    problems = kitchen.problems("""
        name: tried
        steps:
          - {id: check_source, compute: "is_cron = date.today() and sesion.source and {{ later }}"}
          - id: b
            condition: chek_source.is_cron
            tool: ask
            args: {x: "{{ nope | default(1) }}", y: "{{ z is defined }}"}
          - {id: later, tool: ask, args: {x: "{{ check_source.is_cron }}{{ b_parsed }}{{ b_error }}"}}
          - {id: loop, loop: [1], tool: ask, args: {x: "{{ item }}{% for i in [1] %}{{ i }}{% endfor %}"}}
        outputs: {x: "{{ lop }}"}
        """)
    assert {severity for severity, _ in problems} == {"warning"}
    assert [text.partition(": ")[2].replace("is not known there", "?") for _, text in problems] == [
        "step 'check_source': 'later' ?",
        "step 'check_source': 'sesion' ?; did you mean session?",
        "step 'b': 'chek_source' ?; did you mean check_source or check_source_error?",
        "output 'x': 'lop' ?; did you mean loop?",
    ]

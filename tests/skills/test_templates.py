"""Templates and conditions: typed, strict, and never read twice."""

from typing import Any

import pytest

from skills.kitchen import Kitchen
from wakeful.skills.conditions import Condition
from wakeful.skills.errors import SkillError, StepError
from wakeful.skills.prepared import fill, prepare
from wakeful.skills.sandbox import Missing
from wakeful.skills.templates import Template

NAMES: dict[str, Any] = {
    "inputs": {"n": 3, "text": "a \"b\" 'c' {{ d }}", "list": ["x", "y"], "none": None, "no": "no", "items": 7},
    "gone": Missing(name="gone"),
    "step": {"is_cron": True},
}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("{{ inputs.list }}", ["x", "y"]),
        ("  {{ inputs.n }}\n", 3),
        ("{{ inputs.n }} ", 3),
        ("n={{ inputs.n }}\n", "n=3\n"),
        ("{{ inputs.n }}{{ inputs.n }}", "33"),
        ("{{ inputs.text }}", "a \"b\" 'c' {{ d }}"),
        ("{{ inputs.items }}", 7),
        ("{{ inputs.keys() | list | first }}", "n"),
        ("{{ inputs.list | map('upper') }}", ["X", "Y"]),
        ("{{ inputs.list | join(', ') }}", "x, y"),
        ("{{ {'a': inputs.n} }}", {"a": 3}),
        ("{{ (1, 2) }}", [1, 2]),
        ("{{ inputs.none }}", None),
        ("{{ gone }}", None),
        ("{{ gone.and_more }}", None),
        ("[{{ gone }}]", "[]"),
        ("is {{ [gone] }}", "is [None]"),
        ("{{ [gone, {'a': gone.b}] }}", [None, {"a": None}]),
        ("{{ inputs.nope | default('x') }}", "x"),
        ("{{ nope | d([]) }}", []),
        ("{{ nope is defined }}", False),
        ("{% if inputs.n > 2 %}many{% else %}few{% endif %}", "many"),
        ("{% for x in inputs.list %}{{ loop.index }}/{{ loop.length }}{{ x }} {% endfor %}", "1/2x 2/2y "),
        ("{{ inputs.list | tojson }} <b>", '["x", "y"] <b>'),
        ("{{ '<b>' ~ (inputs.list | tojson) }}", '<b>["x", "y"]'),
        ("{{ '%05.1f' | format(3.14159) }}", "003.1"),
        ("{{ 'Fr%s' % 'eitag' }}", "Freitag"),
        ("{{ 'a\\nb' | indent(2) }}", "a\n  b"),
        ("{{ ['a', 1, none] | join('-') }}", "a-1-None"),
        ("{{ [{'k': 'v'}] | join(', ', attribute='k') }}", "v"),
        ("{{ range(20000) | map('string') | join | length }}", 88890),
        ("{{ range(20000) | map('string') }}", [str(n) for n in range(20000)]),
        ("{{ 'abc' | replace('b', 'x') ~ '-'.join(inputs.list) ~ 'a'.ljust(3) }}", "axcx-ya  "),
        ("{{ range(3) | list }}{{ [3, 1] | sort | first }}", "[0, 1, 2]1"),
        ("{{ [{'a': 1}, {'a': 2}] | selectattr('a', 'gt', 1) | map(attribute='a') | list }}", [2]),
        ("{{ {'b': 1, 'a': 2} | dictsort }}", [["a", 2], ["b", 1]]),
        ("{{ len(inputs.list) + sum([1, 2]) }}", 5),
        ("{# nothing #}", ""),
    ],
)
def test_a_template_has_a_value(text: str, value: Any) -> None:
    made = Template(text).value(NAMES)
    assert (made, type(made)) == (value, type(value))


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("{{ inptus.n }}", "'inptus' is not known here; did you mean inputs?"),
        ("{{ inputs.nn }}", "there is no 'nn' in it"),
        ("{{ step.is_crn }}", "there is no 'is_crn' in it; did you mean is_cron?"),
        ("{{ inputs.none.x }}", "null has no 'x'"),
        ("{{ inputs.n.x }}", "a number has no 'x'"),
        ("{{ inputs.nn.deeper | default('x') }}", "there is no 'nn' in it"),
        ("{{ [1, inputs.nn] }}", "there is no 'nn' in it"),
        ("{{ gone > 3 }}", "'gone' has no value: its step was skipped, or it failed"),
        ("{{ 1 / 0 }}", "ZeroDivisionError"),
        ("{{ inputs.text.upper }}", "of type"),
    ],
)
def test_b3_30_what_has_no_value_says_why(text: str, why: str) -> None:
    for template in (text, f"in a text {text}"):
        if why.startswith("of type") and template != text:
            continue
        with pytest.raises(StepError) as failed:
            Template(template).value(NAMES)
        assert why in str(failed.value)
        assert str(failed.value).startswith(template)


@pytest.mark.parametrize(
    "text",
    [
        "{{ ''.__class__ }}",
        "{{ inputs.__class__ }}",
        "{{ ''['__class__'] }}",
        "{{ '' | attr('__class__') }}",
        "{{ '{0.__class__}'.format('') }}",
        "{{ '{x.__class__}'.format_map({'x': 1}) }}",
        "{{ (''.format)['__self__'] }}",
        "{{ range.__globals__ }}",
        "{{ len.__globals__ }}",
        "{{ namespace.__init__.__globals__ }}",
        "{{ inputs.list.append(1) }}",
        "{{ inputs.pop('n') }}",
        "{{ 'x' * 10 ** 9 }}",
        "{{ ['x'] * 1000000 }}",
        "{{ 10 ** 100000 }}",
        "{{ '%1000000000d' % 1 }}",
        "{{ '%1000000000d' | format(1) }}",
        "{{ '%*d' | format(1000000000, 1) }}",
        "{% for a in range(1000) %}{% for b in range(1000) %}{% endfor %}{% endfor %}",
        "{% for a in range(10000) %}" + "x" * 100 + "{% endfor %}",
        "{{ range(10000000) | list }}",
        "{{ range(10000) | join('x' * 200000) }}",
        "{{ ('x' * 200000).join(['a'] * 10000) }}",
        "{{ ('x' * 100000) | replace('x', 'y' * 100000) }}",
        "{{ ('x' * 100000).replace('x', 'y' * 100000) }}",
        "{{ 'x'.ljust(10 ** 9) }}",
        "{{ 'x'.zfill(10 ** 9) }}",
        "{{ '\\t\\t'.expandtabs(10 ** 9) }}",
        "{{ self }}",
    ],
)
def test_what_leads_out_of_the_data_or_beyond_bounds_fails(text: str) -> None:
    with pytest.raises(StepError):
        Template(text).value(NAMES)
    assert NAMES["inputs"]["list"] == ["x", "y"]
    assert NAMES["inputs"]["n"] == 3


@pytest.mark.parametrize(
    "text",
    [
        "{% macro f() %}{% endmacro %}",
        "{% include 'x' %}",
        "{% import 'x' as y %}",
        "{% extends 'x' %}",
        "{% block a %}{% endblock %}",
        "{{ a",
        "{{ a | no_such_filter }}",
        "{{ a is no_such_test }}",
        "{{ [x for x in y] }}",
        "{{ " + "(" * 3000 + ")" * 3000 + " }}",
    ],
)
def test_what_is_not_part_of_the_grammar_is_refused_when_it_is_loaded(text: str) -> None:
    with pytest.raises(SkillError, match=r"^here:1: (in )?the template"):
        Template(text, "here:1")


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        # bare, as in the grammar of the sibling document
        ("inputs.n > 2 and not gone", True),
        ("inputs.n == 3 or nope", True),
        ("'x' in inputs.list", True),
        ("'z' not in inputs.list", True),
        ("len(inputs.list) == 2", True),
        ("inputs.none is None", True),
        ("inputs.n is not None", True),
        ("True", True),
        ("False", False),
        ("inputs.list[:0]", False),
        ("inputs.text.startswith('a')", True),
        ("gone", False),
        ("gone.a.b", False),
        ("nope is defined and nope.x", False),
        # as a template
        ("{{ step.is_cron }}", True),
        ("{{ not step.is_cron }}", False),
        (" {{ inputs.n > 5 }} ", False),
        ("{{ inputs.no }}", False),
        ("{{ 'FALSE' }}", False),
        ("{{ '0' }}", False),
        ("{{ '' }}", False),
        ("{{ inputs.text }}", True),
        # templates as parts of an expression
        ("{{ inputs.n }} == 3", True),
        ("not {{ step.is_cron }}", False),
        ("{{ inputs.n }} > 2 and {{ step.is_cron }}", True),
        ('"{{ inputs.n }}" == "3"', True),
        ('"n-{{ inputs.n }}-{{ inputs.no }}" == "n-3-no"', True),
        ("'{{ inputs.text }}' == inputs.text", True),
        ("'{{ gone }}' == ''", True),
        # texts
        ("{% if inputs.n > 5 %}true{% else %}no{% endif %}", False),
        ("{% if step.is_cron %}yes{% endif %}", True),
    ],
)
def test_c2_8_a_condition_holds_or_not(text: str, holds: bool) -> None:
    assert Condition(text).holds(NAMES) is holds


@pytest.mark.parametrize("text", ["chek.is_cron", "{{ step.is_crn }}", "inputs.n > 'a'", "{{ nope }} == 1", "gone > 1"])
def test_b3_30_a_condition_that_can_not_be_told_is_no_false_one(text: str) -> None:
    with pytest.raises(StepError):
        Condition(text).holds(NAMES)


@pytest.mark.anyio
async def test_b3_30_a_typo_in_a_condition_fails_the_step_or_is_gone_on_from(kitchen: Kitchen) -> None:
    step = "id: it, condition: chek.is_cron, tool: ask"
    assert await kitchen.error(f"- {{{step}}}") == "step 'it': {{ chek.is_cron }}: 'chek' is not known here" + (
        "; there is defaults, inputs, outputs, session"
    )
    assert await kitchen.value(f"- {{{step}, on_error: continue}}") is None
    assert kitchen.asked == []


def test_what_a_value_says_is_not_read_again() -> None:
    hostile = "{{ 1 + 1 }}{% raw %}{{ session }}"
    prepared = prepare({"a": "{{ v }}", "b": ["x {{ v }}"], "c": hostile.replace("{", "(")}, "")
    filled = fill(prepared, {"v": hostile})
    assert filled == {"a": hostile, "b": [f"x {hostile}"], "c": hostile.replace("{", "(")}

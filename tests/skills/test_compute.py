"""Compute: Python with real values, in a process of its own."""

import sys
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from skills.kitchen import Kitchen
from wakeful.skills.compute import compile_block
from wakeful.skills.computing import Bounds, run_block
from wakeful.skills.errors import SkillError, StepError

pytestmark = pytest.mark.anyio

USUAL = Bounds()


async def run(source: str, bounds: Bounds = USUAL, /, **names: Any) -> Any:
    """What a block comes to."""
    return (await run_block(compile_block(source, "here:1"), names, {}, ["result"], bounds)).value


@pytest.mark.parametrize(
    ("source", "value"),
    [
        ('result = "{{ v }}"', 'it\'s "5"\n{{ v }}'),
        ("result = '''{{ v }}'''", 'it\'s "5"\n{{ v }}'),
        ('result = r"{{ v }}" + f"<{{ v }}>"', 'it\'s "5"\n{{ v }}<it\'s "5"\n{{ v }}>'),
        ('result = f"{n + 1:>3}{{ n }}{n}{{n}}!"', "  4333!"),
        ('result = "a {{ n }} b {{ l }}"', "a 3 b ['x', {'y': 1}]"),
        ("result = {{ l }}[1].y", 1),
        ("result = [{{ n }}, '{{ n }}', {{ n + 1 }}, {{ l | length }}]", [3, "3", 4, 2]),
        ("# {{ n }}\nresult = 1", 1),
        ("result = {'{{ v }}': 1}", {'it\'s "5"\n{{ v }}': 1}),
        ("result = '{{ none }}'", "None"),
        ('result = "{{ "}}" }}"', "}}"),
        ("result = '{%' + '{#'", "{%{#"),
        ("result = '%s {}'.format(n) % 1", "1 3"),
        ("result = '{a[y]} {0:>3}'.format(n, a={{ l }}[1])", "1   3"),
        ("result = '{n}'.format_map({'n': 1}) + str.format('{}', 2) + ','.join(map('{}'.format, [3]))", "123"),
    ],
)
async def test_b3_29_templates_in_a_block_are_variables(source: str, value: Any) -> None:
    assert await run(source, v='it\'s "5"\n{{ v }}', n=3, l=["x", {"y": 1}], none=None) == value


@pytest.mark.parametrize(
    ("source", "value"),
    [
        ("result = [d, {1, 2}, (1,), {'k': date(2026, 1, 2)}, timedelta(hours=1)]\n".replace("d,", "l,", 1), None),
        ("result = {1: 'a', None: 'b', date(2026, 1, 2): 'c'}", {"1": "a", "None": "b", "2026-01-02": "c"}),
        ("result = datetime.strptime('26 Jan 2026', '%d %b %Y').replace(tzinfo=timezone.utc).year", 2026),
        ("result = date(2026, 1, 2).strftime('%d %B %Z').strip()", "02 January"),
        ("result = datetime.now(timezone.utc).year > 2000 and datetime.now().year > 2000", True),
        ("import datetime as dt\nresult = dt.datetime(2026, 1, 2).weekday()", 4),
        ("from datetime import datetime as d, UTC\nresult = d(2026, 1, 2, tzinfo=UTC)", "2026-01-02T00:00:00+00:00"),
        ("import math as m, json\nresult = json.dumps({'a': m.floor(2.5)})", '{"a": 2}'),
        ("result = re.sub(r'(\\d)', r'<\\1>', 'a1')", "a<1>"),
        ("result = statistics.mean([1, 2, 3])", 2),
        ("from collections import Counter\nresult = Counter('aab')", {"a": 2, "b": 1}),
        ("from decimal import Decimal\nresult = Decimal('1.50')", 1.5),
        ("from urllib.parse import quote\nresult = quote('a b')", "a%20b"),
        ("import textwrap, itertools, functools, operator, html, base64, copy, string\n"
         "result = copy.deepcopy(list(itertools.chain([1], [2])))", [1, 2]),
        ("def fib(n):\n    return n if n < 2 else fib(n - 1) + fib(n - 2)\nresult = fib(10)", 55),
        ("def numbers():\n    yield from (1, 2)\nresult = list(numbers())", [1, 2]),
        ("total = 0\nfor x in {{ l }}:\n    total += x\nresult = total", 6),
        ("x = 5\nresult = [x * y for y in l if (z := y) > 1]", [10, 15]),
        ("try:\n    int('x')\nexcept ValueError as error:\n    result = str(error)[:7]", "invalid"),
        ("result = range(3)", [0, 1, 2]),
        ("result = {'a': 1}.items()", [["a", 1]]),
        ("result = d.b.c + d['b']['c']", 4),
        ("result = sorted(d.items())[0][0] + d.items_", "ax"),
        ("a: int = 5\nresult = a", 5),
        ("i = 0\nwhile True:\n    i += 1\n    if i > 3: break\nresult = i", 4),
        ("def f(*a, k=1, **m): return [a, k, m]\nresult = f(1, k=2, z=3)", [[1], 2, {"z": 3}]),
        ("del l[0]\nassert len(l) == 2\nresult = l", [2, 3]),
        ("result = 10 ** 50", 10**50),
        ("result = '\\ud800'", "\ud800"),
    ],
)  # fmt: skip
async def test_a_block_is_python_and_its_values_become_plain(source: str, value: Any) -> None:
    if value is None:
        value = [[1, 2, 3], [1, 2], [1], {"k": "2026-01-02"}, 3600.0]
    assert await run(source, l=[1, 2, 3], d={"a": 1, "b": {"c": 2}, "items_": "x"}) == value


async def test_variables_that_can_not_leave_stay_inside(kitchen: Kitchen) -> None:
    computed = await run_block(
        compile_block("a = 1\nb = (x for x in [])\nc = float('inf')\nd = re.compile('x')\n_e = 2\nprint('so', a)", ""),
        {}, {}, ["result"], Bounds(),
    )  # fmt: skip
    assert computed.variables == computed.value == {"a": 1}
    assert computed.printed == "so 1\n"
    assert sorted(computed.left_out) == ["b", "c", "d"]
    assert await kitchen.error("- {id: it, compute: 'result = (x for x in [])'}") == (
        "step 'it': compute: 'result' can't leave the step: it is of type generator"
    )


async def test_what_a_block_prints_is_shown(kitchen: Kitchen) -> None:
    result = await kitchen.run("name: tried\nsteps: [{id: it, compute: 'print(1, \"two\")'}]")
    assert "✅ it: 1 two" in result.text


@pytest.mark.parametrize(
    ("source", "why"),
    [
        ("json.loads('{')", "line 1: JSONDecodeError: Expecting property name"),
        ("datetime.fromisoformat('x')", "line 1: ValueError: Invalid isoformat string"),
        ("x = 1\ny = nope", "line 2: NameError: name 'nope' is not defined"),
        ("x = d.nope", "line 1: AttributeError: there is no 'nope' here, but a"),
        ("def f():\n    return 1 / 0\n\nf()", "line 4: ZeroDivisionError"),
        ("raise ValueError('mine')", "line 1: ValueError: mine"),
        ("x = {{ nope }}", "{{ nope }}: 'nope' is not known here"),
        ("x = 'a {{ d.nope }}'", "there is no 'nope' in it"),
        ("result = 'x' * 2_000_000", "values are larger than 1048576 bytes"),
        ("def f(): f()\nf()", "RecursionError"),
        ("a = []\na.append(a)\nresult = a", "nested too deeply"),
        ("result = 10 ** 5000", "ValueError"),
    ],
)
async def test_a_block_that_fails_says_where_and_why(source: str, why: str) -> None:
    with pytest.raises(StepError) as failed:
        await run(source, d={"a": 1})
    assert why in str(failed.value)


@pytest.mark.parametrize(
    ("source", "why"),
    [
        ("import os", "line 1 of compute: 'os' can't be imported"),
        ("x = 1\nimport subprocess", "line 2 of compute: 'subprocess' can't be imported"),
        ("import jsn", "'jsn' can't be imported; did you mean json?"),
        ("import os.path", "can't be imported"),
        ("import urllib.parse", "can't be imported"),
        ("from . import x", "can't be imported"),
        ("from json import codecs", "'codecs' can't be imported from json"),
        ("from json import *", "'*' can't be imported from json"),
        ("from re import compil", "did you mean compile?"),
        ("class A: pass", "'class' is not allowed"),
        ("with a: pass", "'with' is not allowed"),
        ("async def f(): pass", "not allowed"),
        ("match x:\n    case 1: pass", "'match' is not allowed"),
        ("open('/etc/passwd')", "'open' is not there in compute: files are out of reach"),
        ("eval('1')", "code from text is not run"),
        ("x = __import__", "names such as '__import__' are not allowed"),
        ("x.__class__", "names such as '__class__' are not allowed"),
        ("__builtins__ = 1", "not allowed"),
        ("def __f(): pass", "not allowed"),
        ("lambda __x: 1", "not allowed"),
        ("f(__x=1)", "not allowed"),
        ("import json as __j", "not allowed"),
        ("try: pass\nexcept Exception as __e: pass", "not allowed"),
        ("def f():\n    global __x", "not allowed"),
        ("def f():\n    def g():\n        nonlocal __x", "not allowed"),
        ("(x for x in y).gi_frame", "'gi_frame' is not allowed"),
        ("int.mro()", "'mro' is not allowed"),
        ("x.y = 1", "an attribute can't be assigned to"),
        ("del x.y", "an attribute can't be assigned to"),
        ("x = b'{{ y }}'", "can't be part of bytes"),
        ("x_{{ y }} = 1", "can't be part of a name"),
        ("{{ y }} = 1", "can't be assigned to"),
        ("x.{{ y }}", "can't be part of a name"),
        ("x = {{ y", "{{ y has no }}"),
        ("x = {{ y z }}", "in the template {{ y z }}"),
        ("x = 5 {{ y }}", "line 1 of compute: invalid syntax: x = 5 {{ y }}"),
        ("x = (", "was never closed"),
        ("  x = 1", "unexpected indent"),
        ("x = '\0'", "here:1: compute: source code string cannot contain null bytes"),
        ("x = " + "(" * 300 + ")" * 300, "line 1 of compute: too many nested parentheses"),
        ("x = " + "-" * 50_000 + "1", "compute"),
        ("x = 1\n" * 12_000, "more than 65536 bytes"),
    ],
)
def test_b3_29_what_is_not_allowed_is_refused_when_it_is_loaded(source: str, why: str) -> None:
    with pytest.raises(SkillError, match=r"^here:1: ") as refused:
        compile_block(source, "here:1")
    assert why in str(refused.value)


@pytest.mark.slow
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(texts=st.lists(st.text() | st.text(alphabet="\"'\\{}%#\n$`\0_a"), min_size=1, max_size=8))
async def test_any_text_arrives_unchanged(kitchen: Kitchen, texts: list[str]) -> None:
    kitchen.asked.clear()
    steps = """
        - id: it
          compute: |
            result = [inputs.texts, {{ inputs.texts }}]
            quoted = "{{ inputs.texts[0] }}"
            mixed = f"<{inputs.texts[0]}|{{ inputs.texts[0] }}>"
        - id: asked
          tool: ask
          args: {typed: "{{ inputs.texts }}", mixed: "<{{ it.quoted }}>", both: "{{ it.mixed }}"}
        - {id: chosen, condition: "'{{ inputs.texts[0] }}' == inputs.texts[0]", compute: result = 1}
        - {id: it, compute: "result = it + ['{{ asked }}', chosen, it.quoted]"}
        """
    value = await kitchen.value(steps.replace(", it.quoted]", "]"), texts=texts)
    assert value == [texts, texts, "", 1]
    (args,) = kitchen.asked
    assert args == {"typed": texts, "mixed": f"<{texts[0]}>", "both": f"<{texts[0]}|{texts[0]}>"}


async def test_a_block_that_asks_for_too_much_is_refused() -> None:
    with pytest.raises(StepError, match="more than 100 bytes of values"):
        await run("result = 1 if v else 2", Bounds(values_in=100), v="x" * 100)


async def test_without_an_interpreter_there_is_no_compute(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "")
    with pytest.raises(StepError, match="needs a Python interpreter"):
        await run("result = 1")
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    with pytest.raises(StepError, match="can't start '/nowhere/python'"):
        await run("result = 1")

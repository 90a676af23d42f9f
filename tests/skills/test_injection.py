"""What hostile values and hostile programs can do: nothing beyond their own process, and not for long."""

import asyncio
import base64
import json
import marshal
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from skills.kitchen import SESSION, Kitchen
from support.processes import alive, eventually
from wakeful.skills import Tools
from wakeful.skills.compute import Block
from wakeful.skills.computing import Bounds, run_block
from wakeful.skills.errors import StepError

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

SHORT = Bounds(timeout_s=1.0)
# Where programs go that look for a way out: from any value to all classes, and from one of these to its module.
WALK = """
classes = ().__class__.__base__.__subclasses__()
os = next(c for c in classes if c.__name__ == '_wrap_close').__init__.__globals__
sys = os['sys']
real = sys.modules['builtins']
"""
HOSTILE = (
    '"; import os; os.system("touch {file}"); "',
    "' + __import__('os').system('touch {file}') + '",
    '""" + open("{file}", "w").write("x") + """',
    "{{{{ ''.__class__.__mro__[1].__subclasses__() }}}}",
    "{{% for x in range(10**9) %}}{{% endfor %}}",
    "\n__import__('os').system('touch {file}')\n",
    "{{0.__class__.__init__.__globals__}}",
    "%(x)s %s %n {{}} {{x}} \\x00 \\N{{DIGIT ONE}} \\",
    "$(touch {file}) `touch {file}` ; touch {file} | & > {file}",
    "{{{{ session.__init__.__globals__ }}}}",
)


def own_children() -> list[int]:
    """The processes of compute steps that live."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                line = (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if b"compute_child.py" in line and alive(int(entry.name)):
                parent = (entry / "stat").read_text().rpartition(")")[2].split()[1]
                found += [int(entry.name)] if int(parent) == os.getpid() else []
    return found


async def unchecked(source: str, **names: Any) -> Any:
    """Runs a program that has slipped through all checks of its text."""
    code = base64.b64encode(marshal.dumps(compile(source, "compute", "exec"))).decode()
    block = Block(code, {}, frozenset(names), frozenset({"json", "datetime"}), frozenset({"json"}), True)
    return (await run_block(block, names, {}, ["result"], Bounds())).value


@pytest.mark.parametrize("text", HOSTILE)
async def test_b3_29_a_value_is_never_a_program(kitchen: Kitchen, tmp_path: Path, text: str) -> None:
    file = tmp_path / "made"
    hostile = text.format(file=file)
    value = await kitchen.value(
        """
        - id: first
          compute: |
            is_cron = "{{ inputs.text }}" == "cron"
            text = '{{ inputs.text }}'
            long = f'''<{{ inputs.text }}>{text}'''
            formatted = "{0}|{1}".format(text, {{ inputs.text }})
        - {id: second, condition: "'{{ inputs.text }}' == first.text", tool: ask, args: {x: "{{ first.text }}"}}
        - {id: it, compute: "result = [first.is_cron, first.text, first.long, first.formatted]"}
        """,
        text=hostile,
    )
    assert value == [False, hostile, f"<{hostile}>{hostile}", f"{hostile}|{hostile}"]
    assert kitchen.asked == [{"x": hostile}]
    assert not file.exists()


@pytest.mark.parametrize(
    "source",
    [
        "result = '{0.__class__.__init__.__globals__}'.format(x)",
        "result = '{0[a].__class__}'.format({'a': x})",
        "result = '{x.__class__}'.format_map({'x': x})",
        "result = '{0:{1.__class__}}'.format(1, x)",
        "f = ''.join(['{0.__cl', 'ass__}']).format\nresult = f(x)",
        "result = str.format('{0.__class__}', x)",
        "result = list(map('{0.__class__}'.format, [x]))",
        "result = '{0.gi_frame}'.format((y for y in []))",
        "result = re.sub.format",
        "result = json.codecs.open",
        "result = json.decoder",
        "result = statistics.random",
        "import functools\nresult = functools.sys",
        "import copy\nresult = copy.copyreg",
        "result = datetime.sys",
        "result = sorted([x], key=globals)",
        "result = vars(x)",
        "result = (lambda: 0).func_globals",
        "def f():\n    raise ValueError\ntry:\n    f()\nexcept ValueError as e:\n    result = e.tb",
    ],
)
async def test_a_checked_program_finds_no_way_to_the_inside(kitchen: Kitchen, source: str) -> None:
    text = source.replace("\n", "\n    ")
    why = await kitchen.error(f"- {{id: x, compute: 'result = {{}}'}}\n- id: it\n  compute: |\n    {text}")
    assert any(word in why for word in ("not allowed", "has no attribute", "no attribute", "not defined")), why


@pytest.mark.parametrize(
    "attempt",
    [
        "os['fork']()",
        "os['forkpty']()",
        "os['system']('touch {file}')",
        "os['execv']('/bin/touch', ['touch', '{file}'])",
        "os['posix_spawn']('/bin/touch', ['touch', '{file}'], {{}})",
        "os['popen']('touch {file}')",
        "os['open']('{file}', 65)",
        "os['listdir']('/')",
        "os['kill'](os['getppid'](), 15)",
        "os['killpg'](os['getpgid'](os['getppid']()), 15)",
        "real.open('{file}', 'w')",
        "real.open('/etc/passwd')",
        "real.__import__('socket').socket()",
        "real.__import__('ctypes')",
        "real.__import__('subprocess')",
        "real.__import__('_posixsubprocess')",
        "real.exec('1')",
        "real.compile('1', '', 'eval')",
        "sys._getframe()",
        "sys.settrace(len)",
        "(x for x in ()).gi_frame",
        "sys.modules['resource'].setrlimit(7, (100, 100))",
    ],
)
async def test_a_program_that_got_out_meets_shut_doors(tmp_path: Path, attempt: str) -> None:
    file = tmp_path / "made"
    tmp_path.chmod(0o777)
    with pytest.raises(StepError, match="is not allowed in a compute step"):
        await unchecked(WALK + "result = " + attempt.format(file=file))
    assert not file.exists()


async def test_below_the_doors_the_kernel_has_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WAKEFUL_SECRET", "x")
    source = """
r = sys.modules['resource']
limits = [r.getrlimit(each) for each in (r.RLIMIT_NOFILE, r.RLIMIT_NPROC, r.RLIMIT_FSIZE, r.RLIMIT_CORE)]
more = [r.getrlimit(r.RLIMIT_AS), r.getrlimit(r.RLIMIT_CPU)]
result = [limits, *more, list(os['environ']), os['geteuid'](), os['getcwd']()]
"""
    limits, memory, processor, environment, user, folder = await unchecked(WALK + source)
    assert limits == [[0, 0]] * 4
    assert memory == [Bounds().memory] * 2
    assert processor == [11, 11]
    assert environment in ([], ["WAKEFUL_CHILD"], ["LC_CTYPE", "WAKEFUL_CHILD"], ["WAKEFUL_CHILD", "LC_CTYPE"])
    assert user != 0
    assert folder == "/"


@pytest.mark.parametrize(
    ("source", "why"),
    [
        ("while True: pass", "took longer than 1 s and was ended"),
        ("while True:\n    try:\n        while True: pass\n    except:\n        pass", "took longer than 1 s"),
        ("result = sum(range(10 ** 14))", "took longer than 1 s"),
        ("result = re.match(r'(a|aa)+$', 'a' * 60 + 'b')", "took longer than 1 s"),
        ("result = 9 ** 9 ** 9", "took longer than 1 s"),
        ("result = 'x' * 10 ** 11", "needs more memory"),
        ("result = list(range(10 ** 9))", "needs more memory"),
        ("x = [0]\nwhile True:\n    x += x", "needs more memory"),
        ("x = []\nwhile True:\n    try: x.append('x' * 10 ** 6)\n    except: pass", "took longer than 1 s"),
        ("x = []\nfor _ in range(10 ** 6):\n    x = [x]\nresult = repr(x)", "RecursionError"),
        ("x = []\nfor _ in range(10 ** 6):\n    x = [x]\nresult = x", "nested too deeply"),
        ("while True: print('x' * 10 ** 6)", "took longer than 1 s"),
        ("result = ['x' * 1000] * 10000", "larger than"),
        ("result = '{:>99999999999}'.format(1)", "memory"),
    ],
)  # fmt: skip
async def test_what_takes_too_much_is_ended_and_said_so(kitchen: Kitchen, source: str, why: str) -> None:
    if "longer" in why:
        kitchen.limits = replace(kitchen.limits, compute=SHORT)
    text = source.replace("\n", "\n    ")
    error = await kitchen.error(f"- id: it\n  compute: |\n    {text}")
    assert why in error or ("memory" in why and "memory" in error), error
    assert own_children() == []


async def test_a_program_that_dies_fails_its_step() -> None:
    with pytest.raises(StepError, match="ended without a result: exit code 3"):
        await unchecked(WALK + "os['_exit'](3)")
    with pytest.raises(StepError, match="ended without a result that can be read"):
        await unchecked(WALK + "os['_exit'](0)")
    with pytest.raises(StepError, match="ended without a result that can be read"):
        await unchecked(WALK + "os['write'](1, b'{' * 10000)\nos['_exit'](0)")


@pytest.mark.parametrize("forged", [[], {}, {"value": 1}, {"error": [1]}, 5, {"value": 1, "variables": 2}])
async def test_an_answer_that_is_forged_fails_at_most_its_step(forged: Any) -> None:
    text = json.dumps(forged)
    with pytest.raises(StepError):
        await unchecked(WALK + f"os['write'](1, {text.encode()!r})\nos['_exit'](0)")


@pytest.mark.parametrize(
    "step",
    [
        "id: it, compute: 'while True: pass'",
        "id: it, tool: run_command, args: {argv: [sh, -c, 'sleep 1000 & sleep 1000']}",
    ],
)
async def test_a_run_that_is_cancelled_leaves_no_process(kitchen: Kitchen, step: str) -> None:
    kitchen.write("tried", f"name: tried\nsteps: [{{{step}, on_error: continue}}, {{tool: ask}}]")
    engine = kitchen.engine(Tools(programs=frozenset({"sh"}), environment=lambda _: {"PATH": os.environ["PATH"]}))
    before = set(children())
    running = asyncio.create_task(engine.run("tried", {}, SESSION))
    while not (started := set(children()) - before):
        await asyncio.sleep(0.01)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert started
    eventually(lambda: not any(map(alive, started)) and not set(children()) - before, "the processes to end")
    assert kitchen.asked == []


def children() -> list[int]:
    """This process's children."""
    return [int(pid) for path in Path("/proc/self/task").glob("*/children") for pid in path.read_text().split()]

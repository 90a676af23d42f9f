"""Mode ``python_script``: which scripts may be run, what they are given, and what their end means."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from targets.cron.commands import PATH, RESTLESS, left
from targets.cron.jobs import RUN, cron_claim, script_claim, work
from wakeful.targets.command import ScriptMode, script_arguments, script_path
from wakeful.targets.failures import Failure
from wakeful.targets.work import Performed

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

TELLS = """
import json, os, sys
print(json.dumps({"argv": sys.argv[1:], "cwd": os.getcwd(), "env": dict(os.environ), "stdin": json.load(sys.stdin),
                  "python": sys.executable}))
"""


@pytest.fixture(params=[False], ids=["asyncio"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, bool]]:
    """Children are tested on both loops elsewhere."""
    return "asyncio", {"use_uvloop": request.param}


async def run(scripts: Path, text: str, *arguments: str, **more: Any) -> Performed:
    (scripts / "it.py").write_text(text)
    environment = {"PATH": PATH, "HOME": "/home/u", "DAPR_API_TOKEN": "secret", "WAKEFUL_TOKEN": "secret"}
    return await ScriptMode(scripts, environment)(work(script_claim("it.py", *arguments, **more)))


async def test_s3_32_a_script_gets_its_inputs_its_arguments_and_the_facts_of_its_run(scripts: Path) -> None:
    arguments = ["--days", "5", "$(x)", "", "a b"]
    inputs = {"project": "wakeful", "text": "ü\n\"'"}
    performed = await run(scripts, TELLS, *arguments, inputs=inputs, attempt=3)
    assert (performed.success, performed.exit_code, performed.error) == (True, 0, None)
    told = json.loads(performed.output)
    assert (told["argv"], told["stdin"]) == (arguments, inputs)
    assert (told["python"], told["cwd"]) == (sys.executable, str(scripts))
    env = told["env"]
    assert (env["HOME"], env["WAKEFUL_JOB"], env["WAKEFUL_ATTEMPT"]) == ("/home/u", "daily_standup", "3")
    assert (env["WAKEFUL_EXECUTION_ID"], env["WAKEFUL_PERSONA"]) == (RUN.hex, "developer")
    assert (env["WAKEFUL_SESSION_ID"], env["WAKEFUL_SCHEDULED_FOR"]) == (
        "cron-coffee-20260126-090000",
        "2026-01-26T09:00:00-05:00",
    )
    assert "DAPR_API_TOKEN" not in env
    assert "WAKEFUL_TOKEN" not in env


async def test_a_script_without_inputs_gets_an_empty_object(scripts: Path) -> None:
    assert json.loads((await run(scripts, TELLS)).output)["stdin"] == {}


@pytest.mark.parametrize(
    ("text", "error", "failure"),
    [
        ("print('ok')", None, None),
        ("print('{\"success\": true}')", None, None),
        ("print('{\"success\": false}'); print('the last line counts')", None, None),
        ("print('[false]')", None, None),
        ("print('{\"success\": false, \"error\": \"no beans\"}\\n\\n')",
         "the script reports a failure: no beans", "reported"),
        ("print('{\"success\": false}')", "the script reports a failure: it says no more", "reported"),
        ("import sys; print('{\"success\": true}'); sys.exit(3)", "exit code 3", "exit_code"),
        ("import sys; sys.exit('last words')", "exit code 1: last words", "exit_code"),
        ("raise KeyError('x')", "exit code 1: KeyError: 'x'", "exit_code"),
        ("import os; os.kill(os.getpid(), 9)", "ended by signal 9", "signal"),
        ("import sys; print('{\"error\": \"such a thing can not be\"}'); sys.exit(65)",
         "exit code 65: such a thing can not be", "invalid_input"),
    ],
)  # fmt: skip
async def test_s3_38_exit_code_and_report_are_both_judged(
    scripts: Path, text: str, error: str | None, failure: str | None
) -> None:
    performed = await run(scripts, text)
    assert (performed.success, performed.error) == (error is None, error)
    assert performed.success or performed.failure == failure
    assert performed.retryable is (failure != "invalid_input")


async def test_output_of_any_bytes_and_of_any_length_is_kept_in_bounds(scripts: Path) -> None:
    text = (
        "import sys; o = sys.stdout.buffer; o.write(bytes(range(256)) * 20_000 + b'\\n{\"success\": false}'); o.flush()"
    )
    performed = await run(scripts, text)
    assert (performed.success, performed.truncated) == (False, True)
    # Of what was cut there are only whole lines.
    assert 511 * 1024 < len(performed.output) <= 512 * 1024
    assert performed.output.startswith(bytes(range(11, 256)))


async def test_what_was_said_before_a_timeout_is_kept(scripts: Path, tag: str) -> None:
    text = f"import sys; print('begun'); sys.argv[1:] = [{tag!r}, 'ignore', 'fork', 'setsid', 'daemon']\n"
    performed = await run(scripts, text + Path(RESTLESS).read_text(), tag, timeout_s=1)
    assert (performed.timed_out, performed.error, performed.output) == (True, "timed out after 1 s", b"begun\n")
    assert left(tag) == []


# Which scripts.


def test_b3_23_a_script_may_lie_deeper_and_be_a_link_within(scripts: Path) -> None:
    (scripts / "a").mkdir()
    (scripts / "a" / "b.py").touch()
    (scripts / "link.py").symlink_to("a/b.py")
    for address in ("a/b.py", "link.py", "a/../a/b.py", "./a//b.py"):
        assert script_path(scripts, address) == (scripts / "a" / "b.py").resolve()


@pytest.mark.parametrize(
    ("address", "why"),
    [
        ("../out.py", "lies outside"),
        ("a/../../out.py", "lies outside"),
        ("link.py", "lies outside"),
        ("linked/out.py", "lies outside"),
        ("{out}", "relative to it"),
        ("{scripts}/in.py", "relative to it"),
        ("none.py", "there is no script 'none.py' in"),
        ("a", "there is no script"),
        (".", "there is no script"),
        ("", "relative to it"),
        (" ", "relative to it"),
        ("in.py\0", "relative to it"),
        ("x" * 5000, "can't be read"),
        ("loop.py", "can't be read|there is no script"),
    ],
)
async def test_b3_23_no_script_lies_outside_its_folder(scripts: Path, address: str, why: str) -> None:
    outside = scripts.parent / "out.py"
    outside.write_text("open('ran', 'w')")
    (scripts / "in.py").touch()
    (scripts / "a").mkdir()
    (scripts / "link.py").symlink_to(outside)
    (scripts / "linked").symlink_to(scripts.parent)
    (scripts / "loop.py").symlink_to("loop.py")
    address = address.replace("{out}", str(outside)).replace("{scripts}", str(scripts))
    with pytest.raises(ValueError, match=why):
        script_path(scripts, address)
    performed = await ScriptMode(scripts, {"PATH": PATH})(work(cron_claim(address, kind="command")))
    assert (performed.success, performed.retryable, performed.failure) == (False, False, Failure.INVALID)


@pytest.mark.parametrize("text", ["", "{}", "5", '["a", 5]', '"a"', "[" * 100_000])
def test_arguments_are_a_list_of_texts(text: str) -> None:
    with pytest.raises(ValueError, match="args: a list of texts"):
        script_arguments(text)


def test_arguments_are_not_too_many() -> None:
    with pytest.raises(ValueError, match="args has 257 texts"):
        script_arguments(json.dumps(["x"] * 257))

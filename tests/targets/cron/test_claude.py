"""Mode ``claude_cli``, with a ``claude`` on the PATH that writes down how it was called."""

import asyncio
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from support.processes import eventually
from targets.cron.commands import PATH, FakeClaude, left, restless
from targets.cron.jobs import NINE, RUN, cron_claim, work
from wakeful.process_tree import MARK
from wakeful.targets.claude import ClaudeMode, ClaudeSettings, read_settings
from wakeful.targets.failures import Failure
from wakeful.targets.work import Performed

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

SUCCESS = "WAKEFUL_RESULT: success"


@pytest.fixture(params=[False], ids=["asyncio"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, bool]]:
    """Children are tested on both loops elsewhere."""
    return "asyncio", {"use_uvloop": request.param}


async def perform(
    claude: FakeClaude, section: object = None, env: dict[str, str] | None = None, **claim: Any
) -> Performed:
    settings = read_settings(section)
    return await ClaudeMode(lambda: settings, {**claude.environment, **(env or {})})(work(cron_claim(**claim)))


# How it is called.


async def test_s3_30_a_skill_runs_through_the_claude_cli(claude: FakeClaude) -> None:
    claude.says(f"made coffee\n\n{SUCCESS}")
    performed = await perform(claude, inputs={"cups": 2})
    assert performed.success
    assert (performed.exit_code, performed.text, performed.error) == (0, f"made coffee\n\n{SUCCESS}", None)
    called = claude.call()
    assert called["argv"][:4] == ["--print", "--output-format", "json", "--session-id"]
    assert 'Skill: "coffee"' in called["argv"][5]
    assert called["stdin"] == ""
    assert performed.facts["session_uuid"] == called["argv"][4]
    assert (performed.facts["reported"], performed.facts["turns"]) == ("success", 3)


async def test_s3_37_it_is_called_with_skill_session_persona_and_inputs(claude: FakeClaude) -> None:
    command = ["claude", "--print", "--skill", "{skill}", "--session", "{session}"]
    command += ["--persona", "{persona}", "--inputs", "{inputs}"]
    inputs = {"text": 'it\'s $(touch x) "q" `x`; --print\n', "n": [1, None]}
    await perform(claude, {"command": command}, inputs=inputs)
    argv = claude.call()["argv"]
    assert argv[:-1] == [
        *("--print", "--skill", "coffee", "--session", "cron-coffee-20260126-090000"),
        *("--persona", "developer", "--inputs"),
    ]
    assert json.loads(argv[-1]) == inputs


async def test_b3_1_the_permissions_are_those_of_the_settings(claude: FakeClaude) -> None:
    await perform(
        claude, {"allowed_tools": ["Read", "Bash(git:*)"], "permission_mode": "plan", "skip_permissions": True}
    )
    assert claude.call()["argv"][:4] == [
        *("--allowedTools=Read,Bash(git:*)", "--permission-mode=plan"),
        *("--dangerously-skip-permissions", "--print"),
    ]


async def test_b3_2_large_inputs_come_on_stdin(claude: FakeClaude) -> None:
    inputs = {"text": "ü" * 300_000}
    assert (await perform(claude, inputs=inputs)).success
    called = claude.call()
    assert json.loads(called["stdin"]) == inputs
    assert max(map(len, called["argv"])) < 2_000


async def test_it_runs_where_and_with_what_it_was_told(claude: FakeClaude, tmp_path: Path) -> None:
    names = ["WAKEFUL_API_KEY", "DAPR_API_TOKEN", "APP_API_TOKEN", "NOTIFY_SOCKET", "SMTP_PASSWORD"]
    ours = dict.fromkeys(names, "secret")
    environment = {**claude.environment, **ours, "ANTHROPIC_API_KEY": "its own"}
    settings = ClaudeSettings(cwd=str(tmp_path))
    mode = ClaudeMode(lambda: settings, environment, lambda: ["SMTP_PASSWORD"])
    await mode(work(cron_claim(attempt=2)))
    called = claude.call()
    assert called["cwd"] == str(tmp_path)
    env = called["env"]
    assert not {*ours} & {*env}
    assert env["ANTHROPIC_API_KEY"] == "its own"
    assert {name: value for name, value in env.items() if name.startswith("WAKEFUL_") and name != MARK} == {
        "WAKEFUL_JOB": "daily_standup",
        "WAKEFUL_SESSION_ID": "cron-coffee-20260126-090000",
        "WAKEFUL_EXECUTION_ID": RUN.hex,
        "WAKEFUL_ATTEMPT": "2",
        "WAKEFUL_SCHEDULED_FOR": "2026-01-26T09:00:00-05:00",
        "WAKEFUL_PERSONA": "developer",
    }
    assert NINE.isoformat() not in env


async def test_settings_are_those_of_now(claude: FakeClaude) -> None:
    settings = ClaudeSettings()
    mode = ClaudeMode(lambda: settings, claude.environment)
    await mode(work(cron_claim()))
    settings = replace(settings, command=("claude", "of the new file"))
    await mode(work(cron_claim()))
    assert claude.calls()[1]["argv"] == ["of the new file"]


async def test_b3_2_a_skill_that_looks_like_an_option_is_refused(claude: FakeClaude) -> None:
    section = {"command": ["claude", "--skill", "{skill}"]}
    performed = await perform(claude, section, skill="--dangerously-skip-permissions")
    assert (performed.success, performed.retryable, claude.calls()) == (False, False, [])
    assert "the command would take it for an option" in str(performed.error)


# What its answer comes to (S3.38, B3.22).


@pytest.mark.parametrize(
    ("result", "more", "error"),
    [
        (SUCCESS, {}, None),
        (f"all well\n\n**{SUCCESS}**\n", {}, None),
        (f"all well\n> `{SUCCESS}`.", {}, None),
        ("it forgot the last line", {}, None),
        ("the line 'WAKEFUL_RESULT: failure' is not said here", {}, None),
        ("WAKEFUL_RESULT: failure no beans left", {}, "the answer reports a failure: no beans left"),
        ("x\n**WAKEFUL_RESULT: failure** - no *beans*", {}, "the answer reports a failure: no *beans"),
        ("WAKEFUL_RESULT: failure", {}, "the answer reports a failure, and says no more"),
        (
            f"{SUCCESS}\nWAKEFUL_RESULT: failure",
            {},
            "the answer says both that it is a success and that it is a failure",
        ),
        (f"boom\n{SUCCESS}", {"is_error": True}, "the CLI reports an error: boom"),
        (
            "",
            {"is_error": True, "subtype": "error_during_execution"},
            "the CLI reports an error: error_during_execution",
        ),
        (SUCCESS, {"subtype": "error_max_turns"}, "the CLI ended with 'error_max_turns'"),
    ],
)
async def test_b3_22_what_it_reports_is_judged(
    claude: FakeClaude, result: str, more: dict[str, Any], error: str | None
) -> None:
    claude.says(result, **more)
    performed = await perform(claude)
    assert (performed.error, performed.success) == (error, error is None)
    assert performed.retryable
    assert performed.text == result


@pytest.mark.parametrize(
    ("out", "more", "error"),
    [
        ({"type": "result", "is_error": False, "result": SUCCESS}, {"code": 3}, f"exit code 3: {SUCCESS}"),
        ({"type": "result", "is_error": True, "result": "Invalid API key"}, {"code": 1, "err": "noise\n"},
         "exit code 1: Invalid API key"),
        ("plain words", {"code": 1, "err": "first\nlast words\n"}, "exit code 1: last words"),
        ("", {"code": 1}, "exit code 1"),
        ("plain words", {}, None),
        (f"plain words\n{SUCCESS}\n", {}, None),
        ("plain\nWAKEFUL_RESULT: failure no beans\n", {}, "the answer reports a failure: no beans"),
        ([{"type": "system"}, {"type": "result", "is_error": True, "result": "bad"}], {},
         "the CLI reports an error: bad"),
        ('{"type":"system"}\n{"type":"result","subtype":"success","result":"ok"}\n', {}, None),
        ('npm warn\n{"type":"result","is_error":true,"result":"bad"}', {}, "the CLI reports an error: bad"),
        ({"success": False, "result": "no"}, {}, "the CLI reports an error: no"),
    ],
)  # fmt: skip
async def test_s3_38_exit_code_and_output_are_the_result(
    claude: FakeClaude, out: object, more: dict[str, Any], error: str | None
) -> None:
    claude.answers(out, **more)
    performed = await perform(claude)
    assert (performed.error, performed.success, performed.exit_code) == (error, error is None, more.get("code", 0))
    assert performed.output.decode() == (out if isinstance(out, str) else json.dumps(out))
    assert performed.errors.decode() == more.get("err", "")


@pytest.mark.parametrize("marker", ["success", "failure no beans"])
async def test_of_an_answer_that_is_too_long_the_last_words_count(claude: FakeClaude, marker: str) -> None:
    claude.says("x" * 3_000_000 + f"\n\nWAKEFUL_RESULT: {marker}")
    performed = await perform(claude)
    assert (performed.success, performed.truncated) == (marker == "success", True)
    assert len(performed.output) == 512 * 1024


# What goes wrong.


async def test_b3_24_a_missing_claude_fails_at_once_and_says_what_to_do(tmp_path: Path) -> None:
    performed = await ClaudeMode(ClaudeSettings, {"PATH": PATH, "HOME": str(tmp_path)})(work(cron_claim()))
    assert (performed.success, performed.retryable, performed.failure) == (False, False, Failure.MISSING_PROGRAM)
    assert str(performed.error).startswith(
        "can't start 'claude': No such file or directory; install the Claude Code CLI"
    )
    assert "schedules.claude.command" in str(performed.error)
    assert "skill_direct" in str(performed.error)


async def test_a_missing_folder_is_no_missing_claude(claude: FakeClaude, tmp_path: Path) -> None:
    performed = await perform(claude, {"cwd": str(tmp_path / "nowhere")})
    assert (performed.retryable, performed.failure) == (False, Failure.ERROR)
    assert "there is no folder" in str(performed.error)


async def test_b3_40_a_timeout_ends_it_with_all_that_it_started(claude: FakeClaude, tag: str) -> None:
    section = {"command": [*restless(tag, "fork", "setsid", "ready"), "{skill}"][:-1]}
    performed = await perform(claude, section, timeout_s=1)
    assert (performed.success, performed.timed_out, performed.retryable) == (False, True, True)
    assert (performed.error, performed.failure, performed.exit_code) == ("timed out after 1 s", Failure.TIMEOUT, -15)
    assert left(tag) == []


async def test_cancelled_it_leaves_nobody(claude: FakeClaude, tag: str) -> None:
    section = {"command": restless(tag, "fork", "daemon", "ready")}
    performing = asyncio.create_task(perform(claude, section))
    await asyncio.to_thread(eventually, lambda: len(left(tag)) == 3, "the command's children")
    performing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await performing
    assert left(tag) == []

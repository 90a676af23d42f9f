"""The sink of cron jobs: from a claim to an outcome with its result, its session and its log."""

import asyncio
import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from targets.cron.commands import PATH, FakeClaude, left, restless
from targets.cron.jobs import NINE, RUN, Place, cron_claim, result, script_claim
from wakeful.core.ports import Claim
from wakeful.core.run import Cause, Failed, Rejected, Skipped, Succeeded
from wakeful.targets.claude import ClaudeMode, read_settings
from wakeful.targets.command import ScriptMode
from wakeful.targets.cron_sink import Polled
from wakeful.targets.failures import Failure
from wakeful.targets.work import Performed, Work, refused

pytestmark = pytest.mark.anyio

SESSION = "cron-coffee-20260126-090000"
slow = pytest.mark.slow


class Mode:
    """A way to perform that answers what it is told, and keeps what it was given."""

    def __init__(self, answer: Performed | None = None) -> None:
        self.answer: Performed | BaseException = answer or Performed(True)
        self.given: list[Work] = []

    async def __call__(self, work: Work) -> Performed:
        self.given.append(work)
        if isinstance(self.answer, BaseException):
            raise self.answer
        return self.answer


@pytest.fixture
def mode() -> Mode:
    return Mode(Performed(True, 0, b"one\ntwo\n", b"careful\n"))


@pytest.fixture
def place(tmp_path: Path, mode: Mode) -> Place:
    return Place(tmp_path / "logs", {"claude_cli": mode, "skill_direct": mode, "python_script": mode})


# What comes of a run.


async def test_s3_38_the_result_is_exit_code_and_output(place: Place, mode: Mode) -> None:
    outcome = await place.sink.deliver(cron_claim(inputs={"days": 5}))
    assert isinstance(outcome, Succeeded)
    assert result(outcome) == {
        "session_id": SESSION,
        "exit_code": 0,
        "output": "one\ntwo\n",
        "truncated": False,
        "success": True,
        "error": None,
        "timed_out": False,
        "mode": "claude_cli",
        "failure": None,
    }
    (work,) = mode.given
    assert (work.inputs, work.timeout) == ({"days": 5}, timedelta(seconds=20))
    assert work.session.session_id == SESSION


@pytest.mark.parametrize(
    ("claim", "name"),
    [
        (cron_claim(), "claude_cli"),
        (cron_claim(mode="skill_direct"), "skill_direct"),
        (script_claim("a.py"), "python_script"),
    ],
)
async def test_the_mode_is_the_targets(tmp_path: Path, claim: Claim, name: str) -> None:
    modes = {each: Mode() for each in ("claude_cli", "skill_direct", "python_script")}
    assert result(await Place(tmp_path, {**modes}).sink.deliver(claim))["mode"] == name
    assert [each for each, mode in modes.items() if mode.given] == [name]


async def test_a_failure_carries_its_result_too(place: Place, mode: Mode) -> None:
    mode.answer = Performed(False, 3, b"half", error="exit code 3: connection refused", failure=Failure.EXIT_CODE)
    outcome = await place.sink.deliver(cron_claim())
    assert isinstance(outcome, Failed)
    assert outcome.error == "exit code 3: connection refused"
    told = result(outcome)
    assert (told["success"], told["exit_code"], told["output"], told["failure"]) == (False, 3, "half", "network")
    assert told["error"] == outcome.error


async def test_what_will_never_do_is_not_tried_again(place: Place, mode: Mode) -> None:
    mode.answer = refused("no such script")
    outcome = await place.sink.deliver(cron_claim())
    assert isinstance(outcome, Rejected)
    assert (outcome.error, result(outcome)["failure"]) == ("no such script", "invalid_input")


@pytest.mark.parametrize(
    ("retry_on", "answer", "retried"),
    [
        (["auth", "network"], Performed(False, 1, b"HTTP 401", error="x", failure=Failure.EXIT_CODE), True),
        (["auth", "network"], Performed(False, 1, b"401", error="x", failure=Failure.EXIT_CODE), False),
        (
            ["auth", "network"],
            Performed(False, 1, errors=b"connection reset", error="x", failure=Failure.EXIT_CODE),
            True,
        ),
        (["auth"], Performed(False, 1, error="connection reset", failure=Failure.EXIT_CODE), False),
        (["exit_code"], Performed(False, 1, b"HTTP 401", error="x", failure=Failure.EXIT_CODE), True),
        (["auth"], Performed(False, text="please run /login", error="x", failure=Failure.REPORTED), True),
        (["auth"], Performed(False, -9, b"HTTP 401", error="x", failure=Failure.SIGNAL), False),
        (["network"], Performed(False, -15, error="timed out", timed_out=True, failure=Failure.TIMEOUT), False),
        (["timeout"], Performed(False, -15, error="timed out", timed_out=True, failure=Failure.TIMEOUT), True),
        # Who names it wants it.
        (["invalid_input"], refused("no such script"), True),
        (["timeout"], refused("no such script"), False),
        ([], Performed(False, 1, error="x", failure=Failure.EXIT_CODE), False),
        (None, Performed(False, 1, error="x", failure=Failure.EXIT_CODE), True),
        ("no list", Performed(False, 1, error="x", failure=Failure.EXIT_CODE), True),
    ],
)
async def test_b3_21_retry_on_names_the_classes_that_are_tried_again(
    place: Place, mode: Mode, retry_on: object, answer: Performed, retried: bool
) -> None:
    mode.answer = answer
    options = {} if retry_on is None else {"retry_on": json.dumps(retry_on)}
    outcome = await place.sink.deliver(cron_claim(**options))
    assert isinstance(outcome, Failed if retried else Rejected)
    if not retried:
        assert "(no retry: " in outcome.error
    assert result(outcome)["error"] in outcome.error


async def test_b3_40_a_timeout_is_told_as_one(place: Place, mode: Mode) -> None:
    mode.answer = Performed(False, -15, error="timed out after 20 s", timed_out=True, failure=Failure.TIMEOUT)
    outcome = await place.sink.deliver(cron_claim())
    assert isinstance(outcome, Failed)
    told = result(outcome)
    assert (told["timed_out"], told["success"], told["failure"]) == (True, False, "timeout")
    assert "status: timed out\n" in place.log()


async def test_a_modes_bug_costs_one_attempt(place: Place, mode: Mode) -> None:
    mode.answer = KeyError("x")
    outcome = await place.sink.deliver(cron_claim())
    assert isinstance(outcome, Failed)
    assert outcome.error == "KeyError: 'x'"
    assert "error: KeyError: 'x'\n" in place.log()


@pytest.mark.parametrize(
    ("claim", "error"),
    [
        (cron_claim(mode="telepathy"), "there is no execution mode 'telepathy', only claude_cli, python_script"),
        (cron_claim(kind="app"), "a cron job can't invoke a target of kind 'app'"),
    ],
)
async def test_what_no_mode_can_do_is_rejected(place: Place, claim: Claim, error: str) -> None:
    outcome = await place.sink.deliver(claim)
    assert isinstance(outcome, Rejected)
    assert outcome.error.startswith(error)


async def test_inputs_that_are_no_object_are_rejected(place: Place, mode: Mode) -> None:
    claim = cron_claim(inputs=[1, 2])  # type: ignore[arg-type]
    outcome = await place.sink.deliver(claim)
    assert outcome == Rejected("the inputs of a cron job are a JSON object", outcome.result)  # type: ignore[union-attr]
    assert mode.given == []


# Bounds and secrets.


async def test_long_output_is_cut_and_says_so(place: Place, mode: Mode) -> None:
    mode.answer = Performed(True, 0, "ü".encode() * 20_000 + b"the end")
    told = result(await place.sink.deliver(cron_claim()))
    assert (told["truncated"], len(told["output"].encode())) == (True, 16 * 1024 - 1)
    assert told["output"].endswith("ü" + "the end")
    assert "ü" * 20_000 in place.log()


async def test_output_that_was_cut_before_is_told_as_cut(place: Place, mode: Mode) -> None:
    mode.answer = Performed(True, 0, b"the end", truncated=True)
    assert result(await place.sink.deliver(cron_claim()))["truncated"] is True


async def test_any_bytes_become_text(place: Place, mode: Mode) -> None:
    mode.answer = Performed(False, 1, bytes(range(256)), bytes(range(256)), error="\x1b[31mred\x00\n" * 200)
    outcome = await place.sink.deliver(cron_claim())
    assert isinstance(outcome, Failed)
    assert outcome.error.isprintable()
    assert len(outcome.error) <= 501
    assert result(outcome)["output"].startswith("\x00\x01")
    assert place.log()


async def test_no_secret_comes_into_the_result_or_the_log(place: Place, mode: Mode) -> None:
    place.redact = lambda text: text.replace("hunter2", "***")
    sink = Place(place.folder, place.modes, redact=place.redact).sink
    # It begins before the part that is kept.
    output = b"hunter2" + b"x" * (16 * 1024 - 3)
    facts = {"outputs": {"a": ["hunter2", {"b": "hunter2"}], "n": 1}}
    mode.answer = Performed(False, 1, output, b"hunter2", error="hunter2", facts=facts)
    outcome = await sink.deliver(cron_claim())
    assert isinstance(outcome, Failed)
    assert outcome.result is not None
    assert outcome.error == "***"
    assert b"unter2" not in outcome.result
    assert result(outcome)["outputs"] == {"a": ["***", {"b": "***"}], "n": 1}
    assert "hunter2" not in place.log()


async def test_facts_that_are_too_large_are_left_out(place: Place, mode: Mode) -> None:
    mode.answer = Performed(True, facts={"outputs": {"a": "x" * 20_000}, "mode": "other"})
    told = result(await place.sink.deliver(cron_claim()))
    assert (told["truncated"], "outputs" in told, told["mode"]) == (True, False, "claude_cli")


async def test_facts_that_json_does_not_know_become_text(place: Place, mode: Mode) -> None:
    mode.answer = Performed(
        True, facts={"outputs": {"when": NINE, "where": Path("/x"), "nan": float("nan"), 5: (1, 2)}}
    )
    told = result(await place.sink.deliver(cron_claim()))
    assert told["outputs"] == {"when": "2026-01-26T14:00:00Z", "where": "/x", "nan": None, "5": [1, 2]}


@pytest.mark.parametrize(
    "facts",
    [{"n": 2**70}, {"s": "\ud800"}, {"s": {1: {}, "1": 2}, "o": object()}],
    ids=["number", "surrogate", "object"],
)
async def test_facts_that_are_no_json_fail_no_run(place: Place, mode: Mode, facts: dict[str, Any]) -> None:
    mode.answer = Performed(True, 0, b"done", facts=facts)
    assert result(await place.sink.deliver(cron_claim()))["output"] == "done"


async def test_what_can_not_be_redacted_is_not_kept(place: Place, mode: Mode) -> None:
    def redact(_: str) -> str:
        raise ValueError("which secrets?")

    mode.answer = Performed(False, 1, b"hunter2", b"hunter2", text="hunter2", error="hunter2", facts={"a": "hunter2"})
    outcome = await Place(place.folder, place.modes, redact=redact).sink.deliver(cron_claim())
    assert isinstance(outcome, Failed)
    assert outcome.result is not None
    assert b"hunter2" not in outcome.result
    assert "hunter2" not in place.log() + outcome.error
    assert result(outcome)["exit_code"] == 1


# The log and the memory.


async def test_c2_4_7_s3_40_each_run_has_a_log_with_a_head(place: Place, mode: Mode) -> None:
    await place.sink.deliver(cron_claim(attempt=2))
    assert place.logs() == [f"{SESSION}-attempt2.log"]
    head, streams = place.log().split("\n\n", 1)
    assert head.splitlines() == [
        "job: daily_standup",
        "skill: coffee",
        f"session: {SESSION}-attempt2",
        f"execution: {RUN.hex}",
        "attempt: 2",
        "mode: claude_cli",
        "scheduled for: 2026-01-26T09:00:00-05:00",
        "started: 2026-01-26T09:00:00-05:00",
        "ended: 2026-01-26T09:00:00-05:00",
        "exit code: 0",
        "status: success",
    ]
    assert streams == "--- stdout ---\none\ntwo\n--- stderr ---\ncareful\n"


async def test_b3_3_runs_of_one_second_have_sessions_of_their_own(place: Place) -> None:
    claims = [cron_claim(name="a"), cron_claim(name="b"), cron_claim(name="a", attempt=2)]
    outcomes = await asyncio.gather(*(place.sink.deliver(claim) for claim in claims))
    ids = [result(outcome)["session_id"] for outcome in outcomes]
    assert ids == [SESSION, f"{SESSION}-2", f"{SESSION}-attempt2"]
    assert place.logs() == sorted(f"{each}.log" for each in ids)


async def test_b3_4_a_skill_with_a_slash_has_a_log(place: Place) -> None:
    await place.sink.deliver(cron_claim("../team/standup"))
    assert place.logs() == ["cron-..-team-standup-20260126-090000.log"]


async def test_a_log_that_can_not_be_written_fails_no_run(tmp_path: Path, mode: Mode) -> None:
    (tmp_path / "file").touch()
    outcome = await Place(tmp_path / "file" / "logs", {"claude_cli": mode}).sink.deliver(cron_claim())
    assert isinstance(outcome, Succeeded)


async def test_s3_39_each_run_is_noted_in_the_memory(place: Place, mode: Mode) -> None:
    await place.sink.deliver(cron_claim())
    mode.answer = Performed(False, 1, error="no beans")
    await place.sink.deliver(cron_claim(attempt=2))
    assert place.noted == [
        ("Cron job daily_standup succeeded", f"skill coffee, session {SESSION}, attempt 1, 0.0 s"),
        ("Cron job daily_standup failed", f"skill coffee, session {SESSION}-attempt2, attempt 2, 0.0 s: no beans"),
    ]


async def test_a_memory_that_does_not_work_fails_no_run(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    async def forget(*_: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(Place, "note", forget)
    other = Place(place.folder, place.modes)
    assert isinstance(await other.sink.deliver(cron_claim()), Succeeded)


# Whether it runs at all.


async def test_s3_35_a_disabled_job_is_not_run(place: Place, mode: Mode) -> None:
    place.disabled = "job daily_standup is disabled"
    assert await place.sink.deliver(cron_claim()) == Skipped("job daily_standup is disabled")
    assert (mode.given, place.logs(), place.noted) == ([], [], [])


@pytest.mark.parametrize("cause", [Cause.MANUAL, Cause.BACKFILL, Cause.RETRY])
async def test_who_asks_for_a_run_of_a_disabled_job_gets_it(place: Place, cause: Cause) -> None:
    place.disabled = "job daily_standup is disabled"
    assert isinstance(await place.sink.deliver(cron_claim(cause=cause)), Succeeded)


async def test_available_returns_at_once(place: Place) -> None:
    await place.sink.available()


def tried(last: str = "exit code 3", **more: Any) -> Claim:
    """A run whose first attempt has failed."""
    made = cron_claim(attempt=2, **more)
    kept = json.dumps({"session_id": SESSION, "error": last}).encode()
    run = msgspec.structs.replace(
        made.run, errors=({"attempt": 1, "at": NINE.isoformat(), "error": last},), result=kept
    )
    return Claim(run, made.job)


async def test_s3_80_a_failed_run_that_is_switched_off_before_its_retry_has_failed(place: Place, mode: Mode) -> None:
    place.disabled = "the job is off"
    outcome = await place.sink.deliver(tried())
    assert isinstance(outcome, Rejected)
    assert outcome.error == "exit code 3; not tried again: the job is off"
    assert result(outcome) == {"session_id": SESSION, "error": outcome.error}
    outcome = await place.sink.deliver(tried("x" * 500))
    assert isinstance(outcome, Rejected)
    assert outcome.error.endswith("x…; not tried again: the job is off")
    assert len(outcome.error) < 400
    assert mode.given == []


# Poll jobs.


def polling(place: Place, polled: Polled | Exception) -> Place:
    async def poll(_: Claim) -> Polled:
        if isinstance(polled, Exception):
            raise polled
        return polled

    return Place(place.folder, place.modes, poll=poll)


async def test_a_poll_job_gets_what_was_found_and_tells_when_it_has_been_dealt_with(place: Place, mode: Mode) -> None:
    done: list[int] = []

    async def tell() -> None:
        done.append(1)

    found = Polled(True, [{"id": 1}], 1, done=tell)
    sink = polling(place, found).sink
    mode.answer = Performed(False, error="x")
    assert isinstance(await sink.deliver(cron_claim(inputs={"a": 1}, poll="{}")), Failed)
    assert done == []
    mode.answer = Performed(True)
    assert isinstance(await sink.deliver(cron_claim(inputs={"a": 1}, poll="{}")), Succeeded)
    assert done == [1]
    assert mode.given[1].inputs == {"a": 1, "_triggered_items": [{"id": 1}], "_triggered_count": 1}


@pytest.mark.parametrize(
    ("polled", "outcome"),
    [
        (Polled(False, count=2), Skipped("the condition does not hold: 2 items")),
        (Polled(False, reason="count 2 is not > 5"), Skipped("count 2 is not > 5")),
        (OSError("no route"), Failed("can't tell whether the condition holds: no route")),
        (TimeoutError(), Failed("looking whether the condition holds took too long")),
    ],
)
async def test_a_poll_job_whose_condition_does_not_hold_is_not_run(
    place: Place, mode: Mode, polled: Polled | Exception, outcome: object
) -> None:
    assert await polling(place, polled).sink.deliver(cron_claim(poll="{}")) == outcome
    assert (mode.given, place.logs()) == ([], [])


async def test_a_failed_run_whose_source_has_nothing_any_more_has_failed(place: Place, mode: Mode) -> None:
    outcome = await polling(place, Polled(False, reason="any: 0 of 0 items count")).sink.deliver(tried(poll="{}"))
    assert isinstance(outcome, Rejected)
    assert outcome.error == "exit code 3; not tried again: any: 0 of 0 items count"
    assert mode.given == []


@pytest.mark.parametrize("fault", [OSError("no route"), TimeoutError()])
async def test_who_could_not_look_and_then_finds_nothing_has_failed_at_nothing(place: Place, fault: Exception) -> None:
    failed = await polling(place, fault).sink.deliver(cron_claim(poll="{}"))
    assert isinstance(failed, Failed)
    outcome = await polling(place, Polled(False, reason="nothing")).sink.deliver(tried(failed.error, poll="{}"))
    assert outcome == Skipped("nothing")


@pytest.mark.parametrize(
    ("polled", "told"), [(Polled(False), []), (Polled(True, [1], 1), [RUN]), (OSError("no route"), [RUN])]
)
async def test_a_poll_begins_when_there_is_something_to_do_or_that_can_not_be_told(
    place: Place, polled: Polled | Exception, told: list[Any]
) -> None:
    made = polling(place, polled)
    await made.sink.deliver(cron_claim(poll="{}"))
    assert made.begun == told


async def test_a_job_that_polls_nothing_is_not_asked(place: Place) -> None:
    sink = polling(place, RuntimeError("must not be asked")).sink
    assert isinstance(await sink.deliver(cron_claim()), Succeeded)
    assert await place.sink.deliver(cron_claim(poll="{}")) == Failed("nobody here looks after poll conditions")


async def test_items_that_can_not_be_noted_as_done_fail_no_run(place: Place) -> None:
    async def tell() -> None:
        raise OSError("no space left")

    assert isinstance(await polling(place, Polled(True, done=tell)).sink.deliver(cron_claim(poll="{}")), Succeeded)


# With the real modes.


def real(tmp_path: Path, environment: dict[str, str], section: object = None) -> Place:
    async def skill(_: Work) -> Performed:
        return Performed(True, output=b"by the engine")

    modes: dict[str, Any] = {
        "claude_cli": ClaudeMode(lambda: read_settings(section), environment),
        "skill_direct": skill,
        "python_script": ScriptMode(tmp_path / "scripts", environment),
    }
    return Place(tmp_path / "logs", modes)


@slow
async def test_s3_30_a_skill_by_claude_from_claim_to_log(claude: FakeClaude, tmp_path: Path) -> None:
    claude.says("made coffee\nWAKEFUL_RESULT: success", total_cost_usd=0.25)
    place = real(tmp_path, claude.environment)
    told = result(await place.sink.deliver(cron_claim(inputs={"cups": 2})))
    assert (told["output"], told["reported"], told["cost_usd"]) == (
        "made coffee\nWAKEFUL_RESULT: success",
        "success",
        0.25,
    )
    assert told["session_uuid"] == claude.call()["argv"][4]
    # The log has what was printed, not what was read of it.
    assert '"result": "made coffee\\nWAKEFUL_RESULT: success"' in place.log()


@slow
async def test_s3_32_a_script_from_claim_to_log(tmp_path: Path, scripts: Path) -> None:
    (scripts / "days.py").write_text("import json, sys; print(json.load(sys.stdin)['days'], sys.argv[1:])")
    place = real(tmp_path, {"PATH": PATH})
    told = result(await place.sink.deliver(script_claim("days.py", "-v", inputs={"days": 5})))
    assert (told["mode"], told["exit_code"], told["output"]) == ("python_script", 0, "5 ['-v']\n")
    assert "skill: days.py\n" in place.log()


@slow
async def test_b3_24_a_missing_claude_is_no_silent_fallback(tmp_path: Path) -> None:
    outcome = await real(tmp_path, {"PATH": PATH}).sink.deliver(cron_claim())
    assert isinstance(outcome, Rejected)
    assert "can't start 'claude'" in outcome.error
    assert result(outcome)["failure"] == "missing_program"


@slow
async def test_b3_24_with_a_fallback_it_runs_by_that_and_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    outcome = await real(tmp_path, {"PATH": PATH}).sink.deliver(cron_claim(fallback_mode="skill_direct"))
    told = result(outcome)
    assert (told["success"], told["mode"], told["fallback_from"]) == (True, "skill_direct", "claude_cli")
    assert told["output"] == "by the engine"
    assert "runs by skill_direct instead" in caplog.text


@slow
async def test_a_fallback_is_for_a_missing_program_only(claude: FakeClaude, tmp_path: Path) -> None:
    claude.answers("", code=1)
    outcome = await real(tmp_path, claude.environment).sink.deliver(cron_claim(fallback_mode="skill_direct"))
    assert isinstance(outcome, Failed)
    assert "fallback_from" not in result(outcome)


@slow
async def test_cancelled_it_returns_when_nobody_is_left_and_leaves_a_log(tmp_path: Path, tag: str) -> None:
    begun = tmp_path / "begun"
    script = ["sh", "-c", f"touch {begun}; exec {' '.join(restless(tag, 'ignore', 'setsid', 'daemon'))}"]
    place = real(tmp_path, {"PATH": PATH}, {"command": script})
    delivering = asyncio.create_task(place.sink.deliver(cron_claim()))
    while not left(tag) or not begun.exists():
        await asyncio.sleep(0.01)
    delivering.cancel()
    with pytest.raises(asyncio.CancelledError):
        await delivering
    assert left(tag) == []
    assert "error: cut off before it had ended\n" in place.log()

"""The commands in this process: what they print, and how they end."""

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from support.stores import a_job, key
from wakeful.core.run import Failed, Succeeded

# `wakeful` alone is what a user types too.
pytestmark = pytest.mark.filterwarnings("ignore:Cyclopts application invoked without tokens")

ESCAPES = "\x1b[2J\x1b[1;1H\x07\x9b31m\u202e\u2028"


Command = Callable[..., Any]
Fill = Callable[..., None]


# ── help, version ──


def test_version_names_the_command_and_the_runtime(wakeful: Command) -> None:
    result = wakeful("--version")
    first, second = result.out.splitlines()
    assert first.startswith("CLI version: ")
    assert second.startswith("Runtime version: ")
    assert result.code == 0


@pytest.mark.parametrize(
    "command",
    ["", "run", "serve", "next", "why", "simulate", "doctor"]
    + [f"job {verb}".strip() for verb in ("", "put", "list", "show", "runs", "delete", "pause", "resume")]
    + [f"job {verb}" for verb in ("run", "backfill", "cancel", "retry")]
    + [f"calendar {verb}".strip() for verb in ("", "put", "list", "show", "delete")]
    + [f"scheduler {verb}".strip() for verb in ("", "list", "get", "delete", "delete-all", "export", "import")],
)
def test_every_command_explains_itself(wakeful: Command, command: str) -> None:
    result = wakeful(*command.split(), "--help")
    assert result.code == 0
    assert "Usage: wakeful" in result.out
    assert result.err == ""


def test_the_readme_shows_every_command(wakeful: Command) -> None:
    readme = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    commands = re.findall(r"^│ ([a-z]+) ", wakeful("--help").out, re.MULTILINE)
    for group in ("job", "calendar"):
        commands.remove(group)
        commands += [f"{group} {verb}" for verb in re.findall(r"^│ ([a-z]+) ", wakeful(group, "--help").out, re.M)]
    assert len(commands) == 26
    assert [command for command in commands if f"wakeful {command}" not in readme] == []


@pytest.mark.parametrize("flag", ["--version", "--help"])
def test_version_and_help_load_no_server_and_no_store(flag: str, tmp_path: Path) -> None:
    script = (
        "import sys\nsys.argv = ['wakeful', sys.argv[1]]\nfrom wakeful.main import main\n"
        "try:\n    main()\nexcept SystemExit:\n    print('MODULES', *sorted(sys.modules))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, flag], check=True, capture_output=True, text=True, cwd=tmp_path, timeout=30
    )
    modules = set(done.stdout.rpartition("MODULES")[2].split())
    assert "wakeful.main" in modules
    heavy = {"uvicorn", "starlette", "apsw", "uvloop", "httptools", "httpx2", "wakeful.stores.sqlite", "wakeful.engine"}
    assert modules & heavy == set()
    assert list(tmp_path.iterdir()) == []


def test_no_command_shows_the_help(wakeful: Command) -> None:
    result = wakeful()
    assert "Usage: wakeful" in result.out + result.err


# ── mistakes ──


@pytest.mark.parametrize(
    "command",
    [
        "--nope",
        "nope",
        "job nope",
        "job list --nope",
        "job list --namespace",
        "job show",
        "job runs x --limit many",
        "job backfill x",
        "job put x",
        "job put x @daily --overlap=sometimes",
        "calendar nope",
        "next",
        "next @daily --count=0",
        "next @daily --count=1001",
        "next @daily --dialect=unix",
        "why x",
        "serve",
        "serve --app-id a --app-port x",
        "run --app-id a --dapr-http-port 0 --nope -- true",
        "run -- true",
    ],
)
def test_a_wrong_command_line_is_explained_on_stderr(wakeful: Command, command: str) -> None:
    result = wakeful(*command.split())
    assert result.code == 2
    assert result.out == ""
    assert result.err


@pytest.mark.parametrize("command", ["job list --nope", "serve --app-id a --nope"])
def test_an_unknown_flag_is_named_beside_the_usage(wakeful: Command, command: str) -> None:
    result = wakeful(*command.split())
    assert "--nope" in result.err
    assert f"Usage: wakeful {command.split(maxsplit=1)[0]}" in result.err


@pytest.mark.parametrize(
    ("flags", "word"),
    [
        ("--app-id=", "--app-id"),
        ("--app-id=a/b", "--app-id"),
        ("--app-id=a --app-port=70000", "70000"),
        ("--app-id=a --dapr-http-port=-1", "-1"),
        ("--app-id=a --app-timeout=0", "--app-timeout"),
        ("--app-id=a --app-timeout=nan", "--app-timeout"),
        ("--app-id=a --app-timeout=inf", "--app-timeout"),
        ("--app-id=a --app-timeout=1e300", "--app-timeout"),
        ("--app-id=a --listen-address=0.0.0.0", "DAPR_API_TOKEN"),
        ("--app-id=a --listen-address=::", "DAPR_API_TOKEN"),
        ("--app-id=a --store=postgres://x", "--store"),
        ("--app-id=a --store=wakeful.db", "--store"),
        ("--app-id=a --store=sqlite:///missing/wakeful.db", "missing"),
        ("--app-id=a --listen-address=192.0.2.1.5", "192.0.2.1.5"),
    ],
)
@pytest.mark.timeout(20)
def test_a_setting_that_can_not_be_is_named(wakeful: Command, flags: str, word: str) -> None:
    result = wakeful("serve", *flags.split())
    assert result.code == 2
    assert word in result.err


@pytest.mark.parametrize("verb", ["show", "runs", "delete"])
def test_a_job_that_is_not_there_is_exit_code_3(wakeful: Command, verb: str) -> None:
    result = wakeful("job", verb, "nothing")
    assert result.code == 3
    assert "'nothing'" in result.err
    assert result.out == ""


@pytest.mark.parametrize("verb", ["show", "runs", "delete"])
@pytest.mark.parametrize("name", ["", "\udcff", "a\nb", "x" * 5000, "'; DROP TABLE jobs; --", "-"])
def test_a_name_that_no_job_can_have_is_a_plain_error(wakeful: Command, verb: str, name: str) -> None:
    result = wakeful("job", verb, name)
    assert result.code in (2, 3)
    assert result.err


def test_a_file_that_is_no_store_is_a_plain_error(wakeful: Command, path: Path) -> None:
    path.write_bytes(b"hello, I am a text file\n" * 50)
    result = wakeful("job", "list")
    assert result.code == 5
    assert str(path) in result.err


@pytest.mark.parametrize("limit", ["0", "-1"])
def test_a_limit_that_is_no_number_of_runs_is_refused(wakeful: Command, fill: Fill, limit: str) -> None:
    fill(a_job(), a_job("more"), outcomes={"tick": Succeeded()})
    assert wakeful("job", "runs", "tick", f"--limit={limit}").code == 2


# ── what they print ──


def test_an_empty_store_lists_no_jobs(wakeful: Command) -> None:
    assert wakeful("job", "list").out == "No jobs.\n"
    assert wakeful("job", "list", "--json").json == []


def test_the_list_has_a_line_for_every_job_of_the_namespace(wakeful: Command, fill: Fill) -> None:
    other = key("elsewhere", namespace="other")
    fill(a_job("b", "@every 1h"), a_job("a", "0 30 9 * * *"), a_job(other), a_job(key("c", owner="app/z")))

    result = wakeful("job", "list")

    head, *lines = result.out.splitlines()
    assert head.split()[:2] == ["NAME", "OWNER"]
    assert [line.split()[:2] for line in lines] == [["a", "app/a"], ["b", "app/a"], ["c", "app/z"]]
    assert "@every 1h" in lines[1]
    assert [job["name"] for job in wakeful("job", "list", "--json").json] == ["a", "b", "c"]
    assert [job["name"] for job in wakeful("job", "list", "--json", "--app-id=z").json] == ["c"]
    assert [job["name"] for job in wakeful("job", "list", "--json", "--namespace=other").json] == ["elsewhere"]


def test_a_list_longer_than_a_page_is_whole(wakeful: Command, fill: Fill) -> None:
    fill(*(a_job(f"job-{number:04}", due="1h") for number in range(1005)))
    assert len(wakeful("job", "list", "--json").json) == 1005


def test_a_job_is_shown_with_what_is_next_and_what_came_last(wakeful: Command, fill: Fill) -> None:
    fill(a_job("tick", "@every 1s", repeats=5), outcomes={"tick": Failed("HTTP 500 from POST /job/tick")})

    shown = wakeful("job", "show", "tick", "--json").json
    assert (shown["name"], shown["owner"], shown["state"], shown["schedule"]) == (
        "tick",
        "app/a",
        "active",
        "@every 1s",
    )
    assert shown["next_run_at"] == "2026-03-02T12:00:02Z"
    assert shown["remaining"] == 4
    page = wakeful("job", "show", "tick").out
    assert "@every 1s" in page
    assert "2026-03-02T12:00:02Z" in page


def test_runs_are_listed_newest_first_with_their_errors(wakeful: Command, fill: Fill) -> None:
    fill(a_job("good"), a_job("bad"), outcomes={"good": Succeeded(), "bad": Failed("HTTP 500: out of cheese")})

    (good,) = wakeful("job", "runs", "good", "--json").json
    assert (good["state"], good["attempts"], good["errors"]) == ("succeeded", 1, [])
    assert good["scheduled_for"] == "2026-03-02T12:00:00Z"
    assert good["lateness_s"] >= 0
    assert good["duration_s"] >= 0
    (bad,) = wakeful("job", "runs", "bad", "--json").json
    assert [error["error"] for error in bad["errors"]] == ["HTTP 500: out of cheese"]
    assert "out of cheese" in wakeful("job", "runs", "bad").out
    assert wakeful("job", "runs", "good").out.splitlines()[1].split()[2] == "succeeded"


def test_a_job_that_has_ended_is_still_shown_with_its_runs(wakeful: Command, fill: Fill) -> None:
    fill(a_job(), outcomes={"tick": Succeeded()})
    assert wakeful("job", "list", "--json").json == []
    assert wakeful("job", "show", "tick", "--json").json["state"] == "completed"
    assert len(wakeful("job", "runs", "tick", "--json").json) == 1


def test_a_deleted_job_is_gone_and_its_history_stays(wakeful: Command, fill: Fill) -> None:
    fill(a_job("tick", "@every 1s"), a_job("other", due="1h"), outcomes={"tick": Succeeded()})

    assert "deleted tick" in wakeful("job", "delete", "tick").out
    assert wakeful("job", "delete", "tick").code == 3
    assert [job["name"] for job in wakeful("job", "list", "--json").json] == ["other"]
    # What was overdue when it was deleted has its row too.
    assert [run["state"] for run in wakeful("job", "runs", "tick", "--json").json] == ["cancelled", "succeeded"]
    deleted = wakeful("job", "delete", "other", "--json").json
    assert deleted == {"deleted": {"namespace": "default", "owner": "app/a", "name": "other"}}


@pytest.mark.parametrize("verb", ["show", "runs", "delete"])
def test_a_name_that_two_apps_own_asks_which(wakeful: Command, fill: Fill, verb: str) -> None:
    fill(a_job("tick", due="1h"), a_job(key("tick", owner="app/z"), due="1h"))

    result = wakeful("job", verb, "tick")
    assert result.code == 2
    assert "--app-id" in result.err
    assert "a, z" in result.err
    assert wakeful("job", verb, "tick", "--app-id=z").code == 0
    assert len(wakeful("job", "list", "--json").json) == (1 if verb == "delete" else 2)


@pytest.mark.parametrize("verb", ["list", "show", "runs", "delete"])
def test_nothing_from_outside_moves_the_readers_cursor(wakeful: Command, fill: Fill, verb: str) -> None:
    name, owner = f"tick{ESCAPES}", f"app/a{ESCAPES}"
    fill(a_job(key(name, owner=owner), "@every 1s"), outcomes={name: Failed(f"bad {ESCAPES}")})

    result = wakeful("job", verb, *([] if verb == "list" else [name]))

    assert result.code == 0
    printed = (result.out + result.err).replace("\n", "")
    assert printed.isprintable(), repr(printed)


def test_an_error_about_a_name_does_not_move_the_readers_cursor(wakeful: Command, fill: Fill) -> None:
    for owner in ("a", "z"):
        fill(a_job(key("tick", owner=f"app/{owner}{ESCAPES}"), due="1h"))
    printed = wakeful("job", "show", "tick").err + wakeful("job", "show", f"no{ESCAPES}").err
    assert printed.replace("\n", "").isprintable(), repr(printed)


@pytest.mark.parametrize("words", [["job", "runs", "x", "--limit"], ["next", "@daily", "--count"], []])
def test_an_error_about_an_argument_does_not_move_the_readers_cursor(wakeful: Command, words: list[str]) -> None:
    result = wakeful(*words, f"no[bold]{ESCAPES}")
    assert result.code == 2
    assert "no[bold]" in result.err
    assert result.err.replace("\n", "").isprintable(), repr(result.err)


def test_json_keeps_every_character_of_a_name(wakeful: Command, fill: Fill) -> None:
    name = f"täglich ☕{ESCAPES}"
    fill(a_job(name, due="1h"))
    result = wakeful("job", "list", "--json")
    assert [job["name"] for job in result.json] == [name]
    assert "\x1b" not in result.out


def test_a_reader_that_goes_away_is_no_traceback(fill: Fill, path: Path) -> None:
    fill(*(a_job(f"job-{number:04}", due="1h") for number in range(1500)))
    script = "from wakeful.main import main; import sys; sys.argv = ['wakeful', 'job', 'list']; main()"
    reader, writer = os.pipe()
    with subprocess.Popen(
        [sys.executable, "-c", script],
        stdout=writer,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "WAKEFUL_STORE": f"sqlite:///{path}"},
    ) as process:
        os.close(writer)
        os.close(reader)
        _, err = process.communicate(timeout=30)
    assert "Traceback" not in err

"""``wakeful import crontab``: a crontab's lines become jobs of the cron daemon, and do what they did."""

import getpass
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cli.conftest import Result
from cli.cron_desk import Desk, desk, job, state
from wakeful.faces.cli.importing_crontab import Entry, read_crontab, split_input
from wakeful.faces.cli.importing_crontab_jobs import crontab_jobs
from wakeful.faces.cli.importing_report import Report

__all__ = ["desk", "state"]
Wakeful = Callable[..., Result]


@pytest.fixture
def put(wakeful: Wakeful, desk: Desk, tmp_path: Path) -> Callable[..., Result]:
    """Imports a text."""

    def imported(text: str | bytes, *flags: str) -> Result:
        path = tmp_path / "crontab.txt"
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return wakeful("import", "crontab", str(path), *flags)

    return imported


def jobs_of(state: Path) -> list[dict[str, Any]]:
    path = state / "config.json"
    return json.loads(path.read_text())["schedules"]["jobs"] if path.exists() else []  # type: ignore[no-any-return]


# ── what a line says ──


def entries(text: str, *, system: bool = False) -> tuple[list[Entry], Report]:
    report = Report()
    return read_crontab(text, report, system=system), report


def vixie(text: str) -> tuple[str, str]:
    """The command and its input, step by step as in Vixie cron's do_command.c."""
    command, rest, escaped = "", "", False
    for place, character in enumerate(text):
        if escaped:
            if character == "%":
                command = command[:-1]
            command += character
            escaped = False
            continue
        if character == "%":
            rest = text[place + 1 :]
            break
        escaped = character == "\\"
        command += character
    written, escaped = "", False
    for character in rest:
        put = character
        if escaped:
            if character != "%":
                written += "\\"
        elif character == "%":
            put = "\n"
        escaped = character == "\\"
        if not escaped:
            written += put
    return command, written + ("\\" if escaped else "")


@given(st.text(alphabet="ab\\% ", max_size=12))
def test_percent_signs_are_read_as_cron_reads_them(text: str) -> None:
    command, stdin = split_input(text)
    expected, written = vixie(text)
    assert command == expected
    assert stdin == (written if not written or written.endswith("\n") else written + "\n")


@given(st.text(max_size=200), st.booleans())
def test_whatever_stands_there_is_an_entry_or_a_sentence(text: str, system: bool) -> None:
    found, report = entries(text, system=system)
    lines = [line for line in text.replace("\r\n", "\n").split("\n") if line.strip()]
    assert len(found) + len(report.bad) <= len(lines)
    for each in found:
        assert each.command.strip()


_FIELD = st.sampled_from(["*", "0", "*/5", "1-5", "1,2", "MON-FRI", "jan"])
# What is printable, has no percent sign, and neither begins nor ends with a space.
_COMMAND = st.text(st.characters(categories=["L", "N", "P", "S"], exclude_characters="%\\"), min_size=1, max_size=30)


@given(st.lists(_FIELD, min_size=5, max_size=5), _COMMAND, st.sampled_from([" ", "\t", "   "]))
def test_fields_and_command_are_told_apart(fields: list[str], command: str, space: str) -> None:
    (entry,), report = entries(space.join([*fields, command]))
    assert (entry.schedule, entry.command, entry.stdin, report.bad) == (" ".join(fields), command, "", [])
    (named,), _ = entries(space.join([*fields, "root", command]), system=True)
    assert (named.user, named.command) == ("root", command)


def test_settings_hold_for_what_follows() -> None:
    text = """\
# m h dom mon dow command
SHELL=/bin/bash
PATH = "/usr/local/bin:/usr/bin"
'QUOTED' = ' a b '
EMPTY=
0 1 * * * first
CRON_TZ=Asia/Tokyo
RANDOM_DELAY=45
LOGNAME=somebody
HOME=/srv
# the second
-5 2 * * * second
CRON_TZ=
  @daily third
"""
    (first, second, third), report = entries(text)
    assert first.environment == {
        "SHELL": "/bin/bash",
        "PATH": "/usr/local/bin:/usr/bin",
        "QUOTED": " a b ",
        "EMPTY": "",
    }
    assert (first.zone, first.delay_min, first.comment, first.line) == (None, 0, None, 6)
    assert second.environment == {**first.environment, "HOME": "/srv"}
    assert (second.zone, second.delay_min, second.comment) == ("Asia/Tokyo", 45, "the second")
    assert (second.schedule, third.schedule, third.zone) == ("5 2 * * *", "@daily", None)
    assert (report.bad, len(report.notes)) == ([], 1)


@pytest.mark.parametrize(
    ("line", "word"),
    [
        ("@reboot /usr/bin/start", "systemd"),
        ("* * * * *", "no command"),
        ("* * * * * %input", "no command"),
        ("* * *", "minute, hour"),
        ("'A B' = 1", "no name of a variable"),
        ("RANDOM_DELAY=soon", "RANDOM_DELAY"),
        ("RANDOM_DELAY=99999", "RANDOM_DELAY"),
        ("* * * * * a\0b", "NUL"),
        ("* * * * * " + "x" * 9_000, "longer than 8192"),
    ],
)
def test_a_line_that_can_not_be_is_named_by_its_number(line: str, word: str) -> None:
    found, report = entries(f"\n{line}\n")
    (sentence,) = report.bad
    assert found == []
    assert sentence.startswith("line 2: ")
    assert word in sentence


def test_every_minute_is_also_a_macro() -> None:
    assert entries("@every_minute x")[0][0].schedule == "* * * * *"


# ── what becomes of it ──


def test_a_command_becomes_a_job_with_a_script(put: Any, state: Path) -> None:
    told = put("# nightly backup\n30 2 * * 1-5 /usr/local/bin/backup.sh --all\n")
    assert told.code == 0
    (made,) = jobs_of(state)
    name = made["name"]
    assert name.startswith("backup-sh-")
    assert made == {
        "name": name,
        "description": "nightly backup",
        "cron": "30 2 * * 1-5",
        "timezone": "Europe/Rome",
        "execution_mode": "python_script",
        "script": f"crontab/{name}.py",
        "timeout_seconds": 86_400,
        "retry": False,
    }
    script = (state / "scripts" / "crontab" / f"{name}.py").read_text()
    assert script.startswith('"""YOUR OWN COMMAND, FROM YOUR CRONTAB')
    assert "COMMAND = '/usr/local/bin/backup.sh --all'" in script


def test_what_is_in_the_config_stays_to_the_letter(put: Any, state: Path) -> None:
    config = state / "config.json"
    before = '{\n    "jira": {"url":   "x"},\n  "schedules": %s }\n'
    config.write_text(before % json.dumps({"timezone": "UTC", "jobs": [job()]}))
    assert put("@daily true\n").code == 0
    text = config.read_text()
    assert text.startswith('{\n    "jira": {"url":   "x"},\n  "schedules": {')
    schedules = json.loads(text)["schedules"]
    assert (schedules["timezone"], [each["name"][:4] for each in schedules["jobs"]]) == ("UTC", ["stan", "true"])


def test_the_daemon_runs_what_was_imported(put: Any, wakeful: Wakeful, desk: Desk, state: Path) -> None:
    put("0 4 * * * date\n")
    desk.keep()
    (row,) = wakeful("cron", "list", "--json").json
    # The file names no zone of its own, in which times are told: that is UTC.
    assert row["next_run"] == "2026-03-03T03:00:00+00:00"
    assert (row["active"], row["execution_mode"]) == (True, "python_script")


def test_the_zone_is_cron_tz_or_what_was_said_or_the_machines(put: Any, state: Path) -> None:
    text = "0 1 * * * one\nCRON_TZ=Asia/Tokyo\n0 1 * * * two\n"
    put(text, "--zone=America/New_York")
    assert [each["timezone"] for each in jobs_of(state)] == ["America/New_York", "Asia/Tokyo"]


def test_a_machine_without_a_zones_name_is_asked_for_it(put: Any, state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "EST5EDT-nonsense")
    refused = put("0 1 * * * one\n")
    assert (refused.code, "--zone" in refused.err, jobs_of(state)) == (2, True, [])


def test_a_delay_is_a_jitter(put: Any, state: Path) -> None:
    put("RANDOM_DELAY=5\n0 1 * * * one\n")
    assert jobs_of(state)[0]["jitter_seconds"] == 300


def test_the_system_format_names_users_and_only_ones_own_are_taken(put: Any, state: Path) -> None:
    text = f"0 1 * * * {getpass.getuser()} mine\n0 1 * * * nobody-else theirs\n"
    refused = put(text, "--system-format")
    assert (refused.code, "line 2" in refused.err, "nobody-else" in refused.err) == (2, True, True)
    assert jobs_of(state) == []
    assert put(text, "--system-format", "--skip-bad").code == 0
    assert [each["description"] for each in jobs_of(state)] == ["mine"]


@pytest.mark.parametrize(
    ("line", "word"),
    [("61 * * * * x", "61"), ("0 0 30 2 * x", "never"), ("@nope x", "@nope"), ("0~9 * * * * x", "0~9")],
)
def test_a_time_that_can_not_be_is_named_and_nothing_is_written(put: Any, state: Path, line: str, word: str) -> None:
    refused = put(f"@daily fine\n{line}\n")
    assert (refused.code, "line 2" in refused.err, word in refused.err) == (2, True, True)
    assert jobs_of(state) == []
    assert not (state / "scripts").exists()


def test_mail_is_told_of_and_so_is_what_cron_did_otherwise(put: Any) -> None:
    told = put("MAILTO=me@example.org\n@daily true\n").out
    assert "MAILTO is not taken over" in told
    assert "max_instances" in told
    assert "timeout_seconds" in told


def test_a_dry_run_prints_jobs_and_scripts_and_writes_nothing(put: Any, state: Path) -> None:
    told = put("@daily echo hi%there\n", "--dry-run")
    assert '"cron": "@daily"' in told.out
    assert "INPUT = 'there\\n'" in told.out
    assert list(state.iterdir()) == []


def test_the_same_again_changes_nothing(put: Any, state: Path) -> None:
    text = "@daily one\n@hourly one\n@daily two\n"
    put(text)
    before = {path: path.stat().st_ino for path in state.rglob("*.*")}
    again = put(f"# moved\n\n{text}".replace("# moved\n\n", "\n"))
    assert (again.code, "as they were" in again.out) == (0, True)
    assert {path: path.stat().st_ino for path in state.rglob("*.*")} == before
    names = [each["name"] for each in jobs_of(state)]
    assert names[1] == f"{names[0]}-2"


def test_another_time_or_an_edited_script_needs_a_word(put: Any, state: Path) -> None:
    put("@daily one\n")
    (made,) = jobs_of(state)
    refused = put("@hourly one\n")
    assert (refused.code, made["name"] in refused.err) == (4, True)
    script = state / "scripts" / made["script"]
    script.write_text("# mine\n")
    edited = put("@daily one\n")
    assert (edited.code, made["script"] in edited.err, script.read_text()) == (4, True, "# mine\n")
    assert put("@hourly one\n", "--replace").code == 0
    assert [each["cron"] for each in jobs_of(state)] == ["@hourly"]
    assert "COMMAND = 'one'" in script.read_text()


@pytest.mark.parametrize(
    "content", ["{", "[]", '{"schedules": []}', '{"schedules": {"jobs": 7}}', '{"schedules": {"jobs": [{}]}}']
)
def test_a_config_that_can_not_be_used_is_left_alone(put: Any, state: Path, content: str) -> None:
    (state / "config.json").write_text(content)
    refused = put("@daily one\n")
    assert (refused.code, "config" in refused.err) == (2, True)
    assert (state / "config.json").read_text() == content
    assert not (state / "scripts").exists()


@pytest.mark.parametrize(
    ("content", "word"),
    [(b"\n\xff", "line 2 is no UTF-8"), (b"#" * 300_000, "longer than"), ("@daily x\n" * 1_001, "1000")],
)
def test_a_file_that_is_too_much_is_refused(put: Any, content: str | bytes, word: str) -> None:
    refused = put(content)
    assert (refused.code, word in refused.err) == (2, True)


def test_a_crontab_comes_from_stdin_too(wakeful: Wakeful, desk: Desk, state: Path, monkeypatch: Any) -> None:
    reading, writing = os.pipe()
    os.write(writing, b"@daily one\n")
    os.close(writing)
    with os.fdopen(reading) as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        assert wakeful("import", "crontab", "-").code == 0
    assert len(jobs_of(state)) == 1


# ── what the script does ──


def ran(text: str, home: Path) -> "subprocess.CompletedProcess[str]":
    """Runs the script of a crontab's last command, as the daemon does: with this Python, in the script's folder."""
    found, report = entries(text)
    assert report.bad == []
    script = home / "script.py"
    script.write_text(crontab_jobs(found, "UTC")[-1].content)
    environment = {"HOME": str(home), "PATH": "/somewhere", "SECRET": "kept", "LANG": "C.UTF-8"}
    argv = [sys.executable, str(script)]
    return subprocess.run(
        argv, check=False, env=environment, cwd="/", input='{"inputs": 1}', capture_output=True, text=True, timeout=30
    )


@pytest.mark.slow
def test_the_script_does_what_cron_did(tmp_path: Path) -> None:
    done = ran("A=b c\n* * * * * echo \"$A $PATH $SHELL $SECRET\"; pwd; cat; exit 7%one 'q'%two\\%\n", tmp_path)
    assert done.stdout.splitlines() == ["b c /usr/bin:/bin /bin/sh kept", str(tmp_path), "one 'q'", "two%"]
    assert (done.returncode, done.stderr) == (7, "")


@pytest.mark.slow
def test_the_script_reads_nothing_where_there_was_nothing(tmp_path: Path) -> None:
    done = ran("* * * * * cat; echo ö \"it's\" 'a\"b' {x!r}\n", tmp_path)
    assert (done.stdout, done.returncode) == ("ö it's a\"b {x!r}\n", 0)


@pytest.mark.slow
def test_the_script_takes_the_crontabs_home_and_shell(tmp_path: Path) -> None:
    done = ran("HOME=/usr\nSHELL=/bin/bash\n* * * * * pwd; echo ${BASH_VERSION:+bash}\n", tmp_path)
    assert done.stdout == "/usr\nbash\n"

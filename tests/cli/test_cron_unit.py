"""The text of the unit: what systemd reads back is what was meant."""

import os
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wakeful.faces.cli.cron_unit import Unit, unit_name, unit_text, word

_ESCAPES = {"\\": "\\", '"': '"', "'": "'", "n": "\n", "t": "\t", "r": "\r", "s": " "}
# What systemd's files can hold: no NUL, no halves of characters.
TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=40)


def read_back(line: str) -> list[str]:
    """The words of a value as systemd reads them (systemd.syntax(7), systemd.unit(5)), with ``%%`` as ``%``."""
    words: list[str] = []
    current, quote, at = None, "", 0
    while at < len(line):
        character = line[at]
        at += 1
        if not quote and character in " \t":
            if current is not None:
                words.append(current)
            current = None
            continue
        current = current or ""
        if character == "\\":
            if line[at] == "x":
                current += chr(int(line[at + 1 : at + 3], 16))
                at += 3
            else:
                current += _ESCAPES[line[at]]
                at += 1
        elif quote and character == quote:
            quote = ""
        elif not quote and character in "\"'":
            quote = character
        else:
            current += character
    assert not quote
    if current is not None:
        words.append(current)
    assert all("%" not in each.replace("%%", "") for each in words)
    return [each.replace("%%", "%") for each in words]


def value_of(text: str, key: str) -> str:
    (line,) = [line for line in text.split("\n") if line.startswith(f"{key}=")]
    return line.partition("=")[2]


@given(TEXTS)
def test_a_word_is_read_back(text: str) -> None:
    written = word(text)
    assert read_back(written) == [text]
    assert not any(ord(character) < 32 or ord(character) == 127 for character in written)
    assert not written.endswith("\\")


@given(st.lists(TEXTS, max_size=5), TEXTS)
def test_arguments_are_read_back_with_every_dollar_doubled(arguments: list[str], value: str) -> None:
    text = unit_text(Unit("/a b/wakeful", arguments, {"NAME": value}))
    program, *read = read_back(value_of(text, "ExecStart"))
    # What is left of $$ after systemd has put in variables is one dollar.
    assert all("$" not in each.replace("$$", "") for each in read)
    assert [program, *(each.replace("$$", "$") for each in read)] == ["/a b/wakeful", *arguments]
    # In an assignment, a dollar is one.
    assert read_back(value_of(text, "Environment")) == [f"NAME={value}"]


@pytest.mark.parametrize("text", ["a\0b", "\ud800"])
def test_what_no_unit_can_hold_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="can't be written in a unit"):
        word(text)


@pytest.mark.parametrize("name", ["bot-cron", "bot-cron.service", "a.b:c_d"])
def test_a_name_is_that_of_a_service(name: str) -> None:
    assert unit_name(name) == name.removesuffix(".service") + ".service"


@pytest.mark.parametrize("name", ["", ".service", "a/b", "a b", "../x", "a@", "ä", "x" * 241, ".hidden"])
def test_what_no_service_can_be_called_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="name of a service"):
        unit_name(name)


def test_a_variable_has_a_name_of_one() -> None:
    with pytest.raises(ValueError, match="'A B' is no name"):
        unit_text(Unit("/x", [], {"A B": "1"}))


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="there is no systemd-analyze")
def test_systemd_itself_reads_back_the_command(tmp_path: Path) -> None:
    arguments = ["a b", "c%d", "%h", 'say "hi"', "it's", "back\\slash", ";", "tab\there", "ö €", "", "end\\"]
    (tmp_path / "bot-cron.service").write_text(unit_text(Unit("/bin/echo", arguments, {"NAME": "a b %h $c"})))
    environment = {**os.environ, "XDG_RUNTIME_DIR": str(tmp_path), "SYSTEMD_LOG_LEVEL": "debug", "LC_ALL": "C.UTF-8"}
    argv = ["systemd-analyze", "verify", "--user", "--man=no", "./bot-cron.service"]
    done = subprocess.run(argv, check=False, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60)
    lines = [line.strip() for line in done.stdout.splitlines()]
    (command,) = [line.removeprefix("Command Line: ") for line in lines if line.startswith("Command Line: ")]
    # It shows the words as a shell would want them, and a tab as an escape.
    expected = ["/bin/echo", *arguments]
    assert shlex.split(command.replace("tab\\there", "tab\there")) == expected, command
    assert "Environment: NAME=a b %h $c" in lines

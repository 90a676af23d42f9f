"""The files of skills: where they are, how large, how deep, and when they are read again."""

import os
from pathlib import Path

import pytest

from skills.kitchen import SESSION, Kitchen
from wakeful.skills import SkillError
from wakeful.skills.documents import read_document

GOOD = "name: tried\nsteps: [{id: it, tool: ask}]\n"


def refused(text: str) -> str:
    """Why this file is."""
    with pytest.raises(SkillError) as error:
        read_document(text, "tried.yaml")
    return str(error.value)


def test_a_file_that_is_no_yaml_is_refused_with_its_line() -> None:
    assert refused("name: x\nsteps: [\n  a: b: c\n").startswith("tried.yaml:3: not to be read as YAML: ")
    assert refused("- a").startswith("tried.yaml: a skill is a map")
    assert refused("").startswith("tried.yaml: a skill is a map")
    assert refused("a: 1\n--- \nb: 2\n").startswith("tried.yaml:2: not to be read as YAML: ")
    assert "tried.yaml:1" in refused("a: !!python/object/apply:os.system ['true']")
    assert "tried.yaml" in refused("a: !!timestamp x")
    assert "tried.yaml" in refused("a: \x07")


def test_a_key_that_is_there_twice_is_refused() -> None:
    assert refused("name: x\nsteps:\n- id: a\n  tool: b\n  id: c\n") == "tried.yaml:5: the key 'id' is there twice"
    assert "a key must be a text" in refused("{{ a }}: b")


def test_alias_bombs_are_refused() -> None:
    bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(
        f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 12)
    )
    assert "with all its aliases" in refused(bomb)
    assert "with all its aliases" in refused("a: &a [*a]")
    assert read_document("a: &a [1]\nb: *a\n", "x").data == {"a": [1], "b": [1]}


def test_depth_and_size_are_bounded() -> None:
    for text in (
        "a: " + "[" * 10_000,
        "a: " + "[" * 41 + "]" * 41,
        "a: " + "{b: " * 5000,
        "a: [" + "x," * 70_000 + "]",
    ):
        assert "too much for a skill" in refused(text) or "not to be read" in refused(text)
    assert "larger than 262144 bytes" in refused("a: " + "x" * 262_144)


def test_what_looks_like_a_date_or_a_truth_stays_a_key_and_a_text() -> None:
    document = read_document("on: 2026-01-02\n5: 2026-01-02T09:00:00Z\nyes: 'no'\n", "x")
    assert document.data == {"on": "2026-01-02", "5": "2026-01-02T09:00:00Z", "yes": "no"}


def test_a_skill_is_found_by_its_name_in_folders_with_both_endings(kitchen: Kitchen) -> None:
    kitchen.write("a", GOOD)
    kitchen.write("team/b.c", GOOD)
    (kitchen.folder / "d.yml").write_text("steps: [{tool: ask}]")
    (kitchen.folder / ".hidden.yaml").write_text("x")
    (kitchen.folder / "notes.txt").write_text("x")
    engine = kitchen.engine()
    assert engine.names() == ["a", "d", "team/b.c"]
    assert [name for name in ("a", "d", "team/b.c", "b.c", "../a", "") if engine.has(name)] == engine.names()
    assert engine.load("team/b.c").name == "tried"
    assert engine.load("d").name == "d"


@pytest.mark.parametrize(
    "name",
    [
        *("", "..", "../a", "/etc/passwd", "a/../../b", "a//b", "a/", ".hidden", "a/.b", "a\0b", "a b", "a\n"),
        *("~/a", "a\\b", "é", "a" * 101, "a/b/c/d/e/f"),
    ],
)
def test_a_name_that_is_none_is_refused(kitchen: Kitchen, name: str) -> None:
    kitchen.write("a", GOOD)
    (kitchen.folder.parent / "a.yaml").write_text(GOOD)
    with pytest.raises(SkillError, match="is no name of a skill"):
        kitchen.engine().load(name)


def test_a_link_may_not_lead_out_of_the_folder(kitchen: Kitchen) -> None:
    outside = kitchen.folder.parent / "outside"
    outside.mkdir()
    (outside / "b.yaml").write_text(GOOD)
    kitchen.write("real", GOOD)
    (kitchen.folder / "a.yaml").symlink_to(outside / "b.yaml")
    (kitchen.folder / "area").symlink_to(outside)
    (kitchen.folder / "same.yaml").symlink_to(kitchen.folder / "real.yaml")
    for name in ("a", "area/b"):
        with pytest.raises(SkillError, match="leads out of the folder"):
            kitchen.engine().load(name)
    assert kitchen.engine().load("same").name == "tried"


def test_the_folder_itself_may_be_a_link(kitchen: Kitchen, tmp_path: Path) -> None:
    kitchen.write("a", GOOD)
    (tmp_path / "link").symlink_to(kitchen.folder)
    kitchen.folder = tmp_path / "link"
    assert kitchen.engine().load("a").name == "tried"


def test_what_is_no_readable_file_is_refused(kitchen: Kitchen) -> None:
    os.mkfifo(kitchen.folder / "pipe.yaml")
    (kitchen.folder / "folder.yaml").mkdir()
    (kitchen.folder / "latin.yaml").write_bytes(b"name: \xff\xfe\n")
    (kitchen.folder / "large.yaml").write_bytes(b"a: " + b"x" * 300_000)
    (kitchen.folder / "loop.yaml").symlink_to(kitchen.folder / "loop.yaml")
    engine = kitchen.engine()
    for name, why in {
        "pipe": "a skill is a file",
        "folder": "can't be read: Is a directory",
        "latin": "not text in UTF-8",
        "large": "larger than 262144 bytes",
        "loop": "there is no skill 'loop'",
        "none": "there is no skill 'none' in ",
        "lage": "did you mean large",
    }.items():
        with pytest.raises(SkillError, match=why):
            engine.load(name)


@pytest.mark.anyio
async def test_a_file_is_read_again_when_it_has_changed(kitchen: Kitchen) -> None:
    engine = kitchen.engine()
    kitchen.write("a", GOOD)
    first = engine.load("a")
    assert engine.load("a") is first
    stamp = os.stat(kitchen.folder / "a.yaml")
    new = kitchen.folder / "new"
    new.write_text(GOOD.replace("tried", "TRIED"))
    os.utime(new, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    new.rename(kitchen.folder / "a.yaml")
    assert engine.load("a").name == "TRIED"
    (kitchen.folder / "a.yaml").write_text("name: [")
    result = await engine.run("a", {}, SESSION)
    assert not result.success
    assert str(result.error).startswith("a.yaml:2: not to be read as YAML")
    kitchen.write("a", GOOD)
    assert (await engine.run("a", {}, SESSION)).success


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("name: a", "tried.yaml:1: a skill needs steps"),
        ("name: a\nsteps: []", "tried.yaml:2: a skill needs steps"),
        ("name: a\nsteps: {a: b}", "tried.yaml:2: a skill needs steps"),
        ("name: [a]\nsteps: [{tool: ask}]", "tried.yaml:1: name must be a text"),
        ("name: a\nsteps: [" + "{tool: ask}," * 201 + "]", "tried.yaml:2: 201 steps, and at most 200"),
        ("name: a\nsteps: [{tool: ask}]\ndefaults: 5", "tried.yaml:3: defaults must be a map"),
        ("name: a\nsteps: [{tool: ask}]\noutputs: 5", "tried.yaml:3: outputs must be a list or a map"),
        ("name: a\nsteps: [{tool: ask}]\noutputs:\n- 1", "tried.yaml:4: an output is a map with a name"),
        (
            "name: a\nsteps: [{tool: ask}]\noutputs:\n- {name: a, compute: 'import os'}",
            "tried.yaml:4: line 1 of compute",
        ),
        ("name: a\nsteps:\n- tool: ask\n- id: b\n  compute: import os\n", "tried.yaml:4, step 'b': line 1 of compute"),
    ],
)
def test_what_a_skill_lacks_is_said_with_its_place(kitchen: Kitchen, text: str, why: str) -> None:
    (kitchen.folder / "tried.yaml").write_text(text)
    with pytest.raises(SkillError) as error:
        kitchen.engine().load("tried")
    assert why in str(error.value)

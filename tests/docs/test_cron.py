"""The cron daemon's examples: what the README shows runs, and what docs/cron.md shows can be used."""

import json
import re
import subprocess
from pathlib import Path

import pytest

from support.processes import WAKEFUL, eventually, without_secrets
from wakeful.cron_main import read
from wakeful.faces.cli.cron_options import CronOptions
from wakeful.faces.cron.definitions import _KEYS as JOB_KEYS

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
PAGE = (ROOT / "docs" / "cron.md").read_text()
(CONFIG,) = re.findall(r"```json\n(.*?)```", README, re.DOTALL)
(SKILL,) = re.findall(r"```yaml\n(.*?)```", README, re.DOTALL)
EXAMPLES = re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)


@pytest.mark.parametrize("text", EXAMPLES)
def test_the_pages_examples_can_be_used(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SLACK_TOKEN", "SMTP_PASSWORD", "REVIEWS_AUTH"):
        monkeypatch.setenv(name, "xoxb-1-2-3")
    monkeypatch.setenv("PHONE_URL", "json://localhost/phone")
    monkeypatch.setenv("WAKEFUL_STORE", f"sqlite:///{tmp_path}/w.db")
    config = read(CronOptions(state_dir=str(tmp_path)), text.encode())
    assert config.warnings == ()
    assert set(config.jobs) == {job["name"] for job in json.loads(text)["schedules"]["jobs"]}


def test_every_key_of_the_page_is_one_that_is_read() -> None:
    source = "".join(path.read_text() for path in (ROOT / "src" / "wakeful" / "faces" / "cron").glob("*.py"))
    source += "".join(path.read_text() for path in (ROOT / "src" / "wakeful" / "targets").rglob("*.py"))
    schedules, _, rest = PAGE.partition("## A job")
    job, _, _ = rest.partition("## Switches")
    for table in (schedules.partition("## `schedules`")[2], job):
        for row in re.findall(r"^\| (`.*?) \|", table, re.MULTILINE):
            for key in re.findall(r"`([a-z_]+)", row):
                assert f'"{key}"' in source, key
    # And the other way round: what a job may say stands there.
    assert {key for key in JOB_KEYS if f"`{key}`" not in job and f'`{key}: "' not in job} == set()


@pytest.mark.slow
def test_the_readmes_job_runs(tmp_path: Path) -> None:
    folder = tmp_path / ".config" / "aa-workflow"
    (folder / "skills").mkdir(parents=True)
    (folder / "config.json").write_text(CONFIG.replace("*/10 * * * * *", "* * * * * *"))
    (folder / "skills" / "hello.yaml").write_text(SKILL)
    environment = without_secrets(tmp_path, WAKEFUL_STORE=f"sqlite:///{tmp_path}/w.db")
    with (tmp_path / "log").open("wb") as log:
        daemon = subprocess.Popen([WAKEFUL, "cron", "daemon"], env=environment, stdout=log, stderr=log)
    try:
        memory = folder / "memory" / "sessions"
        eventually(lambda: any("Hello world" in file.read_text() for file in memory.glob("*.yaml")), "the greeting")
        done = subprocess.run(
            [WAKEFUL, "cron", "history", "--json"], env=environment, capture_output=True, check=True, timeout=30
        )
        assert "success" in [row["status"] for row in json.loads(done.stdout)]
        commands = re.findall(r"^wakeful cron (\S+)", README, re.MULTILINE)
        for command in set(commands):
            helped = subprocess.run(
                [WAKEFUL, "cron", command, "--help"], env=environment, capture_output=True, check=False, timeout=30
            )
            assert helped.returncode == 0, command
    finally:
        daemon.terminate()
        assert daemon.wait(20) == 0

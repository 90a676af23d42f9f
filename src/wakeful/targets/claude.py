"""Mode ``claude_cli``: a skill run by the Claude Code CLI, or by any command that is written in its place."""

import json
import logging
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from uuid import NAMESPACE_URL, uuid5

from wakeful.children import NotStartedError, run_child
from wakeful.targets.claude_answer import FAILURE, SUCCESS, judged
from wakeful.targets.work import (
    GRACE_S,
    Performed,
    Work,
    after_timeout,
    child_environment,
    limits_of,
    not_started,
    refused,
)

log = logging.getLogger("wakeful.cron")

DEFAULT_COMMAND = ("claude", "--print", "--output-format", "json", "--session-id", "{session_uuid}", "{prompt}")
PLACEHOLDERS = ("prompt", "skill", "session", "session_uuid", "persona", "inputs", "job")
# Larger inputs go by stdin: one argument of a command can't be longer than 128 KiB, see execve(2).
_INPUTS_IN_ARGV = 32 * 1024
_ELEMENTS = 200
_TEMPLATE_LIMIT = 64 * 1024
_ADVICE = (
    "install the Claude Code CLI, or name its path in schedules.claude.command, or run the job with the execution_mode "
    "skill_direct"
)
_KEYS = frozenset({"command", "allowed_tools", "permission_mode", "skip_permissions", "cwd"})
_PLACEHOLDER = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}")
_MODE = re.compile(r"[A-Za-z][A-Za-z0-9-]*")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class ClaudeSettings:
    """The command, with placeholders, and what the CLI may do; ``cwd`` is where it is run.

    Each element of the command stays one argument, whatever is put into it.
    """

    command: tuple[str, ...] = DEFAULT_COMMAND
    allowed_tools: tuple[str, ...] = ()
    permission_mode: str | None = None
    skip_permissions: bool = False
    cwd: str | None = None

    @property
    def template(self) -> tuple[str, ...]:
        """The whole command: the permissions come right after the program."""
        options = []
        # With "=": else the CLI would take what follows for further tools.
        if self.allowed_tools:
            options.append(f"--allowedTools={','.join(self.allowed_tools)}")
        if self.permission_mode is not None:
            options.append(f"--permission-mode={self.permission_mode}")
        if self.skip_permissions:
            options.append("--dangerously-skip-permissions")
        return (self.command[0], *options, *self.command[1:])


def read_settings(section: object) -> ClaudeSettings:
    """The settings that a section of the configuration holds; ``None``: the defaults.

    Raises:
        ValueError: what is wrong with it, at which key, and what would be right.
    """
    if section is None:
        return ClaudeSettings()
    if not isinstance(section, Mapping):
        raise ValueError('claude: an object, such as {"permission_mode": "acceptEdits"}')
    for key in sorted(map(str, section.keys() - _KEYS)):
        log.warning("claude: the key %r is not known, only %s", key, ", ".join(sorted(_KEYS)))
    command = tuple(_texts(section, "command", DEFAULT_COMMAND))
    _check_command(command)
    tools = _texts(section, "allowed_tools")
    mode = section.get("permission_mode")
    if mode is not None and not (isinstance(mode, str) and _MODE.fullmatch(mode)):
        raise ValueError(f"permission_mode {mode!r}: one word, such as 'acceptEdits'")
    skip = section.get("skip_permissions", False)
    if not isinstance(skip, bool):
        raise ValueError(f"skip_permissions {skip!r}: true or false")
    cwd = section.get("cwd")
    if cwd is not None and not (isinstance(cwd, str) and Path(cwd).expanduser().is_absolute()):
        raise ValueError(f"cwd {cwd!r}: the absolute path of a folder, or one that begins with '~/'")
    return ClaudeSettings(command, tuple(tools), mode, skip, None if cwd is None else str(Path(cwd).expanduser()))


def _texts(section: Mapping[str, object], key: str, default: Sequence[str] = ()) -> Sequence[str]:
    texts = section.get(key)
    if texts is None:
        return default
    if not isinstance(texts, list):
        raise ValueError(f"{key} {texts!r}: a list of texts")
    for place, text in enumerate(texts):
        if not isinstance(text, str) or not text or _CONTROL.search(text):
            raise ValueError(f"{key}[{place}] {text!r}: a text on one line")
    return texts


def _check_command(command: Sequence[str]) -> None:
    if not command:
        raise ValueError("command: at least the program, such as ['claude', '--print', '{prompt}']")
    if len(command) > _ELEMENTS or sum(map(len, command)) > _TEMPLATE_LIMIT:
        raise ValueError(f"command: at most {_ELEMENTS} texts, and {_TEMPLATE_LIMIT} characters in all")
    if _PLACEHOLDER.search(command[0]):
        raise ValueError(f"command[0] {command[0]!r}: the program itself, without placeholders")
    for place, element in enumerate(command):
        for name in _PLACEHOLDER.findall(element):
            if name not in PLACEHOLDERS:
                known = ", ".join(f"{{{each}}}" for each in PLACEHOLDERS)
                raise ValueError(f"command[{place}]: there is no placeholder {{{name}}}, only {known}")


class ClaudeMode:
    """Runs skills by the command of the settings as they are when a run begins.

    ``withheld`` names variables of the environment that the command may not see. A command that does not end
    ``grace_s`` after it was asked to is killed.
    """

    def __init__(
        self,
        settings: Callable[[], ClaudeSettings],
        environment: Mapping[str, str],
        withheld: Callable[[], Iterable[str]] = tuple,
        grace_s: float = GRACE_S,
    ) -> None:
        self._settings = settings
        self._environment = environment
        self._withheld = withheld
        self._grace_s = grace_s

    async def __call__(self, work: Work) -> Performed:
        """Performs one attempt. Cancelled, it ends the command with all that it started."""
        settings = self._settings()
        inputs = work.inputs_json.encode("utf-8", "replace")
        large = len(inputs) > _INPUTS_IN_ARGV
        try:
            argv = command_of(settings.template, work, large=large)
        except ValueError as error:
            return refused(str(error))
        environment = child_environment(self._environment, work, self._withheld())
        limits = limits_of(work, self._grace_s)
        try:
            ended = await run_child(argv, environment, inputs if large else b"", cwd=settings.cwd, limits=limits)
        except NotStartedError as error:
            return not_started(error, _ADVICE)
        if ended.timed_out:
            return after_timeout(ended, work.timeout)
        return judged(ended, {"session_uuid": session_uuid(work.session.session_id)})


def session_uuid(session_id: str) -> str:
    """The UUID that the CLI knows a session by."""
    return str(uuid5(NAMESPACE_URL, f"wakeful:session:{session_id}"))


def command_of(template: Sequence[str], work: Work, *, large: bool = False) -> list[str]:
    """The command with everything put in; ``large`` inputs come on stdin, and ``{inputs}`` is ``-``.

    Raises:
        ValueError: a value would be taken for an option of the command.
    """
    values = {
        "prompt": prompt(work, large=large),
        "skill": work.claim.job.target.address,
        "session": work.session.session_id,
        "session_uuid": session_uuid(work.session.session_id),
        "persona": work.session.persona,
        "inputs": "-" if large else work.inputs_json,
        "job": work.session.job_name,
    }
    argv = [_PLACEHOLDER.sub(lambda found: values[found[1]], element) for element in template]
    for element, argument in zip(template, argv, strict=True):
        if argument.startswith("-") and not element.startswith("-") and argument != "-":
            raise ValueError(f"{argument!r} (for {element}) begins with '-': the command would take it for an option")
    return argv


def prompt(work: Work, *, large: bool = False) -> str:
    """What the CLI is asked to do. Names are JSON texts: none of them can add a line of its own."""
    skill, persona = work.claim.job.target.address, work.session.persona
    inputs = "the JSON object on standard input" if large else work.inputs_json
    facts = [
        f"Job: {_quoted(work.session.job_name)}",
        f"Skill: {_quoted(skill)}",
        f"Session: {_quoted(work.session.session_id)}",
        f"Scheduled for: {work.session.scheduled_at}",
        f"Persona: {_quoted(persona)}" if persona else "Persona: none",
        f"Inputs: {inputs}",
    ]
    steps = [f"Load the persona {_quoted(persona)} (tool agent_load, where there is one)."] if persona else []
    steps += [
        f"Run the skill {_quoted(skill)} with exactly these inputs (tool skill_run, where there is one).",
        "If something fails, find out why. Do not call it a success.",
        "Summarise in a few lines what was done and what came of it.",
        f"End with one line, and nothing after it: '{SUCCESS}', or '{FAILURE} <why>'.",
    ]
    numbered = [f"{number}. {step}" for number, step in enumerate(steps, 1)]
    return "\n".join(["This is a scheduled run. Nobody is there to answer questions.", "", *facts, "", *numbered])


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)

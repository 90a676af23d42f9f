"""Mode ``python_script``: a script of one folder, run by this Python; its inputs on stdin, its exit code the answer."""

import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec

from wakeful.children import Ended, NotStartedError, run_child
from wakeful.targets.failures import Failure
from wakeful.targets.telling import told
from wakeful.targets.work import (
    GRACE_S,
    Performed,
    Work,
    after_end,
    after_timeout,
    child_environment,
    limits_of,
    not_started,
    refused,
)

# sysexits.h: the input data was incorrect in some way.
EX_DATAERR = 65
# It is cut once more when it has no secrets left: half of one would not be known for one.
_SAID = 4_000
_ARGUMENTS = 256


class ScriptMode:
    """Runs the script that a target's address names, in ``folder``; ``args`` of its options is a JSON list of texts.

    Exit code 0 is a success, unless the last line of stdout is a JSON object that says ``"success": false``; 65 is a
    failure that no retry mends. ``withheld`` names variables of the environment that no script may see. A script that
    does not end ``grace_s`` after it was asked to is killed.
    """

    def __init__(
        self,
        folder: Path,
        environment: Mapping[str, str],
        withheld: Callable[[], Iterable[str]] = tuple,
        grace_s: float = GRACE_S,
    ) -> None:
        self._folder = folder
        self._environment = environment
        self._withheld = withheld
        self._grace_s = grace_s

    async def __call__(self, work: Work) -> Performed:
        """Performs one attempt. Cancelled, it ends the script with all that it started."""
        target = work.claim.job.target
        try:
            script = script_path(self._folder, target.address)
            arguments = script_arguments(target.options.get("args", "[]"))
        except ValueError as error:
            return refused(str(error))
        # What a script says before its time is over must not stay in its own memory.
        environment = {"PYTHONUNBUFFERED": "1", **child_environment(self._environment, work, self._withheld())}
        limits = limits_of(work, self._grace_s)
        argv = [sys.executable, str(script), *arguments]
        try:
            ended = await run_child(
                argv, environment, work.inputs_json.encode("utf-8", "replace"), cwd=script.parent, limits=limits
            )
        except NotStartedError as error:
            return not_started(error)
        return after_timeout(ended, work.timeout) if ended.timed_out else _judged(ended)


def script_path(folder: Path, address: str) -> Path:
    """The file of a script.

    Raises:
        ValueError: there is none in that folder, or it lies outside.
    """
    if "\0" in address or not address.strip() or Path(address).is_absolute():
        raise ValueError(f"script {told(address, _SAID)!r}: the path of a file in {folder}, relative to it")
    try:
        root = folder.resolve()
        script = (root / address).resolve()
        found = script.is_file()
    except (OSError, RuntimeError) as error:
        raise ValueError(f"script {told(address, _SAID)!r} can't be read: {error}") from error
    if not script.is_relative_to(root):
        raise ValueError(f"script {told(address, _SAID)!r} lies outside {folder}: only what is in there may be run")
    if not found:
        raise ValueError(f"there is no script {told(address, _SAID)!r} in {folder}")
    return script


def script_arguments(text: str) -> list[str]:
    """The arguments of a script, from a JSON list.

    Raises:
        ValueError: it is no list of texts, or too long.
    """
    try:
        arguments = msgspec.json.decode(text, type=list[str])
    except (msgspec.DecodeError, RecursionError):
        raise ValueError("args: a list of texts, such as ['--days', '5']") from None
    if len(arguments) > _ARGUMENTS:
        raise ValueError(f"args has {len(arguments)} texts: at most {_ARGUMENTS} are allowed")
    return arguments


def _judged(ended: Ended) -> Performed:
    """What a script that ended by itself has done: both its exit code and what it reports must be well."""
    report = _report(ended.out)
    reported_failure = report.get("success") is False
    error, failure = None, Failure.ERROR
    if ended.code != 0:
        said = _reason(report) or told(_last_line(ended.err), _SAID)
        error = f"{ended.how}: {said}" if said else ended.how
        failure = Failure.SIGNAL if ended.code < 0 else Failure.EXIT_CODE
    elif reported_failure:
        error = f"the script reports a failure: {_reason(report) or 'it says no more'}"
        failure = Failure.REPORTED
    if ended.code == EX_DATAERR:
        return replace(after_end(ended, error, Failure.INVALID), retryable=False)
    return after_end(ended, error, failure)


def _report(out: bytes) -> dict[str, Any]:
    """The JSON object on the last line, if there is one."""
    try:
        report = msgspec.json.decode(_last_line(out).encode("utf-8", "replace"))
    except (msgspec.DecodeError, RecursionError):
        return {}
    return report if isinstance(report, dict) else {}


def _reason(report: Mapping[str, Any]) -> str:
    reason = report.get("error") or report.get("message") or ""
    return told(reason if isinstance(reason, str) else str(reason), _SAID)


def _last_line(said: bytes) -> str:
    return said.rstrip().rpartition(b"\n")[2].decode("utf-8", "replace")

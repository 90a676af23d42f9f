"""What each way to perform a cron job's run is given, and what it answers."""

import json
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

from wakeful.children import Ended, Limits, NotStartedError
from wakeful.core.ports import Claim
from wakeful.process_tree import MARK
from wakeful.targets.failures import Failure
from wakeful.targets.sessions import CronSession

# Where a command finds the id of its run, and whoever finds the command.
EXECUTION = "WAKEFUL_EXECUTION_ID"
# What this process was given for itself: its secrets, and its own place under a service manager.
_OWN = frozenset(
    {
        "APP_API_TOKEN",
        "CREDENTIALS_DIRECTORY",
        "DAPR_API_TOKEN",
        "LISTEN_FDNAMES",
        "LISTEN_FDS",
        "LISTEN_PID",
        "NOTIFY_SOCKET",
        "WATCHDOG_PID",
        "WATCHDOG_USEC",
    }
)
# How long a command may take to end once it was asked to.
GRACE_S = 5.0
_OUT_KEPT = 512 * 1024
_ERR_KEPT = 128 * 1024


@dataclass(frozen=True, slots=True)
class Work:
    """One attempt of a run."""

    claim: Claim
    session: CronSession
    inputs: Mapping[str, Any]
    timeout: timedelta

    @property
    def inputs_json(self) -> str:
        """The inputs as one line of JSON."""
        return json.dumps(self.inputs, ensure_ascii=False, separators=(",", ":"), default=str)


@dataclass(frozen=True, slots=True)
class Performed:
    """What came of an attempt.

    ``output`` and ``errors`` are what was printed on stdout and stderr; ``text`` is for a person, where stdout is not.
    Without ``retryable`` it will never do. ``failure`` is what is known of one that failed. ``facts`` go into the run's
    result, and must be JSON.
    """

    success: bool
    exit_code: int | None = None
    output: bytes = b""
    errors: bytes = b""
    text: str | None = None
    error: str | None = None
    timed_out: bool = False
    truncated: bool = False
    retryable: bool = True
    failure: Failure = Failure.ERROR
    facts: Mapping[str, Any] = field(default_factory=dict)


Perform = Callable[[Work], Awaitable[Performed]]


def limits_of(work: Work, grace_s: float) -> Limits:
    """The limits of a command: of much output the end is kept, for there it says what came of it."""
    return Limits(work.timeout.total_seconds(), grace_s, _OUT_KEPT, _ERR_KEPT, newest_out=True)


def refused(error: str) -> Performed:
    """The answer to work that will never do."""
    return Performed(False, error=error, retryable=False, failure=Failure.INVALID)


def not_started(error: NotStartedError, advice: str = "") -> Performed:
    """The answer of a command that can't be started; ``advice`` is for who has no such program."""
    said = f"{error}; {advice}" if error.missing and advice else str(error)
    failure = Failure.MISSING_PROGRAM if error.missing else Failure.ERROR
    return Performed(False, error=said, retryable=error.passing, failure=failure)


def after_end(ended: Ended, error: str | None, failure: Failure = Failure.ERROR) -> Performed:
    """The answer of a command that ended, with an error if it failed; of output that was cut, only whole lines."""
    out, err = _whole_lines(ended.out, ended.out_cut), _whole_lines(ended.err, ended.err_cut)
    return Performed(error is None, ended.code, out, err, error=error, truncated=ended.out_cut, failure=failure)


def after_timeout(ended: Ended, timeout: timedelta) -> Performed:
    """The answer of a command that did not end in time."""
    error = f"timed out after {timeout.total_seconds():g} s"
    return replace(after_end(ended, error, Failure.TIMEOUT), timed_out=True)


def _whole_lines(said: bytes, cut: bool) -> bytes:
    # The rest of a line may be the rest of a secret, which nobody knows for one.
    return said.partition(b"\n")[2] or said if cut else said


def child_environment(given: Mapping[str, str], work: Work, withheld: Iterable[str] = ()) -> dict[str, str]:
    """The environment of a command: ``given`` without what is this process's own, and the facts of its run.

    ``withheld`` names further variables that the command must not see.
    """
    without = {*_OWN, *withheld}
    kept = {
        name: value
        for name, value in given.items()
        if name == MARK or not (name in without or name.startswith("WAKEFUL_"))
    }
    run, session = work.claim.run, work.session
    facts = {
        "WAKEFUL_JOB": session.job_name,
        "WAKEFUL_SESSION_ID": session.session_id,
        EXECUTION: run.id.hex,
        "WAKEFUL_ATTEMPT": str(run.attempt),
        "WAKEFUL_SCHEDULED_FOR": session.scheduled_at,
        "WAKEFUL_PERSONA": session.persona,
    }
    return kept | facts

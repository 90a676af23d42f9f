"""The sink of cron jobs: from a claim to what came of it, by whatever mode, with a session and a log of its own."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta, tzinfo
from typing import Any

import msgspec

from wakeful.core.ports import Claim
from wakeful.core.run import Cause, Failed, Outcome, Rejected, Skipped, Succeeded
from wakeful.targets.cron_result import Report, result_of, said_of, with_error
from wakeful.targets.failures import Failure, FailureRules
from wakeful.targets.sessions import CronSession, Sessions
from wakeful.targets.telling import told
from wakeful.targets.work import Perform, Performed, Work, refused

log = logging.getLogger("wakeful.cron")

DEFAULT_MODE = "claude_cli"
SCRIPT_MODE = "python_script"
_TIMEOUT = timedelta(seconds=600)
# Who keeps the memory has so long to note a run.
_NOTE_S = 10.0
# How the errors of attempts begin that only looked, and failed at that.
_NOT_LOOKED = ("can't tell whether the condition holds", "looking whether the condition holds took too long")
# Of an error beside which something else is to be told.
_ERROR_SHOWN = 300


async def _nothing() -> None:
    pass


@dataclass(frozen=True, slots=True)
class Polled:
    """What a poll found; ``reason`` says why that is not enough. ``done`` is told when the items were dealt with."""

    triggered: bool
    items: list[Any] = field(default_factory=list)
    count: int = 0
    reason: str = ""
    done: Callable[[], Awaitable[None]] = _nothing


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the sink asks of others.

    ``enabled`` gives the reason why a scheduled run may not be done now. ``poll`` looks whether a poll job's condition
    holds; ``begins`` hears of those of which it does, or can't be told. ``log_run`` notes an action and its details in
    the memory. ``redact`` takes secrets out of a text. ``zone`` is the one whose local time a session's id tells.
    """

    now: Callable[[], datetime]
    enabled: Callable[[Claim], str | None] = lambda _: None
    poll: Callable[[Claim], Awaitable[Polled]] | None = None
    begins: Callable[[Claim], None] = lambda _: None
    log_run: Callable[[str, str], Awaitable[None]] | None = None
    redact: Callable[[str], str] = str
    zone: Callable[[Claim], tzinfo] = lambda claim: claim.job.schedule.zone


class CronSink:
    """Performs the runs of cron jobs by ``modes``: skills by the one that their options name, scripts by their own."""

    def __init__(
        self,
        modes: Mapping[str, Perform],
        sessions: Sessions,
        around: Surroundings,
        rules: FailureRules | None = None,
    ) -> None:
        self._modes = modes
        self._sessions = sessions
        self._around = around
        self._rules = rules or FailureRules()

    async def available(self) -> None:
        """Returns at once: everything that it needs is here."""

    async def deliver(self, claim: Claim) -> Outcome:
        """Performs one attempt. Cancelled, it returns when all that it started has ended."""
        # Who asks for a run by hand means it.
        reason = self._around.enabled(claim) if claim.run.cause is Cause.SCHEDULE else None
        if reason is not None:
            return _left(claim, reason)
        if "poll" not in claim.job.target.options:
            return await self._run(claim, None)
        polled = await self._poll(claim)
        if isinstance(polled, Polled) and not polled.triggered:
            why = polled.reason or f"the condition does not hold: {polled.count} items"
            # Who could not look before, and now finds nothing to do, has failed at nothing.
            return Skipped(why) if _only_looked(claim) else _left(claim, why)
        self._around.begins(claim)
        return polled if isinstance(polled, Failed) else await self._run(claim, polled)

    async def _poll(self, claim: Claim) -> Polled | Failed:
        if self._around.poll is None:
            return Failed("nobody here looks after poll conditions")
        try:
            async with asyncio.timeout((claim.job.timeout or _TIMEOUT).total_seconds()):
                return await self._around.poll(claim)
        except TimeoutError:
            return Failed(_NOT_LOOKED[1])
        except Exception as error:
            failed = Performed(False, error=f"{_NOT_LOOKED[0]}: {error}")
            return Failed(said_of(failed, self._around.redact).error or "")

    async def _run(self, claim: Claim, polled: Polled | None) -> Outcome:
        began, zone = self._around.now(), self._around.zone(claim)
        session = self._sessions.begin(claim, began, zone)
        try:
            performed, mode = await self._perform(claim, session, polled)
        except asyncio.CancelledError:
            report = Report(claim, session, _mode(claim), began, self._around.now(), zone)
            self._record(report, Performed(False, error="cut off before it had ended"), None)
            raise
        report = Report(claim, session, mode, began, self._around.now(), zone)
        classes = () if performed.success else self._classes(performed)
        # Half a megabyte to redact takes its time.
        result, error = await asyncio.to_thread(self._record, report, performed, classes[0] if classes else None)
        if performed.success and polled is not None:
            await self._tell_done(polled)
        await self._note(report, error)
        return _outcome(claim, performed, classes, error, result)

    async def _perform(self, claim: Claim, session: CronSession, polled: Polled | None) -> tuple[Performed, str]:
        """Performs by the job's mode; by its fallback, if it has one, only where its program is missing."""
        mode = _mode(claim)
        try:
            work = Work(claim, session, _inputs(claim, polled), claim.job.timeout or _TIMEOUT)
        except ValueError as error:
            return refused(str(error)), mode
        performed = await self._perform_by(mode, work)
        fallback = claim.job.target.options.get("fallback_mode", mode)
        if performed.success or performed.failure is not Failure.MISSING_PROGRAM or fallback == mode:
            return performed, mode
        log.warning("job %r runs by %s instead: %s", session.job_name, fallback, performed.error)
        second = await self._perform_by(fallback, work)
        return replace(second, facts={**second.facts, "fallback_from": mode}), fallback

    async def _perform_by(self, mode: str, work: Work) -> Performed:
        perform = self._modes.get(mode)
        if perform is None:
            return refused(f"there is no execution mode {mode!r}, only {', '.join(sorted(self._modes))}")
        try:
            return await perform(work)
        except Exception as error:
            # A mode's bug must cost one attempt, and leave a log.
            log.exception("run %s failed inside the mode %s", work.claim.run.id, mode)
            return Performed(False, error=f"{type(error).__name__}: {error}")

    def _classes(self, performed: Performed) -> tuple[str, ...]:
        said = performed.text.encode("utf-8", "replace") if performed.text is not None else performed.output
        text = b"\n".join(((performed.error or "").encode("utf-8", "replace"), performed.errors[-8192:], said[-8192:]))
        return self._rules.classes(performed.failure, text.decode("utf-8", "replace"))

    def _record(self, report: Report, performed: Performed, failure: str | None) -> tuple[bytes, str | None]:
        """Writes the log; the run's result, and its error for a person."""
        said = said_of(performed, self._around.redact)
        try:
            self._sessions.write(report.session.session_id, report.log(performed, said), report.ended)
        except OSError as error:
            log.warning("the log of session %s can't be written: %s", report.session.session_id, error)
        return result_of(report, performed, said, failure, self._around.redact), said.error

    async def _tell_done(self, polled: Polled) -> None:
        try:
            await polled.done()
        except Exception:
            # The items will be found again: rather twice than a run that counts as failed.
            log.exception("what was polled can't be noted as done")

    async def _note(self, report: Report, error: str | None) -> None:
        if self._around.log_run is None:
            return
        action = f"Cron job {report.session.job_name} {'succeeded' if error is None else 'failed'}"
        try:
            async with asyncio.timeout(_NOTE_S):
                await self._around.log_run(action, report.details(error))
        except Exception:
            log.exception("run %s can't be noted in the memory", report.claim.run.id)


def _only_looked(claim: Claim) -> bool:
    errors = [str(each.get("error")) for each in claim.run.errors]
    return bool(errors) and all(error.startswith(_NOT_LOOKED) for error in errors)


def _left(claim: Claim, reason: str) -> Skipped | Rejected:
    """The end of a run that is not performed now; what has failed before has not been nothing, and is told."""
    if claim.run.attempt <= 1:
        return Skipped(reason)
    last = claim.run.errors[-1].get("error") if claim.run.errors else None
    error = f"{told(last or 'failed', _ERROR_SHOWN)}; not tried again: {reason}"
    return Rejected(error, with_error(claim.run.result, error))


def _mode(claim: Claim) -> str:
    target = claim.job.target
    return SCRIPT_MODE if target.kind == "command" else target.options.get("mode", DEFAULT_MODE)


def _inputs(claim: Claim, polled: Polled | None) -> dict[str, Any]:
    """What the skill or script is given.

    Raises:
        ValueError: the job's data is no JSON object, or its target is of another kind.
    """
    if claim.job.target.kind not in ("skill", "command"):
        raise ValueError(f"a cron job can't invoke a target of kind {claim.job.target.kind!r}")
    data = claim.job.data
    try:
        inputs = {} if data is None or not data.body.strip() else msgspec.json.decode(data.body)
    except (msgspec.DecodeError, RecursionError):
        inputs = None
    if not isinstance(inputs, dict):
        raise ValueError("the inputs of a cron job are a JSON object")
    if polled is not None:
        inputs |= {"_triggered_items": polled.items, "_triggered_count": polled.count}
    return inputs


def _outcome(claim: Claim, performed: Performed, classes: tuple[str, ...], error: str | None, result: bytes) -> Outcome:
    if performed.success:
        return Succeeded(result)
    said, retried = error or "failed", _retried(claim)
    if retried is None:
        return Failed(said, result) if performed.retryable else Rejected(said, result)
    # Who names a class wants it tried again, whatever there is to say for it.
    if set(retried) & set(classes):
        return Failed(said, result)
    return Rejected(f"{said} (no retry: {classes[0]} is not among {', '.join(retried) or 'nothing'})", result)


def _retried(claim: Claim) -> list[str] | None:
    """The classes of failures after which the job is tried again; ``None``: all."""
    text = claim.job.target.options.get("retry_on")
    if text is not None:
        with suppress(msgspec.DecodeError, RecursionError):
            return msgspec.json.decode(text, type=list[str])
    return None

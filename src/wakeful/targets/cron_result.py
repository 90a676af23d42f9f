"""What is kept of a cron run: its result as JSON, the head of its log, a line for the memory."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, tzinfo
from typing import Any

import msgspec

from wakeful.core.ports import Claim
from wakeful.targets.sessions import CronSession, SessionLog
from wakeful.targets.telling import told
from wakeful.targets.work import Performed

log = logging.getLogger("wakeful.cron")

Redact = Callable[[str], str]
OUTPUT_LIMIT = 16 * 1024
_FACTS_LIMIT = 16 * 1024
_ERROR_LIMIT = 500


@dataclass(frozen=True, slots=True)
class Said:
    """What an attempt said, without secrets: both streams, what a person reads of it, and its error."""

    out: str
    err: str
    text: str
    error: str | None


@dataclass(frozen=True, slots=True)
class Report:
    """Which attempt, by which mode, from when to when."""

    claim: Claim
    session: CronSession
    mode: str
    began: datetime
    ended: datetime
    zone: tzinfo

    def log(self, performed: Performed, said: Said) -> SessionLog:
        """The session's log."""
        return SessionLog(self._header(performed, said.error), said.out, said.err)

    def _header(self, performed: Performed, error: str | None) -> dict[str, object]:
        header: dict[str, object] = {
            "job": self.session.job_name,
            "skill": self.claim.job.target.address,
            "session": self.session.session_id,
            "execution": self.claim.run.id.hex,
            "attempt": self.claim.run.attempt,
            "mode": self.mode,
            "scheduled for": self.session.scheduled_at,
            "started": self.began.astimezone(self.zone).isoformat(),
            "ended": self.ended.astimezone(self.zone).isoformat(),
            "exit code": "none" if performed.exit_code is None else performed.exit_code,
            "status": "timed out" if performed.timed_out else "success" if performed.success else "failed",
        }
        return header if error is None else {**header, "error": error}

    def details(self, error: str | None) -> str:
        """One line for the memory."""
        run = self.claim.run
        # The clock may have been set back meanwhile.
        took = max(0.0, (self.ended - self.began).total_seconds())
        facts = f"skill {self.claim.job.target.address}, session {self.session.session_id}, attempt {run.attempt}"
        return f"{facts}, {took:.1f} s" + (f": {error}" if error else "")


def said_of(performed: Performed, redact: Redact) -> Said:
    """What an attempt said, without secrets."""
    out, err = (_redacted(stream.decode("utf-8", "replace"), redact) for stream in (performed.output, performed.errors))
    text = out if performed.text is None else _redacted(performed.text, redact)
    error = None if performed.success else told(_redacted(performed.error or "failed", redact), _ERROR_LIMIT)
    return Said(out, err, text, error)


def result_of(report: Report, performed: Performed, said: Said, failure: str | None, redact: Redact) -> bytes:
    """The result of a run, the same for a success and for a failure; nothing in it is longer than its limit."""
    # What is cut off before it is redacted may leave a half of a secret, which nobody knows for one.
    output, cut = _end_of(said.text, OUTPUT_LIMIT)
    result = {
        "session_id": report.session.session_id,
        "exit_code": performed.exit_code,
        "output": output,
        "truncated": cut or performed.truncated,
        "success": performed.success,
        "error": said.error,
        "timed_out": performed.timed_out,
        "mode": report.mode,
        "failure": failure,
    }
    facts = _facts(performed.facts, redact)
    return msgspec.json.encode({**result, "truncated": True} if facts is None else facts | result)


def with_error(result: bytes | None, error: str) -> bytes | None:
    """The result of an earlier attempt, with what is to be told in place of its error."""
    if result is None:
        return None
    try:
        return msgspec.json.encode({**msgspec.json.decode(result, type=dict[str, Any]), "error": error})
    except msgspec.DecodeError:
        return result


def _facts(facts: Mapping[str, Any], redact: Redact) -> dict[str, Any] | None:
    """What else there is to tell, without secrets; nothing, if it is too much or no JSON."""
    try:
        encoded = msgspec.json.encode(facts, enc_hook=str)
        if len(encoded) > _FACTS_LIMIT:
            return None
        return {key: _redacted(fact, redact) for key, fact in msgspec.json.decode(encoded).items()}
    except (TypeError, ValueError, OverflowError, RecursionError):
        return None


def _end_of(text: str, limit: int) -> tuple[str, bool]:
    data = text.encode("utf-8", "replace")
    return data[max(0, len(data) - limit) :].decode("utf-8", "ignore"), len(data) > limit


def _redacted(value: Any, redact: Redact) -> Any:
    if isinstance(value, str):
        try:
            return redact(value)
        except Exception:
            log.exception("what a run said is not kept: its secrets can't be told from it")
            return "[left out: its secrets can't be told from it]"
    if isinstance(value, dict):
        return {key: _redacted(each, redact) for key, each in value.items()}
    if isinstance(value, list):
        return [_redacted(each, redact) for each in value]
    return value

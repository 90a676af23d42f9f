"""What people are told of a run: a title and a few lines, readable and without secrets."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

import msgspec

from wakeful.core.ports import Claim
from wakeful.core.redaction import redact
from wakeful.targets.telling import told

# More than a run's result has of its output.
_READ = 64 * 1024
_LINES = 10
_LINE_LIMIT = 500
_ERROR_LIMIT = 2000
_NAME_LIMIT = 150
# What a terminal would not show: colours, titles, the moving of its cursor (ECMA-48, 5.4 and 5.6).
_ESCAPES = re.compile(r"\x1b(?:\[[0-?]{0,64}[ -/]{0,8}[@-~]|\][^\x07\x1b]{0,512}(?:\x07|\x1b\\)?|[@-Z\\-_])")


class NotANoticeError(ValueError):
    """The data of a run is not what a notice consists of."""


@dataclass(frozen=True, slots=True)
class Message:
    """One notice. ``id`` is the same however often it is sent; ``at`` is when the run of ``job`` ended."""

    id: str
    title: str
    body: str
    succeeded: bool
    at: datetime
    job: str
    run_id: str
    skill: str = ""

    def cut_body(self, limit: int) -> str:
        """The body, in at most so many characters."""
        return cut(self.body, limit)


def cut(text: str, limit: int) -> str:
    """The text, in at most so many characters; where it was longer, it ends with dots."""
    return text if len(text) <= limit else text[: limit - 1].rstrip() + "…"


def read_message(claim: Claim, secrets: Iterable[str]) -> Message:
    """What a notice says; nothing of ``secrets``, nor anything else that looks like one.

    Raises:
        NotANoticeError: its data was not made by wakeful, or by another version of it.
    """
    data = claim.job.data
    try:
        said = msgspec.json.decode(b"" if data is None else data.body)
        at = datetime.fromisoformat(said["ended_at"] or said["scheduled_for"])
        state, job, run_id, attempts = said["state"], str(said["job"]), str(said["run_id"]), int(said["attempts"])
        result = said["result"] if isinstance(said.get("result"), dict) else {}
        skill = said.get("target")
        error = said.get("error") or result.get("error")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as wrong:
        raise NotANoticeError(f"the data is no notice of a run: {type(wrong).__name__}") from wrong
    known = tuple(secrets)

    def clean(value: object) -> str:
        # All of it, before anything is cut: a part of a secret would not be known for one.
        return redact(_plain(value[:_READ] if isinstance(value, str) else ""), known)

    succeeded = state == "succeeded"
    name = told(clean(job), _NAME_LIMIT)
    if succeeded:
        body = _success(clean(result.get("output")), cut_off=result.get("truncated") is True)
    else:
        body = _failure(clean(error), attempts, told(clean(result.get("session_id")), _NAME_LIMIT))
    return Message(
        id=claim.run.id.hex,
        title=f"Scheduled Job: {name} {'succeeded' if succeeded else 'failed'}",
        body="\n".join(cut(line.rstrip(), _LINE_LIMIT) for line in body.split("\n")),
        succeeded=succeeded,
        at=at,
        job=name,
        run_id=run_id,
        skill=told(clean(skill), _NAME_LIMIT),
    )


def _success(output: str, *, cut_off: bool) -> str:
    text = "\n".join(output.strip("\n").split("\n")[:_LINES])
    # Of what was too long, the end was kept.
    return ("…" if cut_off else "") + text or "It said nothing."


def _failure(error: str, attempts: int, session: str) -> str:
    times = "1 attempt" if attempts == 1 else f"{attempts} attempts"
    why = cut(error.strip(), _ERROR_LIMIT) or "no reason was given"
    return f"Failed after {times}: {why}" + (f"\nSession: {session}" if session else "")


def _plain(text: str) -> str:
    """Without what moves cursors, hides text, or is no text at all; tabs and line ends stay."""
    text = _ESCAPES.sub("", text).replace("\r\n", "\n")
    return "".join(c if c.isprintable() or c in "\t\n" else " " for c in text)

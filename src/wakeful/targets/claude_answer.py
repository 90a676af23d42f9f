"""What an answer of the Claude Code CLI comes to: exit code, JSON result and the text's last word must all be well."""

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import msgspec

from wakeful.children import Ended
from wakeful.targets.failures import Failure
from wakeful.targets.telling import told
from wakeful.targets.work import Performed, after_end

# The line that an answer is asked to end with; a failure says why after it.
SUCCESS = "WAKEFUL_RESULT: success"
FAILURE = "WAKEFUL_RESULT: failure"
_MARKER = re.compile(
    r"^[ \t>#*_`~'\"]*WAKEFUL_RESULT:[ \t*_`]*(success|failure)\b[ \t*_`:.,-]*(.*)$", re.IGNORECASE | re.MULTILINE
)
# It is cut once more when it has no secrets left: half of one would not be known for one.
_SAID = 4_000


def judged(ended: Ended, facts: Mapping[str, Any]) -> Performed:
    """The answer of a command that ended by itself. An answer without a marker is judged by the rest alone."""
    answer = _answer(ended.out)
    text = _text(ended, answer)
    markers = _MARKER.findall(text)
    verdicts = {verdict.lower() for verdict, _ in markers}
    error, failure = _error(ended, answer, text), Failure.EXIT_CODE if ended.code else Failure.REPORTED
    if error is None and len(verdicts) > 1:
        error = "the answer says both that it is a success and that it is a failure"
    elif error is None and "failure" in verdicts:
        why = told(markers[-1][1].strip(" *_`"), _SAID)
        error = f"the answer reports a failure: {why}" if why else "the answer reports a failure, and says no more"
    told_of = {"reported": verdicts.pop() if len(verdicts) == 1 else None}
    for key, name in (("subtype", "subtype"), ("num_turns", "turns"), ("total_cost_usd", "cost_usd")):
        if answer is not None and isinstance(answer.get(key), str | int | float):
            told_of[name] = answer[key]
    performed = after_end(ended, error, Failure.SIGNAL if ended.code < 0 else failure)
    return replace(performed, text=text, facts={**facts, **told_of})


def _error(ended: Ended, answer: Mapping[str, Any] | None, text: str) -> str | None:
    """What the exit code and the JSON result say against it."""
    answer = answer or {}
    subtype = answer.get("subtype")
    reported = bool(answer.get("is_error")) or answer.get("success") is False
    said = told(text.strip().partition("\n")[0], _SAID)
    if ended.code != 0:
        last = told(ended.err.decode("utf-8", "replace").strip().rpartition("\n")[2], _SAID)
        why = said if reported else last or said
        return f"{ended.how}: {why}" if why else ended.how
    if reported:
        return f"the CLI reports an error: {said or subtype or 'it says no more'}"
    if subtype not in (None, "success"):
        return f"the CLI ended with {told(str(subtype), _SAID)!r}"
    return None


def _answer(out: bytes) -> dict[str, Any] | None:
    """The result among what was printed as JSON: an object, a list of messages, or one message a line."""
    for text in (out, out.rstrip().rpartition(b"\n")[2]):
        try:
            said = msgspec.json.decode(text)
        except (msgspec.DecodeError, RecursionError):
            continue
        messages = said if isinstance(said, list) else [said]
        for message in reversed(messages):
            if isinstance(message, dict) and message.get("type", "result") == "result":
                return message
    return None


def _text(ended: Ended, answer: Mapping[str, Any] | None) -> str:
    """What the answer says to a person."""
    if answer is not None and isinstance(answer.get("result"), str):
        return str(answer["result"])
    text = ended.out.decode("utf-8", "replace")
    # The end of a JSON text whose beginning was not kept.
    return text.replace("\\n", "\n") if ended.out_cut else text

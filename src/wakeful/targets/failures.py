"""Classes of failures: what is known for certain first, what a text says last."""

import re
from collections.abc import Mapping, Sequence
from enum import StrEnum


class Failure(StrEnum):
    """What can be known of a failure without reading any text."""

    TIMEOUT = "timeout"
    MISSING_PROGRAM = "missing_program"
    SIGNAL = "signal"
    INVALID = "invalid_input"
    EXIT_CODE = "exit_code"
    REPORTED = "reported"
    ERROR = "error"


# These say nothing of the cause: a text may.
_VAGUE = frozenset({Failure.EXIT_CODE, Failure.REPORTED, Failure.ERROR})

# Phrases for each class, the first class with a match wins; only whole words match, whatever their case and the space
# between them. No bare numbers: 401 may be anything.
RULES: Mapping[str, Sequence[str]] = {
    "auth": (
        "unauthorized",
        "unauthenticated",
        "authentication failed",
        "authentication required",
        "authentication_error",
        "not logged in",
        "please run /login",
        "access denied",
        "invalid api key",
        "invalid credentials",
        "token expired",
        "token has expired",
        "401 unauthorized",
        "403 forbidden",
        "http 401",
        "http 403",
        "status 401",
        "status 403",
        "status code 401",
        "status code 403",
    ),
    "network": (
        "connection refused",
        "connection reset",
        "connection timed out",
        "connection aborted",
        "network is unreachable",
        "no route to host",
        "name or service not known",
        "temporary failure in name resolution",
        "could not resolve host",
        "bad gateway",
        "service unavailable",
        "gateway timeout",
        "econnrefused",
        "econnreset",
        "enotfound",
        "etimedout",
        "eai_again",
        "http 502",
        "http 503",
        "http 504",
    ),
}


class FailureRules:
    """Tells the classes of a failure by rules that a user may add to: ``{class: phrases}``."""

    def __init__(self, added: Mapping[str, Sequence[str]] | None = None) -> None:
        phrases = {name: tuple(rule) for name, rule in RULES.items()}
        for name, more in (added or {}).items():
            phrases[name] = (*phrases.get(name, ()), *more)
        self._rules = {name: _whole_words(rule) for name, rule in phrases.items() if rule}

    def classes(self, known: Failure, text: str) -> tuple[str, ...]:
        """The classes of a failure, the most telling first; of one that says nothing of its cause, the text may."""
        if known not in _VAGUE:
            return (known.value,)
        for name, rule in self._rules.items():
            if rule.search(text):
                return (name, known.value)
        return (known.value,)


def _whole_words(phrases: Sequence[str]) -> re.Pattern[str]:
    either = "|".join(r"\s+".join(re.escape(word) for word in phrase.split()) for phrase in phrases)
    return re.compile(rf"(?<!\w)(?:{either})(?!\w)", re.IGNORECASE)

"""Retry policies in both vocabularies: the document's, and that of the daemon it describes."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from wakeful.core.job import RetryPolicy
from wakeful.faces.cron.forms import flag, integer, number, one_of, shown, texts
from wakeful.faces.cron.sections import Section

DAY_S = 86_400
_MOST_ATTEMPTS = 100
_KEYS = (
    "max_attempts",
    "max_retries",
    "delay_seconds",
    "initial_delay_seconds",
    "backoff_multiplier",
    "backoff",
    "max_delay_seconds",
    "jitter",
    "retry_on",
)
# The kinds that are told without a rule of the user's own.
_KINDS = ("auth", "network", "timeout", "missing_program", "signal", "invalid_input", "exit_code", "reported", "error")
_MOST_KINDS = 32


@dataclass(frozen=True, slots=True)
class Retry:
    """Whether and when a failed run is tried again; ``on`` are the kinds of failures for which it is, all if empty."""

    policy: RetryPolicy
    on: tuple[str, ...] = ()


NO_RETRY = Retry(RetryPolicy(max_retries=0))
# S3.13: three attempts in all, after 60 and 120 seconds.
USUAL = Retry(RetryPolicy(max_retries=2, interval=timedelta(seconds=60), multiplier=2.0))


def read_retry(section: Section, key: str, default: Retry) -> Retry:
    """The policy at a key of a section: ``false`` is none, ``true`` the default one, an object what it says.

    ``max_attempts`` counts the first attempt, too; ``max_retries`` does not.
    """
    if key not in section:
        return default
    value = section.values[key]
    if isinstance(value, bool):
        on = USUAL if default == NO_RETRY else default
        return on if section.get(key, flag) else NO_RETRY
    if not isinstance(value, dict):
        section.wrong(key, f"must be an object such as {{'max_attempts': 3}}, or false, not {shown(value)}")
        return default
    return _read(section.part(key))


def _read(section: Section) -> Retry:
    section.check_keys(_KEYS)
    usual = USUAL.policy
    delay = _one_of_two(section, "delay_seconds", "initial_delay_seconds", number(0, DAY_S))
    interval = usual.interval if delay is None else timedelta(seconds=delay)
    most = section.get("max_delay_seconds", number(0, 30 * DAY_S))
    multiplier, step = _growth(section, interval)
    policy = RetryPolicy(
        max_retries=_retries(section),
        interval=interval,
        multiplier=multiplier,
        max_interval=None if most is None else timedelta(seconds=most),
        jitter=section.get("jitter", number(0, 1), 0.0),
        step=step,
    )
    kinds = section.get("retry_on", texts(_MOST_KINDS, 64), ())
    for kind in kinds:
        if kind not in _KINDS:
            known = f"those known without a rule of your own are {', '.join(_KINDS)}"
            section.found.odd(
                f"{section.path}.retry_on", f"{shown(kind)} is a kind of failure that nobody knows: {known}"
            )
    return Retry(policy, kinds)


def _retries(section: Section) -> int:
    attempts = section.get("max_attempts", integer(1, _MOST_ATTEMPTS + 1))
    retries = section.get("max_retries", integer(0, _MOST_ATTEMPTS))
    if attempts is not None and retries is not None and retries != attempts - 1:
        said = f"{attempts} attempts in all are {attempts - 1} retries, and max_retries says {retries}"
        section.wrong("max_attempts", f"{said}: leave out one of the two")
    if retries is not None:
        return int(retries)
    return 2 if attempts is None else int(attempts) - 1


def _one_of_two(section: Section, one: str, other: str, read: Any) -> Any:
    first, second = section.get(one, read), section.get(other, read)
    if first is not None and second is not None and first != second:
        section.wrong(other, f"says the same as {one}, and something else: leave out one of the two")
    return second if first is None else first


def _growth(section: Section, interval: timedelta) -> tuple[float, timedelta]:
    """What each delay is multiplied by, and what is added to it."""
    backoff = section.get("backoff", one_of("exponential", "linear", "constant"))
    multiplier = section.get("backoff_multiplier", number(1, 100))
    if backoff in (None, "exponential"):
        return 2.0 if multiplier is None else float(multiplier), timedelta(0)
    if multiplier not in (None, 1.0):
        section.wrong("backoff_multiplier", f"goes with exponential backoff only, and backoff is {backoff}")
    return 1.0, interval if backoff == "linear" else timedelta(0)

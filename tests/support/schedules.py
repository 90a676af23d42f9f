"""Instants as tests write them, and what comes of a schedule: when it is due, or why it is refused."""

from collections.abc import Callable
from datetime import UTC, datetime
from itertools import count
from typing import Any

import pytest

from wakeful.core.errors import ErrorCode, WakefulError
from wakeful.core.schedule import Schedule


def at(text: str) -> datetime:
    """An instant, in UTC."""
    return datetime.fromisoformat(text).astimezone(UTC)


def ticks(schedule: Schedule, limit: int = 100) -> list[datetime]:
    """When it is due, so many times at most."""
    found: list[datetime] = []
    due = schedule.first_due()
    for runs in count(1):
        if due is None or runs > limit:
            return found
        found.append(due)
        due = schedule.next_due(due, runs)
    raise AssertionError


def refusal_of(parse: Callable[..., Schedule], *given: Any, **named: Any) -> str:
    """The message with which a schedule is refused."""
    with pytest.raises(WakefulError) as caught:
        parse(*given, **named)
    assert caught.value.code is ErrorCode.INVALID_SCHEDULE
    assert len(caught.value.message) < 500
    return caught.value.message

"""How much work a call is, told without a clock: the lines of Python that it runs."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any


class RanAwayError(AssertionError):
    """The call did more than it was allowed to."""


@contextmanager
def at_most(lines: int) -> Iterator[Callable[[], int]]:
    """Ends what is inside once it has run more than so many lines of Python; gives how many it has run so far.

    A machine that is busy, or slow, changes nothing about it. Work inside C is not seen.
    """
    spent = 0

    def trace(frame: FrameType, event: str, argument: Any) -> Any:
        nonlocal spent
        if event == "line":
            spent += 1
            if spent > lines:
                raise RanAwayError(
                    f"more than {lines:,} lines of Python, the last of them at {frame.f_code.co_qualname}"
                )
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        yield lambda: spent
    finally:
        sys.settrace(before)
    # Somebody inside may have caught it.
    if spent > lines:
        raise RanAwayError(f"more than {lines:,} lines of Python")

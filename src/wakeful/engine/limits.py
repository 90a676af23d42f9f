"""How much one node takes on."""

from dataclasses import dataclass, field
from datetime import timedelta

from wakeful.core.ports import Retention
from wakeful.engine.lease import TERM


@dataclass(frozen=True, slots=True)
class Limits:
    """What one node takes on at a time: runs in flight, and overdue runs claimed in a second.

    What it holds when it dies is taken back once its ``lease`` is over, which it renews three times meanwhile.
    """

    most_running: int = 1024
    late_per_s: int = 5_000
    lease: timedelta = TERM
    retention: Retention = field(default_factory=Retention)

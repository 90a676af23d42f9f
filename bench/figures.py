"""From arrivals to figures, and from figures to tables. Pure."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from statistics import median
from typing import Any, NamedTuple

Figures = dict[str, Any]

# Of repeated runs these are added up, the others' median is taken; what begins with "max" is the greatest of all.
_ADDED = ("missing", "duplicates", "errors", "extra", "overdue", "drifted", "attempts", "log_lines")


class Arrival(NamedTuple):
    """One call, as the far side saw it; instants in microseconds."""

    name: str
    at_us: int
    due_us: int
    run_id: str
    attempt: int


@dataclass
class Table:
    """A table of results: columns are (key, heading, format)."""

    title: str
    columns: Sequence[tuple[str, str, str]]
    rows: list[Figures] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    raw: list[Figures] = field(default_factory=list)

    def add(self, label: Mapping[str, Any], runs: Sequence[Figures]) -> Figures:
        """A row: the median of these runs."""
        self.raw.extend({**label, **run} for run in runs)
        row = {**label, **combined(runs), "runs": len(runs)}
        self.rows.append(row)
        return row

    def text(self) -> str:
        """Markdown."""
        lines = [f"### {self.title}", ""]
        if self.rows:
            columns = [*self.columns, *[("runs", "runs", "d")] * ("runs" in self.rows[0])]
            lines += [_line(heading for _, heading, _ in columns), _line("---" for _ in columns)]
            lines += [_line(_cell(row, key, form) for key, _, form in columns) for row in self.rows]
            lines.append("")
        lines += [f"- {note}" for note in dict.fromkeys(self.notes)]
        return "\n".join(lines).rstrip() + "\n"


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _cell(row: Figures, key: str, form: str) -> str:
    value = row.get(key)
    if value is None:
        return "–"
    return value if isinstance(value, str) else format(value, form)


def combined(runs: Sequence[Figures]) -> Figures:
    """One row of several runs of the same."""
    row: Figures = {}
    for key in dict.fromkeys(key for run in runs for key in run):
        values = [run[key] for run in runs if run.get(key) is not None]
        if not values:
            row[key] = None
        elif isinstance(values[0], str | bool | list | dict):
            row[key] = values[-1]
        elif key in _ADDED:
            row[key] = sum(values)
        else:
            row[key] = max(values) if key.startswith("max") else median(values)
    return row


def percentile(ordered: Sequence[float], part: float) -> float:
    """Of sorted values; 0 if there are none."""
    return ordered[min(len(ordered) - 1, int(part * len(ordered)))] if ordered else 0.0


def lateness(values_us: Iterable[int]) -> Figures:
    """Percentiles in milliseconds."""
    ordered = sorted(values_us)
    return {
        "p50_ms": percentile(ordered, 0.5) / 1e3,
        "p99_ms": percentile(ordered, 0.99) / 1e3,
        "p999_ms": percentile(ordered, 0.999) / 1e3,
        "max_ms": percentile(ordered, 1.0) / 1e3,
    }


def accounted(arrivals: Sequence[Arrival], dues: Mapping[str, Sequence[int]]) -> Figures:
    """Whether every due instant of every job came, and how often; only the first arrival of an instant counts below."""
    seen = Counter((arrival.name, arrival.due_us) for arrival in arrivals)
    wanted = {(name, due) for name, instants in dues.items() for due in instants}
    return {
        "expected": len(wanted),
        "seen": len(wanted & seen.keys()),
        "missing": len(wanted - seen.keys()),
        "duplicates": sum(count - 1 for key, count in seen.items() if key in wanted),
        "extra": sum(count for key, count in seen.items() if key not in wanted),
        "attempts": sum(arrival.attempt > 1 for arrival in arrivals),
    }


def first_arrivals(arrivals: Iterable[Arrival]) -> dict[tuple[str, int], int]:
    """When each instant of each job came first."""
    first: dict[tuple[str, int], int] = {}
    for arrival in arrivals:
        key = (arrival.name, arrival.due_us)
        first[key] = min(arrival.at_us, first.get(key, arrival.at_us))
    return first


def drifted(dues: Mapping[str, Sequence[int]], arrivals: Iterable[Arrival], step_us: int) -> int:
    """How many consecutive instants of a job were not exactly one step apart."""
    told: dict[str, list[int]] = {name: [] for name in dues}
    for arrival in arrivals:
        told.setdefault(arrival.name, []).append(arrival.due_us)
    instants = [sorted(set(times)) for times in told.values()]
    return sum(b - a != step_us for times in instants for a, b in pairwise(times))


def gaps(arrivals: Iterable[Arrival]) -> Figures:
    """The time between two calls of one job."""
    told: dict[str, list[int]] = {}
    for arrival in arrivals:
        told.setdefault(arrival.name, []).append(arrival.at_us)
    between = sorted(b - a for times in map(sorted, told.values()) for a, b in pairwise(times))
    return {"gap_p50_ms": percentile(between, 0.5) / 1e3, "gap_p99_ms": percentile(between, 0.99) / 1e3}

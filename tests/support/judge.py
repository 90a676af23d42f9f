"""The judge: compares what had to come, by a journal of API calls, with what came, by the receiver's ledger.

It knows nothing of wakeful's tables and uses none of its code: two records, one clock, and arithmetic.
"""

import json
import threading
import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from statistics import quantiles

import httpx2

from support.receiver import CUT, EPOCH, OK, UNANSWERED, US, Arrival

# What an API call came to. Unknown: it may or may not have happened.
DONE, FAILED, UNKNOWN = "ok", "failed", "unknown"
S = 1_000_000
# An answer that is so young when a node dies may not have been committed: one commit.
ONE_COMMIT = int(0.25 * S)
# So long after a node's death or stop may that reach the receiver which the node had sent before.
ON_THE_WIRE = int(0.5 * S)
# A run that was claimed before its job's delete was acknowledged may still arrive for so long.
IN_FLIGHT = int(0.5 * S)
# What is due so long before a delete has to have come.
BEFORE_DELETE = 15 * S


def now_us() -> int:
    """The wall clock of the machine, which the receiver writes down as well."""
    return time.time_ns() // 1000


def rfc3339(at_us: int) -> str:
    return (EPOCH + at_us * US).replace(tzinfo=None).isoformat() + "Z"


@dataclass(frozen=True, slots=True)
class Call:
    """One API call: put (with the instants that it asks for: the first, the step, how many) or delete."""

    verb: str
    job: str
    invoked: int
    returned: int
    outcome: str
    first: int = 0
    step: int = 0
    count: int = 1

    @property
    def dues(self) -> range:
        return range(self.first, self.first + self.step * self.count, self.step) if self.step else _once(self.first)


def _once(at: int) -> range:
    return range(at, at + 1)


@dataclass(frozen=True, slots=True)
class Fault:
    """A node's death (``since`` is ``until``), or the time in which it stood still: what may bring a run twice."""

    since: int
    until: int


@dataclass
class Journal:
    """Calls the API, and writes down what it asked for and what came of it. Several threads may share one."""

    path: Path | None = None
    calls: list[Call] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def put(
        self,
        client: httpx2.Client,
        job: str,
        first: int,
        *,
        every_us: int = 0,
        count: int = 1,
        retries: int = 3,
        interval_s: float = 1.0,
    ) -> str:
        """Asks for a job that is due at ``first`` and, with ``every_us``, ``count`` times in all."""
        body: dict[str, object] = {
            "dueTime": rfc3339(first),
            "data": {"job": job},
            "failurePolicy": {"constant": {"interval": f"{interval_s:g}s", "maxRetries": retries}},
        }
        if every_us:
            body |= {"schedule": f"@every {every_us}us", "repeats": count}
        invoked = now_us()
        outcome = _outcome(client, "POST", f"/v1.0/jobs/{job}", body)
        self.add(Call("put", job, invoked, now_us(), outcome, first, every_us, count))
        return outcome

    def delete(self, client: httpx2.Client, job: str) -> str:
        """Asks for the end of a job."""
        invoked = now_us()
        outcome = _outcome(client, "DELETE", f"/v1.0/jobs/{job}", None)
        self.add(Call("delete", job, invoked, now_us(), outcome))
        return outcome

    def add(self, call: Call) -> None:
        with self._lock:
            self.calls.append(call)
            if self.path is not None:
                with self.path.open("a") as file:
                    file.write(json.dumps(asdict(call)) + "\n")

    def fault(self, since: int, until: int | None = None) -> None:
        """A node died at ``since``, or stood still until ``until``."""
        with self._lock:
            self.faults.append(Fault(since, since if until is None else until))

    def acknowledged(self) -> list[str]:
        """The jobs that certainly exist, or did."""
        return [call.job for call in list(self.calls) if call.verb == "put" and call.outcome == DONE]


def _outcome(client: httpx2.Client, method: str, path: str, body: object) -> str:
    try:
        answer = client.request(method, path, json=body)
    except httpx2.ConnectError:
        return FAILED
    except httpx2.TransportError:
        return UNKNOWN
    if answer.status_code < 300:
        return DONE
    return FAILED if answer.status_code < 500 else UNKNOWN


Instant = tuple[str, int]


@dataclass
class Verdict:
    """What the judge found; ``twice`` holds every superfluous arrival, ``unexcused`` those that no fault explains."""

    lost: list[Instant] = field(default_factory=list)
    early: list[Arrival] = field(default_factory=list)
    twice: list[Arrival] = field(default_factory=list)
    unexcused: list[Arrival] = field(default_factory=list)
    phantom: list[Arrival] = field(default_factory=list)
    retried: int = 0
    came: int = 0
    expected: int = 0
    unknown_calls: int = 0
    # Microseconds from due to the first arrival; what is lost counts with its age.
    lateness: list[int] = field(default_factory=list)

    def percentile(self, percent: int) -> float:
        """Lateness in seconds."""
        if len(self.lateness) < 2:
            return max(self.lateness, default=0) / S
        return quantiles(self.lateness, n=100, method="inclusive")[percent - 1] / S

    @property
    def worst(self) -> float:
        """The greatest lateness in seconds."""
        return max(self.lateness, default=0) / S

    def __str__(self) -> str:
        return (
            f"expected {self.expected}, came {self.came}, lost {len(self.lost)}, early {len(self.early)}, "
            f"twice {len(self.twice)} ({len(self.unexcused)} without excuse), phantom {len(self.phantom)}, "
            f"retried {self.retried}, unknown calls {self.unknown_calls}; "
            f"late p50 {self.percentile(50):.3f} p99 {self.percentile(99):.3f} max {self.worst:.3f} s"
        )

    def assert_clean(self) -> "Verdict":
        """Nothing lost, early or invented, and twice only what a fault explains."""
        findings = (*self.lost[:5], *self.early[:5], *self.unexcused[:5], *self.phantom[:5])
        assert not findings, f"{self}\n" + "\n".join(map(str, findings))
        return self


def judge(journal: Journal, arrivals: Iterable[Arrival], until: int | None = None) -> Verdict:
    """Judges everything that was due by ``until``: now, unless told otherwise."""
    until = now_us() if until is None else until
    came: dict[Instant, list[Arrival]] = defaultdict(list)
    for arrival in sorted(arrivals, key=lambda arrival: arrival.at):
        came[arrival.job, arrival.due].append(arrival)
    puts, deletes = _by_job(journal.calls)
    verdict = Verdict(unknown_calls=sum(call.outcome == UNKNOWN for call in journal.calls))
    for put in puts.values():
        _judge_job(verdict, put, deletes.get(put.job), came, until)
    for (job, due), those in came.items():
        put = puts.get(job)
        if put is None or put.outcome == FAILED or due not in put.dues or _after_delete(those[0], deletes.get(job)):
            verdict.phantom += those
        _judge_instant(verdict, due, those, journal.faults)
    return verdict


def _by_job(calls: Sequence[Call]) -> tuple[dict[str, Call], dict[str, Call]]:
    puts: dict[str, Call] = {}
    deletes: dict[str, Call] = {}
    for call in calls:
        if call.verb == "delete":
            if call.outcome != FAILED:
                deletes[call.job] = call
            continue
        assert call.job not in puts, f"{call.job} was put twice: a name names one job of the journal"
        puts[call.job] = call
    return puts, deletes


def _after_delete(first: Arrival, delete: Call | None) -> bool:
    return delete is not None and delete.outcome == DONE and first.at > delete.returned + IN_FLIGHT


def _judge_job(
    verdict: Verdict, put: Call, delete: Call | None, came: dict[Instant, list[Arrival]], until: int
) -> None:
    """Whether what had to come of one job came."""
    if put.outcome != DONE:
        return
    must_until = until if delete is None else min(until, delete.invoked - BEFORE_DELETE)
    for due in put.dues:
        if due > must_until:
            break
        verdict.expected += 1
        those = came.get((put.job, due), [])
        # What the node's death cut off, or the app's, has to come again.
        if not those or (those[-1].did in (CUT, UNANSWERED) and all(one.did != OK for one in those)):
            verdict.lost.append((put.job, due))
            verdict.lateness.append(until - due)


def _judge_instant(verdict: Verdict, due: int, those: Sequence[Arrival], faults: Sequence[Fault]) -> None:
    """Whether one instant came in time and once."""
    verdict.came += 1
    verdict.lateness.append(those[0].at - due)
    if those[0].at < due:
        verdict.early.append(those[0])
    for before, again in pairwise(those):
        if before.run == again.run and before.did not in (OK, CUT):
            # The receiver failed it by rule, or died with it.
            verdict.retried += 1
            continue
        verdict.twice.append(again)
        if before.run != again.run or not any(_excuses(fault, before, again) for fault in faults):
            verdict.unexcused.append(again)


def _excuses(fault: Fault, before: Arrival, again: Arrival) -> bool:
    """Whether ``before`` was in flight at the fault, or answered within the one commit that was not made."""
    answered = before.ended is None or before.ended >= fault.since - ONE_COMMIT
    return before.at <= fault.until + ON_THE_WIRE and answered and again.at >= fault.since


def seconds(value: float | timedelta) -> int:
    """In microseconds."""
    return int((value.total_seconds() if isinstance(value, timedelta) else value) * S)

"""What the store must write because of an outcome; decided without I/O."""

from datetime import datetime, timedelta
from hashlib import blake2b
from uuid import UUID

from msgspec import Struct
from msgspec.structs import replace

from wakeful.core.job import CountedFrom, Job, RetryPolicy
from wakeful.core.run import (
    MOVES,
    Accepted,
    Failed,
    HandedOn,
    Move,
    Outcome,
    Rejected,
    Run,
    RunState,
    Skipped,
    Succeeded,
    Unavailable,
)

ERROR_LIMIT = 500
LONGEST_INTERVAL = timedelta(days=365)


class Settlement(Struct, frozen=True):
    """The new columns of one run, written only while ``fence`` is still the run's own; ``notices`` are stored with it.

    A run whose job ended meanwhile is not tried again: the store turns ``waiting`` into the end that fits the job's.
    """

    run_id: UUID
    fence: int
    state: RunState
    attempt: int
    reason: str | None = None
    run_at: datetime | None = None
    lease_until: datetime | None = None
    error: str | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    queue: str | None = None
    result: bytes | None = None
    expires_at: datetime | None = None
    notices: tuple[Job, ...] = ()


def settle(run: Run, outcome: Outcome, retry: RetryPolicy, now: datetime) -> Settlement:  # noqa: PLR0911 - one for each outcome
    """What became of a claimed run: it ends, waits for its next attempt, or waits for its answer."""
    match outcome:
        case Succeeded(result):
            return _with(result, _end(run, Move.SUCCEEDED, now))
        case HandedOn(queue, expires_at):
            handed_on = _again(run, Move.HANDED_ON, _due_at(run, now), run.attempt - 1, None)
            return replace(handed_on, queue=queue, expires_at=expires_at)
        case Rejected(error, result):
            return _with(result, _end(run, Move.REJECTED, now, "rejected", error))
        case Failed(error, result):
            return _with(result, _failed(run, error, retry, now))
        case Skipped(reason):
            return _end(run, Move.SKIPPED, now, _clip(reason))
        case Unavailable():
            return _again(run, Move.GIVEN_BACK, _due_at(run, now), run.attempt - 1, None)
        case Accepted(lease):
            return Settlement(
                run.id,
                run.fence,
                # Who is at it may ask for more time.
                run.state if run.state is RunState.OPEN else MOVES[run.state, Move.ACCEPTED],
                run.attempt,
                lease_until=now + lease,
                started_at=run.started_at,
            )


def _with(result: bytes | None, settlement: Settlement) -> Settlement:
    return settlement if result is None else replace(settlement, result=result)


def _failed(run: Run, error: str, retry: RetryPolicy, now: datetime) -> Settlement:
    if retry.max_retries is not None and run.attempt > retry.max_retries:
        return _end(run, Move.EXHAUSTED, now, "attempts_exhausted", error)
    retry_at = _retry_at(run, retry, now)
    if retry.max_age is not None and retry_at > run.wanted_at + retry.max_age:
        return _end(run, Move.EXHAUSTED, now, "too_old", error)
    return _again(run, Move.RETRIED, retry_at, run.attempt, error)


def _due_at(run: Run, now: datetime) -> datetime:
    # What was claimed was due: if it is still to come, the clock was set back since.
    return min(run.run_at or run.scheduled_for, now)


def _retry_at(run: Run, retry: RetryPolicy, now: datetime) -> datetime:
    # Dapr counts from when the attempt was due, so a slow failure is tried again at once
    # (go-etcd-cron internal/counter/counter.go); everybody else counts from the failure.
    counted_from = _due_at(run, now) if retry.counted_from is CountedFrom.DUE and run.run_at else now
    try:
        interval = retry.interval * retry.multiplier ** (run.attempt - 1) + retry.step * (run.attempt - 1)
    except OverflowError:
        interval = LONGEST_INTERVAL
    interval = min(interval, retry.max_interval or LONGEST_INTERVAL)
    return counted_from + interval * (1 - retry.jitter * _share(run))


def _share(run: Run) -> float:
    """A number from 0 up to 1, as good as random: each run and attempt has its own, always the same."""
    seed = run.id.bytes + run.attempt.to_bytes(8, "big")
    return int.from_bytes(blake2b(seed, digest_size=6).digest(), "big") / (1 << 48)


def _end(run: Run, move: Move, now: datetime, reason: str | None = None, error: str | None = None) -> Settlement:
    return Settlement(
        run.id,
        run.fence,
        MOVES[run.state, move],
        run.attempt,
        reason=reason,
        error=_clip(error),
        started_at=run.started_at,
        ended_at=now,
    )


def _again(run: Run, move: Move, run_at: datetime, attempt: int, error: str | None) -> Settlement:
    return Settlement(
        run.id, run.fence, MOVES[run.state, move], attempt, run_at=run_at, error=_clip(error), started_at=run.started_at
    )


def _clip(error: str | None) -> str | None:
    if error is None:
        return None
    # What names a file may hold bytes that are no text.
    text = error[: ERROR_LIMIT + 1].encode("utf-8", "replace").decode()
    return text if len(text) <= ERROR_LIMIT else text[:ERROR_LIMIT] + "…"

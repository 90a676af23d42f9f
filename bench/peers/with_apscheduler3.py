"""APScheduler 3 on SQLite: ``with_apscheduler3.py FILE PORT COMMAND ARGUMENT…``; see ../compare.py for the commands."""

import signal
import sys
import threading
from collections import Counter
from datetime import UTC, datetime, timedelta

from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.jobstores.sqlalchemy import SQLAlchemyJobStore
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.date import DateTrigger
from apscheduler.triggers.interval import IntervalTrigger
from post import DATA, post, scheduled

_times: Counter[str] = Counter()
_lock = threading.Lock()


def once(port: int, name: str, due_us: int, _data: str) -> None:
    """A one-shot."""
    post(port, name, due_us)


def every(port: int, name: str, anchor_us: int) -> None:
    """A recurring one. It is not told its instant; none is dropped, so that the n-th call is the n-th instant's."""
    with _lock:
        number = _times[name]
        _times[name] += 1
    post(port, name, anchor_us + number * 1_000_000)


def _scheduler(file: str) -> BackgroundScheduler:
    # misfire_grace_time: its default, 1 s, would drop what a burst makes late. coalesce and max_instances: theirs would
    # drop instants of a job that is behind.
    return BackgroundScheduler(
        jobstores={"default": SQLAlchemyJobStore(url=f"sqlite:///{file}")},
        executors={"default": ThreadPoolExecutor(10)},
        job_defaults={"misfire_grace_time": None, "coalesce": False, "max_instances": 1000},
        timezone=UTC,
    )


def _at(us: int) -> datetime:
    return datetime.fromtimestamp(us / 1e6, UTC)


def _until_told() -> None:
    signal.sigwait({signal.SIGTERM})


def main() -> None:
    file, port, command, *rest = sys.argv[1:]
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    numbers = [float(text) for text in rest]
    scheduler = _scheduler(file)
    scheduler.start(paused=command != "work")

    def add(number: int, prefix: str, due_us: int) -> None:
        name = f"{prefix}-{number}"
        scheduler.add_job("with_apscheduler3:once", DateTrigger(_at(due_us)), [int(port), name, due_us, DATA], id=name)

    scheduled(command, numbers, add)
    if command == "recur":
        count, seconds, start_us = (int(number) for number in numbers)
        for i in range(count):
            anchor = start_us + i * 1_000_000 // count
            end = _at(anchor) + timedelta(seconds=seconds - 0.5)
            trigger = IntervalTrigger(seconds=1, start_date=_at(anchor), end_date=end)
            scheduler.add_job("with_apscheduler3:every", trigger, [int(port), f"each-{i}", anchor], id=f"each-{i}")
        scheduler.resume()
    if command in ("work", "recur"):
        print("ready", flush=True)
        _until_told()
    scheduler.shutdown(wait=False)


if __name__ == "__main__":
    # Jobs name their function by its module.
    import with_apscheduler3

    with_apscheduler3.main()

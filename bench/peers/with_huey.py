"""Huey on SQLite: ``with_huey.py FILE PORT COMMAND ARGUMENT…``; see ../compare.py for the commands."""

import signal
import sys
from datetime import UTC, datetime

from huey import SqliteHuey
from huey.consumer import Consumer
from post import DATA, post, scheduled

# fsync: without it, its commits are not on disk. results: nobody asks for them here.
huey = SqliteHuey("bench", filename=sys.argv[1], fsync=True, results=False, utc=True)


@huey.task(name="once")
def once(port: int, name: str, due_us: int, _data: str) -> None:
    """A one-shot."""
    post(port, name, due_us)


def main() -> None:
    port, command, *rest = sys.argv[2:]
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    numbers = [float(text) for text in rest]

    def add(number: int, prefix: str, due_us: int) -> None:
        eta = datetime.fromtimestamp(due_us / 1e6, UTC).replace(tzinfo=None)
        once.schedule((int(port), f"{prefix}-{number}", due_us, DATA), eta=eta)

    scheduled(command, numbers, add)
    if command == "work":
        # What is due is looked for once a second: it can't be asked for oftener.
        consumer = Consumer(huey, workers=4, periodic=False, initial_delay=0.005, max_delay=0.1, scheduler_interval=1)
        consumer.start()
        print("ready", flush=True)
        signal.sigwait({signal.SIGTERM})
        consumer.stop(graceful=False)


if __name__ == "__main__":
    main()

"""The end of a daemon that runs, asked for from outside."""

import asyncio
import os
import signal
from contextlib import suppress

from wakeful.faces.cli import text
from wakeful.faces.cli.calls import FAILURE, OK, complain
from wakeful.faces.cli.cron_doors import CronDoors
from wakeful.faces.cli.cron_options import CronOptions

# What is under way gets 30 s by the unit; a little more, and nothing but a signal that can't be refused will do.
PATIENCE_S = 35.0
_LOOK_EVERY_S = 0.05


async def stop_daemon(cron: CronDoors, options: CronOptions, patience_s: float = PATIENCE_S) -> int:
    """Sends SIGTERM to the daemon of a config file, and waits until it has let go of it; the exit code."""
    pid = cron.running(options)
    if pid is None:
        return complain(f"no daemon of {cron.files(options).config} runs", FAILURE)
    try:
        _tell_to_stop(cron, options, pid)
    except OSError as error:
        return complain(f"the daemon, process {pid}, can't be told to stop: {error.strerror}", FAILURE)
    loop = asyncio.get_running_loop()
    end = loop.time() + patience_s
    while cron.running(options) == pid:
        if loop.time() > end:
            why = f"has not ended within {patience_s:g} s: its jobs may need longer; kill -KILL {pid} ends it at once"
            return complain(f"the daemon, process {pid}, {why}", FAILURE)
        await asyncio.sleep(_LOOK_EVERY_S)
    print(text.printable(f"stopped: process {pid}"))
    return OK


def _tell_to_stop(cron: CronDoors, options: CronOptions, pid: int) -> None:
    with suppress(ProcessLookupError):
        process = os.pidfd_open(pid)
        try:
            # The number alone could be another process's by now; one that still has the lock is the daemon.
            if cron.running(options) == pid:
                signal.pidfd_send_signal(process, signal.SIGTERM)
        finally:
            os.close(process)

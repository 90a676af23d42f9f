"""``wakeful cron`` from its options to its end: the daemon, and what is asked of one that may run."""

import asyncio
import logging
import os
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import msgspec

from wakeful.clock import SystemClock
from wakeful.core.run import Run, RunState
from wakeful.cron_config import CronSettings, Places, cron_settings, holder
from wakeful.cron_foreground import run_once
from wakeful.cron_node import running_cron
from wakeful.cron_parts import Parts, rules
from wakeful.faces.cli.calls import FAILURE, OK
from wakeful.faces.cli.cron_options import CronOptions
from wakeful.faces.cli.text import printable
from wakeful.faces.cron.bus import Service
from wakeful.faces.cron.bus_connection import BusError
from wakeful.faces.cron.client import DaemonClient
from wakeful.faces.cron.config_file import CronConfig
from wakeful.faces.cron.config_source import ConfigSource
from wakeful.node import open_scheduler, tell, told_to_stop
from wakeful.skills import SkillEngine, Tools, built_in


def settings_of(options: CronOptions) -> CronSettings:
    """Where everything is.

    Raises:
        ConfigError: it can't be there.
    """
    given = Places(options.config, options.scripts, options.skills, options.state_dir, options.store, dbus=options.dbus)
    return cron_settings(given, os.environ)


async def serve_cron(options: CronOptions) -> int:
    """Serves until it is told to stop; the exit code.

    Raises:
        ConfigError: an option can't be, or a daemon of this config runs already.
        WakefulError: the store can't be used.
    """
    level = logging.DEBUG if options.verbose else logging.INFO
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("wakeful").setLevel(level)
    logging.getLogger("watchfiles").setLevel(logging.WARNING)
    settings = settings_of(options)
    told = told_to_stop()
    try:
        async with running_cron(settings, partial(tell, told, "shutdown")) as daemon:
            config = daemon.config
            jobs = "no config yet" if config is None else f"{len(config.jobs)} jobs"
            print(f"ℹ️  The cron daemon runs: {jobs} of {settings.config}. Store: {settings.store}")
            await told
    except BusError as error:
        print(printable(f"wakeful: {error}"), file=sys.stderr)
        return FAILURE
    return OK


def running(options: CronOptions) -> int | None:
    """The process that is the daemon of this config."""
    return holder(settings_of(options).lock)


async def call(options: CronOptions, method: str, arguments: Sequence[object]) -> Any:
    """What the daemon of this config answers on the bus; ``None`` where it can't be asked."""
    pid = running(options)
    if pid is None or options.dbus is False:
        return None
    service = Service()
    client = DaemonClient(service.name, service.path, service.interface)
    if not await client.connect():
        return None
    try:
        # The name may be that of another config's daemon.
        return await client.call_method(method, list(arguments)) if await client.process_id() == pid else None
    except ConnectionError:
        return None
    finally:
        await client.disconnect()


async def run_job(options: CronOptions, name: str) -> int:
    """Runs a job once, by the daemon or else here, and prints what came of it; the exit code says whether it succeeded.

    Raises:
        ConfigError, WakefulError: as ``run_once``.
    """
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(levelname)s %(message)s")
    asking = asyncio.ensure_future(run_once(settings_of(options), name, os.environ))
    told = told_to_stop()
    told.add_done_callback(lambda _: asking.cancel())
    try:
        run = await asking
    except asyncio.CancelledError:
        print(f"wakeful: {name}: cancelled", file=sys.stderr)
        return FAILURE
    _show(name, run)
    return OK if run.state is RunState.SUCCEEDED else FAILURE


def _show(name: str, run: Run) -> None:
    result: Mapping[str, Any] = {} if run.result is None else msgspec.json.decode(run.result)
    if output := str(result.get("output", "")):
        print("\n".join(printable(line) for line in output.splitlines()))
    error = run.errors[-1]["error"] if run.errors else run.reason
    why = "" if run.state is RunState.SUCCEEDED or error is None else f": {error}"
    session = f", session {result['session_id']}" if "session_id" in result else ""
    print(printable(f"wakeful: {name}: {run.state}{why} (execution {run.id.hex}{session})"), file=sys.stderr)


async def listing(options: CronOptions) -> Sequence[Mapping[str, Any]]:
    """The jobs, as the files and the store have them now; nothing is changed, and none is run.

    Raises:
        ConfigError: the config file can't be used.
    """
    settings = settings_of(options)
    async with open_scheduler(settings.store) as scheduler:
        daemon = Parts(settings, scheduler, os.environ).daemon
        await daemon.look()
        return await daemon.list_jobs()


def read(options: CronOptions, content: bytes) -> CronConfig:
    """What a daemon would make of a config file that holds ``content``.

    Raises:
        ConfigFileError: nothing.
    """
    settings = settings_of(options)
    by = rules(SkillEngine(settings.skills, built_in(Tools())), os.environ)
    return ConfigSource(settings.config, by, SystemClock().now).read(content)

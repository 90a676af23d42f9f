"""The command ``wakeful``: lends its commands the rooms they need."""

import asyncio
import logging
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import date, timedelta
from functools import partial
from typing import Any
from zoneinfo import ZoneInfo

from wakeful import __version__
from wakeful.clock import SystemClock
from wakeful.config import Config, ConfigError, HealthCheck, seconds, store_path
from wakeful.core.errors import WakefulError
from wakeful.faces.cli.agent_options import AgentOptions
from wakeful.faces.cli.app import build
from wakeful.faces.cli.calls import EXIT_CODES, FAILURE, OK, USAGE
from wakeful.faces.cli.cron_doors import CronDoors
from wakeful.faces.cli.doors import Doors, NodeOptions
from wakeful.faces.cli.scheduler_options import SchedulerOptions
from wakeful.faces.cli.text import printable
from wakeful.scheduler import Scheduler

# The ports of `serve`; those of `run` are free ones. 50001 is daprd's (dapr cmd/daprd/options/options.go).
OWN_PORT = 7710
GRPC_PORT = 50001
APP_GRACE = timedelta(seconds=5)


def main() -> None:
    """Runs the command line."""
    # What the app and the node print must be seen at once, in a pipe too.
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    arguments, command = _split(sys.argv[1:])
    doors = Doors(
        version=__version__,
        now=SystemClock().now,
        zone=_zone,
        holidays=_holidays,
        facts=_facts,
        open_scheduler=_open_scheduler,
        serve=_serve,
        run=_run,
        serve_scheduler=_serve_scheduler,
        run_agent=_run_agent,
        entropy=os.urandom,
        cron=_cron_doors(),
    )
    cli = build(doors, command)
    try:
        code = cli(arguments)
        sys.stdout.flush()
        sys.exit(code)
    except BrokenPipeError:
        # Whoever read has gone; what is still unwritten must not complain at the interpreter's end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(128 + signal.SIGPIPE)
    except ConfigError as error:
        _fail(str(error), USAGE)
    except WakefulError as error:
        _fail(error.message, EXIT_CODES[error.code])


def _split(arguments: list[str]) -> tuple[list[str], tuple[str, ...]]:
    """Our own arguments, and those behind ``--``, which are the app's and are not looked at."""
    end = arguments.index("--") if "--" in arguments else len(arguments)
    own = arguments[:end]
    if any(_broken(argument) for argument in own):
        _fail("the command line is not UTF-8", USAGE)
    return own, tuple(arguments[end + 1 :])


def _broken(argument: str) -> bool:
    return any(0xD800 <= ord(character) < 0xE000 for character in argument)


def _fail(message: str, code: int) -> None:
    print(printable(f"wakeful: {message}"), file=sys.stderr)
    sys.exit(code)


def _config(options: NodeOptions, own_port: int, grpc_port: int) -> Config:
    return Config(
        app_id=options.app_id,
        app_port=options.app_port,
        app_protocol=options.app_protocol,
        app_max_concurrency=max(0, options.app_max_concurrency),
        app_health=_health_check(options) if options.enable_app_health_check else None,
        namespace=options.namespace,
        http_port=options.dapr_http_port,
        grpc_port=grpc_port if options.dapr_grpc_port is None else options.dapr_grpc_port,
        port=own_port if options.port is None else options.port,
        address=options.listen_address,
        store=store_path(options.store, os.environ),
        app_timeout=seconds("--app-timeout", options.app_timeout),
        late_rate=options.late_rate,
        api_token=os.environ.get("DAPR_API_TOKEN") or None,
        app_token=os.environ.get("APP_API_TOKEN") or None,
    )


def _health_check(options: NodeOptions) -> HealthCheck:
    return HealthCheck(
        path=options.app_health_check_path,
        interval=seconds("--app-health-probe-interval", options.app_health_probe_interval),
        timeout=timedelta(milliseconds=options.app_health_probe_timeout),
        threshold=options.app_health_threshold,
    )


# The rooms are imported here and below so that --help and --version stay quick.
def _zone(name: str) -> ZoneInfo | None:
    from wakeful.zones import load_zone  # noqa: PLC0415

    return load_zone(name)


def _holidays(country: str, subdivision: str | None, years: range) -> Sequence[date]:
    from wakeful.holiday_dates import holiday_dates  # noqa: PLC0415

    return holiday_dates(country, subdivision, years)


def _facts(url: str | None) -> Mapping[str, str]:
    from wakeful.rooms import facts  # noqa: PLC0415

    return facts(store_path(url, os.environ))


@asynccontextmanager
async def _open_scheduler(url: str | None) -> AsyncIterator[Scheduler]:
    from wakeful.node import open_scheduler  # noqa: PLC0415

    async with open_scheduler(store_path(url, os.environ)) as scheduler:
        yield scheduler


def _log_to_stderr() -> None:
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("uvicorn").setLevel(logging.WARNING)


def _calm_grpc() -> None:
    """It reads this when it is imported.

    Its own care for forks crashes the process now and then, when one is started beside its threads; nothing here forks
    without an exec. And it would log each peer that goes away.
    """
    os.environ["GRPC_ENABLE_FORK_SUPPORT"] = "0"
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")


async def _serve(options: NodeOptions) -> int:
    _calm_grpc()
    from wakeful.node import running, tell, told_to_stop  # noqa: PLC0415

    _log_to_stderr()
    config = _config(options, OWN_PORT, GRPC_PORT)
    told = told_to_stop()
    async with running(config, partial(tell, told, "shutdown")) as ports:
        print(
            f"ℹ️  wakeful serves {config.app_id}. HTTP Port: {ports.http}. gRPC Port: {ports.grpc}. "
            f"Own API: {ports.own}. Store: {config.store}"
        )
        await told
    return OK


async def _serve_scheduler(options: SchedulerOptions) -> int:
    _calm_grpc()
    from wakeful.scheduler_main import serve_scheduler  # noqa: PLC0415

    return await serve_scheduler(options)


def _cron_doors() -> CronDoors:
    def door(name: str) -> Any:
        def lent(*arguments: Any) -> Any:
            from wakeful import cron_main  # noqa: PLC0415

            return getattr(cron_main, name)(*arguments)

        return lent

    return CronDoors(
        files=door("settings_of"),
        read=door("read"),
        serve=door("serve_cron"),
        running=door("running"),
        call=door("call"),
        run_job=door("run_job"),
        listing=door("listing"),
    )


async def _run_agent(options: AgentOptions, command: tuple[str, ...]) -> int:
    from wakeful.agent import AgentError  # noqa: PLC0415
    from wakeful.agent.running import run_command  # noqa: PLC0415
    from wakeful.agent.worker import Terms  # noqa: PLC0415

    _log_to_stderr()
    terms = Terms(options.capability, options.limit, options.lease, grace_s=options.grace)
    try:
        await run_command(command, terms, options.url, options.agent_id, os.environ)
    except ValueError as error:
        raise ConfigError(str(error)) from error
    except AgentError as error:
        print(printable(f"wakeful: the node refuses this agent: {error}"), file=sys.stderr)
        return FAILURE
    return OK


async def _run(options: NodeOptions, command: tuple[str, ...]) -> int:
    inherited = dict(os.environ)
    _calm_grpc()
    from wakeful.app_process import AppProcess  # noqa: PLC0415
    from wakeful.node import running, tell, told_to_stop  # noqa: PLC0415

    _log_to_stderr()
    config = _config(options, 0, 0)
    told = told_to_stop()
    async with running(config, partial(tell, told, "shutdown")) as ports:
        print(
            f"ℹ️  Starting wakeful with id {config.app_id}. HTTP Port: {ports.http}. gRPC Port: {ports.grpc}. "
            f"Own API: {ports.own}"
        )
        environment = {
            **inherited,
            "APP_ID": config.app_id,
            "APP_PORT": "" if config.app_port is None else str(config.app_port),
            "APP_PROTOCOL": config.app_protocol,
            "DAPR_HTTP_PORT": str(ports.http),
            "DAPR_HTTP_ENDPOINT": f"http://127.0.0.1:{ports.http}",
            "DAPR_GRPC_PORT": str(ports.grpc),
            "DAPR_GRPC_ENDPOINT": f"http://127.0.0.1:{ports.grpc}",
            "WAKEFUL_PORT": str(ports.own),
        }
        try:
            app = await AppProcess.start(command, environment)
        except OSError as error:
            print(f"wakeful: can't start {command[0]!r}: {error.strerror}", file=sys.stderr)
            return FAILURE
        print("✅  You're up and running! Both wakeful and your app logs will appear here.")
        ended = asyncio.create_task(app.wait())
        await asyncio.wait((ended, told), return_when=asyncio.FIRST_COMPLETED)
        if ended.done():
            return _app_ended(ended.result())
    # The node has settled what was in flight; now the app may go.
    await app.stop(APP_GRACE)
    ended.cancel()
    return OK


def _app_ended(code: int) -> int:
    if code == 0:
        print("✅  Exited App successfully")
        return OK
    print(f"❌  The App process exited with {'signal' if code < 0 else 'status'} {abs(code)}", file=sys.stderr)
    return code if code > 0 else 128 - code

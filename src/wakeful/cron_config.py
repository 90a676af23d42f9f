"""What ``wakeful cron`` needs to know: its places, and the lock that one daemon of a config file holds."""

import fcntl
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

from wakeful.config import ConfigError, store_path


class AlreadyRunningError(ConfigError):
    """Another daemon has the config file."""


@dataclass(frozen=True, slots=True)
class CronSettings:
    """``dbus``: whether the session bus must be used (true), must not (false), or is used if there is one (none)."""

    config: Path
    scripts: Path
    skills: Path
    state: Path
    store: Path
    lock: Path
    dbus: bool | None = None


@dataclass(frozen=True, slots=True)
class Places:
    """What was given on the command line; ``None`` is the default place."""

    config: str | None = None
    scripts: str | None = None
    skills: str | None = None
    state: str | None = None
    store: str | None = None
    dbus: bool | None = None


def cron_settings(given: Places, environment: Mapping[str, str]) -> CronSettings:
    """The places in use. The state folder is made, and is nobody else's to read.

    Raises:
        ConfigError: the folder can't be made, or the store's URL is none.
    """
    home = Path(environment.get("HOME") or Path.home())
    # Where the daemon's documents have them: ~/.config/aa-workflow.
    xdg = Path(environment.get("XDG_CONFIG_HOME", ""))
    # The XDG rules: what is not absolute is to be ignored.
    base = xdg if xdg.is_absolute() else home / ".config"
    state = Path(given.state).expanduser().absolute() if given.state else base / "aa-workflow"
    try:
        state.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"--state-dir {state}: {error.strerror}") from error
    config = _path(given.config, state / "config.json")
    return CronSettings(
        config=config,
        scripts=_path(given.scripts, state / "scripts"),
        skills=_path(given.skills, state / "skills"),
        state=state,
        store=store_path(given.store, environment),
        lock=_lock_path(config, state, environment),
        dbus=given.dbus,
    )


def _path(given: str | None, default: Path) -> Path:
    return default if given is None else Path(given).expanduser().absolute()


def _lock_path(config: Path, state: Path, environment: Mapping[str, str]) -> Path:
    """A folder of the user's own: in a common one, others could be there first."""
    runtime = environment.get("XDG_RUNTIME_DIR")
    name = blake2b(os.fsencode(config), digest_size=6).hexdigest()
    if runtime and Path(runtime).is_dir():
        return Path(runtime) / f"wakeful-cron-{name}.lock"
    return state / f"cron-{name}.lock"


@contextmanager
def locked(lock: Path) -> Iterator[None]:
    """Holds the lock, with this process's id in it; it goes with the process, however that ends.

    Raises:
        AlreadyRunningError: another process holds it.
    """
    descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            other = os.read(descriptor, 32).decode("ascii", "replace").strip()
            raise AlreadyRunningError(f"a daemon of this config runs already, as process {other}") from None
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"{os.getpid()}\n".encode())
        yield
        os.ftruncate(descriptor, 0)
    finally:
        os.close(descriptor)


def holder(lock: Path) -> int | None:
    """The process that holds the lock."""
    with suppress(OSError, ValueError):
        descriptor = os.open(lock, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return int(os.read(descriptor, 32))
        finally:
            os.close(descriptor)
    return None

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
    dbus: bool | None = None

    @property
    def lock(self) -> Path:
        """Beside the store: who asks for this config's jobs finds it whatever his environment lacks."""
        name = blake2b(os.fsencode(self.config), digest_size=6).hexdigest()
        return self.store.with_name(f".{self.store.name}.cron-{name}.lock")

    @property
    def state_lock(self) -> Path:
        """Two daemons would write each other's switches and snapshots."""
        return self.state / ".daemon.lock"


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
        dbus=given.dbus,
    )


def _path(given: str | None, default: Path) -> Path:
    """By one name, however its folder is reached; what the last part is a link to may be another file tomorrow."""
    path = default if given is None else Path(given).expanduser().absolute()
    return Path(os.path.realpath(path.parent)) / path.name


@contextmanager
def locked(lock: Path, what: str = "a daemon of this config") -> Iterator[None]:
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
            raise AlreadyRunningError(f"{what} runs already, as process {other}") from None
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
